#include <network/resnet.hpp>

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/utils.h>

#include <string>
#include <utility>

namespace trainer {

namespace {

using cambium::expects;

torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride)
{
  auto conv =
      torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
  return conv;
}

std::int64_t expansion(residual_kind block) { return block == residual_kind::basic ? 1 : 4; }

}  // namespace

class residual_block : public torch::nn::Module {
 public:
  residual_block(std::int64_t in, std::int64_t width, std::int64_t stride, resnet_options const& options)
  {
    std::int64_t const out = width * expansion(options.block);
    auto const add = [&](std::int64_t from, std::int64_t to, std::int64_t kernel, std::int64_t step) {
      auto const number = std::to_string(steps_.size() + 1);
      auto conv = register_module("conv" + number, convolution(from, to, kernel, step));
      auto norm = register_module("bn" + number, make_batch_norm(to, options.norm));
      steps_.push_back({conv, norm});
    };
    if (options.block == residual_kind::basic) {
      add(in, width, 3, stride);
      add(width, width, 3, 1);
    } else {
      add(in, width, 1, 1);
      add(width, width, 3, stride);
      add(width, out, 1, 1);
    }
    if (stride != 1 || in != out)
      downsample_ = register_module(
          "downsample", torch::nn::Sequential(convolution(in, out, 1, stride), make_batch_norm(out, options.norm)));
  }

  torch::Tensor forward(torch::Tensor const& x)
  {
    auto y = x;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      y = steps_[i].second->forward(steps_[i].first(y));
      if (i + 1 < steps_.size()) y = torch::relu(y);
    }
    return torch::relu(y + (downsample_.is_empty() ? x : downsample_->forward(x)));
  }

 private:
  std::vector<std::pair<torch::nn::Conv2d, std::shared_ptr<held_batch_norm>>> steps_;
  torch::nn::Sequential downsample_{nullptr};
};

resnet::resnet(resnet_options options) : options_(options)
{
  expects(options.width >= 1, "resnet: width is ", options.width);
  expects(options.classes >= 0, "resnet: ", options.classes, " classes");
  for (std::size_t i = 0; i < 4; ++i)
    expects(options.layers[i] >= 1 && options.strides[i] >= 1, "resnet: layer", i + 1, " has ", options.layers[i],
            " blocks and stride ", options.strides[i], "; both are at least 1");
  conv1_ = register_module("conv1", convolution(3, options.width, 7, 2));
  bn1_ = register_module("bn1", make_batch_norm(options.width, options.norm));
  std::int64_t in = options.width;
  for (std::size_t i = 0; i < 4; ++i) {
    std::int64_t const width = options.width << i;
    torch::nn::ModuleList list;
    for (std::int64_t b = 0; b < options.layers[i]; ++b) {
      auto block = std::make_shared<residual_block>(in, width, b == 0 ? options.strides[i] : 1, options);
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
