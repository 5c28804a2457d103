#pragma once
// The CPU schedule of the random walk.
//
// A row of W columns is cut into `lanes` segments of S columns. Position p of the row is the pack (column p, p+S, p+2S,
// ...). A neighbour dx columns away is then the pack dx positions away, so every load is aligned for every dx.
// Positions left of 0 and right of S-1 are copies of other segments' ends. They are refreshed after each step.
//
// One block is `rows` output rows at one position and up to four channels. For each input row and each dx the scores
// are loaded once and used for all output rows whose stencil has that neighbour. The weights of an edge are stored
// once, with the edge's owner, and read from both ends.
//
// Weights of 16 bits: a position has the lanes of two registers, and the weights of lane l of both share 32 bits. So one
// load brings the weights of two packs, and each becomes a float in one instruction.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/transition.hpp>
#include <cambium/walk/step.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace cambium {

/// Output rows of one block: limited by the accumulators that fit into registers of that size [bytes].
constexpr int rows_of_block(int register_size) { return register_size == 64 || !CAMBIUM_X86 ? 4 : 2; }

inline constexpr int most_rows = 4;
inline constexpr int most_channels = 4;

/// The lane layout of a map. Offsets are in elements.
struct lane_map {
  index_t height = 0, width = 0;
  int packs = 1;                           ///< of a position: 2 if weights have 16 bits
  int lanes = 1;                           ///< of a position
  int weight_lanes = 1;                    ///< elements of an edge's weights at a position
  int rows = 1;                            ///< of a block
  index_t segment = 0;                     ///< S: columns of a segment, positions of a row
  index_t reach_y = 0;                     ///< rows an edge can cross
  index_t reach_x = 0;                     ///< positions an edge can cross
  index_t bands = 0;                       ///< blocks of rows
  index_t score_row = 0;                   ///< elements of a row of scores, halo included
  index_t score_plane = 0;                 ///< elements of a channel
  index_t weight_position = 0;             ///< elements from the weights of a position to those of the next
  index_t weight_row = 0;                  ///< from a row of a block to the next
  index_t weight_band = 0;                 ///< from a band to the next
  index_t weight_at[stencil::capacity]{};  ///< where position 0 of edge k starts in its row

  lane_map(isa set, std::size_t cell_size, index_t H, index_t W, stencil const& edges,
           weight_format format = weight_format::full)
      : height(H),
        width(W),
        packs(format == weight_format::bfloat16 && cell_size == 4 ? 2 : 1),
        lanes(packs * register_bytes(set) / static_cast<int>(cell_size)),
        weight_lanes(lanes / packs),
        rows(rows_of_block(register_bytes(set)))
  {
    segment = (W + lanes - 1) / lanes;
    bands = (H + rows - 1) / rows;
    for (int k = 0; k < edges.size; ++k) {
      index_t const dx = edges.at[k].dx, across = dx < 0 ? -dx : dx;
      reach_y = std::max<index_t>(reach_y, edges.at[k].dy);
      reach_x = std::max(reach_x, across);
      // an edge is read from its far end too: dx positions further left, so the row starts earlier or ends later
      weight_at[k] = weight_row + std::max<index_t>(0, dx) * weight_lanes;
      weight_row += (segment + across) * weight_lanes;
    }
    weight_position = weight_lanes;
    weight_band = rows * weight_row;
    if (weight_size() * static_cast<index_t>(cell_size) > index_t{6} << 20) {
      // Edge after edge would be many streams at once. Large maps are stored position after position, each with all
      // edges of its block, so a step reads one stream.
      weight_row = edges.size * weight_lanes;
      weight_position = rows * weight_row;
      weight_band = (segment + 2 * reach_x) * weight_position;
      for (int k = 0; k < edges.size; ++k) weight_at[k] = reach_x * weight_position + k * weight_lanes;
    }
    score_row = (segment + 2 * reach_x) * lanes;
    score_plane = score_row * (bands * rows + 2 * reach_y);
  }

