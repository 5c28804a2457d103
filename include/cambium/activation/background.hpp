#pragma once

#include <cambium/core/error.hpp>
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

}  // namespace cambium
