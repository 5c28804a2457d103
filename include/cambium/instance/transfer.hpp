#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/targets.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// Where the points come from that tell instances apart.
enum class supervision {
  image,  ///< peaks of class maps: the heat map stands at the centroids of accepted components
  point,  ///< someone's clicks: the heat map stands at every one of them, whatever they lie on
};

/// What a component with more than one cue is.
enum class several_cues {
  reject,  ///< nothing is known about it: the original
  split,   ///< as many instances: each cell belongs to the nearest cue
};

struct transfer_options {
  supervision sup = supervision::image;
  int sigma = 6;          ///< [cells] of the heat map
  index_t smallest = 50;  ///< [cells] components of less are dropped
  centroid centre = centroid::truncated;
  several_cues several = several_cues::reject;
};

/// The stamp of the heat maps. Throws unless these lists can be transferred to maps of these shapes.
template <class L, class S>
heat_stamp expects_transferable(image_view<L, S> const& label, std::vector<std::int32_t> const& categories,
                                points const& cues, transfer_options const& options, centre_targets_view<S> const& out)
{
  index_t const H = label.extent[0], W = label.extent[1], C = out.centre.extent[0];
  expects_targets_over(out, H, W, "transfer");
  expects_sigma(options.sigma, "transfer");
  expects(options.smallest >= 0, "transfer: smallest is ", options.smallest);
  for (auto const c : categories) expects(-1 <= c && c < C, "transfer: category ", c, " is outside -1..", C - 1);
  bool const exact = options.centre == centroid::exact;
  heat_stamp stamp(options.sigma, exact ? stamping::exact : stamping::original);
  for (point const& p : cues) {
    expects(0 <= p.category && p.category < C, "transfer: category ", p.category, " of a cue is outside 0..", C - 1);
    expects(0 <= p.y && p.y < static_cast<double>(H) && 0 <= p.x && p.x < static_cast<double>(W),
            "transfer: a cue at (", p.y, ",", p.x, ") is off the map of ", label);
    expects(options.sup == supervision::image || !stamp.refuses(H, W, p.y, p.x), "transfer: a cue at the half cell (",
            p.y, ",", p.x, "), which the original refuses; round it, or take centroid::exact");
  }
  return stamp;
}

