#pragma once
// Sums along a tree on cores, for a block of channels at once: a node's channels are one cache line, and nodes lie in the
// order of the tree, so that memory is read and written in order.

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>
#include <cambium/walk/minimum_tree.hpp>

#include <cmath>
#include <cstdint>

namespace cambium {

/// Channels of a block.
template <class T>
inline constexpr int tree_lanes = 64 / static_cast<int>(sizeof(T));

namespace rule {

/// Four cells of four rows become four cells of four columns, each times its factor.
template <class T>
[[gnu::always_inline]] inline void transpose_four(pack<T, 4> (&v)[4])
{
  pack<T, 4> const a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5),
                   b = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5),
                   c = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7),
                   d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5), v[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5), v[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/// A block of channels of a map, by node.
template <class T>
struct tree_block {
  static constexpr int lanes = tree_lanes<T>;
  grid_tree const* tree;
  T* cells;  ///< [nodes,lanes]

  /// Take channels first..first+count-1 of a map, times a factor per node unless it is null. The other lanes are 0.
  void take(stack_view<T const> map, index_t first, int count, T const* factor) const
  {
    index_t const W = tree->width;
    std::int32_t const* const place = tree->place.data();
    T const zeros[4] = {};
    for (index_t y = 0; y < tree->height; ++y)
      for (index_t x = 0; x < W; x += 4) {
        int const here = static_cast<int>(W - x < 4 ? W - x : 4);
        for (int c = 0; c < lanes; c += 4) {
          pack<T, 4> v[4];
          for (int i = 0; i < 4; ++i) {
            T const* const row = c + i < count ? &map(first + c + i, y, x) : zeros;
            if (here == 4) {
              v[i] = lanes_at<4>(row).v;
            } else {
              v[i] = pack<T, 4>{};
              for (int j = 0; j < here; ++j) v[i][j] = row[c + i < count ? j : 0];
            }
          }
          transpose_four<T>(v);
          for (int j = 0; j < here; ++j) {
            index_t const node = place[y * W + x + j];
            lanes_at<4>(cells + node * lanes + c).v = factor != nullptr ? v[j] * factor[node] : v[j];
          }
        }
      }
  }

  /// Write the channels to a map, times a factor per node unless it is null.
  void give(stack_view<T> map, index_t first, int count, T const* factor) const
  {
    index_t const W = tree->width;
    std::int32_t const* const place = tree->place.data();
    for (index_t y = 0; y < tree->height; ++y)
      for (index_t x = 0; x < W; x += 4) {
        int const here = static_cast<int>(W - x < 4 ? W - x : 4);
        for (int c = 0; c < count; c += 4) {
          pack<T, 4> v[4] = {};
          for (int j = 0; j < here; ++j) {
            index_t const node = place[y * W + x + j];
            v[j] = lanes_at<4>(cells + node * lanes + c).v;
            if (factor != nullptr) v[j] *= factor[node];
          }
          transpose_four<T>(v);
          for (int i = 0; i < 4 && c + i < count; ++i) {
            T* const row = &map(first + c + i, y, x);
            if (here == 4)
              lanes_at<4>(row).v = v[i];
            else
              for (int j = 0; j < here; ++j) row[j] = v[i][j];
          }
        }
      }
  }
};

/// x becomes e^x, for x <= 0; in float it is 0 below e^-87.
template <class T>
struct exponentiate {
  index_t count;
  T* cells;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    index_t i = 0;
    if constexpr (sizeof(T) == 4) {
      constexpr int lanes = Bytes / 4;
      pack<float, lanes> const zero{};
      for (; i + lanes <= count; i += lanes) {
        pack<float, lanes> const x = lanes_at<lanes>(cells + i).v;
        pack<float, lanes> e = x;
        exponential<lanes>(e);
        lanes_at<lanes>(cells + i).v = x < zero - 87.f ? zero : e;
      }
    }
    for (; i < count; ++i) cells[i] = sizeof(T) == 4 && cells[i] < -87 ? T(0) : std::exp(cells[i]);
  }
};

/// From the leaves to the root: a node gets its own value and its children's sums, each times its affinity.
template <class T, int Lanes>
struct sum_upwards {
  grid_tree const* tree;
  T const* affinity;
  T* cells;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    std::int32_t const* const parent = tree->parent.data();
    for (index_t i = tree->nodes() - 1; i > 0; --i)
      lanes_at<Lanes>(cells + parent[i] * Lanes).v += affinity[i] * lanes_at<Lanes>(cells + i * Lanes).v;
  }
};

/// From the root to the leaves: what the rest of the tree sends to a node is its parent's sum without its own part.
template <class T, int Lanes>
struct sum_downwards {
  grid_tree const* tree;
  T const* affinity;
  T* cells;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    std::int32_t const* const parent = tree->parent.data();
    for (index_t i = 1; i < tree->nodes(); ++i) {
      T const e = affinity[i], rest = (1 - e) * (1 + e);
      pack<T, Lanes> const own = lanes_at<Lanes>(cells + i * Lanes).v;
      lanes_at<Lanes>(cells + i * Lanes).v = rest * own + e * lanes_at<Lanes>(cells + parent[i] * Lanes).v;
    }
  }
};

/// The same for two maps a and b, and the slope of sum over i,j of a_i S_ij b_j by each affinity, added up.
template <class T, int Lanes>
struct slope_downwards {
  grid_tree const* tree;
  T const* affinity;
  T *a, *b;
  T* slope;  ///< [nodes]

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    std::int32_t const* const parent = tree->parent.data();
    for (index_t i = 1; i < tree->nodes(); ++i) {
      T const e = affinity[i];
      pack<T, Lanes> const from_a = lanes_at<Lanes>(a + i * Lanes).v, from_b = lanes_at<Lanes>(b + i * Lanes).v;
      pack<T, Lanes> const rest_a = lanes_at<Lanes>(a + parent[i] * Lanes).v - e * from_a,
                           rest_b = lanes_at<Lanes>(b + parent[i] * Lanes).v - e * from_b;
      pack<T, Lanes> const product = from_a * rest_b + from_b * rest_a;
      T sum = 0;
      for (int l = 0; l < Lanes; ++l) sum += product[l];
      slope[i] += sum;
      lanes_at<Lanes>(a + i * Lanes).v = from_a + e * rest_a;
      lanes_at<Lanes>(b + i * Lanes).v = from_b + e * rest_b;
    }
  }
};

}  // namespace rule

}  // namespace cambium
