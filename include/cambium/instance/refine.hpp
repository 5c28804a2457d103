#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/instance/targets.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

struct refine_options {
  int sigma = 6;           ///< [cells] of the heat map
  double threshold = 0.3;  ///< a group whose largest response is below it is led to the centroid of its region
  index_t most = 5;        ///< [count] a region with more groups contributes nothing
  centroid centre = centroid::truncated;
};

/// Throws unless so many groups can be refined on maps of these shapes.
template <class R, class I, class S>
void expects_refinable(image_view<R, S> const& region, std::vector<std::int32_t> const& categories,
                       image_view<I, S> const& id, std::vector<index_t> const& first, index_t groups,
                       refine_options const& options, centre_targets_view<S> const& out)
{
  index_t const N = static_cast<index_t>(categories.size()), C = out.centre.extent[0];
  expects(same_shape(region, id), "refine: regions are ", region, " but ids are ", id);
  expects_targets_over(out, region.extent[0], region.extent[1], "refine");
  expects_sigma(options.sigma, "refine");
  expects(!std::isnan(options.threshold), "refine: threshold is nan");
  expects(static_cast<index_t>(first.size()) == N + 1, "refine: first does not divide ", groups, " groups among ", N,
          " regions");
  expects_divided(first, groups, "refine");
  for (auto const c : categories) expects(0 <= c && c < C, "refine: category ", c, " is outside 0..", C - 1);
}

/// Sums over the cells of a region.
struct region_sums {
  index_t area, y, x;
};

/// Where the cells of a group are led to.
struct group_target {
  float y, x, weight;
  std::int32_t known;
};

/// What refine works in; it grows to the longest lists.
template <execution_policy P>
struct refine_scratch {
  using S = typename P::memory;
  grid<region_sums, 1, S> regions;
  grid<group_target, 1, S> targets;
  grid<point, 1, S> stamps;
  grid<std::int32_t, 1, S> categories;
  grid<index_t, 1, S> first;
  stamp_scratch<P> kernel;
};

namespace rule {

struct forget_refined {
  region_sums* of;
  index_t regions;
  group_target* target;
  index_t targets;
  point* stamp;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i < regions) of[i] = {0, 0, 0};
    if (i < targets) target[i] = {0, 0, 0, 0};
    if (i + 1 < targets) stamp[i] = point{0, 0, -1, 1};
  }
};

/// A strip is added to its region.
template <writers Of>
struct add_region {
  index_t regions;
  region_sums* of;

  CAMBIUM_HD void operator()(index_t label, box const& b) const
  {
    if (label <= 0 || label > regions) return;
    index_t const cells = area_of(b);
    add_into<Of>(&of[label].area, cells);
    add_into<Of>(&of[label].y, (b.top + b.bottom - 1) * cells / 2);
    add_into<Of>(&of[label].x, (b.left + b.right - 1) * cells / 2);
  }
};

/// The targets of the groups of region i + 1.
template <class S>
struct aim_groups {
  region_sums const* of;
  view<std::int32_t const, 1, S> category;
  view<index_t const, 1, S> first;
  view<group_measure const, 1, S> groups;
  refine_options options;
  group_target* target;
  point* stamp;

  CAMBIUM_HD void operator()(index_t i) const
  {
    region_sums const& s = of[i + 1];
    index_t const begin = first(i), end = first(i + 1);
    index_t last = end;
    while (last > begin && groups(last - 1).area == 0) --last;
    if (last - begin > options.most) return;
    for (index_t k = begin; k < last; ++k) {
      group_measure const& g = groups(k);
      if (g.area == 0) continue;
      double y = static_cast<double>(g.y), x = static_cast<double>(g.x), sure = g.response * g.probability;
      if (g.response < options.threshold) {
        y = static_cast<double>(s.y) / static_cast<double>(s.area);
        x = static_cast<double>(s.x) / static_cast<double>(s.area);
        if (options.centre != centroid::exact) y = std::trunc(y), x = std::trunc(x);
        sure = g.probability;
      }
      double const weight = sure < 0 ? 0 : sure > 1 ? 1 : sure;
      target[k + 1] = {static_cast<float>(y), static_cast<float>(x), static_cast<float>(weight), 1};
      stamp[k] = point{y, x, category(i), 1};
    }
  }
};

