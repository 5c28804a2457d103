#pragma once
// fuse and make_cams on a GPU. The cpu's are in fuse.hpp.

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.cuh>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

namespace cambium {

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
  auto const channels = listed_for(where, out.keys);
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
