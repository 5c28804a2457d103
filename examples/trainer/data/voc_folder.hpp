#pragma once
// A folder laid out as VOC's: photographs with tags, points or boxes of one's own.

#include "data/dataset.hpp"
#include "data/known_truth.hpp"

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace trainer {

/// Which images may lack a file of boxes: weak_image::lost_box then says so. Of all others a missing file is an error.
/// A file that is damaged or does not fit its photograph is an error with `none`, and a lost box otherwise.
enum class may_lack_boxes {
  none,
  masked,  ///< those that have a mask
  all
};

/// Where things lie. Paths that are not absolute count from `root`; what is empty is not there.
struct voc_folder_options {
  std::filesystem::path root;
  std::filesystem::path list;                        ///< ImageSets/.../train.txt: ids, ids with tags, or paths
  std::filesystem::path photographs = "JPEGImages";  ///< ID.jpg, ID.jpeg or ID.png, in small or capital letters
  std::vector<std::string> class_names;              ///< without the background; none: VOC's twenty
  std::filesystem::path tags;                        ///< a file of lines "ID tag tag": they stand above the list's
  bool zero_based = false;                           ///< numbers in the file of tags count from 0, not from 1
  std::filesystem::path points;                      ///< a folder of ID.txt: Center_points, Peak_points
  double point_threshold = -1;                       ///< only points of more confidence, strictly; BESTIE's: 0.7
  std::filesystem::path scribbles;                   ///< a folder of ID.png; an image without a file has none
  bool boxes = false;                                ///< read annotations/ID.xml
  std::filesystem::path annotations = "Annotations";
  may_lack_boxes without_boxes = may_lack_boxes::none;
  bool zero_based_boxes = false;  ///< annotations count pixels from 0, as VoTT's, not from 1
  bool tags_are_classes = false;  ///< numbers 1 are classes, though they look like flags of one class
  bool photographs_only = false;  ///< load() gives photographs: no tags, points, scribbles or boxes are looked for
  bool difficult = true;  ///< objects that are marked so count, as boxes and as tags; false: they are background
  std::filesystem::path class_maps = "SegmentationClass";    ///< ID.png, for truth()
  std::filesystem::path object_maps = "SegmentationObject";  ///< ID.png, for truth()
};

/// A training set in VOC's layout, of any classes and sizes.
///
/// Tags are those of the tags file (numbers from 1, as in label maps, or from 0 where zero_based says so); or else
/// those that the list has behind an id (numbers from 0, as BESTIE's lists); or else the classes of its points,
/// scribbles and boxes; or else, where there is nothing of these, the objects of its annotation. A file of tags, and a
/// list, may also name classes: "2007_000032 aeroplane person".
///
/// Every list, tag and name is looked at when the set is opened; photographs, points, annotations and maps when they
/// are asked for.
class voc_folder final : public dataset, public known_truth {
 public:
  /// @throws cambium::io_error naming file and line: no list, an empty one, tags that are no class, images of
  ///         the list without tags where there is a file of them; folders that do not exist
  /// @throws cambium::precondition_error: class names that occur twice or are empty
  explicit voc_folder(voc_folder_options options);

  [[nodiscard]] std::size_t size() const override { return entries_.size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return options_.class_names; }
  [[nodiscard]] std::string id(std::size_t i) const override;
  /// As photograph_file, relative to the folder of photographs.
  [[nodiscard]] std::string file_name(std::size_t i) const override;
  [[nodiscard]] std::uint64_t weak_labels() const override;
  /// @throws cambium::io_error: a missing or damaged file; points outside the photograph or of a class that is not one;
  ///         scribbles of another size or with values that are neither a class nor 255;
  ///         an annotation of another size than its photograph, or with a name that is no class
  [[nodiscard]] weak_image load(std::size_t i) const override;
  /// Is there a file in SegmentationClass or SegmentationObject? Of one alone truth() says which is missing.
  [[nodiscard]] bool has_truth(std::size_t i) const override;
  /// Objects of SegmentationClass and SegmentationObject. 255 is void, but in an object map of 16 bits a number like
  /// others.
  /// @throws cambium::io_error: there are no such files, or they do not fit; a class map of 0 and 255 alone of an image
  ///         that is not said to show nothing; classes, but no object
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override;
  /// Where the truth does not say. @return [H,W] 1 where either map has 255
  [[nodiscard]] cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override;

  /// The file of a photograph. @throws cambium::io_error naming what was looked for
  [[nodiscard]] std::filesystem::path photograph_file(std::size_t i) const;

 private:
  struct entry {
    std::string id;
    std::string photograph;  ///< where the list names a file
    std::vector<std::int32_t> tags;
    bool has_tags = false;
  };
  [[nodiscard]] entry const& at(std::size_t i) const;
  /// @param lost  what is wrong with the file goes here; null: it is thrown
  [[nodiscard]] std::vector<labelled_box> boxes_of(entry const& e, cambium::extent2 photograph,
                                                   std::string* lost) const;
  /// [H,W] as weak_image has them; without cells: the image has no file.
  [[nodiscard]] cambium::grid<std::int32_t, 2> scribbles_of(entry const& e, cambium::extent2 photograph) const;
  /// The names of photographs without their endings.
  [[nodiscard]] std::set<std::string> photographs_there() const;
  [[nodiscard]] std::filesystem::path in_root(std::filesystem::path const& p) const;

  voc_folder_options options_;
  std::unordered_map<std::string, std::int32_t> class_of_;
  std::vector<entry> entries_;
};

}  // namespace trainer
