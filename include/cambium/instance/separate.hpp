#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/copy.hpp>
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


template <class T, class I, class S>
struct separate_cell {
  stack_view<T const, S> score;
  image_view<I const, S> id;
  index_t count;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t n, index_t y, index_t x) const
  {
    bool const mine = static_cast<index_t>(id(y, x)) == n % count;
    out(n, y, x) = mine ? score(n / count, y, x) : T(0);
  }
};

/// As separate in separate.hpp, into [C*K,H,W].
///
/// @pre          as there; on a device a cell whose id is outside 0..K-1 is in no channel
/// @throws       precondition_error: shapes that differ, a negative count, out that overlaps an input
/// @determinism  exact
/// @asynchrony   enqueues and returns
template <execution_policy P, stack_like X, image_like I, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 3>> && reaches<P, space_of<I, 2>> &&
          reaches<P, space_of<O, 3>>
void separate_into(P const& where, X const& scores, I const& ids, index_t count, O&& out)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<I, 2>>, "separate: ids are integers");
  stack_view<T const, S> const score = as_view<3>(scores, "separate: scores");
  image_view<value_of<I, 2> const, S> const id = as_view<2>(ids, "separate: ids");
  stack_view<T, S> const to = as_view<3>(out, "separate: out");
  expects_separable(score, id, count);
  expects(to.extent[0] == score.extent[0] * count && to.extent[1] == id.extent[0] && to.extent[2] == id.extent[1],
          "separate: scores are ", score, " of ", count, " ids but out is ", to);
  expects(!overlap(score, to) && !overlap(id, to), "separate: an input and out overlap");
  for_each_cell(where, to.extent, separate_cell<T, value_of<I, 2>, S>{score, id, count, to});
}

/// As separate_into, and allocates the result.
template <execution_policy P, stack_like X, image_like I>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 3>> && reaches<P, space_of<I, 2>>
[[nodiscard]] auto separate(P const& where, X const& scores, I const& ids,
                            index_t count) -> grid<value_of<X, 3>, 3, typename P::memory>
{
  auto const score = as_view<3>(scores, "separate: scores");
  auto const id = as_view<2>(ids, "separate: ids");
  expects_separable(score, id, count);
  auto out = make_grid<value_of<X, 3>>(where, {score.extent[0] * count, score.extent[1], score.extent[2]});
  separate_into(where, score, id, count, out);
  return out;
}

}  // namespace cambium
