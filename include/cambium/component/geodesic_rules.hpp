#pragma once
// The rules of geodesic, and its schedule for any policy but the cpu: every cell looks at its neighbours, again and again
// until nothing changes.

#include <cambium/core/index.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>

#include <cstdint>
#include <limits>
#include <utility>

namespace cambium {

/// What the rules iterate on. It grows to the largest map.
template <class P, class T>
struct geodesic_rules_scratch {
  using S = typename P::memory;
  grid<T, 1, S> nearest, second, other;
  grid<index_t, 1, S> of, other_of;
  grid<std::int32_t, 1, S> changed;
};

namespace rule {

/// How much nearer the first distance is: (second - nearest) / (second + nearest).
template <class T>
CAMBIUM_HD T margin(T nearest, T second)
{
  T const far = -minus_infinity<T>;
  if (nearest == far) return 0;
  if (second == far) return 1;
  T const half = nearest / 2 + second / 2;  // a sum may overflow
  return half > 0 ? (second / 2 - nearest / 2) / half : T(0);
}

/// The label of a cell that has none yet.
inline constexpr index_t no_label = std::numeric_limits<index_t>::max();

/// visit(neighbour, cost) for each neighbour of a cell, numbered y * W + x.
template <class T, class S, class Visit>
CAMBIUM_HD void around_cell(stack_view<T const, S> const& cost, neighbourhood const& near, index_t y, index_t x,
                            Visit const& visit)
{
  index_t const H = cost.extent[1], W = cost.extent[2];
  for (int k = 0; k < near.size; ++k) {
    offset const to = after(near, k);
    if (y + to.dy < H && x + to.dx >= 0 && x + to.dx < W) visit((y + to.dy) * W + x + to.dx, cost(k, y, x));
    if (y - to.dy >= 0 && x - to.dx >= 0 && x - to.dx < W)
      visit((y - to.dy) * W + x - to.dx, cost(k, y - to.dy, x - to.dx));
  }
}

template <class T, class Label, class S>
struct begin_geodesic {
  image_view<Label const, S> seeds;
  Label unmarked;
  T* nearest;
  index_t* of;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    bool const seed = seeds(y, x) != unmarked;
    index_t const i = y * seeds.extent[1] + x;
    nearest[i] = seed ? T(0) : -minus_infinity<T>;
    of[i] = seed ? static_cast<index_t>(seeds(y, x)) : no_label;
  }
};

/// A way over a neighbour may be shorter. With labels only neighbours of the same label count.
template <class T, class S>
struct shorten_distance {
  stack_view<T const, S> cost;
  neighbourhood near;
  index_t const* of;  ///< or null
  T limit;
  T const* from;
  T* to;
  std::int32_t* changed;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * cost.extent[2] + x;
    T best = from[here];
    around_cell(cost, near, y, x, [&](index_t next, T toll) {
      T const there = from[next] + toll;
      if (there < best && there <= limit && (of == nullptr || of[next] == of[here])) best = there;
    });
    to[here] = best;
    if (best < from[here]) max_into<writers::many>(changed, std::int32_t{1});
  }
};

/// The smallest label of the neighbours from which a step ends at the cell's distance.
template <class T, class Label, class S>
struct spread_label {
  stack_view<T const, S> cost;
  image_view<Label const, S> seeds;
  Label unmarked;
  neighbourhood near;
  T const* nearest;
  index_t const* from;
  index_t* to;
  std::int32_t* changed;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * cost.extent[2] + x;
    index_t best = from[here];
    if (seeds(y, x) == unmarked && nearest[here] < -minus_infinity<T>)
      around_cell(cost, near, y, x, [&](index_t next, T toll) {
        if (nearest[next] + toll == nearest[here] && from[next] < best) best = from[next];
      });
    to[here] = best;
    if (best < from[here]) max_into<writers::many>(changed, std::int32_t{1});
  }
};

