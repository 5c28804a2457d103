#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/targets.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Where the points come from that tell instances apart.
enum class supervision {
  image,  ///< peaks of class maps: the heat map stands at the centroids of accepted components
  point,  ///< someone's clicks: the heat map stands at every one of them, whatever they lie on
};

/// What a component with more than one cue becomes.
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

/// Throws unless these lists of the host can be transferred to maps of these shapes.
template <class L, class S>
void expects_transferable(image_view<L, S> const& label, view<std::int32_t const, 1> categories,
                          view<point const, 1> cues, transfer_options const& options, centre_targets_view<S> const& out)
{
  index_t const H = label.extent[0], W = label.extent[1], C = out.centre.extent[0];
  expects_targets_over(out, H, W, "transfer");
  expects_sigma(options.sigma, "transfer");
  expects(options.smallest >= 0, "transfer: smallest is ", options.smallest);
  for (index_t i = 0; i < categories.extent[0]; ++i)
    expects(-1 <= categories(i) && categories(i) < C, "transfer: category ", categories(i), " is outside -1..", C - 1);
  stamping const rounding = options.centre == centroid::exact ? stamping::exact : stamping::original;
  for (index_t k = 0; k < cues.extent[0]; ++k) {
    point const p = cues(k);
    expects(0 <= p.category && p.category < C, "transfer: category ", p.category, " of a cue is outside 0..", C - 1);
    expects(0 <= p.y && p.y < static_cast<double>(H) && 0 <= p.x && p.x < static_cast<double>(W),
            "transfer: a cue at (", p.y, ",", p.x, ") is off the map of ", label);
    expects(options.sup == supervision::image || !heat_stamp::refuses({options.sigma, rounding}, {H, W}, p.y, p.x),
            "transfer: a cue at the half cell (", p.y, ",", p.x,
            "), which the original refuses; round it, or take centroid::exact");
  }
}

/// What is known of a component.
struct cued_component {
  index_t area;  ///< 0 where it has no class
  index_t cues;  ///< its own
  index_t only;  ///< the first of them
};

/// What is known of a cue.
struct cue_part {
  index_t component;  ///< of which it makes an instance, 0 for none
  index_t next;       ///< the next cue of that component, if it has several
  index_t area, sum_y, sum_x;
  double y, x;  ///< of its instance
};

/// The state that the rules of transfer share.
template <class S>
struct transfer_state {
  view<std::int32_t const, 1, S> category;
  view<point const, 1, S> cue;
  transfer_options options;
  cued_component* component;  ///< N + 1
  cue_part* part;             ///< one for each cue

  /// Is there such a component, and has it a class?
  CAMBIUM_HD bool counts(index_t at) const { return 0 < at && at <= category.extent[0] && category(at - 1) >= 0; }

  /// Call body(cue, cells) for the parts of cells of one component that its cues take. False if they take none.
  template <class Body>
  CAMBIUM_HD bool share_out(index_t at, box const& cells, Body const& body) const
  {
    if (at < 0 || at > category.extent[0] || component[at].cues == 0) return false;
    if (component[at].cues == 1) return body(component[at].only, cells), true;
    if (options.several == several_cues::reject) return false;
    for (index_t y = cells.top; y < cells.bottom; ++y)
      for (index_t x = cells.left; x < cells.right; ++x) body(nearest(at, y, x), box{y, x, y + 1, x + 1});
    return true;
  }

 private:
  /// The nearest cue of a component, of those equally near the first.
  CAMBIUM_HD index_t nearest(index_t at, index_t y, index_t x) const
  {
    index_t best = component[at].only;
    double least = distance(best, y, x);
    for (index_t k = part[best].next; k < cue.extent[0]; k = part[k].next)
      if (double const d = distance(k, y, x); d < least) least = d, best = k;
    return best;
  }
  CAMBIUM_HD double distance(index_t k, index_t y, index_t x) const
  {
    double const dy = cue(k).y - static_cast<double>(y), dx = cue(k).x - static_cast<double>(x);
    return rounded_product(dy, dy) + rounded_product(dx, dx);
  }
};

