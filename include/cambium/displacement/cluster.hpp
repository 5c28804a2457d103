#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace cambium {

/// The rule: is a displacement shorter than the threshold? Its squares are rounded before they are summed.
template <class T>
[[gnu::always_inline]] CAMBIUM_HD inline bool is_weak(T dy, T dx, T threshold)
{
  return std::sqrt(rounded_product(dx, dx) + rounded_product(dy, dy)) < threshold;
}

/// Throws unless a field of this shape can be compared with the threshold.
template <class T, class S>
void expects_weak_field(stack_view<T, S> const& field, double threshold)
{
  expects(field.extent[0] == 2, "weak_field: displacement is ", field, " instead of [2,H,W]");
  expects(threshold > 0, "weak_field: threshold is ", threshold);
}

/// Mark the cells where a displacement field is weak: the surroundings of its centroids.
///
///   out = 1 where sqrt(dy^2 + dx^2) < threshold, otherwise 0
///
/// @param where         cpu
/// @param displacement  [2,H,W] (dy,dx) in cells, finite
/// @param threshold     [cells] 2.5 at stride 4, which is 10 pixels; > 0
/// @return [H,W] 0 or 1
///
/// @throws       precondition_error
/// @complexity   Theta(H * W)
/// @determinism  exact: the products are rounded before they are summed, as in the original
/// @source       cluster_centroids(thres=2.5), step/make_ins_seg_labels.py of jiwoon-ahn/irn
template <stack_like D>
[[nodiscard]] grid<std::uint8_t, 2> weak_field(cpu const& where, D const& displacement, double threshold = 2.5)
{
  using T = value_of<D, 3>;
  auto const field = as_view<3>(displacement, "weak_field: displacement");
  expects_weak_field(field, threshold);
  expects_finite(where, field, "weak_field: displacement");
  auto out = make_grid<std::uint8_t>({field.extent[1], field.extent[2]});
  for_each_share(where, field.extent[1], 32, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < field.extent[2]; ++x)
        out(y, x) = is_weak(field(0, y, x), field(1, y, x), static_cast<T>(threshold));
  });
  return out;
}

/// Round positions to cells, halves to even.
///
/// @param positions [2,H,W] from trace
/// @return [2,H,W] (y,x) as integers
/// @source np.round in find_centroids_with_refinement; lround would go away from zero at exact halves
template <stack_like X>
[[nodiscard]] grid<std::int32_t, 3> nearest_cells(cpu const& where, X const& positions)
{
  using T = value_of<X, 3>;
  auto const from = as_view<3>(positions, "nearest_cells: positions");
  expects_inside(where, from, T(0), T(1 << 24), "nearest_cells: positions", "a position on the map");
  auto out = grid_like<std::int32_t, host>(from);
  for (index_t c = 0; c < from.extent[0]; ++c)
    for (index_t y = 0; y < from.extent[1]; ++y)
      for (index_t x = 0; x < from.extent[2]; ++x)
        out(c, y, x) = static_cast<std::int32_t>(std::nearbyint(from(c, y, x)));
  return out;
}

/// Which instance each cell belongs to. Ids 0..count-1 without gaps.
template <class Space>
struct instance_map_in {
  grid<std::int32_t, 2, Space> id;
  index_t count = 0;  ///< known on the host
};
using instance_map = instance_map_in<host>;

/// Throws unless there is a centroid for every cell of the regions.
template <class R, class C, class S>
void expects_centroids(image_view<R, S> const& region, stack_view<C, S> const& centroid)
{
  expects(centroid.extent[0] == 2 && centroid.extent[1] == region.extent[0] && centroid.extent[2] == region.extent[1],
          "cluster: regions are ", region, " but centroids are ", centroid);
}

/// Group cells whose centroids fall into the same weak region.
///
/// Every cell takes the number of the region its centroid lies in; the numbers in use are then renumbered
/// 0..count-1 in ascending order. Cells that end outside every region (number 0) form a group like any other.
///
/// @param where      cpu
/// @param regions    [H,W] 0 outside, 1..N: components of weak_field, in raster order, 4-connected
/// @param centroids  [2,H,W] (y,x) of the cell where each cell ends, from nearest_cells
///
/// @pre          regions >= 0; centroids on the map
/// @throws       precondition_error
/// @complexity   Theta(H * W + N)
/// @determinism  exact
/// @source       cluster_centroids, step/make_ins_seg_labels.py of jiwoon-ahn/irn. That group 0 is an ordinary
///               instance, and present in some images only, is the original's; ids cannot be compared between images
template <image_like R, stack_like C>
[[nodiscard]] instance_map cluster(cpu const&, R const& regions, C const& centroids)
{
  auto const region = as_view<2>(regions, "cluster: regions");
  auto const centroid = as_view<3>(centroids, "cluster: centroids");
  index_t const H = region.extent[0], W = region.extent[1];
  expects_centroids(region, centroid);
  index_t most = 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      index_t const cy = centroid(0, y, x), cx = centroid(1, y, x), number = region(y, x);
      expects(0 <= cy && cy < H && 0 <= cx && cx < W, "cluster: centroid of (", y, ",", x, ") is (", cy, ",", cx,
              "), outside the map");
      expects(number >= 0, "cluster: region(", y, ",", x, ") is ", number);
      most = number > most ? number : most;
    }
  std::vector<std::int32_t> renumbered(static_cast<std::size_t>(most + 1), -1);
  instance_map out{make_grid<std::int32_t>({H, W}), 0};
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      index_t const number = region(centroid(0, y, x), centroid(1, y, x));
      out.id(y, x) = static_cast<std::int32_t>(number);
      renumbered[static_cast<std::size_t>(number)] = 0;
    }
  for (auto& id : renumbered)
    if (id == 0) id = static_cast<std::int32_t>(out.count++);
  for (auto& id : out.id.cells()) id = renumbered[static_cast<std::size_t>(id)];
  return out;
}

}  // namespace cambium
