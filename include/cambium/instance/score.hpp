#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// What the maps say about one group of cells. An empty one has area 0.
struct group_measure {
  index_t area = 0;  ///< [cells]
  box bounds;
  double response = -std::numeric_limits<double>::infinity();  ///< largest of the centre map in the group
  index_t y = 0;                                               ///< where, the first cell in raster order
  index_t x = 0;
  double probability = 0;  ///< mean in the group
};

/// Throws unless groups can be measured in maps of these shapes.
template <class I, class T, class U, class S>
void expects_measurable(image_view<I, S> const& id, index_t count, image_view<T, S> const& heat,
                        image_view<U, S> const& sure)
{
  expects(same_shape(id, heat) && same_shape(id, sure), "measure_groups: ids are ", id, ", response ", heat,
          " and probability ", sure);
  expects(count >= 0, "measure_groups: count is ", count);
}

/// Measure groups of cells in one pass.
///
/// @param where        cpu
/// @param ids          [H,W] 0 outside, 1..count, from group_pixels
/// @param count        [groups]
/// @param response     [H,W] finite
/// @param probability  [H,W] finite
/// @return count entries, of id 1, 2, ...
///
/// @throws       precondition_error: shapes that differ, an id outside 0..count, NaN or infinite values
/// @complexity   Theta(H * W + count)
/// @determinism  exact: sums in double in raster order
template <image_like I, image_like X, image_like P>
[[nodiscard]] std::vector<group_measure> measure_groups(cpu const& where, I const& ids, index_t count,
                                                        X const& response, P const& probability)
{
  static_assert(std::is_integral_v<value_of<I, 2>>, "measure_groups: ids are integers");
  auto const id = as_view<2>(ids, "measure_groups: ids");
  auto const heat = as_view<2>(response, "measure_groups: response");
  auto const sure = as_view<2>(probability, "measure_groups: probability");
  expects_measurable(id, count, heat, sure);
  expects_labels(id, count, "measure_groups: id");
  expects_finite(where, heat, "measure_groups: response");
  expects_finite(where, sure, "measure_groups: probability");
  index_t const H = id.extent[0], W = id.extent[1];
  std::vector<group_measure> out(static_cast<std::size_t>(count));
  for (auto& g : out) g.bounds = {H, W, 0, 0};
  for_each_run(id, [&](index_t y, index_t begin, index_t end, auto at) {
    if (at == 0) return;
    auto& g = out[static_cast<std::size_t>(at) - 1];
    g.area += end - begin;
    g.bounds = {std::min(g.bounds.top, y), std::min(g.bounds.left, begin), y + 1, std::max(g.bounds.right, end)};
    for (index_t x = begin; x < end; ++x) {
      g.probability += static_cast<double>(sure(y, x));
      if (auto const here = static_cast<double>(heat(y, x)); here > g.response) g.response = here, g.y = y, g.x = x;
    }
  });
  for (auto& g : out) {
    if (g.area == 0) g.bounds = {};
    if (g.area != 0) g.probability /= static_cast<double>(g.area);
  }
  return out;
}

/// What the score of an instance is made of.
enum class scored_by {
  centre_and_class,  ///< response * probability; a response of 1 or more is a cluster's mark: probability * probability
  class_only,        ///< probability
};

