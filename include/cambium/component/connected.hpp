#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/grid/union_find.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// A label for every cell: 0 outside, 1..count in raster order of each component's first cell.
template <class Label = std::int32_t, class Space = host>
struct components {
  grid<Label, 2, Space> label;
  index_t count = 0;
};

/// Throws unless a label of this type can tell so many components apart.
/// `who` begins the message.
template <class Label>
void expects_labels_fit(index_t count, char const* who)
{
  expects(std::cmp_less_equal(count, std::numeric_limits<Label>::max()), who, ": ", count,
          " components do not fit the label type, whose largest value is ", std::numeric_limits<Label>::max());
}

/// Sets of numbered items, each known by its smallest member.
template <class Index>
class disjoint_sets {
 public:
  void add() { parent_.push_back(static_cast<Index>(parent_.size())); }
  Index size() const { return static_cast<Index>(parent_.size()); }
  Index& operator[](Index i) { return parent_[static_cast<std::size_t>(i)]; }
  Index operator[](Index i) const { return parent_[static_cast<std::size_t>(i)]; }
  void clear() { parent_.clear(); }
  void resize(index_t n) { parent_.resize(static_cast<std::size_t>(n)); }

  /// The smallest member of the set of i; shortens the way there for the next caller.
  Index find(Index i)
  {
    Index* const parent = parent_.data();
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }

  /// Joins the sets of two items. Returns the smallest member of the union.
  Index join(Index a, Index b)
  {
    a = find(a);
    b = find(b);
    Index const smaller = std::min(a, b);
    parent_[static_cast<std::size_t>(std::max(a, b))] = smaller;
    return smaller;
  }

 private:
  cells_t<Index> parent_;
};

/// Positions where a row of bytes changes between zero and non-zero: first cell of each run, one past its last.
inline void find_runs(std::uint8_t const* row, index_t width, cells_t<std::int32_t>& ends)
{
  std::uint64_t carry = 0;  // was the cell before this word set?
  for (index_t x = 0; x < width; x += 64) {
    index_t const n = std::min<index_t>(64, width - x);
    std::uint64_t const set = nonzero_bits(row + x, n);
    std::uint64_t changes = set ^ (set << 1 | carry);
    if (n < 64) changes &= (std::uint64_t{1} << n) - 1;
    for (; changes != 0; changes &= changes - 1)
      ends.push_back(static_cast<std::int32_t>(x + std::countr_zero(changes)));
    carry = set >> (n - 1) & 1;
  }
  if (carry != 0) ends.push_back(static_cast<std::int32_t>(width));
}

/// The runs of some rows of a map, and which of them belong together.
template <class Value, class Index>
struct run_band {
  index_t first_row = 0;
  Index offset = 0;              ///< number of runs in the bands above
  cells_t<std::int32_t> ends;    ///< of run i: [ends[2i], ends[2i+1])
  std::vector<Value> value;      ///< of run i; empty when all runs are equal
  std::vector<Index> row_begin;  ///< the first run of each row, and one past the last run
  disjoint_sets<Index> sets;     ///< of runs of this band

  Index runs() const { return static_cast<Index>(ends.size() / 2); }
  std::int32_t begin(Index i) const { return ends[2 * static_cast<std::size_t>(i)]; }
  std::int32_t end(Index i) const { return ends[2 * static_cast<std::size_t>(i) + 1]; }
  bool same(Index i, run_band const& other, Index j) const
  {
    return value.empty() || value[static_cast<std::size_t>(i)] == other.value[static_cast<std::size_t>(j)];
  }

  /// Calls meet(upper run, lower run) for every pair of runs that touch: `above` is the row over
  /// `row` of this band, `corner` 1 when corners count.
  template <class Meet>
  void for_each_contact(run_band const& above, Index above_begin, Index above_end, index_t row, std::int32_t corner,
                        Meet const& meet) const
  {
    Index up = above_begin;
    Index const last = row_begin[static_cast<std::size_t>(row + 1)];
    for (Index low = row_begin[static_cast<std::size_t>(row)]; low < last; ++low) {
      std::int32_t const from = begin(low) - corner, to = end(low) + corner;
      if (up > above_begin && above.end(up - 1) > from) --up;  // labels: it touched the run before, and this one too
      while (up < above_end && above.end(up) <= from) ++up;
      for (; up < above_end && above.begin(up) < to; ++up) {
        if (same(low, above, up)) meet(up, low);
        if (above.end(up) >= to) break;  // may touch the next run too
      }
    }
  }
};

