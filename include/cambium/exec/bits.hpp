#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>

#include <cstdint>
#include <type_traits>

#if CAMBIUM_X86
#include <emmintrin.h>
#endif

namespace cambium {

/// The number of bits that are set: one instruction on a device and in a body of run_widest.
[[gnu::always_inline]] CAMBIUM_HD inline index_t count_bits(std::uint64_t word)
{
#if defined(__CUDA_ARCH__)
  return __popcll(word);
#else
  return __builtin_popcountll(word);
#endif
}

/// A word whose lowest n bits are set.
/// @param n [count] 0..64
[[gnu::always_inline]] CAMBIUM_HD inline std::uint64_t low_bits(index_t n)
{
  return n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
}

/// Say which of n cells are not 0, as bits: cell i in bit i. The bits from n on are 0.
/// @param cells  n cells; 64 bytes are read 16 at a time
/// @param n      [count] 0..64
template <class T>
[[gnu::always_inline]] inline std::uint64_t nonzero_bits(T const* cells, index_t n)
{
  std::uint64_t set = 0;
#if CAMBIUM_X86
  if constexpr (sizeof(T) == 1)
    if (n == 64) {
      __m128i const zero = _mm_setzero_si128();
      for (int i = 0; i < 4; ++i) {
        __m128i const part = _mm_loadu_si128(reinterpret_cast<__m128i const*>(cells + 16 * i));
        auto const clear = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, zero)));
        set |= std::uint64_t{~clear & 0xFFFFu} << (16 * i);
      }
      return set;
    }
#endif
  for (index_t i = 0; i < n; ++i) set |= std::uint64_t{cells[i] != T{}} << i;
  return set;
}

#if CAMBIUM_X86
/// Lanes of all bits where 16 bytes of cells equal others, or, without others, a value.
template <class T>
[[gnu::always_inline]] inline __m128i equal_lanes(T const* cells, T const* others, T value)
{
  __m128i const a = _mm_loadu_si128(reinterpret_cast<__m128i const*>(cells));
  __m128i b;
  if (others != nullptr)
    b = _mm_loadu_si128(reinterpret_cast<__m128i const*>(others));
  else if constexpr (sizeof(T) == 1)
    b = _mm_set1_epi8(static_cast<char>(value));
  else if constexpr (sizeof(T) == 2)
    b = _mm_set1_epi16(static_cast<short>(value));
  else
    b = _mm_set1_epi32(static_cast<int>(value));
  if constexpr (sizeof(T) == 1)
    return _mm_cmpeq_epi8(a, b);
  else if constexpr (sizeof(T) == 2)
    return _mm_cmpeq_epi16(a, b);
  else
    return _mm_cmpeq_epi32(a, b);
}
#endif

/// Say which of n cells equal others, or, without others, a value, as bits: cell i in bit i. The bits from n on are 0.
/// @param cells   n cells
/// @param others  n cells, for example the same row one cell on; or null
/// @param value   what cells are compared with without others
/// @param n       [count] 0..64
template <class T>
[[gnu::always_inline]] inline std::uint64_t equal_bits(T const* cells, T const* others, T value, index_t n)
{
  std::uint64_t set = 0;
#if CAMBIUM_X86
  if constexpr (std::is_integral_v<T> && sizeof(T) <= 4)
    if (n == 64) {
      constexpr int lanes = 16 / static_cast<int>(sizeof(T));
      for (int i = 0; i < 64; i += 16) {
        __m128i equal = equal_lanes(cells + i, others ? others + i : nullptr, value);
        if constexpr (sizeof(T) >= 2) {
          __m128i part[4] = {equal, equal, equal, equal};
          for (int j = 1; j < static_cast<int>(sizeof(T)); ++j)
            part[j] = equal_lanes(cells + i + j * lanes, others ? others + i + j * lanes : nullptr, value);
          if constexpr (sizeof(T) == 2)
            equal = _mm_packs_epi16(part[0], part[1]);
          else
            equal = _mm_packs_epi16(_mm_packs_epi32(part[0], part[1]), _mm_packs_epi32(part[2], part[3]));
        }
        set |= std::uint64_t{static_cast<unsigned>(_mm_movemask_epi8(equal)) & 0xFFFFu} << i;
      }
      return set;
    }
#endif
  for (index_t i = 0; i < n; ++i) set |= std::uint64_t{cells[i] == (others ? others[i] : value)} << i;
  return set;
}

}  // namespace cambium