/// Turn groups of cells into scored instances.
///
/// @param ids         [H,W] 0..N
/// @param groups      N entries, from measure_groups
/// @param categories  N entries
/// @param by          centre_and_class, or class_only
/// @return instances in the order of their ids, labels closed up; empty groups give none
///
/// @throws       precondition_error: an id outside 0..N, lists that differ in length
/// @invariant    scores may be negative, where the largest response of a region without a centre is
/// @complexity   Theta(H * W + N)
/// @determinism  exact
/// @source       get_ins_map, get_ins_map_with_point, utils/utils.py of clovaai/BESTIE. Where nothing is found they return one
///               empty mask of class 0 and score 0, this an empty list
template <image_like I>
[[nodiscard]] instances<> score_groups(cpu const&, I const& ids, std::vector<group_measure> const& groups,
                                       std::vector<std::int32_t> const& categories,
                                       scored_by by = scored_by::centre_and_class)
{
  auto const id = as_view<2>(ids, "score_groups: ids");
  index_t const N = static_cast<index_t>(groups.size());
  expects(groups.size() == categories.size(), "score_groups: ", N, " groups but ",
          static_cast<index_t>(categories.size()), " categories");
  index_t const H = id.extent[0], W = id.extent[1];
  expects_labels(id, N, "score_groups: id");
  instances<> out{make_grid<std::int32_t>({H, W}), {}};
  std::vector<std::int32_t> table(groups.size() + 1, 0);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    auto const& g = groups[i];
    if (g.area == 0) continue;
    double const centre = by == scored_by::class_only ? 1 : g.response >= 1 ? g.probability : g.response;
    out.found.push_back({categories[i], centre * g.probability, g.area, g.bounds});
    table[i + 1] = static_cast<std::int32_t>(out.found.size());
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) out.label(y, x) = table[static_cast<std::size_t>(id(y, x))];
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// The size of a number; of none that is finite, 0.
template <class T, class S>
struct finite_size {
  image_view<T const, S> map;
  CAMBIUM_HD double operator()(index_t, index_t i) const { return of(map(i / map.extent[1], i % map.extent[1])); }
  static CAMBIUM_HD double of(T v)
  {
    double const size = static_cast<double>(v < 0 ? -v : v);
    return size - size == 0 ? size : 0;
  }
};

/// What is summed up of a group. `best` is the first cell of the largest response.
struct group_sums {
  index_t area, top, left, bottom, right;
  std::int64_t largest;
  index_t best;
  std::int64_t quanta;
};

/// Below every response.
inline constexpr std::int64_t no_response_yet = std::numeric_limits<std::int64_t>::min();

/// A quantum of sums of numbers up to `most` is 2^-exponent.
CAMBIUM_HD inline int quantum_exponent(double most, int room)
{
  int above = 0;
  static_cast<void>(std::frexp(most, &above));  // most < 2^above
  return room - above;
}

template <class I, class T, class U, class S>
struct measure_group_piece {
  static constexpr index_t length = 16;  ///< [cells]
  image_view<I const, S> id;
  image_view<T const, S> heat;
  image_view<U const, S> sure;
  index_t groups;
  double const* most;  ///< the largest probability by size
  int room;            ///< [bits] 62 less those of the number of cells
  group_sums* of;

  static index_t count(index_t height, index_t width) { return height * ((width + length - 1) / length); }

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const pieces = (id.extent[1] + length - 1) / length, y = i / pieces, first = i % pieces * length;
    index_t const last = first + length < id.extent[1] ? first + length : id.extent[1];
    int const scale = quantum_exponent(*most, room);
    for (index_t begin = first, end = first; begin < last; begin = end) {
      I const at = id(y, begin);
      std::int64_t largest = no_response_yet, quanta = 0;
      for (; end < last && id(y, end) == at; ++end) {
        T const response = heat(y, end);
        std::int64_t const place = response == response ? order_key(static_cast<double>(response)) : no_response_yet;
        if (place > largest) largest = place;
        double const p = static_cast<double>(sure(y, end));
        if (p - p == 0) quanta += static_cast<std::int64_t>(std::nearbyint(std::ldexp(p, scale)));
      }
      index_t const n = static_cast<index_t>(at) - 1;
      if (n < 0 || n >= groups) continue;
      group_sums& g = of[n];
      atomic_add(&g.area, end - begin);
      atomic_min(&g.top, y);
      atomic_min(&g.left, begin);
      atomic_max(&g.bottom, y + 1);
      atomic_max(&g.right, end);
      atomic_max(&g.largest, largest);
      atomic_add(&g.quanta, quanta);
    }
  }
};

