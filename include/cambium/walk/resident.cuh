#pragma once
// The walk that stays on the chip: weights in registers, scores in shared memory, for all steps of one launch.
//
// A step as a kernel of its own reads the weights from the second-level cache every time and costs a launch. IRNet's maps
// are small: 94 x 125 cells have 3.2 MB of weights (68 a cell), which the registers of 17 multiprocessors hold. So a block
// takes a band of rows, a thread two cells above each other; each thread keeps the 2 x 68 weights it needs. Scores of four
// channels are a float4; the band and the rows around it lie in shared memory. After each step blocks hand the rows at
// their borders to each other through global memory and wait: for the other blocks of their cluster, where a map fits 16
// blocks, or for the whole grid.
//
// What a step costs on paper (94 x 125, four channels; H200: 132 multiprocessors, 128 bytes a clock of shared memory each):
//   each step a launch      34 planes of weights twice, 3.2 MB from the L2 at about 5 TB/s     0.6 us + launch 2 to 3 us
//   one cell a thread       69 reads of 16 bytes a cell: 104 clocks a warp's step of 12 warps  3.6 us (16 blocks)
//   two cells a thread      80 reads for two cells                                             2.0 us (16 blocks)
//                                                                                              0.4 us (47 blocks)
//   wait of a cluster       about 0.4 us;   of the grid 1.2 to 1.5 us
// So one image takes the grid (47 blocks, about 1.8 us a step), many images a cluster each (2.4 us a step, eight at a time).
// These are sums on paper: nothing here has been timed.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/grid/view.hpp>

#include <cooperative_groups.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cambium {

/// Scores of four channels at one cell.
struct alignas(16) quad {
  float a = 0, b = 0, c = 0, d = 0;
};

/// A problem is one image and four of its channels. Scores travel as [problems,H,W] of quads.
struct walk_problems {
  index_t images = 1, channels = 0, height = 0, width = 0;

  CAMBIUM_HD index_t groups() const { return (channels + 3) / 4; }
  CAMBIUM_HD index_t count() const { return images * groups(); }
};

/// Brings [B,C,H,W] into quads; channels that are not there are 0.
template <class S>
struct gather_quads {
  walk_problems all;
  view<float const, 4, S> scores;
  quad* out;

  CAMBIUM_HD void operator()(index_t problem, index_t y, index_t x) const
  {
    index_t const image = problem / all.groups(), first = problem % all.groups() * 4;
    float v[4] = {0, 0, 0, 0};
    for (index_t c = 0; c < 4 && first + c < all.channels; ++c) v[c] = scores(image, first + c, y, x);
    out[(problem * all.height + y) * all.width + x] = {v[0], v[1], v[2], v[3]};
  }
};

/// Brings quads back to [B,C,H,W].
template <class S>
struct scatter_quads {
  walk_problems all;
  quad const* in;
  view<float, 4, S> scores;

  CAMBIUM_HD void operator()(index_t problem, index_t y, index_t x) const
  {
    index_t const image = problem / all.groups(), first = problem % all.groups() * 4;
    quad const q = in[(problem * all.height + y) * all.width + x];
    float const v[4] = {q.a, q.b, q.c, q.d};
    for (index_t c = 0; c < 4 && first + c < all.channels; ++c) scores(image, first + c, y, x) = v[c];
  }
};

/// How a map is cut into blocks: bands of an even number of rows, a thread two rows of one column.
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
  /// The tile: the band, `reach` rows and columns around it, all of one buffer.
  CAMBIUM_HD int tile_rows() const { return rows + 2 * reach; }
  CAMBIUM_HD int tile_width() const { return static_cast<int>(width) + 2 * reach; }
  CAMBIUM_HD int tile_size() const { return tile_rows() * tile_width(); }
  CAMBIUM_HD std::size_t shared_bytes() const { return 2 * static_cast<std::size_t>(tile_size()) * sizeof(quad); }

  /// Bands with as few rows as there may be, at most `most_bands` of them; rows = 0 where a block does not hold its share.
  static walk_bands of(index_t height, index_t width, index_t most_bands, std::size_t shared_memory)
  {
    walk_bands out{height, width, 2};
    if (width < 1 || width > most_threads || most_bands < 1) return {height, width, 0};
    while (out.bands() > most_bands && out.threads() + width <= most_threads) out.rows += 2;
    if (out.bands() > most_bands || out.shared_bytes() > shared_memory) out.rows = 0;
    return out;
  }
};