  /// Offset of row y, position p.
  index_t score(index_t y, index_t p) const { return (y + reach_y) * score_row + (p + reach_x) * lanes; }
  /// Bands above the map, without weights: the sources of edges into the first rows.
  index_t bands_above() const { return (reach_y + rows - 1) / rows; }
  /// Offset of the weights of a band. weight_at is added for an edge's position 0.
  index_t weight(index_t band) const { return (band + bands_above()) * weight_band; }
  index_t weight_size() const { return (bands + bands_above()) * weight_band; }
  index_t degree(index_t y) const { return y * segment * lanes; }
  index_t degree_size() const { return bands * rows * segment * lanes; }
};

/// One neighbour of a block: the offset of its scores and, for output rows first..last of the block, of its weights. It
/// is small, because the table shares the first-level cache with scores and weights.
struct block_neighbour {
  std::int32_t score;
  std::int32_t weight[most_rows];
};

/// The number of the edge at each offset of the half plane.
class edge_numbers {
 public:
  edge_numbers(lane_map const& map, stencil const& edges)
      : down_(map.reach_y), across_(map.reach_x), number_(static_cast<std::size_t>((down_ + 1) * (2 * across_ + 1)), -1)
  {
    for (int k = edges.size; k-- > 0;) number_[at(edges.at[k].dy, edges.at[k].dx)] = k;
  }

  /// -1 where there is no edge. dy >= 0, and dx is not beyond the map's reach.
  int operator()(index_t dy, index_t dx) const { return dy <= down_ ? number_[at(dy, dx)] : -1; }

 private:
  std::size_t at(index_t dy, index_t dx) const
  {
    return static_cast<std::size_t>(dy * (2 * across_ + 1) + dx + across_);
  }

  index_t down_, across_;
  std::vector<int> number_;
};

/// The neighbours of a block, grouped by the output rows that use them.
struct block_program {
  std::vector<block_neighbour> neighbour;
  int begin[most_rows][most_rows]{};  ///< of the group used by rows [first][last]
  int end[most_rows][most_rows]{};

  block_program(lane_map const& map, stencil const& edges)
  {
    index_t const farthest =
        std::max((map.rows + map.reach_y) * map.score_row, (map.bands_above() + 1) * map.weight_band);
    expects(farthest < std::numeric_limits<std::int32_t>::max(), "random_walk: a map of ", map.width,
            " columns is too wide for ", edges.size, " edges");
    edge_numbers const numbers(map, edges);
    for (int first = 0; first < map.rows; ++first)
      for (int last = first; last < map.rows; ++last) {
        begin[first][last] = static_cast<int>(neighbour.size());
        for (index_t r = -map.reach_y; r < map.reach_y + map.rows; ++r)
          for (index_t dx = -map.reach_x; dx <= map.reach_x; ++dx) add(map, numbers, r, dx, first, last);
        end[first][last] = static_cast<int>(neighbour.size());
      }
  }

 private:
  /// Append input row r, shift dx if exactly the output rows first..last use it.
  void add(lane_map const& map, edge_numbers const& edges, index_t r, index_t dx, int first, int last)
  {
    index_t weight = 0;
    if (first > 0 && find(map, edges, r, dx, first - 1, weight)) return;
    if (last + 1 < map.rows && find(map, edges, r, dx, last + 1, weight)) return;
    block_neighbour n{static_cast<std::int32_t>(r * map.score_row + dx * map.lanes), {}};
    for (int j = first; j <= last; ++j) {
      if (!find(map, edges, r, dx, j, weight)) return;
      n.weight[j] = static_cast<std::int32_t>(weight);
    }
    neighbour.push_back(n);
  }

  /// The offset of the edge's weight if (r, dx) is a neighbour of output row j.
  static bool find(lane_map const& map, edge_numbers const& edges, index_t r, index_t dx, int j, index_t& weight)
  {
    index_t const dy = r - j;
    bool const owned = dy > 0 || (dy == 0 && dx > 0);
    int const k = owned ? edges(dy, dx) : edges(-dy, -dx);
    if (k < 0) return false;
    if (owned) {
      weight = j * map.weight_row + map.weight_at[k];
    } else {
      index_t const above = r < 0 ? (-r + map.rows - 1) / map.rows : 0, row = r + above * map.rows;
      weight = row * map.weight_row - above * map.weight_band + map.weight_at[k] + dx * map.weight_position;
    }
    return true;
  }
};

