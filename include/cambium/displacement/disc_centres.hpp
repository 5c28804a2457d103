#pragma once
// Centres where an offset field is short: around a centre the cells whose offset is shorter than a radius form a disc.

#include <cambium/core/error.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

namespace rule {

template <class T, class S>
struct mark_weak_cell {
  image_view<std::int32_t const, S> region;
  stack_view<T const, S> field;
  T radius;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    bool const weak = region(y, x) != 0 && is_weak(field(0, y, x), field(1, y, x), radius);
    out(y, x) = weak ? region(y, x) : 0;
  }
};

}  // namespace rule

/// Mark the cells of each region where the offset field is shorter than a radius: around a centre they form a disc.
///
/// @param where    where to run; must reach the memory of the maps
/// @param regions  [H,W] int32, 0 outside
/// @param offset   [2,H,W] (dy,dx) finite
/// @param radius   [cells] > 0
/// @return [H,W] the region where the field is weak, 0 elsewhere: to be labelled with edge neighbours
/// @pre        gpu: values are not checked; NaN and infinities are not weak
/// @throws     precondition_error
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like R, stack_like D>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<D, 3>>
[[nodiscard]] auto weak_cells(P const& where, R const& regions, D const& offset, double radius = 2.5)
    -> grid<std::int32_t, 2, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "weak_cells: regions");
  stack_view<T const, S> const field = as_view<3>(offset, "weak_cells: offset");
  expects(radius > 0, "weak_cells: radius is ", radius);
  expects_offset(where, field, region, "weak_cells: offset");
  auto out = make_grid<std::int32_t>(where, region.extent);
  for_each_cell(where, as_batch(region).extent,
                rule::mark_weak_cell<T, S>{region, field, static_cast<T>(radius), out.view()});
  return out;
}

/// Cells nearer than a radius to the middle of a cell: 21 for 2.5.
/// @throws     precondition_error unless 0 < radius < 1e6
/// @complexity Theta(radius)
inline index_t disc_area(double radius)
{
  expects(radius > 0 && radius < 1e6, "disc_area: radius is ", radius);
  auto const inside = [&](index_t dy, index_t dx) { return static_cast<double>(dy * dy + dx * dx) < radius * radius; };
  index_t area = 0;
  for (index_t dy = 0; inside(dy, 0); ++dy) {
    double const rest = radius * radius - static_cast<double>(dy * dy);
    auto across = static_cast<index_t>(std::sqrt(rest)) + 1;  // the root may be one off either way
    while (!inside(dy, across)) --across;
    area += (dy == 0 ? 1 : 2) * (2 * across + 1);
  }
  return area;
}

struct disc_options {
  double radius = 2.5;   ///< [cells] that weak_cells was asked for
  double tolerance = 3;  ///< [cells] by which the area of a disc may differ, itself excluded; beta
  bool outside = true;   ///< the rest of the map counts as one more disc, the first: the original
};

/// Sums over the cells of a component, or of all components of a region.
struct disc_sums {
  index_t area = 0, y = 0, x = 0, region = 0;
};

namespace rule {

/// Rule of runs of one component.
template <class S>
struct add_to_disc {
  image_view<std::int32_t const, S> region;
  index_t components;
  disc_sums* of;  ///< components + 1

  template <class L>
  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, L label) const
  {
    index_t const at = static_cast<index_t>(label), n = end - begin;
    if (at <= 0 || at > components) return;
    index_t last = region(y, begin);
    for (index_t x = begin + 1; x < end; ++x) last = region(y, x) > last ? region(y, x) : last;
    atomic_add(&of[at].area, n);
    atomic_add(&of[at].y, n * y);
    atomic_add(&of[at].x, n * (begin + end - 1) / 2);
    atomic_max(&of[at].region, last);
  }
};

struct add_to_region {
  disc_sums const* of;
  disc_sums* in_region;  ///< regions + 1
  index_t regions;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const r = of[i].region;
    if (i == 0 || r <= 0 || r > regions) return;
    atomic_add(&in_region[r].area, of[i].area);
    atomic_add(&in_region[r].y, of[i].y);
    atomic_add(&in_region[r].x, of[i].x);
  }
};

