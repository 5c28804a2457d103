#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// What a path pays for a step from a cell to its neighbour.
struct geodesic_cost_options {
  double step = 1;        ///< per cell of length; >= 0. 0: a path through equal cells is free
  double image = 1;       ///< per unit of the image, for example per grey level of 0..255; >= 0
  double boundary = 100;  ///< per cell of length on a boundary of 1; >= 0
};

namespace rule {

/// The cost of one edge of the cell that owns it.
template <class T, class I, class B, class S>
struct geodesic_edge_cost {
  stack_view<I const, S> image;     ///< or null
  image_view<B const, S> boundary;  ///< or null
  neighbourhood near;
  T step, per_image, per_boundary;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t k, index_t y, index_t x) const
  {
    offset const to = after(near, static_cast<int>(k));
    index_t const far_y = y + to.dy, far_x = x + to.dx;
    if (far_y >= out.extent[1] || far_x < 0 || far_x >= out.extent[2]) {
      out(k, y, x) = 0;
      return;
    }
    T const length = to.dy != 0 && to.dx != 0 ? T(1.4142135623730951) : T(1);
    T cost = step * length;
    if (image.data != nullptr) {
      I const *const p = &image(y, x, 0), *const q = p + to.dy * image.stride[0] + to.dx * image.stride[1];
      auto const square = [&](index_t c) {
        T const difference = static_cast<T>(p[c]) - static_cast<T>(q[c]);
        return difference * difference;
      };
      T squares = 0;
      if (image.extent[2] == 3)
        squares = square(0) + square(1) + square(2);
      else
        for (index_t c = 0; c < image.extent[2]; ++c) squares += square(c);
      cost = std::sqrt(cost * cost + per_image * per_image * squares);
    }
    if (boundary.data != nullptr) {
      T const both = static_cast<T>(boundary(y, x)) + static_cast<T>(boundary(far_y, far_x));
      cost += per_boundary * length * (both / 2);
    }
    out(k, y, x) = cost;
  }
};

}  // namespace rule

/// Compute what a path pays for each step on a map: its length, the image's change and the boundary it crosses.
///
///   out(k, y, x) = sqrt((step |p-q|)^2 + image^2 |I(p)-I(q)|^2) + boundary |p-q| (b(p) + b(q)) / 2
///
/// for p = (y,x) and its neighbour q = p + after(near, k); |p-q| is 1, or sqrt(2) at a corner.
///
/// @param where     where to run
/// @param image     [H,W,B] of any arithmetic type, or a null view
/// @param boundary  [H,W] probability of a boundary, in [0,1], or a null view
/// @param near      c4 or c8
/// @param out       [K,H,W] costs of the K = 2 or 4 neighbours after each cell; 0 where there is none
///
/// @pre          host memory: a finite image, and 0 <= boundary <= 1
/// @throws       precondition_error before anything is written
/// @invariant    without image and boundary a cost is a length; adding a constant to the image changes nothing
/// @complexity   Theta(K * H * W * B)
/// @determinism  exact for any number of threads
/// @asynchrony   gpu: enqueues and returns, and cannot check values
/// @source       the metric of Criminisi, Sharp, Blake, "GeoS: geodesic image segmentation", ECCV 2008, eq. (2), with the
///               colours' difference for the gradient; the term of the boundary is ours
template <execution_policy P, stack_like I, image_like B, stack_like O>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<B, 2>> && reaches<P, space_of<O, 3>>
void geodesic_costs_into(P const& where, I const& image, B const& boundary, neighbourhood const& near,
                         geodesic_cost_options const& options, O&& out)
{
  using S = typename P::memory;
  using T = value_of<O, 3>;
  static_assert(std::is_floating_point_v<T>, "geodesic_costs: costs are float or double");
  view<value_of<I, 3> const, 3, S> const colours = as_view<3>(image, "geodesic_costs: image");
  view<value_of<B, 2> const, 2, S> const lines = as_view<2>(boundary, "geodesic_costs: boundary");
  view<T, 3, S> const to = as_view<3>(out, "geodesic_costs: out");
  expects(near == c4 || near == c8, "geodesic_costs: the neighbourhood is neither c4 nor c8");
  expects(to.extent[0] == near.size, "geodesic_costs: out is ", to, " but a cell has ", near.size,
          " neighbours after it");
  expects(colours.data == nullptr || (colours.extent[0] == to.extent[1] && colours.extent[1] == to.extent[2]),
          "geodesic_costs: image is ", colours, " but out is ", to);
  expects(lines.data == nullptr || (lines.extent[0] == to.extent[1] && lines.extent[1] == to.extent[2]),
          "geodesic_costs: boundary is ", lines, " but out is ", to);
  expects(!overlap(colours, to), "geodesic_costs: image and out overlap");
  expects(!overlap(lines, to), "geodesic_costs: boundary and out overlap");
  auto const expects_factor = [](double v, char const* name) {
    expects(std::isfinite(v) && v >= 0, "geodesic_costs: ", name, " is ", v, "; expected a finite number >= 0");
  };
  expects_factor(options.step, "step");
  expects_factor(options.image, "image");
  expects_factor(options.boundary, "boundary");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, colours, "geodesic_costs: image");
    expects_inside(where, lines, value_of<B, 2>(0), value_of<B, 2>(1), "geodesic_costs: boundary", "a value in [0,1]");
  }
  for_each_cell(where, to.extent,
                rule::geodesic_edge_cost<T, value_of<I, 3>, value_of<B, 2>, S>{
                    colours, lines, near, static_cast<T>(options.step), static_cast<T>(options.image),
                    static_cast<T>(options.boundary), to});
}

/// As geodesic_costs_into, and allocates. Image and boundary have one size, or one of them is a null view.
/// @return grid<T, 3> [K,H,W] in the memory of the policy
template <class T = float, execution_policy P, stack_like I, image_like B = image_view<float const, typename P::memory>>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<B, 2>>
[[nodiscard]] auto geodesic_costs(P const& where, I const& image, B const& boundary = {},
                                  neighbourhood const& near = c8, geodesic_cost_options const& options = {})
{
  auto const colours = as_view<3>(image, "geodesic_costs: image");
  auto const lines = as_view<2>(boundary, "geodesic_costs: boundary");
  expects(colours.data != nullptr || lines.data != nullptr, "geodesic_costs: neither an image nor a boundary");
  index_t const H = colours.data != nullptr ? colours.extent[0] : lines.extent[0];
  index_t const W = colours.data != nullptr ? colours.extent[1] : lines.extent[1];
  auto out = make_grid<T>(where, {index_t{near.size}, H, W});
  geodesic_costs_into(where, colours, lines, near, options, out);
  return out;
}

}  // namespace cambium