/// One step on one band of rows, up to four channels.
template <class T>
struct band_step {
  lane_map const* map;
  block_program const* program;
  int channels;  ///< 1..4
  step_form<T> form;
  T const* scores;          ///< row 0 of the band, position 0, first channel
  T const* weights;         ///< of the band, position 0
  T const* inverse_degree;  ///< row 0 of the band
  T const* seeds;           ///< as scores; not read by a plain step
  T* out;                   ///< as scores
  index_t ahead;            ///< [elements] distance of the weights' prefetch; 0: no prefetch

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    constexpr int rows = rows_of_block(Bytes);
    if (map->packs == 1) {
      if (channels == 4) sweep<lanes, rows, 1, 4, 1>();
      if (channels == 3) sweep<lanes, rows, 1, 3, 1>();
      if (channels == 2) sweep<lanes, rows, 1, 2, 2>();
      if (channels == 1) sweep<lanes, rows, 1, 1, 4>();
      refresh<lanes, rows, 1>();
    } else if constexpr (sizeof(T) == 4) {
      if (channels == 4) sweep<lanes, rows, 2, 2, 1, 2>();
      if (channels == 3) sweep<lanes, rows, 2, 2, 1, 1>();
      if (channels == 2) sweep<lanes, rows, 2, 2, 1>();
      if (channels == 1) sweep<lanes, rows, 2, 1, 2>();
      refresh<lanes, rows, 2>();
    }
  }

 private:
  /// All positions of the band, `Wide` at a time and then one at a time. At each place the first `Channels` channels, and
  /// then the `Rest`.
  template <int Lanes, int Rows, int Packs, int Channels, int Wide, int Rest = 0>
  [[gnu::always_inline]] void sweep() const
  {
    index_t p = 0;
    for (; p + Wide <= map->segment; p += Wide) {
      block<Lanes, Rows, Packs, Channels, Wide>(p, 0);
      if constexpr (Rest > 0) block<Lanes, Rows, Packs, Rest, Wide>(p, Channels);
    }
    if constexpr (Wide > 2)
      for (; p + 2 <= map->segment; p += 2) block<Lanes, Rows, Packs, Channels, 2>(p, 0);
    if constexpr (Wide > 1)
      for (; p < map->segment; ++p) block<Lanes, Rows, Packs, Channels, 1>(p, 0);
  }

  template <int Lanes, int Rows, int Channels, int Wide>
  using sums = pack<T, Lanes>[std::size_t{Rows}][std::size_t{Channels}][std::size_t{Wide}];

  template <int Lanes, int Rows, int Packs, int Channels, int Positions>
  [[gnu::always_inline]] void block(index_t position, int channel) const
  {
    constexpr int Wide = Packs * Positions;  // packs of a row and channel
    index_t const plane = map->score_plane, row = map->score_row, at = position * (Packs * Lanes);
    index_t const first = at + channel * plane;
    T const* const x = scores + first;
    T const* const w = weights + position * map->weight_position;
    fetch(w + ahead, w + ahead + (ahead > 0 && channel == 0 ? Positions : 0) * map->weight_position);
    sums<Lanes, Rows, Channels, Wide> sum;
    CAMBIUM_UNROLL
    for (int j = 0; j < Rows; ++j) CAMBIUM_UNROLL
    for (int c = 0; c < Channels; ++c) CAMBIUM_UNROLL
    for (int b = 0; b < Wide; ++b) sum[j][c][b] = pack<T, Lanes>{};

    gather<Lanes, Rows, Packs, Channels, Wide, 0, 0>(x, w, sum);
    if constexpr (Rows > 1) {
      gather<Lanes, Rows, Packs, Channels, Wide, 0, 1>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 1, 1>(x, w, sum);
    }
    if constexpr (Rows > 2) {
      gather<Lanes, Rows, Packs, Channels, Wide, 0, 2>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 0, 3>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 1, 2>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 1, 3>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 2, 2>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 2, 3>(x, w, sum);
      gather<Lanes, Rows, Packs, Channels, Wide, 3, 3>(x, w, sum);
    }

    index_t const degree_row = map->segment * (Packs * Lanes);
    CAMBIUM_UNROLL
    for (int j = 0; j < Rows; ++j) CAMBIUM_UNROLL
    for (int b = 0; b < Wide; ++b) {
      pack<T, Lanes> const inverse = lanes_at<Lanes>(inverse_degree + at + j * degree_row + b * Lanes).v;
      CAMBIUM_UNROLL
      for (int c = 0; c < Channels; ++c) {
        index_t const cell = first + c * plane + j * row + b * Lanes;
        pack<T, Lanes> const here = lanes_at<Lanes>(scores + cell).v;
        // The self edge comes last. Small terms are summed before the large one is added. So a cell behind a boundary
        // does not drift by half an ulp per edge and step.
        pack<T, Lanes> const average = (sum[j][c][b] + here) * inverse;
        auto& to = lanes_at<Lanes>(out + cell);
        if (form.plain)
          to.v = average;
        else
          to.v =
              form.mean * average + form.self * here + form.before * to.v + form.seed * lanes_at<Lanes>(seeds + cell).v;
      }
    }
  }

  /// Prefetch cache lines.
  [[gnu::always_inline]] static void fetch(T const* first, T const* last)
  {
    for (; first < last; first += 64 / sizeof(T)) __builtin_prefetch(first, 0, 2);
  }

  /// Add the neighbours that output rows First..Last of the block share.
  template <int Lanes, int Rows, int Packs, int Channels, int Wide, int First, int Last>
  [[gnu::always_inline]] void gather(T const* x, T const* w, sums<Lanes, Rows, Channels, Wide>& sum) const
  {
    block_neighbour const* n = program->neighbour.data() + program->begin[First][Last];
    block_neighbour const* const end = program->neighbour.data() + program->end[First][Last];
    index_t const plane = map->score_plane, next = map->weight_position;
    for (; n != end; ++n) {
      pack<T, Lanes> here[std::size_t{Channels}][std::size_t{Wide}];
      CAMBIUM_UNROLL
      for (int c = 0; c < Channels; ++c) CAMBIUM_UNROLL
      for (int b = 0; b < Wide; ++b) here[c][b] = lanes_at<Lanes>(x + n->score + c * plane + b * Lanes).v;
      CAMBIUM_UNROLL
      for (int j = First; j <= Last; ++j) CAMBIUM_UNROLL
      for (int b = 0; b < Wide; ++b) {
        auto const stored = lanes_at<Lanes>(w + n->weight[j] + b / Packs * next).v;
        pack<T, Lanes> weight = stored;
        if constexpr (Packs == 2)  // the upper 16 bits of a float are its bfloat16
          weight = (pack<T, Lanes>)(b % 2 == 0 ? (bits<T, Lanes>)stored << 16 : (bits<T, Lanes>)stored & -65536);
        CAMBIUM_UNROLL
        for (int c = 0; c < Channels; ++c) sum[j][c][b] += weight * here[c][b];
      }
    }
  }

  template <int Lanes, int Rows, int Packs>
  [[gnu::always_inline]] void refresh() const
  {
    for (int c = 0; c < channels; ++c)
      for (int j = 0; j < Rows; ++j) refresh_row<Lanes, Packs>(out + c * map->score_plane + j * map->score_row);
  }

  /// Copy the ends of the segments of one row into the positions beside them.
  template <int Lanes, int Packs>
  [[gnu::always_inline]] void refresh_row(T* row) const
  {
    index_t const S = map->segment;
    for (index_t t = 1; t <= map->reach_x; ++t) {
      // position -t, lane l is column l*S - t: lane l - hop of position hop*S - t, and the mirror image of that
      index_t const hop = (t + S - 1) / S;
      constexpr index_t lanes = Packs * Lanes;
      T const* const left = row + (hop * S - t) * lanes;
      T const* const right = row + (t - 1 - (hop - 1) * S) * lanes;
      T* const before = row - t * lanes;
      T* const after = row + (S + t - 1) * lanes;
      if (hop == 1) {
        CAMBIUM_UNROLL
        for (index_t l = 0; l < lanes; l += Lanes) {
          lanes_at<Lanes>(before + l).v = lanes_at<Lanes>(left + l).v;
          shift_lanes_up<T, Lanes>(before + l);
          lanes_at<Lanes>(after + l).v = lanes_at<Lanes>(right + l).v;
          shift_lanes_down<T, Lanes>(after + l);
        }
        if constexpr (Packs == 2) before[Lanes] = left[Lanes - 1], after[Lanes - 1] = right[Lanes];
        continue;
      }
      for (index_t l = 0; l < lanes; ++l) {
        before[l] = l >= hop ? left[l - hop] : T(0);
        after[l] = l + hop < lanes ? right[l + hop] : T(0);
      }
    }
  }
};

