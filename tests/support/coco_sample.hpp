#pragma once
// A small data set in COCO's format.

#include "support/catch.hpp"

#include <cambium/io/file.hpp>

#include <string>

namespace support {

inline cambium::bytes text(std::string const& s) { return {s.begin(), s.end()}; }

inline std::string const sound = R"({
  "info": {"year": 2014}, "licenses": [],
  "images": [{"id": 7, "height": 3, "width": 4, "file_name": "a.jpg", "license": 1}, {"id": 9, "height": 2, "width": 2}],
  "categories": [{"id": 3, "name": "car", "supercategory": "vehicle"}, {"id": 90, "name": "toothbrush"}],
  "annotations": [
    {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 4, "bbox": [1, 0, 2, 2],
     "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]},
    {"id": 2, "image_id": 7, "category_id": 90, "iscrowd": 1, "area": 3.5, "bbox": [0, 0, 1, 3],
     "segmentation": {"size": [3, 4], "counts": [0, 3, 9]}},
    {"id": 5, "image_id": 9, "category_id": 3, "segmentation": {"size": [2, 2], "counts": "121"}},
    {"id": 6, "image_id": 9, "category_id": 3, "area": 1, "bbox": [0, 0, 1, 1]}
  ]})";

/// The sound file with one piece replaced.
inline std::string with(std::string const& what, std::string const& by)
{
  auto const at = sound.find(what);
  REQUIRE(at != std::string::npos);
  return std::string(sound).replace(at, what.size(), by);
}

}  // namespace support