struct forget_group {
  group_sums* of;
  group_sums nothing;
  CAMBIUM_HD void operator()(index_t i) const { of[i] = nothing; }
};

template <class I, class T, class S>
struct find_best_cell {
  image_view<I const, S> id;
  image_view<T const, S> heat;
  index_t groups;
  group_sums* of;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const n = static_cast<index_t>(id(y, x)) - 1;
    if (n < 0 || n >= groups) return;
    index_t const here = y * id.extent[1] + x;
    T const response = heat(y, x);
    if (response == response && order_key(static_cast<double>(response)) == of[n].largest &&
        here < atomic_read(&of[n].best))
      atomic_min(&of[n].best, here);
  }
};

template <class S>
struct tell_group {
  group_sums const* of;
  double const* most;
  int room;
  double none;  ///< the response of an empty group
  index_t width;
  view<group_measure, 1, S> out;

  CAMBIUM_HD void operator()(index_t i) const
  {
    group_sums const& g = of[i];
    if (g.area == 0) {
      out(i) = group_measure{0, {0, 0, 0, 0}, none, 0, 0, 0};
      return;
    }
    bool const any = g.largest != no_response_yet;  // not where every response is NaN
    double const sum = std::ldexp(static_cast<double>(g.quanta), -quantum_exponent(*most, room));
    out(i) = group_measure{g.area,
                           {g.top, g.left, g.bottom, g.right},
                           any ? from_order_key<double>(g.largest) : none,
                           any ? g.best / width : 0,
                           any ? g.best % width : 0,
                           sum / static_cast<double>(g.area)};
  }
};

/// What measure_groups works in; it grows to the largest number of groups.
template <execution_policy P>
struct measure_scratch {
  grid<group_sums, 1, typename P::memory> sums;
  grid<double, 1, typename P::memory> most;
  workspace<P> space;
};

/// As measure_groups in score.hpp, into [count] of the policy's memory.
///
/// @pre          as there; on a device an id outside 1..count is of no group, a NaN response exceeds nothing, and of
///               probabilities that are not finite 0 is taken
/// @throws       precondition_error: shapes that differ
/// @determinism  exact but for the mean: the same bits on every run, within the largest probability * H * W / 2^61 of the
///               true one
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, image_like I, image_like X, image_like Q, gridded<1> O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<I, 2>> && reaches<P, space_of<X, 2>> &&
          reaches<P, space_of<Q, 2>> && reaches<P, space_of<O, 1>>
void measure_groups_into(P const& where, I const& ids, X const& response, Q const& probability, O&& out,
                         measure_scratch<P>& scratch)
{
  using id_type = value_of<I, 2>;
  using T = value_of<X, 2>;
  using U = value_of<Q, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<id_type>, "measure_groups: ids are integers");
  image_view<id_type const, S> const id = as_view<2>(ids, "measure_groups: ids");
  image_view<T const, S> const heat = as_view<2>(response, "measure_groups: response");
  image_view<U const, S> const sure = as_view<2>(probability, "measure_groups: probability");
  view<group_measure, 1, S> const to = as_view<1>(out, "measure_groups: out");
  index_t const count = to.extent[0], H = id.extent[0], W = id.extent[1], cells[3] = {1, H, W};
  expects_measurable(id, count, heat, sure);
  group_sums* const of = reserve(where, scratch.sums, count);
  double* const most = reserve(where, scratch.most, 1);
  int const room = 62 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W)));
  reduce_rows(where, 1, H * W, finite_size<U, S>{sure}, 0.0, max_of{}, most, scratch.space);
  for_each_index(where, count, forget_group{of, {0, H, W, 0, 0, no_response_yet, H * W, 0}});
  using piece = measure_group_piece<id_type, T, U, S>;
  for_each_index(where, piece::count(H, W), piece{id, heat, sure, count, most, room, of});
  for_each_cell(where, cells, find_best_cell<id_type, T, S>{id, heat, count, of});
  double const none = -std::numeric_limits<double>::infinity();
  for_each_index(where, count, tell_group<S>{of, most, room, none, W, to});
}

