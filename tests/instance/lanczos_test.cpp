#include <cambium/instance/lanczos.hpp>

#include "support/catch.hpp"

#include <Eigen/Dense>

#include <cmath>
#include <random>
#include <vector>

using namespace cambium;

namespace {

/// A symmetric matrix with these eigenvalues and random eigenvectors, the columns of `vectors`.
struct made_matrix {
  Eigen::MatrixXd vectors, matrix;
  made_matrix(Eigen::VectorXd const& values, unsigned seed)
  {
    std::mt19937 bits(seed);
    std::normal_distribution<double> normal;
    Eigen::MatrixXd const any =
        Eigen::MatrixXd::NullaryExpr(values.size(), values.size(), [&] { return normal(bits); });
    vectors = Eigen::HouseholderQR<Eigen::MatrixXd>(any).householderQ();
    matrix = vectors * values.asDiagonal() * vectors.transpose();
  }
  std::vector<double> vector(Eigen::Index i) const
  {
    Eigen::VectorXd const v = vectors.col(i);
    return {v.data(), v.data() + v.size()};
  }
  auto product() const
  {
    return [this](std::vector<double> const& x, std::vector<double>& y) {
      Eigen::Map<Eigen::VectorXd>(y.data(), matrix.rows()) =
          matrix * Eigen::Map<Eigen::VectorXd const>(x.data(), matrix.rows());
    };
  }
};

double overlap_of(std::vector<double> const& a, std::vector<double> const& b)
{
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return std::abs(sum);
}

}  // namespace

TEST_CASE("the largest eigenvalue beside a known vector", "[instance][reference]")
{
  for (Eigen::Index const n : {2, 3, 5, 40, 203})
    for (double const apart : {0.3, 1e-2, 1e-4}) {  // from the third one
      CAPTURE(n, apart);
      Eigen::VectorXd values = Eigen::VectorXd::LinSpaced(n, -0.9, 0.5);
      values(0) = 1, values(1) = 0.97;
      if (n > 2) values(2) = 0.97 - apart;
      made_matrix const a(values, static_cast<unsigned>(n));
      for (int const threads : {1, 3}) {
        auto const found = largest_beside(cpu{.threads = threads}, a.vector(0), a.product(), 1e-12, 1000);
        CHECK(std::abs(found.value - 0.97) <= 1e-12);
        CHECK(found.settled);
        CHECK(found.residual <= 1e-11);
        CHECK(overlap_of(found.vector, a.vector(1)) >= 1 - 1e-12);
        CHECK(overlap_of(found.vector, a.vector(0)) <= 1e-12);
        CHECK(found.steps <= n - 1);
      }
    }
}

TEST_CASE("an eigenvalue of several vectors, and an operator that is a number", "[instance][reference]")
{
  Eigen::VectorXd values = Eigen::VectorXd::Constant(30, 0.25);
  values(0) = 1, values(1) = values(2) = values(3) = 0.5;
  made_matrix const a(values, 4);
  auto const found = largest_beside(cpu{}, a.vector(0), a.product(), 1e-12, 1000);
  CHECK(std::abs(found.value - 0.5) <= 1e-12);
  CHECK(found.steps == 2);  // as many as there are values
  CHECK(found.residual <= 1e-12);
  values.tail(29).setConstant(0);
  made_matrix const flat(values, 5);
  auto const one = largest_beside(cpu{}, flat.vector(0), flat.product(), 1e-12, 1000);
  CHECK(one.steps == 1);
  CHECK(std::abs(one.value) <= 1e-14);
}

TEST_CASE("too few steps are reported", "[instance][property]")
{
  Eigen::VectorXd values = Eigen::VectorXd::LinSpaced(100, 0, 0.9);
  values(0) = 1;
  made_matrix const a(values, 6);
  auto const found = largest_beside(cpu{}, a.vector(0), a.product(), 1e-12, 7);
  CHECK(found.steps == 7);
  CHECK_FALSE(found.settled);
  CHECK(found.residual > 1e-6);
  CHECK(found.value < 0.9);
  CHECK(std::abs(length_of(found.vector) - 1) <= 1e-12);
}

TEST_CASE("tridiagonal matrices: the largest eigenvalue and its vector", "[instance][reference]")
{
  std::mt19937 bits(3);
  std::uniform_real_distribution<double> any(-1, 1);
  for (Eigen::Index const m : {1, 2, 3, 17, 120})
    for (double const scale : {1.0, 1e-7}) {
      CAPTURE(m, scale);
      std::vector<double> diagonal, beside;
      for (Eigen::Index i = 0; i < m; ++i)
        diagonal.push_back(any(bits)), beside.push_back(scale * (0.05 + std::abs(any(bits))));
      Eigen::MatrixXd full = Eigen::MatrixXd::Zero(m, m);
      for (Eigen::Index i = 0; i < m; ++i) {
        full(i, i) = diagonal[static_cast<std::size_t>(i)];
        if (i + 1 < m) full(i, i + 1) = full(i + 1, i) = beside[static_cast<std::size_t>(i)];
      }
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> const want(full);
      double const value = largest_of_tridiagonal(diagonal, beside);
      CHECK(std::abs(value - want.eigenvalues()(m - 1)) <= 1e-14);
      auto const vector = vector_of_tridiagonal(diagonal, beside, value);
      Eigen::VectorXd const v = Eigen::Map<Eigen::VectorXd const>(vector.data(), m);
      CHECK(std::abs(v.dot(want.eigenvectors().col(m - 1))) >= 1 - 1e-12);
      CHECK((full * v - value * v).norm() <= 1e-13);
    }
}
