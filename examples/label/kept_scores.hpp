#pragma once
// Walked scores on disk, so that thresholds can be tried without walking again: scores/<id>.png below --out.
//
// One 16-bit image, its planes one below the other at the maps' size: the boundary, the class scores, the instance
// channels that score at all. A value is a fraction of its kind's maximum. The record says what lies where.

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

/// The file's content, and what its record says of it.
cambium::bytes format_scores(kept_scores const& scores, json& about);

/// @throws io_error "file: reason"
kept_scores parse_scores(cambium::bytes const& content, std::string const& path, json const& about);

}  // namespace labelling
