#pragma once
// Union-find over the cells of a stack of maps, as rules: a device finds components with it.

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/neighbourhood.hpp>

namespace cambium {

// A cell's parent is a cell of its set that comes before it, or itself: then it is the set's first. -1: in no set.
// Parents only become smaller. So every way ends while other threads write, and the first cell of a set does not
// depend on the order of the threads.

/// The first cell of the set of i.
template <class Index>
CAMBIUM_HD Index first_of_set(Index const* parent, Index i)
{
  for (Index next = atomic_read(parent + i); next != i; next = atomic_read(parent + i)) i = next;
  return i;
}

/// Joins the sets of two cells, while others join theirs.
template <class Index>
CAMBIUM_HD void join_sets(Index* parent, Index a, Index b)
{
  a = first_of_set(parent, a);
  b = first_of_set(parent, b);
  while (a != b) {
    Index const late = a < b ? b : a, early = a < b ? a : b;
    Index const seen = atomic_min(parent + late, early);
    if (seen == late) return;
    a = seen, b = early;  // it was no longer the first: what it was joined with meanwhile belongs to both
  }
}

/// Which neighbours that come before a cell belong to its set. A Relation has
///
///   inside(b, y, x)            is the cell of map b in a set at all?
///   join(b, y, x, ny, nx)      do two neighbours, both inside, belong together? Symmetric
template <class Relation>
struct joined_neighbours {
  Relation relation;
  neighbourhood near;  ///< with the edge upwards first, if it is there: see ordered()
  index_t height;
  index_t width;

  /// The same neighbours, that above first.
  static neighbourhood ordered(neighbourhood near)
  {
    for (int i = 1; i < near.size; ++i)
      if (near.before[i] == offset{-1, 0}) {
        for (int k = i; k > 0; --k) near.before[k] = near.before[k - 1];
        near.before[0] = {-1, 0};
      }
    return near;
  }

  CAMBIUM_HD bool exists(index_t y, index_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }

  /// Is the neighbour there, and joined? (y,x) is inside.
  CAMBIUM_HD bool meets(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return exists(ny, nx) && relation.inside(b, ny, nx) && relation.join(b, y, x, ny, nx);
  }

  /// Do edges that are followed anyway lead to a joined neighbour too? Edges upwards always are; an edge to the left is
  /// implied by the three others of the square above it, an edge over a corner by two edges around it.
  CAMBIUM_HD bool implied(index_t b, index_t y, index_t x, offset to) const
  {
    if (!(near.before[0] == offset{-1, 0}) || y == 0) return false;
    if (to == offset{0, -1})
      return meets(b, y, x, y - 1, x) && meets(b, y, x - 1, y - 1, x - 1) && meets(b, y - 1, x, y - 1, x - 1);
    if (to.dy != -1 || to.dx * to.dx != 1 || !has_left()) return false;
    index_t const side = x + to.dx;
    return (meets(b, y, x, y - 1, x) && meets(b, y - 1, x, y - 1, side)) ||
           (meets(b, y, x, y, side) && meets(b, y, side, y - 1, side));
  }

 private:
  CAMBIUM_HD bool has_left() const
  {
    bool found = false;
    for (int i = 0; i < near.size; ++i) found = found || near.before[i] == offset{0, -1};
    return found;
  }
};

namespace rule {

/// First rule: a cell's parent is the first neighbour it is joined with.
template <class Relation, class Index>
struct link_first_neighbour {
  joined_neighbours<Relation> neighbours;
  Index* parent;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    auto const& n = neighbours;
    index_t const here = (b * n.height + y) * n.width + x;
    index_t to = here;
    if (!n.relation.inside(b, y, x))
      to = -1;
    else
      for (int i = 0; i < n.near.size && to == here; ++i) {
        offset const o = n.near.before[i];
        if (n.meets(b, y, x, y + o.dy, x + o.dx)) to = here + o.dy * n.width + o.dx;
      }
    parent[here] = static_cast<Index>(to);
  }
};

/// Second and last rule: a cell's parent is the first of its set.
template <class Index>
struct shorten_way {
  Index* parent;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (atomic_read(parent + i) < 0) return;
    Index const first = first_of_set(parent, static_cast<Index>(i));
    if (first != i) atomic_min(parent + i, first);
  }
};

/// Third rule: a cell is joined with its other neighbours.
template <class Relation, class Index>
struct join_other_neighbours {
  joined_neighbours<Relation> neighbours;
  Index* parent;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    auto const& n = neighbours;
    index_t const here = (b * n.height + y) * n.width + x;
    if (!n.relation.inside(b, y, x)) return;
    bool linked = false;
    for (int i = 0; i < n.near.size; ++i) {
      offset const o = n.near.before[i];
      if (!n.meets(b, y, x, y + o.dy, x + o.dx)) continue;
      if (linked && !n.implied(b, y, x, o))
        join_sets(parent, static_cast<Index>(here), static_cast<Index>(here + o.dy * n.width + o.dx));
      linked = true;
    }
  }
};

}  // namespace rule

/// Find the sets of cells of [B,H,W] that belong together; maps do not meet.
///
/// @param near    neighbours that come before a cell
/// @param parent  [B*H*W] becomes the first cell of each cell's set, -1 outside
/// @determinism   exact
/// @asynchrony    gpu: enqueues and returns
/// @source        Komura 2015 and Playne & Hawick 2018: a first link without atomics, ways shortened, the other links
///                with atomic minima where they are not implied, ways shortened
template <class P, class Relation, class Index>
void find_sets(P const& where, index_t const (&extent)[3], neighbourhood const& near, Relation const& relation,
               Index* parent)
{
  using neighbours = joined_neighbours<Relation>;
  neighbours const all{relation, neighbours::ordered(near), extent[1], extent[2]};
  index_t const cells = extent[0] * extent[1] * extent[2];
  for_each_cell(where, extent, rule::link_first_neighbour<Relation, Index>{all, parent});
  if (near.size < 1) return;
  for_each_index(where, cells, rule::shorten_way<Index>{parent});
  if (near.size < 2) return;
  for_each_cell(where, extent, rule::join_other_neighbours<Relation, Index>{all, parent});
  for_each_index(where, cells, rule::shorten_way<Index>{parent});
}

}  // namespace cambium
