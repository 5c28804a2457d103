#pragma once

#include <cambium/core/error.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace cambium {

namespace rule {

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
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const  // the door checked the values
  {
    T const* const in = &from(c, y, 0);
    std::int32_t* const to = &out(c, y, 0);
    for (index_t x = 0; x < out.extent[2]; ++x) to[x] = static_cast<std::int32_t>(std::nearbyint(in[x]));
  }
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
    enter(y, x, number);
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const  // the door checked the values
  {
    C const* const cy = &centroid(0, y, 0);
    C const* const cx = &centroid(1, y, 0);
    for (index_t x = 0; x < id.extent[1]; ++x) enter(y, x, static_cast<index_t>(region(cy[x], cx[x])));
  }

 private:
  CAMBIUM_HD void enter(index_t y, index_t x, index_t number) const
  {
    id(y, x) = static_cast<std::int32_t>(number);
    if (atomic_read(&used(number)) == 0) atomic_max(&used(number), 1);  // one region is most cells': read first
  }
};

template <class S>
struct take_number {
  std::int32_t const* from;
  view<std::int32_t, 1, S> to;
  CAMBIUM_HD void operator()(index_t) const { to(0) = *from; }
};

}  // namespace rule

/// Mark the cells where a displacement field is weak: the surroundings of its centroids.
///
///   out = 1 where sqrt(dy^2 + dx^2) < threshold, otherwise 0
///
/// @param where         where to run; must reach the memory of the field
/// @param displacement  [2,H,W] (dy,dx) in cells, finite
/// @param threshold     [cells] 2.5 at stride 4, which is 10 pixels; > 0
/// @param out           [H,W] of bytes, 0 or 1
///
/// @pre          gpu: values are not checked; NaN and infinities are not weak
/// @throws       precondition_error
/// @complexity   Theta(H * W)
/// @determinism  exact: the products are rounded before they are summed, as in the original
/// @asynchrony   gpu: enqueues and returns
/// @source       cluster_centroids(thres=2.5), step/make_ins_seg_labels.py of jiwoon-ahn/irn
template <execution_policy P, stack_like D, image_like O>
  requires reaches<P, space_of<D, 3>> && reaches<P, space_of<O, 2>>
void weak_field_into(P const& where, D const& displacement, double threshold, O&& out)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(displacement, "weak_field: displacement");
  image_view<std::uint8_t, S> const to = as_view<2>(out, "weak_field: out");
  expects(field.extent[0] == 2, "weak_field: displacement is ", field, " instead of [2,H,W]");
  expects(threshold > 0, "weak_field: threshold is ", threshold);
  expects(field.extent[1] == to.extent[0] && field.extent[2] == to.extent[1], "weak_field: displacement is ", field,
          " but out is ", to);
  expects(!overlap(field, to), "weak_field: displacement and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, field, "weak_field: displacement");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, rule::mark_weak<T, S>{field, static_cast<T>(threshold), to});
}

/// As weak_field_into, and allocates the result.
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto weak_field(P const& where, D const& displacement, double threshold = 2.5)
    -> grid<std::uint8_t, 2, typename P::memory>
{
  auto const field = as_view<3>(displacement, "weak_field: displacement");
  auto out = make_grid<std::uint8_t>(where, {field.extent[1], field.extent[2]});
  weak_field_into(where, field, threshold, out);
  return out;
}

/// Round positions to cells, halves to even.
///
/// @param where      where to run; must reach the memory of the positions
/// @param positions  [2,H,W] from trace
/// @param out        [2,H,W] (y,x) as integers, int32
/// @pre         gpu: values are not checked; NaN and positions before the map become 0, those beyond 2^24 become 2^24
/// @throws      precondition_error before anything is written
/// @determinism exact
/// @asynchrony  gpu: enqueues and returns
/// @source np.round in find_centroids_with_refinement; lround would go away from zero at exact halves
template <execution_policy P, stack_like X, stack_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<O, 3>>
void nearest_cells_into(P const& where, X const& positions, O&& out)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const from = as_view<3>(positions, "nearest_cells: positions");
  stack_view<std::int32_t, S> const to = as_view<3>(out, "nearest_cells: out");
  expects(same_shape(from, to), "nearest_cells: positions are ", from, " but out is ", to);
  expects(!overlap(from, to), "nearest_cells: positions and out overlap");
  if constexpr (std::is_same_v<P, cpu>)
    expects_inside(where, from, T(0), T(1 << 24), "nearest_cells: positions", "a position on the map");
  for_each_cell(where, to.extent, rule::round_position<T, S>{from, to});
}

/// As nearest_cells_into, and allocates the result.
template <execution_policy P, stack_like X>
  requires reaches<P, space_of<X, 3>>
[[nodiscard]] auto nearest_cells(P const& where, X const& positions) -> grid<std::int32_t, 3, typename P::memory>
{
  auto const from = as_view<3>(positions, "nearest_cells: positions");
  auto out = make_grid<std::int32_t>(where, from.extent);
  nearest_cells_into(where, from, out);
  return out;
}

/// Which instance each cell belongs to. Ids 0..count-1 without gaps.
template <class Space = host>
struct instance_map {
  grid<std::int32_t, 2, Space> id;
  index_t count = 0;  ///< known on the host
};

