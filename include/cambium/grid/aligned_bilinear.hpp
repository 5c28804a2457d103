#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <limits>

namespace cambium {

/// The tap of output cell `at` of an aligned enlargement: cell factor/2 + factor*j is input cell j exactly.
CAMBIUM_HD inline bilinear_tap<double> aligned_tap(index_t at, index_t factor, index_t cells)
{
  index_t const from = at - factor / 2 > 0 ? at - factor / 2 : 0, low = from / factor;
  if (low >= cells - 1) return {cells - 1, cells - 1, 0};
  return {low, low + 1, static_cast<double>(from % factor) / static_cast<double>(factor)};
}

namespace rule {

/// One cell of an aligned enlargement.
template <class T, class S>
struct aligned_cell {
  stack_view<T const, S> maps;
  index_t factor;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    bilinear_tap<double> const down = aligned_tap(y, factor, maps.extent[1]),
                               across = aligned_tap(x, factor, maps.extent[2]);
    T const dy = static_cast<T>(down.fraction), dx = static_cast<T>(across.fraction);
    out(c, y, x) = between(between(maps(c, down.low, across.low), maps(c, down.low, across.high), dx),
                           between(maps(c, down.high, across.low), maps(c, down.high, across.high), dx), dy);
  }
};

}  // namespace rule

/// Throw unless maps can be enlarged by the factor and their extents stay indices.
template <class T, class S>
void expects_enlargement(stack_view<T const, S> const& maps, index_t factor)
{
  expects(factor >= 1, "aligned_bilinear: the factor is ", factor, "; expected 1 or more");
  index_t const most = std::numeric_limits<index_t>::max() / std::max<index_t>({1, maps.extent[1], maps.extent[2]});
  expects(factor <= most, "aligned_bilinear: the factor is ", factor, "; it is too large for maps ", maps);
}

/// Enlarge maps so that every factor-th cell keeps its value, as masks of dynamic convolutions are enlarged.
///
///   out(c, i, j) = the bilinear mix of maps at (max(i - factor/2, 0) / factor, max(j - factor/2, 0) / factor)
///
/// The offset factor/2 is a whole number. The last row and column are repeated beyond the map's end.
///
/// @param where   where to run; must reach all memory
/// @param maps    [C,H,W]
/// @param factor  [cells per cell] >= 1; 1 copies
/// @param out     [C,factor*H,factor*W]
///
/// @throws       precondition_error before anything is written: a factor below 1, an output of another shape, an output
///               that overlaps the maps
/// @invariant    out(c, factor/2 + factor*i, factor/2 + factor*j) == maps(c,i,j); every cell is between the smallest and
///               the largest cell of its map
/// @complexity   Theta(factor^2 * C * H * W)
/// @determinism  the same bits on every run and for every number of threads
/// @asynchrony   gpu: enqueues and returns
/// @source       aligned_bilinear, mmdet/models/dense_heads/condinst_head.py of LiWentomng/BoxInstSeg; without its
///               padding
template <execution_policy P, stack_like A, stack_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void aligned_bilinear_into(P const& where, A const& maps, index_t factor, O&& out)
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const from = as_view<3>(maps, "aligned_bilinear: maps");
  stack_view<T, S> const to = as_view<3>(out, "aligned_bilinear: out");
  expects_enlargement(from, factor);
  expects(to.extent[0] == from.extent[0] && to.extent[1] == factor * from.extent[1] &&
              to.extent[2] == factor * from.extent[2],
          "aligned_bilinear: out is ", to, " but the maps are ", from, " and the factor is ", factor);
  expects(!overlap(from, to), "aligned_bilinear: maps and out overlap");
  for_each_cell(where, to.extent, rule::aligned_cell<T, S>{from, factor, to});
}

/// As aligned_bilinear_into, and allocates the result.
/// @return grid<T, 3> [C,factor*H,factor*W] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto aligned_bilinear(P const& where, A const& maps, index_t factor)
{
  stack_view<value_of<A, 3> const, space_of<A, 3>> const from = as_view<3>(maps, "aligned_bilinear: maps");
  expects_enlargement(from, factor);
  auto out = make_grid<value_of<A, 3>>(where, {from.extent[0], factor * from.extent[1], factor * from.extent[2]});
  aligned_bilinear_into(where, from, factor, out.view());
  return out;
}

}  // namespace cambium
