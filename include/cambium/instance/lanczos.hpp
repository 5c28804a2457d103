#pragma once
// The largest eigenvalue of a symmetric operator, beside an eigenvector that is known.

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cambium {

/// An eigenvalue and its unit vector.
struct eigenpair {
  std::vector<double> vector;
  double value = 0;
  double residual = 0;  ///< |A v - value v|, measured
  index_t steps = 0;    ///< products but for the one that measured
  bool settled = true;  ///< the estimate of the residual reached the tolerance
};

namespace rule {

/// out[k] = basis[first + k] . w
struct dots_with_basis {
  std::vector<std::vector<double>> const& basis;
  index_t first, last;
  std::vector<double> const& w;
  double* out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr index_t lanes = Bytes / 8, together = 4 * lanes;
    auto const n = static_cast<index_t>(w.size());
    for (index_t k = first; k < last; ++k) {
      double const* const q = basis[static_cast<std::size_t>(k)].data();
      pack<double, lanes> part[4]{};
      index_t i = 0;
      for (; i + together <= n; i += together) {
        CAMBIUM_UNROLL
        for (int p = 0; p < 4; ++p)
          part[p] = part[p] + lanes_at<lanes>(q + i + p * lanes).v * lanes_at<lanes>(w.data() + i + p * lanes).v;
      }
      pack<double, lanes> const all = (part[0] + part[1]) + (part[2] + part[3]);
      double sum = 0;
      for (int l = 0; l < lanes; ++l) sum += all[l];
      for (; i < n; ++i) sum += q[i] * w[static_cast<std::size_t>(i)];
      out[k] = sum;
    }
  }
};

}  // namespace rule

inline double length_of(std::vector<double> const& v)
{
  double sum = 0;
  for (double const x : v) sum += x * x;
  return std::sqrt(sum);
}

