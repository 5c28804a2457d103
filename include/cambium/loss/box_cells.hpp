#pragma once
// Boxes and masks of a photograph on the smaller map of a network, whose cells are sampled in the middle of blocks.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace cambium {

/// An object of a batch that is known by its box.
struct boxed_instance {
  box cells;          ///< of the map of its logits
  index_t image = 0;  ///< [0..B-1] the image of the batch that it is in

  friend bool operator==(boxed_instance const&, boxed_instance const&) = default;
};

/// Whether a cell of a map is in the box.
CAMBIUM_HD constexpr bool holds_cell(box const& b, index_t y, index_t x)
{
  return y >= b.top && y < b.bottom && x >= b.left && x < b.right;
}

/// The box, or one without sides if it has no cell: rows without columns project to nothing.
CAMBIUM_HD constexpr box box_or_none(box const& b) { return b.top < b.bottom && b.left < b.right ? b : box{}; }

/// Find the cells of a map whose samples lie in a box of the photograph.
///
///   cell (i,j) samples pixel (stride/2 + stride*i, stride/2 + stride*j), with stride/2 a whole number;
///   it is in the box where  trunc(y1) <= row <= trunc(y2)  and  trunc(x1) <= column <= trunc(x2)
///
/// @param corners  x1, y1, x2, y2 [pixels], finite; parts outside the photograph are cut off
/// @param stride   [pixels per cell] >= 1
/// @param H, W     [cells] the map
/// @return cells of the map; top = bottom where the box holds no sample
/// @throws precondition_error: corners that are not finite, a stride below 1, a map of negative size
/// @source get_bitmasks_from_boxes, mmdet/models/dense_heads/condinst_head.py of LiWentomng/BoxInstSeg. Its slices count
///         a corner of -1 and less from the far end; here the box is clipped
[[nodiscard]] inline box sampled_box(double const (&corners)[4], index_t stride, index_t H, index_t W)
{
  expects(stride >= 1, "sampled_box: the stride is ", stride, "; expected 1 or more");
  expects(H >= 0 && W >= 0, "sampled_box: the map is [", H, ",", W, "]");
  for (double const c : corners)
    expects(std::isfinite(c), "sampled_box: a corner is ", c, "; expected a finite number");
  auto const range = [&](double first, double last, index_t cells, index_t& begin, index_t& end) {
    auto const middle = static_cast<double>(stride / 2), step = static_cast<double>(stride),
               most = static_cast<double>(cells);
    begin = static_cast<index_t>(std::clamp(std::ceil((std::trunc(first) - middle) / step), 0.0, most));
    end = static_cast<index_t>(std::clamp(std::floor((std::trunc(last) - middle) / step) + 1, 0.0, most));
  };
  box out;
  range(corners[1], corners[3], H, out.top, out.bottom);
  range(corners[0], corners[2], W, out.left, out.right);
  return box_or_none(out);
}

namespace rule {

template <class T, class S>
struct sample_mask {
  image_view<T const, S> mask;
  index_t stride;
  image_view<std::uint8_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = mask(stride / 2 + stride * y, stride / 2 + stride * x) != T(0) ? 1 : 0;
  }
};

}  // namespace rule

/// Sample a mask of the photograph at the cells of a smaller map, as sampled_box does.
///
/// A mask says where colours count: 1 on the photograph, 0 in its padding. The original also leaves out the
/// int(10 * H / height before resizing) lowest rows of the photograph.
///
/// @param where   where to run; must reach all memory
/// @param mask    [H,W] 0 is outside
/// @param stride  [pixels per cell] >= 1
/// @param out     [H/stride,W/stride] 0 or 1; pixels beyond the last whole block count nothing
///
/// @throws      precondition_error before anything is written: a stride below 1, an output of another shape, an output
///              that overlaps the mask
/// @complexity  Theta(cells of out)
/// @asynchrony  gpu: enqueues and returns
template <execution_policy P, image_like M, image_like O>
  requires reaches<P, space_of<M, 2>> && reaches<P, space_of<O, 2>>
void sampled_mask_into(P const& where, M const& mask, index_t stride, O&& out)
{
  using T = value_of<M, 2>;
  using S = space_of<M, 2>;
  image_view<T const, S> const from = as_view<2>(mask, "sampled_mask: mask");
  image_view<std::uint8_t, S> const to = as_view<2>(out, "sampled_mask: out");
  expects(stride >= 1, "sampled_mask: the stride is ", stride, "; expected 1 or more");
  expects(to.extent[0] == from.extent[0] / stride && to.extent[1] == from.extent[1] / stride, "sampled_mask: out is ",
          to, " but the mask is ", from, " and the stride is ", stride);
  expects(!overlap(from, to), "sampled_mask: mask and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, rule::sample_mask<T, S>{from, stride, to});
}

/// As sampled_mask_into, and allocates the result.
/// @return grid<uint8, 2> [H/stride,W/stride] in the memory of the policy
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] auto sampled_mask(P const& where, M const& mask, index_t stride)
{
  auto const from = as_view<2>(mask, "sampled_mask: mask");
  index_t const by = std::max<index_t>(stride, 1);  // the check is below
  auto out = make_grid<std::uint8_t>(where, {from.extent[0] / by, from.extent[1] / by});
  sampled_mask_into(where, from, stride, out.view());
  return out;
}

}  // namespace cambium
