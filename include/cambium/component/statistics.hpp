#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// What is known of one component. An empty one has area 0 and an empty box.
struct component_statistics {
  index_t area = 0;  ///< [cells]
  box bounds;
  double centroid_y = 0;                                      ///< [cells] mean row
  double centroid_x = 0;                                      ///< [cells] mean column
  double largest = -std::numeric_limits<double>::infinity();  ///< of the scores, NaN left out; -inf without scores
};

/// Measure every component of a label map.
///
/// @param where   cpu
/// @param labels  [H,W] 0..count, as connected() gives them
/// @param count   [components] largest label
/// @param scores  [H,W] optional
/// @return count + 1 entries: [0] is the outside
///
/// @pre          0 <= labels <= count; scores of the same shape
/// @throws       precondition_error
/// @complexity   Theta(H * W + count)
/// @determinism  exact: sums of integers; the means are rounded once
template <image_like L, image_like S = image_view<float const>>
[[nodiscard]] std::vector<component_statistics> statistics(cpu const&, L const& labels, index_t count,
                                                           S const& scores = {})
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "statistics: labels are integers");
  auto const label = as_view<2>(labels, "statistics: labels");
  auto const score = as_view<2>(scores, "statistics: scores");
  bool const scored = score.data != nullptr;
  expects(!scored || same_shape(label, score), "statistics: labels are ", label, " but scores are ", score);
  expects(count >= 0, "statistics: count is ", count);
  index_t const H = label.extent[0], W = label.extent[1];
  expects_labels(label, count, "statistics: label");
  std::vector<component_statistics> out(static_cast<std::size_t>(count + 1));
  for (auto& c : out) c.bounds = {H, W, 0, 0};
  struct sums {
    index_t y = 0, x = 0;
  };
  std::vector<sums> sum(out.size());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(label(y, x));
      auto& c = out[static_cast<std::size_t>(at)];
      ++c.area;
      sum[static_cast<std::size_t>(at)].y += y;
      sum[static_cast<std::size_t>(at)].x += x;
      c.bounds = {std::min(c.bounds.top, y), std::min(c.bounds.left, x), y + 1, std::max(c.bounds.right, x + 1)};
      if (scored) {
        double const here = static_cast<double>(score(y, x));
        if (here > c.largest) c.largest = here;
      }
    }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].area == 0) {
      out[i].bounds = {};
      continue;
    }
    out[i].centroid_y = static_cast<double>(sum[i].y) / static_cast<double>(out[i].area);
    out[i].centroid_x = static_cast<double>(sum[i].x) / static_cast<double>(out[i].area);
  }
  return out;
}

}  // namespace cambium
