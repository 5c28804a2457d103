#pragma once

#include <cambium/core/error.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace cambium {

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
template <class Space = host>
struct instance_map {
  grid<std::int32_t, 2, Space> id;
  index_t count = 0;  ///< known on the host
};

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
[[nodiscard]] instance_map<> cluster(cpu const&, R const& regions, C const& centroids)
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
  instance_map<> out{make_grid<std::int32_t>({H, W}), 0};
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


template <class T, class S>
struct mark_weak {
  stack_view<T const, S> field;
  T threshold;
  image_view<std::uint8_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = is_weak(field(0, y, x), field(1, y, x), threshold) ? 1 : 0;
  }
};

/// As weak_field in cluster.hpp, into [H,W] of bytes.
///
/// @pre          as there; on a device NaN and infinities are not refused, and are not weak
/// @determinism  exact, the cpu's bits
/// @asynchrony   enqueues and returns
template <execution_policy P, stack_like D, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<O, 2>>
void weak_field_into(P const& where, D const& displacement, double threshold, O&& out)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(displacement, "weak_field: displacement");
  image_view<std::uint8_t, S> const to = as_view<2>(out, "weak_field: out");
  expects_weak_field(field, threshold);
  expects(field.extent[1] == to.extent[0] && field.extent[2] == to.extent[1], "weak_field: displacement is ", field,
          " but out is ", to);
  expects(!overlap(field, to), "weak_field: displacement and out overlap");
  index_t const cells[3] = {1, to.extent[0], to.extent[1]};
  for_each_cell(where, cells, mark_weak<T, S>{field, static_cast<T>(threshold), to});
}

/// As weak_field_into, and allocates the result.
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto weak_field(P const& where, D const& displacement, double threshold = 2.5)
{
  auto const field = as_view<3>(displacement, "weak_field: displacement");
  expects_weak_field(field, threshold);
  auto out = make_grid<std::uint8_t>(where, {field.extent[1], field.extent[2]});
  weak_field_into(where, field, threshold, out);
  return out;
}

template <class T, class S>
struct round_position {
  stack_view<T const, S> from;
  stack_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    constexpr T most = 1 << 24;
    T const at = from(c, y, x), low = at >= 0 ? at : T(0);
    out(c, y, x) = static_cast<std::int32_t>(std::nearbyint(low < most ? low : most));
  }
};

/// As nearest_cells in cluster.hpp, into [2,H,W] of int32.
///
/// @pre          as there; on a device NaN and what lies before the map become 0, and what lies beyond 2^24 becomes 2^24
/// @determinism  exact
/// @asynchrony   enqueues and returns
template <execution_policy P, stack_like X, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 3>> && reaches<P, space_of<O, 3>>
void nearest_cells_into(P const& where, X const& positions, O&& out)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const from = as_view<3>(positions, "nearest_cells: positions");
  stack_view<std::int32_t, S> const to = as_view<3>(out, "nearest_cells: out");
  expects(same_shape(from, to), "nearest_cells: positions are ", from, " but out is ", to);
  expects(!overlap(from, to), "nearest_cells: positions and out overlap");
  for_each_cell(where, to.extent, round_position<T, S>{from, to});
}

/// As nearest_cells_into, and allocates the result.
template <execution_policy P, stack_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 3>>
[[nodiscard]] auto nearest_cells(P const& where, X const& positions)
{
  auto const from = as_view<3>(positions, "nearest_cells: positions");
  auto out = make_grid<std::int32_t>(where, from.extent);
  nearest_cells_into(where, from, out);
  return out;
}

/// What cluster works in; it grows to the largest map.
template <execution_policy P>
struct cluster_scratch {
  grid<std::int32_t, 1, typename P::memory>
      used;  ///< by region: is a cell led there? Then, how many before it are used
  workspace<P> space;
};

