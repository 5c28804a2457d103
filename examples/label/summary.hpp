#pragma once
// What the records of a set say together: detections.json, manifest.json and, with truth, scores.json. Records come one
// at a time: of a set without truth nothing is kept in memory.

#include "image_notes.hpp"
#include "image_set.hpp"
#include "options.hpp"
#include "settings.hpp"
#include "truth.hpp"

#include <cambium/io/file.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

struct summary {
  std::size_t images = 0;           ///< with a record
  std::vector<std::size_t> absent;  ///< places of images without one
  std::size_t instances = 0;
  std::size_t fragments = 0;  ///< instances of score 0
  bool scored = false;
  double miou = 0, best_overlap = 0;           ///< NaN where nothing is true
  std::optional<double> cam_miou;              ///< of what the method started from, if it says
  std::vector<cambium::average_precision> ap;  ///< at 0.25, 0.5, 0.7, 0.75
  std::vector<std::string> notes;              ///< what is strange about the truth or the images
};

/// The files of a whole set: names below --out.
std::vector<std::string> summary_files();

/// The scores on standard output, if there is truth.
void print(summary const& total);

/// What all images of a run share, and its summary repeats.
struct run_words {
  std::string version;
  json parameters;
  json categories;  ///< of a COCO file: what the manifest says of classes; null without one
  bool scored = false, instances_scored = false;
};
run_words words_of(settings const& s);

class summary_writer {
 public:
  /// @throws io_error, as all members do
  summary_writer(std::filesystem::path out, run_words about);

  /// The next image.
  /// @param number  of the image in COCO files
  /// @param record  its "height", "width", "inputs", "outputs", and with truth "truth" and "classes"
  void add(std::int64_t number, std::string const& name, json const& record);
  /// The next object of that image.
  void add_detection(json const& detection);

  /// Write the files.
  /// @param listed  images there should be
  summary finish(std::size_t listed);

 private:
  void write_scores();

  std::filesystem::path out_;
  run_words about_;
  summary total_;
  cambium::file_replacement detections_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> entries_;  ///< of the manifest, a file without a name
  std::int64_t number_ = 0;
  cambium::confusion_matrix labels_{256}, cam_{256};
  bool compared_ = false;  ///< with what the method started from
  std::vector<cambium::image_result> results_;
  odd_count without_tag_;  ///< images whose points are all of classes that their tags do not name
  odd_truth odd_;
  image_notes notes_;
};

/// The summary of a folder of records.
summary write_summary(settings const& s, image_set const& set);

}  // namespace labelling
