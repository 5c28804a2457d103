#pragma once
// Boxes as weak labels: a VOC XML file an image, or one COCO file for all. The methods that take boxes read them here.

#include "coco_boxes.hpp"
#include "image_files.hpp"
#include "method.hpp"
#include "options.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/coco.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace labelling {

/// The flags, and the files behind them. The input file "boxes" of an image is path_template().
class box_files {
 public:
  std::string path;        ///< --boxes: with {id} XML files, otherwise a COCO file
  std::string names_file;  ///< --names
  bool zero_based = false;
  cambium::crowds crowds = cambium::crowds::ignore;

  // Rows of an option table.
  option names_option();
  option zero_based_option();
  option crowds_option();

  [[nodiscard]] bool xml() const { return path.find("{id}") != std::string::npos; }
  [[nodiscard]] std::string path_template() const { return xml() ? path : ""; }
  /// The file that all images share, "" where there is none.
  [[nodiscard]] std::string shared_path() const { return xml() ? "" : path; }

  /// Checks the flags and reads what all images share. Says on stderr what a person should hear of a COCO file, and that
  /// a first class may be none.
  /// @throws usage_error: flags of the other kind of file; io_error: also of more than 254 classes
  void open();

  /// How many classes there are.
  [[nodiscard]] cambium::index_t classes() const;
  /// First classes that may be none, in words: 'background', or a category without an annotation; or "".
  [[nodiscard]] std::string const& no_class() const { return no_class_; }
  /// How many they are.
  [[nodiscard]] cambium::index_t no_classes() const { return no_classes_; }
  /// Of the COCO file, or of the names' file; "" where there is neither.
  [[nodiscard]] std::string const& shared_hash() const { return shared_hash_; }
  [[nodiscard]] std::string path_of(image_files const& files) const { return xml() ? files.path("boxes") : path; }

  /// What is said of an image; nothing where its file, or the COCO file, does not know it.
  /// @param image  the photograph's size, for XML files that have none
  /// @throws io_error
  [[nodiscard]] std::optional<boxes_of_image> find(image_files& files, cambium::extent2 image) const;

  /// As method has them.
  [[nodiscard]] std::vector<named_category> categories() const { return coco_.categories(); }
  [[nodiscard]] std::optional<std::vector<std::int64_t>> image_numbers(std::vector<std::string> const& ids) const;
  /// A note on a COCO file's images that are found by number only; or "".
  [[nodiscard]] std::string note_on(std::vector<std::string> const& ids) const { return coco_.names().note_on(ids); }
  /// The COCO file's number of an image; nothing where it does not know it.
  [[nodiscard]] std::optional<std::int64_t> image_number(std::string const& id) const
  {
    return coco_.names().number_of(id);
  }

 private:
  void read_shared();

  std::map<std::string, std::int32_t, std::less<>> classes_;  ///< of names in XML files, 0-based
  coco_boxes coco_;
  std::string shared_hash_, no_class_;
  cambium::index_t no_classes_ = 0;
};

}  // namespace labelling
