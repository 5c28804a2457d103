#pragma once
// The scene of tests that label one small image by several methods.

#include <cambium/core/index.hpp>

#include <cstdint>

namespace programs {

constexpr cambium::index_t H = 60, W = 90;

/// Two objects of class 3 side by side, one of class 1 below.
inline std::int32_t object_at(cambium::index_t y, cambium::index_t x)
{
  if (y >= 5 && y < 25 && x >= 5 && x < 35) return 1;
  if (y >= 5 && y < 25 && x >= 50 && x < 85) return 2;
  return y >= 35 && y < 55 && x >= 20 && x < 60 ? 3 : 0;
}
inline std::int32_t class_at(cambium::index_t y, cambium::index_t x)
{
  auto const o = object_at(y, x);
  return o == 0 ? 0 : o == 3 ? 1 : 3;
}

}  // namespace programs
