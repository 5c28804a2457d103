#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>

#include <cstdint>

#if CAMBIUM_X86
#include <emmintrin.h>
#endif

namespace cambium {

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

}  // namespace cambium
