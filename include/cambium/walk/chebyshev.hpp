#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace cambium {

/// x^steps on [lower, 1] as a short sum of Chebyshev polynomials.
///
///   x^steps ~ sum over k of coefficient[k] T_k(s),   s = (2x - 1 - lower) / (1 - lower)
///
/// With lower >= -1 both parts of x = (1-lower)/2 s + (1+lower)/2 have non-negative weights, hence all
/// coefficients are non-negative and the infinite sum is 1. The omitted terms at any x of the interval are at most
/// `remainder` = 1 - (sum of the kept coefficients). Nothing is estimated.
struct chebyshev_power {
  std::vector<double> coefficient;  ///< degree + 1 of them
  double remainder = 0;             ///< bound of |x^steps - sum| on [lower, 1]
  double lower = -1;                ///< the interval's lower end

  int degree() const { return static_cast<int>(coefficient.size()) - 1; }
};

/// Find the shortest expansion of x^steps on [lower, 1] whose remainder is at most `allowed`.
///
/// @param steps    [count] >= 0
/// @param lower    -1 <= lower < 1
/// @param allowed  > 0; below 1e-14 it is taken as 1e-14, the rounding of the coefficients
/// @throws      precondition_error outside these ranges
/// @complexity  the degree is about sqrt(2 steps ln(2/allowed)); O(degree * sqrt(steps)) time
/// @source      the truncation is Cornelius Lanczos' economisation; for lower = -1 the coefficients are
///              the binomial probabilities of a simple random walk (Sachdeva & Vishnoi 2014, thm 3.3)
inline chebyshev_power expand_power(index_t steps, double lower, double allowed)
{
  expects(steps >= 0, "expand_power: steps is ", steps);
  expects(lower >= -1 && lower < 1, "expand_power: lower is ", lower, ", outside [-1,1)");
  expects(allowed > 0, "expand_power: allowed is ", allowed);
  if (allowed < 1e-14) allowed = 1e-14;

  // Hoeffding bounds the degree from above. Twice as many nodes make aliasing negligible.
  double const enough = std::sqrt(2.0 * static_cast<double>(steps) * std::log(2 / (allowed * 1e-3))) + 2;
  index_t const most = std::min<index_t>(steps, static_cast<index_t>(enough));
  index_t const nodes = 2 * most + 64;
  double const pi = 3.14159265358979323846;
  double const half = (1 - lower) / 2, middle = (1 + lower) / 2;
  std::vector<double> value(static_cast<std::size_t>(nodes)), cosine(static_cast<std::size_t>(4 * nodes));
  for (index_t i = 0; i < 4 * nodes; ++i)
    cosine[static_cast<std::size_t>(i)] = std::cos(pi * static_cast<double>(i) / (2.0 * static_cast<double>(nodes)));
  for (index_t j = 0; j < nodes; ++j) {
    double const x = half * cosine[static_cast<std::size_t>(2 * j + 1)] + middle;
    value[static_cast<std::size_t>(j)] = std::pow(x, static_cast<double>(steps));
  }
  chebyshev_power p;
  p.lower = lower;
  double kept = 0;
  for (index_t k = 0; k <= most; ++k) {
    double sum = 0;
    for (index_t j = 0; j < nodes; ++j)
      sum += value[static_cast<std::size_t>(j)] * cosine[static_cast<std::size_t>(k * (2 * j + 1) % (4 * nodes))];
    double const c = std::max(0.0, sum * (k == 0 ? 1.0 : 2.0) / static_cast<double>(nodes));
    p.coefficient.push_back(c);
    kept += c;
    if (1 - kept <= allowed) break;
  }
  p.remainder = std::max(0.0, 1 - kept);
  return p;
}

/// Expand T^steps of a walk on a graph with this largest degree. Its eigenvalues lie in [2/degree - 1, 1].
/// @param worst  the largest factor of the remainder at any cell, as a fraction of the seeds' range
inline chebyshev_power expand_walk(index_t steps, double degree, double tolerance, double worst)
{
  double const lower = 2 / degree - 1 - 1e-6;  // degrees are rounded to T
  return expand_power(steps, std::clamp(lower, -1.0, 0.0), tolerance / std::max(1.0, worst));
}

}  // namespace cambium