/// Which edge of a stencil leads to each neighbour inside stencil::disc(Radius), row by row without (0,0); -1: none does.
template <int Radius>
struct edge_places {
  std::int16_t edge[walk_bands<Radius>::neighbours];

  /// Can the walk along these edges stay on the chip? Every edge lies inside the disc.
  static bool hold(stencil const& edges)
  {
    return std::all_of(edges.at, edges.at + edges.size,
                       [](offset o) { return o.dy * o.dy + o.dx * o.dx < Radius * Radius; });
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

/// What one thread of a block does. Its functions are called by the kernel, and by a test that plays the blocks on a core.
template <int Radius, class S>
struct walk_thread {
  using bands = walk_bands<Radius>;
  static constexpr int reach = bands::reach;

  bands cut;
  index_t first_row = 0;  ///< of the band
  int x = 0;              ///< column
  int row = 0;            ///< of the upper cell, from the band's first: 0, 2, ...
  float weight[2][bands::neighbours];
  float inverse_degree[2];

  CAMBIUM_HD walk_thread(bands const& c, index_t band, int thread)
      : cut(c),
        first_row(band * c.rows),
        x(thread % static_cast<int>(c.width)),
        row(2 * (thread / static_cast<int>(c.width)))
  {
  }

  CAMBIUM_HD bool inside(int below) const { return first_row + row + below < cut.height; }

  static CAMBIUM_HD constexpr bool in_disc(int dy, int dx) { return dy * dy + dx * dx < Radius * Radius; }

  /// Reads the weights of both cells' edges, in the order in which step() meets them; 0 where there is no edge.
  CAMBIUM_HD void load(view<float const, 3, S> const& weights, view<float const, 2, S> const& degrees,
                       edge_places<Radius> const& places)
  {
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      index_t const y = first_row + row + below;
      bool const there = y < cut.height;
      inverse_degree[below] = there ? degrees(y, index_t{x}) : 0;
      int n = 0;
#pragma unroll
      for (int dy = -reach; dy <= reach; ++dy)
#pragma unroll
        for (int dx = -reach; dx <= reach; ++dx) {
          if (!in_disc(dy, dx) || (dy == 0 && dx == 0)) continue;
          bool const mine = dy > 0 || (dy == 0 && dx > 0);  // else the edge is the neighbour's
          int const k = places.edge[n];
          bool const leads = there && k >= 0 && y + dy >= 0 && y + dy < cut.height && x + dx >= 0 && x + dx < cut.width;
          weight[below][n] = !leads ? 0
                             : mine ? weights(index_t{k}, y, index_t{x})
                                    : weights(index_t{k}, y + dy, index_t{x + dx});
          ++n;
        }
    }
  }

  /// One step of both cells: reads a tile, writes the other's band, and what other blocks need to `shared_rows`, the map.
  CAMBIUM_HD void step(quad const* tile, quad* next, quad* map) const
  {
    quad sum[2];
    quad const* const corner = tile + row * cut.tile_width() + x;  // the neighbour (-reach, -reach) of the upper cell
    quad self[2];
    int met[2] = {0, 0};
#pragma unroll
    for (int ty = 0; ty <= 2 * reach + 1; ++ty)
#pragma unroll
      for (int tx = 0; tx <= 2 * reach; ++tx) {
        int const dx = tx - reach;
        bool const upper = ty <= 2 * reach && in_disc(ty - reach, dx), lower = ty >= 1 && in_disc(ty - 1 - reach, dx);
        if (!upper && !lower) continue;
        quad const q = corner[ty * cut.tile_width() + tx];
        if (upper) {
          if (ty == reach && dx == 0)
            self[0] = q;
          else
            add(sum[0], weight[0][met[0]++], q);
        }
        if (lower) {
          if (ty - 1 == reach && dx == 0)
            self[1] = q;
          else
            add(sum[1], weight[1][met[1]++], q);
        }
      }
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      if (!inside(below)) continue;
      float const by = inverse_degree[below];
      quad const& s = sum[below];
      quad const& q = self[below];
      quad const out{(s.a + q.a) * by, (s.b + q.b) * by, (s.c + q.c) * by, (s.d + q.d) * by};
      next[(row + below + reach) * cut.tile_width() + x + reach] = out;
      map[(first_row + row + below) * cut.width + x] = out;
    }
  }

