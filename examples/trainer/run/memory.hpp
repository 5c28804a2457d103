#pragma once

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

namespace trainer {

/// Let the process keep the memory that it frees. A network frees and takes the same large tensors in every step. By
/// default the C library gives each back to the system, which clears its pages again: a third of the time of `cams`. It
/// has an effect with the GNU C library only. Call it before the first tensor is made.
inline void keep_freed_memory()
{
#if defined(__GLIBC__) && defined(M_MMAP_MAX)
  mallopt(M_MMAP_MAX, 0);                // large blocks come from the heap
  mallopt(M_TRIM_THRESHOLD, -1);         // the heap does not shrink
  mallopt(M_TOP_PAD, 64 * 1024 * 1024);  // [bytes] by which it grows
#endif
}

}  // namespace trainer
