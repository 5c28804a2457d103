#pragma once

#include <cambium/core/config.hpp>

#include <limits>

namespace cambium {

/// The mean of two numbers, on either side the same bits as std::midpoint, which a device does not have: sums that would
/// be infinite are halved first, and small numbers are not.
template <class T>
CAMBIUM_HD T middle(T a, T b)
{
  constexpr T low = std::numeric_limits<T>::min() * 2, high = std::numeric_limits<T>::max() / 2;
  T const size_a = a < 0 ? -a : a, size_b = b < 0 ? -b : b;
  if (size_a <= high && size_b <= high) return (a + b) / 2;
  if (size_a < low) return a + b / 2;
  if (size_b < low) return a / 2 + b;
  return a / 2 + b / 2;
}

}  // namespace cambium
