#pragma once
// Oracle: bilinear enlargement as a sum of tents over all cells of the map. Slow, and shares no line with the library.

#include <algorithm>
#include <cmath>

namespace oracle {

/// The h x w map v(y, x) at output cell (y, x), when one input cell becomes down x across output cells.
template <class Map>
double stretched(Map const& v, int h, int w, double down, double across, int y, int x)
{
  double const sy = std::clamp((y + 0.5) / down - 0.5, 0.0, h - 1.0);
  double const sx = std::clamp((x + 0.5) / across - 0.5, 0.0, w - 1.0);
  double sum = 0;
  for (int i = 0; i < h; ++i)
    for (int j = 0; j < w; ++j) {
      double const weight = std::max(0.0, 1 - std::abs(sy - i)) * std::max(0.0, 1 - std::abs(sx - j));
      if (weight > 0) sum += weight * static_cast<double>(v(i, j));
    }
  return sum;
}

}  // namespace oracle