/// Every cell takes the number of the region it is led to, and marks it as used.
template <class R, class C, class S>
struct enter_region {
  image_view<R const, S> region;
  stack_view<C const, S> centroid;
  image_view<std::int32_t, S> id;
  view<std::int32_t, 1, S> used;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const cy = static_cast<index_t>(centroid(0, y, x)), cx = static_cast<index_t>(centroid(1, y, x));
    bool const on_map = 0 <= cy && cy < region.extent[0] && 0 <= cx && cx < region.extent[1];
    index_t number = on_map ? static_cast<index_t>(region(cy, cx)) : 0;
    if (number < 0 || number >= used.extent[0] - 1) number = 0;
    id(y, x) = static_cast<std::int32_t>(number);
    if (atomic_read(&used(number)) == 0) atomic_max(&used(number), 1);  // one region is most cells': read first
  }
};

template <class S>
struct renumber {
  view<std::int32_t const, 1, S> before;
  image_view<std::int32_t, S> id;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { id(y, x) = before(id(y, x)); }
};

template <class S>
struct take_number {
  std::int32_t const* from;
  view<std::int32_t, 1, S> to;
  CAMBIUM_HD void operator()(index_t) const { to(0) = *from; }
};

/// As cluster in cluster.hpp, with the number of clusters in the policy's memory.
///
/// @param regions    [H,W] of integers, 0..H * W
/// @param centroids  [2,H,W] of integers
/// @param id         [H,W] int32
/// @param count      [1] int32
///
/// @pre          as there, and no region has a number above H * W: components never have. Where that is broken nothing is
///               refused: a centroid off the map and a number out of range count as region 0
/// @throws       precondition_error: shapes that differ
/// @complexity   Theta(H * W)
/// @determinism  exact, the cpu's numbers
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, image_like R, stack_like C, image_like O, gridded<1> N>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<C, 3>> &&
          reaches<P, space_of<O, 2>> && reaches<P, space_of<N, 1>>
void cluster_into(P const& where, R const& regions, C const& centroids, O&& id, N&& count, cluster_scratch<P>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<R, 2>> && std::is_integral_v<value_of<C, 3>>,
                "cluster: regions and centroids are integers");
  image_view<value_of<R, 2> const, S> const region = as_view<2>(regions, "cluster: regions");
  stack_view<value_of<C, 3> const, S> const centroid = as_view<3>(centroids, "cluster: centroids");
  image_view<std::int32_t, S> const to = as_view<2>(id, "cluster: id");
  view<std::int32_t, 1, S> const number = as_view<1>(count, "cluster: count");
  expects_centroids(region, centroid);
  expects(same_shape(region, to), "cluster: regions are ", region, " but id is ", to);
  expects(number.extent[0] == 1, "cluster: count is ", number, " instead of [1]");
  expects(!overlap(region, to) && !overlap(centroid, to), "cluster: an input and id overlap");
  index_t const H = region.extent[0], W = region.extent[1], cells[3] = {1, H, W};
  // Numbers 0..H*W, and one more that nobody uses: what is before it is the count.
  index_t const entries = H * W + 2;
  view<std::int32_t, 1, S> const used(reserve(where, scratch.used, entries), {entries});
  fill(where, entries, used.data, 0);
  for_each_cell(where, cells, enter_region<value_of<R, 2>, value_of<C, 3>, S>{region, centroid, to, used});
  exclusive_scan(where, entries, used.data, used.data, scratch.space);
  for_each_cell(where, cells, renumber<S>{used, to});
  for_each_index(where, 1, take_number<S>{used.data + entries - 1, number});
}

/// As cluster_into, with the count on the host; allocates the result and the scratch.
/// @asynchrony waits for the stream
template <execution_policy P, image_like R, stack_like C>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<C, 3>>
[[nodiscard]] auto cluster(P const& where, R const& regions, C const& centroids) -> instance_map<typename P::memory>
{
  auto const region = as_view<2>(regions, "cluster: regions");
  auto const centroid = as_view<3>(centroids, "cluster: centroids");
  expects_centroids(region, centroid);
  auto id = make_grid<std::int32_t>(where, region.extent);
  auto count = make_grid<std::int32_t>(where, {1});
  cluster_scratch<P> scratch;
  cluster_into(where, region, centroid, id, count, scratch);
  index_t const found = read_cell(where, count.view().data);
  return {std::move(id), found};
}

}  // namespace cambium
