#pragma once
// Rows as bits, 64 cells a word: where runs begin, and where runs of two rows touch. No branch depends on a cell, so a
// noisy map costs little more than a plain one.

#include <cambium/exec/bits.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/run_band.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace cambium {

/// Rows of a mask in words: all cells inside are equal.
template <class T>
struct mask_words {
  image_view<T const> map;

  index_t width() const { return map.extent[1]; }

  /// Does a run of row y belong to one of row y - 1 that it touches? They begin at these cells.
  bool joins(index_t, index_t, index_t) const { return true; }

  /// The row y in words.
  [[gnu::always_inline]] void read(index_t y, row_words& to) const
  {
    index_t const W = map.extent[1];
    T const* const row = &map(y, 0);
    std::uint64_t carry = 0;
    for (index_t k = 0; 64 * k < W; ++k) {
      index_t const n = std::min<index_t>(64, W - 64 * k);
      std::uint64_t set =
          equal_bits<T>(row + 64 * k, nullptr, T(0), n) ^ (n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0});
      std::uint64_t const before = set << 1 | carry;
      to.inside[static_cast<std::size_t>(k)] = set;
      to.begin[static_cast<std::size_t>(k)] = set & ~before;
      to.end[static_cast<std::size_t>(k)] = before & ~set;
      carry = set >> 63;
    }
    if (W % 64 == 0) to.end[static_cast<std::size_t>(W / 64)] = carry;
  }

  /// Which cells of word k equal the one over them, before it and after it.
  template <bool Corners>
  [[gnu::always_inline]] void meet(index_t, index_t k, row_words const& up, row_words const& low, std::uint64_t& over,
                                   std::uint64_t& before, std::uint64_t& after) const
  {
    auto const at = static_cast<std::size_t>(k);
    std::uint64_t const u = up.inside[at], l = low.inside[at];
    over = u & l;
    if constexpr (Corners) {
      before = l & (u << 1 | (k > 0 ? up.inside[at - 1] >> 63 : 0));
      after = l & (u >> 1 | (at + 1 < up.inside.size() ? up.inside[at + 1] << 63 : 0));
    }
  }
};

/// Rows of a label map in words: a run is of equal labels.
template <class T>
struct label_words {
  image_view<T const> map;
  T background;

  index_t width() const { return map.extent[1]; }

  bool joins(index_t y, index_t above, index_t here) const { return map(y - 1, above) == map(y, here); }

  [[gnu::always_inline]] void read(index_t y, row_words& to) const
  {
    index_t const W = map.extent[1];
    T const* const row = &map(y, 0);
    std::uint64_t carry = 0;
    for (index_t k = 0; 64 * k < W; ++k) {
      index_t const n = std::min<index_t>(64, W - 64 * k);
      std::uint64_t const all = n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
      std::uint64_t const set = equal_bits<T>(row + 64 * k, nullptr, background, n) ^ all;
      std::uint64_t const same = k > 0 ? equal_bits<T>(row + 64 * k, row + 64 * k - 1, T(0), n)
                                       : equal_bits<T>(row + 1, row, T(0), n - 1) << 1;
      to.inside[static_cast<std::size_t>(k)] = set;
      to.begin[static_cast<std::size_t>(k)] = set & ~same;
      to.end[static_cast<std::size_t>(k)] = (set << 1 | carry) & ~same;
      carry = set >> 63;
    }
    if (W % 64 == 0) to.end[static_cast<std::size_t>(W / 64)] = carry;
  }

  template <bool Corners>
  [[gnu::always_inline]] void meet(index_t y, index_t k, row_words const&, row_words const& low, std::uint64_t& over,
                                   std::uint64_t& before, std::uint64_t& after) const
  {
    index_t const W = map.extent[1], n = std::min<index_t>(64, W - 64 * k);
    T const* const here = &map(y, 0) + 64 * k;
    T const* const above = &map(y - 1, 0) + 64 * k;
    std::uint64_t const set = low.inside[static_cast<std::size_t>(k)];
    over = equal_bits<T>(here, above, T(0), n) & set;
    if constexpr (Corners) {
      before =
          set & (k > 0 ? equal_bits<T>(here, above - 1, T(0), n) : equal_bits<T>(here + 1, above, T(0), n - 1) << 1);
      after = set & equal_bits<T>(here, above + 1, T(0), 64 * k + n < W ? n : n - 1);
    }
  }
};

