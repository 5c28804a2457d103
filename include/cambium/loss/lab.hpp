#pragma once
// The colours of a small photograph, as losses compare them.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

namespace rule {

/// The mean of a block, truncated.
template <class T, class S>
struct block_mean {
  stack_view<T const, S> photograph;
  index_t stride;
  stack_view<std::uint8_t, S> out;

  CAMBIUM_HD void operator()(index_t y, index_t x, index_t c) const
  {
    using sum_t = std::conditional_t<std::is_integral_v<T>, index_t, double>;
    sum_t sum = 0;
    for (index_t dy = 0; dy < stride; ++dy)
      for (index_t dx = 0; dx < stride; ++dx)
        sum += static_cast<sum_t>(photograph(y * stride + dy, x * stride + dx, c));
    sum_t const mean = sum / static_cast<sum_t>(stride * stride);
    out(y, x, c) = mean < 0 ? 0 : mean > 255 ? 255 : static_cast<std::uint8_t>(mean);
  }
};

/// The linear intensity of a byte of sRGB.
struct linear_intensity {
  double* table;

  CAMBIUM_HD void operator()(index_t byte) const
  {
    double const v = static_cast<double>(byte) / 255;
    table[byte] = v > 0.04045 ? std::pow((v + 0.055) / 1.055, 2.4) : v / 12.92;
  }
};

/// The colour of a pixel, from the table of linear intensities.
template <class S>
struct lab_pixel {
  stack_view<std::uint8_t const, S> photograph;
  double const* table;
  stack_view<float, S> out;

  CAMBIUM_HD static double bent(double t) { return t > 0.008856 ? std::cbrt(t) : 7.787 * t + 16.0 / 116; }

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    double const r = table[photograph(y, x, 0)], g = table[photograph(y, x, 1)], b = table[photograph(y, x, 2)];
    double const fx = bent((0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047),
                 fy = bent(0.212671 * r + 0.715160 * g + 0.072169 * b),
                 fz = bent((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883);
    out(0, y, x) = static_cast<float>(116 * fy - 16);
    out(1, y, x) = static_cast<float>(500 * (fx - fy));
    out(2, y, x) = static_cast<float>(200 * (fy - fz));
  }
};

}  // namespace rule

/// Reduce a photograph: every cell takes the mean of its block, truncated to a byte.
///
///   out(i,j,c) = trunc(mean of photograph(stride*i .. stride*i+stride-1, stride*j .. stride*j+stride-1, c))
///
/// @param where       where to run; must reach all memory
/// @param photograph  [H,W,3] in 0..255; means outside are clamped. Rows and columns beyond the last whole block count
///                    nothing
/// @param stride      [pixels per cell] >= 1
/// @param out         [H/stride,W/stride,3]
///
/// @throws       precondition_error before anything is written: a photograph without three channels, a stride below 1,
///               an output of another shape, an output that overlaps the photograph
/// @complexity   Theta(H * W)
/// @determinism  exact for integers
/// @asynchrony   gpu: enqueues and returns
/// @source       the pooled image of get_bitmasks_from_boxes, condinst_head.py of LiWentomng/BoxInstSeg
template <execution_policy P, stack_like A, stack_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void small_photograph_into(P const& where, A const& photograph, index_t stride, O&& out)
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const from = as_view<3>(photograph, "small_photograph: photograph");
  stack_view<std::uint8_t, S> const to = as_view<3>(out, "small_photograph: out");
  expects(from.extent[2] == 3, "small_photograph: the photograph is ", from, "; expected [H,W,3]");
  expects(stride >= 1, "small_photograph: the stride is ", stride, "; expected 1 or more");
  expects(to.extent[0] == from.extent[0] / stride && to.extent[1] == from.extent[1] / stride && to.extent[2] == 3,
          "small_photograph: out is ", to, " but the photograph is ", from, " and the stride is ", stride);
  expects(!overlap(from, to), "small_photograph: photograph and out overlap");
  for_each_cell(where, to.extent, rule::block_mean<T, S>{from, stride, to});
}

/// As small_photograph_into, and allocates the result.
/// @return grid<uint8, 3> [H/stride,W/stride,3] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto small_photograph(P const& where, A const& photograph, index_t stride)
{
  auto const from = as_view<3>(photograph, "small_photograph: photograph");
  index_t const by = std::max<index_t>(stride, 1);  // the check is below
  auto out = make_grid<std::uint8_t>(where, {from.extent[0] / by, from.extent[1] / by, index_t{3}});
  small_photograph_into(where, from, stride, out.view());
  return out;
}

/// Room for lab_colours: 2 kB.
template <execution_policy P>
struct lab_scratch {
  grid<double, 1, typename P::memory> table;
};

/// Turn a photograph into CIE L*a*b* colours, whose distances are about those that people see.
///
///   linear = v/255 / 12.92, above 0.04045 ((v/255 + 0.055) / 1.055)^2.4;  X, Y, Z by sRGB's matrix, by D65's white
///   f(t) = cube root of t above 0.008856, else 7.787 t + 16/116
///   L = 116 f(Y) - 16,  a = 500 (f(X) - f(Y)),  b = 200 (f(Y) - f(Z))
///
/// @param where       where to run; must reach all memory
/// @param photograph  [H,W,3] sRGB
/// @param out         [3,H,W] L in [0,100], a and b in about [-108,99]
/// @param scratch     one call at a time
///
/// @throws       precondition_error before anything is written: a photograph without three channels, an output of
///               another shape
/// @complexity   Theta(H * W)
/// @determinism  computed in double, rounded to float; a device's powers and roots may differ by a rounding
/// @asynchrony   gpu: enqueues and returns
/// @source       IEC 61966-2-1 and CIE 15; the constants of scikit-image's rgb2lab, which BoxInst calls
template <execution_policy P, stack_like A, stack_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void lab_colours_into(P const& where, A const& photograph, O&& out, lab_scratch<P>& scratch)
{
  using S = space_of<A, 3>;
  stack_view<std::uint8_t const, S> const from = as_view<3>(photograph, "lab_colours: photograph");
  stack_view<float, S> const to = as_view<3>(out, "lab_colours: out");
  expects(from.extent[2] == 3, "lab_colours: the photograph is ", from, "; expected [H,W,3]");
  expects(to.extent[0] == 3 && to.extent[1] == from.extent[0] && to.extent[2] == from.extent[1], "lab_colours: out is ",
          to, " but the photograph is ", from);
  expects(!overlap(from, to), "lab_colours: photograph and out overlap");
  double* const table = reserve(where, scratch.table, 256);
  for_each_index(where, 256, rule::linear_intensity{table});
  for_each_cell(where, {1, to.extent[1], to.extent[2]}, rule::lab_pixel<S>{from, table, to});
}

/// As lab_colours_into, and allocates the result.
/// @return grid<float, 3> [3,H,W] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto lab_colours(P const& where, A const& photograph)
{
  auto const from = as_view<3>(photograph, "lab_colours: photograph");
  auto out = make_grid<float>(where, {index_t{3}, from.extent[0], from.extent[1]});
  lab_scratch<P> scratch;
  lab_colours_into(where, from, out.view(), scratch);
  return out;
}

}  // namespace cambium
