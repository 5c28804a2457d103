#pragma once

#include <cambium/activation/normalise.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// One output of a network: maps of all classes at one scale, of the image or of its mirror image.
template <class T, class Space = host>
struct scaled_maps {
  stack_view<T const, Space> maps;  ///< [C,h,w]
  bool mirrored = false;            ///< read columns from the right
};

/// Sum maps of several scales at one size, each resized bilinearly.
///
/// @param where    cpu
/// @param maps     one or more [C,h,w]; C agrees, h and w may differ
/// @param resized  [cells] the size every map is stretched to
/// @param size     [cells] how much of it, from the top left corner, is wanted; default: all of it
/// @return [C,H,W] of `size`
///
/// @pre          size <= resized along both axes; extents of the maps >= 1; values finite
/// @throws       precondition_error
/// @invariant    constants are kept to the last bit, map by map; one map of the wanted size is returned as it is
/// @complexity   Theta(maps * C * H * W)
/// @determinism  exact for one compiler; between compilers up to contraction
/// @source       step/make_cam.py of jiwoon-ahn/irn: F.interpolate(bilinear, align_corners=False), then a sum over
///               scales (not a mean); the framework's coordinates, (i + 0.5) * in/out - 0.5, clipped at 0
template <class T>
[[nodiscard]] grid<T, 3> fuse(cpu const& where, std::vector<scaled_maps<T>> const& maps, extent2 resized,
                              extent2 size = {-1, -1})
{
  if (size == extent2{-1, -1}) size = resized;
  expects(!maps.empty(), "fuse: no maps");
  expects(0 <= size.height && size.height <= resized.height && 0 <= size.width && size.width <= resized.width,
          "fuse: ", size.height, " x ", size.width, " cells are wanted of ", resized.height, " x ", resized.width);
  index_t const C = maps[0].maps.extent[0];
  for (auto const& m : maps) {
    expects(m.maps.extent[0] == C, "fuse: maps of ", C, " and of ", m.maps.extent[0], " channels");
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "fuse: a map is empty: ", m.maps);
    expects_finite(where, m.maps, "fuse: maps");
  }
  grid<T, 3> out(C, size.height, size.width);
  std::vector<std::vector<bilinear_tap<T>>> across(maps.size());
  index_t widest = 0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    index_t const w = maps[i].maps.extent[2];
    across[i] = taps(resized.width, static_cast<T>(w) / static_cast<T>(resized.width), w);
    if (maps[i].mirrored) std::reverse(across[i].begin(), across[i].end());
    across[i].resize(static_cast<std::size_t>(size.width));
    widest = std::max(widest, w);
  }
  for_each_share(where, size.width == 0 ? 0 : C * size.height, 16, [&](index_t begin, index_t end) {
    std::vector<T> mixed(static_cast<std::size_t>(widest)), stretched(static_cast<std::size_t>(size.width));
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / size.height, y = at % size.height;
      T* const row = &out(c, y, 0);
      for (std::size_t i = 0; i < maps.size(); ++i) {
        auto const map = maps[i].maps[c];
        auto const down = tap(y, static_cast<T>(map.extent[0]) / static_cast<T>(resized.height), map.extent[0]);
        bilinear_row(map, down, across[i], mixed.data(), stretched.data());
        for (index_t x = 0; x < size.width; ++x) row[x] += stretched[static_cast<std::size_t>(x)];
      }
    }
  });
  return out;
}

/// Both outputs of IRNet's CAM step.
template <class T, class Space = host>
struct cams {
  std::vector<std::int32_t> keys;  ///< class of each channel, 0-based
  grid<T, 3, Space> strided;       ///< [C,h,w], h = (H-1)/4 + 1: what the walk takes
  grid<T, 3, Space> full;          ///< [C,H,W]: what label mining takes
};

