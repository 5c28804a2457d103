#pragma once
// From the files of one image to its labels.

#include "image_set.hpp"
#include "record.hpp"
#include "settings.hpp"
#include "truth.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace labelling {

/// Everything read for one image, checked: shapes agree, numbers are finite and in range.
struct image_input {
  cambium::grid<std::uint8_t, 3> photograph;  ///< [H,W,3]
  cambium::grid<float, 3> cams;               ///< [C,h,w]
  cambium::grid<float, 2> boundary;           ///< [h,w], scaled
  cambium::grid<float, 3> displacement;       ///< [2,h,w] or empty
  std::vector<int> classes;                   ///< C labels, 1..254
  truth is;
  std::map<std::string, std::string> hashes;  ///< of each input file

  cambium::irnet_input<float> maps() const;
};

/// @throws io_error "file: reason"
image_input read_input(settings const& s, image_set const& set, std::string const& id);

/// What labelling one image made, not yet written.
struct labelled_image {
  std::string id;
  std::vector<std::pair<std::string, cambium::bytes>> files;  ///< names below --out
  json record;
};

/// Labels one image.
/// @throws io_error "file: reason"
labelled_image label_image(settings const& s, image_set const& set, std::string const& id, cambium::cpu const& where);

/// A JPEG or a PNG, whatever its name.
/// @throws io_error "file: reason"
cambium::grid<std::uint8_t, 3> decode_photograph(cambium::bytes const& content, std::string const& path);

/// Semantic labels refined by the photograph's CRF: each pixel background or one of the classes.
cambium::grid<std::int32_t, 2> refine_classes(cambium::cpu const& where, cambium::dense_crf const& field,
                                              cambium::grid<std::int32_t, 2> const& semantic,
                                              std::vector<int> const& classes);

/// Writes an image's files and its record, each whole or not at all, the record last.
/// @throws io_error "file: reason"
void write_image(settings const& s, labelled_image const& image);

}  // namespace labelling