/// Fills row[begin..end) and is free to write on up to the row's end: the caller goes from left to right.
template <class Label>
void fill_ahead(Label* row, index_t begin, index_t end, index_t width, Label value)
{
  constexpr int lanes = 16 / static_cast<int>(sizeof(Label));
  pack<Label, lanes> const values = pack<Label, lanes>{} + value;
  index_t x = begin;
  for (; x < end && x + lanes <= width; x += lanes) lanes_at<lanes>(row + x).v = values;
  for (; x < end; ++x) row[x] = value;
}

/// Buffers for labelling, so that maps of one kind can be labelled without allocation: they grow to the
/// largest number of runs seen. Value is the type of the labels compared, char for masks.
template <class Value = char, class Index = std::int32_t>
struct component_scratch {
  std::vector<run_band<Value, Index>> bands;
};

/// Labels runs: bands of rows in parallel, joined at their borders, numbered in raster order.
/// find(y, band) appends the runs of row y. Returns the number of components.
template <class Label, class Value, class Index, class Find>
index_t connect_runs(cpu const& where, neighbourhood const& near, Find const& find, image_view<Label> out,
                     component_scratch<Value, Index>& scratch)
{
  expects(near == c4 || near == c8, "connected: the neighbourhood is neither c4 nor c8; connected_if takes any");
  std::int32_t const corner = near == c8 ? 1 : 0;
  index_t const H = out.extent[0], W = out.extent[1];
  if (H == 0 || W == 0) return 0;
  index_t const most = std::max<index_t>(1, std::min({static_cast<index_t>(thread_count(where)), H, H * W / 65536}));
  auto& bands = scratch.bands;
  if (bands.size() < static_cast<std::size_t>(most)) bands.resize(static_cast<std::size_t>(most));
  std::size_t used = 1;
  as_team(static_cast<int>(most), [&](int rank, int size) {
    if (rank == 0) used = static_cast<std::size_t>(size);
    auto& band = bands[static_cast<std::size_t>(rank)];
    index_t const first = H * rank / size, last = H * (rank + 1) / size;
    band.first_row = first;
    band.ends.clear(), band.value.clear(), band.row_begin.clear(), band.sets.clear();
    band.row_begin.push_back(0);
    for (index_t y = first; y < last; ++y) {
      find(y, band);
      Index const begin = band.row_begin.back(), end = band.runs();
      band.row_begin.push_back(end);
      Index const above = y > first ? band.row_begin[static_cast<std::size_t>(y - first - 1)] : begin;
      for (Index low = begin; low < end; ++low) band.sets.add();
      band.for_each_contact(band, above, begin, y - first, corner,
                            [&](Index up, Index low) { band.sets.join(low, up); });
    }
  });

  // One numbering for all bands, in the first one's sets.
  index_t total = 0;
  for (std::size_t b = 0; b < used; ++b) {
    bands[b].offset = static_cast<Index>(total);
    total += bands[b].runs();
  }
  disjoint_sets<Index>& all = bands[0].sets;
  all.resize(total);
  for (std::size_t b = 1; b < used; ++b)
    for (Index i = 0; i < bands[b].runs(); ++i) all[bands[b].offset + i] = bands[b].offset + bands[b].sets[i];
  for (std::size_t b = 1; b < used; ++b) {
    auto const& above = bands[b - 1];
    std::size_t const rows = above.row_begin.size();
    if (rows < 2 || bands[b].row_begin.size() < 2) continue;
    bands[b].for_each_contact(above, above.row_begin[rows - 2], above.row_begin[rows - 1], 0, corner,
                              [&](Index up, Index low) { all.join(bands[b].offset + low, above.offset + up); });
  }
  index_t count = 0;
  for (Index i = 0; i < static_cast<Index>(total); ++i) {  // parents come before children and already hold their label
    Index const parent = all[i];
    all[i] = parent == i ? static_cast<Index>(++count) : all[parent];
  }
  expects_labels_fit<Label>(count, "connected");

  for_each_share(where, H, std::max<index_t>(1, 65536 / W), [&](index_t first, index_t last) {
    std::size_t b = 0;
    for (index_t y = first; y < last; ++y) {
      while (b + 1 < used && bands[b + 1].first_row <= y) ++b;
      auto const& band = bands[b];
      auto const row = static_cast<std::size_t>(y - band.first_row);
      Label* const to = &out(y, 0);
      index_t x = 0;
      for (Index i = band.row_begin[row]; i < band.row_begin[row + 1]; ++i) {
        fill_ahead(to, x, band.begin(i), W, Label(0));
        fill_ahead(to, band.begin(i), band.end(i), W, static_cast<Label>(all[band.offset + i]));
        x = band.end(i);
      }
      fill_ahead(to, x, W, W, Label(0));
    }
  });
  return count;
}

