#pragma once

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

/// Detections and true objects of one category on one image, and the overlap of each pair.
struct coco_pair {
  std::int32_t category = 0;        ///< from 0
  std::vector<double> score;        ///< D, finite, in the order of the file of results
  std::vector<double> area;         ///< D areas of the detected masks [pixels]
  std::vector<double> truth_area;   ///< G areas from the annotations [pixels]
  std::vector<std::uint8_t> crowd;  ///< G flags: a region of several objects
  /// [D,G] in [0,1]; for a crowd the fraction of the detection that lies on it. Equal boxes with fractions give a few
  /// ulps above 1. Values up to 1 + 1e-9 count as 1.
  grid<double, 2> iou;
};

}  // namespace cambium
