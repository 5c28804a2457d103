#pragma once
// Figures of a set of images with their bootstrap intervals. The draws are the same for all arms, so differences are
// paired.

#include "photographs/measured.hpp"

#include <cambium/exec/cpu.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace labelling {

/// How often images were drawn, with replacement: as many as there are, in their order.
using draw = std::vector<std::size_t>;

/// @param images  at least 1
[[nodiscard]] std::vector<draw> draw_images(std::size_t images, int count, std::uint64_t seed);

/// A figure of some images: NaN where it is not defined.
using figure = std::function<double(draw const& of)>;

/// mIoU, and AP^r at an overlap of 0.5. Both hold `images`, one entry an image.
[[nodiscard]] figure miou_of(std::vector<measured const*> images);
[[nodiscard]] figure ap50_of(std::vector<measured const*> images);

/// A figure of all images, and of every draw.
struct resampled {
  double value = 0;
  std::vector<double> of_draw;

  resampled operator-(resampled const& other) const;
};
[[nodiscard]] resampled resample(cambium::cpu const& where, figure const& f, std::size_t images,
                                 std::vector<draw> const& draws);

/// Where 95 % of the draws lie: from the 2.5th to the 97.5th percentile by the nearest rank. Draws without the figure are
/// left out; without any both are NaN.
struct interval {
  double low = 0, high = 0;
};
[[nodiscard]] interval interval_of(resampled const& r);

}  // namespace labelling
