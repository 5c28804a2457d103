#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cmath>

namespace cambium {

namespace rule {

/// A cell of the background, or of the class before it.
template <class T, class S>
struct prepend_background {
  stack_view<T const, S> maps;
  T score;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = c == 0 ? score : maps(c - 1, y, x);
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    if (c == 0)
      fill_lanes<Bytes>(&out(c, y, 0), out.extent[2], score);
    else
      std::copy_n(&maps(c - 1, y, 0), out.extent[2], &out(c, y, 0));
  }
};

}  // namespace rule

/// Put a constant background channel before the classes, so that an argmax can choose it too.
///
/// @param where  where to run; must reach the memory of the maps
/// @param maps   [C,H,W]
/// @param score  the background's score, 0.25 for IRNet's labels; finite
/// @param out    [1+C,H,W]; channel 0 becomes constant
///
/// @throws       precondition_error
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       F.pad(..., value=sem_seg_bg_thres), step/make_sem_seg_labels.py of jiwoon-ahn/irn
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
void with_background_into(P const& where, M const& maps, double score, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "with_background: maps");
  stack_view<T, S> const to = as_view<3>(out, "with_background: out");
  expects(std::isfinite(score), "with_background: score is ", score);
  expects(to.extent[0] == in.extent[0] + 1 && to.extent[1] == in.extent[1] && to.extent[2] == in.extent[2],
          "with_background: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "with_background: maps and out overlap");
  for_each_cell(where, to.extent, rule::prepend_background<T, S>{in, static_cast<T>(score), to});
}

/// As with_background_into, and allocates.
/// @return [1+C,H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto with_background(P const& where, M const& maps, double score)
{
  auto const in = as_view<3>(maps, "with_background: maps");
  auto out = make_grid<value_of<M, 3>>(where, {in.extent[0] + 1, in.extent[1], in.extent[2]});
  with_background_into(where, maps, score, out);
  return out;
}

}  // namespace cambium
