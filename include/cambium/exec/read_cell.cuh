#pragma once
// Waiting for a device, and one number back on the host.

#include <cambium/exec/cpu.hpp>
#include <cambium/exec/gpu.hpp>

#include <type_traits>

namespace cambium {

/// Returns once the work enqueued before has passed. `what` begins the message of a failure.
inline void wait_for(gpu const& where, char const* what) { throw_if_failed(cudaStreamSynchronize(where.stream), what); }
inline void wait_for(cpu const&, char const*) {}

/// What is at `at`, in the policy's memory, once the work enqueued before has passed.
///
/// @asynchrony gpu: waits for where.stream
template <class T>
[[nodiscard]] T read_cell(gpu const& where, T const* at)
{
  static_assert(std::is_trivially_copyable_v<T>);
  T out;
  throw_if_failed(cudaMemcpyAsync(&out, at, sizeof(T), cudaMemcpyDeviceToHost, where.stream), "read_cell");
  wait_for(where, "read_cell");
  return out;
}
template <class T>
[[nodiscard]] T read_cell(cpu const&, T const* at)
{
  return *at;
}

}  // namespace cambium
