#pragma once
// The weights of a network: from a safetensors file into the network, and back.

#include "network/safetensors.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace trainer {

/// How the names in a file become the names in a module, and which names need no partner. For example the ResNet-50
/// inside a published IRNet:
///
///   {.prefix = "resnet50.", .passed_over = {"fc."}}
struct name_map {
  std::string prefix;  ///< only tensors whose names begin with this are used; the prefix is removed
  /// Then each pair rewrites the name in turn: an ECMAScript regular expression and the replacement of its matches,
  /// with $1 for groups: {"^module\\.", ""} removes the prefix that DataParallel adds.
  std::vector<std::pair<std::string, std::string>> renames;
  std::vector<std::string> passed_over;      ///< prefixes of new names in the file that are not used
  std::vector<std::string> allowed_missing;  ///< prefixes of names in the module that keep their values
};

/// The tensors under their new names, without those passed over; the memory is shared. If two tensors get the same
/// name, the first stays; load_weights refuses both.
/// @throws cambium::precondition_error: a rename that is no regular expression
[[nodiscard]] named_tensors renamed(named_tensors const& tensors, name_map const& names);

/// The parameters and buffers of a module by name; the memory is shared.
[[nodiscard]] named_tensors tensors_of(torch::nn::Module const& module);

/// Copy tensors into the parameters and buffers of the same names, on any device. Floating point is converted to the
/// module's type, integers to types that are not narrower. A batch norm's num_batches_tracked may always be missing:
/// files from before PyTorch 0.4.1 have none, and the trainer does not use it.
/// @param origin  the file's name; begins every message
/// @throws cambium::io_error that names every tensor that is missing, superfluous, of another shape or kind, not finite
///         or beyond the module's type; nothing was changed then. cambium::precondition_error: a rename that is no
///         regular expression
void load_weights(torch::nn::Module& module, named_tensors const& tensors, name_map const& names,
                  std::string const& origin);

/// The same from a file.
/// @return the file's metadata
std::map<std::string, std::string> load_weights(torch::nn::Module& module, std::filesystem::path const& file,
                                                name_map const& names = {});

/// Write the parameters and buffers of a module.
/// @throws cambium::io_error
void save_weights(torch::nn::Module const& module, std::filesystem::path const& file,
                  std::map<std::string, std::string> const& metadata = {});

/// Whether the file exists and a training with this recipe made it: its metadata has the recipe.
/// @throws cambium::io_error: the file cannot be read, or has another recipe; the message has both
[[nodiscard]] bool made_by(std::string const& recipe, std::filesystem::path const& file);

}  // namespace trainer