/// Appends the runs of a mask's row to a band.
template <class T>
struct mask_runs {
  image_view<T> mask;

  template <class Band>
  void operator()(index_t y, Band& band) const
  {
    auto const* const row = &mask(y, 0);
    index_t const W = mask.extent[1];
    if constexpr (sizeof(T) == 1) {
      find_runs(reinterpret_cast<std::uint8_t const*>(row), W, band.ends);
    } else {
      bool inside = false;
      for (index_t x = 0; x < W; ++x)
        if ((row[x] != 0) != inside) {
          band.ends.push_back(static_cast<std::int32_t>(x));
          inside = !inside;
        }
      if (inside) band.ends.push_back(static_cast<std::int32_t>(W));
    }
  }
};

/// Appends the runs of equal labels of a row, but for those of the background.
template <class T>
struct label_runs {
  image_view<T> labels;
  std::remove_const_t<T> background;

  template <class Band>
  void operator()(index_t y, Band& band) const
  {
    auto const* const row = &labels(y, 0);
    index_t const W = labels.extent[1];
    for (index_t x = 0; x < W;) {
      index_t const end = run_end(row, x, W);
      if (row[x] != background) {
        band.ends.push_back(static_cast<std::int32_t>(x));
        band.ends.push_back(static_cast<std::int32_t>(end));
        band.value.push_back(row[x]);
      }
      x = end;
    }
  }
};

/// Label the connected components of a mask.
///
/// @param where    cpu
/// @param mask     [H,W] any arithmetic type or bool; a cell is inside where it is not 0
/// @param near     c4 (edge neighbours) or c8 (corners too)
/// @param out      [H,W] labels: 0 outside, 1..count in raster order of each component's first cell
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
/// @return count
///
/// @pre          W < 2^31
/// @throws       precondition_error when the components do not fit Label: counts never overflow silently
/// @complexity   O(H * W + runs * alpha(runs)) time; memory for the labels and 12 bytes a run
/// @determinism  exact, for every number of threads
/// @source       runs and union-find by smallest member (Rosenfeld & Pfaltz 1966; Rem in Dijkstra 1976);
///               numbering as skimage.measure.label, which the original of IRNet calls
template <image_like M, image_like O, class Index = std::int32_t>
index_t connected_into(cpu const& where, M const& mask, neighbourhood const& near, O&& out,
                       component_scratch<char, Index>& scratch)
{
  auto const in = as_view<2>(mask, "connected: mask");
  auto const to = as_view<2>(out, "connected: out");
  expects(same_shape(in, to), "connected: mask is ", in, " but out is ", to);
  expects(!overlap(in, to), "connected: mask and out overlap");
  expects(in.extent[1] < std::numeric_limits<std::int32_t>::max() &&
              in.size() < static_cast<index_t>(std::numeric_limits<Index>::max()),
          "connected: ", in, " is too large for this scratch; use component_scratch<char, index_t>");
  using cell = std::remove_pointer_t<decltype(in.data)>;
  return connect_runs(where, near, mask_runs<cell>{in}, to, scratch);
}

/// As connected_into, and allocates labels and scratch.
/// @return labels [H,W], and their count
template <class Label = std::int32_t, image_like M>
[[nodiscard]] components<Label> connected(cpu const& where, M const& mask, neighbourhood const& near = c4)
{
  auto const in = as_view<2>(mask, "connected: mask");
  components<Label> out{make_grid<Label>({in.extent[0], in.extent[1]}), 0};
  auto const label = [&]<class Index>(component_scratch<char, Index> scratch) {
    out.count = connected_into(where, in, near, out.label, scratch);
  };
  if (in.size() < std::numeric_limits<std::int32_t>::max())
    label(component_scratch<char, std::int32_t>{});
  else
    label(component_scratch<char, index_t>{});
  return out;
}

