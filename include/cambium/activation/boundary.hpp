#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <type_traits>

namespace cambium {

namespace rule {

/// The boundary at a cell: the sigmoid of a mean.
template <class T, class S>
struct mean_boundary {
  image_view<T const, S> logits;
  image_view<T const, S> mirrored;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = boundary(logits(y, x), mirrored(y, out.extent[1] - 1 - x));
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const
  {
    index_t const W = out.extent[1];
    T const *const a = &logits(y, 0), *const b = &mirrored(y, W - 1);
    T* const to = &out(y, 0);
    for (index_t x = 0; x < W; ++x) to[x] = boundary(a[x], b[-x]);
  }

 private:
  CAMBIUM_HD static T boundary(T a, T b) { return 1 / (1 + std::exp(-(a / 2 + b / 2))); }
};

}  // namespace rule

/// The boundary map from a boundary network's logits for an image and for its mirror image.
///
///   out(y, x) = sigmoid( (logits(y, x) + mirrored(y, w-1-x)) / 2 )   on the top left [h,w] of the outputs
///
/// @param where     where to run; must reach the memory of the logits
/// @param logits    [h',w'] of the image, which was padded at its right and bottom
/// @param mirrored  [h',w'] of the mirror image, padded the same way
/// @param out       [h,w] in [0,1]: what is left when the padding is cut off, h = (H-1)/4 + 1
///
/// @pre          h <= h', w <= w'. Host memory: logits finite. Elsewhere NaN stays NaN
/// @throws       precondition_error before anything is written
/// @complexity   Theta(h * w)
/// @determinism  exact up to the C library's exp; a gpu within 4 ulp of the cpu
/// @asynchrony   gpu: enqueues and returns
/// @source       EdgeDisplacement.forward, net/resnet50_irn.py of jiwoon-ahn/irn. The mirror image is cropped before it
///               is turned back, which misaligns it by (W - 1) mod 4 pixels; that is the original's
template <execution_policy P, image_like L, image_like M, image_like O>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<M, 2>> && reaches<P, space_of<O, 2>>
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
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, a, "boundary_from_logits: logits");
    expects_finite(where, b, "boundary_from_logits: mirrored");
  }
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, rule::mean_boundary<T, S>{a, b, to});
}

/// As boundary_from_logits_into, and allocates.
/// @param size  [cells] h, w
/// @return [h,w] in the memory of the policy
template <execution_policy P, image_like L, image_like M>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<M, 2>>
[[nodiscard]] auto boundary_from_logits(P const& where, L const& logits, M const& mirrored, extent2 size)
{
  expects(size.height >= 0 && size.width >= 0, "boundary_from_logits: ", size.height, " x ", size.width,
          " cells are wanted of ", as_view<2>(logits, "boundary_from_logits: logits"));
  auto out = make_grid<value_of<L, 2>>(where, {size.height, size.width});
  boundary_from_logits_into(where, logits, mirrored, out);
  return out;
}

}  // namespace cambium
