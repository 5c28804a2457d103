#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/memory.hpp>

namespace cambium {

/// Vector instruction sets of schedules. The processor's widest one is found at run time.
enum class isa { baseline, avx2, avx512 };

/// Run on cores.
struct cpu {
  using memory = host;
  int threads = 0;            ///< [count] 0: OMP_NUM_THREADS, or a thread for each core that the process may use
  isa vectors = isa::avx512;  ///< upper bound; a lower one gives an older machine's bits
  bool (*stop)() = nullptr;   ///< asked by any thread of a call, between loops and steps; true ends it by `stopped`
};

/// Whether the policy's `stop` says so.
inline bool wants_to_stop(cpu const& where) { return where.stop && where.stop(); }

/// Throw `stopped` unless the call may go on. Its outputs are then unspecified.
inline void expects_no_stop(bool wanted)
{
  if (wanted) throw stopped("the caller asked to stop");
}
inline void ask_to_stop(cpu const& where) { expects_no_stop(wants_to_stop(where)); }

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
