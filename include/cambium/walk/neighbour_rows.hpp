#pragma once
// How the CPU averages over fixed neighbours: in place, band by band.
//
// A thread has a band of rows. It keeps the old rows around the row that it computes: those above and its own in a ring,
// those below its band apart, copied before any thread begins the step. Rows are kept between borders, so no column
// needs a test. Up to 11 channels go together; a register of cells of up to 8 channels is summed at once. The weights of
// a row are first put in the order of their use: 48 planes of weights are more streams than a core prefetches.

#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/dilated.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>

namespace cambium {

/// The shape of a band's memory.
struct neighbour_rows_shape {
  static constexpr index_t most_stored = 11;   ///< channels that go together: a ring of six dilations fits a cache
  static constexpr index_t most_by_rows = 32;  ///< the same, if each group of channels makes the weights again
  static constexpr index_t slack = 64;         ///< [cells] beyond a row: a register, and twice

  neighbour_rows_shape() = default;
  neighbour_rows_shape(index_t C, index_t H, index_t W, dilated_neighbours const& near, index_t most = most_stored)
      : most_channels(most),
        blocks((C + most - 1) / most),
        channels(C == 0 ? 0 : (C + blocks - 1) / blocks),
        height(H),
        width(W),
        reach(std::max<index_t>(0, std::min<index_t>(near.reach(), H - 1))),
        pad(std::max<index_t>(0, std::min<index_t>(near.reach(), W - 1))),
        pitch(W + 2 * pad),
        row(channels * pitch),
        neighbours(near.size())
  {
  }

  index_t slots() const { return 2 * reach + 1; }
  index_t ring_cells() const { return slots() * row + slack; }
  index_t below_cells() const { return reach * row + slack; }
  index_t weight_cells() const { return neighbours * (width + slack); }
  index_t cells() const { return ring_cells() + below_cells() + weight_cells(); }

  friend bool operator==(neighbour_rows_shape const&, neighbour_rows_shape const&) = default;

  index_t most_channels = most_stored, blocks = 0;  ///< channels are divided evenly
  index_t channels = 0, height = 0, width = 0, reach = 0, pad = 0, pitch = 0, row = 0;
  index_t neighbours = 0;
};

/// Room of neighbour_walk_into. The first template is that of other policies, see neighbour_walk.hpp.
template <class T, class P = cpu>
class neighbour_walk_scratch;

template <class T>
class neighbour_walk_scratch<T, cpu> {
 public:
  neighbour_walk_scratch(cpu const& where, index_t C, index_t H, index_t W, dilated_neighbours const& near,
                         index_t together = neighbour_rows_shape::most_stored)
      : shape(C, H, W, near, together), bands(bands_of(where, H)), memory(make_grid<T>({bands * shape.cells()}))
  {
    std::fill(memory.cells().begin(), memory.cells().end(), T(0));  // cells between rows are read and never used
  }
  bool fits(cpu const&, stack_view<T> const& out, dilated_neighbours const& near) const
  {
    return shape == neighbour_rows_shape(out.extent[0], out.extent[1], out.extent[2], near, shape.most_channels);
  }
  /// A thread per band of at least 8 rows.
  static index_t bands_of(cpu const& where, index_t H) { return team_size(where, H, 8); }

  neighbour_rows_shape shape;
  index_t bands;
  grid<T, 1> memory;
};

namespace rule {

/// Rows of stored weights, put in the order of their use.
template <class T>
struct stored_rows {
  stack_view<T const> weight;  ///< [P,H,W]

  /// [registers of a row][P][lanes]
  template <int Bytes>
  [[gnu::always_inline]] void ordered_row(index_t y, T* ordered) const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t const P = weight.extent[0], W = weight.extent[2];
    for (index_t k = 0; k < P; ++k) {
      T const* const from = &weight(k, y, 0);
      T* const to = ordered + k * lanes;
      index_t x = 0;
      for (; x + lanes <= W; x += lanes) lanes_at<lanes>(to + x * P).v = lanes_at<lanes>(from + x).v;
      for (index_t i = 0; x + i < W; ++i) to[x * P + i] = from[x + i];
    }
  }
};

/// A step of some channels in one band. Rows is stored_rows, or makes the same from something else.
template <class T, class Rows>
struct neighbour_band {
  neighbour_rows_shape const& shape;
  dilated_neighbours const& near;
  Rows const& rows;
  stack_view<T> cells;  ///< [channels,H,W] of this block
  index_t first, last;  ///< rows
  T* memory;

