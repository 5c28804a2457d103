#pragma once
// A data set in COCO's form: one JSON file of instances, and a folder of photographs.

#include "data/dataset.hpp"

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
};

/// A training set from COCO's files. Classes are the file's categories by ascending id, from 0: of COCO itself 0..79.
///
/// Regions that are marked as crowds are neither boxes nor tags: nobody counted what is in them. They are part of no
/// truth either; crowd(i) gives them, so that an evaluation can leave them out. Tags and boxes are of the other annotations;
/// boxes of fractions grow to whole pixels and are cut at the photograph; boxes without a pixel are dropped.
class coco_set final : public dataset {
 public:
  /// @throws cambium::io_error naming the file and the entry: JSON that does not parse or does not fit together, no
  ///         image, no category, no such folder
  explicit coco_set(coco_set_options options);

  [[nodiscard]] std::size_t size() const override { return images_.size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return names_; }
  /// The file's name without its ending.
  [[nodiscard]] std::string id(std::size_t i) const override;
  [[nodiscard]] std::string file_name(std::size_t i) const override { return at(i).image.file_name; }
  [[nodiscard]] std::int64_t image_id(std::size_t i) const override { return at(i).image.id; }
  /// @throws cambium::precondition_error: a class outside the set's
  [[nodiscard]] std::int64_t category_id(std::int32_t category) const override;
  [[nodiscard]] std::uint64_t weak_labels() const override;
  /// @throws cambium::io_error: a missing or damaged photograph, or one of another size than the file says
  [[nodiscard]] weak_image load(std::size_t i) const override;
  /// Masks of all that is no crowd, in the file's order; where they overlap the later one has the cell, and one that is
  /// wholly covered is left out. @throws cambium::io_error: an annotation without a mask
  [[nodiscard]] cambium::instances truth(std::size_t i) const override;
  /// @return [H,W] 1 where a crowd is
  [[nodiscard]] cambium::grid<std::uint8_t, 2> crowd(std::size_t i) const;

 private:
  struct entry {
    cambium::coco_image image;
    std::vector<std::size_t> annotations;  ///< in set_
  };
  [[nodiscard]] entry const& at(std::size_t i) const;
  [[nodiscard]] std::int32_t class_of(std::int64_t category_id) const;

  coco_set_options options_;
  std::vector<cambium::coco_annotation> annotations_;
  std::vector<std::int64_t> category_ids_;
  std::vector<std::string> names_;
  std::vector<entry> images_;
};

}  // namespace trainer
