#pragma once
// Sorting, on cores. exec/gpu.cuh has the gpu's.

#include <cambium/core/index.hpp>
#include <cambium/core/memory.hpp>
#include <cambium/exec/workspace.hpp>

#include <algorithm>
#include <concepts>
#include <numeric>
#include <vector>

namespace cambium {

/// Sort pairs by key, ascending; equal keys keep their order.
///
/// @param bits  keys are below 2^bits; a device is faster with fewer bits
/// @pre         the four ranges of `count` share no memory
/// @complexity  cores: O(count log count), Theta(count) where there are more pairs than possible keys; a device:
///              Theta(count * bits / 8)
template <class P, std::unsigned_integral K, class V>
  requires std::same_as<typename P::memory, host>
void sort_by_key(P const&, index_t count, K const* keys, V const* values, K* sorted_keys, V* sorted_values, int bits,
                 workspace<P>&)
{
  if (bits < 16 && index_t{1} << bits <= count) {
    std::size_t const most = (std::size_t{1} << bits) - 1;
    std::vector<index_t> next(most + 2, 0);  // of each key: how many smaller ones there are
    // Further bits of a key do not count, so that it cannot leave the table.
    auto const low = [&](index_t i) { return static_cast<std::size_t>(keys[i]) & most; };
    for (index_t i = 0; i < count; ++i) ++next[low(i) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    for (index_t i = 0; i < count; ++i) {
      index_t const at = next[low(i)]++;
      sorted_keys[at] = keys[i], sorted_values[at] = values[i];
    }
    return;
  }
  std::vector<index_t> order(static_cast<std::size_t>(count < 0 ? 0 : count));
  std::iota(order.begin(), order.end(), index_t{0});
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) { return keys[a] < keys[b]; });
  for (index_t i = 0; i < count; ++i) {
    sorted_keys[i] = keys[order[static_cast<std::size_t>(i)]];
    sorted_values[i] = values[order[static_cast<std::size_t>(i)]];
  }
}

}  // namespace cambium
