#pragma once
// smooth on a GPU. The cpu's is in smooth.hpp.

#include <cambium/activation/smooth.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/grid.cuh>

namespace cambium {

/// Rule: the mean of the window around a cell, in the cpu's order.
template <class T, class S>
struct mean_of_window {
  stack_view<T const, S> maps;
  index_t down, across;  ///< [cells] half sides of the window
  T cells;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const H = maps.extent[1], W = maps.extent[2];
    index_t const top = y < down ? 0 : y - down, bottom = y + down < H ? y + down : H - 1;
    index_t const left = x < across ? 0 : x - across, right = x + across < W ? x + across : W - 1;
    T sum = 0;
    for (index_t v = top; v <= bottom; ++v)
      for (index_t u = left; u <= right; ++u) sum += maps(c, v, u);
    out(c, y, x) = sum / cells;
  }
};

/// Replace every cell by the mean of the window around it, on a device.
///
/// @param out  [C,H,W]
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as smooth in smooth.hpp, the bits too; values are not looked at before.
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void smooth_into(P const& where, M const& maps, index_t kernel, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T>, "smooth: maps are of float or double");
  auto const in = as_view<3>(maps, "smooth: maps");
  stack_view<T, S> const to = as_view<3>(out, "smooth: out");
  expects_window(kernel, "smooth");
  expects(same_shape(in, to), "smooth: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "smooth: maps and out overlap");
  T const cells = static_cast<T>(static_cast<double>(kernel) * static_cast<double>(kernel));
  for_each_cell(where, to.extent,
                mean_of_window<T, S>{in, std::min(kernel / 2, in.extent[1] - 1), std::min(kernel / 2, in.extent[2] - 1),
                                     cells, to});
}

/// As smooth_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto smooth(P const& where, M const& maps,
                          index_t kernel = 3) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "smooth: maps").extent);
  smooth_into(where, maps, kernel, out);
  return out;
}

}  // namespace cambium
