#pragma once
// Pixel-adaptive refinement as the papers' texts say it, in double, with lists of neighbours; for small maps.

#include <cambium/grid/grid.hpp>

#include <cmath>
#include <utility>
#include <vector>

namespace oracle {

using cambium::grid;

/// The neighbours of (y,x), dilation by dilation, NW N NE W E SW S SE, replicated at borders.
inline std::vector<std::pair<int, int>> around(int y, int x, int H, int W, std::vector<int> const& dilations)
{
  std::vector<std::pair<int, int>> cells;
  for (int const d : dilations)
    for (int const dy : {-d, 0, d})
      for (int const dx : {-d, 0, d})
        if (dy != 0 || dx != 0)
          cells.emplace_back(std::min(std::max(y + dy, 0), H - 1), std::min(std::max(x + dx, 0), W - 1));
  return cells;
}

inline std::vector<double> softmax(std::vector<double> v)
{
  double most = v[0], sum = 0;
  for (double const a : v) most = std::max(most, a);
  for (double& a : v) sum += a = std::exp(a - most);
  for (double& a : v) a /= sum;
  return v;
}

inline double deviation(std::vector<double> const& v)
{
  double mean = 0, squares = 0;
  for (double const a : v) mean += a / static_cast<double>(v.size());
  for (double const a : v) squares += (a - mean) * (a - mean);
  return std::sqrt(squares / static_cast<double>(v.size() - 1));
}

struct adaptive_rule {
  bool squared = true;
  double w1 = 0.3, w2 = 0.01;
  bool normalise = false;
};

/// [P,H,W]
template <class T>
grid<double, 3> adaptive_weights(grid<T, 3> const& image, std::vector<int> const& dilations, adaptive_rule const& rule)
{
  int const K = static_cast<int>(image.shape()[0]), H = static_cast<int>(image.shape()[1]),
            W = static_cast<int>(image.shape()[2]), P = static_cast<int>(8 * dilations.size());
  std::vector<double> distance;
  for (int const d : dilations)
    for (int i = 0; i < 8; ++i) distance.push_back(i == 1 || i == 3 || i == 4 || i == 6 ? d : d * std::sqrt(2.0));
  std::vector<double> position = distance;
  for (double& r : position) r = -std::pow(r / (deviation(distance) + 1e-8) / rule.w1, 2);
  position = softmax(position);
  grid<double, 3> out(P, H, W);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      auto const cells = around(y, x, H, W, dilations);
      std::vector<double> energy(cells.size(), 0.0);
      for (int c = 0; c < K; ++c) {
        std::vector<double> values;
        for (auto const& [qy, qx] : cells) values.push_back(image(c, qy, qx));
        std::vector<double> of_deviation = values;
        if (!rule.squared) of_deviation.insert(of_deviation.end(), dilations.size(), image(c, y, x));
        double const s = deviation(of_deviation);
        for (std::size_t k = 0; k < values.size(); ++k) {
          double const d = values[k] - image(c, y, x);
          energy[k] -= (rule.squared ? std::pow(d / (s + 1e-8) / rule.w1, 2) : std::fabs(d) / (1e-8 + rule.w1 * s)) / K;
        }
      }
      auto const colour = softmax(energy);
      for (std::size_t k = 0; k < colour.size(); ++k)
        out(k, y, x) = (colour[k] + rule.w2 * position[k]) / (rule.normalise ? 1 + rule.w2 : 1);
    }
  return out;
}

/// [C,H,W]
template <class T, class U>
grid<double, 3> adaptive_average(grid<T, 3> const& masks, grid<U, 3> const& weight, std::vector<int> const& dilations,
                                 int steps)
{
  int const C = static_cast<int>(masks.shape()[0]), H = static_cast<int>(masks.shape()[1]),
            W = static_cast<int>(masks.shape()[2]);
  grid<double, 3> from(C, H, W);
  for (std::size_t i = 0; i < from.cells().size(); ++i) from.cells()[i] = masks.cells()[i];
  for (int step = 0; step < steps; ++step) {
    grid<double, 3> to(C, H, W);
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        auto const cells = around(y, x, H, W, dilations);
        for (std::size_t k = 0; k < cells.size(); ++k)
          for (int c = 0; c < C; ++c)
            to(c, y, x) += weight(static_cast<int>(k), y, x) * from(c, cells[k].first, cells[k].second);
      }
    from = to;
  }
  return from;
}

/// [C,H,W] of [C,h,w], corner cells on corner cells.
template <class T>
grid<double, 3> with_corners(grid<T, 3> const& maps, int H, int W)
{
  int const C = static_cast<int>(maps.shape()[0]), h = static_cast<int>(maps.shape()[1]),
            w = static_cast<int>(maps.shape()[2]);
  auto const share = [](double source, int cell) { return std::max(0.0, 1 - std::fabs(source - cell)); };  // a tent
  grid<double, 3> out(C, H, W);
  for (int c = 0; c < C; ++c)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        double const sy = H == 1 ? 0 : static_cast<double>(y) * (h - 1) / (H - 1);
        double const sx = W == 1 ? 0 : static_cast<double>(x) * (w - 1) / (W - 1);
        for (int i = 0; i < h; ++i)
          for (int j = 0; j < w; ++j) out(c, y, x) += share(sy, i) * share(sx, j) * maps(c, i, j);
      }
  return out;
}

}  // namespace oracle
