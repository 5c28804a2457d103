#pragma once
// The cpu's schedule of connected: runs of equal cells instead of cells.

#include <cambium/component/connected_relation.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/link_runs.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
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

/// Write the labels of linked runs on a map: `offset` + 1, + 2, ... on the runs, and 0 beside them unless those cells
/// are kept.
/// @pre the labels fit
template <class Label, class Index>
void write_runs(cpu const& where, linked_runs const& linked, std::vector<run_band<Index>> const& bands,
                image_view<Label> out, Label offset = 0, bool keep = false)
{
  index_t const H = out.extent[0], W = out.extent[1];
  if (H == 0 || W == 0) return;
  disjoint_sets<Index> const& all = bands[0].sets;
  for_each_share(where, H, std::max<index_t>(1, 65536 / W), [&](index_t first, index_t last) {
    std::size_t b = 0;
    for (index_t y = first; y < last; ++y) {
      while (b + 1 < linked.bands && bands[b + 1].first_row <= y) ++b;
      auto const& band = bands[b];
      auto const row = static_cast<std::size_t>(y - band.first_row);
      Label* const to = &out(y, 0);
      index_t x = 0;
      for (Index i = band.row_begin[row]; i < band.row_begin[row + 1]; ++i) {
        Label const label = static_cast<Label>(offset + static_cast<Label>(all[band.offset + i]));
        if (keep) {
          std::fill(to + band.begin(i), to + band.end(i), label);
          continue;
        }
        fill_ahead(to, x, band.begin(i), W, Label(0));
        fill_ahead(to, band.begin(i), band.end(i), W, label);
        x = band.end(i);
      }
      if (!keep) fill_ahead(to, x, W, W, Label(0));
    }
  });
}

/// Label runs in raster order.
///
/// @return the number of components
/// @throws precondition_error when they do not fit Label, before anything is written
///
/// Everything else as link_runs.
template <class Label, class Index, class Find>
index_t connect_runs(cpu const& where, neighbourhood const& near, Find const& find, image_view<Label> out,
                     std::vector<run_band<Index>>& bands)
{
  auto const linked = link_runs(where, near, find, {out.extent[0], out.extent[1]}, bands);
  expects_labels_fit<Label>(linked.count, "connected");
  write_runs(where, linked, bands, out);
  return linked.count;
}

/// Appends the runs of a mask's row to a band.
template <class T>
struct mask_runs {
  image_view<T> mask;

  bool joins(index_t, index_t, index_t) const { return true; }
  auto words() const
    requires std::is_integral_v<T>
  {
    return mask_words<std::remove_const_t<T>>{mask};
  }

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

  bool joins(index_t y, index_t above, index_t here) const { return labels(y - 1, above) == labels(y, here); }
  auto words() const { return label_words<std::remove_const_t<T>>{labels, background}; }

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
      }
      x = end;
    }
  }
};

/// What the cpu labels in. It grows to the largest number of runs, or of cells.
template <std::signed_integral Index>
struct connected_runs_scratch {
  std::vector<run_band<Index>> bands;
  grid<Index, 1> number;  ///< of connected_if: the set of each cell
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
