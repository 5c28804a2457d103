#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>

namespace cambium {

/// The boundary map from a boundary network's logits for an image and for its mirror image.
///
///   out(y, x) = sigmoid( (logits(y, x) + mirrored(y, w-1-x)) / 2 )   on the top left [h,w] of the outputs
///
/// @param where     cpu
/// @param logits    [h',w'] of the image, which was padded at its right and bottom
/// @param mirrored  [h',w'] of the mirror image, padded the same way
/// @param size      [cells] h, w: what is left when the padding is cut off, h = (H-1)/4 + 1
/// @return [h,w] in [0,1]
///
/// @pre          size <= the logits' extents; logits finite
/// @throws       precondition_error
/// @complexity   Theta(h * w)
/// @determinism  exact up to the C library's exp
/// @source       EdgeDisplacement.forward, net/resnet50_irn.py of jiwoon-ahn/irn. The mirror image is cropped before it
///               is turned back, which misaligns it by (W - 1) mod 4 pixels; that is the original's
template <image_like L, image_like M>
[[nodiscard]] auto boundary_from_logits(cpu const& where, L const& logits, M const& mirrored,
                                        extent2 size) -> grid<value_of<L, 2>, 2>
{
  using T = value_of<L, 2>;
  auto const a = as_view<2>(logits, "boundary_from_logits: logits");
  auto const b = as_view<2>(mirrored, "boundary_from_logits: mirrored");
  expects(same_shape(a, b), "boundary_from_logits: logits are ", a, " but mirrored are ", b);
  expects(0 <= size.height && size.height <= a.extent[0] && 0 <= size.width && size.width <= a.extent[1],
          "boundary_from_logits: ", size.height, " x ", size.width, " cells are wanted of ", a);
  expects_finite(where, a, "boundary_from_logits: logits");
  expects_finite(where, b, "boundary_from_logits: mirrored");
  auto out = make_grid<T>({size.height, size.width});
  for (index_t y = 0; y < size.height; ++y)
    for (index_t x = 0; x < size.width; ++x) {
      T const mean = a(y, x) / 2 + b(y, size.width - 1 - x) / 2;
      out(y, x) = 1 / (1 + std::exp(-mean));
    }
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
