#pragma once

#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cambium {

/// The end of the run of equal cells that starts at `begin` in a row of W.
template <class T>
index_t run_end(T const* row, index_t begin, index_t W)
{
  T const value = row[begin];
  index_t end = begin + 1;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    constexpr int lanes = 16 / static_cast<int>(sizeof(T));
    for (; end + 2 * lanes <= W; end += 2 * lanes) {
      auto const differs = (lanes_at<lanes>(row + end).v ^ value) | (lanes_at<lanes>(row + end + lanes).v ^ value);
      std::int64_t half[2];
      std::memcpy(half, &differs, 16);
      if ((half[0] | half[1]) != 0) break;
    }
  }
  while (end < W && row[end] == value) ++end;
  return end;
}

/// Call body(y, begin, end, value) for every run of equal cells of every row, in raster order. Label maps have long
/// runs, so work per run is nearly free compared with work per cell.
template <class T, class Body>
void for_each_run(image_view<T> const& map, Body const& body)
{
  index_t const W = map.extent[1];
  for (index_t y = 0; W > 0 && y < map.extent[0]; ++y) {
    T const* const row = &map(y, 0);
    for (index_t x = 0, end; x < W; x = end) {
      end = run_end(row, x, W);
      body(y, x, end, row[x]);
    }
  }
}

}  // namespace cambium
