#pragma once

#include <cambium/core/error.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/plateau.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

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
    return above(y, x, reach < 1 ? reach : 1) && (reach <= 1 || above(y, x, reach));
  }

 private:
  CAMBIUM_HD bool above(index_t y, index_t x, index_t by) const
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

/// Keep one cell of each plateau: of cells that touch, corners included, and are equal in value and region.
///
/// @param cells  in raster order
/// @return       a subset, in raster order
/// @throws       precondition_error: so many cells on so large a map that the sum of their rows or columns passes 2^63
template <class T>
std::vector<place> one_of_each_plateau(local_maximum<T> const& of, std::vector<place> const& cells)
{
  index_t const side = std::max<index_t>({1, of.map.extent[0], of.map.extent[1]});
  expects(static_cast<index_t>(cells.size()) <= std::numeric_limits<index_t>::max() / side,
          "one_of_each_plateau: ", cells.size(), " maxima on a map of ", of.map, " are too many to find their means");
  auto const before = [](place a, place b) { return std::pair{a.y, a.x} < std::pair{b.y, b.x}; };
  auto const at = [&](place c) -> index_t {
    auto const found = std::lower_bound(cells.begin(), cells.end(), c, before);
    return found != cells.end() && *found == c ? found - cells.begin() : -1;
  };
  auto const same = [&](place a, place b) {
    return of.map(a.y, a.x) == of.map(b.y, b.x) &&
           (of.region.data == nullptr || of.region(a.y, a.x) == of.region(b.y, b.x));
  };
  std::vector<place> out;
  std::vector<char> taken(cells.size(), 0);
  std::vector<std::size_t> members;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (taken[i] != 0) continue;
    members.assign(1, i);
    taken[i] = 1;
    plateau_sums all;
    for (std::size_t next = 0; next < members.size(); ++next) {
      place const c = cells[members[next]];
      ++all.cells, all.y += c.y, all.x += c.x;
      for (index_t dy = -1; dy <= 1; ++dy)
        for (index_t dx = -1; dx <= 1; ++dx) {
          index_t const n = at({c.y + dy, c.x + dx});
          if (n < 0 || taken[static_cast<std::size_t>(n)] != 0 || !same(c, cells[static_cast<std::size_t>(n)]))
            continue;
          taken[static_cast<std::size_t>(n)] = 1;
          members.push_back(static_cast<std::size_t>(n));
        }
    }
    std::sort(members.begin(), members.end());
    place best = cells[members[0]];
    wide_integer nearest = all.distance(best.y, best.x);
    for (std::size_t const m : members) {
      wide_integer const distance = all.distance(cells[m].y, cells[m].x);
      if (distance < nearest) nearest = distance, best = cells[m];
    }
    out.push_back(best);
  }
  std::sort(out.begin(), out.end(), before);
  return out;
}

}  // namespace cambium
