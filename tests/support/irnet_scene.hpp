#pragma once

#include <cambium/grid/instance.hpp>
#include <cambium/pipeline/irnet.hpp>

#include "support/dense_walk.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace support {

using cambium::index_t;

/// Random maps of one image.
struct irnet_scene {
  cambium::extent2 image;
  cambium::grid<double, 3> cams;
  cambium::grid<double, 2> boundary;
  cambium::grid<double, 3> displacement;
  std::vector<std::int32_t> keys;

  irnet_scene(index_t C, index_t H, index_t W, unsigned seed)
      : image{H, W},
        cams(uniform<double, 3>({C, (H - 1) / 4 + 1, (W - 1) / 4 + 1}, 0, 1, seed)),
        boundary(uniform<double, 2>({(H - 1) / 4 + 1, (W - 1) / 4 + 1}, 0, 0.9, seed + 100)),
        displacement(uniform<double, 3>({2, (H - 1) / 4 + 1, (W - 1) / 4 + 1}, -4, 4, seed + 200))
  {
    for (auto& v : cams.cells()) v = v * v * v;  // most cells are far from the maximum, as in a CAM
    for (index_t c = 0; c < C; ++c) keys.push_back(static_cast<std::int32_t>(3 * c + 2));
  }

  cambium::irnet_input<double> with_displacement() const
  {
    return {cams.view(), keys, boundary.view(), displacement.view(), image};
  }
  cambium::irnet_input<double> without_displacement() const { return {cams.view(), keys, boundary.view(), {}, image}; }

  /// Oracle: the dense matrix of the original squared `times` times, every pixel's score as a sum over all cells, and
  /// the largest of them over the background.
  cambium::grid<std::int32_t, 2> semantic_by_definition(int radius, double beta, int times, double background) const
  {
    int const C = static_cast<int>(keys.size()), h = static_cast<int>(boundary.shape()[0]);
    int const w = static_cast<int>(boundary.shape()[1]);
    oracle::matrix seeds(keys.size(), std::vector<double>(static_cast<std::size_t>(h * w)));
    for (int c = 0; c < C; ++c)
      for (int v = 0; v < h * w; ++v) seeds[c][v] = cams(c, v / w, v % w) * (1 - boundary(v / w, v % w));
    auto const walked = oracle::dense_walk(
        seeds, h, w, radius,
        [&](int y0, int x0, int y1, int x1) { return std::pow(oracle::affinity(boundary, y0, x0, y1, x1), beta); },
        times);
    auto const share = [](index_t pixel, int cell, int cells) {
      double const point = std::clamp((static_cast<double>(pixel) + 0.5) / 4 - 0.5, 0.0, cells - 1.0);
      return std::max(0.0, 1 - std::abs(point - cell));
    };
    cambium::grid<double, 3> score(C, image.height, image.width);
    double most = 0;
    for (int c = 0; c < C; ++c)
      for (index_t y = 0; y < image.height; ++y)
        for (index_t x = 0; x < image.width; ++x) {
          for (int v = 0; v < h * w; ++v) score(c, y, x) += share(y, v / w, h) * share(x, v % w, w) * walked[c][v];
          most = std::max(most, score(c, y, x));
        }
    cambium::grid<std::int32_t, 2> label(image.height, image.width);
    for (index_t y = 0; y < image.height; ++y)
      for (index_t x = 0; x < image.width; ++x) {
        double best = background;
        for (int c = 0; c < C; ++c)
          if (score(c, y, x) / most > best) best = score(c, y, x) / most, label(y, x) = keys[c] + 1;
      }
    return label;
  }
};

/// Oracle: pieces of equal labels, flooded from their first cell; by label, then in raster order of that cell.
inline std::vector<cambium::instance> pieces_of(cambium::grid<std::int32_t, 2> label)
{
  std::vector<cambium::instance> found;
  index_t const H = label.shape()[0], W = label.shape()[1];
  for (index_t at = 0; at < H * W; ++at) {
    auto const mine = label(at / W, at % W);
    if (mine <= 0) continue;
    cambium::instance piece{mine, 0, 0, {H, W, 0, 0}};
    std::vector<std::pair<index_t, index_t>> left{{at / W, at % W}};
    while (!left.empty()) {
      auto const [y, x] = left.back();
      left.pop_back();
      if (y < 0 || x < 0 || y >= H || x >= W || label(y, x) != mine) continue;
      label(y, x) = -1;
      ++piece.area;
      auto& b = piece.bounds;
      b = {std::min(b.top, y), std::min(b.left, x), std::max(b.bottom, y + 1), std::max(b.right, x + 1)};
      left.insert(left.end(), {{y - 1, x}, {y + 1, x}, {y, x - 1}, {y, x + 1}});
    }
    found.push_back(piece);
  }
  std::stable_sort(found.begin(), found.end(), [](auto const& a, auto const& b) { return a.category < b.category; });
  return found;
}

}  // namespace support
