#pragma once
// Scores after the walk on disk: scores/<id>.png below --out. `sweep` tries thresholds on them without walking again.
//
// A file is one 16-bit image of planes at the maps' size, one below the other: the boundary, the class scores, the
// instance channels with a nonzero score. A value is a fraction of its kind's maximum. The record lists the planes.

#include "record.hpp"

#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

struct kept_scores {
  cambium::grid<float, 2> boundary;         ///< [h,w]
  cambium::grid<float, 3> classes;          ///< [C,h,w]
  cambium::grid<float, 3> instances;        ///< [N,h,w]
  std::vector<std::int32_t> instance_keys;  ///< N 0-based classes
  bool with_instances = false;              ///< there was a displacement field
};

/// The file's content. `about` receives the record's description of it.
cambium::bytes format_scores(kept_scores const& scores, json& about);

/// @throws io_error "file: reason"
kept_scores parse_scores(cambium::bytes const& content, std::string const& path, json const& about);

}  // namespace labelling
