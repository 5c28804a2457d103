#pragma once

#include <cambium/core/config.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/view.hpp>

#include <concepts>
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

/// Rows of the pieces that for_each_strip cuts columns into. [cells]
inline constexpr index_t strip_rows = 32;

namespace rule {

/// The strips in piece `band` of column x.
template <class Key, class Body>
struct strips_down {
  Key key;
  index_t height;
  Body body;

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t first = band * strip_rows;
    index_t const last = first + strip_rows < height ? first + strip_rows : height;
    auto here = key(first, x);
    while (first < last) {
      index_t end = first + 1;
      auto next = here;
      while (end < last && (next = key(end, x)) == here) ++end;
      body(static_cast<index_t>(here), box{first, x, end, x + 1});
      first = end, here = next;
    }
  }
};

}  // namespace rule

/// Call body(label, cells) for every strip of cells of one label; each cell is in one strip. On the cpu strips are the
/// runs of rows, in raster order on one thread. Elsewhere they are pieces of columns, in no promised order. So a body
/// that sums over labels takes one step for each strip: see add_into and writers_of.
template <class L, class Body>
void for_each_strip(cpu const&, image_view<L> const& label, Body const& body)
{
  for_each_run(label, [&](index_t y, index_t begin, index_t end, auto at) {
    body(static_cast<index_t>(at), box{y, begin, y + 1, end});
  });
}
template <class P, class L, class S, class Body>
  requires(!std::same_as<P, cpu>)
void for_each_strip(P const& where, image_view<L, S> const& label, Body const& body)
{
  index_t const H = label.extent[0], W = label.extent[1];
  using strips_down = rule::strips_down<image_view<L, S>, Body>;
  for_each_cell(where, {1, (H + strip_rows - 1) / strip_rows, W}, strips_down{label, H, body});
}

namespace rule {

/// A rule of runs of equal cells as a rule of cells: run(y, begin, end, value). A device has runs of one cell, cores
/// those of a row.
template <class T, class S, class Run>
struct by_runs {
  image_view<T const, S> map;
  Run run;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { run(y, x, x + 1, map(y, x)); }

  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const
  {
    index_t const W = map.extent[1];
    for (index_t x = 0, end; x < W; x = end) {
      end = run_end(&map(y, 0), x, W);
      run(y, x, end, map(y, x));
    }
  }
};
template <class T, class S, class Run>
by_runs(image_view<T const, S>, Run) -> by_runs<T, S, Run>;

}  // namespace rule

/// A box grows to hold another one.
template <writers Of>
CAMBIUM_HD void widen(box& bounds, box const& by)
{
  min_into<Of>(&bounds.top, by.top);
  min_into<Of>(&bounds.left, by.left);
  max_into<Of>(&bounds.bottom, by.bottom);
  max_into<Of>(&bounds.right, by.right);
}

}  // namespace cambium
