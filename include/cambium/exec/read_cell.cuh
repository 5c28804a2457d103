#pragma once
// One number back on the host.

#include <cambium/exec/cpu.hpp>
#include <cambium/exec/gpu.hpp>

#include <type_traits>

namespace cambium {

/// What is at `at`, in the policy's memory, once the work enqueued before has passed.
///
/// @asynchrony gpu: waits for where.stream
template <class T>
[[nodiscard]] T read_cell(gpu const& where, T const* at)
{
  static_assert(std::is_trivially_copyable_v<T>);
  T out;
  throw_if_failed(cudaMemcpyAsync(&out, at, sizeof(T), cudaMemcpyDeviceToHost, where.stream), "read_cell");
  throw_if_failed(cudaStreamSynchronize(where.stream), "read_cell");
  return out;
}
template <class T>
[[nodiscard]] T read_cell(cpu const&, T const* at)
{
  return *at;
}

}  // namespace cambium
