#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cmath>

namespace cambium {

/// Put a constant background channel before the classes, so that an argmax decides against it too.
///
/// @param where  cpu
/// @param maps   [C,H,W]
/// @param score  the background's score, 0.25 for IRNet's labels; finite
/// @return [1+C,H,W], channel 0 constant
///
/// @throws       precondition_error
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @source       F.pad(..., value=sem_seg_bg_thres), step/make_sem_seg_labels.py of jiwoon-ahn/irn
template <stack_like M>
[[nodiscard]] auto with_background(cpu const& where, M const& maps, double score) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "with_background: maps");
  expects(std::isfinite(score), "with_background: score is ", score);
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<T>({C + 1, H, W});
  for_each_share(where, W == 0 ? 0 : (C + 1) * H, 64, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / H, y = at % H;
      if (c == 0)
        std::fill_n(&out(c, y, 0), W, static_cast<T>(score));
      else
        std::copy_n(&in(c - 1, y, 0), W, &out(c, y, 0));
    }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Rule: a cell of the background, or of the class before it.
template <class T, class S>
struct put_background {
  stack_view<T const, S> maps;
  T score;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = c == 0 ? score : maps(c - 1, y, x);
  }
};

/// Put a constant background channel before the classes, on a device: [C,H,W] on [1+C,H,W].
///
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as with_background in background.hpp.
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
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
  for_each_cell(where, to.extent, put_background<T, S>{in, static_cast<T>(score), to});
}

/// As with_background_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto with_background(P const& where, M const& maps,
                                   double score) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto const in = as_view<3>(maps, "with_background: maps");
  auto out = make_grid<value_of<M, 3>>(where, {in.extent[0] + 1, in.extent[1], in.extent[2]});
  with_background_into(where, maps, score, out);
  return out;
}

}  // namespace cambium
