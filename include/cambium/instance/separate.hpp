#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cstdint>

namespace cambium {

/// Throws unless scores can be split by ids of this shape and number.
template <class T, class I, class S>
void expects_separable(stack_view<T, S> const& score, image_view<I, S> const& id, index_t count)
{
  expects(id.extent[0] == score.extent[1] && id.extent[1] == score.extent[2], "separate: scores are ", score,
          " but ids are ", id);
  expects(count >= 0, "separate: ", count, " ids");
}

/// Split class scores by an instance map: one channel for every class and instance.
///
///   out(c*K + k, y, x) = scores(c, y, x) where ids(y, x) == k, otherwise 0
///
/// @param where   cpu
/// @param scores  [C,H,W]
/// @param ids     [H,W] 0..K-1
/// @param count   K >= 0
/// @return [C*K,H,W]
///
/// @throws       precondition_error on differing shapes, a negative count or an id outside 0..K-1
/// @invariant    the channels of a class sum to its scores
/// @complexity   Theta(C * K * H * W)
/// @determinism  exact
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (11); separte_score_by_mask, step/make_ins_seg_labels.py of jiwoon-ahn/irn
template <stack_like X, image_like I>
[[nodiscard]] auto separate(cpu const& where, X const& scores, I const& ids, index_t count) -> grid<value_of<X, 3>, 3>
{
  using T = value_of<X, 3>;
  auto const score = as_view<3>(scores, "separate: scores");
  auto const id = as_view<2>(ids, "separate: ids");
  index_t const C = score.extent[0], H = score.extent[1], W = score.extent[2];
  expects_separable(score, id, count);
  expects_labels(id, count - 1, "separate: id");
  grid<T, 3> out(C * count, H, W);
  for_each_share(where, C * H, 64, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / H, y = at % H;
      for (index_t x = 0; x < W; ++x) out(c * count + static_cast<index_t>(id(y, x)), y, x) = score(c, y, x);
    }
  });
  return out;
}

}  // namespace cambium
