#pragma once
// How thresholds are judged without truth: image-level classes survive, none is invented, and labels do not hang on the
// threshold.

#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace labelling {

/// A threshold is compared with the one so many times as low and the one so many times as high.
inline constexpr double nearby = 1.1;

/// What one threshold does to the labels of one image, and of several: sums. All zero: no image.
struct judged_labels {
  cambium::index_t present = 0, survived = 0;  ///< pairs of an image and one of its classes
  cambium::index_t images = 0, clean = 0;      ///< images, and those without a class that they do not show
  double stable = 0;                           ///< agreement of the labels nearby

  judged_labels& operator+=(judged_labels const& other);
};

/// Judge the labels of one image.
/// @param shown       classes 1..255 that the image shows
/// @param least_area  [fraction of the image] below which a class has not survived
/// @param stable      the agreement of its labels at the thresholds nearby
[[nodiscard]] judged_labels judge_labels(cambium::grid<std::int32_t, 2> const& labels, std::vector<int> const& shown,
                                         double least_area, double stable);

/// How far two label maps agree: intersection over union of what they call background, or of their classes where that
/// is less. So a threshold so low that all is foreground is as bad as one so high that nothing is.
[[nodiscard]] double agreement(cambium::grid<std::int32_t, 2> const& a, cambium::grid<std::int32_t, 2> const& b);

/// Three fractions. The threshold with the largest product is chosen.
struct criterion {
  double survive = 0, clean = 0, stable = 0;
  double product() const { return survive * clean * stable; }
};

/// @param images  in their order: sums do not depend on threads
[[nodiscard]] criterion judge(std::vector<judged_labels> const& images);

/// The place of the largest value, of equal ones the first. A NaN is never larger.
template <class Value>
[[nodiscard]] std::size_t place_of_largest(std::size_t count, Value const& value)
{
  std::size_t at = 0;
  for (std::size_t i = 1; i < count; ++i)
    if (value(i) > value(at)) at = i;
  return at;
}

}  // namespace labelling
