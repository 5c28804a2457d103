#pragma once
// The walk that stays on the chip: weights in registers, scores in shared memory, for all steps of one launch.
//
// One launch per step reads the weights from the L2 cache every time and has a launch's latency. IRNet's maps are
// small: 94 x 125 cells have 3.2 MB of weights (68 per cell), which fit into the registers of 17 multiprocessors. So a
// block has a band of rows, and a thread two cells above each other with their 2 x 68 weights. Scores of four channels
// are a float4. Shared memory has the band and the rows around it. After each step blocks exchange the rows at their
// borders through global memory and wait at a barrier: of their cluster, if a map fits 16 blocks, or of the whole grid.
//
// The cost of a step on paper (94 x 125, four channels; an H200 has 132 multiprocessors, each with 128 bytes a clock of
// shared memory):
//   one launch per step     34 planes of weights twice, 3.2 MB from the L2 at about 5 TB/s   0.6 us + launch 2 to 3 us
//   one cell a thread       69 reads of 16 bytes a cell: 104 clocks a warp's step of 12 warps  3.6 us (16 blocks)
//   two cells a thread      80 reads for two cells                                             2.0 us (16 blocks)
//                                                                                              0.4 us (47 blocks)
//   barrier of a cluster    about 0.4 us;   of the grid 1.2 to 1.5 us
// So one image uses the grid (47 blocks, about 1.8 us a step). Many images use a cluster each (2.4 us a step, eight at
// a time). No time here has been measured.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/launch.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/view.hpp>
#include <cambium/walk/resident_plan.hpp>
#include <cambium/walk/series.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cambium {

namespace rule {

/// Convert [B,C,H,W] to quads. Missing channels are 0. For a series see walk_series.
template <class S>
struct gather_quads {
  walk_problems all;
  view<float const, 4, S> scores;
  quad* out;
  value_range<float> const* channel = nullptr;  ///< [B,C], or null for an exact walk
  float top = 1;                                ///< the factor of `out`
  quad *seeds = nullptr, *before = nullptr;     ///< for a series: `out` before its factor, and 0

  CAMBIUM_HD void operator()(index_t problem, index_t y, index_t x) const
  {
    index_t const image = problem / all.groups(), first = problem % all.groups() * 4;
    index_t const at = (problem * all.height + y) * all.width + x;
    float v[4] = {0, 0, 0, 0};
    for (index_t c = 0; c < 4 && first + c < all.channels; ++c) {
      v[c] = scores(image, first + c, y, x);
      if (channel != nullptr) v[c] -= channel[image * all.channels + first + c].middle();
    }
    out[at] = {top * v[0], top * v[1], top * v[2], top * v[3]};
    if (channel == nullptr) return;
    seeds[at] = {v[0], v[1], v[2], v[3]};
    before[at] = {};
  }
};

/// Convert quads to [B,C,H,W].
template <class S>
struct scatter_quads {
  walk_problems all;
  quad const* in;
  view<float, 4, S> scores;
  value_range<float> const* channel = nullptr;

  CAMBIUM_HD void operator()(index_t problem, index_t y, index_t x) const
  {
    index_t const image = problem / all.groups(), first = problem % all.groups() * 4;
    quad const q = in[(problem * all.height + y) * all.width + x];
    float const v[4] = {q.a, q.b, q.c, q.d};
    for (index_t c = 0; c < 4 && first + c < all.channels; ++c)
      scores(image, first + c, y, x) =
          channel == nullptr ? v[c] : framed(v[c], channel[image * all.channels + first + c]);
  }
};

}  // namespace rule

/// The result of an exact step, from a cell's mean.
struct exact_quad {
  CAMBIUM_HD quad operator()(quad const& mean, quad const&, quad const&, index_t) const { return mean; }
};
/// The result of a step of a Clenshaw sum, from a cell's mean.
struct series_quad {
  step_form<float> form;
  quad const* seeds;  ///< [H,W]

