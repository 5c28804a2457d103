#pragma once
// Labels that may be wrong, and predictions that know it.

#include <cambium/core/config.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>

namespace cambium {

/// How far the label of a cell can be trusted.
namespace trust {

inline constexpr std::uint8_t ignored = 0;  ///< it says nothing
inline constexpr std::uint8_t certain = 1;  ///< it is right: drawn by hand, or outside every box
inline constexpr std::uint8_t boxed = 2;    ///< it stems from a box and may be wrong

}  // namespace trust

/// A logit z ~ N(mean, exp(log_variance)). With kappa = 1 / sqrt(1 + pi/8 exp(log_variance)):
///
///   E[sigmoid(z)] ~ sigmoid(kappa * mean), within 0.016 for |mean| <= 10, sigma <= 10
///
/// @source MacKay, "The evidence framework applied to classification networks", 1992; Spiegelhalter & Lauritzen 1990
struct gaussian_logit {
  double mean = 0;
  double log_variance = 0;  ///< any number: e^s is not formed where it would overflow

  CAMBIUM_HD double kappa() const
  {
    constexpr double slope = std::numbers::pi / 8;
    if (log_variance <= 0) return 1 / std::sqrt(1 + slope * std::exp(log_variance));
    return std::exp(-log_variance / 2) / std::sqrt(std::exp(-log_variance) + slope);
  }

  CAMBIUM_HD double expected_logit() const { return kappa() * mean; }
};

}  // namespace cambium
