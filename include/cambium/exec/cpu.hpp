#pragma once

#include <cambium/core/memory.hpp>

namespace cambium {

/// Vector instruction sets of schedules. The processor's widest one is found at run time.
enum class isa { baseline, avx2, avx512 };

/// Run on cores.
struct cpu {
  using memory = host;
  int threads = 0;            ///< [count] 0: OpenMP's own choice; ignored without OpenMP
  isa vectors = isa::avx512;  ///< upper bound; a lower one gives an older machine's bits
};

template <>
inline constexpr bool reaches_v<cpu, host> = true;

/// Wait until all enqueued work is done. Cores never wait. `what` begins the message if a device fails.
inline void wait_for(cpu const&, char const* what) { static_cast<void>(what); }

/// Read a value in the policy's memory, after all enqueued work is done.
///
/// @asynchrony gpu: waits for where.stream
template <class T>
[[nodiscard]] T read_cell(cpu const&, T const* at)
{
  return *at;
}

}  // namespace cambium
