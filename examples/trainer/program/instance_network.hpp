#pragma once
// Which instance network a command trains, from the command line; and what it writes of one that has learned.

#include "data/dataset.hpp"
#include "method/bestie.hpp"
#include "network/bestie_network.hpp"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace trainer {

struct instance_network_flags {
  std::string network = "small";  ///< small, resnet50, hrnet32, hrnet48
  std::string weights;            ///< of an ImageNet classifier
  std::string classifier;         ///< cam.safetensors of `trainer irnet`, the small one's beginning
};

/// --network --weights --classifier
void add_network_flags(CLI::App& app, instance_network_flags& f);

/// @throws cambium::io_error: weights that do not fit; cambium::precondition_error: flags that do not go together
[[nodiscard]] std::shared_ptr<bestie_network> make_instance_network(instance_network_flags const& f,
                                                                    std::size_t classes);

/// The flags as words of a recipe, and what the file of first weights holds.
/// @throws cambium::io_error: it cannot be read
[[nodiscard]] std::string words_of(instance_network_flags const& f);

/// Labels every image: instances/ID.png, pseudo.json (a data set in COCO's form to learn from) and results.json (the
/// same with scores). An image that fails is named, and the rest goes on.
/// @param scored  measured on the truth, scores.json; false where there is none
void write_instances(dataset const& images, bestie_network& network, bestie_inference_options const& how,
                     std::filesystem::path const& out, bool scored, std::vector<std::string>& failed);

}  // namespace trainer
