#pragma once
// Other light on the same photograph.

#include "data/random.hpp"

#include <cambium/grid/grid.hpp>

#include <array>
#include <cstdint>

namespace trainer {

/// What a network subtracts from colours in [0,1], and divides by. Red, green, blue.
struct colour_scale {
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> deviation{0.229, 0.224, 0.225};
};

/// Of ImageNet: what pretrained networks have seen. The originals' for VOC, and BESTIE's whenever it evaluates.
inline constexpr colour_scale imagenet_colours{};
/// BESTIE's for trainings on data sets with "coco" in their name.
inline constexpr colour_scale coco_colours{{0.471, 0.448, 0.408}, {0.234, 0.239, 0.242}};

/// Colours towards black: c * factor. @param factor >= 0
void adjust_brightness(cambium::grid<std::uint8_t, 3>& photograph, double factor);
/// Colours away from the photograph's mean grey. @param factor >= 0; 1 changes nothing, 0 is grey
void adjust_contrast(cambium::grid<std::uint8_t, 3>& photograph, double factor);
/// Colours away from their own grey. @param factor >= 0; 1 changes nothing, 0 is grey
void adjust_saturation(cambium::grid<std::uint8_t, 3>& photograph, double factor);
/// Colours around the wheel, of which there are 256 steps. @param turns in [-0.5,0.5]
void adjust_hue(cambium::grid<std::uint8_t, 3>& photograph, double turns);

/// How far each may go.
struct jitter_options {
  double brightness = 0.3;  ///< the factor is in [1 - b, 1 + b], not below 0
  double contrast = 0.3;
  double saturation = 0.3;
  double hue = 0.1;  ///< [turns] in [-h,h]; h in [0,0.5]
};

/// Brightness, contrast, saturation and hue, each by chance, in an order of chance: the classifier of BESTIE's points.
///
/// @throws      cambium::precondition_error: options that are negative, a hue beyond 0.5
/// @determinism given by the dice
/// @source      ColorJitter, torchvision/transforms/transforms.py, on Pillow images: the same bytes for the same
///              factors
void jitter(cambium::grid<std::uint8_t, 3>& photograph, dice& d, jitter_options const& options = {});

struct photometric_options {
  double brightness = 16;     ///< [levels] added, in [-b,b]
  double contrast_low = 0.5;  ///< a factor between these
  double contrast_high = 1.5;
  double hue = 36;  ///< [degrees] in [-h,h]
  double chance = 0.5;
};

/// Brightness, contrast and hue, each with some chance; contrast comes before or after the hue.
///
/// Colours are kept as fractions, also beyond [0,255], and rounded down to bytes once, at the end.
///
/// @throws      cambium::precondition_error: options outside their ranges
/// @determinism given by the dice
/// @source      the photometric transform of utils/transforms/transforms.py of clovaai/BESTIE
void shift_colours(cambium::grid<std::uint8_t, 3>& photograph, dice& d, photometric_options const& options = {});

}  // namespace trainer
