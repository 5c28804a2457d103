#pragma once
// Pseudo labels as a data set in COCO's form: what instance networks everywhere learn from.

#include <cambium/grid/instance.hpp>
#include <cambium/io/coco_data.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace trainer {

struct pseudo_label_options {
  double least_score = 1e-5;        ///< instances below are left out; IRNet gives fragments a score of 0
  cambium::index_t least_area = 1;  ///< [pixels] smaller ones are left out
  /// COCO's numbers of the classes; none: from 1 on.
  std::vector<std::int64_t> category_ids{};
};

/// Pseudo instances of a set of photographs, image by image, as COCO's data set and as a list of results.
///
/// Category c of the instances is category c + 1 of the file, or category_ids[c]. Images are numbered from 1, or as the
/// caller says; annotations from 1 over the whole set. A mask is compressed runs, area and box are those of its pixels.
/// iscrowd is 0.
///
/// @source step/make_cocoann.py of jiwoon-ahn/irn, which drops instances with a score below 1e-5
class pseudo_labels {
 public:
  /// @throws cambium::precondition_error: no class, one without a name, one that occurs twice; as many category_ids as
  ///         classes are wanted, or none, each once
  explicit pseudo_labels(std::vector<std::string> const& class_names, pseudo_label_options options = {});

  /// Adds the instances of one photograph; of one without instances, only the image.
  ///
  /// @param file_name  relative to the folder of photographs, as tools look for it
  /// @param found      classes from 0
  /// @param image_id   0: one after the largest so far
  /// @throws cambium::precondition_error: an empty label map, labels without an instance, classes outside the set's,
  ///         scores that are not finite, an id that is taken or negative, no file name
  void add(std::string const& file_name, cambium::instances<> const& found, std::int64_t image_id = 0);

  [[nodiscard]] std::size_t images() const { return set_.images.size(); }
  [[nodiscard]] std::size_t instances() const { return set_.annotations.size(); }

  /// The data set: to be learned from. @throws cambium::io_error, cambium::precondition_error (text that is not UTF-8)
  void write_dataset(std::filesystem::path const& path) const;
  /// The same instances with their scores: to be evaluated against a truth. @throws as write_dataset
  void write_results(std::filesystem::path const& path) const;

 private:
  pseudo_label_options options_;
  std::int32_t classes_;
  cambium::coco_dataset set_;
  std::vector<double> scores_;                 ///< of the annotations
  std::map<std::int64_t, std::size_t> place_;  ///< of image ids in set_
};

/// A photograph of a set: its file, relative to the folder of photographs.
struct labelled_file {
  std::string file_name;
  std::int64_t id = 0;  ///< 0: numbered from 1 in order
};

/// Writes pseudo labels as a data set: pseudo_labels in one call.
/// @param images  N of them
/// @param found   N, classes from 0
/// @throws as pseudo_labels, and cambium::precondition_error for lists of different lengths
void write_pseudo_labels_as_coco(std::filesystem::path const& path, std::vector<labelled_file> const& images,
                                 std::vector<cambium::instances<>> const& found,
                                 std::vector<std::string> const& class_names, pseudo_label_options options = {});

}  // namespace trainer
