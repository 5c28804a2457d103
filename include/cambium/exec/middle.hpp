#pragma once

#include <cambium/core/config.hpp>

#include <limits>

namespace cambium {

/// Numbers up to the first lose bits if halved. From the second on, sums may be infinite.
template <class T>
inline constexpr T least_to_halve = std::numeric_limits<T>::min() * 2;
template <class T>
inline constexpr T most_to_add = std::numeric_limits<T>::max() / 2;

/// The mean of two numbers, on host and device, with the bits of std::midpoint. A device has no std::midpoint.
template <class T>
CAMBIUM_HD T middle(T a, T b)
{
  T const size_a = a < 0 ? -a : a, size_b = b < 0 ? -b : b;
  if (size_a <= most_to_add<T> && size_b <= most_to_add<T>) return (a + b) / 2;
  if (size_a < least_to_halve<T>) return a + b / 2;
  if (size_b < least_to_halve<T>) return a / 2 + b;
  return a / 2 + b / 2;
}

}  // namespace cambium
