#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>

#include <algorithm>

namespace cambium {

/// A box of cells: rows top..bottom-1, columns left..right-1.
struct box {
  index_t top = 0;
  index_t left = 0;
  index_t bottom = 0;
  index_t right = 0;

  friend bool operator==(box const&, box const&) = default;
};

/// [cells]
CAMBIUM_HD constexpr index_t area_of(box const& b) { return (b.bottom - b.top) * (b.right - b.left); }

/// The part of a box that lies on a map; top = bottom where nothing does.
inline box clipped(box b, index_t H, index_t W)
{
  b = {std::clamp<index_t>(b.top, 0, H), std::clamp<index_t>(b.left, 0, W), std::clamp<index_t>(b.bottom, 0, H),
       std::clamp<index_t>(b.right, 0, W)};
  if (b.top >= b.bottom || b.left >= b.right) return {};
  return b;
}

}  // namespace cambium
