#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
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
[[nodiscard]] instances score_groups(cpu const&, I const& ids, std::vector<group_measure> const& groups,
                                     std::vector<std::int32_t> const& categories,
                                     scored_by by = scored_by::centre_and_class)
{
  auto const id = as_view<2>(ids, "score_groups: ids");
  index_t const N = static_cast<index_t>(groups.size());
  expects(groups.size() == categories.size(), "score_groups: ", N, " groups but ",
          static_cast<index_t>(categories.size()), " categories");
  index_t const H = id.extent[0], W = id.extent[1];
  expects_labels(id, N, "score_groups: id");
  instances out{make_grid<std::int32_t>({H, W}), {}};
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

}  // namespace cambium
