#pragma once
// Products with the bits of another program, on host and device.

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cambium {

/// a * b, rounded before a sum uses it. No compiler, nvcc included, makes a fused multiply-add of it.
template <class T>
[[gnu::always_inline]] CAMBIUM_HD inline T rounded_product(T a, T b)
{
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4)
    return __fmul_rn(a, b);
  else
    return __dmul_rn(a, b);
#else
  T product = a * b;
  no_contract(product);
  return product;
#endif
}

/// A float whose products are rounded before anything is added to them.
struct rounded_float {
  float value;

  CAMBIUM_HD rounded_float(float v) : value(v) {}
  CAMBIUM_HD friend rounded_float operator+(rounded_float a, rounded_float b) { return a.value + b.value; }
  CAMBIUM_HD friend rounded_float operator-(rounded_float a, rounded_float b) { return a.value - b.value; }
  CAMBIUM_HD friend rounded_float operator*(rounded_float a, rounded_float b)
  {
    return rounded_product(a.value, b.value);
  }
};

/// p becomes p * 2^k, where k is in the low bits of n.
struct raise_rounded {
  CAMBIUM_HD void operator()(rounded_float& p, rounded_float n) const
  {
    std::uint32_t power, shifted;
    memcpy(&power, &p.value, sizeof power);
    memcpy(&shifted, &n.value, sizeof shifted);
    power += shifted << 23;
    memcpy(&p.value, &power, sizeof power);
  }
};

/// e^x as a lane of exponential() in simd.hpp has it on a processor without fused multiply-add, on either side. NaN
/// stays.
CAMBIUM_HD inline float exponential(float x)
{
  rounded_float inside(x < -87.f ? -87.f : x > 88.f ? 88.f : x);
  exponential_polynomial(inside, raise_rounded{});
  return inside.value;
}

}  // namespace cambium