/// Turn the components of a semantic map into pseudo instances where exactly one cue says that it is one object.
///
/// A component with exactly one cue of its own class is an instance: on it weight = 1 and offset = centroid - cell.
/// Everywhere else, the background included, offset and weight are 0.
///
/// @param where       cpu
/// @param components  [H,W] 0..N: components of one class each, corners connect
/// @param categories  N entries: the class of component i+1, 0..C-1, or -1 for one that is no instance of anything
/// @param cues        points on the map, of classes 0..C-1; a fraction of a coordinate counts for the heat map only
/// @param options     sup = image, sigma = 6, smallest = 50, centre = truncated, several = reject
/// @param out         centre [C,H,W], offset [2,H,W], weight [H,W]
///
/// @throws       precondition_error before anything is written: labels outside 0..N, classes outside 0..C-1, a cue off the
///               map, shapes that differ, sigma outside 1..200; clicks as centre_map
/// @invariant    the order of components and cues does not matter
/// @complexity   Theta(C * H * W) for the empty heat maps, two passes over the labels
/// @determinism  exact
/// @source       Kim et al., CVPR 2022, section 3.2; pseudo_label_generation, utils/utils.py of clovaai/BESTIE. With points,
///               its offsets lead to the centroid all the same and disagree with the heat map. Splitting is P2Seg's
template <image_like L>
void transfer_into(cpu const& where, L const& components, std::vector<std::int32_t> const& categories,
                   points const& cues, transfer_options options, centre_targets_view<> const& out)
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "transfer: components are integers");
  auto const label = as_view<2>(components, "transfer: components");
  index_t const N = static_cast<index_t>(categories.size());
  bool const exact = options.centre == centroid::exact;
  heat_stamp const stamp = expects_transferable(label, categories, cues, options, out);
  struct run {
    index_t y, begin, end;
    std::size_t component;
  };
  std::vector<run> runs;  // of components; the map is walked once
  std::vector<index_t> area(static_cast<std::size_t>(N + 1), 0);
  for_each_run(label, [&](index_t y, index_t begin, index_t end, value_of<L, 2> at) {
    expects(static_cast<std::uint64_t>(at) <= static_cast<std::uint64_t>(N), "transfer: component(", y, ",", begin,
            ") is ", at, ", outside 0..", N);  // a negative one is a large number without a sign
    if (at == 0 || categories[static_cast<std::size_t>(at - 1)] < 0) return;
    area[static_cast<std::size_t>(at)] += end - begin;
    runs.push_back({y, begin, end, static_cast<std::size_t>(at)});
  });

  // The instances: those of component i are parts[first[i]] ..., one for each of its cues.
  struct part {
    double cue_y, cue_x;
    index_t area = 0, sum_y = 0, sum_x = 0;
    double y = 0, x = 0;
  };
  std::vector<index_t> cue_count(static_cast<std::size_t>(N + 1), 0), first = cue_count;
  auto const component_of = [&](point const& p) -> std::size_t {
    auto const at = static_cast<std::size_t>(label(static_cast<index_t>(p.y), static_cast<index_t>(p.x)));
    return at != 0 && categories[at - 1] == p.category && area[at] >= options.smallest ? at : 0;
  };
  for (point const& p : cues) ++cue_count[component_of(p)];
  cue_count[0] = 0;
  std::vector<part> parts;
  for (std::size_t i = 1; i < cue_count.size(); ++i) {
    if (options.several == several_cues::reject && cue_count[i] > 1) cue_count[i] = 0;
    first[i] = static_cast<index_t>(parts.size());
    parts.resize(parts.size() + static_cast<std::size_t>(cue_count[i]));
  }
  {
    std::vector<index_t> next = first;
    for (point const& p : cues)
      if (auto const i = component_of(p); cue_count[i] != 0) {
        part& mine = parts[static_cast<std::size_t>(next[i]++)];
        mine.cue_y = p.y, mine.cue_x = p.x;
      }
  }
  auto const part_at = [&](std::size_t i, index_t y, index_t x) -> part& {
    auto const begin = static_cast<std::size_t>(first[i]), end = begin + static_cast<std::size_t>(cue_count[i]);
    std::size_t best = begin;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t k = begin; k < end; ++k) {
      double const dy = parts[k].cue_y - static_cast<double>(y), dx = parts[k].cue_x - static_cast<double>(x);
      double const square = rounded_product(dy, dy) + rounded_product(dx, dx);
      if (square < least) least = square, best = k;
    }
    return parts[best];
  };
  // Calls body(instance, y, begin, end) for every run of cells of an instance.
  auto const for_each_part = [&](auto const& body) {
    for (run const& r : runs)
      if (cue_count[r.component] == 1)
        body(parts[static_cast<std::size_t>(first[r.component])], r.y, r.begin, r.end);
      else if (cue_count[r.component] > 1)
        for (index_t x = r.begin; x < r.end; ++x) body(part_at(r.component, r.y, x), r.y, x, x + 1);
  };
  for_each_part([](part& mine, index_t y, index_t begin, index_t end) {
    mine.area += end - begin;
    mine.sum_y += y * (end - begin);
    mine.sum_x += (begin + end - 1) * (end - begin) / 2;
  });
  for (part& p : parts) {
    if (p.area == 0) continue;  // another cue was nearer everywhere
    p.y = static_cast<double>(p.sum_y) / static_cast<double>(p.area);
    p.x = static_cast<double>(p.sum_x) / static_cast<double>(p.area);
    if (!exact) p.y = std::trunc(p.y), p.x = std::trunc(p.x);
  }

  clear(where, out.centre);
  clear(where, out.offset);
  for (index_t y = 0; y < out.weight.extent[0]; ++y)
    if (out.weight.extent[1] > 0) std::fill_n(&out.weight(y, 0), out.weight.extent[1], 0.f);
  for_each_part([&](part const& mine, index_t y, index_t begin, index_t end) {
    std::fill(&out.weight(y, 0) + begin, &out.weight(y, 0) + end, 1.f);
    std::fill(&out.offset(0, y, 0) + begin, &out.offset(0, y, 0) + end,
              static_cast<float>(mine.y - static_cast<double>(y)));
    float* const across = &out.offset(1, y, 0);
    for (index_t x = begin; x < end; ++x) across[x] = static_cast<float>(mine.x - static_cast<double>(x));
  });
  if (options.sup == supervision::point) {
    for (point const& p : cues) stamp(out.centre[p.category], p.y, p.x);
    return;
  }
  for (std::size_t i = 1; i < cue_count.size(); ++i)
    for (index_t k = first[i]; k < first[i] + cue_count[i]; ++k)
      if (part const& p = parts[static_cast<std::size_t>(k)]; p.area > 0)
        stamp(out.centre[categories[i - 1]], p.y, p.x);
}

