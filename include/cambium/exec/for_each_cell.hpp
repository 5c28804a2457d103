#pragma once
// The CPU loops over cells. Their GPU siblings are in for_each_cell.cuh.

#include <cambium/core/index.hpp>
#include <cambium/exec/parallel.hpp>

namespace cambium {

/// Call rule(c, y, x) once for every cell of [C,H,W], in no promised order.
/// The rule must not throw and must write no cell but its own.
template <class Rule>
void for_each_cell(cpu const& where, index_t const (&extent)[3], Rule const& rule)
{
  index_t const channels = extent[0], height = extent[1], width = extent[2];
  if (channels <= 0 || height <= 0 || width <= 0) return;
  for_each_share(where, channels * height, 1, [&](index_t first, index_t last) {
    for (index_t row = first; row < last; ++row)
      for (index_t x = 0; x < width; ++x) rule(row / height, row % height, x);
  });
}

/// Call rule(i) once for each of 0..count-1, in no promised order. As for_each_cell.
template <class Rule>
void for_each_index(cpu const& where, index_t count, Rule const& rule)
{
  for_each_share(where, count, 4096, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) rule(i);
  });
}

/// Does P have a loop for Rule in this translation unit?
template <class P, class Rule>
concept runs =
    requires(P const& where, index_t const (&extent)[3], Rule const& rule) { for_each_cell(where, extent, rule); };

}  // namespace cambium