 private:
  static CAMBIUM_HD void add(quad& sum, float w, quad const& q)
  {
    sum.a += w * q.a, sum.b += w * q.b, sum.c += w * q.c, sum.d += w * q.d;
  }
};

/// Reads scores that another block may have written: past the first-level cache, which does not see that.
struct from_memory {
  quad const* map;
  CAMBIUM_HD quad operator()(index_t i) const
  {
#if defined(__CUDA_ARCH__)
    float4 const v = __ldcg(reinterpret_cast<float4 const*>(map + i));
    return {v.x, v.y, v.z, v.w};
#else
    return map[i];
#endif
  }
};
struct nothing {
  CAMBIUM_HD quad operator()(index_t) const { return {}; }
};

/// Fills cells of a tile that this thread of `threads` is to fill: rows of the map in [from, to) of the tile, and 0 around.
template <int Radius, class Load>
CAMBIUM_HD void fill_tile(walk_bands<Radius> const& cut, index_t band, int thread, int threads, int from, int to,
                          Load const& load, quad* tile)
{
  constexpr int reach = walk_bands<Radius>::reach;
  for (int i = from * cut.tile_width() + thread; i < to * cut.tile_width(); i += threads) {
    index_t const y = band * cut.rows + i / cut.tile_width() - reach;
    int const x = i % cut.tile_width() - reach;
    bool const there = y >= 0 && y < cut.height && x >= 0 && x < cut.width;
    tile[i] = there ? load(y * cut.width + x) : quad{};
  }
}

namespace kernel {

/// Waits until every block that shares a map has come here, and sees what they wrote.
template <bool Cluster>
__device__ void wait_for_neighbours()
{
  if constexpr (Cluster) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#else
    __trap();  // there are no clusters before compute capability 9.0, and none is launched
#endif
  } else {
    cooperative_groups::this_grid().sync();
  }
}

/// All steps of many walks: block (band, problem). Scores begin in `even` and end in steps % 2 ? odd : even.
template <int Radius, bool Cluster>
__global__ void __launch_bounds__(walk_bands<Radius>::most_threads, 1)
    resident_walk(walk_bands<Radius> cut, walk_problems all, edge_places<Radius> places,
                  view<float const, 4, device> weights, view<float const, 3, device> degrees, quad* even, quad* odd,
                  index_t steps)
{
  constexpr int reach = walk_bands<Radius>::reach;
  extern __shared__ float4 shared_cells[];
  quad* const tiles = reinterpret_cast<quad*>(shared_cells);
  index_t const band = blockIdx.x, problem = blockIdx.y, image = problem / all.groups();
  int const thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  quad* map[2] = {even + problem * cut.height * cut.width, odd + problem * cut.height * cut.width};

  walk_thread<Radius, device> mine(cut, band, thread);
  mine.load(weights[image], degrees[image], places);
  fill_tile(cut, band, thread, threads, 0, cut.tile_rows(), from_memory{map[0]}, tiles);
  fill_tile(cut, band, thread, threads, 0, cut.tile_rows(), nothing{}, tiles + cut.tile_size());
  __syncthreads();
  for (index_t s = 0; s < steps; ++s) {
    quad* const tile = tiles + (s % 2) * cut.tile_size();
    quad* const next = tiles + (1 - s % 2) * cut.tile_size();
    quad* const to = map[1 - s % 2];
    mine.step(tile, next, to);
    wait_for_neighbours<Cluster>();
    // A neighbour writes on `to` again two steps on, after a wait that this block reaches when it has read it.
    fill_tile(cut, band, thread, threads, 0, reach, from_memory{to}, next);
    fill_tile(cut, band, thread, threads, reach + cut.rows, cut.tile_rows(), from_memory{to}, next);
    __syncthreads();
  }
}

}  // namespace kernel

}  // namespace cambium
