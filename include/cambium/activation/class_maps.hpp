#pragma once

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/exec/middle.hpp>
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Enlarge the class maps of a classifier to the image and bring each to [0,1), on a device.
///
/// @param classes  on the host
/// @determinism    as fuse; the division is exact
/// @asynchrony     gpu: enqueues and returns
///
/// Everything else as class_maps in class_maps.hpp.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto class_maps(P const& where, M const& maps, extent2 image,
                              std::vector<std::int32_t> const& classes) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "class_maps: maps");
  expects(in.extent[1] >= 1 && in.extent[2] >= 1 && image.height >= 1 && image.width >= 1, "class_maps: maps are ", in,
          " and the image is ", image.height, " x ", image.width);
  std::vector<std::int32_t> from(static_cast<std::size_t>(in.extent[0]), -1);  // of an absent class nothing is taken
  for (auto const c : classes) {
    expects(0 <= c && c < in.extent[0], "class_maps: class ", c, " is outside 0..", in.extent[0] - 1);
    from[static_cast<std::size_t>(c)] = c;
  }
  auto const channels = to_memory(where, from);
  auto out = make_grid<T>(where, {in.extent[0], image.height, image.width});
  auto enlarge = resized_map<T, S>({in}, channels.view().data, true, image, out.view());
  enlarge.rectified = true;
  for_each_cell(where, out.view().extent, enlarge);
  normalise_scratch<P, T> scratch;
  normalise_into(where, out, {}, out, scratch);
  return out;
}

/// Rule: a cell's mean with its mirror image.
template <class T, class S>
struct mean_of_sides {
  stack_view<T const, S> maps;
  stack_view<T const, S> mirrored;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = middle(maps(c, y, x), mirrored(c, y, out.extent[2] - 1 - x));
  }
};

/// The mean of maps of an image and of maps of its mirror image, these turned back, on a device.
///
/// @throws      precondition_error on differing shapes or memory that overlaps
/// @determinism exact
/// @asynchrony  gpu: enqueues and returns
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void mean_with_mirrored_into(P const& where, M const& maps, M const& mirrored, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const a = as_view<3>(maps, "mean_with_mirrored: maps"), b = as_view<3>(mirrored, "mean_with_mirrored: mirrored");
  stack_view<T, S> const to = as_view<3>(out, "mean_with_mirrored: out");
  expects(same_shape(a, b), "mean_with_mirrored: maps are ", a, " but the mirrored ones are ", b);
  expects(same_shape(a, to), "mean_with_mirrored: maps are ", a, " but out is ", to);
  expects(!overlap(a, to) && !overlap(b, to), "mean_with_mirrored: maps and out overlap");
  for_each_cell(where, to.extent, mean_of_sides<T, S>{a, b, to});
}

/// As mean_with_mirrored_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto mean_with_mirrored(P const& where, M const& maps,
                                      M const& mirrored) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "mean_with_mirrored: maps").extent);
  mean_with_mirrored_into(where, maps, mirrored, out);
  return out;
}

}  // namespace cambium
