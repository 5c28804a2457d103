#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Mark the cells no cell of the window around them exceeds.
///
/// @param where   cpu
/// @param maps    [C,H,W] finite
/// @param kernel  [cells] side of the window, odd; it is cut at the border
/// @return [C,H,W] 0 or 1; every cell of a plateau is marked
///
/// @throws       precondition_error: an even kernel, NaN or infinite values
/// @complexity   Theta(C * H * W) where few cells exceed their neighbours; O(C * H * W * kernel^2)
/// @determinism  exact
/// @source       peak_extract, PAM/point_extraction.py of clovaai/BESTIE: max_pool2d(map) == map
template <stack_like M>
[[nodiscard]] grid<std::uint8_t, 3> local_maxima(cpu const& where, M const& maps, index_t kernel)
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "local_maxima: maps");
  expects_window(kernel, "local_maxima");
  expects_finite(where, in, "local_maxima: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<std::uint8_t>({C, H, W});
  for_each_share(where, W == 0 ? 0 : C * H, 16, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      local_maximum<T> const here{in[at / H], {}, kernel / 2};
      for (index_t x = 0; x < W; ++x) out(at / H, at % H, x) = here(at % H, x);
    }
  });
  return out;
}

struct peak_options {
  index_t kernel = 15;     ///< [cells] side of the window that a peak must dominate; odd
  index_t most = 25;       ///< [count] of a channel, K; the largest are kept
  double threshold = 0.1;  ///< smaller scores are no peaks
  plateau plateaus = plateau::every_cell;
};

/// Find the peaks of each channel.
///
/// A peak is positive, not below the threshold, and not exceeded inside its window.
///
/// @param where    cpu
/// @param maps     [C,H,W] finite, for example normalised and smoothed class maps; absent classes are 0 everywhere
/// @param options  kernel = 15, most = 25, threshold = 0.1, plateaus = every_cell
/// @return points with the channel as category and the map's value as score: channels ascending, of a channel by falling
///         score, equal ones in raster order
///
/// @throws       precondition_error: NaN or infinite values, an even kernel, most < 1, a NaN threshold
/// @complexity   as local_maxima, of cells above the threshold
/// @determinism  exact
/// @source       peak_extract and the main program of PAM/point_extraction.py, extract_peak of utils/utils.py of
///               clovaai/BESTIE; the comparison of a float with the threshold is in double, as theirs. Theirs
///               leaves the order of equal scores open and refuses maps of less than K cells
template <stack_like M>
[[nodiscard]] points extract_peaks(cpu const& where, M const& maps, peak_options options = {})
{
  using T = value_of<M, 3>;
  static_assert(std::is_floating_point_v<T>, "extract_peaks: maps are of float or double");
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  expects_window(options.kernel, "extract_peaks");
  expects(options.most >= 1, "extract_peaks: most is ", options.most);
  expects(!std::isnan(options.threshold), "extract_peaks: threshold is nan");
  expects_finite(where, in, "extract_peaks: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  std::vector<points> found(static_cast<std::size_t>(C));
  for_each_share(where, H * W == 0 ? 0 : C, 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      local_maximum<T> const here{in[c], {}, options.kernel / 2};
      std::vector<place> cells;
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          T const v = in(c, y, x);
          if (v > 0 && static_cast<double>(v) >= options.threshold && here(y, x)) cells.push_back({y, x});
        }
      if (options.plateaus == plateau::one_cell) cells = one_of_each_plateau(here, cells);
      std::stable_sort(cells.begin(), cells.end(), [&](place a, place b) { return in(c, a.y, a.x) > in(c, b.y, b.x); });
      if (static_cast<index_t>(cells.size()) > options.most) cells.resize(static_cast<std::size_t>(options.most));
      for (place const at : cells)
        found[static_cast<std::size_t>(c)].push_back({static_cast<double>(at.y), static_cast<double>(at.x),
                                                      static_cast<std::int32_t>(c),
                                                      static_cast<double>(in(c, at.y, at.x))});
    }
  });
  points out;
  for (auto const& of_channel : found) out.insert(out.end(), of_channel.begin(), of_channel.end());
  return out;
}

}  // namespace cambium
