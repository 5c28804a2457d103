#pragma once
// Atomic operations for rules that write to shared cells: the same call on cores and on a device. The memory order is
// relaxed. Results must not depend on the order of writers, so only integers can be summed.

#include <cambium/core/config.hpp>

#include <concepts>
#include <type_traits>

#if !defined(__CUDA_ARCH__)
#include <atomic>
#endif

namespace cambium {

/// *at = min(*at, value). @return the old value
template <std::integral T>
CAMBIUM_HD T atomic_min(T* at, T value)
{
#if defined(__CUDA_ARCH__)
  using word =
      std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>, T>;
  static_assert(sizeof(T) >= 4);
  return static_cast<T>(atomicMin(reinterpret_cast<word*>(at), static_cast<word>(value)));
#else
  std::atomic_ref<T> cell(*at);
  T seen = cell.load(std::memory_order_relaxed);
  while (value < seen && !cell.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
  return seen;
#endif
}

/// *at = max(*at, value). @return the old value
template <std::integral T>
CAMBIUM_HD T atomic_max(T* at, T value)
{
#if defined(__CUDA_ARCH__)
  using word =
      std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>, T>;
  static_assert(sizeof(T) >= 4);
  return static_cast<T>(atomicMax(reinterpret_cast<word*>(at), static_cast<word>(value)));
#else
  std::atomic_ref<T> cell(*at);
  T seen = cell.load(std::memory_order_relaxed);
  while (value > seen && !cell.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
  return seen;
#endif
}

/// *at = max(*at, value) for non-negative numbers: their bits have the numbers' order.
CAMBIUM_HD inline void raise_to(float* at, float value)
{
#if defined(__CUDA_ARCH__)
  atomicMax(reinterpret_cast<int*>(at), __float_as_int(value));
#else
  std::atomic_ref<float> cell(*at);
  float seen = cell.load(std::memory_order_relaxed);
  while (value > seen && !cell.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
#endif
}

/// *at += value. @return the old value
template <std::integral T>
CAMBIUM_HD T atomic_add(T* at, T value)
{
#if defined(__CUDA_ARCH__)
  using word = std::conditional_t<sizeof(T) == 8, unsigned long long, T>;
  static_assert(sizeof(T) >= 4);
  return static_cast<T>(atomicAdd(reinterpret_cast<word*>(at), static_cast<word>(value)));
#else
  return std::atomic_ref<T>(*at).fetch_add(value, std::memory_order_relaxed);
#endif
}

/// Read *at while other threads may write it.
template <std::integral T>
CAMBIUM_HD T atomic_read(T const* at)
{
#if defined(__CUDA_ARCH__)
  return *static_cast<T const volatile*>(at);
#else
  return std::atomic_ref<T>(*const_cast<T*>(at)).load(std::memory_order_relaxed);
#endif
}

/// Who writes on the cells of a rule at a time. One thread of the cpu needs no lock.
enum class writers { many, one };

/// *at += value; min_into and max_into: *at becomes the smaller or larger of *at and value.
template <writers Of, std::integral T>
CAMBIUM_HD void add_into(T* at, T value)
{
  if constexpr (Of == writers::one)
    *at = static_cast<T>(*at + value);
  else
    atomic_add(at, value);
}
template <writers Of, std::integral T>
CAMBIUM_HD void min_into(T* at, T value)
{
  if constexpr (Of == writers::one)
    *at = value < *at ? value : *at;
  else if (value < atomic_read(at))
    atomic_min(at, value);
}
template <writers Of, std::integral T>
CAMBIUM_HD void max_into(T* at, T value)
{
  if constexpr (Of == writers::one)
    *at = *at < value ? value : *at;
  else if (value > atomic_read(at))
    atomic_max(at, value);
}

}  // namespace cambium
