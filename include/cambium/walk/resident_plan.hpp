#pragma once
// The schedule of a walk on a device, and the division of its maps into blocks. Plain arithmetic: the device's limits
// are arguments.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/stencil.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cambium {

/// Scores of four channels at one cell.
struct alignas(16) quad {
  float a = 0, b = 0, c = 0, d = 0;
};

/// A problem is one image and four of its channels. Scores are [problems,H,W] of quads.
struct walk_problems {
  index_t images = 1, channels = 0, height = 0, width = 0;

  CAMBIUM_HD index_t groups() const { return (channels + 3) / 4; }
  CAMBIUM_HD index_t count() const { return images * groups(); }
};

/// The division of a map into blocks. A block has a band of an even number of rows. A thread has two rows of one
/// column.
template <int Radius>
struct walk_bands {
  static constexpr int reach = Radius - 1;  ///< [cells] of the farthest edge of stencil::disc(Radius)
  static constexpr int most_threads = 384;  ///< 168 registers each
  static constexpr int neighbours = [] {
    int n = 0;
    for (int dy = -reach; dy <= reach; ++dy)
      for (int dx = -reach; dx <= reach; ++dx) n += dy * dy + dx * dx < Radius * Radius ? 1 : 0;
    return n - 1;
  }();

  index_t height = 0, width = 0;
  int rows = 2;  ///< of a band, even

  CAMBIUM_HD index_t bands() const { return (height + rows - 1) / rows; }
  CAMBIUM_HD int threads() const { return static_cast<int>(width) * (rows / 2); }
  /// The tile of one buffer: the band, and `reach` rows and columns around it.
  CAMBIUM_HD int tile_rows() const { return rows + 2 * reach; }
  CAMBIUM_HD int tile_width() const { return static_cast<int>(width) + 2 * reach; }
  CAMBIUM_HD int tile_size() const { return tile_rows() * tile_width(); }
  CAMBIUM_HD std::size_t shared_bytes() const { return 2 * static_cast<std::size_t>(tile_size()) * sizeof(quad); }

  /// At most `most_bands` bands with as few rows as possible; rows = 0 if a band does not fit into a block.
  static walk_bands of(index_t height, index_t width, index_t most_bands, std::size_t shared_memory)
  {
    walk_bands out{height, width, 2};
    if (width < 1 || width > most_threads || most_bands < 1) return {height, width, 0};
    while (out.bands() > most_bands && out.threads() + width <= most_threads) out.rows += 2;
    if (out.bands() > most_bands || out.shared_bytes() > shared_memory) out.rows = 0;
    return out;
  }
};

/// The edge to each neighbour inside stencil::disc(Radius), row by row without (0,0); -1 for a neighbour without an
/// edge.
template <int Radius>
struct edge_places {
  std::int16_t edge[walk_bands<Radius>::neighbours];

  /// Whether a walk along these edges can stay on the chip: every edge is inside the disc.
  static bool hold(stencil const& edges)
  {
    return std::all_of(edges.at, edges.at + edges.size,
                       [](offset o) { return index_t{o.dy} * o.dy + index_t{o.dx} * o.dx < Radius * Radius; });
  }
  static edge_places of(stencil const& edges)
  {
    constexpr int reach = walk_bands<Radius>::reach;
    edge_places out;
    int n = 0;
    for (int dy = -reach; dy <= reach; ++dy)
      for (int dx = -reach; dx <= reach; ++dx) {
        if (dy * dy + dx * dx >= Radius * Radius || (dy == 0 && dx == 0)) continue;
        out.edge[n] = -1;
        for (int k = 0; k < edges.size; ++k)
          if (edges.at[k] == offset{dy, dx} || edges.at[k] == offset{-dy, -dx})
            out.edge[n] = static_cast<std::int16_t>(k);
        ++n;
      }
    return out;
  }
};

/// The schedule of a walk on a device. See resident.hpp for their costs.
enum class walk_schedule {
  automatic,  ///< cluster for several problems, grid for few; each_step if that schedule cannot hold the map or run
  each_step,  ///< one launch per step: any size, any stencil, float and double
  grid,       ///< one cooperative launch for all problems of a call, with a barrier of all blocks
  cluster,    ///< one launch: a cluster of at most 16 blocks for an image and four channels; built for and run on 9.0
};

inline constexpr int resident_radius = 5;  ///< stencils inside disc(5), IRNet's, can be resident

/// A device's limits for a resident walk.
struct walk_device {
  int multiprocessors = 0, capability = 0;
  std::size_t shared_memory = 0;  ///< [bytes] of a block
  bool cooperative = false;
};

/// A schedule, and its division of the maps.
struct walk_plan {
  walk_schedule schedule = walk_schedule::each_step;
  walk_bands<resident_radius> cut{};

  /// @param wanted  automatic, or the required schedule
  /// @param alone   false: other work shares the device, so `automatic` does not take all of it
  /// @throws precondition_error: the required schedule cannot run these maps on this device
  static walk_plan of(walk_schedule wanted, walk_device const& has, walk_problems const& all, stencil const& edges,
                      bool single_precision, bool alone = true)
  {
    using bands = walk_bands<resident_radius>;
    walk_plan out;
    if (wanted == walk_schedule::each_step || all.count() * all.height * all.width == 0) return out;
    bool const resident = single_precision && edge_places<resident_radius>::hold(edges);
    auto const grid_cut = bands::of(all.height, all.width, has.multiprocessors / all.count(), has.shared_memory);
    auto const cluster_cut = bands::of(all.height, all.width, 16, has.shared_memory);
    bool const grid_holds = resident && has.cooperative && all.count() <= 65535 && grid_cut.rows > 0;
    bool const cluster_holds = resident && has.capability >= 9 && all.count() <= 65535 && cluster_cut.rows > 0;
    expects(wanted == walk_schedule::automatic || edge_places<resident_radius>::hold(edges),
            "random_walk: a resident walk holds the edges of stencil::disc(", resident_radius,
            "); longer ones walk with walk_schedule::each_step");
    expects(wanted != walk_schedule::grid || grid_holds, "random_walk: the grid cannot hold ", all.count(),
            " problems of ", all.height, " x ", all.width, " cells");
    expects(wanted != walk_schedule::cluster || cluster_holds, "random_walk: a cluster cannot hold ", all.height, " x ",
            all.width, " cells");
    if (wanted == walk_schedule::grid ||
        (wanted == walk_schedule::automatic && alone && grid_holds && !(cluster_holds && all.count() > 2)))
      return {walk_schedule::grid, grid_cut};
    if (cluster_holds) return {walk_schedule::cluster, cluster_cut};
    return out;
  }
};

}  // namespace cambium