/// The shift and range of one channel. The walk subtracts the shift, and at the end adds it back and clamps to [low,
/// high].
template <class T>
struct channel_frame {
  T shift = 0;
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
};

/// Buffers for walks on maps of one shape under one policy. A walk with them allocates nothing.
template <class T, class P = cpu>
class walk_scratch;

template <class T>
class walk_scratch<T, cpu> {
 public:
  /// Buffers for [C,H,W] seeds on a grid with these edges, under this policy, with this tolerance of walk_options or
  /// without one. With weight_format::bfloat16 only transitions of that format can walk.
  walk_scratch(cpu const& where, index_t C, index_t H, index_t W, stencil const& graph, double tolerance = 0,
               weight_format weights_format = weight_format::full)
      : set(vectors_of(where)),
        edges(graph),
        format(weights_format),
        channels(C),
        map(set, sizeof(T), H, W, graph, format),
        program(map, graph),
        weights(static_cast<std::size_t>(map.weight_size())),
        inverse_degree(static_cast<std::size_t>(map.degree_size())),
        a(static_cast<std::size_t>(C * map.score_plane)),
        b(a.size()),
        seeds(tolerance > 0 ? a.size() : 0),
        channel(static_cast<std::size_t>(C)),
        members(static_cast<std::size_t>(std::max(1, thread_count(where))))
  {
  }

