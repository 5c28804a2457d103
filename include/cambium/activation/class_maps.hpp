#pragma once

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/middle.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cambium {

namespace rule {

/// A cell of the map of a present class; 0 for an absent one.
template <class T, class S>
struct spread_present {
  stack_view<T const, S> present;
  std::int32_t const* place;  ///< [C] the class's map in `present`, or -1
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = place[c] < 0 ? T(0) : present(place[c], y, x);
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    if (place[c] < 0)
      std::fill_n(&out(c, y, 0), out.extent[2], T(0));
    else
      std::copy_n(&present(place[c], y, 0), out.extent[2], &out(c, y, 0));
  }
};

/// A cell's mean with its mirror image.
template <class T, class S>
struct mean_of_sides {
  stack_view<T const, S> maps;
  stack_view<T const, S> mirrored;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = middle(maps(c, y, x), mirrored(c, y, out.extent[2] - 1 - x));
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    index_t const W = out.extent[2];
    T const *const a = &maps(c, y, 0), *const b = &mirrored(c, y, W - 1);
    T* const to = &out(c, y, 0);
    for (index_t x = 0; x < W; ++x) to[x] = middle(a[x], b[-x]);
  }
};

}  // namespace rule

/// Enlarge the class maps of a classifier to the image and bring each to [0,1).
///
///   out(c) = u / (max u + 1e-5),   u = max(maps(c), 0) enlarged bilinearly;   0 for absent classes
///
/// @param where    where to run; must reach the memory of the maps
/// @param maps     [C,h,w]; host memory: finite
/// @param image    [pixels] size of the image
/// @param classes  on the host: the channels of the classes present, 0-based
/// @return [C,H,W] in the memory of the policy
///
/// @throws       precondition_error: an empty map or image, a class outside 0..C-1, NaN or infinite values
/// @complexity   Theta(C * H * W)
/// @determinism  as fuse
/// @asynchrony   gpu: enqueues and returns
/// @source       cam_normalize, PAM/models/classifier.py of clovaai/BESTIE; the maximum is taken after enlargement
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto class_maps(P const& where, M const& maps, extent2 image, std::vector<std::int32_t> const& classes)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(maps, "class_maps: maps");
  expects(in.extent[1] >= 1 && in.extent[2] >= 1 && image.height >= 1 && image.width >= 1, "class_maps: maps are ", in,
          " and the image is ", image.height, " x ", image.width);
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "class_maps: maps");
  std::vector<std::int32_t> place(static_cast<std::size_t>(in.extent[0]), -1), present;
  for (auto const c : classes) {
    expects(0 <= c && c < in.extent[0], "class_maps: class ", c, " is outside 0..", in.extent[0] - 1);
    if (place[static_cast<std::size_t>(c)] >= 0) continue;
    place[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(present.size());
    present.push_back(c);
  }
  auto const channels = to_memory(where, present), places = to_memory(where, place);
  auto scaled = make_grid<T>(where, {channels.size(), image.height, image.width});
  fuse_on(where, std::vector<scaled_maps<T, S>>{{in}}, channels.view().data, true, image, scaled.view());
  normalise_scratch<P, T> scratch;
  normalise_into(where, scaled, {}, scaled, scratch);
  auto out = make_grid<T>(where, {in.extent[0], image.height, image.width});
  for_each_cell(where, out.view().extent, rule::spread_present<T, S>{scaled.view(), places.view().data, out.view()});
  return out;
}

/// The mean of maps of an image and of maps of its mirror image, these turned back.
///
/// @param where     where to run; must reach the memory of the maps
/// @param maps      [C,H,W]
/// @param mirrored  [C,H,W]
/// @param out       [C,H,W]
///
/// @throws       precondition_error on differing shapes or memory that overlaps
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
void mean_with_mirrored_into(P const& where, M const& maps, M const& mirrored, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const a = as_view<3>(maps, "mean_with_mirrored: maps"), b = as_view<3>(mirrored, "mean_with_mirrored: mirrored");
  stack_view<T, S> const to = as_view<3>(out, "mean_with_mirrored: out");
  expects(same_shape(a, b), "mean_with_mirrored: maps are ", a, " but the mirrored ones are ", b);
  expects(same_shape(a, to), "mean_with_mirrored: maps are ", a, " but out is ", to);
  expects(!overlap(a, to) && !overlap(b, to), "mean_with_mirrored: maps and out overlap");
  for_each_cell(where, to.extent, rule::mean_of_sides<T, S>{a, b, to});
}

/// As mean_with_mirrored_into, and allocates.
/// @return [C,H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto mean_with_mirrored(P const& where, M const& maps, M const& mirrored)
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "mean_with_mirrored: maps").extent);
  mean_with_mirrored_into(where, maps, mirrored, out);
  return out;
}

}  // namespace cambium