/// As measure_groups_into, and allocates the result and the scratch.
template <execution_policy P, image_like I, image_like X, image_like Q>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<I, 2>> && reaches<P, space_of<X, 2>> &&
              reaches<P, space_of<Q, 2>>
[[nodiscard]] auto measure_groups(P const& where, I const& ids, index_t count, X const& response,
                                  Q const& probability) -> grid<group_measure, 1, typename P::memory>
{
  expects(count >= 0, "measure_groups: count is ", count);
  auto out = make_grid<group_measure>(where, {count});
  measure_scratch<P> scratch;
  measure_groups_into(where, ids, response, probability, out, scratch);
  return out;
}

template <class S>
struct keep_group {
  view<group_measure const, 1, S> groups;
  std::int32_t* kept;  ///< N + 2, by label; that of 0 and the last stay 0

  CAMBIUM_HD void operator()(index_t label) const
  {
    kept[label] = 0 < label && label <= groups.extent[0] && groups(label - 1).area != 0 ? 1 : 0;
  }
};

template <class S>
struct score_group {
  view<group_measure const, 1, S> groups;
  view<std::int32_t const, 1, S> category;
  scored_by by;
  std::int32_t const* before;
  view<instance, 1, S> found;
  view<std::int32_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t label) const
  {
    if (label == groups.extent[0]) count(0) = before[label];
    if (label == 0 || before[label] == before[label - 1]) return;
    group_measure const& g = groups(label - 1);
    double const centre = by == scored_by::class_only ? 1 : g.response >= 1 ? g.probability : g.response;
    found(before[label] - 1) = instance{category(label - 1), centre * g.probability, g.area, g.bounds};
  }
};

/// As score_groups in score.hpp, from groups [N] in the policy's memory and categories of the host.
///
/// @pre          as there; on a device an id outside 0..N is background
/// @throws       precondition_error: lists that differ in length
/// @determinism  exact
/// @asynchrony   enqueues and returns
template <execution_policy P, image_like I, gridded<1> G>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<I, 2>> && reaches<P, space_of<G, 1>>
[[nodiscard]] auto score_groups(P const& where, I const& ids, G const& groups,
                                std::vector<std::int32_t> const& categories,
                                scored_by by = scored_by::centre_and_class) -> instances<typename P::memory>
{
  using id_type = value_of<I, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<id_type>, "score_groups: ids are integers");
  image_view<id_type const, S> const id = as_view<2>(ids, "score_groups: ids");
  view<group_measure const, 1, S> const group = as_view<1>(groups, "score_groups: groups");
  index_t const N = group.extent[0], cells[3] = {1, id.extent[0], id.extent[1]};
  expects(N == static_cast<index_t>(categories.size()), "score_groups: ", N, " groups but ",
          static_cast<index_t>(categories.size()), " categories");
  auto category = make_grid<std::int32_t>(where, {N}), before = make_grid<std::int32_t>(where, {N + 2});
  copy(where, view<std::int32_t const, 1>(categories.data(), {N}), category.view());
  workspace<P> space;
  std::int32_t* const kept = before.view().data;
  for_each_index(where, N + 2, keep_group<S>{group, kept});
  exclusive_scan(where, N + 2, kept, kept, space);
  view<std::int32_t const, 1, S> const through(kept + 1, {N + 1});
  return make_instances(where, cells[1], cells[2], N, [&](auto const& label, auto const& found, auto const& number) {
    for_each_index(where, N + 1, score_group<S>{group, category.view(), by, through.data, found, number});
    for_each_cell(where, cells, rule::close_up_label<id_type, S>{id, through, label});
  });
}

}  // namespace cambium
