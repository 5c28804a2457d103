#pragma once
// The cpu's schedule of connected: runs of equal cells instead of cells.

#include <cambium/component/connected_relation.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

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
template <class Index>
struct run_band {
  index_t first_row = 0;
  Index offset = 0;              ///< number of runs in the bands above
  cells_t<std::int32_t> ends;    ///< of run i: [ends[2i], ends[2i+1])
  cells_t<std::int64_t> value;   ///< of run i; empty when all runs are equal
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

/// Label runs: bands of rows in parallel, joined at their borders, numbered in raster order.
///
/// @param find   find(y, band) appends the runs of row y
/// @param bands  of any earlier call: they grow to the largest number of runs
/// @return the number of components
/// @throws precondition_error when they do not fit Label, before anything is written
/// @source runs and union-find by smallest member (Rosenfeld & Pfaltz 1966; Rem in Dijkstra 1976)
template <class Label, class Index, class Find>
index_t connect_runs(cpu const& where, neighbourhood const& near, Find const& find, image_view<Label> out,
                     std::vector<run_band<Index>>& bands)
{
  std::int32_t const corner = near == c8 ? 1 : 0;
  index_t const H = out.extent[0], W = out.extent[1];
  if (H == 0 || W == 0) return 0;
  index_t const most = std::max<index_t>(1, std::min({static_cast<index_t>(thread_count(where)), H, H * W / 65536}));
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
        band.value.push_back(static_cast<std::int64_t>(row[x]));
      }
      x = end;
    }
  }
};

/// What the cpu labels in. It grows to the largest number of runs, or of cells.
template <std::signed_integral Index>
struct connected_runs_scratch {
  std::vector<run_band<Index>> bands;
  grid<Index, 1> number;       ///< of connected_if: the set of each cell
  disjoint_sets<Index> sets;
};

template <class Label, class T, class Index>
void connected_on(cpu const& where, rule::inside_mask<T, host> const& of, neighbourhood const& near,
                  stack_view<Label> out, view<index_t, 1> count, connected_runs_scratch<Index>& scratch)
{
  for (index_t b = 0; b < out.extent[0]; ++b)
    count(b) = connect_runs(where, near, mask_runs<T const>{of.mask[b]}, out[b], scratch.bands);
}
template <class Label, class T, class Index>
void connected_on(cpu const& where, rule::equal_labels<T, host> const& of, neighbourhood const& near,
                  stack_view<Label> out, view<index_t, 1> count, connected_runs_scratch<Index>& scratch)
{
  for (index_t b = 0; b < out.extent[0]; ++b)
    count(b) = connect_runs(where, near, label_runs<T const>{of.labels[b], of.background}, out[b], scratch.bands);
}

/// Any relation, cell by cell on one thread.
/// @source Hoshen & Kopelman 1976; the predicate is VIGRA's idea of labelling
template <class Label, class Inside, class Join, class Index>
void connected_on(cpu const& where, rule::relation_of<Inside, Join> const& of, neighbourhood const& near,
                  stack_view<Label> out, view<index_t, 1> count, connected_runs_scratch<Index>& scratch)
{
  index_t const H = out.extent[1], W = out.extent[2];
  Index* const number = reserve(where, scratch.number, H * W);
  auto& sets = scratch.sets;
  sets.clear();
  sets.add();  // 0: outside
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      Index mine = 0;
      if (of.is_inside(y, x)) {
        for (int i = 0; i < near.size; ++i) {
          index_t const ny = y + near.before[i].dy, nx = x + near.before[i].dx;
          if (ny < 0 || nx < 0 || nx >= W || number[ny * W + nx] == 0 || !of.joins(y, x, ny, nx)) continue;
          mine = mine == 0 ? sets.find(number[ny * W + nx]) : sets.join(mine, number[ny * W + nx]);
        }
        if (mine == 0) {
          mine = sets.size();
          sets.add();
        }
      }
      number[y * W + x] = mine;
    }
  count(0) = 0;
  for (Index i = 1; i < sets.size(); ++i) {
    Index const parent = sets[i];
    sets[i] = parent == i ? static_cast<Index>(++count(0)) : sets[parent];
  }
  expects_labels_fit<Label>(count(0), "connected_if");
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) out(0, y, x) = static_cast<Label>(sets[number[y * W + x]]);
}

}  // namespace cambium
