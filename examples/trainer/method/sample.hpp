#pragma once
// One photograph as a network sees it while it learns: changed by chance, with its semantic map and its cues.

#include "data/random.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>

#include <torch/types.h>

#include <cstdint>

namespace trainer {

/// How colours change. Of each the amount is drawn evenly from the range.
struct colour_change {
  double often = 1;       ///< chance of each of the changes
  double shift = 0;       ///< [0,255] added: -shift..shift
  double brightness = 0;  ///< times 1 - b .. 1 + b
  double contrast = 0;    ///< away from the mean, times 1 - c .. 1 + c
  double saturation = 0;  ///< away from grey, times 1 - s .. 1 + s
  double hue = 0;         ///< [turns] -h..h
};

struct sample_options {
  cambium::extent2 squash{};   ///< [pixels] whatever the photograph's shape; 0 x 0: not
  std::int64_t long_side = 0;  ///< [pixels] shrunk or enlarged to it; 0: not. Sides become 32 k + 1 (upwards)
  double scale_least = 1;      ///< then a factor from here
  double scale_most = 1;       ///< to here
  double scale_step = 0.1;     ///< in steps like this
  std::int64_t crop = 0;       ///< [pixels] a square of it at random, padded where needed; 0: as it is
  bool flip = true;            ///< every other one is mirrored
  std::uint8_t outside = 0;    ///< label of what is padded: 0 is the original, though it teaches background; or 255
  colour_change colours{};
};

/// BESTIE's for its instance network: long side 449, scales 0.7 to 1.3, crops of 416.
[[nodiscard]] sample_options bestie_sample();
/// BESTIE's for its classifier: squashed to 384 x 384, crops of 321.
[[nodiscard]] sample_options peak_classifier_sample();

struct sample {
  torch::Tensor image;     ///< [3,H,W] float: (x/255 - mean) / deviation, those of ImageNet
  torch::Tensor semantic;  ///< [H,W] uint8
  cambium::points cues;    ///< those inside, at whole pixels
};

/// Mean and deviation of ImageNet: [1,3,H,W] of a photograph [H,W,3].
[[nodiscard]] torch::Tensor normalised_photograph(cambium::view<std::uint8_t const, 3> photograph);

/// A sample for training.
///
/// @param photograph  [H,W,3]
/// @param semantic    [H,W], or without data where nobody needs it
/// @param random      what is drawn, in a fixed order
/// @throws cambium::precondition_error: sizes that differ, options outside their ranges
/// @source photometric distortion, resize, random scale, crop, flip: utils/LoadData.py and utils/transforms of
///         clovaai/BESTIE, in this order. Colours change in one order here, brightness first, there in one of two;
///         points round down once at the end, as there
[[nodiscard]] sample make_sample(cambium::view<std::uint8_t const, 3> photograph,
                                 cambium::image_view<std::uint8_t const> semantic, cambium::points const& cues,
                                 sample_options const& options, dice& random);

}  // namespace trainer
