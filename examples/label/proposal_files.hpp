#pragma once
// Files of mask proposals: one an image, or one for all images, and which of its masks are an image's.

#include "coco_names.hpp"
#include "image_files.hpp"

#include <cambium/io/proposals.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

/// The flag, and the files behind it. The input file "proposals" of an image is path_template().
///
/// One file for all images knows them, in this order, by the names in its list `images`; if it is the detections.json of
/// a folder of labels, by the names in the manifest.json beside it; by the number of the caller's COCO file; by the
/// number that an id is.
class proposal_files {
 public:
  std::string path;  ///< --proposals

  [[nodiscard]] bool shared() const { return path.find("{id}") == std::string::npos; }
  [[nodiscard]] std::string path_template() const { return shared() ? "" : path; }
  [[nodiscard]] std::string shared_path() const { return shared() ? path : ""; }
  [[nodiscard]] std::string path_of(image_files const& files) const
  {
    return shared() ? path : files.path("proposals");
  }

  /// Reads what all images share.
  /// @param stability  whether stability scores are used
  /// @throws io_error
  void open(bool stability);

  /// Of the file for all images, and of the manifest that names them; "" where there is none.
  [[nodiscard]] std::string const& shared_hash() const { return shared_hash_; }
  [[nodiscard]] std::string const& names_hash() const { return names_hash_; }

  /// A COCO file's number of an image.
  using numbers = std::function<std::optional<std::int64_t>(std::string const& id)>;

  /// Checks a set of images against the file for all; says what does not match on stderr.
  /// @param of_coco  or empty
  /// @throws usage_error: two images share masks; masks of none of several images
  void look_at(std::vector<std::string> const& ids, numbers const& of_coco) const;

  /// The masks of an image.
  /// @throws io_error: also an error of one of its masks
  [[nodiscard]] std::vector<cambium::mask_proposal> find(image_files& files, numbers const& of_coco) const;

 private:
  void read_images(nlohmann::json const& list);
  void read_manifest();
  [[nodiscard]] std::optional<std::int64_t> number_of(std::string const& id, numbers const& of_coco) const;

  bool stability_ = true;
  std::map<std::int64_t, std::vector<cambium::mask_proposal>> of_image_;
  coco_names listed_;
  std::map<std::string, std::int64_t> named_;  ///< by the manifest
  std::map<std::int64_t, std::string> name_of_;
  std::string shared_hash_, names_hash_;
};

}  // namespace labelling
