#pragma once

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <limits>
#include <vector>

namespace cambium {

/// The two input cells of one output cell of a bilinear resize along one axis: `low` with weight `1 - fraction`, `high`
/// with weight `fraction`.
template <class T>
struct bilinear_tap {
  index_t low;
  index_t high;
  T fraction;
};

/// The tap of output cell `at` if `cells` input cells are enlarged by 1/scale. Centres of cells are aligned, corners
/// are not (align_corners=False of the usual frameworks).
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
  if (low > cells - 1) low = cells - 1;  // a crop may have cells beyond the enlarged map
  index_t const high = low + 1 < cells ? low + 1 : low;
  return {low, high, high == low ? T(0) : inside - static_cast<T>(low)};
}

/// (1 - fraction) * low + fraction * high, rounded as in the usual frameworks. Equal cells keep their value; the
/// rounded products could miss it by an ulp. low + fraction * (high - low) would keep constants too, but rounds most
/// other values differently.
template <class T>
CAMBIUM_HD T between(T low, T high, T fraction)
{
  return low == high ? low : (1 - fraction) * low + fraction * high;
}

/// Mix two rows into one.
/// @return whether any mixed nonzero cell equals the one before it
template <class T>
bool mix_rows(T const* low, T const* high, T fraction, index_t cells, T* mixed)
{
  bool any = false;
  index_t x = 0;
  if constexpr (sizeof(T) == 4) {
    pack<T, 4> last = pack<T, 4>{} + std::numeric_limits<T>::quiet_NaN();
    bits<T, 4> equal{};
    for (; x + 4 <= cells; x += 4) {
      pack<T, 4> const a = lanes_at<4>(low + x).v, b = lanes_at<4>(high + x).v;
      pack<T, 4> const here = a == b ? a : (1 - fraction) * a + fraction * b;
      equal |= (here == __builtin_shufflevector(last, here, 3, 4, 5, 6)) & (here != pack<T, 4>{});
      lanes_at<4>(mixed + x).v = last = here;
    }
    any = equal[0] != 0 || equal[1] != 0 || equal[2] != 0 || equal[3] != 0;
  }
  for (; x < cells; ++x) {
    mixed[x] = between(low[x], high[x], fraction);
    any = any || (x > 0 && mixed[x] == mixed[x - 1] && mixed[x] != 0);
  }
  return any;
}

/// Compute one row of a bilinear enlargement. `down` has the two rows of the map to mix, `across[x]` the two columns.
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
  // Most rows have no equal neighbours. They need no comparison per pixel.
  if (mix_rows(low, high, down.fraction, map.extent[1], mixed)) {
    for (bilinear_tap<T> const& t : across) *out++ = between(mixed[t.low], mixed[t.high], t.fraction);
    return;
  }
  for (bilinear_tap<T> const& t : across) *out++ = (1 - t.fraction) * mixed[t.low] + t.fraction * mixed[t.high];
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