/// Label the connected components of a label map: neighbours belong together when their labels are equal.
///
/// @param labels      [H,W] of an integer type
/// @param background  cells that hold it belong to no component
///
/// Everything else as connected_into, without a scratch.
template <class Label = std::int32_t, image_like M>
[[nodiscard]] components<Label> connected_equal(cpu const& where, M const& labels, neighbourhood const& near = c4,
                                                value_of<M, 2> background = 0)
{
  using value = value_of<M, 2>;
  static_assert(std::is_integral_v<value>, "connected_equal: labels are integers");
  using kept = std::conditional_t<std::is_same_v<value, bool>, char, value>;
  auto const in = as_view<2>(labels, "connected_equal: labels");
  expects(in.extent[1] < std::numeric_limits<std::int32_t>::max(), "connected_equal: a row of ", in.extent[1],
          " cells is too long");
  using cell = std::remove_pointer_t<decltype(in.data)>;
  components<Label> out{make_grid<Label>({in.extent[0], in.extent[1]}), 0};
  auto const label = [&]<class Index>(component_scratch<kept, Index> scratch) {
    out.count = connect_runs(where, near, label_runs<cell>{in, background}, out.label.view(), scratch);
  };
  if (in.size() < std::numeric_limits<std::int32_t>::max())
    label(component_scratch<kept, std::int32_t>{});
  else
    label(component_scratch<kept, index_t>{});
  return out;
}

/// Label the components of any relation between neighbours.
///
/// @param size    [cells] height and width
/// @param inside  inside(y, x): does the cell belong to a component at all?
/// @param near    c4, c8, or any offsets before (0,0) in raster order
/// @param join    join(y, x, ny, nx): do these two neighbours, both inside, belong together? Symmetric
/// @return labels [H,W], and their count
///
/// @throws       precondition_error: a neighbour that does not come before its cell; components that do not fit Label
/// @complexity   O(H * W) calls of the predicates, on one thread; 8 bytes a cell
/// @determinism  exact
/// @source       Hoshen & Kopelman 1976; the predicate is VIGRA's idea of labelling
template <class Label = std::int32_t, class Inside, class Join>
[[nodiscard]] components<Label> connected_if(cpu const&, extent2 size, neighbourhood const& near, Inside const& inside,
                                             Join const& join)
{
  expects(size.height >= 0 && size.width >= 0, "connected_if: size is ", size.height, " x ", size.width);
  expects_before(near, "connected_if");
  components<Label> out{make_grid<Label>({size.height, size.width}), 0};
  auto number = make_grid<index_t>({size.height, size.width});
  disjoint_sets<index_t> sets;
  sets.add();  // 0: outside
  for (index_t y = 0; y < size.height; ++y)
    for (index_t x = 0; x < size.width; ++x) {
      index_t mine = 0;
      if (inside(y, x)) {
        for (int i = 0; i < near.size; ++i) {
          index_t const ny = y + near.before[i].dy, nx = x + near.before[i].dx;
          if (ny < 0 || nx < 0 || nx >= size.width || number(ny, nx) == 0 || !join(y, x, ny, nx)) continue;
          mine = mine == 0 ? sets.find(number(ny, nx)) : sets.join(mine, number(ny, nx));
        }
        if (mine == 0) {
          mine = sets.size();
          sets.add();
        }
      }
      number(y, x) = mine;
    }
  for (index_t i = 1; i < sets.size(); ++i) {
    index_t const parent = sets[i];
    sets[i] = parent == i ? ++out.count : sets[parent];
  }
  expects_labels_fit<Label>(out.count, "connected_if");
  for (index_t y = 0; y < size.height; ++y)
    for (index_t x = 0; x < size.width; ++x) out.label(y, x) = static_cast<Label>(sets[number(y, x)]);
  return out;
}

/// A join predicate: two cells belong together while neither lies on a boundary.
template <class T, class Space = host>
struct below_boundary {
  image_view<T const, Space> boundary;  ///< [H,W]
  T threshold;

  CAMBIUM_HD bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    return boundary(y, x) < threshold && boundary(ny, nx) < threshold;
  }
};

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Memory for labelling under a policy P. It grows to the largest map and is one call's at a time.
/// Index numbers the cells of a batch: std::int64_t for 2^31 - 1 or more.
template <class P, std::signed_integral Index = std::int32_t>
struct connected_scratch {
  using S = typename P::memory;
  grid<Index, 1, S> parent;          ///< the first cell, or block, of each one's component; -1 outside
  grid<Index, 1, S> order;           ///< how many components begin before a place; and of all
  grid<Index, 1, S> first;           ///< of blocks: the place where the component of a first block begins
  grid<std::uint8_t, 1, S> pattern;  ///< of blocks: which cells are set
  workspace<P> running;
};

/// A mask as a relation: neighbours inside belong together.
template <class T, class S>
struct inside_mask {
  stack_view<T const, S> mask;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return mask(b, y, x) != T(0); }
  CAMBIUM_HD bool join(index_t, index_t, index_t, index_t, index_t) const { return true; }
};