/// What cluster works in. It grows to the largest map.
template <execution_policy P>
struct cluster_scratch {
  grid<std::int32_t, 1, typename P::memory> used;  ///< by region: is a cell led there? Then: used regions before it
  workspace<P> space;
};

/// The largest number of a region. Throws unless numbers are not negative and centroids are on the map.
template <class R, class C>
index_t expects_clusterable(image_view<R> region, stack_view<C> centroid)
{
  index_t const H = region.extent[0], W = region.extent[1];
  index_t most = 0;
  for (index_t y = 0; W > 0 && y < H; ++y) {
    C* const cy = &centroid(0, y, 0);
    C* const cx = &centroid(1, y, 0);
    R* const number = &region(y, 0);
    auto const on_map = [&](index_t x) {
      auto const v = static_cast<index_t>(cy[x]), u = static_cast<index_t>(cx[x]);
      return (0 <= v) & (v < H) & (0 <= u) & (u < W);
    };
    bool good = true;
    for (index_t x = 0; x < W; ++x) {
      good &= on_map(x) & (static_cast<index_t>(number[x]) >= 0);
      most = std::max(most, static_cast<index_t>(number[x]));
    }
    for (index_t x = 0; x < W && !good; ++x) {
      expects(on_map(x), "cluster: centroid of (", y, ",", x, ") is (", cy[x], ",", cx[x], "), outside the map");
      expects(number[x] >= 0, "cluster: region(", y, ",", x, ") is ", number[x]);
    }
  }
  return most;
}

/// Group cells whose centroids fall into the same weak region.
///
/// Every cell takes the number of the region its centroid lies in; the numbers in use are then renumbered
/// 0..count-1 in ascending order. Cells that end outside every region (number 0) form a group like any other.
///
/// @param where      where to run; must reach the memory of the maps
/// @param regions    [H,W] 0 outside, 1..N: components of weak_field, in raster order, 4-connected
/// @param centroids  [2,H,W] (y,x) of the cell where each cell ends, from nearest_cells
/// @param id         [H,W] int32
/// @param count      [1] int32
/// @param scratch    of any earlier call; it grows to the largest map
///
/// @pre          regions >= 0; centroids on the map. gpu: values are not checked; a centroid off the map and a number
///               outside 0..H * W count as region 0. Components never have larger numbers
/// @throws       precondition_error before anything is written
/// @complexity   Theta(H * W + N)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns; allocates only while the scratch grows
/// @source       cluster_centroids, step/make_ins_seg_labels.py of jiwoon-ahn/irn. That group 0 is an ordinary
///               instance, and present in some images only, is the original's; ids cannot be compared between images
template <execution_policy P, image_like R, stack_like C, image_like O, gridded<1> N>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<C, 3>> && reaches<P, space_of<O, 2>> &&
           reaches<P, space_of<N, 1>>
void cluster_into(P const& where, R const& regions, C const& centroids, O&& id, N&& count, cluster_scratch<P>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<R, 2>> && std::is_integral_v<value_of<C, 3>>,
                "cluster: regions and centroids are integers");
  image_view<value_of<R, 2> const, S> const region = as_view<2>(regions, "cluster: regions");
  stack_view<value_of<C, 3> const, S> const centroid = as_view<3>(centroids, "cluster: centroids");
  image_view<std::int32_t, S> const to = as_view<2>(id, "cluster: id");
  view<std::int32_t, 1, S> const number = as_view<1>(count, "cluster: count");
  expects(centroid.extent[0] == 2 && centroid.extent[1] == region.extent[0] && centroid.extent[2] == region.extent[1],
          "cluster: regions are ", region, " but centroids are ", centroid);
  expects(same_shape(region, to), "cluster: regions are ", region, " but id is ", to);
  expects(number.extent[0] == 1, "cluster: count is ", number, " instead of [1]");
  expects(!overlap(region, to) && !overlap(centroid, to), "cluster: an input and id overlap");
  index_t const H = region.extent[0], W = region.extent[1];
  index_t most = H * W;
  if constexpr (std::is_same_v<P, cpu>) most = expects_clusterable(region, centroid);
  // Numbers 0..most, and one more that no cell has: the number of those before it is the count.
  view<std::int32_t, 1, S> const used(reserve(where, scratch.used, most + 2), {most + 2});
  fill(where, most + 2, used.data, 0);
  for_each_cell(where, {1, H, W}, rule::enter_region<value_of<R, 2>, value_of<C, 3>, S>{region, centroid, to, used});
  exclusive_scan(where, most + 2, used.data, used.data, scratch.space);
  using look_up_label = rule::look_up_label<std::int32_t, std::int32_t, std::int32_t, S>;
  for_each_cell(where, {1, H, W}, look_up_label{to, used.data, most + 1, to});
  for_each_index(where, 1, rule::take_number<S>{used.data + most + 1, number});
}

/// As cluster_into, with the count on the host; allocates the result and the scratch.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P, image_like R, stack_like C>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<C, 3>>
[[nodiscard]] auto cluster(P const& where, R const& regions, C const& centroids) -> instance_map<typename P::memory>
{
  auto const region = as_view<2>(regions, "cluster: regions");
  auto id = make_grid<std::int32_t>(where, region.extent);
  auto count = make_grid<std::int32_t>(where, {1});
  cluster_scratch<P> scratch;
  cluster_into(where, region, centroids, id, count, scratch);
  index_t const found = read_cell(where, count.view().data);
  return {std::move(id), found};
}

}  // namespace cambium
