#pragma once
// Curves of a training, drawn pixel by pixel.

#include "run/journal.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/png.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

struct curves_options {
  cambium::index_t height = 480;  ///< [pixels], at least 120
  cambium::index_t width = 800;   ///< [pixels], at least 200
  bool logarithmic = false;       ///< the axis of losses; values of 0 and below are then left out
  double smooth = 0.02;           ///< the smoothed line looks back over this part of the entries; 0 draws no such line
};

/// Draws the losses of a log over its steps.
///
/// One colour a loss. The faint line is what was measured, the strong one its running mean (exponential, begun without
/// bias). Values that are no finite numbers are gaps. The axis of losses spans the strong lines and the middle 98 % of
/// what was measured; what lies beyond leaves the frame.
///
/// @param entries  in order; names of losses may come and go. Letters that the font lacks are drawn as boxes
/// @return [height,width,3]
///
/// @throws      cambium::precondition_error: a picture too small to draw on, smooth outside [0,1]
/// @determinism the same bytes on every machine that rounds as IEEE 754 says
[[nodiscard]] cambium::grid<std::uint8_t, 3> draw_curves(std::vector<journal_entry> const& entries,
                                                         curves_options const& options = {});

/// Numbers worth writing at an axis: multiples of 1, 2 or 5 times a power of ten in [low,high], about `wanted` of them.
[[nodiscard]] std::vector<double> ticks(double low, double high, int wanted);

/// Writes text into a picture with a font of 5 x 7 pixels, 6 a letter; what lies outside is cut off.
/// @param y,x  the upper left corner
void draw_text(cambium::grid<std::uint8_t, 3>& picture, cambium::index_t y, cambium::index_t x, std::string const& text,
               cambium::rgb colour);

/// The colour of curve number i.
[[nodiscard]] cambium::rgb curve_colour(std::size_t i);

}  // namespace trainer
