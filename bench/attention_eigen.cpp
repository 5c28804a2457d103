#include "attention_eigen.hpp"

#include <Eigen/Core>

namespace bench {

void eigen_attention_affinity(cambium::grid<float, 2> const& weight, int rounds, cambium::grid<float, 2>& out)
{
  using rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  auto const n = weight.shape()[0];
  rows w = Eigen::Map<rows const>(weight.data(), n, n);
  for (int i = 0; i < rounds; ++i) {
    w.array().rowwise() /= w.colwise().sum().array().eval();
    w.array().colwise() /= w.rowwise().sum().array().eval();
  }
  rows const t = (w + w.transpose()) / 2;
  Eigen::Map<rows>(out.data(), n, n).noalias() = t * t;
}

}  // namespace bench