  CAMBIUM_HD quad operator()(quad const& mean, quad const& self, quad const& before, index_t at) const
  {
    quad const& seed = seeds[at];
    return {of(mean.a, self.a, before.a, seed.a), of(mean.b, self.b, before.b, seed.b),
            of(mean.c, self.c, before.c, seed.c), of(mean.d, self.d, before.d, seed.d)};
  }

 private:
  CAMBIUM_HD float of(float mean, float self, float before, float seed) const
  {
    return form.mean * mean + form.self * self + form.before * before + form.seed * seed;
  }
};

/// The steps of one launch, exact.
struct walk_powers {
  static constexpr bool looks_back = false;  ///< whether a step reads the values that it overwrites
  index_t steps = 0;
  CAMBIUM_HD exact_quad at(index_t, index_t) const { return {}; }
};
/// The steps of one launch of a Clenshaw sum: as many as fit into a kernel's arguments. Maps are those of the previous
/// launch.
struct walk_series {
  static constexpr bool looks_back = true;
  static constexpr index_t most = 512;  ///< even, so each launch starts in the same map

  index_t steps = 0;
  quad const* seeds = nullptr;  ///< [problems,H,W], minus the channels' middles
  step_form<float> form;        ///< of all steps except the sum's last, which takes half of it; without `seed`
  bool last = false;            ///< the last step of this launch is the sum's
  float coefficient[most];

  /// Steps first, first + 1, ... of a sum of at least one step.
  static walk_series of(chebyshev_power const& p, index_t first, quad const* seeds)
  {
    index_t const n = p.degree();
    walk_series out;
    out.steps = std::min(most, n - first);
    out.seeds = seeds;
    out.last = first + out.steps == n;
    out.form = clenshaw_form<float>(p, 1);
    for (index_t s = 0; s < out.steps; ++s)
      out.coefficient[s] = static_cast<float>(p.coefficient[static_cast<std::size_t>(n - 1 - first - s)]);
    return out;
  }
  CAMBIUM_HD series_quad at(index_t step, index_t first_cell) const
  {
    step_form<float> f = form;
    f.seed = coefficient[step];
    if (last && step == steps - 1) f.mean /= 2, f.self /= 2;
    return {f, seeds + first_cell};
  }
};

/// One thread of a block. See walk_resident.
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

  /// Read the weights of both cells' edges, in the order of step(). A missing edge has weight 0.
  CAMBIUM_HD void load(view<float const, 3, S> const& weights, view<float const, 2, S> const& degrees,
                       edge_places<Radius> const& places)
  {
    CAMBIUM_UNROLL_DEVICE
    for (int below = 0; below < 2; ++below) {
      index_t const y = first_row + row + below;
      bool const there = y < cut.height;
      inverse_degree[below] = there ? degrees(y, index_t{x}) : 0;
      int n = 0;
      CAMBIUM_UNROLL_DEVICE
      for (int dy = -reach; dy <= reach; ++dy) CAMBIUM_UNROLL_DEVICE
      for (int dx = -reach; dx <= reach; ++dx) {
        if (!in_disc(dy, dx) || (dy == 0 && dx == 0)) continue;
        bool const mine = dy > 0 || (dy == 0 && dx > 0);  // otherwise the neighbour owns the edge
        int const k = places.edge[n];
        bool const leads = there && k >= 0 && y + dy >= 0 && y + dy < cut.height && x + dx >= 0 && x + dx < cut.width;
        weight[below][n] = !leads ? 0
                           : mine ? weights(index_t{k}, y, index_t{x})
                                  : weights(index_t{k}, y + dy, index_t{x + dx});
        ++n;
      }
    }
  }

  /// One step of both cells: read a tile, overwrite the older step in the other tile, and write both cells to the map.
  template <class Form>
  CAMBIUM_HD void step(quad const* tile, quad* next, quad* map, Form const& form) const
  {
    quad sum[2];
    quad const* const corner = tile + row * cut.tile_width() + x;  // the neighbour (-reach, -reach) of the upper cell
    quad self[2];
    int met[2] = {0, 0};
    CAMBIUM_UNROLL_DEVICE
    for (int ty = 0; ty <= 2 * reach + 1; ++ty) CAMBIUM_UNROLL_DEVICE
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
    CAMBIUM_UNROLL_DEVICE
    for (int below = 0; below < 2; ++below) {
      if (!inside(below)) continue;
      float const by = inverse_degree[below];
      quad const& s = sum[below];
      quad const& q = self[below];
      quad& to = next[(row + below + reach) * cut.tile_width() + x + reach];
      index_t const at = (first_row + row + below) * cut.width + x;
      to = form({(s.a + q.a) * by, (s.b + q.b) * by, (s.c + q.c) * by, (s.d + q.d) * by}, q, to, at);
      map[at] = to;
    }
  }

 private:
  static CAMBIUM_HD void add(quad& sum, float w, quad const& q)
  {
    sum.a += w * q.a, sum.b += w * q.b, sum.c += w * q.c, sum.d += w * q.d;
  }
};