  isa set;
  stencil edges;
  weight_format format;
  index_t channels;
  lane_map map;
  block_program program;
  cells_t<T> weights, inverse_degree;
  cells_t<T> a, b;   ///< scores of the last two steps
  cells_t<T> seeds;  ///< used by the accelerated form only
  std::vector<channel_frame<T>> channel;
  std::vector<progress> members;
};

/// Copy row + by into lanes, positions first..last-1, `apart` elements from each other. Lanes beyond the row's ends are
/// 0.
template <class T>
void spread_row(T const* row, T by, lane_map const& map, index_t first, index_t last, index_t apart, T* position0)
{
  index_t const S = map.segment, W = map.width, lanes = map.lanes;
  for (index_t p = first; p < last; ++p) {
    T* const to = position0 + p * apart;
    index_t const begin = p < 0 ? std::min(lanes, (-p + S - 1) / S) : 0;
    index_t const end = p < W ? std::max(begin, std::min(lanes, (W - p + S - 1) / S)) : begin;
    for (index_t l = 0; l < begin; ++l) to[l] = T(0);
    for (index_t l = begin; l < end; ++l) to[l] = row[l * S + p] + by;
    for (index_t l = end; l < lanes; ++l) to[l] = T(0);
  }
}

/// As spread_row for weights of 16 bits, two in each element.
/// @return whether the row's weights are bfloat16 numbers
template <class T>
bool spread_half(T const* row, lane_map const& map, index_t first, index_t last, T* position0)
{
  T lane[32];
  std::uint32_t bits[32]{}, dropped = 0;
  for (index_t p = first; p < last; ++p) {
    spread_row(row, T(0), map, p, p + 1, 0, lane);
    std::memcpy(bits, lane, static_cast<std::size_t>(map.lanes) * sizeof(T));
    for (index_t l = 0; l < map.weight_lanes; ++l) {
      dropped |= bits[l] | bits[l + map.weight_lanes];
      bits[l] = bits[l] >> 16 | (bits[l + map.weight_lanes] & 0xFFFF0000u);
    }
    std::memcpy(position0 + p * map.weight_position, bits, static_cast<std::size_t>(map.weight_lanes) * sizeof(T));
  }
  return (dropped & 0xFFFFu) == 0;
}

