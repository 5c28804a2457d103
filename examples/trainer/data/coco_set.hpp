#pragma once
// A data set in COCO's form: one JSON file of instances, and a folder of photographs.

#include "data/dataset.hpp"
#include "data/known_truth.hpp"

#include <cambium/io/coco.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trainer {

struct coco_set_options {
  std::filesystem::path annotations;  ///< instances_train2017.json
  std::filesystem::path photographs;  ///< train2017
  bool with_objects_only = true;      ///< images that nothing is known of are left out
  cambium::crowds crowds = cambium::crowds::ignore;
};

/// A training set from COCO's files. Classes are the file's categories by ascending id, from 0: of COCO itself 0..79.
///
/// Regions that are marked as crowds are ignored unless the options say otherwise: nobody counted what is in them. They
/// are neither boxes nor tags, and their pixels are neither objects nor background, in training and in the truth. Tags
/// and boxes are of the other annotations; boxes of fractions grow to whole pixels, at least one each way, and are cut
/// at the photograph. A box that is none leaves its tag and is said: in remarks(), and with the image, whose other
/// boxes then are not all there are.
class coco_set final : public dataset, public known_truth {
 public:
  /// @throws cambium::io_error naming the file and the entry: JSON that does not parse or does not fit together, no
  ///         image, no category, no such folder, file names that leave it or are the same but for their endings
  explicit coco_set(coco_set_options options);

  /// What a person should hear of the file, a sentence each: see cambium::remarks_on.
  [[nodiscard]] std::vector<std::string> const& remarks() const { return remarks_; }

  [[nodiscard]] std::size_t size() const override { return images_.size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return names_; }
  /// The file's name without its ending, with its folders: see cambium::id_of_file.
  [[nodiscard]] std::string id(std::size_t i) const override;
  [[nodiscard]] std::string file_name(std::size_t i) const override { return at(i).image.file_name; }
  [[nodiscard]] std::int64_t image_id(std::size_t i) const override { return at(i).image.id; }
  /// @throws cambium::precondition_error: a class outside the set's
  [[nodiscard]] std::int64_t category_id(std::int32_t category) const override;
  [[nodiscard]] std::uint64_t weak_labels() const override;
  /// @throws cambium::io_error: a missing or damaged photograph, or one of another size than the file says. JPEG or PNG
  ///         is found out from the content
  [[nodiscard]] weak_image load(std::size_t i) const override;
  /// Has every object a mask? An image without objects shows background alone.
  [[nodiscard]] bool has_truth(std::size_t i) const override;
  /// Masks of all objects, in the file's order; where they overlap the later one has the cell, and one that is wholly
  /// covered is left out. @throws cambium::io_error: an object without a mask
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override;
  /// Crowds that are ignored, where no object is.
  [[nodiscard]] cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override;

 private:
  struct entry {
    cambium::coco_image image;
    std::vector<std::size_t> annotations;  ///< in set_
  };
  [[nodiscard]] entry const& at(std::size_t i) const;
  [[nodiscard]] bool ignores(cambium::coco_annotation const& a) const;
  [[nodiscard]] cambium::grid<std::uint8_t, 2> crowds_of(entry const& e) const;
  [[nodiscard]] std::int32_t class_of(std::int64_t category_id) const;

  coco_set_options options_;
  std::vector<cambium::coco_annotation> annotations_;
  std::vector<std::int64_t> category_ids_;
  std::vector<std::string> names_;
  std::vector<entry> images_;
  std::vector<std::string> ids_, remarks_;
};

}  // namespace trainer