/// A label map as a relation: neighbours with equal labels belong together.
template <class T, class S>
struct equal_labels {
  stack_view<T const, S> labels;
  T background;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return labels(b, y, x) != background; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return labels(b, y, x) == labels(b, ny, nx);
  }
};

/// Two predicates of one map as a relation.
template <class Inside, class Join>
struct relation_of {
  Inside is_inside;
  Join joins;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return is_inside(y, x); }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const { return joins(y, x, ny, nx); }
};

/// Rule: does a component begin here? One entry more stands behind the last.
template <class Index>
struct mark_first_cell {
  Index const* parent;
  index_t cells;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const { order[i] = i < cells && parent[i] == i ? Index(1) : Index(0); }
};

/// Rule: how many components map b has.
template <class Index, class S>
struct count_components {
  Index const* order;
  index_t places;  ///< of a map
  view<index_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t b) const
  {
    count(b) = static_cast<index_t>(order[(b + 1) * places] - order[b * places]);
  }
};

/// A label, or the largest one where it does not fit.
template <class Label>
CAMBIUM_HD Label fitting_label(index_t number, Label most)
{
  return static_cast<std::uint64_t>(number) > static_cast<std::uint64_t>(most) ? most : static_cast<Label>(number);
}

/// Rule: the number of the component a cell belongs to, counted within its map.
template <class Label, class Index, class S>
struct number_cell {
  Index const* parent;
  Index const* order;
  Label most;
  stack_view<Label, S> out;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const begin = b * out.extent[1] * out.extent[2], here = begin + y * out.extent[2] + x;
    Index const first = parent[here];
    index_t const number = first < 0 ? 0 : static_cast<index_t>(order[first] - order[begin]) + 1;
    out(b, y, x) = fitting_label(number, most);
  }
};

// --- masks whose corners connect: blocks of 2 x 2 cells, whose set cells always belong together -----------------------

/// How many blocks a map has.
struct block_extent {
  index_t height;
  index_t width;

  explicit block_extent(index_t const (&extent)[3]) : height((extent[1] + 1) / 2), width((extent[2] + 1) / 2) {}
};

/// Rule: which cells of a block are set: 1 2 in its upper row, 4 8 in its lower one.
template <class T, class S>
struct read_block {
  stack_view<T const, S> mask;
  block_extent blocks;
  std::uint8_t* pattern;

  CAMBIUM_HD void operator()(index_t b, index_t by, index_t bx) const
  {
    unsigned set = 0;
    for (int i = 0; i < 4; ++i) {
      index_t const y = 2 * by + i / 2, x = 2 * bx + i % 2;
      if (y < mask.extent[1] && x < mask.extent[2] && mask(b, y, x) != T(0)) set |= 1u << i;
    }
    pattern[(b * blocks.height + by) * blocks.width + bx] = static_cast<std::uint8_t>(set);
  }
};

/// Blocks as a relation: they belong together where set cells touch.
struct touching_blocks {
  std::uint8_t const* pattern;
  block_extent blocks;

  CAMBIUM_HD unsigned at(index_t b, index_t y, index_t x) const
  {
    return pattern[(b * blocks.height + y) * blocks.width + x];
  }
  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return at(b, y, x) != 0; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    bool const before = ny < y || (ny == y && nx < x);
    unsigned const early = before ? at(b, ny, nx) : at(b, y, x), late = before ? at(b, y, x) : at(b, ny, nx);
    if (ny == y) return (early & 10u) != 0 && (late & 5u) != 0;
    index_t const across = before ? nx - x : x - nx;  // from the late block to the early one, which is above
    if (across == 0) return (early & 12u) != 0 && (late & 3u) != 0;
    return across < 0 ? (early & 8u) != 0 && (late & 1u) != 0 : (early & 4u) != 0 && (late & 2u) != 0;
  }
};

/// Rule: where the component of a block begins. Places are (row of cells, column of blocks): two components never begin at
/// one, and places follow each other as first cells do.
template <class Index>
struct find_begin {
  std::uint8_t const* pattern;
  block_extent blocks;
  Index const* parent;
  Index* first;

  CAMBIUM_HD void operator()(index_t b, index_t by, index_t bx) const
  {
    index_t const row = b * blocks.height + by, here = row * blocks.width + bx;
    Index const of = parent[here];
    if (of < 0 || of / blocks.width != row) return;  // a component begins in the row of its first block
    index_t const lower = (pattern[here] & 3u) != 0 ? 0 : 1;
    auto const place = static_cast<Index>((2 * row + lower) * blocks.width + bx);
    if (place < atomic_read(first + of)) atomic_min(first + of, place);
  }
};

