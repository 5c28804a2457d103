#pragma once

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/tiles.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
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

namespace rule {

/// Copy a window of stacks of maps.
template <class T, class S>
struct copy_cells {
  stack_view<T const, S> from;
  index_t const* channel;  ///< of `from`, of each map of `to`; null: the same
  stack_view<T, S> to;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    to(c, y, x) = from(channel == nullptr ? c : channel[c], y, x);
  }
};

/// Mark the ids that a window sees.
template <class S>
struct mark_id {
  image_view<std::int32_t const, S> id;
  std::int32_t* seen;  ///< 0 before

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto* const at = seen + id(y, x);
    if (atomic_read(at) == 0) atomic_max(at, std::int32_t{1});
  }
};

}  // namespace rule

/// Walk scores on the part of the maps that a tile sees.
template <execution_policy P, stack_like X, image_like B>
[[nodiscard]] auto walk_tile(P const& where, X const& scores, B const& boundary, irnet_options const& options)
{
  return propagate_to_edge(where, irnet_transition(where, boundary, options), scores, boundary, options);
}

/// propagate_to_edge, tile by tile.
template <execution_policy P, class T, class S>
[[nodiscard]] grid<T, 3, S> propagate_to_edge_tiled(P const& where, stack_view<T const, S> scores,
                                                    image_view<T const, S> boundary, irnet_options const& options,
                                                    irnet_tiling const& tiling)
{
  auto out = make_grid<T>(where, scores.extent);
  fill(where, out.size(), out.view().data, T(0));
  for (auto const& [kept, worked] : tiling.of({scores.extent[1], scores.extent[2]})) {
    auto const seen = crop(scores, worked);
    if (channels_with_scores(where, seen).empty()) continue;
    auto const walked = walk_tile(where, seen, crop(boundary, worked), options);
    auto const to = crop(out.view(), kept);
    box const local{kept.top - worked.top, kept.left - worked.left, kept.bottom - worked.top, kept.right - worked.left};
    for_each_cell(where, to.extent, rule::copy_cells<T, S>{crop(walked.view(), local), nullptr, to});
  }
  return out;
}

/// Instance scores that were walked on one tile.
template <class T, class Space = host>
struct walked_tile {
  box window;                          ///< [pixels] the part of the image that is labelled from this tile
  box local;                           ///< [pixels] the same in the enlarged scores
  std::vector<std::int32_t> channels;  ///< of the image, ascending: those that score here
  grid<T, 3, Space> scores;  ///< [channels,h,w] the tile's cells and those beside them, which enlargement reads
};

/// Split the CAMs of a tile by the clusters it sees, and walk them.
///
/// @param clusters  of the whole image, so that an instance has one number on all tiles
template <execution_policy P, class T, class S>
[[nodiscard]] walked_tile<T, S> walk_instances(P const& where, irnet_input<T, S> const& in,
                                               instance_map<S> const& clusters, map_tile const& at,
                                               irnet_options const& options)
{
  auto const& [kept, worked] = at;
  index_t const H = worked.bottom - worked.top, W = worked.right - worked.left;
  auto const ids = crop(clusters.id.view(), worked);
  auto mark = make_grid<std::int32_t>(where, {clusters.count}),
       local = make_grid<std::int32_t>(where, {clusters.count});
  workspace<P> space;
  fill(where, clusters.count, mark.view().data, std::int32_t{0});
  for_each_cell(where, {1, H, W}, rule::mark_id<S>{ids, mark.view().data});
  exclusive_scan(where, clusters.count, static_cast<std::int32_t const*>(mark.view().data), local.view().data, space);
  auto const marked = to_vector(where, mark);
  std::vector<std::int32_t> seen;
  for (std::size_t id = 0; id < marked.size(); ++id)
    if (marked[id] != 0) seen.push_back(static_cast<std::int32_t>(id));
  auto const K = static_cast<index_t>(seen.size());
  auto const walked = walk_tile(where, separate(where, crop(in.cams, worked), relabel(where, ids, local), K),
                                crop(in.boundary, worked), options);

  box const held{std::max(kept.top - 1, worked.top), std::max(kept.left - 1, worked.left),
                 std::min(kept.bottom + 1, worked.bottom), std::min(kept.right + 1, worked.right)};
  auto const scores = crop(walked.view(), {held.top - worked.top, held.left - worked.left, held.bottom - worked.top,
                                           held.right - worked.left});
  walked_tile<T, S> out;
  out.window = {4 * kept.top, 4 * kept.left, std::min(4 * kept.bottom, in.image.height),
                std::min(4 * kept.right, in.image.width)};
  out.local = {out.window.top - 4 * held.top, out.window.left - 4 * held.left, out.window.bottom - 4 * held.top,
               out.window.right - 4 * held.left};
  auto const scoring = channels_with_scores(where, scores);
  for (auto const n : scoring)
    out.channels.push_back(static_cast<std::int32_t>(n / K * clusters.count + seen[static_cast<std::size_t>(n % K)]));
  auto const there = to_memory(where, scoring);
  out.scores = make_grid<T>(where, {there.size(), scores.extent[1], scores.extent[2]});
  for_each_cell(where, out.scores.view().extent, rule::copy_cells<T, S>{scores, there.view().data, out.scores.view()});
  return out;
}

