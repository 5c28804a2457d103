#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#if CAMBIUM_X86
#include <emmintrin.h>
#endif

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
    std::uint64_t set = 0;
#if CAMBIUM_X86
    if (n == 64) {
      __m128i const zero = _mm_setzero_si128();
      for (int i = 0; i < 4; ++i) {
        __m128i const cells = _mm_loadu_si128(reinterpret_cast<__m128i const*>(row + x + 16 * i));
        auto const clear = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(cells, zero)));
        set |= std::uint64_t{~clear & 0xFFFFu} << (16 * i);
      }
    } else
#endif
      for (index_t i = 0; i < n; ++i) set |= std::uint64_t{row[x + i] != 0} << i;
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

}  // namespace cambium
