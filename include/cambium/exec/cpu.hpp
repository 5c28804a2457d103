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

/// Returns once the work enqueued before has passed: at once on cores. `what` begins the message of a device's failure.
inline void wait_for(cpu const&, char const* what) { static_cast<void>(what); }

/// The value at `at`, in the policy's memory, once the work enqueued before has passed.
///
/// @asynchrony gpu: waits for where.stream
template <class T>
[[nodiscard]] T read_cell(cpu const&, T const* at)
{
  return *at;
}

}  // namespace cambium
