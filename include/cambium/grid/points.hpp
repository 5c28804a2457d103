#pragma once

#include <cstdint>
#include <vector>

namespace cambium {

/// A place with a class: a peak of an activation, the centre of an object, or someone's click.
/// A pixel's coordinates are its indices, without half a pixel added.
struct point {
  double y = 0;               ///< [pixels]
  double x = 0;               ///< [pixels]
  std::int32_t category = 0;  ///< from 0: the channel of a class, without the background
  double score = 1;           ///< 1 for what a person said

  friend bool operator==(point const&, point const&) = default;
};

using points = std::vector<point>;

}  // namespace cambium