/// Rule: mark where a component begins.
template <class Index>
struct mark_begin {
  Index const* parent;
  Index const* first;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (parent[i] == i) order[first[i]] = 1;
  }
};

/// Rule: the number of the component of a cell's block, if the cell is set.
template <class Label, class Index, class S>
struct number_cell_of_block {
  std::uint8_t const* pattern;
  block_extent blocks;
  Index const* parent;
  Index const* first;
  Index const* order;
  Label most;
  stack_view<Label, S> out;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const block = (b * blocks.height + y / 2) * blocks.width + x / 2;
    index_t number = 0;
    if ((pattern[block] >> (y % 2 * 2 + x % 2) & 1u) != 0)
      number = static_cast<index_t>(order[first[parent[block]]] - order[b * 2 * blocks.height * blocks.width]) + 1;
    out(b, y, x) = fitting_label(number, most);
  }
};

// --- doors -----------------------------------------------------------------------------------------------------------

/// A map [H,W] as a stack [1,H,W]; a stack is one already.
template <class T, class S>
stack_view<T, S> maps_of(image_view<T, S> const& map)
{
  stack_view<T, S> out(map.data, {1, map.extent[0], map.extent[1]});
  out.stride[1] = map.stride[0], out.stride[2] = map.stride[1];
  return out;
}
template <class T, class S>
stack_view<T, S> maps_of(stack_view<T, S> const& maps)
{
  return maps;
}

template <class A>
inline constexpr bool is_batch = false;
template <class T, class S>
inline constexpr bool is_batch<view<T, 3, S>> = true;
template <class T, class S>
inline constexpr bool is_batch<grid<T, 3, S>> = true;

/// A map [H,W], or a batch of maps [B,H,W] as a view or grid.
template <class A>
concept maps_like = is_batch<std::remove_cvref_t<A>> || image_like<A>;

template <class A>
  requires maps_like<A>
auto as_maps(A& a, char const* what)
{
  if constexpr (is_batch<std::remove_cvref_t<A>>)
    return maps_of(as_view<3>(a, what));
  else
    return maps_of(as_view<2>(a, what));
}

/// The cell type and the memory of maps.
template <class A>
using value_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::value_type;
template <class A>
using space_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::memory;

/// Finds components of a relation and in which order they begin.
template <class P, class Relation, class Index>
void find_components(P const& where, index_t const (&extent)[3], neighbourhood const& near, Relation const& relation,
                     view<index_t, 1, typename P::memory> count, connected_scratch<P, Index>& scratch)
{
  index_t const cells = extent[0] * extent[1] * extent[2];
  Index* const parent = reserve(where, scratch.parent, cells);
  Index* const order = reserve(where, scratch.order, cells + 1);
  if (cells > 0) find_sets(where, extent, near, relation, parent);
  for_each_index(where, cells + 1, mark_first_cell<Index>{parent, cells, order});
  exclusive_scan(where, cells + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, extent[0], count_components<Index, typename P::memory>{order, extent[1] * extent[2], count});
}

/// Numbers what find_components found.
template <class P, class Label, class Index>
void number_components(P const& where, stack_view<Label, typename P::memory> out, connected_scratch<P, Index>& scratch)
{
  for_each_cell(where, out.extent,
                number_cell<Label, Index, typename P::memory>{scratch.parent.view().data, scratch.order.view().data,
                                                              std::numeric_limits<Label>::max(), out});
}

/// As find_components, of a mask whose corners connect, by blocks.
template <class P, class T, class Index>
void find_block_components(P const& where, stack_view<T const, typename P::memory> mask,
                           view<index_t, 1, typename P::memory> count, connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  block_extent const size(mask.extent);
  index_t const extent[3] = {mask.extent[0], size.height, size.width};
  index_t const blocks = extent[0] * size.height * size.width, places = 2 * blocks;
  std::uint8_t* const pattern = reserve(where, scratch.pattern, blocks);
  Index* const parent = reserve(where, scratch.parent, blocks);
  Index* const first = reserve(where, scratch.first, blocks);
  Index* const order = reserve(where, scratch.order, places + 1);
  for_each_cell(where, extent, read_block<T, S>{mask, size, pattern});
  if (blocks > 0) find_sets(where, extent, c8, touching_blocks{pattern, size}, parent);
  fill(where, blocks, first, std::numeric_limits<Index>::max());
  fill(where, places + 1, order, Index(0));
  for_each_cell(where, extent, find_begin<Index>{pattern, size, parent, first});
  for_each_index(where, blocks, mark_begin<Index>{parent, first, order});
  exclusive_scan(where, places + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, extent[0], count_components<Index, S>{order, 2 * size.height * size.width, count});
}

