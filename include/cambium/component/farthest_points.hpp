#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// Points inside components, for example prompts of a segmentation model. Those of component l are
/// at[first[l-1]] .. at[first[l]-1], in the order in which they were chosen.
struct component_points {
  std::vector<place> at;
  std::vector<index_t> first;  ///< [count + 1]
};

/// Choose cells of each component that are far apart.
///
/// The first is the cell deepest inside: its city-block distance to the nearest cell outside the component is the largest;
/// beyond the map is outside. Each further one is the cell whose squared distance to the chosen ones is the largest. Of
/// several such cells it is the first in raster order.
///
/// @param where   where to run
/// @param labels  [H,W] 0..count, as connected() gives them
/// @param count   [components]
/// @param most    [points] of a component; a smaller one gives all its cells. >= 0
///
/// @throws       precondition_error
/// @invariant    the points of k + 1 begin with those of k
/// @complexity   Theta(H * W + most * cells of components), on all threads
/// @determinism  exact, for every number of threads
/// @source       Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985: at most twice the smallest
///               possible distance between a cell and the nearest point
template <image_like L>
  requires reaches<cpu, space_of<L, 2>>
[[nodiscard]] component_points farthest_points(cpu const& where, L const& labels, index_t count, index_t most)
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "farthest_points: labels are integers");
  auto const in = as_view<2>(labels, "farthest_points: labels");
  expects(count >= 0, "farthest_points: count is ", count);
  expects(most >= 0, "farthest_points: most is ", most, "; expected a number >= 0");
  expects_labels(in, count, "farthest_points: label");
  index_t const H = in.extent[0], W = in.extent[1];

  // Cells by component, and how deep they lie: two passes of the city-block distance.
  std::vector<index_t> begin(static_cast<std::size_t>(count + 2), 0);
  std::vector<std::int32_t> depth(static_cast<std::size_t>(H * W));
  auto const label = [&](index_t y, index_t x) { return static_cast<std::size_t>(in(y, x)); };
  auto const at = [&](index_t y, index_t x) -> std::int32_t& { return depth[static_cast<std::size_t>(y * W + x)]; };
  auto const near = [&](index_t y, index_t x, index_t ny, index_t nx) {
    bool const inside = 0 <= ny && ny < H && 0 <= nx && nx < W && in(ny, nx) == in(y, x);
    return inside ? at(ny, nx) : 0;
  };
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      ++begin[label(y, x) + 1];
      at(y, x) = std::min(near(y, x, y - 1, x), near(y, x, y, x - 1)) + 1;
    }
  for (index_t y = H - 1; y >= 0; --y)
    for (index_t x = W - 1; x >= 0; --x)
      at(y, x) = std::min(at(y, x), std::min(near(y, x, y + 1, x), near(y, x, y, x + 1)) + 1);
  for (std::size_t l = 1; l < begin.size(); ++l) begin[l] += begin[l - 1];
  std::vector<place> cells(static_cast<std::size_t>(H * W));
  std::vector<index_t> next(begin.begin(), begin.end() - 1);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) cells[static_cast<std::size_t>(next[label(y, x)]++)] = {y, x};

  component_points out;
  out.first.push_back(0);
  for (index_t l = 1; l <= count; ++l) {
    auto const size = begin[static_cast<std::size_t>(l + 1)] - begin[static_cast<std::size_t>(l)];
    out.first.push_back(out.first.back() + std::min(most, size));
  }
  out.at.resize(static_cast<std::size_t>(out.first.back()));
  for_each_item(where, count, [&](cpu const&, index_t i) {
    auto const l = static_cast<std::size_t>(i + 1);
    place const* const own = cells.data() + begin[l];
    index_t const size = begin[l + 1] - begin[l], wanted = out.first[l] - out.first[l - 1];
    std::vector<index_t> gap(static_cast<std::size_t>(size), std::numeric_limits<index_t>::max());
    for (index_t k = 0; k < wanted; ++k) {
      index_t best = 0;
      for (index_t c = 1; c < size; ++c)
        if (k == 0 ? at(own[c].y, own[c].x) > at(own[best].y, own[best].x)
                   : gap[static_cast<std::size_t>(c)] > gap[static_cast<std::size_t>(best)])
          best = c;
      place const chosen = own[best];
      out.at[static_cast<std::size_t>(out.first[l - 1] + k)] = chosen;
      for (index_t c = 0; c < size; ++c) {
        index_t const dy = own[c].y - chosen.y, dx = own[c].x - chosen.x;
        index_t& g = gap[static_cast<std::size_t>(c)];
        g = std::min(g, dy * dy + dx * dx);
      }
    }
  });
  return out;
}

}  // namespace cambium
