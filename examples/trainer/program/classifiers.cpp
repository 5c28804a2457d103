#include "program/classifiers.hpp"

#include "network/mobilenet_v2.hpp"
#include "network/squeezenet.hpp"

#include <cambium/core/error.hpp>

namespace trainer {

std::vector<std::string> const& classifier_names()
{
  static std::vector<std::string> const names{"mobilenet_v2", "squeezenet"};
  return names;
}

std::shared_ptr<classifier> open_classifier(std::string const& name, std::filesystem::path const& file,
                                            name_map const& names)
{
  auto const content = read_safetensors(file);
  auto const outputs = [&](std::string const& last) {
    for (auto const& [key, tensor] : renamed(content.tensors, names))
      if (key == last && tensor.dim() > 0 && tensor.size(0) > 0) return tensor.size(0);
    throw cambium::io_error(file.string() + ": is not a " + name + ": '" + last + "' is missing");
  };
  std::shared_ptr<classifier> out;
  if (name == "mobilenet_v2")
    out = std::make_shared<mobilenet_v2>(mobilenet_v2_options{outputs("fc.weight"), 16});
  else if (name == "squeezenet")
    out = std::make_shared<squeezenet>(outputs("conv10.weight"));
  else
    throw cambium::precondition_error("open_classifier: no network is called '" + name + "'");
  load_weights(*out, content.tensors, names, file.string());
  out->eval();
  return out;
}

}  // namespace trainer
