#pragma once
// class_maps and mean_with_mirrored on a GPU. The cpu's are in class_maps.hpp.

#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/fuse.cuh>
#include <cambium/activation/normalise.cuh>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/middle.hpp>

namespace cambium {

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
  auto const channels = listed_for(where, from);
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