/// Call meet(upper run, lower run) for every pair of runs of the rows y - 1 and y that touch, some pairs twice. Runs are
/// numbered from `up_begin` and `low_begin`.
template <bool Corners, class Words, class Index, class Meet>
[[gnu::always_inline]] inline void for_each_touch(Words const& words, index_t y, row_words const& up,
                                                  row_words const& low, Index up_begin, Index low_begin,
                                                  Meet const& meet)
{
  std::uint64_t carry = 0;  // did the cell before this word equal the one over it?
  index_t const W = words.width();
  for (index_t k = 0; 64 * k < W; ++k) {
    auto const at = static_cast<std::size_t>(k);
    std::uint64_t over, before = 0, after = 0;
    words.template meet<Corners>(y, k, up, low, over, before, after);
    std::uint64_t const up_starts = up.begin[at], low_starts = low.begin[at];
    auto const ups = [&](std::uint64_t until) __attribute__((always_inline)) {
      return static_cast<Index>(up_begin + std::popcount(up_starts & until));
    };
    auto const lows = [&](std::uint64_t until) __attribute__((always_inline)) {
      return static_cast<Index>(low_begin + std::popcount(low_starts & until));
    };
    // Of a stretch where two runs lie over each other its first cell tells. A corner tells where no cell beside it does.
    std::uint64_t const first = over & (~(over << 1 | carry) | up_starts | low_starts);
    carry = over >> 63;
    for (std::uint64_t rest = first; rest != 0; rest &= rest - 1) {
      std::uint64_t const until = rest ^ (rest - 1);  // the bits up to the lowest one
      meet(ups(until) - 1, lows(until) - 1);
    }
    if constexpr (Corners) {
      std::uint64_t const low_ends = low.end[at] >> 1 | (at + 1 < low.end.size() ? low.end[at + 1] << 63 : 0);
      for (std::uint64_t rest = before & ~over & low_starts; rest != 0; rest &= rest - 1) {
        std::uint64_t const until = rest ^ (rest - 1);
        meet(ups(until >> 1) - 1, lows(until) - 1);
      }
      for (std::uint64_t rest = after & ~over & low_ends; rest != 0; rest &= rest - 1) {
        std::uint64_t const until = rest ^ (rest - 1);
        meet(ups(until), lows(until) - 1);
      }
    }
    up_begin = ups(~std::uint64_t{0}), low_begin = lows(~std::uint64_t{0});
  }
}

/// Write where runs begin or end, every other number of `to`.
/// @return one past the last
[[gnu::always_inline]] inline std::int32_t* write_places(std::vector<std::uint64_t> const& words, std::int32_t* to)
{
  std::int32_t x = 0;
  for (std::uint64_t word : words) {
    for (; word != 0; word &= word - 1, to += 2) *to = x + static_cast<std::int32_t>(std::countr_zero(word));
    x += 64;
  }
  return to;
}

/// Finds the runs of a band from its first row to `last` and links them, in words.
template <class Words, class Index>
struct link_band {
  Words words;
  bool corners;
  index_t last;
  run_band<Index>& band;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    corners ? link<true>() : link<false>();
  }

 private:
  template <bool Corners>
  [[gnu::always_inline]] void link() const
  {
    index_t const W = words.width(), first = band.first_row;
    for (row_words& row : band.rows) row.resize(W);
    index_t runs = 0;
    for (index_t y = first; y < last; ++y) {
      if (y == first + 32) {  // as many runs are expected of the other rows, and a few more
        index_t const all = (runs / 32 + 1) * (last - first) * 33 / 32;
        band.ends.reserve(static_cast<std::size_t>(2 * (all + W))), band.sets.reserve(all);
      }
      row_words& low = band.rows[y % 2];
      row_words const& up = band.rows[(y + 1) % 2];
      words.read(y, low);
      band.ends.resize(static_cast<std::size_t>(2 * (runs + W + 1)));
      std::int32_t* const begin = band.ends.data() + 2 * runs;
      write_places(low.begin, begin);
      index_t const end = runs + (write_places(low.end, begin + 1) - begin - 1) / 2;
      Index* const parent = band.sets.extend(end);
      for (index_t i = runs; i < end; ++i) parent[i] = static_cast<Index>(i);
      band.row_begin.push_back(static_cast<Index>(end));
      auto const join = [&](index_t a, index_t b) __attribute__((always_inline)) {
        auto u = static_cast<Index>(a), l = static_cast<Index>(b);
        while (parent[u] != u) u = parent[u] = parent[parent[u]];
        while (parent[l] != l) l = parent[l] = parent[parent[l]];
        parent[std::max(u, l)] = std::min(u, l);
      };
      Index const above =
          y > first ? band.row_begin[static_cast<std::size_t>(y - first - 1)] : static_cast<Index>(runs);
      if (y > first && end - runs > W / 64)
        for_each_touch<Corners>(words, y, up, low, above, static_cast<Index>(runs), join);
      else  // few runs are looked at one by one
        band.for_each_contact(band, above, static_cast<Index>(runs), y - first, Corners ? 1 : 0, [&](Index u, Index l) {
          if (words.joins(y, band.begin(u), band.begin(l))) join(u, l);
        });
      runs = end;
    }
    band.ends.resize(static_cast<std::size_t>(2 * runs));
  }
};

}  // namespace cambium
