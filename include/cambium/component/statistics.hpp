#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

/// What is known of one component. An empty one has area 0 and an empty box.
struct component_statistics {
  index_t area = 0;  ///< [cells]
  box bounds;
  double centroid_y = 0;                                      ///< [cells] mean row
  double centroid_x = 0;                                      ///< [cells] mean column
  double largest = -std::numeric_limits<double>::infinity();  ///< of the scores, NaN left out; -inf without scores
};

/// Sums over the cells of one component.
struct component_tally {
  index_t area, y, x;  ///< [cells], sums of rows and of columns
  box bounds;          ///< without a cell: top > bottom, left > right
  std::int64_t score;  ///< order_key(largest)
};

/// Memory for measuring under a policy P. It grows to the largest count.
template <class P>
struct statistics_scratch {
  grid<component_tally, 1, typename P::memory> tally;
};

namespace rule {

/// A strip is added to its component.
template <writers Of, class T, class S>
struct tally_strip {
  image_view<T const, S> score;  ///< or null
  index_t count;
  component_tally* tally;

  CAMBIUM_HD void operator()(index_t label, box const& b) const
  {
    if (label < 0 || label > count) return;
    component_tally& t = tally[label];
    index_t const cells = area_of(b);
    add_into<Of>(&t.area, cells);
    add_into<Of>(&t.y, (b.top + b.bottom - 1) * cells / 2);
    add_into<Of>(&t.x, (b.left + b.right - 1) * cells / 2);
    widen<Of>(t.bounds, b);
    if (score.data == nullptr) return;
    double most = minus_infinity<double>;
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x) {
        double const value = static_cast<double>(score(y, x));
        most = value > most ? value : most;
      }
    max_into<Of>(&t.score, order_key(most));
  }
};

/// A component's tally becomes its statistics.
template <class S>
struct conclude_statistics {
  component_tally const* tally;
  view<component_statistics, 1, S> out;

  CAMBIUM_HD void operator()(index_t i) const
  {
    component_tally const t = tally[i];
    double const largest = from_order_key<double>(t.score), area = static_cast<double>(t.area);
    if (t.area == 0)
      out(i) = component_statistics{0, box{0, 0, 0, 0}, 0, 0, largest};
    else
      out(i) = component_statistics{t.area, t.bounds, static_cast<double>(t.y) / area, static_cast<double>(t.x) / area,
                                    largest};
  }
};

}  // namespace rule

/// Measure every component of a label map.
///
/// @param where    where to run
/// @param labels   [H,W] 0..count, as connected() gives them
/// @param scores   [H,W] or a null view
/// @param out      [count + 1] entries: [0] is the outside
/// @param scratch  of any earlier call; it grows to the largest count and allocates nothing else
///
/// @pre          cpu: 0 <= labels <= count. A device counts cells of other labels nowhere
/// @throws       precondition_error before anything is written
/// @complexity   Theta(H * W + count), on one thread of a cpu
/// @determinism  exact: sums of integers; the means are rounded once. A largest score of -0 is 0
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, image_like L, image_like S, gridded<1> O>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<S, 2>> && reaches<P, space_of<O, 1>>
void statistics_into(P const& where, L const& labels, S const& scores, O&& out, statistics_scratch<P>& scratch)
{
  using M = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "statistics: labels are integers");
  auto const label = as_view<2>(labels, "statistics: labels");
  auto const score = as_view<2>(scores, "statistics: scores");
  view<component_statistics, 1, M> const to = as_view<1>(out, "statistics: out");
  index_t const entries = to.extent[0], H = label.extent[0], W = label.extent[1];
  expects(score.data == nullptr || same_shape(label, score), "statistics: labels are ", label, " but scores are ",
          score);
  expects(entries >= 1, "statistics: count is ", entries - 1);
  if constexpr (std::is_same_v<P, cpu>) expects_labels(label, entries - 1, "statistics: label");
  component_tally* const tally = reserve(where, scratch.tally, entries);
  component_tally const nothing{0, 0, 0, {H, W, 0, 0}, order_key(-std::numeric_limits<double>::infinity())};
  fill(where, entries, tally, nothing);
  for_each_strip(where, label, rule::tally_strip<writers_of<P>, value_of<S, 2>, M>{score, entries - 1, tally});
  for_each_index(where, entries, rule::conclude_statistics<M>{tally, to});
}

/// As statistics_into, and allocates.
/// @param count  [components] largest label
/// @return [count + 1] in the memory of the policy
template <execution_policy P, image_like L, image_like S = image_view<float const, typename P::memory>>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<S, 2>>
[[nodiscard]] auto statistics(P const& where, L const& labels, index_t count,
                              S const& scores = {}) -> grid<component_statistics, 1, typename P::memory>
{
  expects(count >= 0, "statistics: count is ", count);
  statistics_scratch<P> scratch;
  auto out = make_grid<component_statistics>(where, {count + 1});
  statistics_into(where, labels, scores, out, scratch);
  return out;
}

}  // namespace cambium
