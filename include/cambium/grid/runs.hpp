#pragma once

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cambium {

/// The end of the run of equal cells that starts at `begin` in a row of W.
template <class T>
index_t run_end(T const* row, index_t begin, index_t W)
{
  T const value = row[begin];
  index_t end = begin + 1;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    constexpr int lanes = 16 / static_cast<int>(sizeof(T));
    for (; end + 2 * lanes <= W; end += 2 * lanes) {
      auto const differs = (lanes_at<lanes>(row + end).v ^ value) | (lanes_at<lanes>(row + end + lanes).v ^ value);
      std::int64_t half[2];
      std::memcpy(half, &differs, 16);
      if ((half[0] | half[1]) != 0) break;
    }
  }
  while (end < W && row[end] == value) ++end;
  return end;
}

/// Call body(y, begin, end, value) for every run of equal cells of every row, in raster order. Label maps have long
/// runs, so work per run is nearly free compared with work per cell.
template <class T, class Body>
void for_each_run(image_view<T> const& map, Body const& body)
{
  index_t const W = map.extent[1];
  for (index_t y = 0; W > 0 && y < map.extent[0]; ++y) {
    T const* const row = &map(y, 0);
    for (index_t x = 0, end; x < W; x = end) {
      end = run_end(row, x, W);
      body(y, x, end, row[x]);
    }
  }
}

// A rule that sums over labels goes along a piece of a column or of a row, and takes one atomic step for a run of cells.

/// Rows of a piece of a column, columns of a piece of a row. [cells]
inline constexpr index_t column_piece = 32, row_piece = 16;

/// How many pieces columns of H cells have.
inline index_t column_pieces(index_t H) { return (H + column_piece - 1) / column_piece; }
/// How many pieces all rows of a map have.
inline index_t row_pieces(index_t H, index_t W) { return H * ((W + row_piece - 1) / row_piece); }

/// Call body(label, first row, end) for every run of equal labels in piece `band` of column x.
template <class L, class S, class Body>
CAMBIUM_HD void for_each_run_down(image_view<L, S> const& label, index_t band, index_t x, Body const& body)
{
  index_t first = band * column_piece;
  index_t const last = first + column_piece < label.extent[0] ? first + column_piece : label.extent[0];
  while (first < last) {
    auto const here = label(first, x);
    index_t end = first + 1;
    while (end < last && label(end, x) == here) ++end;
    body(static_cast<index_t>(here), first, end);
    first = end;
  }
}

/// Call body(key, y, begin, end) for every run of cells with equal key(y, x) in piece i of the rows of a map of width W.
template <class Key, class Body>
CAMBIUM_HD void for_each_run_across(index_t W, index_t i, Key const& key, Body const& body)
{
  index_t const pieces = (W + row_piece - 1) / row_piece, y = i / pieces, first = i % pieces * row_piece;
  index_t const last = first + row_piece < W ? first + row_piece : W;
  auto here = key(y, first);
  for (index_t begin = first; begin < last;) {
    index_t end = begin + 1;
    auto next = here;
    while (end < last && (next = key(y, end)) == here) ++end;
    body(here, y, begin, end);
    begin = end, here = next;
  }
}

}  // namespace cambium
