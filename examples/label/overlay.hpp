#pragma once
// Instances drawn on a photograph.

#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

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
  static auto const tinted = [] {  // by paint and pixel
    std::vector<std::uint8_t> out;
    for (int paint = 0; paint < 256; ++paint)
      for (int pixel = 0; pixel < 256; ++pixel)
        out.push_back(static_cast<std::uint8_t>(std::lround(0.45 * paint + (1 - 0.45) * pixel)));
    return out;
  }();
  std::vector<cambium::rgb> colours;
  for (auto const& object : objects.found)
    colours.push_back(object.score <= 0 ? cambium::rgb{160, 160, 160}
                                        : distinct_colour(static_cast<int>(colours.size())));
  index_t const H = objects.label.shape()[0], W = objects.label.shape()[1];
  for (index_t y = 0; y < H; ++y) {
    std::int32_t const* const row = &objects.label(y, 0);
    bool const at_border = y < 2 || y + 2 >= H;
    for (index_t x = 0; x < W; ++x) {
      auto const label = row[x];
      if (label == 0) continue;
      bool edge = at_border || x < 2 || x + 2 >= W;
      for (index_t d = 1; d <= 2 && !edge; ++d)
        edge = row[x + d] != label || row[x - d] != label || row[x + d * W] != label || row[x - d * W] != label;
      auto const at = static_cast<std::size_t>(label - 1);
      if (!edge && objects.found[at].score <= 0) continue;
      std::uint8_t* const pixel = &photograph(y, x, 0);
      std::uint8_t const paint[3] = {colours[at].red, colours[at].green, colours[at].blue};
      for (int c = 0; c < 3; ++c)
        pixel[c] = edge ? paint[c] : tinted[static_cast<std::size_t>(256 * paint[c] + pixel[c])];
    }
  }
  return photograph;
}

}  // namespace labelling
