#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/instance/targets.hpp>

#include <algorithm>
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
                       refine_options const& options, centre_targets_view_in<S> const& out)
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

/// Turn groups of cells that a network formed into its next targets.
///
/// The target of a group is the cell of its largest response, its weight that response times its mean probability. Where
/// the response is below the threshold (the cells at a centre vote for another one) the target is the centroid of the whole
/// region and the weight the mean probability alone.
///
/// @param where       cpu
/// @param regions     [H,W] 0..N: components of the foreground
/// @param categories  N entries: the class of region i+1, 0..C-1
/// @param ids         [H,W] 0..groups.size(), in regions only, from group_pixels
/// @param first       N + 1 entries: the groups of region i have the ids first[i-1]+1 .. first[i]; region_centres::first
/// @param groups      from measure_groups
/// @param options     sigma = 6, threshold = 0.3, most = 5, centre = truncated
/// @param out         centre [C,H,W], offset [2,H,W], weight [H,W] in [0,1]; 0 where nothing is known
///
/// @pre          an id lies inside its region
/// @throws       precondition_error before anything is written: shapes or lengths that differ, labels, ids or classes outside
///               their ranges, NaN or infinite measures
/// @complexity   Theta(C * H * W) for the empty heat maps, two passes over the labels
/// @determinism  exact
/// @source       Kim et al., CVPR 2022, section 3.4; refine_label_generation, utils/utils.py of clovaai/BESTIE. `most` is compared
///               with the largest id that owns a cell, as there
template <image_like R, image_like I>
void refine_into(cpu const& where, R const& regions, std::vector<std::int32_t> const& categories, I const& ids,
                 std::vector<index_t> const& first, std::vector<group_measure> const& groups, refine_options options,
                 centre_targets_view const& out)
{
  static_assert(std::is_integral_v<value_of<R, 2>> && std::is_integral_v<value_of<I, 2>>,
                "refine: labels are integers");
  auto const region = as_view<2>(regions, "refine: regions");
  auto const id = as_view<2>(ids, "refine: ids");
  index_t const H = region.extent[0], W = region.extent[1], N = static_cast<index_t>(categories.size());
  index_t const K = static_cast<index_t>(groups.size());
  expects_refinable(region, categories, id, first, K, options, out);
  for (auto const& g : groups)
    expects(g.area == 0 || (0 <= g.y && g.y < H && 0 <= g.x && g.x < W), "refine: a group's centre is (", g.y, ",", g.x,
            "), off the map");
  for (auto const& g : groups)
    expects(g.area == 0 || (std::isfinite(g.response) && std::isfinite(g.probability)),
            "refine: a group's response is ", g.response, " and its probability ", g.probability);
  expects_labels(region, N, "refine: region");
  expects_labels(id, K, "refine: id");
  struct sums {
    index_t area = 0, y = 0, x = 0;
  };
  std::vector<sums> of(static_cast<std::size_t>(N + 1));
  for_each_run(region, [&](index_t y, index_t begin, index_t end, auto at) {
    auto& s = of[static_cast<std::size_t>(at)];
    s.area += end - begin, s.y += y * (end - begin), s.x += (begin + end - 1) * (end - begin) / 2;
  });

  struct target {
    float y = 0, x = 0, weight = 0;
    bool known = false;
  };
  std::vector<target> targets(groups.size() + 1);
  bool const exact = options.centre == centroid::exact;
  heat_stamp const stamp(options.sigma, exact ? stamping::exact : stamping::original);
  clear(where, out.centre);
  for (std::size_t r = 1; r < of.size(); ++r) {
    auto const begin = static_cast<std::size_t>(first[r - 1]), end = static_cast<std::size_t>(first[r]);
    std::size_t last = end;
    while (last > begin && groups[last - 1].area == 0) --last;
    if (static_cast<index_t>(last - begin) > options.most) continue;
    for (std::size_t k = begin; k < last; ++k) {
      auto const& g = groups[k];
      if (g.area == 0) continue;
      double y = static_cast<double>(g.y), x = static_cast<double>(g.x), sure = g.response * g.probability;
      if (g.response < options.threshold) {
        y = static_cast<double>(of[r].y) / static_cast<double>(of[r].area);
        x = static_cast<double>(of[r].x) / static_cast<double>(of[r].area);
        if (!exact) y = std::trunc(y), x = std::trunc(x);
        sure = g.probability;
      }
      targets[k + 1] = {static_cast<float>(y), static_cast<float>(x), static_cast<float>(std::clamp(sure, 0.0, 1.0)),
                        true};
      stamp(out.centre[categories[r - 1]], y, x);
    }
  }
  for_each_run(id, [&](index_t y, index_t begin, index_t end, auto at) {
    target const& t = targets[static_cast<std::size_t>(at)];
    std::fill_n(&out.weight(y, begin), end - begin, t.weight);
    std::fill_n(&out.offset(0, y, begin), end - begin, t.known ? t.y - static_cast<float>(y) : 0.f);
    float* const across = &out.offset(1, y, 0);
    for (index_t x = begin; x < end; ++x) across[x] = t.known ? t.x - static_cast<float>(x) : 0.f;
  });
}

/// As refine_into, and allocates the result.
/// @param C  number of classes
template <image_like R, image_like I>
[[nodiscard]] centre_targets refine(cpu const& where, R const& regions, std::vector<std::int32_t> const& categories,
                                    I const& ids, std::vector<index_t> const& first,
                                    std::vector<group_measure> const& groups, index_t C, refine_options options = {})
{
  auto const region = as_view<2>(regions, "refine: regions");
  auto out = make_targets(C, {region.extent[0], region.extent[1]}, "refine");
  refine_into(where, regions, categories, ids, first, groups, options, {out.centre, out.offset, out.weight});
  return out;
}

/// Lead every cell of a group to the point that formed it.
///
/// @param where   cpu
/// @param ids     [H,W] 0 or 1 + index into centres, from group_pixels
/// @param centres  finite
/// @param offset  [2,H,W] centre - cell, 0 where the id is 0
/// @param weight  [H,W] 1 where there is an id, else 0
///
/// @throws       precondition_error: shapes that differ, an id outside 0..centres.size(), NaN or infinite centres
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       refine_label_generation_with_point, utils/utils.py of clovaai/BESTIE
template <image_like I>
void lead_to_points_into(cpu const&, I const& ids, points const& centres, stack_view<float> offset,
                         image_view<float> weight)
{
  static_assert(std::is_integral_v<value_of<I, 2>>, "lead_to_points: ids are integers");
  auto const id = as_view<2>(ids, "lead_to_points: ids");
  index_t const H = id.extent[0], W = id.extent[1], K = static_cast<index_t>(centres.size());
  expects_targets({{nullptr, {0, H, W}}, offset, weight}, H, W, "lead_to_points");
  for (point const& p : centres)
    expects(std::isfinite(p.y) && std::isfinite(p.x), "lead_to_points: a centre is at (", p.y, ",", p.x, ")");
  expects_labels(id, K, "lead_to_points: id");
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<std::size_t>(id(y, x));
      bool const known = at != 0;
      weight(y, x) = known ? 1.f : 0.f;
      offset(0, y, x) = known ? static_cast<float>(centres[at - 1].y - static_cast<double>(y)) : 0.f;
      offset(1, y, x) = known ? static_cast<float>(centres[at - 1].x - static_cast<double>(x)) : 0.f;
    }
}

}  // namespace cambium
