#include "normalised_cut_eigen.hpp"

#include <Eigen/Eigenvalues>

namespace bench {

double eigen_normalised_cut(cambium::grid<std::uint8_t, 3> const& alike, double eps)
{
  auto const n = alike.shape()[0];
  Eigen::MatrixXd a(n, n);
  for (Eigen::Index i = 0; i < n * n; ++i) a.data()[i] = alike.data()[i] != 0 ? 1 : eps;
  Eigen::VectorXd const degree = a.rowwise().sum(), scale = degree.array().rsqrt();
  Eigen::MatrixXd laplacian = -(scale.asDiagonal() * a * scale.asDiagonal());
  laplacian.diagonal().array() += 1;
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(laplacian).eigenvalues()(1);
}

}  // namespace bench
