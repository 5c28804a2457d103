#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <type_traits>

namespace cambium {

/// Replace every cell by the mean of the window around it, where cells outside the map count as 0.
///
/// @param where   cpu
/// @param maps    [C,H,W] finite
/// @param kernel  [cells] side of the window, odd
/// @return [C,H,W]
///
/// @throws       precondition_error: an even kernel, NaN or infinite values
/// @invariant    a map of ones stays 1 inside; its corner becomes ((kernel + 1) / (2 * kernel))^2, 4/9 for 3
/// @complexity   Theta(C * H * W * min(kernel, H) * min(kernel, W))
/// @determinism  exact: one sum in the type of the maps, row after row, and one division
/// @source       smoothing, PAM/point_extraction.py of clovaai/BESTIE: avg_pool2d, which counts its padding, so that peaks
///               at the border are damped
template <stack_like M>
[[nodiscard]] auto smooth(cpu const& where, M const& maps, index_t kernel = 3) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  static_assert(std::is_floating_point_v<T>, "smooth: maps are of float or double");
  auto const in = as_view<3>(maps, "smooth: maps");
  expects_window(kernel, "smooth");
  expects_finite(where, in, "smooth: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  index_t const down = std::min(kernel / 2, H - 1), across = std::min(kernel / 2, W - 1);  // no farther than the map
  T const cells = static_cast<T>(static_cast<double>(kernel) * static_cast<double>(kernel));
  auto out = grid<T, 3>(C, H, W);
  for_each_share(where, W == 0 ? 0 : C * H, 16, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / H, y = at % H;
      T* const sum = &out(c, y, 0);
      for (index_t v = std::max<index_t>(0, y - down); v <= std::min(H - 1, y + down); ++v) {
        T const* const row = &in(c, v, 0);
        for (index_t u = -across; u <= across; ++u) {
          index_t const last = std::min(W, W - u);
          for (index_t x = std::max<index_t>(0, -u); x < last; ++x) sum[x] += row[x + u];
        }
      }
      for (index_t x = 0; x < W; ++x) sum[x] /= cells;
    }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
