#pragma once
// Oracle: components by filling, one after another in raster order. Shares no line with the library.

#include <cstdint>
#include <vector>

namespace oracle {

/// The label of every cell of an H x W map, 0 outside. inside(y, x), join(y, x, ny, nx).
template <class Inside, class Join>
std::vector<std::int64_t> flood_fill(std::int64_t H, std::int64_t W, bool corners, Inside const& inside,
                                     Join const& join)
{
  std::vector<std::int64_t> label(static_cast<std::size_t>(H * W)), waiting;
  std::int64_t count = 0;
  for (std::int64_t start = 0; start < H * W; ++start) {
    if (label[start] != 0 || !inside(start / W, start % W)) continue;
    label[start] = ++count;
    waiting.push_back(start);
    while (!waiting.empty()) {
      std::int64_t const y = waiting.back() / W, x = waiting.back() % W;
      waiting.pop_back();
      for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx) {
          if (!corners && dy != 0 && dx != 0) continue;
          std::int64_t const ny = y + dy, nx = x + dx;
          if (ny < 0 || ny >= H || nx < 0 || nx >= W || label[ny * W + nx] != 0) continue;
          if (!inside(ny, nx) || !join(y, x, ny, nx)) continue;
          label[ny * W + nx] = count;
          waiting.push_back(ny * W + nx);
        }
    }
  }
  return label;
}

}  // namespace oracle