/// As transfer_into, and allocates the result.
/// @param C  number of classes
template <image_like L>
[[nodiscard]] centre_targets<> transfer(cpu const& where, L const& components,
                                        std::vector<std::int32_t> const& categories, points const& cues, index_t C,
                                        transfer_options options = {})
{
  auto const label = as_view<2>(components, "transfer: components");
  auto out = make_targets(where, C, {label.extent[0], label.extent[1]}, "transfer");
  transfer_into(where, components, categories, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------

/// What is known of a component.
struct cued_component {
  index_t area;  ///< 0 where it has no class
  index_t cues;  ///< its own
  index_t only;  ///< the first of them
};

/// What is known of a cue.
struct cue_part {
  index_t component;  ///< of which it makes an instance, 0 for none
  index_t area, sum_y, sum_x;
  double y, x;  ///< of its instance
};

/// The state that the rules of transfer share.
template <class L, class S>
struct transfer_state {
  image_view<L const, S> label;
  view<std::int32_t const, 1, S> category;
  view<point const, 1, S> cue;
  transfer_options options;
  cued_component* component;  ///< N + 1
  cue_part* part;             ///< one for each cue

  /// The number of a component with a class, otherwise 0.
  CAMBIUM_HD index_t component_at(index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(label(y, x));
    return 0 < at && at <= category.extent[0] && category(at - 1) >= 0 ? at : 0;
  }
  /// The cue that takes a cell, or -1.
  CAMBIUM_HD index_t part_at(index_t y, index_t x) const
  {
    index_t const at = component_at(y, x);
    if (at == 0 || component[at].cues == 0) return -1;
    if (component[at].cues == 1) return component[at].only;
    if (options.several == several_cues::reject) return -1;
    index_t best = component[at].only;
    double least = distance(best, y, x);
    for (index_t k = best + 1; k < cue.extent[0]; ++k) {
      if (part[k].component != at) continue;
      double const d = distance(k, y, x);
      if (d < least) least = d, best = k;
    }
    return best;
  }

 private:
  CAMBIUM_HD double distance(index_t k, index_t y, index_t x) const
  {
    double const dy = cue(k).y - static_cast<double>(y), dx = cue(k).x - static_cast<double>(x);
    return rounded_product(dy, dy) + rounded_product(dx, dx);
  }
};

/// Of components, and of cues: nothing is known.
struct forget_cued {
  cued_component* component;
  index_t components;
  cue_part* part;
  index_t cues;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i < components) component[i] = {0, 0, cues};
    if (i < cues) part[i] = {0, 0, 0, 0, 0, 0};
  }
};