/// Cells of a group are led to its target.
template <class S>
struct lead_run {
  group_target const* target;
  index_t targets;
  stack_view<float, S> offset;
  image_view<float, S> weight;

  template <class I>
  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, I id) const
  {
    index_t const at = static_cast<index_t>(id);
    group_target const t = 0 < at && at < targets ? target[at] : group_target{0, 0, 0, 0};
    for (index_t x = begin; x < end; ++x) {
      weight(y, x) = t.known != 0 ? t.weight : 0.f;
      offset(0, y, x) = t.known != 0 ? t.y - static_cast<float>(y) : 0.f;
      offset(1, y, x) = t.known != 0 ? t.x - static_cast<float>(x) : 0.f;
    }
  }
};

template <class I, class S>
struct lead_to_point {
  image_view<I const, S> id;
  view<point const, 1, S> centres;
  stack_view<float, S> offset;
  image_view<float, S> weight;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(id(y, x));
    bool const known = 0 < at && at <= centres.extent[0];
    weight(y, x) = known ? 1.f : 0.f;
    offset(0, y, x) = known ? static_cast<float>(centres(at - 1).y - static_cast<double>(y)) : 0.f;
    offset(1, y, x) = known ? static_cast<float>(centres(at - 1).x - static_cast<double>(x)) : 0.f;
  }
};

}  // namespace rule

/// Turn groups of cells that a network formed into its next targets.
///
/// The target of a group is the cell of its largest response, its weight that response times its mean probability.
/// Where the response is below the threshold (the cells at a centre vote for another one) the target is the centroid of
/// the whole region and the weight the mean probability alone.
///
/// @param where       where to run
/// @param regions     [H,W] 0..N: components of the foreground
/// @param categories  N entries: the class of region i+1, 0..C-1
/// @param ids         [H,W] 0..K, in regions only, from group_pixels
/// @param first       N + 1 entries: the groups of region i have the ids first[i-1]+1 .. first[i];
///        region_centres::first
/// @param groups      [K] in the policy's memory, from measure_groups. The other lists are the host's
/// @param options     sigma = 6, threshold = 0.3, most = 5, centre = truncated
/// @param out         centre [C,H,W], offset [2,H,W], weight [H,W] in [0,1]; 0 where nothing is known
/// @param scratch     of any earlier call
///
/// @pre          an id lies inside its region. cpu: labels, ids and measures are inside their ranges. On a device other
///               labels are background, and a group without a place on the map leaves no trace on the heat map
/// @throws       precondition_error before anything is written: shapes or lengths that differ, labels, ids or classes
///               outside their ranges, NaN or infinite measures
/// @complexity   Theta(C * H * W) for the empty heat maps, two passes over the labels
/// @determinism  exact; on a device heat maps between cells (centroid::exact) are within 1 ulp of float
/// @asynchrony   gpu: enqueues and returns; takes memory only while the scratch grows or sigma changes
/// @source       Kim et al., CVPR 2022, section 3.4; refine_label_generation, utils/utils.py of clovaai/BESTIE. `most`
///               is compared with the largest id that owns a cell, as there
template <execution_policy P, image_like R, image_like I, gridded<1> G>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<I, 2>> && reaches<P, space_of<G, 1>>
void refine_into(P const& where, R const& regions, std::vector<std::int32_t> const& categories, I const& ids,
                 std::vector<index_t> const& first, G const& groups, refine_options options,
                 centre_targets_view<typename P::memory> const& out, refine_scratch<P>& scratch)
{
  using region_type = value_of<R, 2>;
  using id_type = value_of<I, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<region_type> && std::is_integral_v<id_type>, "refine: labels are integers");
  image_view<region_type const, S> const region = as_view<2>(regions, "refine: regions");
  image_view<id_type const, S> const id = as_view<2>(ids, "refine: ids");
  view<group_measure const, 1, S> const group = as_view<1>(groups, "refine: groups");
  index_t const H = region.extent[0], W = region.extent[1], cells[3] = {1, H, W};
  index_t const N = static_cast<index_t>(categories.size()), K = group.extent[0];
  expects_refinable(region, categories, id, first, K, options, out);
  if constexpr (std::is_same_v<P, cpu>) {
    for (index_t k = 0; k < K; ++k) {
      auto const& g = group(k);
      expects(g.area == 0 || (0 <= g.y && g.y < H && 0 <= g.x && g.x < W), "refine: a group's centre is (", g.y, ",",
              g.x, "), off the map");
      expects(g.area == 0 || (std::isfinite(g.response) && std::isfinite(g.probability)),
              "refine: a group's response is ", g.response, " and its probability ", g.probability);
    }
    expects_labels(region, N, "refine: region");
    expects_labels(id, K, "refine: id");
  }
  stamping const rounding = options.centre == centroid::exact ? stamping::exact : stamping::original;
  region_sums* const of = reserve(where, scratch.regions, N + 1);
  group_target* const target = reserve(where, scratch.targets, K + 1);
  view<point, 1, S> const stamps(reserve(where, scratch.stamps, K), {K});
  view<std::int32_t, 1, S> const category(reserve(where, scratch.categories, N), {N});
  view<index_t, 1, S> const share(reserve(where, scratch.first, N + 1), {N + 1});
  copy(where, view<std::int32_t const, 1>(categories.data(), {N}), category);
  copy(where, view<index_t const, 1>(first.data(), {N + 1}), share);
  for_each_index(where, N > K ? N + 1 : K + 1, rule::forget_refined{of, N + 1, target, K + 1, stamps.data});
  for_each_strip(where, region, rule::add_region<writers_of<P>>{N, of});
  for_each_index(where, N, rule::aim_groups<S>{of, category, share, group, options, target, stamps.data});
  for_each_cell(where, cells, rule::by_runs{id, rule::lead_run<S>{target, K + 1, out.offset, out.weight}});
  stamp_centres(where, view<point const, 1, S>(stamps), {options.sigma, rounding}, out.centre, scratch.kernel);
}

