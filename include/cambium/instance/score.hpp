#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

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

/// Sums over the cells of one group. `best` is the first cell of the largest response.
struct group_sums {
  index_t area;
  box bounds;
  std::int64_t largest;  ///< order_key(response)
  index_t best;
  std::int64_t quanta;
};

/// What measure_groups works in; it grows to the largest number of groups.
template <execution_policy P>
struct measure_scratch {
  grid<group_sums, 1, typename P::memory> sums;
  grid<double, 1, typename P::memory> most;
  workspace<P> space;
};

namespace rule {

/// The absolute value of a number; 0 for NaN and infinities.
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

/// Below every response.
inline constexpr std::int64_t no_response_yet = std::numeric_limits<std::int64_t>::min();

/// A quantum of sums of numbers up to `most` is 2^-exponent.
CAMBIUM_HD inline int quantum_exponent(double most, int room)
{
  int above = 0;
  static_cast<void>(std::frexp(most, &above));  // most < 2^above
  return room - above;
}

/// A strip is added to its group.
template <writers Of, class T, class U, class S>
struct measure_group {
  image_view<T const, S> heat;
  image_view<U const, S> sure;
  index_t groups;
  double const* most;  ///< the largest probability by size
  int room;            ///< [bits] 62 less those of the number of cells
  group_sums* of;

  CAMBIUM_HD void operator()(index_t label, box const& cells) const
  {
    index_t const n = label - 1;
    if (n < 0 || n >= groups) return;
    int const scale = quantum_exponent(*most, room);
    std::int64_t largest = no_response_yet, quanta = 0;
    for (index_t y = cells.top; y < cells.bottom; ++y)
      for (index_t x = cells.left; x < cells.right; ++x) {
        T const response = heat(y, x);
        std::int64_t const place = response == response ? order_key(static_cast<double>(response)) : no_response_yet;
        if (place > largest) largest = place;
        double const p = static_cast<double>(sure(y, x));
        if (p - p == 0) quanta += static_cast<std::int64_t>(std::nearbyint(std::ldexp(p, scale)));
      }
    group_sums& g = of[n];
    add_into<Of>(&g.area, area_of(cells));
    widen<Of>(g.bounds, cells);
    max_into<Of>(&g.largest, largest);
    add_into<Of>(&g.quanta, quanta);
  }
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
                           g.bounds,
                           any ? from_order_key<double>(g.largest) : none,
                           any ? g.best / width : 0,
                           any ? g.best % width : 0,
                           sum / static_cast<double>(g.area)};
  }
};

}  // namespace rule

/// The cpu's schedule: probabilities are summed in double in raster order.
template <class I, class T, class U>
void measure_groups_on(cpu const&, image_view<I const> id, image_view<T const> heat, image_view<U const> sure,
                       view<group_measure, 1> out, measure_scratch<cpu>&)
{
  group_measure empty;  // nvcc 13.0 loses the names of designated members
  empty.bounds = {id.extent[0], id.extent[1], 0, 0};
  for (index_t i = 0; i < out.extent[0]; ++i) out(i) = empty;
  for_each_run(id, [&](index_t y, index_t begin, index_t end, auto at) {
    if (at == 0) return;
    auto& g = out(static_cast<index_t>(at) - 1);
    g.area += end - begin;
    widen<writers::one>(g.bounds, {y, begin, y + 1, end});
    for (index_t x = begin; x < end; ++x) {
      g.probability += static_cast<double>(sure(y, x));
      if (auto const here = static_cast<double>(heat(y, x)); here > g.response) g.response = here, g.y = y, g.x = x;
    }
  });
  for (index_t i = 0; i < out.extent[0]; ++i) {
    auto& g = out(i);
    if (g.area == 0) g.bounds = {};
    if (g.area != 0) g.probability /= static_cast<double>(g.area);
  }
}

/// Any other policy's schedule: probabilities are summed as integers.
template <execution_policy P, class I, class T, class U, class S>
void measure_groups_on(P const& where, image_view<I const, S> id, image_view<T const, S> heat,
                       image_view<U const, S> sure, view<group_measure, 1, S> to, measure_scratch<P>& scratch)
{
  index_t const count = to.extent[0], H = id.extent[0], W = id.extent[1], cells[3] = {1, H, W};
  group_sums* const of = reserve(where, scratch.sums, count);
  double* const most = reserve(where, scratch.most, 1);
  int const room = 62 - static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W)));
  reduce_rows(where, 1, H * W, rule::finite_size<U, S>{sure}, 0.0, max_of{}, most, scratch.space);
  fill(where, count, of, group_sums{0, {H, W, 0, 0}, rule::no_response_yet, H * W, 0});
  for_each_strip(where, id, rule::measure_group<writers_of<P>, T, U, S>{heat, sure, count, most, room, of});
  for_each_cell(where, cells, rule::find_best_cell<I, T, S>{id, heat, count, of});
  double const none = -std::numeric_limits<double>::infinity();
  for_each_index(where, count, rule::tell_group<S>{of, most, room, none, W, to});
}

