#pragma once
// transfer on a GPU. A cue that makes an instance is the instance: both have one number.

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/reserve.hpp>
#include <cambium/instance/targets.cuh>
#include <cambium/instance/transfer.hpp>

namespace cambium {

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
  grid<float, 2, S> kernel;
  int sigma = 0;
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
                   centre_targets_view_in<typename P::memory> const& out, transfer_scratch<P>& scratch)
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<cell_type>, "transfer: components are integers");
  image_view<cell_type const, S> const label = as_view<2>(components, "transfer: components");
  view<std::int32_t const, 1, S> const category = as_view<1>(categories, "transfer: categories");
  view<point const, 1, S> const cue = as_view<1>(cues, "transfer: cues");
  index_t const H = label.extent[0], W = label.extent[1], cells[3] = {1, H, W};
  index_t const N = category.extent[0], M = cue.extent[0];
  heat_stamp const stamp = expects_transferable(label, {}, {}, options, out);
  if (scratch.sigma != options.sigma) scratch.kernel = copy_of(where, stamp), scratch.sigma = options.sigma;
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
  stamp_centres<P, S>(where, stamps, scratch.kernel.view(), options.sigma, rounding, out.centre);
}

/// As transfer in transfer.hpp: the lists come from the host, and are looked at.
/// @asynchrony enqueues and returns
template <execution_policy P, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
[[nodiscard]] auto transfer(P const& where, L const& components, std::vector<std::int32_t> const& categories,
                            points const& cues, index_t C,
                            transfer_options options = {}) -> centre_targets_in<typename P::memory>
{
  auto const label = as_view<2>(components, "transfer: components");
  auto out = make_targets(where, C, {label.extent[0], label.extent[1]}, "transfer");
  centre_targets_view_in<typename P::memory> const to{out.centre, out.offset, out.weight};
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