/// The choice of every pixel among the instance channels of walked tiles.
/// @param tiles  for as long as the choice
template <execution_policy P, class T, class S>
[[nodiscard]] pixel_choice<P, T> choose_in_tiles(P const& where, std::vector<walked_tile<T, S>> const& tiles,
                                                 std::vector<std::int32_t> const& channel_keys, extent2 image,
                                                 irnet_options const& options)
{
  std::vector<T> largest(channel_keys.size(), T(0));  // a channel that a tile does not hold scores 0 there
  for (auto const& t : tiles) {
    auto const here = to_vector(where, largest_scores(where, t.scores, t.local));
    for (std::size_t i = 0; i < here.size(); ++i) {
      T& most = largest[static_cast<std::size_t>(t.channels[i])];
      most = std::max(most, here[i]);
    }
  }
  auto const divisors = score_divisors(largest, channel_keys, options.scale);
  bool const nothing = std::none_of(largest.begin(), largest.end(), [](T v) { return v > 0; });
  pixel_choice<P, T> out(image, static_cast<index_t>(channel_keys.size()),
                         nothing && options.empty == no_score::first_channel && !largest.empty(), 4);
  for (auto const& t : tiles) {
    std::vector<T> divisor;
    std::vector<std::int32_t> channel{0};
    for (auto const n : t.channels) {
      divisor.push_back(divisors[static_cast<std::size_t>(n)]);
      channel.push_back(n + 1);
    }
    if (nothing) channel = {0, 1};
    out.add(t.window, t.local, t.scores.view(), to_memory(where, divisor), to_memory(where, channel));
  }
  return out;
}

/// Label an image that is too large for one walk: irnet(), with the walk done tile by tile.
///
/// Clusters, scaling, components and instances are found on the whole image, so that nothing has to be stitched: an
/// object that lies across a seam is one object. Tiles change one thing: a score cannot walk in from beyond a tile's
/// overlap. A step goes radius - 1 cells, so where overlap >= 4 * (2^exp_times * (radius - 1) + 1) the labels are those
/// of irnet() up to the walk's rounding. That is far more than is needed: 256 steps at radius 5 spread a score by some
/// 35 cells, 140 pixels, where no boundary stops it.
///
/// @param where    where to run; must reach the maps
/// @param in       the maps at stride 4
/// @param options  as irnet()
/// @param tiling   tile = 2048, overlap = 512
///
/// @throws       precondition_error before anything is written; gpu_error
/// @complexity   time of irnet() times (1 + 2 overlap / tile)^2. Memory: a transition of one tile, K * 4 * 2.2 bytes a
///               cell at float, and afterwards 8 bytes a pixel of the image. At both times also C values a cell of the
///               image, and the instance channels that score on each tile
/// @determinism  the same bits on every run and for every number of threads
/// @asynchrony   gpu: waits for where.stream several times a tile
/// @source       ours
template <class T, execution_policy P>
[[nodiscard]] auto irnet_tiled(P const& where, irnet_input<T, typename P::memory> const& in,
                               irnet_options const& options = {}, irnet_tiling const& tiling = {})
    -> irnet_labels<typename P::memory>
{
  using S = typename P::memory;
  expects_irnet_input(in);
  expects_irnet_options(options);
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, in.cams, "irnet_tiled: cams");
    expects_inside(where, in.boundary, T(0), T(1), "irnet_tiled: boundary", "a boundary in [0,1]");
  }
  auto const classes = propagate_to_edge_tiled(where, in.cams, in.boundary, options, tiling);
  instances<S> objects;  // first: they take most memory
  if (in.displacement.data != nullptr) {
    auto const clusters = irnet_clusters(where, in.displacement, options);
    std::vector<walked_tile<T, S>> tiles;
    for (auto const& t : tiling.of({in.boundary.extent[0], in.boundary.extent[1]}))
      tiles.push_back(walk_instances(where, in, clusters, t, options));
    auto const keys = irnet_channel_keys(in.keys, clusters.count);
    objects = irnet_detect(where, choose_in_tiles(where, tiles, keys, in.image, options), keys, options);
  }
  auto out = irnet_label_classes(where, classes.view(), in, options);
  if (in.displacement.data != nullptr) out.objects = std::move(objects);
  return out;
}

}  // namespace cambium
