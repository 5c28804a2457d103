#pragma once

#include <cambium/component/geodesic_cores.hpp>
#include <cambium/component/geodesic_rules.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace cambium {

template <class Label = std::int32_t>
struct geodesic_options {
  neighbourhood near = c8;  ///< c4 or c8: the steps that have costs
  Label unmarked = 0;       ///< of the seeds: no seed; of the labels: not reached. Scribbles have 255
  double limit = std::numeric_limits<double>::infinity();  ///< cells farther than that are not reached; >= 0
};

/// What geodesic computes, in memory of its own.
template <class T, class Label, class Space = host>
struct geodesic_map {
  grid<T, 2, Space> distance;
  grid<Label, 2, Space> label;
  grid<T, 2, Space> confidence;
};

/// A cell with a label.
template <class Label = std::int32_t>
struct geodesic_seed {
  index_t y = 0;
  index_t x = 0;
  Label label = 1;
};

/// Draw seeds on a map.
///
/// @param seeds     any number, in any order
/// @param unmarked  value of all other cells
/// @param out       [H,W]
///
/// @throws precondition_error before anything is written: a seed outside the map or with the label `unmarked`; after
///         writing: two seeds of one cell with different labels
template <class Label, image_like O>
  requires reaches<cpu, space_of<O, 2>> && std::is_same_v<value_of<O, 2>, Label>
void mark_seeds_into(std::span<geodesic_seed<Label> const> seeds, std::type_identity_t<Label> unmarked, O&& out)
{
  view<Label, 2> const to = as_view<2>(out, "mark_seeds: out");
  index_t const H = to.extent[0], W = to.extent[1];
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    auto const& s = seeds[i];
    expects(0 <= s.y && s.y < H && 0 <= s.x && s.x < W, "mark_seeds: seed ", i, " is at (", s.y, ",", s.x,
            "), outside ", to);
    expects(s.label != unmarked, "mark_seeds: seed ", i, " at (", s.y, ",", s.x, ") has the label ", s.label,
            " of unmarked cells");
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) to(y, x) = unmarked;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    auto const& s = seeds[i];
    Label& cell = to(s.y, s.x);
    expects(cell == unmarked || cell == s.label, "mark_seeds: seed ", i, " gives the cell (", s.y, ",", s.x,
            ") the label ", s.label, ", which has ", cell, " already");
    cell = s.label;
  }
}

/// As mark_seeds_into, and allocates.
template <class Label>
[[nodiscard]] grid<Label, 2> mark_seeds(std::span<geodesic_seed<Label> const> seeds, extent2 size,
                                        std::type_identity_t<Label> unmarked = 0)
{
  auto out = make_grid<Label>({size.height, size.width});
  mark_seeds_into(seeds, unmarked, out);
  return out;
}

/// Memory for geodesic under a policy P. It grows to the largest map.
template <class P, class T = float, class Label = std::int32_t>
struct geodesic_scratch : geodesic_rules_scratch<P, T> {};
template <class T, class Label>
struct geodesic_scratch<cpu, T, Label> : geodesic_cores_scratch<T, Label> {};

/// Does a cell hold a seed?
template <class Label>
bool any_seed(image_view<Label const> seeds, Label unmarked)
{
  for (index_t y = 0; y < seeds.extent[0]; ++y)
    for (index_t x = 0; x < seeds.extent[1]; ++x)
      if (seeds(y, x) != unmarked) return true;
  return false;
}

