#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// The channel that says most at each cell, if it says more than a threshold.
///
/// @param where   cpu
/// @param maps    [C,H,W] finite
/// @param thres   what background scores everywhere
/// @return [H,W] 0 background, c + 1 where channel c is largest and above thres; of equal ones the first
///
/// @throws       precondition_error: NaN or infinite values
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @source       np.argmax of np.pad(cams, constant_values=thres), step/cam_to_ir_label.py of jiwoon-ahn/irn
template <stack_like M>
[[nodiscard]] grid<std::int32_t, 2> label_above(cpu const& where, M const& maps, double thres)
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "label_above: maps");
  expects(std::isfinite(thres), "label_above: thres is ", thres);
  expects_finite(where, in, "label_above: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<std::int32_t>({H, W});
  for_each_share(where, H, 16, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        T most = static_cast<T>(thres);
        std::int32_t best = 0;
        for (index_t c = 0; c < C; ++c)
          if (in(c, y, x) > most) most = in(c, y, x), best = static_cast<std::int32_t>(c + 1);
        out(y, x) = best;
      }
  });
  return out;
}

/// Join a map of sure foreground and a map of sure background: what neither is sure of becomes 255.
///
/// @param foreground  [H,W] labels found with a high threshold, 0 where there is none
/// @param background  [H,W] labels found with a low threshold, 0 where nothing is likely
/// @return [H,W] the foreground's label where it has one, 0 where both are 0, else label::ignore
///
/// @throws       precondition_error on differing shapes
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       step/cam_to_ir_label.py of jiwoon-ahn/irn
template <image_like F, image_like B>
[[nodiscard]] grid<std::int32_t, 2> join_confident(cpu const&, F const& foreground, B const& background)
{
  static_assert(std::is_integral_v<value_of<F, 2>> && std::is_integral_v<value_of<B, 2>>,
                "join_confident: labels are integers");
  auto const fg = as_view<2>(foreground, "join_confident: foreground");
  auto const bg = as_view<2>(background, "join_confident: background");
  expects(same_shape(fg, bg), "join_confident: foreground is ", fg, " but background is ", bg);
  auto out = make_grid<std::int32_t>({fg.extent[0], fg.extent[1]});
  for (index_t y = 0; y < fg.extent[0]; ++y)
    for (index_t x = 0; x < fg.extent[1]; ++x)
      out(y, x) = fg(y, x) != 0   ? static_cast<std::int32_t>(fg(y, x))
                  : bg(y, x) == 0 ? label::background
                                  : label::ignore;
  return out;
}

}  // namespace cambium