/// What transfer works in; it grows to the longest lists.
template <execution_policy P>
struct transfer_scratch {
  using S = typename P::memory;
  grid<cued_component, 1, S> components;
  grid<cue_part, 1, S> parts;
  grid<point, 1, S> stamps;
  stamp_scratch<P> kernel;
};

namespace rule {

/// Of components, and of cues: nothing is known.
struct forget_cued {
  cued_component* component;
  index_t components;
  cue_part* part;
  index_t cues;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i < components) component[i] = {0, 0, cues};
    if (i < cues) part[i] = {0, cues, 0, 0, 0, 0, 0};
  }
};

/// A strip is added to its component.
template <writers Of, class S>
struct add_to_component {
  transfer_state<S> state;

  CAMBIUM_HD void operator()(index_t at, box const& b) const
  {
    if (state.counts(at)) add_into<Of>(&state.component[at].area, area_of(b));
  }
};

/// A cue of a component's class on it is its own.
template <class L, class S>
struct claim_component {
  transfer_state<S> state;
  image_view<L const, S> label;

  CAMBIUM_HD void operator()(index_t k) const
  {
    point const p = state.cue(k);
    bool const on_map = 0 <= p.y && p.y < static_cast<double>(label.extent[0]) && 0 <= p.x &&
                        p.x < static_cast<double>(label.extent[1]);
    if (!on_map) return;
    place const cell = cell_of(p, {label.extent[0], label.extent[1]});
    index_t const at = static_cast<index_t>(label(cell.y, cell.x));
    if (!state.counts(at) || state.category(at - 1) != p.category) return;
    if (state.component[at].area < state.options.smallest) return;
    state.part[k].component = at;
    atomic_add(&state.component[at].cues, index_t{1});
    atomic_min(&state.component[at].only, k);
  }
};

/// The cues of a component with several become a list.
template <class S>
struct link_cues {
  transfer_state<S> state;

  CAMBIUM_HD void operator()(index_t k) const
  {
    index_t const at = state.part[k].component, M = state.cue.extent[0];
    if (at == 0 || state.component[at].cues == 1 || state.options.several == several_cues::reject) return;
    index_t next = k + 1;
    while (next < M && state.part[next].component != at) ++next;
    state.part[k].next = next;
  }
};

/// A strip is added to the instances that share it.
template <writers Of, class S>
struct add_to_parts {
  transfer_state<S> state;

  CAMBIUM_HD void operator()(index_t at, box const& strip) const
  {
    state.share_out(at, strip, [&](index_t k, box const& b) {
      index_t const cells = area_of(b);
      add_into<Of>(&state.part[k].area, cells);
      add_into<Of>(&state.part[k].sum_y, (b.top + b.bottom - 1) * cells / 2);
      add_into<Of>(&state.part[k].sum_x, (b.left + b.right - 1) * cells / 2);
    });
  }
};

/// Where an instance's cells are led to, and where its heat map stands.
template <class S>
struct settle_part {
  transfer_state<S> state;
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

/// Cells are led to the centroid of their instance.
template <class S>
struct lead_to_part {
  transfer_state<S> state;
  stack_view<float, S> offset;
  image_view<float, S> weight;

  template <class L>
  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, L at) const
  {
    if (lead(static_cast<index_t>(at), y, begin, end)) return;
    for (index_t x = begin; x < end; ++x) weight(y, x) = offset(0, y, x) = offset(1, y, x) = 0.f;
  }

