#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <cstdint>

namespace trainer {

/// Maps [B,C,h,w] at another size, interpolated.
/// @param align_corners  the corner cells' centres stay where they are; otherwise the corners of the maps
[[nodiscard]] inline at::Tensor at_size(at::Tensor const& x, std::int64_t height, std::int64_t width,
                                        bool align_corners = false)
{
  if (x.size(2) == height && x.size(3) == width) return x;
  return at::upsample_bilinear2d(x, {height, width}, align_corners);
}

}  // namespace trainer
