#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// What is known of one component. An empty one has area 0 and an empty box.
struct component_statistics {
  index_t area = 0;  ///< [cells]
  box bounds;
  double centroid_y = 0;                                      ///< [cells] mean row
  double centroid_x = 0;                                      ///< [cells] mean column
  double largest = -std::numeric_limits<double>::infinity();  ///< of the scores, NaN left out; -inf without scores
};

/// Measure every component of a label map.
///
/// @param where   cpu
/// @param labels  [H,W] 0..count, as connected() gives them
/// @param count   [components] largest label
/// @param scores  [H,W] optional
/// @return count + 1 entries: [0] is the outside
///
/// @pre          0 <= labels <= count; scores of the same shape
/// @throws       precondition_error
/// @complexity   Theta(H * W + count)
/// @determinism  exact: sums of integers; the means are rounded once
template <image_like L, image_like S = image_view<float const>>
[[nodiscard]] std::vector<component_statistics> statistics(cpu const&, L const& labels, index_t count,
                                                           S const& scores = {})
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "statistics: labels are integers");
  auto const label = as_view<2>(labels, "statistics: labels");
  auto const score = as_view<2>(scores, "statistics: scores");
  bool const scored = score.data != nullptr;
  expects(!scored || same_shape(label, score), "statistics: labels are ", label, " but scores are ", score);
  expects(count >= 0, "statistics: count is ", count);
  index_t const H = label.extent[0], W = label.extent[1];
  expects_labels(label, count, "statistics: label");
  std::vector<component_statistics> out(static_cast<std::size_t>(count + 1));
  for (auto& c : out) c.bounds = {H, W, 0, 0};
  struct sums {
    index_t y = 0, x = 0;
  };
  std::vector<sums> sum(out.size());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(label(y, x));
      auto& c = out[static_cast<std::size_t>(at)];
      ++c.area;
      sum[static_cast<std::size_t>(at)].y += y;
      sum[static_cast<std::size_t>(at)].x += x;
      c.bounds = {std::min(c.bounds.top, y), std::min(c.bounds.left, x), y + 1, std::max(c.bounds.right, x + 1)};
      if (scored) {
        double const here = static_cast<double>(score(y, x));
        if (here > c.largest) c.largest = here;
      }
    }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].area == 0) {
      out[i].bounds = {};
      continue;
    }
    out[i].centroid_y = static_cast<double>(sum[i].y) / static_cast<double>(out[i].area);
    out[i].centroid_x = static_cast<double>(sum[i].x) / static_cast<double>(out[i].area);
  }
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// What is gathered of one component.
struct component_tally {
  std::int64_t area, y, x;                ///< [cells], sums of rows and of columns
  std::int64_t top, left, bottom, right;  ///< extremes; of none the other way round
  std::int64_t score;                     ///< order_key(largest)
};

/// Memory for measuring under a policy P. It grows to the largest count.
template <class P>
struct statistics_scratch {
  grid<component_tally, 1, typename P::memory> tally;
};

/// Rows that one call of a rule gathers from a column before it takes atomic steps.
inline constexpr index_t tally_rows = 32;

/// Rule: what a piece of a column adds to its components.
template <class L, class T, class S>
struct tally_column {
  image_view<L const, S> label;
  image_view<T const, S> score;  ///< or null
  index_t count;
  component_tally nothing;
  component_tally* tally;

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * tally_rows;
    index_t const end = begin + tally_rows < label.extent[0] ? begin + tally_rows : label.extent[0];
    index_t of = -1, first = begin;
    std::int64_t most = nothing.score;
    for (index_t y = begin; y < end; ++y) {
      auto const here = static_cast<index_t>(label(y, x));
      if (here != of) {
        add(of, first, y, x, most);
        of = here, first = y, most = nothing.score;
      }
      if (score.data == nullptr) continue;
      double const value = static_cast<double>(score(y, x));
      std::int64_t const place = order_key(value);
      if (value == value && place > most) most = place;
    }
    add(of, first, end, x, most);
  }

 private:
  CAMBIUM_HD void add(index_t of, index_t first, index_t last, index_t x, std::int64_t most) const
  {
    if (of < 0 || of > count || first == last) return;
    component_tally& t = tally[of];
    std::int64_t const cells = last - first;
    atomic_add(&t.area, cells);
    atomic_add(&t.y, (first + last - 1) * cells / 2);
    atomic_add(&t.x, cells * x);
    // Most runs lie inside the box already known.
    if (first < atomic_read(&t.top)) atomic_min(&t.top, first);
    if (x < atomic_read(&t.left)) atomic_min(&t.left, x);
    if (last > atomic_read(&t.bottom)) atomic_max(&t.bottom, last);
    if (x + 1 > atomic_read(&t.right)) atomic_max(&t.right, x + 1);
    if (most > atomic_read(&t.score)) atomic_max(&t.score, most);
  }
};

/// Rule: a component's tally as its statistics.
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
      out(i) = component_statistics{t.area, box{t.top, t.left, t.bottom, t.right}, static_cast<double>(t.y) / area,
                                    static_cast<double>(t.x) / area, largest};
  }
};

/// Measure every component of a label map on a device.
///
/// @param where    gpu
/// @param labels   [H,W] 0..count; cells of other labels are counted nowhere
/// @param scores   [H,W] or null
/// @param out      [count + 1] entries: [0] is the outside
/// @param scratch  of any earlier call; it grows to the largest count and allocates nothing else
///
/// @throws       precondition_error before anything is written, gpu_error
/// @complexity   Theta(H * W + count)
/// @determinism  exact: what the cpu says, but that a largest score of -0 is 0
/// @asynchrony   enqueues and returns
template <execution_policy P, image_like L, image_like S, class Out>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && gridded<Out, 1>
void statistics_into(P const& where, L const& labels, S const& scores, Out&& out, statistics_scratch<P>& scratch)
{
  using M = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "statistics: labels are integers");
  auto const label = as_view<2>(labels, "statistics: labels");
  auto const score = as_view<2>(scores, "statistics: scores");
  view<component_statistics, 1, M> const to = as_view<1>(out, "statistics: out");
  expects(score.data == nullptr || same_shape(label, score), "statistics: labels are ", label, " but scores are ",
          score);
  expects(to.extent[0] >= 1, "statistics: count is ", to.extent[0] - 1);
  index_t const entries = to.extent[0], H = label.extent[0], W = label.extent[1];
  component_tally* const tally = reserve(where, scratch.tally, entries);
  component_tally const nothing{0, 0, 0, H, W, 0, 0, order_key(-std::numeric_limits<double>::infinity())};
  fill(where, entries, tally, nothing);
  for_each_cell(where, {1, (H + tally_rows - 1) / tally_rows, W},
                tally_column<value_of<L, 2>, value_of<S, 2>, M>{label, score, entries - 1, nothing, tally});
  for_each_index(where, entries, conclude_statistics<M>{tally, to});
}

/// As statistics_into, and allocates.
/// @param count  [components] largest label
/// @return [count + 1] in the memory of the policy
template <execution_policy P, image_like L, image_like S = image_view<float const, typename P::memory>>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
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
