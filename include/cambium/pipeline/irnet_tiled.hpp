#pragma once

#include <cambium/grid/tiles.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace cambium {

/// How an image is cut for the walk, whose transition is what takes memory.
struct irnet_tiling {
  index_t tile = 2048;    ///< [pixels] side of what a tile answers for; rounded up to whole cells of the maps
  index_t overlap = 512;  ///< [pixels] that a tile sees around that, at least 4

  std::vector<map_tile> of(extent2 cells) const
  {
    expects(tile >= 4, "irnet_tiling: a tile of ", tile, " pixels; at least 4 make a cell");
    expects(overlap >= 4, "irnet_tiling: an overlap of ", overlap, " pixels; at least 4 make a cell");
    return tiles_of(cells, tile / 4 + (tile % 4 != 0), overlap / 4 + (overlap % 4 != 0));
  }
};

/// Walk scores on what a tile sees.
template <class T>
[[nodiscard]] grid<T, 3> walk_tile(cpu const& where, stack_view<T const> scores, image_view<T const> boundary,
                                   irnet_options const& options)
{
  return propagate_to_edge<T>(where, irnet_transition<T>(where, boundary, options), scores, boundary, options);
}

/// Is there a score on a window? NaN counts.
template <class T>
bool any_score(image_view<T const> window)
{
  for (index_t y = 0; y < window.extent[0]; ++y)
    for (index_t x = 0; x < window.extent[1]; ++x)
      if (window(y, x) != 0) return true;
  return false;
}

/// propagate_to_edge, tile by tile.
template <class T>
[[nodiscard]] grid<T, 3> propagate_to_edge_tiled(cpu const& where, stack_view<T const> scores,
                                                 image_view<T const> boundary, irnet_options const& options,
                                                 irnet_tiling const& tiling)
{
  grid<T, 3> out(scores.extent[0], scores.extent[1], scores.extent[2]);
  for (auto const& [kept, worked] : tiling.of({scores.extent[1], scores.extent[2]})) {
    auto const seen = crop(scores, worked);
    bool any = false;
    for (index_t n = 0; n < seen.extent[0]; ++n) any = any || any_score<T>(seen[n]);
    if (!any) continue;
    auto const walked = walk_tile<T>(where, seen, crop(boundary, worked), options);
    for (index_t n = 0; n < out.shape()[0]; ++n)
      for (index_t y = kept.top; y < kept.bottom; ++y)
        std::copy_n(&walked(n, y - worked.top, kept.left - worked.left), kept.right - kept.left, &out(n, y, kept.left));
  }
  return out;
}

/// Instance scores that were walked on one tile.
template <class T>
struct walked_tile {
  box window;                          ///< [pixels] of the image, what the tile answers for
  box local;                           ///< [pixels] the same in the enlarged scores
  std::vector<std::int32_t> channels;  ///< of the image, ascending: those that score here
  grid<T, 3> scores;  ///< [channels,h,w] the tile's cells and those beside them, which enlargement reads
};

/// Split the CAMs of a tile by the clusters it sees, and walk them.
///
/// @param clusters  of the whole image, so that an instance has one number on all tiles
template <class T>
[[nodiscard]] walked_tile<T> walk_instances(cpu const& where, irnet_input<T> const& in, instance_map<> const& clusters,
                                            map_tile const& at, irnet_options const& options)
{
  auto const& [kept, worked] = at;
  index_t const H = worked.bottom - worked.top, W = worked.right - worked.left;
  auto const ids = crop(clusters.id.view(), worked);
  std::vector<std::int32_t> local(static_cast<std::size_t>(clusters.count), -1), seen;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) local[static_cast<std::size_t>(ids(y, x))] = 0;
  for (std::size_t id = 0; id < local.size(); ++id)
    if (local[id] == 0) {
      local[id] = static_cast<std::int32_t>(seen.size());
      seen.push_back(static_cast<std::int32_t>(id));
    }
  auto renumbered = make_grid<std::int32_t>({H, W});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) renumbered(y, x) = local[static_cast<std::size_t>(ids(y, x))];
  auto const K = static_cast<index_t>(seen.size());
  auto const walked = walk_tile<T>(where, separate(where, crop(in.cams, worked), renumbered, K).view(),
                                   crop(in.boundary, worked), options);

  box const held{std::max(kept.top - 1, worked.top), std::max(kept.left - 1, worked.left),
                 std::min(kept.bottom + 1, worked.bottom), std::min(kept.right + 1, worked.right)};
  auto const scores = crop(walked.view(), {held.top - worked.top, held.left - worked.left, held.bottom - worked.top,
                                           held.right - worked.left});
  walked_tile<T> out;
  out.window = {4 * kept.top, 4 * kept.left, std::min(4 * kept.bottom, in.image.height),
                std::min(4 * kept.right, in.image.width)};
  out.local = {out.window.top - 4 * held.top, out.window.left - 4 * held.left, out.window.bottom - 4 * held.top,
               out.window.right - 4 * held.left};
  std::vector<index_t> scoring;
  for (index_t n = 0; n < scores.extent[0]; ++n)
    if (any_score<T>(scores[n])) {
      scoring.push_back(n);
      out.channels.push_back(static_cast<std::int32_t>(n / K * clusters.count + seen[static_cast<std::size_t>(n % K)]));
    }
  out.scores = make_grid<T>({static_cast<index_t>(scoring.size()), scores.extent[1], scores.extent[2]});
  for (std::size_t i = 0; i < scoring.size(); ++i)
    for (index_t y = 0; y < scores.extent[1]; ++y)
      std::copy_n(&scores(scoring[i], y, 0), scores.extent[2], &out.scores(i, y, 0));
  return out;
}