/// Measure groups of cells.
///
/// @param where        where to run
/// @param ids          [H,W] 0 outside, 1..count, from group_pixels
/// @param response     [H,W] finite
/// @param probability  [H,W] finite
/// @param out          [count] entries, of id 1, 2, ...
///
/// @pre          cpu: ids are in 0..count and values are finite. On a device cells of other ids belong to no group, a
///               NaN response exceeds nothing, and a probability that is not finite counts as 0
/// @throws       precondition_error before anything is written
/// @complexity   Theta(H * W + count)
/// @determinism  cpu: exact, sums in double in raster order. A device: exact but for the mean, which has the same bits
///               on every run, within the largest probability * H * W / 2^61 of the true one
/// @asynchrony   gpu: enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, image_like I, image_like X, image_like Q, gridded<1> O>
  requires reaches<P, space_of<I, 2>> && reaches<P, space_of<X, 2>> && reaches<P, space_of<Q, 2>> &&
           reaches<P, space_of<O, 1>>
void measure_groups_into(P const& where, I const& ids, X const& response, Q const& probability, O&& out,
                         measure_scratch<P>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<I, 2>>, "measure_groups: ids are integers");
  image_view<value_of<I, 2> const, S> const id = as_view<2>(ids, "measure_groups: ids");
  image_view<value_of<X, 2> const, S> const heat = as_view<2>(response, "measure_groups: response");
  image_view<value_of<Q, 2> const, S> const sure = as_view<2>(probability, "measure_groups: probability");
  view<group_measure, 1, S> const to = as_view<1>(out, "measure_groups: out");
  expects_measurable(id, to.extent[0], heat, sure);
  if constexpr (std::is_same_v<P, cpu>) {
    expects_labels(id, to.extent[0], "measure_groups: id");
    expects_finite(where, heat, "measure_groups: response");
    expects_finite(where, sure, "measure_groups: probability");
  }
  measure_groups_on(where, id, heat, sure, to, scratch);
}

/// As measure_groups_into, and allocates the result and the scratch.
/// @param count  [groups]
template <execution_policy P, image_like I, image_like X, image_like Q>
  requires reaches<P, space_of<I, 2>> && reaches<P, space_of<X, 2>> && reaches<P, space_of<Q, 2>>
[[nodiscard]] auto measure_groups(P const& where, I const& ids, index_t count, X const& response,
                                  Q const& probability) -> grid<group_measure, 1, typename P::memory>
{
  expects(count >= 0, "measure_groups: count is ", count);
  auto out = make_grid<group_measure>(where, {count});
  measure_scratch<P> scratch;
  measure_groups_into(where, ids, response, probability, out, scratch);
  return out;
}

/// What the score of an instance is made of.
enum class scored_by {
  centre_and_class,  ///< response * probability; a response of 1 or more is a cluster's mark: probability * probability
  class_only,        ///< probability
};

namespace rule {

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
  std::int32_t* table;  ///< the new label of each

  CAMBIUM_HD void operator()(index_t label) const
  {
    if (label == groups.extent[0]) count(0) = before[label];
    bool const any = label > 0 && before[label] != before[label - 1];
    table[label] = any ? before[label] : 0;
    if (!any) return;
    group_measure const& g = groups(label - 1);
    double const centre = by == scored_by::class_only ? 1 : g.response >= 1 ? g.probability : g.response;
    found(before[label] - 1) = instance{category(label - 1), centre * g.probability, g.area, g.bounds};
  }
};

}  // namespace rule

/// Turn groups of cells into scored instances.
///
/// @param where       where to run
/// @param ids         [H,W] 0..N
/// @param groups      [N] in the policy's memory, from measure_groups
/// @param categories  N entries
/// @param by          centre_and_class, or class_only
/// @return instances in the order of their ids, labels closed up; empty groups give none
///
/// @pre          cpu: ids are in 0..N. On a device another id is background
/// @throws       precondition_error: an id outside 0..N, lists that differ in length
/// @invariant    scores may be negative, where the largest response of a region without a centre is
/// @complexity   Theta(H * W + N)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       get_ins_map, get_ins_map_with_point, utils/utils.py of clovaai/BESTIE. Where nothing is found they
///               return one empty mask of class 0 and score 0, this an empty list
template <execution_policy P, image_like I, gridded<1> G>
  requires reaches<P, space_of<I, 2>> && reaches<P, space_of<G, 1>>
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
  if constexpr (std::is_same_v<P, cpu>) expects_labels(id, N, "score_groups: id");
  auto const category = to_memory(where, categories);
  auto before = make_grid<std::int32_t>(where, {N + 2}), table = make_grid<std::int32_t>(where, {N + 1});
  workspace<P> space;
  std::int32_t* const kept = before.view().data;
  for_each_index(where, N + 2, rule::keep_group<S>{group, kept});
  exclusive_scan(where, N + 2, static_cast<std::int32_t const*>(kept), kept, space);
  return make_instances(where, cells[1], cells[2], N, [&](auto const& label, auto const& found, auto const& number) {
    rule::score_group<S> const score{group, category.view(), by, kept + 1, found, number, table.view().data};
    for_each_index(where, N + 1, score);
    using look_up_label = rule::look_up_label<id_type, std::int32_t, std::int32_t, S>;
    for_each_cell(where, cells, look_up_label{id, table.view().data, N + 1, label});
  });
}

}  // namespace cambium
