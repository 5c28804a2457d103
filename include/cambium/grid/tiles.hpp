#pragma once

#include <cambium/core/error.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <vector>

namespace cambium {

/// A part of a map that is computed separately.
struct map_tile {
  box kept;    ///< its part of the result; the kept boxes of all tiles partition the map
  box worked;  ///< kept, and the cells around it
};

/// Divide a map into tiles, row by row.
///
/// @param map      [cells] H, W
/// @param size     [cells] of a kept box, >= 1; the last ones of a row or column may be smaller
/// @param overlap  [cells] by which a worked box exceeds the kept one on each side, within the map, >= 0
[[nodiscard]] inline std::vector<map_tile> tiles_of(extent2 map, index_t size, index_t overlap)
{
  expects(map.height >= 0 && map.width >= 0, "tiles_of: a map of ", map.height, " x ", map.width);
  expects(size >= 1, "tiles_of: tiles of ", size, " cells");
  expects(overlap >= 0, "tiles_of: overlap is ", overlap);
  std::vector<map_tile> out;
  for (index_t top = 0; top < map.height; top += std::min(size, map.height - top))
    for (index_t left = 0; left < map.width; left += std::min(size, map.width - left)) {
      box const kept{top, left, top + std::min(size, map.height - top), left + std::min(size, map.width - left)};
      out.push_back({kept,
                     {std::max<index_t>(0, top - overlap), std::max<index_t>(0, left - overlap),
                      kept.bottom + std::min(overlap, map.height - kept.bottom),
                      kept.right + std::min(overlap, map.width - kept.right)}});
    }
  return out;
}

/// The window of a view's last two axes inside a box.
template <class T, int Rank, class Space>
[[nodiscard]] view<T, Rank, Space> crop(view<T, Rank, Space> v, box const& to)
{
  static_assert(Rank >= 2);
  expects(0 <= to.top && to.top <= to.bottom && to.bottom <= v.extent[Rank - 2] && 0 <= to.left &&
              to.left <= to.right && to.right <= v.extent[Rank - 1],
          "crop: the box ", to.top, ",", to.left, " to ", to.bottom, ",", to.right, " leaves the map ", v);
  if (v.size() > 0) v.data += to.top * v.stride[Rank - 2] + to.left;
  v.extent[Rank - 2] = to.bottom - to.top;
  v.extent[Rank - 1] = to.right - to.left;
  return v;
}

}  // namespace cambium
