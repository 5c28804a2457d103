#pragma once
// The schedules of attention for cores: sums and products a register of columns at a time.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstddef>

namespace cambium {

namespace rule {

/// The factors of columns first..last-1, at most `most` of them.
template <class T>
struct factors_of_columns {
  static constexpr index_t most = 256;
  static constexpr index_t rows_in_float = 64;  ///< so many products are summed before they are added in double
  image_view<T const> weight;
  T const* row;
  index_t first, last;
  T* column;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    double sum[std::size_t{most}]{};
    T part[std::size_t{most}];
    index_t const count = last - first, N = weight.extent[0];
    for (index_t begin = 0; begin < N; begin += rows_in_float) {
      std::fill_n(part, count, T(0));
      for (index_t i = begin; i < std::min(begin + rows_in_float, N); ++i) {
        T const* const from = &weight(i, first);
        pack<T, lanes> const by = row[i] - pack<T, lanes>{};
        index_t j = 0;
        for (; j + lanes <= count; j += lanes)
          lanes_at<lanes>(part + j).v = lanes_at<lanes>(part + j).v + by * lanes_at<lanes>(from + j).v;
        for (; j < count; ++j) part[j] += row[i] * from[j];
      }
      for (index_t j = 0; j < count; ++j) sum[j] += static_cast<double>(part[j]);
    }
    for (index_t j = 0; j < count; ++j) column[first + j] = static_cast<T>(1 / sum[j]);
  }
};

/// The sum of products of two rows of numbers.
template <int Bytes, class T>
[[gnu::always_inline]] inline double sum_of_products(T const* a, T const* b, index_t count)
{
  constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
  constexpr index_t together = 4 * lanes, chunk = 64 * together;
  double sum = 0;
  index_t i = 0;
  while (i + together <= count) {
    pack<T, lanes> part[4]{};
    for (index_t const end = std::min(count, i + chunk); i + together <= end; i += together) {
      CAMBIUM_UNROLL
      for (int p = 0; p < 4; ++p)
        part[p] = part[p] + lanes_at<lanes>(a + i + p * lanes).v * lanes_at<lanes>(b + i + p * lanes).v;
    }
    pack<T, lanes> const all = (part[0] + part[1]) + (part[2] + part[3]);
    for (int l = 0; l < lanes; ++l) sum += static_cast<double>(all[l]);
  }
  for (; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

template <class T>
struct factors_of_rows {
  image_view<T const> weight;
  T const* column;
  index_t first, last;
  T* row;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t i = first; i < last; ++i)
      row[i] = static_cast<T>(1 / sum_of_products<Bytes>(&weight(i, 0), column, weight.extent[1]));
  }
};

/// Scores of cells first..last-1.
template <class T>
struct spread_scores {
  image_view<T const> affinity;
  T const* source;
  index_t first, last;
  stack_view<T> out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    index_t const N = affinity.extent[0];
    for (index_t i = first; i < last; ++i)
      for (index_t c = 0; c < out.extent[0]; ++c)
        out(c, i / out.extent[2], i % out.extent[2]) =
            static_cast<T>(sum_of_products<Bytes>(&affinity(i, 0), source + c * N, N));
  }
};

/// Columns of a symmetric matrix: `panel_width` neighbours together, row after row.
template <int Bytes, class T>
inline constexpr index_t panel_width = 2 * Bytes / static_cast<index_t>(sizeof(T));

template <class T>
struct fill_panel {
  image_view<T const> matrix;
  index_t panel;
  T* panels;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr index_t width = panel_width<Bytes, T>;
    index_t const N = matrix.extent[0], first = panel * width, count = std::min(width, N - first);
    for (index_t k = 0; k < N; ++k) {
      T* const to = panels + (panel * N + k) * width;
      std::copy_n(&matrix(k, first), count, to);
      std::fill_n(to + count, width - count, T(0));
    }
  }
};