  T* below() const { return memory + shape.ring_cells(); }
  T* ordered_weights() const { return below() + shape.below_cells(); }
  T* old_row(index_t y) const
  {
    return y >= last ? below() + (y - last) * shape.row : memory + y % shape.slots() * shape.row;
  }
  void keep(index_t y) const
  {
    for (index_t c = 0; c < cells.extent[0]; ++c)
      copy_between_borders(&cells(c, y, 0), shape.width, shape.pad, old_row(y) + c * shape.pitch);
  }
  /// Before any band is written.
  void keep_around() const
  {
    for (index_t y = std::max<index_t>(0, first - shape.reach); y < std::min(last, first + shape.reach); ++y) keep(y);
    for (index_t y = last; y < std::min(shape.height, last + shape.reach); ++y) keep(y);
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t y = first; y < last; ++y) {
      if (y + shape.reach < last) keep(y + shape.reach);
      rows.template ordered_row<Bytes>(y, ordered_weights());
      index_t const C = cells.extent[0], groups = (C + 7) / 8;
      for (index_t g = 0; g < groups; ++g) {
        index_t const c = C * g / groups;
        switch (C * (g + 1) / groups - c) {
          case 1:
            sum_row<Bytes, 1, 4>(y, c);
            break;
          case 2:
            sum_row<Bytes, 2, 4>(y, c);
            break;
          case 3:
            sum_row<Bytes, 3, 2>(y, c);
            break;
          case 4:
            sum_row<Bytes, 4, 2>(y, c);
            break;
          case 5:
            sum_row<Bytes, 5, 1>(y, c);
            break;
          case 6:
            sum_row<Bytes, 6, 1>(y, c);
            break;
          case 7:
            sum_row<Bytes, 7, 1>(y, c);
            break;
          default:
            sum_row<Bytes, 8, 1>(y, c);
        }
      }
    }
  }

  /// A row of Channels channels, Registers registers of cells at once: enough sums to keep the adders busy.
  template <int Bytes, int Channels, int Registers>
  [[gnu::always_inline]] void sum_row(index_t y, index_t c) const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t const P = shape.neighbours, pitch = shape.pitch;
    T const* from[8 * dilated_neighbours::capacity];
    for (int k = 0; k < near.size(); ++k) {
      offset const by = near.at(k);
      from[k] = old_row(nearest_inside(y + by.dy, shape.height)) + c * pitch + shape.pad +
                std::clamp<index_t>(by.dx, -shape.pad, shape.pad);
    }
    index_t x = 0;
    for (; x + Registers * lanes <= shape.width; x += Registers * lanes)
      sum_cells<lanes, Channels, Registers>(from, P, pitch, x, y, c);
    for (; x < shape.width; x += lanes) sum_cells<lanes, Channels, 1>(from, P, pitch, x, y, c);
  }

  template <int Lanes, int Channels, int Registers>
  [[gnu::always_inline]] void sum_cells(T const* const* from, index_t P, index_t pitch, index_t x, index_t y,
                                        index_t c) const
  {
    pack<T, Lanes> sum[std::size_t{Channels}][std::size_t{Registers}] = {};
    T const* const w = ordered_weights() + x * P;
    for (index_t k = 0; k < P; ++k) {
      T const* const at = from[k] + x;
      CAMBIUM_UNROLL
      for (int r = 0; r < Registers; ++r) {
        pack<T, Lanes> const by = lanes_at<Lanes>(w + (r * P + k) * Lanes).v;
        CAMBIUM_UNROLL
        for (int j = 0; j < Channels; ++j) sum[j][r] += by * lanes_at<Lanes>(at + j * pitch + r * Lanes).v;
      }
    }
    for (int j = 0; j < Channels; ++j)
      for (int r = 0; r < Registers; ++r) {
        index_t const to = x + r * Lanes;
        T* const out = &cells(c + j, y, to);
        if (to + Lanes <= shape.width) {
          lanes_at<Lanes>(out).v = sum[j][r];
        } else {
          T some[std::size_t{Lanes}];
          lanes_at<Lanes>(some).v = sum[j][r];
          std::copy_n(some, shape.width - to, out);
        }
      }
  }
};

}  // namespace rule

/// The CPU schedule.
template <class T, class Rows>
void neighbour_walk_on(cpu const& where, stack_view<T const> masks, Rows const& rows, dilated_neighbours const& near,
                       index_t steps, stack_view<T> out, neighbour_walk_scratch<T, cpu>& scratch)
{
  if (!same_window(masks, stack_view<T const>(out))) copy(where, masks, out);
  auto const& shape = scratch.shape;
  index_t const C = out.extent[0], blocks = shape.blocks, bands = scratch.bands;
  isa const set = vectors_of(where);
  for (index_t block = 0; block < blocks; ++block) {
    stack_view<T> cells = out;
    cells.data += C * block / blocks * out.stride[0];
    cells.extent[0] = C * (block + 1) / blocks - C * block / blocks;
    auto const band = [&](index_t b) {
      return rule::neighbour_band<T, Rows>{shape,
                                           near,
                                           rows,
                                           cells,
                                           shape.height * b / bands,
                                           shape.height * (b + 1) / bands,
                                           scratch.memory.data() + b * shape.cells()};
    };
    for (index_t step = 0; step < steps; ++step) {
      for_each_share(where, bands, 1, [&](index_t begin, index_t end) {
        for (index_t b = begin; b < end; ++b) band(b).keep_around();
      });
      for_each_share(where, bands, 1, [&](index_t begin, index_t end) {
        flush_denormals const guard;
        for (index_t b = begin; b < end; ++b) run_widest(set, band(b));
      });
    }
  }
}

}  // namespace cambium
