#pragma once
// What IRNet's arms share: their set-up, which stands once, and words for recipes.

#include "data/scenes.hpp"
#include "method/irnet.hpp"
#include "study/arm.hpp"

#include <string>
#include <vector>

namespace trainer::study {

/// The set-up of IRNet's trainings in the study: one thread, small networks.
[[nodiscard]] irnet_training_options study_irnet(std::uint64_t seed, study_size const& size);

/// Images that fail would make a figure of the others.
/// @param failed  a sentence for each. @throws std::runtime_error with the first
void expects_all(std::vector<std::string> const& failed);

/// A number that stands for words in a recipe: 16 hexadecimal digits.
[[nodiscard]] std::string numbered(std::string const& words);

/// The first scene: its weak labels and a number of its pixels. It changes with the drawing.
[[nodiscard]] std::string first_scene(scenes const& drawn);

/// For a recipe: all settings of IRNet's trainings and labels of such scenes, but for their number.
[[nodiscard]] std::string irnet_words(scenes const& one, study_size const& size);

}  // namespace trainer::study
