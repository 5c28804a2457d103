#pragma once
// The sizes of the processor's caches, found at run time.

#include <cambium/core/index.hpp>

#include <algorithm>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace cambium {

/// A size that the system told [bytes], within limits; `usual` if it told none.
inline index_t cache_bytes(long told, index_t least, index_t most, index_t usual)
{
  return told > 0 ? std::clamp<index_t>(told, least, most) : usual;
}

/// [bytes] of the cache that a core has to itself: the second level, or a usual size if the system does not tell.
inline index_t own_cache_bytes()
{
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static long const told = sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
  constexpr long told = 0;
#endif
  return cache_bytes(told, 128 << 10, 8 << 20, 512 << 10);
}

/// [bytes] of the cache that all cores share: the third level, or a usual size if the system does not tell. At most 32
/// MB, because a virtual machine tells the size of the whole processor's.
inline index_t shared_cache_bytes()
{
#if defined(_SC_LEVEL3_CACHE_SIZE)
  static long const told = sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
  constexpr long told = 0;
#endif
  return cache_bytes(told, 1 << 20, 32 << 20, 8 << 20);
}

}  // namespace cambium
