#pragma once

#include <cambium/core/error.hpp>
#include <cambium/grid/path.hpp>

namespace cambium {

/// The edges of one cell, as offsets. Only offsets of the half plane `(dy,dx) > (0,0)` are listed, so every undirected
/// edge of the grid has exactly one owner. The capacity is fixed, because kernels receive a stencil by value.
struct stencil {
  static constexpr int capacity = 444;  ///< as many as fit into the 4 KB of a kernel's arguments
  static constexpr int largest_radius = path::longest;

  int size = 0;
  offset at[capacity]{};

  /// All offsets strictly inside a disc, in the original's order: by the number of cells on their path, then by row and
  /// column.
  ///
  /// @param radius  [cells] 1..17. 1 gives no offset, 2 gives 4, 5 gives 34, 10 gives 152, 17 gives 444
  /// @throws precondition_error outside that range
  /// @source PathIndex, misc/indexing.py of jiwoon-ahn/irn (`x*x + y*y < r*r`, strict)
  static stencil disc(int radius)
  {
    expects(1 <= radius && radius <= largest_radius, "stencil::disc: radius ", radius, " is not in 1..", largest_radius,
            "; a stencil holds ", capacity, " offsets");
    stencil found, s;
    int length[capacity]{};
    for (int dy = 0; dy < radius; ++dy)
      for (int dx = dy == 0 ? 1 : 1 - radius; dx < radius; ++dx)
        if (dy * dy + dx * dx < radius * radius) {
          length[found.size] = path::to({dy, dx}).size;
          found.at[found.size++] = {dy, dx};
        }
    for (int cells = 1; cells <= path::capacity; ++cells)
      for (int k = 0; k < found.size; ++k)
        if (length[k] == cells) s.at[s.size++] = found.at[k];
    return s;
  }

  /// The largest extent of an edge along either axis. [cells]
  constexpr int reach() const
  {
    int most = 0;
    for (int k = 0; k < size; ++k) {
      int const across = at[k].dx < 0 ? -at[k].dx : at[k].dx;
      if (at[k].dy > most) most = at[k].dy;
      if (across > most) most = across;
    }
    return most;
  }

  friend constexpr bool operator==(stencil const& a, stencil const& b)
  {
    if (a.size != b.size) return false;
    for (int k = 0; k < a.size; ++k)
      if (!(a.at[k] == b.at[k])) return false;
    return true;
  }
};

/// Throw unless every offset lies in the half plane that owns edges. `who` begins the message.
inline void expects_half_plane(stencil const& edges, char const* who)
{
  expects(0 <= edges.size && edges.size <= stencil::capacity, who, ": a stencil of ", edges.size, " offsets");
  for (int k = 0; k < edges.size; ++k)
    expects(edges.at[k].dy > 0 || (edges.at[k].dy == 0 && edges.at[k].dx > 0), who, ": offset ", k,
            " of the stencil is (", edges.at[k].dy, ",", edges.at[k].dx, "), outside the half plane (dy,dx) > (0,0)");
}

}  // namespace cambium
