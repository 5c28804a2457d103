#pragma once
// separate on a GPU.

#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/instance/separate.hpp>

namespace cambium {

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