/// Subtract from w its parts along orthonormal vectors, twice: once leaves rounding that grows.
/// @param part  [basis] gets what was subtracted
inline void orthogonalise(cpu const& where, std::vector<std::vector<double>> const& basis, std::vector<double>& w,
                          std::vector<double>& part)
{
  auto const known = static_cast<index_t>(basis.size()), n = static_cast<index_t>(w.size());
  std::vector<double> now(basis.size());
  part.assign(basis.size(), 0);
  isa const set = vectors_of(where);
  for (int round = 0; round < 2; ++round) {
    for_each_share(where, known, 1 + 65536 / n, [&](index_t first, index_t last) {
      run_widest(set, rule::dots_with_basis{basis, first, last, w, now.data()});
    });
    for_each_share(where, n, 1 + 65536 / known, [&](index_t first, index_t last) {
      for (std::size_t k = 0; k < basis.size(); ++k) {
        double const by = now[k];
        double const* const q = basis[k].data();
        for (index_t i = first; i < last; ++i) w[static_cast<std::size_t>(i)] -= by * q[i];
      }
    });
    for (std::size_t k = 0; k < basis.size(); ++k) part[k] += now[k];
  }
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection: it is the least x for which the pivots of
/// T - x are all <= 0.
/// @param diagonal  [m]
/// @param beside    [m-1] or more, not 0
inline double largest_of_tridiagonal(std::vector<double> const& diagonal, std::vector<double> const& beside)
{
  std::size_t const m = diagonal.size();
  double low = diagonal[0], high = diagonal[0];
  for (std::size_t i = 0; i < m; ++i) {
    double const around = (i > 0 ? std::abs(beside[i - 1]) : 0) + (i + 1 < m ? std::abs(beside[i]) : 0);
    low = std::max(low, diagonal[i]);
    high = std::max(high, diagonal[i] + around);  // Gershgorin
  }
  for (int round = 0; round < 200; ++round) {
    double const x = low + (high - low) / 2;
    if (x <= low || x >= high) break;
    bool above = true;
    double pivot = -1;
    for (std::size_t i = 0; i < m && above; ++i) {
      pivot = diagonal[i] - x - (i > 0 ? beside[i - 1] * beside[i - 1] / pivot : 0);
      above = pivot < 0;
    }
    (above ? high : low) = x;
  }
  return high;
}

/// The unit eigenvector of a tridiagonal matrix's eigenvalue. T - value is factored from both ends. The factors meet
/// where the vector is largest, and both recurrences lead away from there, so small entries keep their digits.
/// @source Fernando, "On computing an eigenvector of a tridiagonal matrix", SIAM J. Matrix Anal. 1997
inline std::vector<double> vector_of_tridiagonal(std::vector<double> const& diagonal, std::vector<double> const& beside,
                                                 double value)
{
  std::size_t const m = diagonal.size();
  auto const pivot_of = [](double p) { return std::abs(p) < 1e-30 ? -1e-30 : p; };
  std::vector<double> down(m), up(m), out(m);
  for (std::size_t i = 0; i < m; ++i)
    down[i] = pivot_of(diagonal[i] - value - (i > 0 ? beside[i - 1] * beside[i - 1] / down[i - 1] : 0));
  for (std::size_t i = m; i-- > 0;)
    up[i] = pivot_of(diagonal[i] - value - (i + 1 < m ? beside[i] * beside[i] / up[i + 1] : 0));
  std::size_t meet = 0;
  auto const left = [&](std::size_t i) { return std::abs(down[i] + up[i] - (diagonal[i] - value)); };
  for (std::size_t i = 1; i < m; ++i)
    if (left(i) < left(meet)) meet = i;
  out[meet] = 1;
  for (std::size_t i = meet; i-- > 0;) out[i] = -beside[i] / down[i] * out[i + 1];
  for (std::size_t i = meet; i + 1 < m; ++i) out[i + 1] = -beside[i] / up[i + 1] * out[i];
  double const length = length_of(out);
  for (double& v : out) v /= length;
  return out;
}

/// Find the largest eigenvalue of a symmetric operator among the vectors that are orthogonal to a known eigenvector.
///
/// Each step multiplies the last vector of an orthonormal basis and adds what is new. The operator is tridiagonal in
/// that basis. The first vector is a fixed pseudo-random one.
///
/// @param known      [n] unit eigenvector; n >= 2
/// @param product    product(x, y) writes A x to y, both [n]; A has a norm of about 1
/// @param tolerance  [1e-14,1] ends when the residual's estimate is not larger
/// @param most       [steps] >= 1; at most n - 1 are done
///
/// @complexity   Theta(steps) products and Theta(steps^2 * n) for the basis, which takes 8 steps n bytes
/// @determinism  run to run, if the product is
/// @source       Lanczos 1950, with the whole basis made orthogonal in each step (Paige 1970; Parlett, "The symmetric
///               eigenvalue problem", 13.7)
template <class Product>
[[nodiscard]] eigenpair largest_beside(cpu const& where, std::vector<double> known, Product const& product,
                                       double tolerance, index_t most)
{
  std::size_t const n = known.size();
  std::vector<std::vector<double>> basis{std::move(known)};
  std::vector<double> w(n), part, diagonal, beside, ritz;
  std::uint64_t bits = 0x9e3779b97f4a7c15u;
  for (double& v : w) {  // xorshift: no direction that a graph may have
    bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
    v = static_cast<double>(bits >> 11) * 0x1p-52 - 1;
  }
  orthogonalise(where, basis, w, part);
  double length = length_of(w);
  eigenpair out;
  most = std::min(most, static_cast<index_t>(n) - 1);
  while (out.steps < most) {
    for (double& v : w) v /= length;
    basis.push_back(w);
    product(basis.back(), w);
    orthogonalise(where, basis, w, part);
    length = length_of(w);
    diagonal.push_back(part.back());
    beside.push_back(length);
    ++out.steps;
    bool const ends = length <= tolerance || out.steps == most;
    if (out.steps % 8 != 0 && !ends) continue;
    out.value = largest_of_tridiagonal(diagonal, beside);
    ritz = vector_of_tridiagonal(diagonal, beside, out.value);
    out.settled = length * std::abs(ritz.back()) <= tolerance || out.steps == static_cast<index_t>(n) - 1;
    if (out.settled || ends) break;
  }
  out.vector.assign(n, 0);
  for (std::size_t k = 0; k < ritz.size(); ++k)
    for (std::size_t i = 0; i < n; ++i) out.vector[i] += ritz[k] * basis[k + 1][i];
  length = length_of(out.vector);
  for (double& v : out.vector) v /= length;
  product(out.vector, w);
  for (std::size_t i = 0; i < n; ++i) w[i] -= out.value * out.vector[i];
  out.residual = length_of(w);
  return out;
}

}  // namespace cambium