/// Convert a transition to the lane layout. Its weights are finite.
/// @throws precondition_error if weights of 16 bits are not bfloat16 numbers
template <class T>
void spread_transition(cpu const& where, transition_view<T> const& t, walk_scratch<T>& s)
{
  lane_map const& map = s.map;
  std::fill_n(s.weights.begin(), map.bands_above() * map.weight_band, T(0));
  std::atomic<bool> rounded{true};
  for_each_share(where, map.bands, 1, [&](index_t begin, index_t end) {
    for (index_t band = begin; band < end; ++band)
      for (int j = 0; j < map.rows; ++j) {
        index_t const y = band * map.rows + j;
        T* const to = s.weights.data() + map.weight(band) + j * map.weight_row;
        T* const degrees = s.inverse_degree.data() + map.degree(y);
        for (int k = 0; k < t.edges.size; ++k) {  // its far end is dx positions further right
          index_t const dx = t.edges.at[k].dx, left = -std::max<index_t>(0, dx);
          index_t const right = map.segment + std::max<index_t>(0, -dx);
          T* const edge = to + map.weight_at[k];
          if (y >= map.height)
            for (index_t p = left; p < right; ++p) std::fill_n(edge + p * map.weight_position, map.weight_lanes, T(0));
          else if (map.packs == 1)
            spread_row(&t.weight(k, y, 0), T(0), map, left, right, map.weight_position, edge);
          else if constexpr (sizeof(T) == 4)
            if (!spread_half(&t.weight(k, y, 0), map, left, right, edge)) rounded = false;
        }
        if (y < map.height)
          spread_row(&t.inverse_degree(y, 0), T(0), map, 0, map.segment, map.lanes, degrees);
        else
          std::fill_n(degrees, map.segment * map.lanes, T(0));
      }
  });
  expects(rounded,
          "random_walk: the transition's format is bfloat16, but its weights have more than 8 significant bits");
}

/// Convert scores to the lane layout, minus their channel's shift. Cells around the map are 0.
template <class T>
void spread_scores(cpu const& where, stack_view<T const> scores, std::vector<channel_frame<T>> const& channel,
                   lane_map const& map, T* out)
{
  index_t const padded = map.bands * map.rows + 2 * map.reach_y;
  index_t const grain = std::max<index_t>(8, 4096 / map.score_row);  // rows that pay for a thread
  for_each_share(where, scores.extent[0] * padded, grain, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / padded, y = at % padded - map.reach_y;
      T* const row = out + c * map.score_plane + map.score(y, 0);
      if (y < 0 || y >= map.height)
        std::fill_n(row - map.reach_x * map.lanes, map.score_row, T(0));
      else
        spread_row(&scores(c, y, 0), -channel[static_cast<std::size_t>(c)].shift, map, -map.reach_x,
                   map.segment + map.reach_x, map.lanes, row);
    }
  });
}

/// Convert scores back. Each channel's shift is added, and scores are clamped to its range.
template <class T>
void collect_scores(cpu const& where, T const* lanes, lane_map const& map, std::vector<channel_frame<T>> const& channel,
                    stack_view<T> out)
{
  index_t const grain = std::max<index_t>(8, 4096 / map.width);  // rows that pay for a thread
  for_each_share(where, out.extent[0] * map.height, grain, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const c = at / map.height, y = at % map.height;
      channel_frame<T> const frame = channel[static_cast<std::size_t>(c)];
      T const* const row = lanes + c * map.score_plane + map.score(y, 0);
      T* const to = &out(c, y, 0);
      for (index_t l = 0, x = 0; x < map.width; ++l)
        for (index_t p = 0; p < map.segment && x < map.width; ++p, ++x)
          to[x] = std::min(frame.high, std::max(frame.low, row[p * map.lanes + l] + frame.shift));
    }
  });
}

}  // namespace cambium
