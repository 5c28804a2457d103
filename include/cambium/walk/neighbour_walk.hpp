#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/dilated.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/walk/neighbour_rows.hpp>

#include <concepts>
#include <type_traits>

namespace cambium {

struct neighbour_walk_options {
  index_t steps = 10;  ///< [count] steps, in each of which every cell becomes the weighted sum of its neighbours; >= 0
};

namespace rule {

/// One step at one cell, of one channel.
template <class T, class S>
struct neighbour_step {
  dilated_neighbours near;
  stack_view<T const, S> weight, from;
  stack_view<T, S> to;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T sum = 0;
    for (int k = 0; k < near.size(); ++k) {
      offset const by = near.at(k);
      sum += weight(k, y, x) *
             from(c, nearest_inside(y + by.dy, from.extent[1]), nearest_inside(x + by.dx, from.extent[2]));
    }
    to(c, y, x) = sum;
  }
};

}  // namespace rule

/// Room of neighbour_walk_into for other policies than cpu: one more stack of scores.
template <class T, class P>
class neighbour_walk_scratch {
 public:
  neighbour_walk_scratch(P const& where, index_t C, index_t H, index_t W, dilated_neighbours const&)
      : scores(make_grid<T>(where, {C, H, W}))
  {
  }
  bool fits(P const&, stack_view<T, typename P::memory> const& out, dilated_neighbours const&) const
  {
    return same_shape(scores.view(), out);
  }
  grid<T, 3, typename P::memory> scores;
};

/// Any other policy: the rule, step by step. Steps write `out` and the scratch in turn, the last one `out`.
template <execution_policy P, class T, class S>
void neighbour_walk_on(P const& where, stack_view<T const, S> masks, stack_view<T const, S> weight,
                       dilated_neighbours const& near, index_t steps, stack_view<T, S> out,
                       neighbour_walk_scratch<T, P>& scratch)
{
  stack_view<T, S> const spare(scratch.scores);
  bool const in_place = same_window(masks, stack_view<T const, S>(out));
  if (steps == 0) {
    if (!in_place) copy(where, masks, out);
    return;
  }
  if (in_place && steps % 2 == 1) {
    copy(where, masks, spare);
    masks = spare;
  }
  for (index_t left = steps; left > 0; --left) {
    stack_view<T, S> const to = left % 2 == 1 ? out : spare;
    for_each_cell(where, out.extent, rule::neighbour_step<T, S>{near, weight, masks, to});
    masks = to;
  }
}

/// The checks of a walk but those of its weights and scratch.
template <execution_policy P, class T, class S>
void expects_walked_masks(P const& where, stack_view<T const, S> const& from, stack_view<T, S> const& to,
                          dilated_neighbours const& near, index_t steps)
{
  expects_dilations(near, "neighbour_walk");
  expects(steps >= 0, "neighbour_walk: steps is ", steps);
  expects(same_shape(from, to), "neighbour_walk: masks are ", from, " but out is ", to);
  expects(same_window(from, stack_view<T const, S>(to)) || !overlap(from, to),
          "neighbour_walk: masks and out overlap in part");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, from, "neighbour_walk: masks");
}

