#pragma once
// Masks for tests: rectangles, discs, noise, empty and full ones; and plain counts over their cells.

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <random>
#include <vector>

namespace support {

using byte_masks = cambium::grid<std::uint8_t, 3>;  ///< [N,H,W] 0 or 1

inline byte_masks random_masks(int N, int H, int W, std::uint64_t seed)
{
  byte_masks out(N, H, W);
  std::mt19937_64 bits(seed);
  auto const below = [&](int n) { return n > 0 ? static_cast<int>(bits() % static_cast<unsigned>(n)) : 0; };
  for (int i = 0; i < N; ++i) {
    int const kind = below(10), cy = below(H), cx = below(W), h = 1 + below(H), w = 1 + below(W),
              r = 1 + below(H / 2 + 1);
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        bool in = false;
        if (kind < 4) in = y >= cy && y < cy + h && x >= cx && x < cx + w;
        if (kind >= 4 && kind < 7) in = (y - cy) * (y - cy) + (x - cx) * (x - cx) <= r * r;
        if (kind == 7) in = bits() % 3 == 0;
        if (kind == 8) in = i % 2 == 0;                      // full, or empty
        if (kind == 9) in = i > 0 && out(i - 1, y, x) != 0;  // the same again
        out(i, y, x) = in;
      }
  }
  return out;
}

inline long shared(byte_masks const& a, int i, byte_masks const& b, int j)
{
  long n = 0;
  for (int y = 0; y < a.shape()[1]; ++y)
    for (int x = 0; x < a.shape()[2]; ++x) n += a(i, y, x) != 0 && b(j, y, x) != 0;
  return n;
}

inline double plain_iou(byte_masks const& a, int i, byte_masks const& b, int j)
{
  long const both = shared(a, i, b, j), all = shared(a, i, a, i) + shared(b, j, b, j) - both;
  return all == 0 ? 0. : static_cast<double>(both) / static_cast<double>(all);
}

/// N numbers of which some are equal.
inline std::vector<double> random_scores(int N, std::uint64_t seed, int steps = 7)
{
  std::mt19937_64 bits(seed);
  std::vector<double> out;
  for (int i = 0; i < N; ++i) out.push_back(static_cast<double>(bits() % static_cast<unsigned>(steps) + 1) / steps);
  return out;
}

}  // namespace support
