#include "network/resnet.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/utils.h>

#include <string>
#include <utility>

namespace trainer {

using cambium::expects;

resnet::resnet(resnet_options options) : options_(options)
{
  expects(options.width >= 1, "resnet: width is ", options.width);
  expects(options.classes >= 0, "resnet: ", options.classes, " classes");
  for (std::size_t i = 0; i < 4; ++i)
    expects(options.layers[i] >= 1 && options.strides[i] >= 1, "resnet: layer", i + 1, " has ", options.layers[i],
            " blocks and stride ", options.strides[i], "; both are at least 1");
  conv1_ = register_module(
      "conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, options.width, 7).stride(2).padding(3).bias(false)));
  torch::nn::init::kaiming_normal_(conv1_->weight, 0, torch::kFanOut, torch::kReLU);
  bn1_ = register_module("bn1", make_batch_norm(options.width, options.norm));
  std::int64_t in = options.width;
  for (std::size_t i = 0; i < 4; ++i) {
    std::int64_t const width = options.width << i;
    torch::nn::ModuleList list;
    for (std::int64_t b = 0; b < options.layers[i]; ++b) {
      auto block =
          std::make_shared<residual_block>(options.block, in, width, b == 0 ? options.strides[i] : 1, options.norm);
      list->push_back(block);
      layers_[i].push_back(std::move(block));
      in = width * expansion(options.block);
    }
    register_module("layer" + std::to_string(i + 1), list);
  }
  if (options.classes > 0) fc_ = register_module("fc", torch::nn::Linear(in, options.classes));
}

std::vector<torch::Tensor> resnet::forward(torch::Tensor const& image, std::int64_t detached)
{
  expects(image.dim() == 4 && image.size(1) == 3, "resnet: image is ", c10::str(image.sizes()), "; expected [B,3,H,W]");
  expects(0 <= detached && detached <= 5, "resnet: ", detached, " of 5 maps are to be detached");
  std::vector<torch::Tensor> out;
  auto const stage = [&](auto const& step) {
    // nothing is recorded for a stage whose output is detached: that saves the memory of its activations
    bool const stops = static_cast<std::int64_t>(out.size()) < detached;
    torch::AutoGradMode const recorded(torch::GradMode::is_enabled() && !stops);
    out.push_back(step());
  };
  stage([&] {
    auto const x = torch::relu(bn1_->forward(conv1_(image)));
    return options_.pool ? torch::max_pool2d(x, 3, 2, 1) : x;
  });
  for (auto const& layer : layers_)
    stage([&] {
      auto x = out.back();
      for (auto const& block : layer) x = block->forward(x);
      return x;
    });
  return out;
}

torch::Tensor resnet::classify(torch::Tensor const& image)
{
  expects(!fc_.is_empty(), "resnet: it was made without classes, there is no fc");
  return fc_(forward(image).back().mean({2, 3}));
}

std::array<std::int64_t, 5> resnet::channels() const
{
  std::array<std::int64_t, 5> out{options_.width};
  for (std::size_t i = 0; i < 4; ++i) out[i + 1] = (options_.width << i) * expansion(options_.block);
  return out;
}

std::array<std::int64_t, 5> resnet::strides() const
{
  std::array<std::int64_t, 5> out{options_.pool ? 4 : 2};
  for (std::size_t i = 0; i < 4; ++i) out[i + 1] = out[i] * options_.strides[i];
  return out;
}

std::shared_ptr<resnet> resnet50(resnet_options options)
{
  options.block = residual_kind::bottleneck;
  options.layers = {3, 4, 6, 3};
  return std::make_shared<resnet>(options);
}

std::shared_ptr<resnet> resnet101(resnet_options options)
{
  options.block = residual_kind::bottleneck;
  options.layers = {3, 4, 23, 3};
  return std::make_shared<resnet>(options);
}

std::shared_ptr<resnet> small_resnet(std::int64_t width, resnet_options options)
{
  options.block = residual_kind::basic;
  options.layers = {1, 1, 1, 1};
  options.width = width;
  return std::make_shared<resnet>(options);
}

}  // namespace trainer
