#pragma once

#include <cambium/core/error.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/nonzero.hpp>
#include <cambium/grid/plateau.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

struct centre_options {
  double threshold = 0.1;  ///< centres exceed it, and 0; refine_thresh, val_thresh
  index_t kernel = 41;     ///< [cells] side of the window that a centre must dominate in its region; odd
  plateau plateaus = plateau::every_cell;
};

namespace rule {

/// Candidate i is cell i, and its response the score.
template <class T, class S>
struct cell_as_centre {
  image_view<T const, S> heat;
  image_view<std::int32_t const, S> regions;

  CAMBIUM_HD index_t region(index_t i) const { return regions(i / heat.extent[1], i % heat.extent[1]); }
  CAMBIUM_HD point operator()(index_t i) const
  {
    index_t const y = i / heat.extent[1], x = i % heat.extent[1];
    return {static_cast<double>(y), static_cast<double>(x), 0, static_cast<double>(heat(y, x))};
  }
};

}  // namespace rule

/// Find the local maxima of a centre map, in each region by itself.
///
/// @param where     where to run; must reach the memory of the maps
/// @param response  [H,W] finite: the centre map of the class of each region, from select
/// @param regions   [H,W] int32, 0 outside, 1..count
/// @param count     [regions]
/// @param options   threshold = 0.1, kernel = 41, plateaus = every_cell
/// @return of each region the centres in raster order, the response as score
///
/// @pre          gpu: values are not checked. A cell of a region outside 1..count is no centre; a NaN is no centre and
///               exceeds nothing
/// @throws       precondition_error: shapes that differ, a region outside 0..count, NaN or infinite responses, an even
///               kernel, a NaN threshold
/// @complexity   Theta(H * W), and kernel^2 for each cell above the threshold that no neighbour exceeds. On a plateau
///               that is every cell, each becomes a centre, and grouping a saturated map is quadratic in its cells;
///               plateau::one_cell leaves one centre to it
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream
/// @source       find_instance_center, utils/utils.py of clovaai/BESTIE, on the centre map times the region: `>`
///               against the threshold rounded to float. Its top_k ranks coordinates instead of scores and is left out
template <execution_policy P, image_like X, image_like R>
  requires reaches<P, space_of<X, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto find_centres(P const& where, X const& response, R const& regions, index_t count,
                                centre_options options = {}) -> region_centres<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<T const, S> const heat = as_view<2>(response, "find_centres: response");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "find_centres: regions");
  expects(same_shape(heat, region), "find_centres: response is ", heat, " but regions are ", region);
  expects_window(options.kernel, "find_centres");
  expects(!std::isnan(options.threshold), "find_centres: threshold is nan");
  expects(count >= 0, "find_centres: count is ", count);
  expects_numbers(where, heat.size(), "find_centres");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, heat, "find_centres: response");
    expects_labels(region, count, "find_centres: region");
  }
  T const low = static_cast<T>(options.threshold), above = low > 0 ? low : T(0);
  stack_view<T const, S> const map = as_batch(heat);
  auto marks = make_grid<std::uint8_t>(where, map.extent);
  std::uint8_t* const marked = marks.view().data;
  for_each_cell(where, map.extent,
                rule::mark_maxima<T, S>{map, region, count, options.kernel / 2, above, marks.view()});
  if (options.plateaus == plateau::one_cell && heat.size() > 0) {
    nonzero_cells<P> listed;
    plateau_scratch<P> scratch;
    index_t const limit = list_nonzero(where, heat.size(), marked, listed);
    thin_plateaus(where, map, region, marked, listed, limit, scratch);
  }
  return centres_by_region(where, heat.size(), marked, count, rule::cell_as_centre<T, S>{heat, region});
}

}  // namespace cambium
