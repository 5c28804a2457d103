#pragma once
// Targets on a GPU: heat maps are drawn one thread a cell of a kernel, and meet in atomic maxima.

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/instance/targets.hpp>

#include <cmath>
#include <cstdint>

namespace cambium {

template <class T, class S>
struct set_planes {
  stack_view<T, S> planes;
  T value;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { planes(c, y, x) = value; }
};

/// Cell (v,u) of the kernel of centre k, as heat_stamp draws it. A centre of no class, off the map or NaN leaves no trace.
template <class S>
struct stamp_cell {
  view<point const, 1, S> centres;
  image_view<float const, S> kernel;  ///< of whole cells, rounded from double
  int sigma;
  stamping rounding;
  stack_view<float, S> map;

  CAMBIUM_HD void operator()(index_t k, index_t v, index_t u) const
  {
    point const p = centres(k);
    index_t const H = map.extent[1], W = map.extent[2];
    bool const inside = p.y >= 0 && p.x >= 0 && p.y < static_cast<double>(H) && p.x < static_cast<double>(W);
    if (!inside || p.category < 0 || p.category >= map.extent[0]) return;
    if (rounding == stamping::exact && (p.y != std::floor(p.y) || p.x != std::floor(p.x))) {
      index_t const y = first_between(p.y) + v, x = first_between(p.x) + u;
      if (y < 0 || x < 0 || y >= H || x >= W || y >= last_between(p.y) || x >= last_between(p.x)) return;
      double const dy = static_cast<double>(y) - p.y, dx = static_cast<double>(x) - p.x;
      double const square = rounded_product(dy, dy) + rounded_product(dx, dx);
      raise_to(&map(p.category, y, x), static_cast<float>(std::exp(-square / (2.0 * sigma * sigma))));
      return;
    }
    index_t const y = first_cell(p.y) + v, x = first_cell(p.x) + u;
    if (y < 0 || x < 0 || y >= H || x >= W || y >= last_cell(p.y) || x >= last_cell(p.x)) return;
    raise_to(&map(p.category, y, x), kernel(v, u));
  }

 private:
  CAMBIUM_HD index_t first_cell(double at) const { return static_cast<index_t>(std::nearbyint(at - 3 * sigma - 1)); }
  CAMBIUM_HD index_t last_cell(double at) const { return static_cast<index_t>(std::nearbyint(at + 3 * sigma + 2)); }
  CAMBIUM_HD index_t first_between(double at) const { return static_cast<index_t>(std::ceil(at)) - 3 * sigma - 1; }
  CAMBIUM_HD index_t last_between(double at) const { return static_cast<index_t>(std::floor(at)) + 3 * sigma + 2; }
};

/// The kernel of a stamp in the memory of a policy.
template <class P>
[[nodiscard]] grid<float, 2, typename P::memory> copy_of(P const& where, heat_stamp const& stamp)
{
  auto const from = stamp.kernel().view();
  auto to = make_grid<float>(where, from.extent);
  copy(where, from, to.view());
  return to;
}

/// Draw centres on the empty heat maps of their classes.
///
/// @param centres   [N] in the policy's memory
/// @param kernel    of sigma
/// @param map       [C,H,W], written whole
/// @asynchrony      gpu: enqueues and returns
template <class P, class S>
void stamp_centres(P const& where, view<point const, 1, S> centres, image_view<float const, S> kernel, int sigma,
                   stamping rounding, stack_view<float, S> map)
{
  for_each_cell(where, map.extent, set_planes<float, S>{map, 0});
  index_t const cells[3] = {centres.extent[0], kernel.extent[0], kernel.extent[1]};
  for_each_cell(where, cells, stamp_cell<S>{centres, kernel, sigma, rounding, map});
}

/// As centre_map in targets.hpp, the centres from the host.
///
/// @determinism  the cpu's bits where centres are whole cells or rounded to them; between cells within 1 ulp of float
/// @asynchrony   enqueues and returns
template <execution_policy P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] auto centre_map(P const& where, points const& centres, index_t C, extent2 size,
                              heat_options options = {}) -> grid<float, 3, typename P::memory>
{
  using S = typename P::memory;
  heat_stamp const stamp = expects_centre_map(centres, C, size, options);
  index_t const count = static_cast<index_t>(centres.size());
  auto there = make_grid<point>(where, {count});
  copy(where, view<point const, 1>(centres.data(), {count}), there.view());
  auto const kernel = copy_of(where, stamp);
  auto out = make_grid<float>(where, {C, size.height, size.width});
  stamp_centres<P, S>(where, there.view(), kernel.view(), options.sigma, options.rounding, out.view());
  return out;
}

/// Targets of `size` for C classes, their cells as they come. `who` begins the message.
template <execution_policy P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] centre_targets_in<typename P::memory> make_targets(P const& where, index_t C, extent2 size,
                                                                 char const* who)
{
  expects(C >= 0, who, ": ", C, " classes");
  auto const [H, W] = size;
  return {make_grid<float>(where, {C, H, W}), make_grid<float>(where, {2, H, W}), make_grid<float>(where, {H, W})};
}

}  // namespace cambium
