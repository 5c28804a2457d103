#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/nonzero.hpp>
#include <cambium/grid/union_find.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

/// How many maxima a plateau of equal cells is.
enum class plateau {
  every_cell,  ///< as many as it has cells: the original of BESTIE
  one_cell,    ///< one, at the cell nearest to the mean of its cells, the first of several in raster order
};

__extension__ typedef __int128 wide_integer;

/// How many cells a plateau has, and the sums of their rows and of their columns.
struct plateau_sums {
  index_t cells = 0, y = 0, x = 0;

  /// How far a cell is from the mean, in whole numbers, so that equal distances are equal:
  ///
  ///   n |p - mean|^2 = n p.p - 2 p.sum + sum.sum / n,   here without the last term, which is the same for every cell p
  ///
  /// @pre cells * the larger extent of the map < 2^63: then the sums fit 64 bits and the distance 128
  CAMBIUM_HD wide_integer distance(index_t at_y, index_t at_x) const
  {
    wide_integer const py = at_y, px = at_x;
    return cells * (py * py + px * px) - 2 * (py * y + px * x);
  }
};

/// A plateau whose cells meet in any order. The rounds below, one after the other, find its cell nearest to the mean.
struct plateau_tally {
  plateau_sums of{};
  std::int64_t high = std::numeric_limits<std::int64_t>::max();   ///< upper half of the least distance
  std::uint64_t low = std::numeric_limits<std::uint64_t>::max();  ///< least lower half, of those with that upper half
  index_t at = std::numeric_limits<index_t>::max();               ///< the first cell at the least distance

  CAMBIUM_HD std::int64_t high_of(index_t y, index_t x) const
  {
    return static_cast<std::int64_t>(of.distance(y, x) >> 64);
  }
  CAMBIUM_HD std::uint64_t low_of(index_t y, index_t x) const { return static_cast<std::uint64_t>(of.distance(y, x)); }
};

namespace rule {

struct sum_cells {
  CAMBIUM_HD void operator()(plateau_tally& p, index_t y, index_t x, index_t) const
  {
    atomic_add(&p.of.cells, index_t{1}), atomic_add(&p.of.y, y), atomic_add(&p.of.x, x);
  }
};
struct least_upper_half {
  CAMBIUM_HD void operator()(plateau_tally& p, index_t y, index_t x, index_t) const
  {
    atomic_min(&p.high, p.high_of(y, x));
  }
};
struct least_lower_half {
  CAMBIUM_HD void operator()(plateau_tally& p, index_t y, index_t x, index_t) const
  {
    if (p.high_of(y, x) == p.high) atomic_min(&p.low, p.low_of(y, x));
  }
};
struct first_nearest_cell {
  CAMBIUM_HD void operator()(plateau_tally& p, index_t y, index_t x, index_t cell) const
  {
    if (p.high_of(y, x) == p.high && p.low_of(y, x) == p.low) atomic_min(&p.at, cell);
  }
};

/// The marked cells of [C,H,W] as a list; those of one plateau become one set of entries.
template <class T, class S, class N>
struct plateau_list {
  stack_view<T const, S> maps;
  image_view<std::int32_t const, S> region;  ///< or null
  N const* list;                             ///< numbers of cells, ascending, then -1
  N* parent;                                 ///< entries, see union_find.hpp
  plateau_tally* tally;                      ///< of the first entry of each plateau

