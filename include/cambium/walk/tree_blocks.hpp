#pragma once
// Sums along a tree on cores, for a block of channels at once: a node's channels lie side by side, and nodes lie in the
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
inline constexpr int tree_lanes = 32 / static_cast<int>(sizeof(T));

/// Pixels of a row that are taken together. Four channels at a time: more would evict each other from the first cache
/// where a channel is a power of two long.
inline constexpr int tree_run = 16;

namespace rule {

/// Four cells of four rows become four cells of four columns.
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

/// Take channels first..first+count-1 of a map, times a factor per node unless it is null. The other lanes are 0.
template <class T>
struct take_block {
  grid_tree const* tree;
  stack_view<T const> map;
  index_t first;
  int count;
  T const* factor;
  T* cells;  ///< [nodes,lanes]

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = tree_lanes<T>;
    index_t const W = tree->width;
    for (index_t y = 0; y < tree->height; ++y) {
      std::int32_t const* const place = tree->place.data() + y * W;
      T const* rows[std::size_t{lanes}];
      for (int c = 0; c < lanes; ++c) rows[c] = &map(first + (c < count ? c : 0), y, 0);
      index_t x = 0;
      for (; x + tree_run <= W; x += tree_run) {
        T* node[std::size_t{tree_run}];
        T times[std::size_t{tree_run}];
        for (int j = 0; j < tree_run; ++j) node[j] = cells + index_t{place[x + j]} * lanes, times[j] = 1;
        if (factor != nullptr)
          for (int j = 0; j < tree_run; ++j) times[j] = factor[place[x + j]];
        for (int c = 0; c < lanes; c += 4)
          for (int at = 0; at < tree_run; at += 4) {
            pack<T, 4> v[4] = {};
            if (c + 4 <= count) {
              CAMBIUM_UNROLL
              for (int i = 0; i < 4; ++i) v[i] = lanes_at<4>(rows[c + i] + x + at).v;
            } else {
              for (int i = 0; c + i < count; ++i) v[i] = lanes_at<4>(rows[c + i] + x + at).v;
            }
            transpose_four<T>(v);
            CAMBIUM_UNROLL
            for (int j = 0; j < 4; ++j) lanes_at<4>(node[at + j] + c).v = v[j] * times[at + j];
          }
      }
      for (; x < W; ++x) {
        T* const node = cells + index_t{place[x]} * lanes;
        T const times = factor != nullptr ? factor[place[x]] : T(1);
        for (int c = 0; c < lanes; ++c) node[c] = c < count ? rows[c][x] * times : T(0);
      }
    }
  }
};

/// Write the channels of a block to a map, times a factor per node unless it is null.
template <class T>
struct give_block {
  grid_tree const* tree;
  stack_view<T> map;
  index_t first;
  int count;
  T const* factor;
  T const* cells;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = tree_lanes<T>;
    index_t const W = tree->width;
    for (index_t y = 0; y < tree->height; ++y) {
      std::int32_t const* const place = tree->place.data() + y * W;
      T* rows[std::size_t{lanes}];
      for (int c = 0; c < count; ++c) rows[c] = &map(first + c, y, 0);
      index_t x = 0;
      for (; x + tree_run <= W; x += tree_run) {
        T const* node[std::size_t{tree_run}];
        T times[std::size_t{tree_run}];
        for (int j = 0; j < tree_run; ++j) node[j] = cells + index_t{place[x + j]} * lanes, times[j] = 1;
        if (factor != nullptr)
          for (int j = 0; j < tree_run; ++j) times[j] = factor[place[x + j]];
        for (int c = 0; c < count; c += 4)
          for (int at = 0; at < tree_run; at += 4) {
            pack<T, 4> v[4];
            CAMBIUM_UNROLL
            for (int j = 0; j < 4; ++j) v[j] = lanes_at<4>(node[at + j] + c).v * times[at + j];
            transpose_four<T>(v);
            if (c + 4 <= count) {
              CAMBIUM_UNROLL
              for (int i = 0; i < 4; ++i) lanes_at<4>(rows[c + i] + x + at).v = v[i];
            } else {
              for (int i = 0; c + i < count; ++i) lanes_at<4>(rows[c + i] + x + at).v = v[i];
            }
          }
      }
      for (; x < W; ++x) {
        T const* const node = cells + index_t{place[x]} * lanes;
        T const times = factor != nullptr ? factor[place[x]] : T(1);
        for (int c = 0; c < count; ++c) rows[c][x] = node[c] * times;
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
