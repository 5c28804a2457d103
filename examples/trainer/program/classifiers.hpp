#pragma once

#include "network/classifier.hpp"
#include "network/module_weights.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace trainer {

/// The words of --network, here and in messages.
[[nodiscard]] std::vector<std::string> const& classifier_names();

/// A classifier with the weights of a file, at the stride that CAMs are made with. How many classes it has, the file
/// says.
/// @throws cambium::io_error naming the file and what does not fit
[[nodiscard]] std::shared_ptr<classifier> open_classifier(std::string const& name, std::filesystem::path const& file,
                                                          name_map const& names = {});

}  // namespace trainer
