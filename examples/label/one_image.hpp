#pragma once
// Labels one image from its files.

#include "image_set.hpp"
#include "image_source.hpp"
#include "record.hpp"
#include "settings.hpp"

#include <cambium/exec/cpu.hpp>
#include <cambium/io/file.hpp>

#include <string>
#include <utility>
#include <vector>

namespace labelling {

/// The outputs of one image, before they are written.
struct labelled_image {
  std::string id;
  std::vector<std::pair<std::string, cambium::bytes>> files;  ///< names below --out
  json record;
};

/// Labels one image.
/// @param from  where its inputs are
/// @throws io_error "file: reason"
labelled_image label_image(settings const& s, image_set const& set, std::string const& id, image_source const& from,
                           cambium::cpu const& where);

/// Writes an image's files into the output folder, then its record. Each file is written completely or not at all.
/// @throws io_error "file: reason"
void write_image(settings const& s, labelled_image const& image);

}  // namespace labelling