/// As refine_into, and allocates the result and the scratch.
/// @param C  number of classes
template <execution_policy P, image_like R, image_like I, gridded<1> G>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<I, 2>> && reaches<P, space_of<G, 1>>
[[nodiscard]] auto refine(P const& where, R const& regions, std::vector<std::int32_t> const& categories, I const& ids,
                          std::vector<index_t> const& first, G const& groups, index_t C, refine_options options = {})
    -> centre_targets<typename P::memory>
{
  auto const region = as_view<2>(regions, "refine: regions");
  auto out = make_targets(where, C, {region.extent[0], region.extent[1]}, "refine");
  refine_scratch<P> scratch;
  refine_into(where, region, categories, ids, first, groups, options, {out.centre, out.offset, out.weight}, scratch);
  return out;
}

/// Lead every cell of a group to the point that formed it.
///
/// @param where   where to run
/// @param ids     [H,W] 0 or 1 + index into centres, from group_pixels
/// @param centres [K] in the policy's memory, finite
/// @param offset  [2,H,W] centre - cell, 0 where the id is 0
/// @param weight  [H,W] 1 where there is an id, else 0
///
/// @pre          cpu: ids are in 0..K and centres are finite. On a device other ids count as 0
/// @throws       precondition_error before anything is written
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       refine_label_generation_with_point, utils/utils.py of clovaai/BESTIE
template <execution_policy P, image_like I, gridded<1> Q>
  requires reaches<P, space_of<I, 2>> && reaches<P, space_of<Q, 1>>
void lead_to_points_into(P const& where, I const& ids, Q const& centres, stack_view<float, typename P::memory> offset,
                         image_view<float, typename P::memory> weight)
{
  using id_type = value_of<I, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<id_type>, "lead_to_points: ids are integers");
  image_view<id_type const, S> const id = as_view<2>(ids, "lead_to_points: ids");
  view<point const, 1, S> const at = as_view<1>(centres, "lead_to_points: centres");
  index_t const H = id.extent[0], W = id.extent[1], cells[3] = {1, H, W};
  expects_targets_over(centre_targets_view<S>{{nullptr, {0, H, W}}, offset, weight}, H, W, "lead_to_points");
  if constexpr (std::is_same_v<P, cpu>) {
    for (index_t k = 0; k < at.extent[0]; ++k)
      expects(std::isfinite(at(k).y) && std::isfinite(at(k).x), "lead_to_points: a centre is at (", at(k).y, ",",
              at(k).x, ")");
    expects_labels(id, at.extent[0], "lead_to_points: id");
  }
  for_each_cell(where, cells, rule::lead_to_point<id_type, S>{id, at, offset, weight});
}

}  // namespace cambium