/// From network outputs at several scales to the CAMs of the classes present.
///
/// @param where   cpu
/// @param maps    [classes,h,w] at each scale, already rectified
/// @param image   [pixels] size of the image
/// @param labels  one entry a class; a class is present where it is not 0
/// @return channels of the present classes in ascending order, each divided by its maximum + 1e-5
///
/// @throws       precondition_error
/// @complexity   Theta(scales * present classes * H * W)
/// @determinism  as fuse
/// @source       _work, step/make_cam.py of jiwoon-ahn/irn. `full` is resized to the next multiple of 16 and cropped,
///               which is not the same as resizing to the image
template <class T, class Label>
[[nodiscard]] cams<T> make_cams(cpu const& where, std::vector<scaled_maps<T>> const& maps, extent2 image,
                                std::vector<Label> const& labels)
{
  expects(!maps.empty(), "make_cams: no maps");
  expects(image.height >= 1 && image.width >= 1, "make_cams: an image of ", image.height, " x ", image.width);
  cams<T> out;
  for (std::size_t c = 0; c < labels.size(); ++c)
    if (labels[c] != Label(0)) out.keys.push_back(static_cast<std::int32_t>(c));
  std::vector<scaled_maps<T>> present;
  std::vector<grid<T, 3>> kept;
  for (auto const& m : maps) {
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "make_cams: a map is empty: ", m.maps);
    expects(m.maps.extent[0] == static_cast<index_t>(labels.size()), "make_cams: maps are ", m.maps, " but there are ",
            static_cast<index_t>(labels.size()), " labels");
    auto& only =
        kept.emplace_back(make_grid<T>({static_cast<index_t>(out.keys.size()), m.maps.extent[1], m.maps.extent[2]}));
    for (std::size_t k = 0; k < out.keys.size(); ++k)
      for (index_t y = 0; y < m.maps.extent[1]; ++y)
        std::copy_n(&m.maps(out.keys[k], y, 0), m.maps.extent[2], &only(k, y, 0));
    present.push_back({only.view(), m.mirrored});
  }
  extent2 const strided{(image.height - 1) / 4 + 1, (image.width - 1) / 4 + 1};
  extent2 const padded{((image.height - 1) / 16 + 1) * 16, ((image.width - 1) / 16 + 1) * 16};
  out.strided = normalise(where, fuse(where, present, strided));
  out.full = normalise(where, fuse(where, present, padded, image));
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Rule: add to a cell what a resized map has there; or set it.
template <class T, class S>
struct add_resized_map {
  stack_view<T const, S> maps;
  std::int32_t const* channels;  ///< the channel of the maps that each channel of the result takes; null: the same one
  bool mirrored;
  bool rectified;  ///< negative values count as 0
  bool first;
  extent2 resized;
  T scale_y, scale_x;  ///< [input cells per output cell]
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const from = channels != nullptr ? channels[c] : c;
    T sum = first ? T(0) : out(c, y, x);
    if (0 <= from && from < maps.extent[0]) {
      bilinear_tap<T> const down = tap(y, scale_y, maps.extent[1]);
      bilinear_tap<T> const across = tap(mirrored ? resized.width - 1 - x : x, scale_x, maps.extent[2]);
      sum += between(mixed(from, down, across.low), mixed(from, down, across.high), across.fraction);
    }
    out(c, y, x) = sum;
  }

 private:
  CAMBIUM_HD T mixed(index_t c, bilinear_tap<T> const& down, index_t x) const
  {
    return between(value(c, down.low, x), value(c, down.high, x), down.fraction);
  }
  CAMBIUM_HD T value(index_t c, index_t y, index_t x) const
  {
    T const v = maps(c, y, x);
    return rectified && !(v > 0) ? T(0) : v;
  }
};

/// The rule of one of several maps at one size.
template <class T, class S>
add_resized_map<T, S> resized_map(scaled_maps<T, S> const& m, std::int32_t const* channels, bool first, extent2 resized,
                                  stack_view<T, S> out)
{
  auto const scale = [](index_t from, index_t to) { return static_cast<T>(from) / static_cast<T>(to); };
  return {m.maps,
          channels,
          m.mirrored,
          false,
          first,
          resized,
          scale(m.maps.extent[1], resized.height),
          scale(m.maps.extent[2], resized.width),
          out};
}