/// Numbers what find_block_components found.
template <class P, class Label, class Index>
void number_block_components(P const& where, stack_view<Label, typename P::memory> out,
                             connected_scratch<P, Index>& scratch)
{
  for_each_cell(where, out.extent,
                number_cell_of_block<Label, Index, typename P::memory>{
                    scratch.pattern.view().data, block_extent(out.extent), scratch.parent.view().data,
                    scratch.first.view().data, scratch.order.view().data, std::numeric_limits<Label>::max(), out});
}

/// Do cells, and places of blocks, half empty at odd borders, have numbers of this type?
template <class Index>
bool numbers_cells(index_t maps, index_t height, index_t width)
{
  return static_cast<double>(maps) * static_cast<double>(height + 1) * static_cast<double>(width + 1) <
         static_cast<double>(std::numeric_limits<Index>::max());
}

/// The checks of all doors that write on memory given.
template <class Index, class A, class O, class S>
void expects_room(stack_view<A, S> const& in, stack_view<O, S> const& out, view<index_t, 1, S> const& count,
                  char const* name)
{
  expects(same_shape(in, out), "connected: ", name, " is ", in, " but out is ", out);
  expects(!overlap(in, out), "connected: ", name, " and out overlap");
  expects(count.extent[0] == in.extent[0], "connected: ", in.extent[0], " maps but count is ", count);
  expects(!overlap(in, count) && !overlap(out, count), "connected: count overlaps ", name, " or out");
  expects(numbers_cells<Index>(in.extent[0], in.extent[1], in.extent[2]), "connected: ", in,
          " is too large for this scratch; use connected_scratch<P, index_t>");
}

/// Throws unless the neighbourhood is c4 or c8.
inline void expects_usual(neighbourhood const& near)
{
  expects(near == c4 || near == c8, "connected: the neighbourhood is neither c4 nor c8; connected_if takes any");
}

