#pragma once
// The rules of attention, and its schedule for any policy but the cpu.

#include <cambium/core/index.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/view.hpp>

#include <cstdint>

namespace cambium {

namespace rule {

/// The mean of layers at one pair of tokens: of all, or of the used ones times a learned affinity.
template <class T, class S>
struct mean_of_layers {
  stack_view<T const, S> attention;
  index_t first;             ///< layer
  index_t skip;              ///< tokens of the class: 0 or 1
  std::uint8_t const* used;  ///< of the layers from the first on; or null
  image_view<T const, S> learned;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t i, index_t j) const
  {
    double sum = 0, count = 0;
    for (index_t l = first; l < attention.extent[0]; ++l)
      if (used == nullptr || used[l - first] != 0) {
        sum += static_cast<double>(attention(l, i + skip, j + skip));
        count += 1;
      }
    if (used == nullptr)
      out(i, j) = static_cast<T>(sum / count);
    else
      out(i, j) = static_cast<T>(sum / (count + 1e-5) * static_cast<double>(learned(i, j)));
  }
};

/// How much a layer's attention falls short of the learned affinity at one pair of tokens.
template <class T, class S>
struct layer_difference {
  stack_view<T const, S> attention;
  image_view<T const, S> learned;
  index_t first, skip;

  CAMBIUM_HD double operator()(index_t l, index_t pair) const
  {
    index_t const N = learned.extent[1], i = pair / N, j = pair % N;
    return static_cast<double>(learned(i, j)) - static_cast<double>(attention(first + l, i + skip, j + skip));
  }
};

template <class S>
struct choose_layer {
  double const* difference;
  index_t layers;
  view<std::uint8_t, 1, S> used;

  CAMBIUM_HD void operator()(index_t l) const
  {
    double sum = 0;
    for (index_t i = 0; i < layers; ++i) sum += difference[i];
    used(l) = difference[l] <= sum / static_cast<double>(layers) ? 1 : 0;
  }
};

/// The factor that makes a line of a matrix, a row or a column, sum to 1 when the lines across it have theirs.
template <class T>
struct line_factor {
  T const* cells;       ///< of the matrix
  index_t count;        ///< [cells] of a line
  index_t next, along;  ///< [cells] from a line to the next, and along a line
  T const* across;
  T* out;

  CAMBIUM_HD void operator()(index_t line) const
  {
    double sum = 0;
    for (index_t k = 0; k < count; ++k)
      sum += static_cast<double>(across[k]) * static_cast<double>(cells[line * next + k * along]);
    out[line] = static_cast<T>(1 / sum);
  }
};

/// Both directions of a pair, scaled and averaged. One call writes both cells: a compiler may fuse one of the products
/// into the sum, and then the two would differ.
template <class T>
CAMBIUM_HD T symmetric_entry(T there, T back, T row_i, T column_j, T row_j, T column_i)
{
  double const to = static_cast<double>(row_i) * static_cast<double>(there) * static_cast<double>(column_j);
  double const from = static_cast<double>(row_j) * static_cast<double>(back) * static_cast<double>(column_i);
  return static_cast<T>((to + from) / 2);
}
template <class T, class S>
struct symmetrise_pair {
  image_view<T const, S> weight;
  T const* row;
  T const* column;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t i, index_t j) const
  {
    if (j < i) return;
    out(i, j) = symmetric_entry(weight(i, j), weight(j, i), row[i], column[j], row[j], column[i]);
    out(j, i) = out(i, j);
  }
};

/// One entry of the product of a matrix with itself.
template <class T, class S>
struct square_entry {
  image_view<T const, S> in;
  T* out;

  CAMBIUM_HD void operator()(index_t, index_t i, index_t j) const
  {
    index_t const N = in.extent[0];
    T sum = 0;
    for (index_t k = 0; k < N; ++k) sum += in(i, k) * in(k, j);
    out[i * N + j] = sum;
  }
};
template <class T, class S>
struct copy_entry {
  T const* in;
  image_view<T, S> out;
  CAMBIUM_HD void operator()(index_t, index_t i, index_t j) const { out(i, j) = in[i * out.extent[1] + j]; }
};

template <class T, class S>
struct mask_scores {
  stack_view<T const, S> scores;
  stack_view<std::uint8_t const, S> mask;  ///< or null
  T* out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    bool const in = mask.data == nullptr || mask(c, y, x) != 0;
    out[(c * scores.extent[1] + y) * scores.extent[2] + x] = in ? scores(c, y, x) : T(0);
  }
};

template <class T, class S>
struct spread_score {
  image_view<T const, S> affinity;
  T const* source;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const N = affinity.extent[0], i = y * out.extent[2] + x;
    T sum = 0;
    for (index_t j = 0; j < N; ++j) sum += affinity(i, j) * source[c * N + j];
    out(c, y, x) = sum;
  }
};

}  // namespace rule

template <class P, class T, class S>
void attention_columns_on(P const& where, image_view<T const, S> weight, T const* row, T* column)
{
  index_t const N = weight.extent[0];
  for_each_index(where, N, rule::line_factor<T>{weight.data, N, weight.stride[1], weight.stride[0], row, column});
}
template <class P, class T, class S>
void attention_rows_on(P const& where, image_view<T const, S> weight, T const* column, T* row)
{
  index_t const N = weight.extent[0];
  for_each_index(where, N, rule::line_factor<T>{weight.data, N, weight.stride[0], weight.stride[1], column, row});
}
template <class P, class T, class S>
void symmetrise_on(P const& where, image_view<T const, S> weight, T const* row, T const* column, image_view<T, S> out)
{
  index_t const extent[3] = {1, out.extent[0], out.extent[1]};
  for_each_cell(where, extent, rule::symmetrise_pair<T, S>{weight, row, column, out});
}

/// Cells that square_on needs.
template <class P>
index_t square_room(P const&, index_t tokens)
{
  return tokens * tokens;
}
template <class P, class T, class S>
void square_on(P const& where, image_view<T, S> matrix, T* other)
{
  index_t const extent[3] = {1, matrix.extent[0], matrix.extent[1]};
  for_each_cell(where, extent, rule::square_entry<T, S>{matrix, other});
  for_each_cell(where, extent, rule::copy_entry<T, S>{other, matrix});
}
template <class P, class T, class S>
void spread_on(P const& where, image_view<T const, S> affinity, T const* source, stack_view<T, S> out)
{
  for_each_cell(where, out.extent, rule::spread_score<T, S>{affinity, source, out});
}

}  // namespace cambium