/// A piece of a row adds its cells to their components, or to their instances: mostly to one, which is told once.
template <class L, class S>
struct add_cued_piece {
  static constexpr index_t length = 16;  ///< [cells]
  transfer_state<L, S> state;
  bool to_parts;

  static index_t count(index_t height, index_t width) { return height * ((width + length - 1) / length); }

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const width = state.label.extent[1], pieces = (width + length - 1) / length;
    index_t const y = i / pieces, first = i % pieces * length, last = first + length < width ? first + length : width;
    index_t at = target(y, first);
    for (index_t begin = first; begin < last;) {
      index_t end = begin + 1, next = -1;
      while (end < last && (next = target(y, end)) == at) ++end;
      add(at, y, begin, end);
      begin = end, at = next;
    }
  }

 private:
  CAMBIUM_HD index_t target(index_t y, index_t x) const
  {
    return to_parts ? state.part_at(y, x) : state.component_at(y, x);
  }
  CAMBIUM_HD void add(index_t at, index_t y, index_t begin, index_t end) const
  {
    index_t const cells = end - begin;
    if (!to_parts && at > 0) atomic_add(&state.component[at].area, cells);
    if (!to_parts || at < 0) return;
    atomic_add(&state.part[at].area, cells);
    atomic_add(&state.part[at].sum_y, y * cells);
    atomic_add(&state.part[at].sum_x, (begin + end - 1) * cells / 2);
  }
};

/// A cue of a component's class on it is its own.
template <class L, class S>
struct claim_component {
  transfer_state<L, S> state;

  CAMBIUM_HD void operator()(index_t k) const
  {
    point const p = state.cue(k);
    bool const on_map = 0 <= p.y && p.y < static_cast<double>(state.label.extent[0]) && 0 <= p.x &&
                        p.x < static_cast<double>(state.label.extent[1]);
    if (!on_map) return;
    index_t const at = state.component_at(static_cast<index_t>(p.y), static_cast<index_t>(p.x));
    if (at == 0 || state.category(at - 1) != p.category || state.component[at].area < state.options.smallest) return;
    state.part[k].component = at;
    atomic_add(&state.component[at].cues, index_t{1});
    atomic_min(&state.component[at].only, k);
  }
};

/// Where an instance's cells are led to, and where its heat map stands.
template <class L, class S>
struct settle_part {
  transfer_state<L, S> state;
  view<point, 1, S> stamp;

  CAMBIUM_HD void operator()(index_t k) const
  {
    cue_part& mine = state.part[k];
    stamp(k) = point{0, 0, -1, 1};
    if (mine.area > 0) {  // otherwise another cue was nearer everywhere
      mine.y = static_cast<double>(mine.sum_y) / static_cast<double>(mine.area);
      mine.x = static_cast<double>(mine.sum_x) / static_cast<double>(mine.area);
      if (state.options.centre != centroid::exact) mine.y = std::trunc(mine.y), mine.x = std::trunc(mine.x);
      stamp(k) = point{mine.y, mine.x, state.category(mine.component - 1), 1};
    }
    if (state.options.sup == supervision::point) stamp(k) = state.cue(k);
  }
};

template <class L, class S>
struct write_part {
  transfer_state<L, S> state;
  stack_view<float, S> offset;
  image_view<float, S> weight;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const k = state.part_at(y, x);
    weight(y, x) = k < 0 ? 0.f : 1.f;
    offset(0, y, x) = k < 0 ? 0.f : static_cast<float>(state.part[k].y - static_cast<double>(y));
    offset(1, y, x) = k < 0 ? 0.f : static_cast<float>(state.part[k].x - static_cast<double>(x));
  }
};