/// Label the connected components of masks on a device.
///
/// @param where    gpu
/// @param mask     [H,W], or [B,H,W]: maps of a batch, labelled each for itself
/// @param near     c4 or c8
/// @param out      [H,W] or [B,H,W]; 0 outside, 1..count in raster order of each component's first cell. Where there are
///                 more components than Label can tell apart, the others get its largest value: look at count
/// @param count    [1] or [B] of index_t, in the policy's memory
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
///
/// @throws       precondition_error before anything is written, gpu_error
/// @complexity   O(H * W * alpha(H * W)) on average; 8 bytes a cell, with c8 4.3
/// @determinism  exact: what the cpu says
/// @asynchrony   enqueues and returns
/// @source       as find_sets; with c8 over blocks of 2 x 2 cells (Allegretti, Bolelli, Grana 2019)
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_into(P const& where, M const& mask, neighbourhood const& near, O&& out, N&& count,
                    connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  auto const in = as_maps(mask, "connected: mask");
  auto const to = as_maps(out, "connected: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "mask");
  if (near == c8) {
    find_block_components<P, value_of_maps<M>>(where, in, number, scratch);
    number_block_components(where, to, scratch);
  } else {
    find_components(where, in.extent, near, inside_mask<value_of_maps<M>, S>{in}, number, scratch);
    number_components(where, to, scratch);
  }
}

/// Label the components of label maps on a device: neighbours belong together when their labels are equal.
///
/// @param background  cells that hold it belong to no component
///
/// Everything else as connected_into.
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_equal_into(P const& where, M const& labels, neighbourhood const& near,
                          std::type_identity_t<value_of_maps<M>> background, O&& out, N&& count,
                          connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of_maps<M>>, "connected_equal: labels are integers");
  auto const in = as_maps(labels, "connected_equal: labels");
  auto const to = as_maps(out, "connected_equal: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected_equal: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "labels");
  find_components(where, in.extent, near, equal_labels<value_of_maps<M>, S>{in, background}, number, scratch);
  number_components(where, to, scratch);
}

/// Labels one map, and waits for the count before the labels are written: find(count, scratch), number(labels, scratch).
template <class Label, class P, class Find, class Number>
components<Label, typename P::memory> components_of(P const& where, extent2 size, char const* who, Find const& find,
                                                    Number const& number)
{
  expects(numbers_cells<std::int32_t>(1, size.height, size.width), who, ": a map of ", size.height, " x ", size.width,
          " cells is too large; connected_into takes a connected_scratch<P, index_t>");
  components<Label, typename P::memory> out{make_grid<Label>(where, {size.height, size.width}), 0};
  connected_scratch<P> scratch;
  auto count = make_grid<index_t>(where, {1});
  find(count.view(), scratch);
  out.count = read_cell(where, count.view().data);
  expects_labels_fit<Label>(out.count, who);
  number(maps_of(out.label.view()), scratch);
  return out;
}

/// As components_of, of a relation.
template <class Label, class P, class Relation>
components<Label, typename P::memory> components_of_relation(P const& where, extent2 size, neighbourhood const& near,
                                                             Relation const& relation, char const* who)
{
  return components_of<Label>(
      where, size, who,
      [&](auto count, auto& scratch) {
        find_components(where, {1, size.height, size.width}, near, relation, count, scratch);
      },
      [&](auto labels, auto& scratch) { number_components(where, labels, scratch); });
}

/// As connected_into, for one map, and allocates.
/// @return labels [H,W], and their count
/// @throws     precondition_error also when the components do not fit Label
/// @asynchrony gpu: waits for where.stream, for the count; then enqueues the labels
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected(P const& where, M const& mask,
                                                              neighbourhood const& near = c4)
{
  auto const in = as_view<2>(mask, "connected: mask");
  expects_usual(near);
  using S = typename P::memory;
  using T = value_of<M, 2>;
  extent2 const size{in.extent[0], in.extent[1]};
  stack_view<T const, S> const maps = maps_of(in);
  if (!(near == c8)) return components_of_relation<Label>(where, size, near, inside_mask<T, S>{maps}, "connected");
  return components_of<Label>(
      where, size, "connected",
      [&](auto count, auto& scratch) { find_block_components<P, T>(where, maps, count, scratch); },
      [&](auto labels, auto& scratch) { number_block_components(where, labels, scratch); });
}

/// As connected_equal_into, for one map, and allocates. Otherwise as connected.
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected_equal(P const& where, M const& labels,
                                                                    neighbourhood const& near = c4,
                                                                    value_of<M, 2> background = 0)
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "connected_equal: labels are integers");
  auto const in = as_view<2>(labels, "connected_equal: labels");
  expects_usual(near);
  return components_of_relation<Label>(where, {in.extent[0], in.extent[1]}, near,
                                       equal_labels<value_of<M, 2>, typename P::memory>{maps_of(in), background},
                                       "connected_equal");
}

/// Label the components of any relation between neighbours on a device, on memory given: the map is as large as `out`.
///
/// @param inside  inside(y, x): callable where P runs, for a gpu a struct with a CAMBIUM_HD operator()
/// @param join    join(y, x, ny, nx): symmetric; callable as inside. It is asked from either end and more than once
/// @param out     [H,W], not what the predicates read
/// @throws     precondition_error when a neighbour does not come before its cell, and as connected_into
///
/// Everything else as connected_into, and as connected_if in connected.hpp.
template <execution_policy P, class Inside, class Join, image_like O, class N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 2>> && gridded<N, 1>
void connected_if_into(P const& where, neighbourhood const& near, Inside const& inside, Join const& join, O&& out,
                       N&& count, connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  auto const to = maps_of(as_view<2>(out, "connected_if: out"));
  view<index_t, 1, S> const number = as_view<1>(count, "connected_if: count");
  expects_before(near, "connected_if");
  expects(number.extent[0] == 1, "connected_if: count is ", number, " instead of one cell");
  expects(!overlap(to, number), "connected_if: count overlaps out");
  expects(numbers_cells<Index>(1, to.extent[1], to.extent[2]), "connected_if: out is ", to,
          ", too large for this scratch; use connected_scratch<P, index_t>");
  find_components(where, to.extent, near, relation_of<Inside, Join>{inside, join}, number, scratch);
  number_components(where, to, scratch);
}

/// As connected_if_into, and allocates. Otherwise as connected.
/// @param size  [cells] height and width
template <class Label = std::int32_t, execution_policy P, class Inside, class Join>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] components<Label, typename P::memory> connected_if(P const& where, extent2 size,
                                                                 neighbourhood const& near, Inside const& inside,
                                                                 Join const& join)
{
  expects(size.height >= 0 && size.width >= 0, "connected_if: size is ", size.height, " x ", size.width);
  expects_before(near, "connected_if");
  return components_of_relation<Label>(where, size, near, relation_of<Inside, Join>{inside, join}, "connected_if");
}

}  // namespace cambium
