#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <type_traits>

namespace cambium {

/// Throws unless scores can be split by ids of this shape and number.
template <class T, class I, class S>
void expects_separable(stack_view<T, S> const& score, image_view<I, S> const& id, index_t count)
{
  expects(id.extent[0] == score.extent[1] && id.extent[1] == score.extent[2], "separate: scores are ", score,
          " but ids are ", id);
  expects(count >= 0, "separate: ", count, " ids");
}

namespace rule {

/// A cell of class c in all its channels c * K + k: the score where the id is k, otherwise 0.
template <class T, class I, class S>
struct separate_cell {
  stack_view<T const, S> score;
  image_view<I const, S> id;
  index_t count;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const mine = static_cast<index_t>(id(y, x));
    for (index_t k = 0; k < count; ++k) out(c * count + k, y, x) = k == mine ? score(c, y, x) : T(0);
  }

  /// The same for a row, where every id is in 0..count-1.
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    index_t const W = score.extent[2], plane = out.stride[0];
    T const* const from = &score(c, y, 0);
    I const* const at = &id(y, 0);
    T* const to = &out(c * count, y, 0);
    for (index_t k = 0; k < count; ++k) std::fill_n(to + k * plane, W, T(0));
    for (index_t x = 0; x < W; ++x) to[static_cast<index_t>(at[x]) * plane + x] = from[x];
  }
};

}  // namespace rule

/// Split class scores by an instance map: one channel for every class and instance.
///
///   out(c*K + k, y, x) = scores(c, y, x) where ids(y, x) == k, otherwise 0
///
/// @param where   where to run
/// @param scores  [C,H,W]
/// @param ids     [H,W] 0..K-1
/// @param count   K >= 0
/// @param out     [C*K,H,W]
///
/// @pre          cpu: every id is in 0..K-1. On a device a cell of another id is in no channel
/// @throws       precondition_error before anything is written: shapes that differ, a negative count, an id outside
///               0..K-1, out that overlaps an input
/// @invariant    the channels of a class sum to its scores
/// @complexity   Theta(C * K * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (11); separte_score_by_mask, step/make_ins_seg_labels.py of
///               jiwoon-ahn/irn
template <execution_policy P, stack_like X, image_like I, stack_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<I, 2>> && reaches<P, space_of<O, 3>>
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
  if constexpr (std::is_same_v<P, cpu>) expects_labels(id, count - 1, "separate: id");
  for_each_cell(where, score.extent, rule::separate_cell<T, value_of<I, 2>, S>{score, id, count, to});
}

/// As separate_into, and allocates the result.
template <execution_policy P, stack_like X, image_like I>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<I, 2>>
[[nodiscard]] auto separate(P const& where, X const& scores, I const& ids,
                            index_t count) -> grid<value_of<X, 3>, 3, typename P::memory>
{
  auto const score = as_view<3>(scores, "separate: scores");
  expects_separable(score, as_view<2>(ids, "separate: ids"), count);
  auto out = make_grid<value_of<X, 3>>(where, {score.extent[0] * count, score.extent[1], score.extent[2]});
  separate_into(where, score, ids, count, out);
  return out;
}

}  // namespace cambium
