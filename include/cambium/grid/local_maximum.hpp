#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace cambium {

/// Throws unless a window of this many cells a side has a centre: odd and positive. `who` begins the message.
inline void expects_window(index_t kernel, char const* who)
{
  expects(kernel >= 1 && kernel % 2 == 1, who, ": kernel is ", kernel, "; a window has an odd number of cells a side");
}

/// The rule: is no cell of the window around a cell larger than it?
///
/// Cells outside the map do not count and, where there are regions, nor do cells of other regions.
template <class T, class S = host>
struct local_maximum {
  image_view<T const, S> map;                ///< [H,W] without NaN
  image_view<std::int32_t const, S> region;  ///< [H,W], or null
  index_t reach;                             ///< [cells] the window's side is 2 * reach + 1

  CAMBIUM_HD bool operator()(index_t y, index_t x) const
  {
    // Nearly every cell has a larger neighbour; only the others are worth the whole window.
    return dominates(y, x, reach < 1 ? reach : 1) && (reach <= 1 || dominates(y, x, reach));
  }

  /// The same for a window of another reach.
  CAMBIUM_HD bool dominates(index_t y, index_t x, index_t by) const
  {
    index_t const top = y > by ? y - by : 0, bottom = y + by < map.extent[0] ? y + by : map.extent[0] - 1;
    index_t const left = x > by ? x - by : 0, right = x + by < map.extent[1] ? x + by : map.extent[1] - 1;
    T const mine = map(y, x);
    for (index_t v = top; v <= bottom; ++v) {
      T const* const row = &map(v, 0);
      bool larger = false;  // no way out inside a row, which compilers take several cells at a time
      if (region.data == nullptr) {
        for (index_t u = left; u <= right; ++u) larger |= row[u] > mine;
      } else {
        std::int32_t const* const of = &region(v, 0);
        std::int32_t const own = region(y, x);
        for (index_t u = left; u <= right; ++u) larger |= (row[u] > mine) & (of[u] == own);
      }
      if (larger) return false;
    }
    return true;
  }
};

namespace rule {

/// Mark the maxima above a threshold. Where there are regions, only those of regions 1..count are marked.
template <class T, class S>
struct mark_maxima {
  stack_view<T const, S> maps;
  image_view<std::int32_t const, S> region;  ///< [H,W], or null
  index_t count;
  index_t reach;
  T above;
  stack_view<std::uint8_t, S> marked;
  bool everywhere = false;  ///< there is no threshold; `above` is -infinity

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    bool const high = everywhere || maps(c, y, x) > above;
    marked(c, y, x) = high && in_region(y, x) && local_maximum<T, S>{maps[c], region, reach}(y, x) ? 1 : 0;
  }

  /// A register of cells at once, until none of them is above the threshold and as large as its eight neighbours.
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    constexpr int lanes = std::min(Bytes, 32) / static_cast<int>(sizeof(T));  // g++ takes masks of 64 bytes apart
    index_t const H = maps.extent[1], W = maps.extent[2];
    index_t const rows[3] = {y, y > 0 ? y - 1 : y, y + 1 < H ? y + 1 : y};
    T const* const here = &maps(c, y, 0);
    local_maximum<T, S> const maximum{maps[c], region, reach};
    pack<T, lanes> low;
    for (int l = 0; l < lanes; ++l) low[l] = above;
    std::fill_n(&marked(c, y, 0), W, std::uint8_t{0});
    (*this)(c, y, 0);
    index_t x = 1;
    for (; x + lanes < W; x += lanes) {
      pack<T, lanes> const mine = lanes_at<lanes>(here + x).v;
      bits<T, lanes> is = mine > low;
      for (index_t const v : rows) {
        if (none_of<T, lanes>(is)) break;
        for (index_t u = x - 1; reach > 0 && u <= x + 1; ++u) {
          bits<T, lanes> larger = lanes_at<lanes>(&maps(c, v, u)).v > mine;
          if (region.data != nullptr) {
            auto const same = lanes_at<lanes>(&region(v, u)).v == lanes_at<lanes>(&region(y, x)).v;
            larger &= __builtin_convertvector(same, bits<T, lanes>);
          }
          is &= ~larger;
        }
      }
      if (none_of<T, lanes>(is)) continue;
      for (int l = 0; l < lanes; ++l)
        if (is[l] != 0 && in_region(y, x + l) && (reach < 2 || maximum.dominates(y, x + l, reach)))
          marked(c, y, x + l) = 1;
    }
    for (; x < W; ++x) (*this)(c, y, x);
  }

 private:
  CAMBIUM_HD bool in_region(index_t y, index_t x) const
  {
    return region.data == nullptr || (0 < region(y, x) && region(y, x) <= count);
  }
  template <class V, int Lanes>
  [[gnu::always_inline]] static bool none_of(bits<V, Lanes> const& mask)
  {
    std::uint64_t words[Lanes * sizeof(V) / 8], any = 0;
    std::memcpy(words, &mask, sizeof words);
    for (std::uint64_t const word : words) any |= word;
    return any == 0;
  }
};

}  // namespace rule

}  // namespace cambium
