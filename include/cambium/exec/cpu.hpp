#pragma once

#include <cambium/core/memory.hpp>

namespace cambium {

/// Vector instruction sets a schedule may use. The widest one the processor has is found at run time.
enum class isa { baseline, avx2, avx512 };

/// Run on the calling process's cores.
struct cpu {
  using memory = host;
  int threads = 0;            ///< [count] 0 = what OpenMP would pick; ignored without OpenMP
  isa vectors = isa::avx512;  ///< upper bound; lower it to get the bits of an older machine
};

template <>
inline constexpr bool reaches_v<cpu, host> = true;

}  // namespace cambium