  /// Are two cells of one map equal in value and region?
  CAMBIUM_HD bool equal(index_t c, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return maps(c, y, x) == maps(c, ny, nx) && (region.data == nullptr || region(y, x) == region(ny, nx));
  }
  /// The first entry before k whose cell is not before `cell`. There are at most `gap` entries between the two cells.
  CAMBIUM_HD index_t entry_from(index_t cell, index_t k, index_t gap) const
  {
    index_t low = k > gap ? k - gap : 0, high = k;
    while (low < high) {
      index_t const half = (low + high) / 2;
      if (list[half] < cell)
        low = half + 1;
      else
        high = half;
    }
    return low;
  }
};

template <class T, class S, class N>
struct begin_plateau {
  plateau_list<T, S, N> all;
  CAMBIUM_HD void operator()(index_t k) const { all.parent[k] = static_cast<N>(k), all.tally[k] = {}; }
};

/// Join a cell with the equal neighbours before it: those of the row above lie side by side on the list.
template <class T, class S, class N>
struct join_plateau {
  plateau_list<T, S, N> all;
  CAMBIUM_HD void operator()(index_t k) const
  {
    index_t const i = all.list[k], H = all.maps.extent[1], W = all.maps.extent[2];
    if (i < 0) return;
    index_t const x = i % W, y = i / W % H, c = i / W / H;
    if (x > 0 && k > 0 && all.list[k - 1] == i - 1 && all.equal(c, y, x, y, x - 1)) join(k, k - 1);
    if (y == 0) return;
    index_t const last = x + 1 < W ? i - W + 1 : i - W, first = x > 0 ? i - W - 1 : i - W;
    for (index_t e = all.entry_from(first, k, i - first); e < k && all.list[e] <= last; ++e)
      if (all.equal(c, y, x, y - 1, all.list[e] % W)) join(k, e);
  }

 private:
  CAMBIUM_HD void join(index_t a, index_t b) const { join_sets(all.parent, static_cast<N>(a), static_cast<N>(b)); }
};

template <class Round, class T, class S, class N>
struct meet_plateau {
  plateau_list<T, S, N> all;
  CAMBIUM_HD void operator()(index_t k) const
  {
    index_t const i = all.list[k], H = all.maps.extent[1], W = all.maps.extent[2];
    if (i >= 0) Round{}(all.tally[all.parent[k]], i / W % H, i % W, i);
  }
};

/// Only the nearest cell of a plateau stays marked.
template <class T, class S, class N>
struct unmark_others {
  plateau_list<T, S, N> all;
  std::uint8_t* marked;
  CAMBIUM_HD void operator()(index_t k) const
  {
    index_t const i = all.list[k];
    if (i >= 0 && all.tally[all.parent[k]].at != i) marked[i] = 0;
  }
};

}  // namespace rule

/// What thin_plateaus works in. It grows to the longest list.
template <class P>
struct plateau_scratch {
  grid<cell_number<P>, 1, typename P::memory> parent;
  grid<plateau_tally, 1, typename P::memory> tally;
};

/// Keep one cell of each plateau of marked cells: the nearest to the mean of its cells, the first of several in raster
/// order.
///
/// Cells are of one plateau if they touch, corners included, and are equal in value and region.
///
/// @param maps    [C,H,W]
/// @param region  [H,W], or null
/// @param marked  [C*H*W] 0 or 1; the others become 0
/// @param listed  list_nonzero of `marked`
/// @param limit   what list_nonzero returned
///
/// @complexity    O(limit * log(W))
/// @determinism   exact: whole numbers only
/// @asynchrony    gpu: enqueues and returns; allocates only while the scratch grows
template <class P, class T>
void thin_plateaus(P const& where, stack_view<T, typename P::memory> const& maps,
                   image_view<std::int32_t const, typename P::memory> const& region, std::uint8_t* marked,
                   nonzero_cells<P> const& listed, index_t limit, plateau_scratch<P>& scratch)
{
  using V = std::remove_const_t<T>;
  using S = typename P::memory;
  using N = cell_number<P>;
  rule::plateau_list<V, S, N> const all{maps, region, listed.list.view().data, reserve(where, scratch.parent, limit),
                                        reserve(where, scratch.tally, limit)};
  for_each_index(where, limit, rule::begin_plateau<V, S, N>{all});
  for_each_index(where, limit, rule::join_plateau<V, S, N>{all});
  for_each_index(where, limit, rule::shorten_way<N>{all.parent});
  for_each_index(where, limit, rule::meet_plateau<rule::sum_cells, V, S, N>{all});
  for_each_index(where, limit, rule::meet_plateau<rule::least_upper_half, V, S, N>{all});
  for_each_index(where, limit, rule::meet_plateau<rule::least_lower_half, V, S, N>{all});
  for_each_index(where, limit, rule::meet_plateau<rule::first_nearest_cell, V, S, N>{all});
  for_each_index(where, limit, rule::unmark_others<V, S, N>{all, marked});
}

}  // namespace cambium
