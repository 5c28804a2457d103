#pragma once

#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cambium {

/// A box of cells: rows top..bottom-1, columns left..right-1.
struct box {
  index_t top = 0;
  index_t left = 0;
  index_t bottom = 0;
  index_t right = 0;

  friend bool operator==(box const&, box const&) = default;
};

/// The part of a box that lies on a map; top = bottom where nothing does.
inline box clipped(box b, index_t H, index_t W)
{
  b = {std::clamp<index_t>(b.top, 0, H), std::clamp<index_t>(b.left, 0, W), std::clamp<index_t>(b.bottom, 0, H),
       std::clamp<index_t>(b.right, 0, W)};
  if (b.top >= b.bottom || b.left >= b.right) return {};
  return b;
}

/// One object that was found.
struct instance {
  std::int32_t category = 0;  ///< whatever the caller numbers classes by
  double score = 0;
  index_t area = 0;  ///< [cells]
  box bounds;
};

/// Objects that share no cell.
struct instances {
  grid<std::int32_t, 2> label;  ///< [H,W] 0 background, i+1 where found[i] is
  std::vector<instance> found;
};

}  // namespace cambium
