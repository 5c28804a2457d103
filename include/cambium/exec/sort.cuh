#pragma once
// Sorting on a device. The host's sibling is sort.hpp.

#include <cambium/exec/sort.hpp>
#include <cambium/exec/workspace.cuh>

#include <cub/device/device_radix_sort.cuh>

namespace cambium {

/// As sort_by_key on the host; enqueues and returns.
template <std::unsigned_integral K, class V>
void sort_by_key(gpu const& where, index_t count, K const* keys, V const* values, K* sorted_keys, V* sorted_values,
                 int bits, workspace<gpu>& space)
{
  if (count <= 0) return;
  with_workspace(where, space, "sort_by_key", [&](void* memory, std::size_t& need) {
    return cub::DeviceRadixSort::SortPairs(memory, need, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                           where.stream);
  });
}

}  // namespace cambium
