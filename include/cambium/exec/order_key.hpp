#pragma once
// Floating-point numbers as integers of the same order, for atomics and sorts that take integers only.

#include <cambium/core/config.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace cambium {

/// The signed integer type of the same size.
template <class T>
using order_key_t = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

/// An integer that is larger if and only if the number is larger. -0 and 0 are equal. NaN lies beyond the infinities.
template <class T>
CAMBIUM_HD order_key_t<T> order_key(T value)
{
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  using integer = order_key_t<T>;
  if (value == T(0)) return 0;
  integer bits;
  memcpy(&bits, &value, sizeof bits);
  constexpr integer all_but_sign = static_cast<integer>(~(std::make_unsigned_t<integer>(1) << (8 * sizeof(T) - 1)));
  return bits >= 0 ? bits : bits ^ all_but_sign;
}

/// The number of a key.
template <class T>
CAMBIUM_HD T from_order_key(order_key_t<T> at)
{
  using integer = order_key_t<T>;
  constexpr integer all_but_sign = static_cast<integer>(~(std::make_unsigned_t<integer>(1) << (8 * sizeof(T) - 1)));
  integer const bits = at >= 0 ? at : at ^ all_but_sign;
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// Minus infinity and a key below every number: constants that a device knows, where it may not call std::numeric_limits.
template <class T>
inline constexpr T minus_infinity = -std::numeric_limits<T>::infinity();
template <class T>
inline constexpr order_key_t<T> key_below_all = std::numeric_limits<order_key_t<T>>::min();

}  // namespace cambium
