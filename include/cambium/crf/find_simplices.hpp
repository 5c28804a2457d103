#pragma once
// The simplices of a permutohedral lattice that positions lie in, on cores: a register of positions at a time.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cambium {

/// Call body(i) for i = begin..end-1, unrolled where their number is a constant of the caller's type.
template <bool Unrolled, class Body>
[[gnu::always_inline]] inline void repeat(int begin, int end, Body const& body)
{
  if constexpr (Unrolled) {
    CAMBIUM_UNROLL
    for (int i = begin; i < end; ++i) body(i);
  } else {
    for (int i = begin; i < end; ++i) body(i);
  }
}

/// The simplices that some positions lie in, `Bytes` of positions at a time.
///
/// A position of D features is raised into the hyperplane of D + 1 coordinates that sum to 0. There `base` is the
/// corner of remainder 0, `rank` orders the coordinates by how far they lie beyond it, and `weight` are barycentric.
/// Products are rounded one by one as in the original, whose weights carry that rounding.
template <int Fixed>
struct find_simplices {
  static constexpr int block = 16;
  static constexpr std::size_t room = Fixed > 0 ? Fixed + 1 : 9;
  int dimension;
  float const* feature;  ///< [D,block]
  float const* scale;    ///< [D]
  std::int32_t* base;    ///< [D + 1,block]
  std::int32_t* rank;    ///< [D + 1,block]
  float* weight;         ///< [D,block] of corners 1, 2, ...

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(float));
    constexpr bool fixed = Fixed > 0;
    using numbers = pack<float, lanes>;
    using integers = bits<float, lanes>;
    constexpr float to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    int const D = fixed ? Fixed : dimension;
    float const down = 1.f / static_cast<float>(D + 1);
    for (int first = 0; first < block; first += lanes) {
      numbers raised[room], beyond[room], sum{};
      integers corner[room], order[room], wholes{};
      repeat<fixed>(0, D, [&](int i) CAMBIUM_INLINE {
        int const j = D - i;
        numbers part = lanes_at<lanes>(feature + (j - 1) * block + first).v * scale[j - 1];
        no_contract(part);
        numbers times = static_cast<float>(j) * part;
        no_contract(times);
        raised[j] = sum - times;
        sum = sum + part;
      });
      raised[0] = sum;
      repeat<fixed>(0, D + 1, [&](int i) CAMBIUM_INLINE {
        numbers v = down * raised[i];
        no_contract(v);
        numbers rounded = v + to_whole;  // half to even
        no_contract(rounded);
        rounded = rounded - to_whole;
        beyond[i] = raised[i] - rounded * static_cast<float>(D + 1);
        integers const whole = __builtin_convertvector(rounded, integers);
        wholes += whole;
        corner[i] = whole * (D + 1);
        order[i] = integers{};
      });
      repeat<fixed>(0, D, [&](int i) CAMBIUM_INLINE {
        repeat<fixed>(i + 1, D + 1, [&](int j) CAMBIUM_INLINE {
          integers const less = (integers)(beyond[i] < beyond[j]);  // -1 where true
          order[i] -= less;
          order[j] += less + 1;
        });
      });
      repeat<fixed>(0, D + 1, [&](int i) CAMBIUM_INLINE {  // back into the hyperplane
        order[i] += wholes;
        integers const low = (integers)(order[i] < 0) & (D + 1), high = (integers)(order[i] > D) & (D + 1);
        order[i] += low - high;
        corner[i] += low - high;
        beyond[i] = raised[i] - __builtin_convertvector(corner[i], numbers);
      });
      integers sorted[room];  // weights by rank, as bits
      repeat<fixed>(0, D + 1, [&](int r) CAMBIUM_INLINE { sorted[r] = integers{}; });
      repeat<fixed>(0, D + 1, [&](int i) CAMBIUM_INLINE {
        numbers v = beyond[i] * down;
        no_contract(v);
        repeat<fixed>(0, D + 1, [&](int r) CAMBIUM_INLINE { sorted[r] |= (integers)v & (integers)(order[i] == r); });
      });
      repeat<fixed>(0, D + 1, [&](int i) CAMBIUM_INLINE {
        lanes_at<lanes>(base + i * block + first).v = corner[i];
        lanes_at<lanes>(rank + i * block + first).v = order[i];
        if (i > 0)
          lanes_at<lanes>(weight + (i - 1) * block + first).v = (numbers)sorted[D - i] - (numbers)sorted[D - i + 1];
      });
    }
  }
};

/// The simplex of a position in memory: the weights of corners 1..D, then the slots of corners 0..D. All weights of a
/// simplex sum to 1: corner 0 has the rest. One follows another without a gap, so weights lie at any even address.
template <class Slot>
constexpr index_t simplex_bytes(int dimension)
{
  return 4 * dimension + (dimension + 1) * static_cast<int>(sizeof(Slot));
}

/// Call each(weight, slot) for corners 0..D of a simplex in memory. Its lambda is inlined.
template <int Fixed, class Slot, class Each>
[[gnu::always_inline]] inline void for_each_corner(int dimension, std::byte const* simplex, Each const& each)
{
  int const D = Fixed > 0 ? Fixed : dimension;
  auto const weight = [&](int c) CAMBIUM_INLINE {
    float w;
    std::memcpy(&w, simplex + 4 * c, sizeof w);
    return w;
  };
  auto const* const slot = reinterpret_cast<Slot const*>(simplex + 4 * D);
  float rest = 1;
  repeat<(Fixed > 0)>(0, D, [&](int c) CAMBIUM_INLINE { rest -= weight(c); });
  each(rest, index_t{slot[0]});
  repeat<(Fixed > 0)>(0, D, [&](int c) CAMBIUM_INLINE { each(weight(c), index_t{slot[c + 1]}); });
}

/// The least and the largest of some finite values.
struct find_range {
  float const* value;
  index_t n;  ///< >= 1
  float *least, *most;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(float));
    using numbers = pack<float, lanes>;
    float low = value[0], high = value[0];
    index_t i = 0;
    if (n >= lanes) {
      numbers lows = lanes_at<lanes>(value).v, highs = lows;
      for (; i + lanes <= n; i += lanes) {
        numbers const v = lanes_at<lanes>(value + i).v;
        lows = v < lows ? v : lows, highs = v > highs ? v : highs;
      }
      for (int l = 0; l < lanes; ++l) low = std::min(low, lows[l]), high = std::max(high, highs[l]);
    }
    for (; i < n; ++i) low = std::min(low, value[i]), high = std::max(high, value[i]);
    *least = low, *most = high;
  }
};

}  // namespace cambium