/// One panel of the product X^t X, for the rows before `end`: out(i, place + x) = sum over k < depth of X(k, i) X(k, j),
/// j = panel's column x. Both factors are read from the panels of X's columns. The square of a symmetric matrix is one.
template <class T>
struct product_panel {
  static constexpr int rows = 4;        ///< of a block in registers
  static constexpr index_t deep = 128;  ///< rows of two panels that stay in the first-level cache
  T const* panels;
  index_t panel, depth, end;
  index_t place;  ///< of the panel's first column in out
  image_view<T> out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    constexpr index_t width = panel_width<Bytes, T>;
    index_t const count = std::min(width, out.extent[0] - panel * width);
    for (index_t begin = 0; begin < depth; begin += deep) {
      index_t const stop = std::min(begin + deep, depth);
      for (index_t i = 0; i < end; i += rows) {
        pack<T, lanes> sum[rows][2]{};
        T const* a = panels + (i / width * depth + begin) * width + i % width;
        T const* b = panels + (panel * depth + begin) * width;
        for (index_t k = begin; k < stop; ++k, a += width, b += width) {
          pack<T, lanes> const low = lanes_at<lanes>(b).v, high = lanes_at<lanes>(b + lanes).v;
          CAMBIUM_UNROLL
          for (int r = 0; r < rows; ++r) {
            pack<T, lanes> const by = a[r] - pack<T, lanes>{};
            sum[r][0] = sum[r][0] + by * low;
            sum[r][1] = sum[r][1] + by * high;
          }
        }
        CAMBIUM_UNROLL
        for (int r = 0; r < rows; ++r) {
          if (i + r >= out.extent[0]) continue;
          T* const to = &out(i + r, place);
          if (count == width) {
            if (begin > 0) {
              sum[r][0] = lanes_at<lanes>(to).v + sum[r][0];
              sum[r][1] = lanes_at<lanes>(to + lanes).v + sum[r][1];
            }
            lanes_at<lanes>(to).v = sum[r][0], lanes_at<lanes>(to + lanes).v = sum[r][1];
          } else {
            for (index_t x = 0; x < count; ++x) {
              T const part = sum[r][x / lanes][x % lanes];
              to[x] = begin == 0 ? part : to[x] + part;
            }
          }
        }
      }
    }
  }
};

}  // namespace rule

template <class T>
void attention_columns_on(cpu const& where, image_view<T const> weight, T const* row, T* column)
{
  using factors = rule::factors_of_columns<T>;
  isa const set = vectors_of(where);
  index_t const N = weight.extent[0], blocks = (N + factors::most - 1) / factors::most;
  for_each_share(where, blocks, 1, [&](index_t first, index_t last) {
    for (index_t b = first; b < last; ++b)
      run_widest(set, factors{weight, row, b * factors::most, std::min(N, (b + 1) * factors::most), column});
  });
}

template <class T>
void attention_rows_on(cpu const& where, image_view<T const> weight, T const* column, T* row)
{
  isa const set = vectors_of(where);
  for_each_share(where, weight.extent[0], 64, [&](index_t first, index_t last) {
    run_widest(set, rule::factors_of_rows<T>{weight, column, first, last, row});
  });
}

/// Call pair(i, j) once for all i <= j, in square tiles: rows of one and columns of the other stay in the cache.
template <class Pair>
void for_each_pair(cpu const& where, index_t count, Pair const& pair)
{
  constexpr index_t side = 32;
  index_t const tiles = (count + side - 1) / side;
  for_each_share(where, tiles * tiles, 16, [&](index_t first, index_t last) {
    for (index_t t = first; t < last; ++t) {
      index_t const top = t / tiles * side, left = t % tiles * side;
      for (index_t i = top; top <= left && i < std::min(count, top + side); ++i)
        for (index_t j = std::max(i, left); j < std::min(count, left + side); ++j) pair(i, j);
    }
  });
}

template <class T>
void symmetrise_on(cpu const& where, image_view<T const> weight, T const* row, T const* column, image_view<T> out)
{
  for_each_pair(where, out.extent[0], [=](index_t i, index_t j) {
    T const a = row[i] * weight(i, j) * column[j], b = row[j] * weight(j, i) * column[i];
    out(i, j) = out(j, i) = (a + b) / 2;
  });
}

/// Cells that square_on needs: panels of the widest registers.
inline index_t square_room(cpu const&, index_t tokens) { return tokens * (tokens + 64); }

/// Square a symmetric matrix in place.
template <class T>
void square_on(cpu const& where, image_view<T> matrix, T* panels)
{
  isa const set = vectors_of(where);
  index_t const N = matrix.extent[0], width = 2 * register_bytes(set) / static_cast<index_t>(sizeof(T));
  index_t const count = (N + width - 1) / width;
  for_each_share(where, count, 1, [&](index_t first, index_t last) {
    for (index_t p = first; p < last; ++p) run_widest(set, rule::fill_panel<T>{matrix, p, panels});
  });
  auto const square = [&](index_t p) {  // above the diagonal
    run_widest(set, rule::product_panel<T>{panels, p, N, std::min(N, (p + 1) * width), p * width, matrix});
  };
  // A panel takes longer the farther right it is, so a share has panels from both ends.
  for_each_share(where, (count + 1) / 2, 1, [&](index_t first, index_t last) {
    for (index_t p = first; p < last; ++p) {
      square(p);
      if (count - 1 - p != p) square(count - 1 - p);
    }
  });
  for_each_pair(where, N, [=](index_t i, index_t j) { matrix(j, i) = matrix(i, j); });
}

template <class T>
void spread_on(cpu const& where, image_view<T const> affinity, T const* source, stack_view<T> out)
{
  isa const set = vectors_of(where);
  for_each_share(where, affinity.extent[0], 64, [&](index_t first, index_t last) {
    run_widest(set, rule::spread_scores<T>{affinity, source, first, last, out});
  });
}

}  // namespace cambium
