#pragma once

#include <cambium/grid/view.hpp>

namespace cambium {

/// Calls body(y, begin, end, value) for every run of equal cells of every row, in raster order.
/// Label maps have long runs: what is done once a run instead of once a cell is nearly free.
template <class T, class Body>
void for_each_run(image_view<T> const& map, Body const& body)
{
  index_t const W = map.extent[1];
  for (index_t y = 0; W > 0 && y < map.extent[0]; ++y) {
    T const* const row = &map(y, 0);
    for (index_t x = 0, end; x < W; x = end) {
      T const value = row[x];
      for (end = x + 1; end < W && row[end] == value;) ++end;
      body(y, x, end, value);
    }
  }
}

}  // namespace cambium
