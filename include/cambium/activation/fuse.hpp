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
#include <string>
#include <type_traits>
#include <vector>

namespace cambium {

/// One output of a network: maps of all classes at one scale, of the image or of its mirror image.
template <class T, class Space = host>
struct scaled_maps {
  stack_view<T const, Space> maps;  ///< [C,h,w]
  bool mirrored = false;            ///< read columns from the right
};

namespace rule {

/// Add to a cell the value of a resized map; or set it.
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
    auto const down = tap(y, scale_y, maps.extent[1]);
    auto const across = tap(mirrored ? resized.width - 1 - x : x, scale_x, maps.extent[2]);
    out(c, y, x) = (first ? T(0) : out(c, y, x)) +
                   between(mixed(from, down, across.low), mixed(from, down, across.high), across.fraction);
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

}  // namespace rule

/// The CPU schedule: row by row, columns of all maps found once. `channels`: see rule::add_resized_map.
template <class T>
void fuse_on(cpu const& where, std::vector<scaled_maps<T>> const& maps, std::int32_t const* channels, bool rectified,
             extent2 resized, stack_view<T> out)
{
  index_t const H = out.extent[1], W = out.extent[2];
  std::vector<std::vector<bilinear_tap<T>>> across;
  index_t widest = 0;
  for (auto const& m : maps) {
    index_t const w = m.maps.extent[2];
    auto& at = across.emplace_back(taps(resized.width, static_cast<T>(w) / static_cast<T>(resized.width), w));
    if (m.mirrored) std::reverse(at.begin(), at.end());
    at.resize(static_cast<std::size_t>(W));
    widest = std::max(widest, w);
  }
  for_each_share(where, W == 0 ? 0 : out.extent[0] * H, 16, [&](index_t begin, index_t end) {
    std::vector<T> mixed(static_cast<std::size_t>(widest)), stretched(static_cast<std::size_t>(W));
    grid<T, 2> positive(rectified ? 2 : 0, widest);
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / H, y = at % H;
      T* const row = &out(c, y, 0);
      std::fill_n(row, W, T(0));
      for (std::size_t i = 0; i < maps.size(); ++i) {
        image_view<T const> map = maps[i].maps[channels != nullptr ? channels[c] : c];
        auto down = tap(y, static_cast<T>(map.extent[0]) / static_cast<T>(resized.height), map.extent[0]);
        if (rectified) {
          for (index_t x = 0; x < map.extent[1]; ++x) {
            positive(0, x) = std::max(map(down.low, x), T(0));
            positive(1, x) = std::max(map(down.high, x), T(0));
          }
          map.data = positive.data(), map.stride[0] = widest, down.low = 0, down.high = 1;
        }
        bilinear_row(map, down, across[i], mixed.data(), stretched.data());
        for (index_t x = 0; x < W; ++x) row[x] += stretched[static_cast<std::size_t>(x)];
      }
    }
  });
}

/// Any other policy: the rule, map after map.
template <execution_policy P, class T, class S>
void fuse_on(P const& where, std::vector<scaled_maps<T, S>> const& maps, std::int32_t const* channels, bool rectified,
             extent2 resized, stack_view<T, S> out)
{
  auto const scale = [](index_t from, index_t to) { return static_cast<T>(from) / static_cast<T>(to); };
  for (auto const& m : maps)
    for_each_cell(where, out.extent,
                  rule::add_resized_map<T, S>{m.maps, channels, m.mirrored, rectified, &m == maps.data(), resized,
                                              scale(m.maps.extent[1], resized.height),
                                              scale(m.maps.extent[2], resized.width), out});
}

/// Sum maps of several scales at one size, each resized bilinearly.
///
/// @param where    where to run; must reach the memory of the maps
/// @param maps     one or more [C,h,w]; C agrees, h and w may differ
/// @param resized  [cells] the size every map is stretched to
/// @param out      [C,H,W]: so much of it, from the top left corner, is wanted
///
/// @pre          H, W <= resized; extents of the maps >= 1. Host memory: values finite
/// @throws       precondition_error before anything is written
/// @invariant    constants are kept to the last bit, map by map; one map of the wanted size is returned as it is
/// @complexity   Theta(maps * C * H * W)
/// @determinism  exact for one compiler; between compilers up to contraction; a gpu within 4 ulp of the largest summand
/// @asynchrony   gpu: enqueues and returns
/// @source       step/make_cam.py of jiwoon-ahn/irn: F.interpolate(bilinear, align_corners=False), then a sum over
///               scales (not a mean); the framework's coordinates, (i + 0.5) * in/out - 0.5, clipped at 0
template <class T, execution_policy P, stack_like O>
  requires reaches<P, space_of<O, 3>>
