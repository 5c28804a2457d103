#pragma once

#include <cambium/core/config.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <vector>

namespace cambium {

/// Where one output cell of a bilinear resize reads along one axis: cells `low` and `high`, weighted
/// `1 - fraction` and `fraction`.
template <class T>
struct bilinear_tap {
  index_t low;
  index_t high;
  T fraction;
};

/// The tap of output cell `at` when `cells` input cells are stretched by 1/scale: centres of cells are
/// aligned, borders are not (align_corners=False of the usual frameworks).
///
/// @param at     output index, >= 0
/// @param scale  [input cells per output cell] e.g. 1/4 for an enlargement by 4
/// @param cells  extent of the input, >= 1
template <class T>
CAMBIUM_HD bilinear_tap<T> tap(index_t at, T scale, index_t cells)
{
  T const source = scale * (static_cast<T>(at) + T(0.5)) - T(0.5);
  T const inside = source > 0 ? source : T(0);
  index_t low = static_cast<index_t>(inside);
  if (low > cells - 1) low = cells - 1;  // crops may ask for cells beyond the enlarged map
  index_t const high = low + 1 < cells ? low + 1 : low;
  return {low, high, high == low ? T(0) : inside - static_cast<T>(low)};
}

/// One row of a bilinear enlargement: `down` picks the two rows of the map that are mixed, `across[x]` the two columns.
///
/// @param map     [h,w]
/// @param mixed   [w] scratch
/// @param out     one value for each tap of `across`
template <class T>
void bilinear_row(image_view<T const> map, bilinear_tap<T> const& down, std::vector<bilinear_tap<T>> const& across,
                  T* mixed, T* out)
{
  T const* const low = &map(down.low, 0);
  T const* const high = &map(down.high, 0);
  for (index_t x = 0; x < map.extent[1]; ++x) mixed[x] = (1 - down.fraction) * low[x] + down.fraction * high[x];
  for (std::size_t x = 0; x < across.size(); ++x)
    out[x] = (1 - across[x].fraction) * mixed[across[x].low] + across[x].fraction * mixed[across[x].high];
}

/// The taps of output cells 0..count-1.
template <class T>
std::vector<bilinear_tap<T>> taps(index_t count, T scale, index_t cells)
{
  std::vector<bilinear_tap<T>> out;
  for (index_t i = 0; i < count; ++i) out.push_back(tap(i, scale, cells));
  return out;
}

}  // namespace cambium
