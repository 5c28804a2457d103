#pragma once
// The sizes of the processor's caches, found at run time.

#include <cambium/core/index.hpp>

#include <algorithm>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace cambium {

/// [bytes] of the cache that a core has to itself: the second level, or a usual size if the system does not tell.
inline index_t own_cache_bytes()
{
  index_t found = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static long const told = sysconf(_SC_LEVEL2_CACHE_SIZE);
  found = told;
#endif
  return found > 0 ? std::clamp<index_t>(found, 128 << 10, 8 << 20) : 512 << 10;
}

/// [bytes] of the cache that all cores share: the third level, or a usual size if the system does not tell. At most 32
/// MB, because a virtual machine tells the size of the whole processor's.
inline index_t shared_cache_bytes()
{
  index_t found = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  static long const told = sysconf(_SC_LEVEL3_CACHE_SIZE);
  found = told;
#endif
  return found > 0 ? std::clamp<index_t>(found, 1 << 20, 32 << 20) : 8 << 20;
}

}  // namespace cambium