/// The schedule of cores, for a number of neighbours.
template <int Size, class T, class Label>
void geodesic_by_search(cpu const& where, stack_view<T const> cost, image_view<Label const> seeds,
                        geodesic_options<Label> const& options, image_view<T> distance, image_view<Label> label,
                        image_view<T> confidence, geodesic_scratch<cpu, T, Label>& scratch)
{
  using cell = geodesic_cell<T, Label>;
  index_t const H = distance.extent[0], W = distance.extent[1], all = (H + 2) * (W + 2);
  T const far = std::numeric_limits<T>::infinity();
  auto const limit = static_cast<T>(std::min(options.limit, static_cast<double>(std::numeric_limits<T>::max())));
  T const gap = expects_costs(where, cost, options.near);
  geodesic_steps<T> const steps(cost, options.near, reserve(where, scratch.toll, all * geodesic_steps<T>::tolls));
  cell* const first = reserve(where, scratch.first, all);
  std::fill_n(first, all, cell{T(-1), options.unmarked});
  scratch.heap.clear();
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const seed = seeds(y, x) != options.unmarked;
      first[steps.cell(y, x)] = {seed ? T(0) : far, seeds(y, x)};
      if (seed) scratch.heap.push(0, static_cast<std::int32_t>(steps.cell(y, x)));
    }
  auto const is_seed = [&](std::int32_t c) {  // asked at distance 0 only
    return seeds(c / steps.width - 1, c % steps.width - 1) != options.unmarked;
  };
  geodesic_search<Size>(
      where, steps, gap, limit, first, [](std::int32_t, std::int32_t) { return true; },
      [&](std::int32_t from, std::int32_t to, bool shorter) {
        cell& c = first[to];
        if (!shorter && (first[from].label >= c.label || (c.distance == 0 && is_seed(to)))) return false;
        c.label = first[from].label;
        return true;
      },
      scratch);
  cell* second = nullptr;
  if (confidence.data != nullptr) {
    second = reserve(where, scratch.second, all);
    for (index_t i = 0; i < all; ++i) second[i] = {first[i].distance < 0 ? T(-1) : far, first[i].label};
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const i = static_cast<std::int32_t>(steps.cell(y, x));
        steps.template around<Size>(i, first[i].distance, second, [&](std::int32_t next, T there) {
          if (second[i].label != second[next].label && there <= limit) second[next].distance = there;
        });
      }
    scratch.heap.clear();
    for (index_t i = 0; i < all; ++i)
      if (second[i].distance >= 0 && second[i].distance < far)
        scratch.heap.push(second[i].distance, static_cast<std::int32_t>(i));
    geodesic_search<Size>(
        where, steps, gap, limit, second,
        [&](std::int32_t from, std::int32_t to) { return second[from].label == second[to].label; },
        [](std::int32_t, std::int32_t, bool) { return false; }, scratch);
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      cell const& c = first[steps.cell(y, x)];
      distance(y, x) = c.distance, label(y, x) = c.label;
      if (second) confidence(y, x) = rule::margin(c.distance, second[steps.cell(y, x)].distance);
    }
}

template <class T, class Label>
void geodesic_on(cpu const& where, stack_view<T const> cost, image_view<Label const> seeds,
                 geodesic_options<Label> const& options, image_view<T> distance, image_view<Label> label,
                 image_view<T> confidence, geodesic_scratch<cpu, T, Label>& scratch)
{
  if (options.near == c8)
    geodesic_by_search<8>(where, cost, seeds, options, distance, label, confidence, scratch);
  else
    geodesic_by_search<4>(where, cost, seeds, options, distance, label, confidence, scratch);
}

/// Give every cell the label of the seed that the cheapest path leads to.
///
///   D_l(q)     = min over paths from the seeds of label l to q of the sum of their steps' costs
///   distance   = min over l of D_l,   second = min over the other labels
///   confidence = (second - distance) / (second + distance)
///
/// A sum begins at the seed and is rounded after each step. A seed keeps its label. Another cell has the smallest label
/// of the neighbours from which a step ends at its distance exactly. If steps without cost lead around, it is the
/// smallest label that such steps lead to. So the result does not depend on the order of work.
///
/// @param where       where to run
/// @param cost        [K,H,W] of float or double: cost(k,y,x) of the step between (y,x) and (y,x) + after(near, k), in
///                    either direction, as geodesic_costs makes them; >= 0; infinity: there is no step. Where the
///                    neighbour is outside the map it does not count
/// @param seeds       [H,W] labels of an integer type of at most 32 bits, or `options.unmarked`
/// @param options     the steps, the value of unmarked cells, the limit
/// @param distance    [H,W]; infinity where no seed is reached
/// @param label       [H,W]; `options.unmarked` where no seed is reached
/// @param confidence  [H,W] in [0,1], or a null view: 0 where two labels are equally near and where no seed is reached,
///                    1 at a seed and where no other label is reached
/// @param scratch     of any earlier call; it grows to the largest map and allocates nothing else
///
/// @pre          fewer than 2^31 cells, with a frame of one; no NaN and no negative cost
/// @throws       precondition_error before anything is written; on the cpu also when no cell has a seed. On a device all
///               cells are then unreached
/// @invariant    a larger cost never makes a distance smaller; |distance(p) - distance(q)| <= cost between neighbours, up
///               to rounding
/// @complexity   cpu: O(H * W * (K + log of the distances' bits)) on one thread. A device: O(H * W * K) for each step of the
///               longest of the paths, and for two labels twice
/// @determinism  exact: every policy has the same bits
/// @asynchrony   gpu: waits for where.stream after every 32 steps
/// @source       Dijkstra 1959; the heap: Ahuja, Mehlhorn, Orlin, Tarjan 1990. Boost.Graph's algorithm has the same
///               distances, on interop/boost_graph.hpp's cell_graph
template <execution_policy P, stack_like C, image_like L, image_like D, image_like O, image_like F>
  requires reaches<P, space_of<C, 3>> && reaches<P, space_of<L, 2>> && reaches<P, space_of<D, 2>> &&
           reaches<P, space_of<O, 2>> && reaches<P, space_of<F, 2>>