/// What transfer works in; it grows to the longest lists. The kernel is that of the last sigma.
template <execution_policy P>
struct transfer_scratch {
  using S = typename P::memory;
  grid<cued_component, 1, S> components;
  grid<cue_part, 1, S> parts;
  grid<point, 1, S> stamps;
  stamp_scratch<P> kernel;
};

/// As transfer_into in transfer.hpp, with the lists in the policy's memory.
///
/// @param categories  [N] int32
/// @param cues        [M] points
///
/// @pre          as there. On a device no value is refused: labels outside 0..N are background, cues off the map make no
///               instance, and where the original refuses a half cell the kernel is cut
/// @throws       precondition_error: shapes that differ, sigma outside 1..200, a negative smallest
/// @complexity   as there; cells of components with several cues that are split look at every cue
/// @determinism  exact, but for heat maps between cells (centroid::exact): within 1 ulp of float
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows or sigma changes
template <execution_policy P, image_like L, gridded<1> K, gridded<1> Q>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && reaches<P, space_of<K, 1>> &&
          reaches<P, space_of<Q, 1>>
void transfer_into(P const& where, L const& components, K const& categories, Q const& cues, transfer_options options,
                   centre_targets_view<typename P::memory> const& out, transfer_scratch<P>& scratch)
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<cell_type>, "transfer: components are integers");
  image_view<cell_type const, S> const label = as_view<2>(components, "transfer: components");
  view<std::int32_t const, 1, S> const category = as_view<1>(categories, "transfer: categories");
  view<point const, 1, S> const cue = as_view<1>(cues, "transfer: cues");
  index_t const H = label.extent[0], W = label.extent[1], cells[3] = {1, H, W};
  index_t const N = category.extent[0], M = cue.extent[0];
  static_cast<void>(expects_transferable(label, {}, {}, options, out));
  transfer_state<cell_type, S> const state{
      label, category, cue, options, reserve(where, scratch.components, N + 1), reserve(where, scratch.parts, M)};
  view<point, 1, S> const stamps(reserve(where, scratch.stamps, M), {M});
  using piece = add_cued_piece<cell_type, S>;
  for_each_index(where, N + 1 > M ? N + 1 : M, forget_cued{state.component, N + 1, state.part, M});
  for_each_index(where, piece::count(H, W), piece{state, false});
  for_each_index(where, M, claim_component<cell_type, S>{state});
  for_each_index(where, piece::count(H, W), piece{state, true});
  for_each_index(where, M, settle_part<cell_type, S>{state, stamps});
  for_each_cell(where, cells, write_part<cell_type, S>{state, out.offset, out.weight});
  stamping const rounding = options.centre == centroid::exact ? stamping::exact : stamping::original;
  stamp_centres(where, view<point const, 1, S>(stamps), {options.sigma, rounding}, out.centre, scratch.kernel);
}

/// As transfer in transfer.hpp: the lists come from the host, and are looked at.
/// @asynchrony enqueues and returns
template <execution_policy P, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
[[nodiscard]] auto transfer(P const& where, L const& components, std::vector<std::int32_t> const& categories,
                            points const& cues, index_t C, transfer_options options = {})
    -> centre_targets<typename P::memory>
{
  auto const label = as_view<2>(components, "transfer: components");
  auto out = make_targets(where, C, {label.extent[0], label.extent[1]}, "transfer");
  centre_targets_view<typename P::memory> const to{out.centre, out.offset, out.weight};
  static_cast<void>(expects_transferable(label, categories, cues, options, to));
  index_t const N = static_cast<index_t>(categories.size()), M = static_cast<index_t>(cues.size());
  auto category = make_grid<std::int32_t>(where, {N});
  auto cue = make_grid<point>(where, {M});
  copy(where, view<std::int32_t const, 1>(categories.data(), {N}), category.view());
  copy(where, view<point const, 1>(cues.data(), {M}), cue.view());
  transfer_scratch<P> scratch;
  transfer_into(where, label, category, cue, options, to, scratch);
  return out;
}

}  // namespace cambium
