#pragma once
// What is kept of each image for --resume and for putting shards together: records/<id>.json below --out.

#include "image_set.hpp"
#include "image_source.hpp"
#include "method.hpp"
#include "settings.hpp"

#include <cambium/io/file.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

/// SHA-256 in hexadecimal, as `sha256sum` prints it.
std::string hash(cambium::bytes const& content);

/// Hash of the parameters and of the version: equal fingerprints and equal inputs give equal outputs.
std::string fingerprint(settings const& s);

std::filesystem::path record_path(settings const& s, std::string const& id);

/// The record of an earlier run if it still holds: same fingerprint and tags, inputs and outputs unchanged.
bool still_holds(settings const& s, image_set const& set, std::string const& id, image_source const& from);

/// The tags of an image as its record keeps them; null without a tags file.
json tags_of(image_set const& set, std::string const& id);

/// Every file that labels of an image may have, of any method: names below --out.
std::vector<std::string> possible_outputs(std::string const& id);

/// The files of a whole set: names below --out.
std::vector<std::string> summary_files();

/// Delete what an earlier run wrote for an image that now fails.
void forget(settings const& s, std::string const& id);

/// What all records together say, written as detections.json, manifest.json and, with truth, scores.json.
struct summary {
  std::size_t images = 0;  ///< with a record
  std::size_t instances = 0;
  std::size_t fragments = 0;  ///< instances of score 0
  bool scored = false;
  double miou = 0, best_overlap = 0;           ///< NaN where nothing is true
  std::optional<double> cam_miou;              ///< of what the method started from, if it says
  std::vector<cambium::average_precision> ap;  ///< at 0.25, 0.5, 0.7, 0.75
  std::vector<std::string> notes;              ///< what is strange about the truth
};
summary write_summary(settings const& s, image_set const& set);

}  // namespace labelling