/// The distance over a neighbour of another label.
template <class T, class S>
struct cross_border {
  stack_view<T const, S> cost;
  neighbourhood near;
  T const* nearest;
  index_t const* of;
  T limit;
  T* second;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * cost.extent[2] + x;
    T best = -minus_infinity<T>;
    around_cell(cost, near, y, x, [&](index_t next, T toll) {
      T const there = nearest[next] + toll;
      if (of[next] != of[here] && there < best && there <= limit) best = there;
    });
    second[here] = best;
  }
};

template <class T, class Label, class S>
struct conclude_geodesic {
  T const* nearest;
  T const* second;  ///< or null
  index_t const* of;
  Label unmarked;
  image_view<T, S> distance;
  image_view<Label, S> label;
  image_view<T, S> confidence;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const i = y * label.extent[1] + x;
    distance(y, x) = nearest[i];
    label(y, x) = of[i] == no_label ? unmarked : static_cast<Label>(of[i]);
    if (second != nullptr) confidence(y, x) = margin(nearest[i], second[i]);
  }
};

}  // namespace rule

/// Steps between two looks at whether anything still changes: an even number.
inline constexpr int geodesic_rounds = 32;

/// Call round(from, to) on two maps in turn until it changes nothing more. Both then hold the result.
template <class P, class V, class Round>
void iterate_until_settled(P const& where, V* one, V* other, std::int32_t* changed, Round const& round)
{
  do {
    for (int i = 0; i < geodesic_rounds; i += 2) {
      round(one, other);
      if (i + 2 == geodesic_rounds) fill(where, 1, changed, std::int32_t{0});
      round(other, one);
    }
  } while (read_cell(where, static_cast<std::int32_t const*>(changed)) != 0);
}

/// The schedule of rules. Distances first, then labels on the shortest paths, then the distances of other labels.
template <class P, class T, class Label, class Options>
void geodesic_on(P const& where, stack_view<T const, typename P::memory> cost,
                 image_view<Label const, typename P::memory> seeds, Options const& options,
                 image_view<T, typename P::memory> distance, image_view<Label, typename P::memory> label,
                 image_view<T, typename P::memory> confidence, geodesic_rules_scratch<P, T>& scratch)
{
  using S = typename P::memory;
  index_t const extent[3] = {1, distance.extent[0], distance.extent[1]}, cells = extent[1] * extent[2];
  double const most = static_cast<double>(std::numeric_limits<T>::max());
  auto const limit = static_cast<T>(options.limit < most ? options.limit : most);
  neighbourhood const near = options.near;
  T* const nearest = reserve(where, scratch.nearest, cells);
  T* const other = reserve(where, scratch.other, cells);
  index_t* const of = reserve(where, scratch.of, cells);
  index_t* const other_of = reserve(where, scratch.other_of, cells);
  std::int32_t* const changed = reserve(where, scratch.changed, 1);
  for_each_cell(where, extent, rule::begin_geodesic<T, Label, S>{seeds, options.unmarked, nearest, of});
  iterate_until_settled(where, nearest, other, changed, [&](T const* from, T* to) {
    for_each_cell(where, extent, rule::shorten_distance<T, S>{cost, near, nullptr, limit, from, to, changed});
  });
  iterate_until_settled(where, of, other_of, changed, [&](index_t const* from, index_t* to) {
    for_each_cell(where, extent,
                  rule::spread_label<T, Label, S>{cost, seeds, options.unmarked, near, nearest, from, to, changed});
  });
  T* second = nullptr;
  if (confidence.data != nullptr) {
    second = reserve(where, scratch.second, cells);
    for_each_cell(where, extent, rule::cross_border<T, S>{cost, near, nearest, of, limit, second});
    iterate_until_settled(where, second, other, changed, [&](T const* from, T* to) {
      for_each_cell(where, extent, rule::shorten_distance<T, S>{cost, near, of, limit, from, to, changed});
    });
  }
  for_each_cell(
      where, extent,
      rule::conclude_geodesic<T, Label, S>{nearest, second, of, options.unmarked, distance, label, confidence});
}

}  // namespace cambium