void fuse_into(P const& where, std::vector<scaled_maps<T, typename P::memory>> const& maps, extent2 resized, O&& out)
{
  stack_view<T, typename P::memory> const to = as_view<3>(out, "fuse: out");
  expects(!maps.empty(), "fuse: no maps");
  expects(to.extent[1] <= resized.height && to.extent[2] <= resized.width, "fuse: ", to.extent[1], " x ", to.extent[2],
          " cells are wanted of ", resized.height, " x ", resized.width);
  for (auto const& m : maps) {
    expects(m.maps.extent[0] == to.extent[0], "fuse: maps of ", to.extent[0], " and of ", m.maps.extent[0],
            " channels");
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "fuse: a map is empty: ", m.maps);
    expects(!overlap(m.maps, to), "fuse: a map and out overlap");
    if constexpr (std::is_same_v<P, cpu>) expects_finite(where, m.maps, "fuse: maps");
  }
  fuse_on(where, maps, nullptr, false, resized, to);
}

/// As fuse_into, and allocates.
/// @param size  [cells] H, W; default: all of `resized`
/// @return [C,H,W] in the memory of the policy
template <class T, execution_policy P>
[[nodiscard]] auto fuse(P const& where, std::vector<scaled_maps<T, typename P::memory>> const& maps, extent2 resized,
                        extent2 size = {-1, -1})
{
  if (size == extent2{-1, -1}) size = resized;
  expects(!maps.empty(), "fuse: no maps");
  expects(size.height >= 0 && size.width >= 0, "fuse: ", size.height, " x ", size.width, " cells are wanted of ",
          resized.height, " x ", resized.width);
  auto out = make_grid<T>(where, {maps[0].maps.extent[0], size.height, size.width});
  fuse_into<T>(where, maps, resized, out);
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
/// @param where   where to run; must reach the memory of the maps
/// @param maps    [classes,h,w] at each scale, already rectified; host memory: finite in the present classes
/// @param image   [pixels] size of the image
/// @param labels  on the host: one entry a class; a class is present where it is not 0
/// @return channels of the present classes in ascending order, each divided by its maximum + 1e-5
///
/// @throws       precondition_error
/// @complexity   Theta(scales * present classes * H * W)
/// @determinism  as fuse
/// @asynchrony   gpu: enqueues and returns
/// @source       _work, step/make_cam.py of jiwoon-ahn/irn. `full` is resized to the next multiple of 16 and cropped,
///               which is not the same as resizing to the image
template <class T, execution_policy P, class Label>
[[nodiscard]] cams<T, typename P::memory> make_cams(P const& where,
                                                    std::vector<scaled_maps<T, typename P::memory>> const& maps,
                                                    extent2 image, std::vector<Label> const& labels)
{
  expects(!maps.empty(), "make_cams: no maps");
  expects(image.height >= 1 && image.width >= 1, "make_cams: an image of ", image.height, " x ", image.width);
  cams<T, typename P::memory> out;
  for (std::size_t c = 0; c < labels.size(); ++c)
    if (labels[c] != Label(0)) out.keys.push_back(static_cast<std::int32_t>(c));
  for (auto const& m : maps) {
    expects(m.maps.extent[1] >= 1 && m.maps.extent[2] >= 1, "make_cams: a map is empty: ", m.maps);
    expects(m.maps.extent[0] == static_cast<index_t>(labels.size()), "make_cams: maps are ", m.maps, " but there are ",
            static_cast<index_t>(labels.size()), " labels");
    if constexpr (std::is_same_v<P, cpu>)
      for (auto const c : out.keys)
        expects_finite(where, m.maps[c], ("make_cams: channel " + std::to_string(c) + " of maps").c_str());
  }
  auto const channels = to_memory(where, out.keys);
  normalise_scratch<P, T> scratch;
  auto const at = [&](extent2 resized, extent2 size) {
    auto sum = make_grid<T>(where, {channels.size(), size.height, size.width});
    fuse_on(where, maps, channels.view().data, false, resized, sum.view());
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
