#pragma once
// Products with the bits of another program, on host and device.

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>

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

}  // namespace cambium
