#pragma once
// Running sums of integers on a device. The host's sibling is scan.hpp.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/workspace.cuh>

#include <cub/device/device_scan.cuh>

namespace cambium {

namespace kernel {
template <class U>
struct sum_as {
  CAMBIUM_HD U operator()(U a, U b) const { return a + b; }
};
}  // namespace kernel

/// As exclusive_scan on the host; enqueues and returns.
template <std::integral T, std::integral U>
void exclusive_scan(gpu const& where, index_t count, T const* in, U* out, workspace<gpu>& space)
{
  if (count <= 0) return;
  with_workspace(where, space, "exclusive_scan", [&](void* memory, std::size_t& bytes) {
    return cub::DeviceScan::ExclusiveScan(memory, bytes, in, out, kernel::sum_as<U>{}, U(0), count, where.stream);
  });
}

}  // namespace cambium
