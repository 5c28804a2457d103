#pragma once
// Bilinear resizing with aligned corners: the corner cells of both maps lie on each other.

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/view.hpp>

namespace cambium {

/// The tap of output cell `at` if `cells` input cells are resized to `count` with aligned corners: the source is
/// at (cells - 1) / (count - 1), and cell 0 if count is 1 (align_corners=True of the usual frameworks).
///
/// @param at     0..count-1
/// @param count  extent of the output, >= 1
/// @param cells  extent of the input, >= 1
template <class T>
CAMBIUM_HD bilinear_tap<T> corner_tap(index_t at, index_t count, index_t cells)
{
  if (count == 1 || cells == 1) return {0, 0, T(0)};
  double const source = static_cast<double>(at * (cells - 1)) / static_cast<double>(count - 1);
  index_t const low = static_cast<index_t>(source), high = low + 1 < cells ? low + 1 : low;
  return {low, high, static_cast<T>(source - static_cast<double>(low))};
}

namespace rule {

template <class T, class S>
struct resize_with_corners {
  stack_view<T const, S> from;
  stack_view<T, S> to;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    auto const down = corner_tap<T>(y, to.extent[1], from.extent[1]);
    auto const across = corner_tap<T>(x, to.extent[2], from.extent[2]);
    T const low = between(from(c, down.low, across.low), from(c, down.low, across.high), across.fraction);
    T const high = between(from(c, down.high, across.low), from(c, down.high, across.high), across.fraction);
    to(c, y, x) = between(low, high, down.fraction);
  }
};

}  // namespace rule

/// Resize a stack of maps bilinearly with aligned corners. A smaller result is sampled, without antialiasing. Maps of
/// the same size are copied.
///
/// @param from  [C,h,w] finite
/// @param to    [C,H,W]; not `from`
///
/// @pre          h, w >= 1 unless H or W is 0
/// @throws       precondition_error before anything is written: channels that differ, an empty map to be enlarged,
///               overlap
/// @invariant    equal cells keep their value; a result is between the cells it is made from
/// @complexity   Theta(C * H * W) time, no allocation
/// @determinism  the same bits for every number of threads
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class U, class S>
void resize_with_corners(P const& where, stack_view<T, S> const& from, stack_view<U, S> const& to)
{
  expects(from.extent[0] == to.extent[0], "resize_with_corners: from ", from, " to ", to);
  if (to.size() == 0) return;
  expects(from.size() > 0, "resize_with_corners: from ", from, " to ", to, "; an empty map has no cells to repeat");
  expects(!overlap(from, to), "resize_with_corners: the two ranges overlap");
  for_each_cell(where, to.extent, rule::resize_with_corners<U, S>{from, to});
}

}  // namespace cambium
