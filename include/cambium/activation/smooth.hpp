#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <type_traits>

namespace cambium {

namespace rule {

/// The mean of the window around a cell, row after row.
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
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t const H = maps.extent[1], W = maps.extent[2], last = W - across;
    index_t x = 0;
    for (; x < std::min(across, W); ++x) (*this)(c, y, x);
    for (; x + lanes <= last; x += lanes) {
      pack<T, lanes> sum{};
      for (index_t v = y < down ? 0 : y - down; v <= std::min(H - 1, y + down); ++v) {
        T const* const row = &maps(c, v, x);
        for (index_t u = -across; u <= across; ++u) sum += lanes_at<lanes>(row + u).v;
      }
      lanes_at<lanes>(&out(c, y, x)).v = sum / cells;
    }
    for (; x < W; ++x) (*this)(c, y, x);
  }
};

}  // namespace rule

/// Replace every cell by the mean of the window around it, where cells outside the map count as 0.
///
/// @param where   where to run; must reach the memory of the maps
/// @param maps    [C,H,W]
/// @param kernel  [cells] side of the window, odd
/// @param out     [C,H,W]
///
/// @pre          host memory: maps finite
/// @throws       precondition_error before anything is written: an even kernel, NaN or infinite values
/// @invariant    a map of ones stays 1 inside; its corner becomes ((kernel + 1) / (2 * kernel))^2, 4/9 for 3
/// @complexity   Theta(C * H * W * min(kernel, H) * min(kernel, W))
/// @determinism  exact: one sum in the type of the maps, row after row, and one division
/// @asynchrony   gpu: enqueues and returns
/// @source       smoothing, PAM/point_extraction.py of clovaai/BESTIE: avg_pool2d, which counts its padding, so that
///               peaks at the border are damped
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
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
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "smooth: maps");
  T const cells = static_cast<T>(static_cast<double>(kernel) * static_cast<double>(kernel));
  index_t const down = std::min(kernel / 2, in.extent[1] - 1), across = std::min(kernel / 2, in.extent[2] - 1);
  for_each_cell(where, to.extent, rule::mean_of_window<T, S>{in, down, across, cells, to});
}

/// As smooth_into, and allocates.
/// @return [C,H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto smooth(P const& where, M const& maps, index_t kernel = 3)
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "smooth: maps").extent);
  smooth_into(where, maps, kernel, out);
  return out;
}

}  // namespace cambium