/// Candidates 0..regions-1 are what is outside the weak cells of regions 1, 2, ...; the others are components 1, 2, ...
struct disc_as_centre {
  disc_sums const* of;
  disc_sums const* in_region;
  index_t regions;
  index_t height;
  index_t width;

  CAMBIUM_HD disc_sums sums(index_t i) const
  {
    if (i >= regions) return of[i - regions + 1];
    disc_sums const& s = in_region[i + 1];
    return {height * width - s.area, height * (height - 1) / 2 * width - s.y, width * (width - 1) / 2 * height - s.x,
            i + 1};
  }
  CAMBIUM_HD index_t region(index_t i) const { return i >= regions ? of[i - regions + 1].region : i + 1; }
  CAMBIUM_HD point operator()(index_t i) const
  {
    disc_sums const s = sums(i);
    return {static_cast<double>(s.y / s.area), static_cast<double>(s.x / s.area), 0, 1};
  }
};

struct choose_disc {
  disc_as_centre discs;
  double ideal;
  double tolerance;
  bool outside;
  std::uint8_t* chosen;

  CAMBIUM_HD void operator()(index_t i) const
  {
    disc_sums const s = discs.sums(i);
    double const off = static_cast<double>(s.area) - ideal;
    bool const fits = s.area > 0 && (off < 0 ? -off : off) < tolerance && (outside || i >= discs.regions);
    chosen[i] = fits && 0 < s.region && s.region <= discs.regions ? 1 : 0;
  }
};

}  // namespace rule

/// Take weak places of the size of a disc for centres.
///
/// @param where    where to run; must reach the memory of the maps
/// @param weak     [H,W] 0..N: components of weak_cells, edge neighbours, in raster order
/// @param N        [components]
/// @param regions  [H,W] int32 0..count
/// @param count    [regions]
/// @param options  radius = 2.5, tolerance = 3, outside = true
/// @return of each region the truncated means of components with |area - disc_area(radius)| < tolerance, in their order
///
/// @pre          a component lies in one region; if not, it counts to the last of them. gpu: labels are not checked;
///               those outside their ranges are left out
/// @throws       precondition_error: shapes that differ, labels outside their ranges, a NaN tolerance, negative numbers
/// @complexity   Theta(H * W + N + count)
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream
/// @source       cluster_peaks, utils/utils.py of clovaai/BESTIE, whose loop over components begins with the
///               background: everything outside the weak cells of a region is a centre when it has the size of a disc
template <execution_policy P, image_like L, image_like R>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto disc_centres(P const& where, L const& weak, index_t N, R const& regions, index_t count,
                                disc_options options = {}) -> region_centres<typename P::memory>
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  image_view<cell_type const, S> const label = as_view<2>(weak, "disc_centres: weak");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "disc_centres: regions");
  expects(same_shape(label, region), "disc_centres: weak is ", label, " but regions are ", region);
  expects(!std::isnan(options.tolerance), "disc_centres: tolerance is nan");
  expects(count >= 0, "disc_centres: count is ", count);
  expects(N >= 0, "disc_centres: N is ", N);
  expects_numbers(where, count + N, "disc_centres");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_labels(region, count, "disc_centres: region");
    expects_labels(label, N, "disc_centres: weak");
  }
  double const ideal = static_cast<double>(disc_area(options.radius));
  index_t const candidates = count + N;
  auto sums = make_grid<disc_sums>(where, {N + 1}), in_region = make_grid<disc_sums>(where, {count + 1});
  auto chosen = make_grid<std::uint8_t>(where, {candidates});
  disc_sums* const of = sums.view().data;
  fill(where, N + 1, of, disc_sums{});
  fill(where, count + 1, in_region.view().data, disc_sums{});
  for_each_cell(where, as_batch(label).extent, rule::by_runs{label, rule::add_to_disc<S>{region, N, of}});
  for_each_index(where, N + 1, rule::add_to_region{of, in_region.view().data, count});
  rule::disc_as_centre const discs{of, in_region.view().data, count, region.extent[0], region.extent[1]};
  for_each_index(where, candidates,
                 rule::choose_disc{discs, ideal, options.tolerance, options.outside, chosen.view().data});
  return centres_by_region(where, candidates, chosen.view().data, count, discs);
}

}  // namespace cambium