/// Read scores that another block may have written. The read bypasses the L1 cache, which does not see such writes.
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

/// Fill this thread's share of a tile: rows of the map in [from, to) of the tile, and 0 around the map.
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

/// The programme of one thread of a resident walk: all steps of its two cells. Scores start in `even` and end in
/// program.steps % 2 ? odd : even. The first step overwrites the other map.
///
/// @param tiles  [2 * cut.tile_size()] shared memory of the block
/// @param even   [H,W] of this problem; `odd` likewise
/// @param waits  waits.block() is the barrier of a block. waits.neighbours() is the barrier of all blocks that share
///               the maps; after it each block sees the others' writes
template <int Radius, class S, class Program, class Waits>
CAMBIUM_HD void walk_resident(walk_bands<Radius> const& cut, walk_problems const& all,
                              edge_places<Radius> const& places, view<float const, 4, S> const& weights,
                              view<float const, 3, S> const& degrees, quad* even, quad* odd, Program const& program,
                              launch_place const& at, quad* tiles, Waits const& waits)
{
  constexpr int reach = walk_bands<Radius>::reach;
  index_t const band = at.block.x, problem = at.block.y, image = problem / all.groups();
  index_t const first_cell = problem * cut.height * cut.width;
  int const thread = static_cast<int>(at.thread.x), threads = static_cast<int>(at.threads.x);
  quad* const map[2] = {even + first_cell, odd + first_cell};

  walk_thread<Radius, S> mine(cut, band, thread);
  mine.load(weights[image], degrees[image], places);
  quad* const back = tiles + cut.tile_size();
  fill_tile(cut, band, thread, threads, 0, cut.tile_rows(), from_memory{map[0]}, tiles);
  fill_tile(cut, band, thread, threads, 0, reach, nothing{}, back);
  fill_tile(cut, band, thread, threads, reach + cut.rows, cut.tile_rows(), nothing{}, back);
  if constexpr (Program::looks_back)
    fill_tile(cut, band, thread, threads, reach, reach + cut.rows, from_memory{map[1]}, back);
  else
    fill_tile(cut, band, thread, threads, reach, reach + cut.rows, nothing{}, back);
  waits.block();
  for (index_t s = 0; s < program.steps; ++s) {
    quad* const tile = tiles + (s % 2) * cut.tile_size();
    quad* const next = tiles + (1 - s % 2) * cut.tile_size();
    quad* const to = map[1 - s % 2];
    mine.step(tile, next, to, program.at(s, first_cell));
    waits.neighbours();
    // A neighbour overwrites `to` two steps later, after a barrier that this block reaches after its reads.
    fill_tile(cut, band, thread, threads, 0, reach, from_memory{to}, next);
    fill_tile(cut, band, thread, threads, reach + cut.rows, cut.tile_rows(), from_memory{to}, next);
    waits.block();
  }
}

}  // namespace cambium
