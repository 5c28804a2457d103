#pragma once
// What networks would say of a scene, simulated from its masks: **nothing here is learned**. CAMs light up on a
// part of each object and leak, boundaries have gaps and false edges, displacements are noisy.

#include "scenes.hpp"

#include <cambium/activation/normalise.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace demo {

struct network_outputs {
  std::vector<int> classes;     ///< 1..4, of the channels
  grid<float, 3> cams;          ///< [C,h,w]
  grid<float, 2> boundary;      ///< [h,w]
  grid<float, 3> displacement;  ///< [2,h,w], in cells of stride 4
};

inline network_outputs simulate(scene const& s, int seed)
{
  dice d(77000 + static_cast<std::uint64_t>(seed));
  index_t const H = s.instance.shape()[0], W = s.instance.shape()[1], h = (H - 1) / 4 + 1, w = (W - 1) / 4 + 1;
  auto const label = [&](index_t y, index_t x) {
    return s.instance(std::clamp<index_t>(4 * y, 0, H - 1), std::clamp<index_t>(4 * x, 0, W - 1));
  };
  network_outputs out;
  for (int c = 1; c <= classes; ++c)
    if (std::any_of(s.objects.begin(), s.objects.end(), [&](object const& o) { return o.category == c; }))
      out.classes.push_back(c);
  noise const wobble(d, 7), speckle(d, 2.5), drift(d, 12), gap(d, 5);

  grid<float, 3> cams(out.classes.size(), h, w);
  for (std::size_t k = 0; k < out.classes.size(); ++k)
    for (index_t y = 0; y < h; ++y)
      for (index_t x = 0; x < w; ++x) {
        double sum =
            0.05 * (1 + speckle(static_cast<double>(y), static_cast<double>(x) + 40.0 * static_cast<double>(k)));
        for (object const& o : s.objects) {
          if (o.category != out.classes[k]) continue;
          double const dy = (4.0 * static_cast<double>(y) - o.y) / o.size - o.part_y,
                       dx = (4.0 * static_cast<double>(x) - o.x) / o.size - o.part_x;
          sum = std::max(sum, std::exp(-1.6 * (dy * dy + dx * dx)) *
                                  (1 + 0.2 * wobble(static_cast<double>(y), static_cast<double>(x))));
        }
        cams(k, y, x) = static_cast<float>(std::max(0.0, sum));
      }
  out.cams = cambium::normalise(cambium::cpu{}, cams);

  out.boundary = grid<float, 2>(h, w);
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) {
      double edge = 0;
      for (index_t dy = -1; dy <= 1; ++dy)
        for (index_t dx = -1; dx <= 1; ++dx)
          if (label(y, x) != label(std::clamp<index_t>(y + dy, 0, h - 1), std::clamp<index_t>(x + dx, 0, w - 1)))
            edge = std::max(edge, dy == 0 || dx == 0 ? 0.9 : 0.7);
      double const fy = static_cast<double>(y), fx = static_cast<double>(x);
      if (gap(fy, fx) > 0.72) edge *= 0.35;                                        // a gap
      edge = std::max(edge, 0.28 * std::max(0.0, speckle(fy, fx) - 0.35) / 0.65);  // a false edge
      out.boundary(y, x) = static_cast<float>(std::clamp(edge + 0.03 * wobble(fx, fy), 0.0, 1.0));
    }

  std::vector<double> cy(s.objects.size() + 1), cx(cy.size()), area(cy.size());
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) {
      auto const i = static_cast<std::size_t>(label(y, x));
      cy[i] += static_cast<double>(y), cx[i] += static_cast<double>(x), area[i] += 1;
    }
  out.displacement = grid<float, 3>(2, h, w);
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) {
      auto const i = static_cast<std::size_t>(label(y, x));
      double const fy = static_cast<double>(y), fx = static_cast<double>(x);
      double const to_y = i == 0 ? 0 : 0.75 * (cy[i] / area[i] - fy), to_x = i == 0 ? 0 : 0.75 * (cx[i] / area[i] - fx);
      out.displacement(0, y, x) = static_cast<float>(to_y + 0.9 * drift(fy, fx) + 0.25 * speckle(fy, fx));
      out.displacement(1, y, x) = static_cast<float>(to_x + 0.9 * drift(fx + 30, fy) + 0.25 * speckle(fx, fy));
    }
  return out;
}

}  // namespace demo
