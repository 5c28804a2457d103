#pragma once

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace cambium {

/// Enlarge the class maps of a classifier to the image and bring each to [0,1).
///
///   out(c) = u / (max u + 1e-5),   u = max(maps(c), 0) enlarged bilinearly;   0 for absent classes
///
/// @param where    cpu
/// @param maps     [C,h,w] finite
/// @param image    [pixels] size of the image
/// @param classes  the channels of the classes present, 0-based
/// @return [C,H,W]
///
/// @throws       precondition_error: an empty map or image, a class outside 0..C-1, NaN or infinite values
/// @complexity   Theta(C * H * W)
/// @determinism  as fuse
/// @source       cam_normalize, PAM/models/classifier.py of clovaai/BESTIE; the maximum is taken after enlargement
template <stack_like M>
[[nodiscard]] auto class_maps(cpu const& where, M const& maps, extent2 image,
                              std::vector<std::int32_t> const& classes) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "class_maps: maps");
  expects(in.extent[1] >= 1 && in.extent[2] >= 1 && image.height >= 1 && image.width >= 1, "class_maps: maps are ", in,
          " and the image is ", image.height, " x ", image.width);
  expects_finite(where, in, "class_maps: maps");
  for (auto const c : classes)
    expects(0 <= c && c < in.extent[0], "class_maps: class ", c, " is outside 0..", in.extent[0] - 1);
  index_t const cells = in.extent[1] * in.extent[2];
  grid<T, 3> out(in.extent[0], image.height, image.width);
  auto present = make_grid<T>({1, in.extent[1], in.extent[2]});
  for (auto const c : classes) {
    for (index_t i = 0; i < cells; ++i) present.data()[i] = std::max(in(c, i / in.extent[2], i % in.extent[2]), T(0));
    auto const one = normalise(where, fuse<T>(where, {{present.view()}}, image));
    std::copy(one.cells().begin(), one.cells().end(), &out(c, 0, 0));
  }
  return out;
}

/// The mean of maps of an image and of maps of its mirror image, these turned back.
///
/// @throws precondition_error on differing shapes
template <stack_like M>
[[nodiscard]] auto mean_with_mirrored(cpu const& where, M const& maps, M const& mirrored) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  auto const a = as_view<3>(maps, "mean_with_mirrored: maps"), b = as_view<3>(mirrored, "mean_with_mirrored: mirrored");
  expects(same_shape(a, b), "mean_with_mirrored: maps are ", a, " but the mirrored ones are ", b);
  auto out = grid_like<T, host>(a);
  index_t const H = a.extent[1], W = a.extent[2];
  for_each_share(where, a.extent[0] * H, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x)
        out(row / H, row % H, x) = std::midpoint(a(row / H, row % H, x), b(row / H, row % H, W - 1 - x));
  });
  return out;
}

}  // namespace cambium
