#pragma once
// One look at all of a set before a training: what fails fails then, and is named; what was learned from is recorded.

#include "data/dataset.hpp"

#include <cstddef>
#include <filesystem>
#include <string>

namespace trainer {

struct survey {
  std::size_t tagged = 0, pointed = 0, boxed = 0;  ///< images with a tag, a point, a box
  /// Words for a recipe, " contents " and 16 digits, which tell photographs, tags, points and boxes from others.
  std::string contents{};
};

/// Loads every image once, with as many threads as LibTorch has (`at::set_num_threads`).
/// @throws cambium::io_error, of the first image that cannot be loaded, naming it
[[nodiscard]] survey survey_of(dataset const& set);

/// The same of a file's bytes; "" for no file.
[[nodiscard]] std::string contents_of(std::filesystem::path const& file);

/// 16 digits that tell a photograph's pixels from others.
[[nodiscard]] std::string digits_of(cambium::grid<std::uint8_t, 3> const& photograph);

}  // namespace trainer
