#pragma once
// Instances drawn on a photograph.

#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace labelling {

/// The i-th colour. Hues are a golden angle apart, so consecutive colours differ most.
inline cambium::rgb distinct_colour(int i)
{
  double const hue = std::fmod(0.11 + 0.6180339887498949 * i, 1.0) * 6;
  auto const channel = [&](double shift) {
    double const k = std::fmod(shift + hue, 6.0);
    return static_cast<std::uint8_t>(255 * (1 - 0.85 * std::max(0.0, std::min({k, 4 - k, 1.0}))));
  };
  return {channel(5), channel(3), channel(1)};
}

/// Tints every instance and outlines it; fragments (score 0) are outlined in grey only.
/// @param photograph [H,W,3]
inline cambium::grid<std::uint8_t, 3> draw_instances(cambium::grid<std::uint8_t, 3> photograph,
                                                     cambium::instances<> const& objects)
{
  using cambium::index_t;
  auto const& label = objects.label;
  index_t const H = label.shape()[0], W = label.shape()[1];
  auto const differs = [&](index_t y, index_t x, index_t dy, index_t dx) {
    index_t const ny = y + dy, nx = x + dx;
    return ny < 0 || ny >= H || nx < 0 || nx >= W || label(ny, nx) != label(y, x);
  };
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (label(y, x) == 0) continue;
      auto const& object = objects.found[static_cast<std::size_t>(label(y, x) - 1)];
      bool const fragment = object.score <= 0;
      auto const colour = fragment ? cambium::rgb{160, 160, 160} : distinct_colour(label(y, x) - 1);
      bool edge = false;
      for (index_t d = 1; d <= 2; ++d)
        edge = edge || differs(y, x, d, 0) || differs(y, x, -d, 0) || differs(y, x, 0, d) || differs(y, x, 0, -d);
      double const opacity = edge ? 1 : fragment ? 0 : 0.45;
      std::uint8_t* const pixel = &photograph(y, x, 0);
      std::uint8_t const paint[3] = {colour.red, colour.green, colour.blue};
      for (int c = 0; c < 3; ++c)
        pixel[c] = static_cast<std::uint8_t>(std::lround(opacity * paint[c] + (1 - opacity) * pixel[c]));
    }
  return photograph;
}

}  // namespace labelling
