#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/grid/path.hpp>

namespace cambium {

/// The neighbours of a cell that come before it in raster order. The other neighbours are their mirror images.
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

/// The k-th neighbour after a cell: the order of `before`, backwards, as the cells' edges are listed in a cell_graph. For
/// c4 right and below; for c8 right, below left, below, below right.
CAMBIUM_HD constexpr offset after(neighbourhood const& near, int k)
{
  offset const mirrored = near.before[near.size - 1 - k];
  return {-mirrored.dy, -mirrored.dx};
}

/// Throw unless all neighbours come before the cell in raster order. `who` begins the message.
inline void expects_before(neighbourhood const& near, char const* who)
{
  expects(0 <= near.size && near.size <= 4, who, ": a neighbourhood of ", near.size, " cells");
  for (int i = 0; i < near.size; ++i)
    expects(near.before[i].dy < 0 || (near.before[i].dy == 0 && near.before[i].dx < 0), who, ": neighbour (",
            near.before[i].dy, ",", near.before[i].dx, ") does not come before its cell");
}

}  // namespace cambium
