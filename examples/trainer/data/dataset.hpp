#pragma once
// What a training set gives: a photograph and what is weakly known of it. The truth comes through another door, which
// evaluation opens and training does not.

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

/// A box around one object.
struct labelled_box {
  cambium::box bounds;        ///< rows and columns from 0, one past the last
  std::int32_t category = 0;  ///< from 0, without the background
};

/// One photograph and what is weakly known of it.
struct weak_image {
  std::string id;
  cambium::grid<std::uint8_t, 3> photograph;  ///< [H,W,3] RGB
  std::vector<std::int32_t> tags;             ///< classes that are somewhere in it, ascending, from 0
  cambium::points points;                     ///< one an object, or empty
  std::vector<labelled_box> boxes;            ///< one an object, or empty
  std::vector<std::int32_t> unsure_tags{};   ///< classes of crowds that are no tags: nobody says whether they are there
  cambium::grid<std::uint8_t, 2> ignored{};  ///< [H,W] 1 where crowds are: neither objects nor background; or empty
  std::string lost_box{};                    ///< why its boxes are not all there; "" where they are
  cambium::grid<std::int32_t, 2> scribbles{};  ///< [H,W] 255 unmarked, 0 background, class + 1; or empty
};

/// Labels with -1 where nobody says what is there: on pixels that are ignored and have no object.
/// @param labels   [H,W] 0 background, 1..N
/// @param ignored  [H,W] 1 there; or without cells: nowhere
/// @throws cambium::precondition_error: other sizes. `who` begins the message
inline void mark_unknown(cambium::grid<std::int32_t, 2>& labels, cambium::grid<std::uint8_t, 2> const& ignored,
                         std::string const& who)
{
  if (ignored.size() == 0) return;
  cambium::expects(ignored.shape() == labels.shape(), who, ": labels are ", labels.view(), " but what is ignored is ",
                   ignored.view());
  for (cambium::index_t n = 0; n < labels.size(); ++n)
    if (ignored.data()[n] != 0 && labels.data()[n] == 0) labels.data()[n] = -1;
}

/// @throws cambium::precondition_error naming the image: a tag outside 0..classes-1
inline void expects_tags(weak_image const& image, std::int64_t classes)
{
  for (auto const tag : image.tags)
    cambium::expects(0 <= tag && tag < classes, image.id, ": tag ", tag, " is outside 0..", classes - 1);
}

/// A set of photographs with weak labels, read one by one from any thread.
class dataset {
 public:
  virtual ~dataset() = default;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// Names of the classes, without the background.
  [[nodiscard]] virtual std::vector<std::string> const& class_names() const = 0;
  [[nodiscard]] virtual std::string id(std::size_t i) const = 0;
  /// How files of labels call an image and a class: the photograph's file, relative to their folder, and COCO's
  /// numbers.
  [[nodiscard]] virtual std::string file_name(std::size_t i) const { return id(i) + ".jpg"; }
  [[nodiscard]] virtual std::int64_t image_id(std::size_t i) const { return static_cast<std::int64_t>(i) + 1; }
  [[nodiscard]] virtual std::int64_t category_id(std::int32_t category) const { return category + 1; }
  /// A number that tells the weak labels of one set from those of another, as far as no photograph's file is read for
  /// it.
  [[nodiscard]] virtual std::uint64_t weak_labels() const { return 0; }
  /// @throws cambium::io_error naming the file; cambium::precondition_error
  [[nodiscard]] virtual weak_image load(std::size_t i) const = 0;
  /// The exact instances, classes from 0; for evaluation, and for the exactly labelled part of box supervision.
  /// @throws cambium::io_error where the set has none
  [[nodiscard]] virtual cambium::instances<> truth(std::size_t i) const = 0;
  /// Where the truth does not say what is there. @return [H,W] 1 there; without cells: it says everywhere
  /// @throws as truth
  [[nodiscard]] virtual cambium::grid<std::uint8_t, 2> ignored(std::size_t) const { return {}; }

 protected:
  dataset() = default;
  dataset(dataset const&) = default;
  dataset& operator=(dataset const&) = default;
};

}  // namespace trainer