void geodesic_into(P const& where, C const& cost, L const& seeds,
                   std::type_identity_t<geodesic_options<value_of<L, 2>>> const& options, D&& distance, O&& label,
                   F&& confidence, geodesic_scratch<P, value_of<C, 3>, value_of<L, 2>>& scratch)
{
  using S = typename P::memory;
  using T = value_of<C, 3>;
  using Label = value_of<L, 2>;
  static_assert(std::is_floating_point_v<T>, "geodesic: costs are float or double");
  static_assert(std::is_integral_v<Label> && !std::is_same_v<Label, bool> && sizeof(Label) <= 4,
                "geodesic: seeds are integers of at most 32 bits");
  static_assert(
      std::is_same_v<T, value_of<D, 2>> && std::is_same_v<T, value_of<F, 2>> && std::is_same_v<Label, value_of<O, 2>>,
      "geodesic: distance and confidence have the type of the costs, label that of the seeds");
  view<T const, 3, S> const steps = as_view<3>(cost, "geodesic: cost");
  view<Label const, 2, S> const from = as_view<2>(seeds, "geodesic: seeds");
  view<T, 2, S> const far = as_view<2>(distance, "geodesic: distance");
  view<Label, 2, S> const to = as_view<2>(label, "geodesic: label");
  view<T, 2, S> const sure = as_view<2>(confidence, "geodesic: confidence");
  index_t const H = from.extent[0], W = from.extent[1];
  expects(options.near == c4 || options.near == c8, "geodesic: the neighbourhood is neither c4 nor c8");
  expects(steps.extent[0] == options.near.size && steps.extent[1] == H && steps.extent[2] == W, "geodesic: cost is ",
          steps, " but seeds are ", from, " and a cell has ", options.near.size, " neighbours after it");
  expects(same_shape(from, far), "geodesic: seeds are ", from, " but distance is ", far);
  expects(same_shape(from, to), "geodesic: seeds are ", from, " but label is ", to);
  expects(sure.data == nullptr || same_shape(from, sure), "geodesic: seeds are ", from, " but confidence is ", sure);
  expects(!overlap(far, to) && !overlap(far, sure) && !overlap(to, sure), "geodesic: two of the results overlap");
  expects(!overlap(steps, far) && !overlap(steps, to) && !overlap(steps, sure), "geodesic: cost and a result overlap");
  expects(!overlap(from, far) && !overlap(from, to) && !overlap(from, sure), "geodesic: seeds and a result overlap");
  expects(static_cast<double>(H + 2) * static_cast<double>(W + 2) < 2147483648.0, "geodesic: a map of ", from,
          " is too large");
  expects(options.limit >= 0, "geodesic: limit is ", options.limit, "; expected a number >= 0");
  if (from.size() == 0) return;
  if constexpr (std::is_same_v<P, cpu>) {
    expects_costs(where, steps, options.near);
    expects(any_seed(from, options.unmarked), "geodesic: no cell of the seeds has a label; all are ",
            +options.unmarked);
  }
  geodesic_on(where, steps, from, options, far, to, sure, scratch);
}

/// As geodesic_into, and allocates, with the confidence.
/// @return distance, label and confidence [H,W] in the memory of the policy
template <execution_policy P, stack_like C, image_like L>
  requires reaches<P, space_of<C, 3>> && reaches<P, space_of<L, 2>>
[[nodiscard]] auto geodesic(P const& where, C const& cost, L const& seeds,
                            geodesic_options<value_of<L, 2>> const& options = {})
{
  using T = value_of<C, 3>;
  using Label = value_of<L, 2>;
  auto const from = as_view<2>(seeds, "geodesic: seeds");
  index_t const size[2] = {from.extent[0], from.extent[1]};
  geodesic_map<T, Label, typename P::memory> out{make_grid<T>(where, size), make_grid<Label>(where, size),
                                                 make_grid<T>(where, size)};
  geodesic_scratch<P, T, Label> scratch;
  geodesic_into(where, cost, seeds, options, out.distance, out.label, out.confidence, scratch);
  return out;
}

}  // namespace cambium