/// Sum maps of several scales at one size, on a device.
///
/// @param maps        one or more [C,h,w] in the policy's memory
/// @param out         [C,H,W] of `size`
/// @determinism       the same bits on every run; within 4 ulp of the largest summand of the cpu's
/// @asynchrony        gpu: enqueues and returns
///
/// Everything else as fuse in fuse.hpp; values are not looked at before.
template <class T, execution_policy P, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 3>>
void fuse_into(P const& where, std::vector<scaled_maps<T, typename P::memory>> const& maps, extent2 resized, O&& out)
{
  stack_view<T, typename P::memory> const to = as_view<3>(out, "fuse: out");
  extent2 const size{to.extent[1], to.extent[2]};
  expects(!maps.empty(), "fuse: no maps");
  expects(0 <= size.height && size.height <= resized.height && 0 <= size.width && size.width <= resized.width,
          "fuse: ", size.height, " x ", size.width, " cells are wanted of ", resized.height, " x ", resized.width);
  for (auto const& m : maps) {
    expects(m.maps.extent[0] == to.extent[0], "fuse: maps of ", to.extent[0], " and of ", m.maps.extent[0],
            " channels");
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "fuse: a map is empty: ", m.maps);
    expects(!overlap(m.maps, to), "fuse: a map and out overlap");
  }
  for (std::size_t i = 0; i < maps.size(); ++i)
    for_each_cell(where, to.extent, resized_map<T>(maps[i], nullptr, i == 0, resized, to));
}

/// As fuse_into, and allocates.
template <class T, execution_policy P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] grid<T, 3, typename P::memory> fuse(P const& where,
                                                  std::vector<scaled_maps<T, typename P::memory>> const& maps,
                                                  extent2 resized, extent2 size = {-1, -1})
{
  if (size == extent2{-1, -1}) size = resized;
  expects(!maps.empty(), "fuse: no maps");
  expects(0 <= size.height && size.height <= resized.height && 0 <= size.width && size.width <= resized.width,
          "fuse: ", size.height, " x ", size.width, " cells are wanted of ", resized.height, " x ", resized.width);
  auto out = make_grid<T>(where, {maps[0].maps.extent[0], size.height, size.width});
  fuse_into<T>(where, maps, resized, out);
  return out;
}

/// From network outputs at several scales to the CAMs of the classes present, on a device.
///
/// @param maps    in the policy's memory; channels of the present classes are read where they lie
/// @param labels  on the host
/// @determinism   as fuse; the division is exact
/// @asynchrony    gpu: enqueues and returns
///
/// Everything else as make_cams in fuse.hpp.
template <class T, execution_policy P, class Label>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] cams<T, typename P::memory> make_cams(P const& where,
                                                    std::vector<scaled_maps<T, typename P::memory>> const& maps,
                                                    extent2 image, std::vector<Label> const& labels)
{
  using S = typename P::memory;
  expects(!maps.empty(), "make_cams: no maps");
  expects(image.height >= 1 && image.width >= 1, "make_cams: an image of ", image.height, " x ", image.width);
  for (auto const& m : maps) {
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "make_cams: a map is empty: ", m.maps);
    expects(m.maps.extent[0] == static_cast<index_t>(labels.size()), "make_cams: maps are ", m.maps, " but there are ",
            static_cast<index_t>(labels.size()), " labels");
  }
  cams<T, S> out;
  for (std::size_t c = 0; c < labels.size(); ++c)
    if (labels[c] != Label(0)) out.keys.push_back(static_cast<std::int32_t>(c));
  auto const channels = to_memory(where, out.keys);
  normalise_scratch<P, T> scratch;
  auto const at = [&](extent2 resized, extent2 size) {
    auto sum = make_grid<T>(where, {static_cast<index_t>(out.keys.size()), size.height, size.width});
    stack_view<T, S> const to = sum.view();
    for (std::size_t i = 0; i < maps.size(); ++i)
      for_each_cell(where, to.extent, resized_map<T>(maps[i], channels.view().data, i == 0, resized, to));
    normalise_into(where, sum, {}, sum, scratch);
    return sum;
  };
  extent2 const strided{(image.height - 1) / 4 + 1, (image.width - 1) / 4 + 1};
  extent2 const padded{((image.height - 1) / 16 + 1) * 16, ((image.width - 1) / 16 + 1) * 16};
  out.strided = at(strided, strided);
  out.full = at(padded, image);
  return out;
}

}  // namespace cambium