/// Average masks over fixed neighbours, again and again, with weights that all channels share.
///
///   steps times: out(c,p) = sum over q of weight(q,p) out(c, neighbour q of p)
///
/// The cell itself takes no part. Neighbours outside the map are its nearest cells. Unlike random_walk, an edge has its
/// own weight in either direction, and nothing divides by the weights' sum: colour_affinity makes them sum to 1 or 1.01.
///
/// @param where    where to run; must reach all memory
/// @param masks    [C,H,W] scores, finite; C may be 0
/// @param weight   [P,H,W] finite, >= 0
/// @param near     the P neighbours
/// @param options  steps = 10
/// @param out      [C,H,W]; may be `masks` itself
/// @param scratch  neighbour_walk_scratch for this shape, these neighbours and this policy; its contents are lost
///
/// @pre          extents agree; steps >= 0; out overlaps weights nowhere, and masks nowhere or everywhere
/// @throws       precondition_error before anything is written
/// @invariant    weights that sum to 1 keep constants and keep a channel inside its range, up to rounding; a channel's
///               result does not depend on the other channels
/// @complexity   Theta(steps * P * C * H * W) time. The cpu's scratch holds 3 reach + 1 rows of up to 11 channels a
///               thread, that of other policies C * H * W scores
/// @determinism  the same bits on every run, for every number of threads, and for a channel alone or among others;
///               between instruction sets, and between cpu and gpu, up to contraction of multiply-add. On the cpu,
///               numbers below the smallest normal one count as 0. Scores beyond the largest number are infinite
/// @asynchrony   gpu: enqueues and returns, and cannot check values
/// @source       the loop of PAR.forward (rulixiang/ToCo, model/PAR.py) and of PAMR.forward (visinf/1-stage-wseg), which
///               hold all neighbours of all channels at once, [B,C,P,H,W]
template <execution_policy P, stack_like X, stack_like A, stack_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void neighbour_walk_into(P const& where, X const& masks, A const& weight, dilated_neighbours const& near,
                         neighbour_walk_options options, O&& out, neighbour_walk_scratch<value_of<X, 3>, P>& scratch)
{
  using T = value_of<X, 3>;
  using S = space_of<X, 3>;
  stack_view<T const, S> const from = as_view<3>(masks, "neighbour_walk: masks");
  stack_view<T const, S> const w = as_view<3>(weight, "neighbour_walk: weight");
  stack_view<T, S> const to = as_view<3>(out, "neighbour_walk: out");
  expects_walked_masks(where, from, to, near, options.steps);
  expects(w.extent[0] == near.size() && w.extent[1] == from.extent[1] && w.extent[2] == from.extent[2],
          "neighbour_walk: masks are ", from, " and there are ", near.size(), " neighbours, but weights are ", w);
  expects(!overlap(w, to), "neighbour_walk: weight and out overlap");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_inside(where, w, T(0), std::numeric_limits<T>::max(), "neighbour_walk: weight", "a finite weight >= 0");
  }
  expects(scratch.fits(where, to, near),
          "neighbour_walk: the scratch was made for another shape, policy or neighbours");
  if (to.size() == 0) return;
  if constexpr (std::is_same_v<P, cpu>)
    neighbour_walk_on(where, from, rule::stored_rows<T>{w}, near, options.steps, to, scratch);
  else
    neighbour_walk_on(where, from, w, near, options.steps, to, scratch);
}

/// As neighbour_walk_into, with weights that are made row by row in every step, on the cpu.
///
/// @param rows     rows.template ordered_row<Bytes>(y, to) writes the weights of row y for registers of that many bytes,
///                 [registers of a row][P][lanes], where it may write a whole register at the end; finite and >= 0
/// @param scratch  made with neighbour_rows_shape::most_by_rows: each group of channels makes the weights again
///
/// @throws       precondition_error before anything is written
/// @determinism  the bits of neighbour_walk_into with the same weights
template <stack_like X, class Rows, stack_like O>
  requires reaches<cpu, space_of<X, 3>> && reaches<cpu, space_of<O, 3>>
void neighbour_walk_by_rows(cpu const& where, X const& masks, Rows const& rows, dilated_neighbours const& near,
                            neighbour_walk_options options, O&& out, neighbour_walk_scratch<value_of<X, 3>>& scratch)
{
  using T = value_of<X, 3>;
  stack_view<T const> const from = as_view<3>(masks, "neighbour_walk: masks");
  stack_view<T> const to = as_view<3>(out, "neighbour_walk: out");
  expects_walked_masks(where, from, to, near, options.steps);
  expects(scratch.fits(where, to, near),
          "neighbour_walk: the scratch was made for another shape, policy or neighbours");
  if (to.size() == 0) return;
  neighbour_walk_on(where, from, rows, near, options.steps, to, scratch);
}

/// As neighbour_walk_into, and allocates the result and the scratch.
/// @return grid<T, 3> [C,H,W] in the memory of the policy
template <execution_policy P, stack_like X, stack_like A>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<A, 3>>
[[nodiscard]] auto neighbour_walk(P const& where, X const& masks, A const& weight, dilated_neighbours const& near = {},
                                  neighbour_walk_options options = {})
{
  using T = value_of<X, 3>;
  auto const from = as_view<3>(masks, "neighbour_walk: masks");
  expects_dilations(near, "neighbour_walk");
  auto out = make_grid<T>(where, from.extent);
  neighbour_walk_scratch<T, P> scratch(where, from.extent[0], from.extent[1], from.extent[2], near);
  neighbour_walk_into(where, from, weight, near, options, out, scratch);
  return out;
}

}  // namespace cambium
