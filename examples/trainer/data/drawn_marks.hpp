#pragma once
// Scribbles and points that are drawn from the truth by a rule, in place of a person: for trials of a method.

#include "data/dataset.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

/// The rule, for each object and for the background.
enum class mark_rule {
  skeleton,  ///< a scribble: cambium::skeleton of what is visible of it
  deepest    ///< a point: the cell farthest from its outline, the first of cambium::farthest_points
};

/// Draws the marks of an image.
/// @param truth  [H,W] 0 background, i + 1 for found[i]; below 0 unknown: neither an object nor background
/// @return [H,W] 255 unmarked, 0 background, class + 1
/// @throws cambium::precondition_error: a label beyond found, a class outside 0..253
[[nodiscard]] cambium::grid<std::int32_t, 2> draw_marks(cambium::instances<> const& truth, mark_rule rule);

/// A set whose scribbles are drawn from its truth. Its points and boxes are gone.
class drawn_marks final : public dataset {
 public:
  /// Refers to `from`, which must live as long.
  drawn_marks(dataset const& from, mark_rule rule) : from_(&from), rule_(rule) {}

  [[nodiscard]] std::size_t size() const override { return from_->size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return from_->class_names(); }
  [[nodiscard]] std::string id(std::size_t i) const override { return from_->id(i); }
  [[nodiscard]] std::string file_name(std::size_t i) const override { return from_->file_name(i); }
  [[nodiscard]] std::int64_t image_id(std::size_t i) const override { return from_->image_id(i); }
  [[nodiscard]] std::int64_t category_id(std::int32_t category) const override { return from_->category_id(category); }
  [[nodiscard]] std::uint64_t weak_labels() const override;
  /// @throws what from.load, from.truth and draw_marks throw
  [[nodiscard]] weak_image load(std::size_t i) const override;
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override { return from_->truth(i); }
  [[nodiscard]] cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override { return from_->ignored(i); }

 private:
  dataset const* from_;
  mark_rule rule_;
};

}  // namespace trainer