/// The instance channel of every pixel, from walked tiles.
template <class T>
[[nodiscard]] assignment<T> irnet_assign_tiles(cpu const& where, std::vector<walked_tile<T>> const& tiles,
                                               std::vector<std::int32_t> const& channel_keys, extent2 image,
                                               irnet_options const& options)
{
  std::vector<T> largest(channel_keys.size(), T(0));  // where a channel is not held it scores 0
  for (auto const& t : tiles) {
    auto const here = largest_scores(where, t.scores, t.local);
    for (std::size_t i = 0; i < here.size(); ++i) {
      T& most = largest[static_cast<std::size_t>(t.channels[i])];
      most = std::max(most, here[i]);
    }
  }
  auto const divisors = score_divisors(largest, channel_keys, options.scale);
  assignment<T> out{make_grid<std::int32_t>({image.height, image.width}), make_grid<T>({image.height, image.width})};
  for (auto const& t : tiles) {
    std::vector<T> divisor;
    for (auto const n : t.channels) divisor.push_back(divisors[static_cast<std::size_t>(n)]);
    auto const part = assign_divided(where, t.scores, divisor, t.local, options.ins_seg_bg_thres);
    for (index_t y = t.window.top; y < t.window.bottom; ++y)
      for (index_t x = t.window.left; x < t.window.right; ++x) {
        auto const n = part.channel(y - t.window.top, x - t.window.left);
        out.channel(y, x) = n == 0 ? 0 : t.channels[static_cast<std::size_t>(n - 1)] + 1;
        out.score(y, x) = part.score(y - t.window.top, x - t.window.left);
      }
  }
  bool const nothing = std::none_of(largest.begin(), largest.end(), [](T v) { return v > 0; });
  if (nothing && options.empty == no_score::first_channel && !largest.empty()) {
    std::fill(out.channel.cells().begin(), out.channel.cells().end(), 1);
    std::fill(out.score.cells().begin(), out.score.cells().end(), T(0));
  }
  return out;
}

/// Label an image that is too large for one walk: irnet(), with the walk done tile by tile.
///
/// Clusters, scaling, components and instances are found on the whole image, so that nothing has to be stitched: an
/// object that lies across a seam is one object. What tiles change is that a score cannot walk in from beyond a tile's
/// overlap. A step goes radius - 1 cells, so where overlap >= 4 * (2^exp_times * (radius - 1) + 1) the labels are those of
/// irnet() up to the walk's rounding. That is far more than is needed: 256 steps at radius 5 spread a score by some 35 cells, 140
/// pixels, where no boundary stops it.
///
/// @param where    cpu
/// @param in       the maps at stride 4
/// @param options  as irnet()
/// @param tiling   tile = 2048, overlap = 512
///
/// @throws       precondition_error before anything is written
/// @complexity   time of irnet() times (1 + 2 overlap / tile)^2. Memory: a transition of one tile, K * 4 * 2.3 bytes a cell
///               at float; 2 C + 2 values a cell of the image; the instance channels that score on each tile; 16 bytes
///               a pixel of the image
/// @determinism  the same bits on every run and for every number of threads
/// @source       ours
template <class T>
[[nodiscard]] irnet_labels irnet_tiled(cpu const& where, irnet_input<T> const& in, irnet_options const& options = {},
                                       irnet_tiling const& tiling = {})
{
  check_input(in);
  check_options(options);
  expects_finite(where, in.cams, "irnet_tiled: cams");
  expects_inside(where, in.boundary, T(0), T(1), "irnet_tiled: boundary", "a boundary in [0,1]");
  auto const classes = propagate_to_edge_tiled<T>(where, in.cams, in.boundary, options, tiling);
  auto out = irnet_label_classes<T>(where, classes.view(), in, options);
  if (in.displacement.data == nullptr) return out;
  auto const clusters = irnet_clusters<T>(where, in.displacement, options);
  std::vector<walked_tile<T>> tiles;
  for (auto const& t : tiling.of({in.boundary.extent[0], in.boundary.extent[1]}))
    tiles.push_back(walk_instances(where, in, clusters, t, options));
  auto const keys = irnet_channel_keys(in.keys, clusters.count);
  out.objects = irnet_detect(where, irnet_assign_tiles(where, tiles, keys, in.image, options), keys, options);
  return out;
}

}  // namespace cambium
