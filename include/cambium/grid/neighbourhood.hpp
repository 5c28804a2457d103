#pragma once

#include <cambium/grid/path.hpp>

namespace cambium {

/// The neighbours of a cell that come before it in raster order. The others are their mirror images.
struct neighbourhood {
  int size = 0;
  offset before[4]{};

  friend constexpr bool operator==(neighbourhood const&, neighbourhood const&) = default;
};

// clang-format off
/// Edge neighbours.
inline constexpr neighbourhood c4{2, {
                                                  {-1, 0},
                                         {0, -1}, /*here*/
                                     }};

/// Edge and corner neighbours.
inline constexpr neighbourhood c8{4, {
                                         {-1, -1}, {-1, 0}, {-1, 1},
                                         {0, -1},  /*here*/
                                     }};
// clang-format on

}  // namespace cambium