  /// False, and nothing written, where no instance takes the cells.
  CAMBIUM_HD bool lead(index_t at, index_t y, index_t begin, index_t end) const
  {
    float *const known = &weight(y, 0), *const down = &offset(0, y, 0), *const across = &offset(1, y, 0);
    return state.share_out(at, box{y, begin, y + 1, end}, [&](index_t k, box const& cells) {
      float const dy = static_cast<float>(state.part[k].y - static_cast<double>(y));
      double const to_x = state.part[k].x;
      for (index_t x = cells.left; x < cells.right; ++x) known[x] = 1.f;
      for (index_t x = cells.left; x < cells.right; ++x) down[x] = dy;
      for (index_t x = cells.left; x < cells.right; ++x) across[x] = static_cast<float>(to_x - static_cast<double>(x));
    });
  }
};

}  // namespace rule

/// Cues claim the components that they lie on, whose areas are known.
template <class P, class L, class S>
void claim_components(P const& where, image_view<L const, S> const& label, transfer_state<S> const& state)
{
  for_each_index(where, state.cue.extent[0], rule::claim_component<L, S>{state, label});
  for_each_index(where, state.cue.extent[0], rule::link_cues<S>{state});
}

/// The cpu's schedule: a map is looked at once, for its runs of components with a class.
template <class L>
void transfer_on(cpu const& where, image_view<L const> label, transfer_state<host> const& state,
                 view<point, 1> const& stamps, centre_targets_view<> const& out)
{
  struct run {
    index_t y, begin, end, component;
  };
  std::vector<run> runs;
  index_t const N = state.category.extent[0];
  for_each_run(label, [&](index_t y, index_t begin, index_t end, L at) {
    expects(static_cast<std::uint64_t>(at) <= static_cast<std::uint64_t>(N), "transfer: component(", y, ",", begin,
            ") is ", at, ", outside 0..", N);  // a negative one is a large number without a sign
    index_t const i = static_cast<index_t>(at);
    if (!state.counts(i)) return;
    state.component[i].area += end - begin;
    runs.push_back({y, begin, end, i});
  });
  claim_components(where, label, state);
  for (run const& r : runs) rule::add_to_parts<writers::one, host>{state}(r.component, {r.y, r.begin, r.y + 1, r.end});
  for_each_index(where, stamps.extent[0], rule::settle_part<host>{state, stamps});
  clear(where, out.offset);
  clear(where, as_batch(out.weight));
  rule::lead_to_part<host> const to_parts{state, out.offset, out.weight};
  for (run const& r : runs) to_parts.lead(r.component, r.y, r.begin, r.end);
}

/// All other policies: the rules under the policy's loops.
template <class P, class L, class S>
void transfer_on(P const& where, image_view<L const, S> label, transfer_state<S> const& state,
                 view<point, 1, S> const& stamps, centre_targets_view<S> const& out)
{
  for_each_strip(where, label, rule::add_to_component<writers_of<P>, S>{state});
  claim_components(where, label, state);
  for_each_strip(where, label, rule::add_to_parts<writers_of<P>, S>{state});
  for_each_index(where, stamps.extent[0], rule::settle_part<S>{state, stamps});
  for_each_cell(where, as_batch(label).extent,
                rule::by_runs{label, rule::lead_to_part<S>{state, out.offset, out.weight}});
}

