#pragma once
// Masks as plain cells, and their runs by an oracle.

#include <cambium/io/rle.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace support {

using cambium::grid, cambium::index_t, cambium::rle;

/// Oracle: the mask written down column by column, then counted.
inline std::vector<index_t> count_runs(index_t H, index_t W, std::vector<char> const& mask)
{
  std::string columns;
  for (index_t x = 0; x < W; ++x)
    for (index_t y = 0; y < H; ++y) columns += mask[static_cast<std::size_t>(y * W + x)] ? '1' : '0';
  std::vector<index_t> counts{0};
  char expected = '0';
  for (char const c : columns) {
    if (c != expected) counts.push_back(0), expected = c;
    ++counts.back();
  }
  return counts;
}

using cells = std::vector<char>;

inline cells noise(index_t H, index_t W, int tenths, std::mt19937& bits)
{
  cells out(static_cast<std::size_t>(H * W));
  for (char& c : out) c = static_cast<int>(bits() % 10) < tenths;
  return out;
}

inline cells cells_of(grid<std::uint8_t, 2> const& g) { return {g.cells().begin(), g.cells().end()}; }

inline rle runs_of(index_t H, index_t W, cells const& mask) { return {H, W, count_runs(H, W, mask)}; }

/// The same mask with empty runs put in.
inline rle padded(rle mask, std::mt19937& bits)
{
  std::vector<index_t> out;
  for (index_t const c : mask.counts) {
    out.push_back(c);
    if (bits() % 3 == 0 && c > 0) {
      index_t const part = bits() % (c + 1);
      out.back() = part;
      out.push_back(0);
      out.push_back(c - part);
    }
  }
  mask.counts = out;
  return mask;
}

}  // namespace support
