#pragma once
// boundary_from_logits on a GPU. The cpu's is in boundary.hpp.

#include <cambium/activation/boundary.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/grid.cuh>

namespace cambium {

/// Rule: the boundary at a cell.
template <class T, class S>
struct squash_logits {
  image_view<T const, S> logits;
  image_view<T const, S> mirrored;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    T const mean = logits(y, x) / 2 + mirrored(y, out.extent[1] - 1 - x) / 2;
    out(y, x) = 1 / (1 + std::exp(-mean));
  }
};

/// The boundary map from a boundary network's logits for an image and for its mirror image, on a device.
///
/// @param out   [h,w] of `size`: its extents say how much is wanted
/// @determinism the same bits on every run; within 4 ulp of the cpu's. NaN stays NaN
/// @asynchrony  gpu: enqueues and returns
///
/// Everything else as boundary_from_logits in boundary.hpp.
template <execution_policy P, image_like L, image_like M, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
void boundary_from_logits_into(P const& where, L const& logits, M const& mirrored, O&& out)
{
  using T = value_of<L, 2>;
  using S = typename P::memory;
  auto const a = as_view<2>(logits, "boundary_from_logits: logits");
  auto const b = as_view<2>(mirrored, "boundary_from_logits: mirrored");
  image_view<T, S> const to = as_view<2>(out, "boundary_from_logits: out");
  expects(same_shape(a, b), "boundary_from_logits: logits are ", a, " but mirrored are ", b);
  expects(to.extent[0] <= a.extent[0] && to.extent[1] <= a.extent[1], "boundary_from_logits: ", to.extent[0], " x ",
          to.extent[1], " cells are wanted of ", a);
  expects(!overlap(a, to) && !overlap(b, to), "boundary_from_logits: logits and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, squash_logits<T, S>{a, b, to});
}

/// As boundary_from_logits_into, and allocates.
template <execution_policy P, image_like L, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
[[nodiscard]] auto boundary_from_logits(P const& where, L const& logits, M const& mirrored,
                                        extent2 size) -> grid<value_of<L, 2>, 2, typename P::memory>
{
  auto const a = as_view<2>(logits, "boundary_from_logits: logits");
  expects(0 <= size.height && size.height <= a.extent[0] && 0 <= size.width && size.width <= a.extent[1],
          "boundary_from_logits: ", size.height, " x ", size.width, " cells are wanted of ", a);
  auto out = make_grid<value_of<L, 2>>(where, {size.height, size.width});
  boundary_from_logits_into(where, logits, mirrored, out);
  return out;
}

}  // namespace cambium
