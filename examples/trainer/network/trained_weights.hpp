#pragma once
// Weights that a training of this program leaves say of which classes and by which settings they are.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace trainer {

/// For save_weights: "classes", with commas between, and "recipe".
[[nodiscard]] std::map<std::string, std::string> trained_as(std::vector<std::string> const& classes,
                                                            std::string const& recipe);

/// load_weights of a file that a training left, for a network of these classes. Rank 0 says on stderr, once a file, that
/// the file does not say its classes, or that its recipe is another one: a step may be left out and its weights used
/// with other settings.
/// @param recipe  what the training would be today; "": it is not compared
/// @throws cambium::io_error naming the file: its classes are others or in another order; as load_weights
void load_trained(torch::nn::Module& module, std::filesystem::path const& file, std::vector<std::string> const& classes,
                  std::string const& recipe = {});

}  // namespace trainer
