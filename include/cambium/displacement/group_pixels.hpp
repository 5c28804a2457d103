#pragma once

#include <cambium/core/error.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

namespace rule {

/// Which of some centres is nearest to the position that a cell's offset leads to? The distance is
/// sqrt(dx * dx + [dy * dy]) with one rounding inside the sum, in float; the first of equal ones wins.
struct nearest_centre {
  float const* cy;
  float const* cx;
  index_t count;

  [[gnu::always_inline]] CAMBIUM_HD index_t operator()(float y, float x) const
  {
    index_t best = 0;
    float least = far, root = far;
    for (index_t k = 0; k < count; ++k) {
      float const dy = cy[k] - y, dx = cx[k] - x, square = std::fma(dx, dx, dy * dy);
      if (!(square < least)) continue;
      float const distance = std::sqrt(square);
      if (distance < root) best = k, root = distance, least = square;
    }
    return best;
  }

 private:
  static constexpr float far = std::numeric_limits<float>::infinity();
};

template <class S>
struct round_centre {
  view<point const, 1, S> at;
  float* cy;
  float* cx;
  CAMBIUM_HD void operator()(index_t k) const
  {
    cy[k] = static_cast<float>(at(k).y), cx[k] = static_cast<float>(at(k).x);
  }
};

/// Rule of runs of one region: its cells vote.
template <class T, class S>
struct vote {
  stack_view<T const, S> offset;
  centres_view<S> centres;
  float const* cy;
  float const* cx;
  image_view<std::int32_t, S> out;

  template <class R>
  [[gnu::always_inline]] CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, R region) const
  {
    index_t const r = static_cast<index_t>(region);
    bool const is = 0 < r && r <= centres.regions();
    index_t const first = is ? centres.begin(r) : 0, count = is ? centres.end(r) - first : 0;
    if (count > 1) {
      nearest_centre const nearest{cy + first, cx + first, count};
      for (index_t x = begin; x < end; ++x)
        out(y, x) = static_cast<std::int32_t>(first + 1 +
                                              nearest(static_cast<float>(y) + static_cast<float>(offset(0, y, x)),
                                                      static_cast<float>(x) + static_cast<float>(offset(1, y, x))));
    } else {
      for (index_t x = begin; x < end; ++x) out(y, x) = count == 1 ? static_cast<std::int32_t>(first + 1) : 0;
    }
  }
};

}  // namespace rule

/// What group_pixels works in: the centres' coordinates in float.
template <execution_policy P>
struct group_scratch {
  grid<float, 1, typename P::memory> cy, cx;
};

/// Group the cells of each region: every cell goes to the centre of its region that its offset leads nearest to.
///
///   out(y,x) = 1 + argmin over k of |centre(k) - ((y,x) + offset(y,x))|,   0 outside and in regions without a centre
///
/// @param where    where to run; must reach the memory of the maps
/// @param offset   [2,H,W] (dy,dx) in cells, finite: centre minus cell
/// @param regions  [H,W] of integers, 0..N
/// @param centres  of N regions
/// @param out      [H,W] int32, 0 or 1 + index into centres.at
/// @param scratch  of any earlier call; it grows to the largest list
///
/// @pre          gpu: values are not checked. A region outside 1..N has no centre; where an offset or a centre is NaN
///               the first of the others wins
/// @throws       precondition_error before anything is written: shapes that differ, a region outside 0..N, NaN or
///               infinite offsets or centres, centres that are not divided among regions
/// @invariant    of several centres equally near the first wins; a region's only centre takes all of it
/// @complexity   O(cells of regions * centres of their region), one pass for all regions: quadratic where every cell of
///               a plateau is a centre, see plateau::one_cell
/// @determinism  exact, on every machine: positions, products and roots in float, rounded as the original's are
/// @asynchrony   gpu: enqueues and returns; allocates only while the scratch grows
/// @source       Cheng et al., CVPR 2020, eq. (1); group_pixels, utils/utils.py of clovaai/BESTIE, which runs over the
///               whole map once a region and needs memory for centres * H * W distances. Without a centre it raises
template <execution_policy P, stack_like D, image_like R, image_like O>
  requires reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>> && reaches<P, space_of<O, 2>>
void group_pixels_into(P const& where, D const& offset, R const& regions,
                       region_centres<typename P::memory> const& centres, O&& out, group_scratch<P>& scratch)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "group_pixels: offset");
  image_view<value_of<R, 2> const, S> const region = as_view<2>(regions, "group_pixels: regions");
  image_view<std::int32_t, S> const to = as_view<2>(out, "group_pixels: out");
  expects_offset(where, field, region, "group_pixels: offset");
  expects(same_shape(region, to), "group_pixels: regions are ", region, " but out is ", to);
  expects(!overlap(region, to) && !overlap(field, to), "group_pixels: an input and out overlap");
  expects(centres.regions() >= 0, "group_pixels: centres: first does not divide ", centres.at.size(),
          " items among -1 regions");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_centres(centres, "group_pixels: centres");
    expects_labels(region, centres.regions(), "group_pixels: region");
    expects_finite_centres(centres.at.cells());
  }
  index_t const count = centres.at.size();
  float* const cy = reserve(where, scratch.cy, count);
  float* const cx = reserve(where, scratch.cx, count);
  for_each_index(where, count, rule::round_centre<S>{centres.at.view(), cy, cx});
  rule::vote<T, S> const vote{field, {centres.at.view(), centres.first.view()}, cy, cx, to};
  for_each_cell(where, as_batch(region).extent, rule::by_runs{region, vote});
}

/// As group_pixels_into, and allocates the result and the scratch.
template <execution_policy P, stack_like D, image_like R>
  requires reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, R const& regions,
                                region_centres<typename P::memory> const& centres)
    -> grid<std::int32_t, 2, typename P::memory>
{
  auto out = make_grid<std::int32_t>(where, as_view<2>(regions, "group_pixels: regions").extent);
  group_scratch<P> scratch;
  group_pixels_into(where, offset, regions, centres, out, scratch);
  return out;
}

/// As above, the whole map being one region; the centres come from the host.
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, points const& centres)
    -> grid<std::int32_t, 2, typename P::memory>
{
  auto const field = as_view<3>(offset, "group_pixels: offset");
  expects_finite_centres(centres);
  auto whole = make_grid<std::uint8_t>(where, {field.extent[1], field.extent[2]});
  fill(where, whole.size(), whole.view().data, std::uint8_t{1});
  return group_pixels(where, field, whole, all_of_one_region(where, centres));
}

}  // namespace cambium
