#pragma once
// A set whose photographs stay in memory: for sets that fit, and for scenes, which take longer to draw than to learn
// from.

#include "data/dataset.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace trainer {

/// Loads every photograph of a set once, with as many threads as LibTorch has (`at::set_num_threads`).
class kept final : public dataset {
 public:
  /// Refers to `from`, which must live as long. @throws what from.load throws, of the first image that failed
  explicit kept(dataset const& from);

  [[nodiscard]] std::size_t size() const override { return images_.size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return from_->class_names(); }
  [[nodiscard]] std::string id(std::size_t i) const override { return from_->id(i); }
  [[nodiscard]] std::string file_name(std::size_t i) const override { return from_->file_name(i); }
  [[nodiscard]] std::int64_t image_id(std::size_t i) const override { return from_->image_id(i); }
  [[nodiscard]] std::int64_t category_id(std::int32_t category) const override { return from_->category_id(category); }
  [[nodiscard]] std::uint64_t weak_labels() const override { return from_->weak_labels(); }
  [[nodiscard]] weak_image load(std::size_t i) const override { return images_.at(i); }
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override { return from_->truth(i); }
  [[nodiscard]] cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override { return from_->ignored(i); }

 private:
  dataset const* from_;
  std::vector<weak_image> images_;
};

}  // namespace trainer
