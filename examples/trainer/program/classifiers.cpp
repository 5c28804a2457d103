#include "program/classifiers.hpp"

#include "data/colour.hpp"
#include "network/irnet_heads.hpp"
#include "network/mobilenet_v2.hpp"
#include "network/resnet.hpp"
#include "network/squeezenet.hpp"

#include <cambium/core/error.hpp>

#include <array>
#include <utility>

namespace trainer {

namespace {

/// The classifier that `trainer irnet` leaves, small or ResNet-50.
class trained_classifier final : public classifier {
 public:
  explicit trained_classifier(std::shared_ptr<cam_network> network)
      : network_(register_module("network", std::move(network)))
  {
  }
  torch::Tensor prepare(torch::Tensor const& rgb) const override
  {
    auto const row = [](std::array<double, 3> const& v) {
      return torch::tensor({v[0], v[1], v[2]}, torch::kFloat32).view({1, 3, 1, 1});
    };
    return (rgb / 255 - row(imagenet_colours.mean)) / row(imagenet_colours.deviation);
  }
  torch::Tensor features(torch::Tensor const& prepared) override { return network_->features(prepared); }
  torch::Tensor logits(torch::Tensor const& features) override
  {
    return torch::matmul(features.mean({2, 3}), class_weights().t());
  }
  torch::Tensor class_weights() const override { return network_->classifier_weight().flatten(1); }
  std::int64_t multiple() const override { return 1; }
  std::int64_t least_extent() const override { return 1; }

 private:
  std::shared_ptr<cam_network> network_;
};

std::shared_ptr<classifier> open_trained(weights const& content, std::filesystem::path const& file,
                                         name_map const& names)
{
  auto const tensors = renamed(content.tensors, names);
  auto const size = [&](char const* name) {
    auto const found = tensors.find(name);
    if (found == tensors.end() || found->second.dim() != 4)
      throw cambium::io_error(file.string() + ": is no classifier of 'trainer irnet': '" + name + "' is missing");
    return found->second.size(0);
  };
  resnet_options of;
  of.strides = {1, 2, 2, 1};
  bool const deep = tensors.count("backbone.layer1.0.conv3.weight") > 0;
  auto const width = size("backbone.conv1.weight");
  auto const network =
      std::make_shared<cam_network>(deep ? resnet50(of) : small_resnet(width, of), size("classifier.weight"));
  load_weights(*network, content.tensors, names, file.string());
  return std::make_shared<trained_classifier>(network);
}

}  // namespace

std::vector<std::string> const& classifier_names()
{
  static std::vector<std::string> const names{"mobilenet_v2", "squeezenet", "irnet"};
  return names;
}

std::shared_ptr<classifier> open_classifier(std::string const& name, std::filesystem::path const& file,
                                            name_map const& names)
{
  auto const content = read_safetensors(file);
  if (name == "irnet") {
    auto const out = open_trained(content, file, names);
    out->eval();
    return out;
  }
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