/// Turn those components of a semantic map that have exactly one cue into pseudo instances.
///
/// A component with exactly one cue of its own class is an instance: on it weight = 1 and offset = centroid - cell.
/// Everywhere else, the background included, offset and weight are 0.
///
/// @param where       where to run
/// @param components  [H,W] 0..N: components of one class each, corners connect
/// @param categories  [N] int32: the class of component i+1, 0..C-1, or -1 for one that is no instance of anything
/// @param cues        [M] points on the map, of classes 0..C-1; a fraction of a coordinate counts for the heat map only
/// @param options     sup = image, sigma = 6, smallest = 50, centre = truncated, several = reject
/// @param out         centre [C,H,W], offset [2,H,W], weight [H,W]
/// @param scratch     of any earlier call
///
/// @pre          cpu: values are inside their ranges. On a device labels outside 0..N are background, cues off the map
///               make no instance, and where the original refuses a half cell the kernel is cut
/// @throws       precondition_error before anything is written: labels outside 0..N, classes outside 0..C-1, a cue off the
///               map, shapes that differ, sigma outside 1..200, a negative smallest; clicks as centre_map
/// @invariant    the order of components and cues does not matter
/// @complexity   Theta(C * H * W) for the empty heat maps, passes over the labels; cells of components with several cues
///               that are split look at every cue
/// @determinism  exact; on a device heat maps between cells (centroid::exact) are within 1 ulp of float
/// @asynchrony   gpu: enqueues and returns; takes memory only while the scratch grows or sigma changes
/// @source       Kim et al., CVPR 2022, section 3.2; pseudo_label_generation, utils/utils.py of clovaai/BESTIE. With points,
///               its offsets lead to the centroid all the same and disagree with the heat map. Splitting is P2Seg's
template <execution_policy P, image_like L, gridded<1> K, gridded<1> Q>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<K, 1>> && reaches<P, space_of<Q, 1>>
void transfer_into(P const& where, L const& components, K const& categories, Q const& cues, transfer_options options,
                   centre_targets_view<typename P::memory> const& out, transfer_scratch<P>& scratch)
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<cell_type>, "transfer: components are integers");
  image_view<cell_type const, S> const label = as_view<2>(components, "transfer: components");
  view<std::int32_t const, 1, S> const category = as_view<1>(categories, "transfer: categories");
  view<point const, 1, S> const cue = as_view<1>(cues, "transfer: cues");
  index_t const N = category.extent[0], M = cue.extent[0];
  if constexpr (std::is_same_v<P, cpu>)
    expects_transferable(label, category, cue, options, out);
  else
    expects_transferable(label, {}, {}, options, out);
  transfer_state<S> const state{category, cue, options, reserve(where, scratch.components, N + 1),
                                reserve(where, scratch.parts, M)};
  view<point, 1, S> const stamps(reserve(where, scratch.stamps, M), {M});
  for_each_index(where, N + 1 > M ? N + 1 : M, rule::forget_cued{state.component, N + 1, state.part, M});
  transfer_on(where, label, state, stamps, out);
  stamping const rounding = options.centre == centroid::exact ? stamping::exact : stamping::original;
  stamp_centres(where, view<point const, 1, S>(stamps), {options.sigma, rounding}, out.centre, scratch.kernel);
}

/// As transfer_into, the lists from the host: their values are looked at whatever the policy is.
template <execution_policy P, image_like L>
  requires reaches<P, space_of<L, 2>>
void transfer_into(P const& where, L const& components, std::vector<std::int32_t> const& categories, points const& cues,
                   transfer_options options, centre_targets_view<typename P::memory> const& out)
{
  if constexpr (!std::is_same_v<P, cpu>)
    expects_transferable(as_view<2>(components, "transfer: components"),
                         view<std::int32_t const, 1>(categories.data(), {static_cast<index_t>(categories.size())}),
                         view<point const, 1>(cues.data(), {static_cast<index_t>(cues.size())}), options, out);
  transfer_scratch<P> scratch;
  transfer_into(where, components, to_memory(where, categories), to_memory(where, cues), options, out, scratch);
}

/// As transfer_into with lists of the host, and allocates the result.
/// @param C  number of classes
template <execution_policy P, image_like L>
  requires reaches<P, space_of<L, 2>>
[[nodiscard]] auto transfer(P const& where, L const& components, std::vector<std::int32_t> const& categories,
                            points const& cues, index_t C, transfer_options options = {})
    -> centre_targets<typename P::memory>
{
  auto const label = as_view<2>(components, "transfer: components");
  auto out = make_targets(where, C, {label.extent[0], label.extent[1]}, "transfer");
  transfer_into(where, label, categories, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

}  // namespace cambium
