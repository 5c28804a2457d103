#pragma once
// What a network that predicts centres and offsets learns.

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace cambium {

/// Targets of one image: what to predict, and how much each cell counts.
template <class Space = host>
struct centre_targets {
  grid<float, 3, Space> centre;  ///< [C,H,W] heat map of each class, 1 at a centre
  grid<float, 3, Space> offset;  ///< [2,H,W] (dy,dx), centre minus cell
  grid<float, 2, Space> weight;  ///< [H,W] 0 where nothing is known
};

/// Targets of `size` for C classes in the policy's memory, their cells as they come. `who` begins the message.
template <execution_policy P>
[[nodiscard]] centre_targets<typename P::memory> make_targets(P const& where, index_t C, extent2 size, char const* who)
{
  expects(C >= 0, who, ": ", C, " classes");
  auto const [H, W] = size;
  return {make_grid<float>(where, {C, H, W}), make_grid<float>(where, {2, H, W}), make_grid<float>(where, {H, W})};
}

/// Where targets are written to.
template <class Space = host>
struct centre_targets_view {
  stack_view<float, Space> centre;
  stack_view<float, Space> offset;
  image_view<float, Space> weight;
};

/// Throws unless the targets lie over a map of this size. `who` begins the message.
template <class Space>
void expects_targets_over(centre_targets_view<Space> const& out, index_t H, index_t W, char const* who)
{
  expects(out.centre.extent[1] == H && out.centre.extent[2] == W && out.offset.extent[0] == 2 &&
              out.offset.extent[1] == H && out.offset.extent[2] == W && out.weight.extent[0] == H &&
              out.weight.extent[1] == W,
          who, ": a map of ", H, " x ", W, " but targets of ", out.centre, ", ", out.offset, " and ", out.weight);
}

/// Sets planes to 0, in as long pieces as they lie in.
inline void clear(cpu const& where, stack_view<float> planes)
{
  index_t const H = planes.extent[1], W = planes.extent[2], rows = W == 0 ? 0 : planes.extent[0] * H;
  for_each_share(where, rows, 1048576 / (W + 1) + 1, [&](index_t begin, index_t end) {
    index_t const together = planes.contiguous() ? end - begin : 1;
    for (index_t row = begin; row < end; row += together)
      std::memset(&planes(row / H, row % H, 0), 0, static_cast<std::size_t>(together * W) * sizeof(float));
  });
}
/// Which cell or position the mean of a region's cells stands for.
enum class centroid {
  truncated,  ///< the cell at the truncated mean: the original, up to one cell too far up and left
  exact,      ///< the mean itself
};

/// What a heat map does with a position between cells.
enum class stamping {
  original,  ///< the kernel moves to the nearest cell, with the original's roundings of exact halves
  exact,     ///< the Gaussian of the position itself
};

/// Throws unless sigma can be used. `who` begins the message.
inline void expects_sigma(int sigma, char const* who)
{
  expects(sigma >= 1 && sigma <= 200, who, ": sigma is ", sigma, ", outside 1..200");
}

/// The kernel of a centre's heat map: exp(-(dy^2 + dx^2) / (2 sigma^2)), 6 * sigma + 3 cells a side, 1 in the middle.
///
/// @param sigma  [cells] 1..200: the largest kernel has 1.4 million cells
/// @throws precondition_error
/// @source gaussian, utils/utils.py of clovaai/BESTIE
inline grid<double, 2> heat_kernel(int sigma)
{
  expects_sigma(sigma, "heat_kernel");
  index_t const side = 6 * sigma + 3, middle = side / 2;
  auto out = make_grid<double>({side, side});
  for (index_t y = 0; y <= middle; ++y)  // an eighth of it is enough: the rest is its mirror image
    for (index_t x = 0; x <= y; ++x) {
      index_t const square = (y - middle) * (y - middle) + (x - middle) * (x - middle);
      double const v = std::exp(-static_cast<double>(square) / (2.0 * sigma * sigma));
      for (index_t const v0 : {y, side - 1 - y})
        for (index_t const u0 : {x, side - 1 - x}) out(v0, u0) = out(u0, v0) = v;
    }
  return out;
}

struct heat_options {
  int sigma = 6;  ///< [cells]
  stamping rounding = stamping::original;
};

/// Stamps centres on heat maps.
class heat_stamp {
 public:
  heat_stamp(int sigma, stamping rounding) : sigma_(sigma), rounding_(rounding)
  {
    auto const exact = heat_kernel(sigma);
    kernel_ = make_grid<float>({exact.shape()[0], exact.shape()[1]});
    std::transform(exact.cells().begin(), exact.cells().end(), kernel_.cells().begin(),
                   [](double v) { return static_cast<float>(v); });
  }

  grid<float, 2> const& kernel() const { return kernel_; }

  /// Would the original's patch at this position differ in size from the kernel, so that it raises?
  static bool refuses(heat_options const& options, extent2 map, double y, double x)
  {
    if (options.rounding == stamping::exact || !inside(map.height, map.width, y, x)) return false;
    return !along(y, map.height, options.sigma).fits || !along(x, map.width, options.sigma).fits;
  }

  /// map = max(map, kernel at the position); nothing when it is off the map. @pre refuses(...) is false
  void operator()(image_view<float> map, double y, double x) const
  {
    index_t const H = map.extent[0], W = map.extent[1];
    if (!inside(H, W, y, x)) return;
    if (rounding_ == stamping::exact && (y != std::floor(y) || x != std::floor(x))) return between_cells(map, y, x);
    span const down = along(y, H, sigma_), across = along(x, W, sigma_);
    for (index_t v = down.first; v < down.last; ++v) {
      float const* const from = &kernel_(v - down.origin, across.first - across.origin);
      float* const to = &map(v, 0) + across.first;
      for (index_t u = 0; u < across.last - across.first; ++u) to[u] = std::max(to[u], from[u]);
    }
  }

 private:
  struct span {
    index_t origin;  ///< where the kernel begins
    index_t first;   ///< of the map
    index_t last;    ///< one past it
    bool fits;       ///< not longer than the kernel
  };
  static bool inside(index_t H, index_t W, double y, double x)
  {
    return y >= 0 && x >= 0 && y < static_cast<double>(H) && x < static_cast<double>(W);
  }
  /// Both ends are rounded by themselves, halves to even: at an exact half the patch is one cell shorter or longer.
  static span along(double at, index_t cells, int sigma)
  {
    auto const origin = static_cast<index_t>(std::nearbyint(at - 3 * sigma - 1));
    auto const end = static_cast<index_t>(std::nearbyint(at + 3 * sigma + 2));
    index_t const last = std::min(cells, end);
    return {origin, std::max<index_t>(0, origin), last, last - origin <= 6 * sigma + 3};
  }
  void between_cells(image_view<float> map, double y, double x) const
  {
    auto const range = [&](double at, index_t cells) {
      return std::pair{std::max<index_t>(0, static_cast<index_t>(std::ceil(at)) - 3 * sigma_ - 1),
                       std::min<index_t>(cells, static_cast<index_t>(std::floor(at)) + 3 * sigma_ + 2)};
    };
    auto const [top, bottom] = range(y, map.extent[0]);
    auto const [left, right] = range(x, map.extent[1]);
    for (index_t v = top; v < bottom; ++v)
      for (index_t u = left; u < right; ++u) {
        double const dy = static_cast<double>(v) - y, dx = static_cast<double>(u) - x;
        map(v, u) = std::max(map(v, u), static_cast<float>(std::exp(-(dy * dy + dx * dx) / (2.0 * sigma_ * sigma_))));
      }
  }

  int sigma_;
  stamping rounding_;
  grid<float, 2> kernel_;
};

/// Throws unless all centres can be drawn on such maps.
inline void expects_centre_map(points const& centres, index_t C, extent2 size, heat_options const& options)
{
  expects(C >= 0 && size.height >= 0 && size.width >= 0, "centre_map: ", C, " classes of ", size.height, " x ",
          size.width);
  expects_sigma(options.sigma, "centre_map");
  for (point const& p : centres) {
    expects(0 <= p.category && p.category < C, "centre_map: category ", p.category, " is outside 0..", C - 1);
    expects(std::isfinite(p.y) && std::isfinite(p.x), "centre_map: a centre is at (", p.y, ",", p.x, ")");
    expects(!heat_stamp::refuses(options, size, p.y, p.x), "centre_map: a centre at the half cell (", p.y, ",", p.x,
            "), which the original refuses; round it, or take stamping::exact");
  }
}

namespace rule {

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

}  // namespace rule

/// The kernel that stamp_centres draws with in a policy's memory: that of the last sigma. The cpu needs none.
template <execution_policy P>
struct stamp_scratch {
  grid<float, 2, typename P::memory> kernel;
  int sigma = 0;
};

/// Draw centres on the empty heat maps of their classes. A centre of no class leaves no trace.
///
/// @param centres   [N] in the policy's memory
/// @param map       [C,H,W], written whole
/// @asynchrony      gpu: enqueues and returns; takes memory only while sigma changes
inline void stamp_centres(cpu const& where, view<point const, 1> centres, heat_options const& options,
                          stack_view<float> map, stamp_scratch<cpu>&)
{
  clear(where, map);
  heat_stamp const stamp(options.sigma, options.rounding);
  for (index_t k = 0; k < centres.extent[0]; ++k)
    if (auto const& p = centres(k); 0 <= p.category && p.category < map.extent[0]) stamp(map[p.category], p.y, p.x);
}
template <execution_policy P>
  requires(!std::same_as<P, cpu>)
void stamp_centres(P const& where, view<point const, 1, typename P::memory> centres, heat_options const& options,
                   stack_view<float, typename P::memory> map, stamp_scratch<P>& scratch)
{
  using S = typename P::memory;
  if (scratch.sigma != options.sigma) {
    heat_stamp const stamp(options.sigma, options.rounding);
    scratch.kernel = make_grid<float>(where, stamp.kernel().view().extent);
    copy(where, stamp.kernel().view(), scratch.kernel.view());
    scratch.sigma = options.sigma;
  }
  image_view<float const, S> const kernel = scratch.kernel.view();
  for_each_cell(where, map.extent, rule::set_planes<float, S>{map, 0});
  index_t const cells[3] = {centres.extent[0], kernel.extent[0], kernel.extent[1]};
  for_each_cell(where, cells, rule::stamp_cell<S>{centres, kernel, options.sigma, options.rounding, map});
}

/// Draw the heat maps of centres: of each class the largest of its centres' Gaussians.
///
/// @param where    where to run
/// @param centres  finite; those off the map leave no trace
/// @param C        classes; categories are 0..C-1
/// @param size     [cells]
/// @param options  sigma = 6, rounding = original
/// @return [C,H,W] in [0,1], in the policy's memory
///
/// @throws       precondition_error: a category outside 0..C-1, a NaN or infinite place, and with stamping::original a
///               position at an exact half where the original raises
/// @complexity   Theta(C * H * W + centres * (6 * sigma + 3)^2)
/// @determinism  exact up to the mathematics library's exponential. A device gives the cpu's bits where centres are whole
///               cells or rounded to them, otherwise values within 1 ulp of float
/// @asynchrony   gpu: enqueues and returns
/// @source       center_map_gen, utils/utils.py of clovaai/BESTIE; the Gaussian is cut off at 3 * sigma + 1 cells
template <execution_policy P>
[[nodiscard]] auto centre_map(P const& where, points const& centres, index_t C, extent2 size, heat_options options = {})
    -> grid<float, 3, typename P::memory>
{
  expects_centre_map(centres, C, size, options);
  auto const there = to_memory(where, centres);
  auto out = make_grid<float>(where, {C, size.height, size.width});
  stamp_scratch<P> scratch;
  stamp_centres(where, view<point const, 1, typename P::memory>(there.view()), options, out.view(), scratch);
  return out;
}

}  // namespace cambium
