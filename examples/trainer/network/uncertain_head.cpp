#include "network/uncertain_head.hpp"

#include "network/at_size.hpp"
#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/init.h>

#include <cmath>
#include <string>
#include <utility>

namespace trainer {

using cambium::expects;

uncertain_network::uncertain_network(std::shared_ptr<resnet> backbone, uncertain_network_options options)
    : options_(options)
{
  expects(backbone != nullptr, "uncertain_network: no backbone");
  expects(options.outputs >= 1, "uncertain_network: ", options.outputs, " outputs");
  expects(options.width >= 1, "uncertain_network: width is ", options.width);
  expects(std::isfinite(options.initial_log_variance), "uncertain_network: initial_log_variance is ",
          options.initial_log_variance);
  auto const in = backbone->channels();
  backbone_ = register_module("backbone", std::move(backbone));
  for (std::size_t i = 0; i < 5; ++i) {
    auto const number = std::to_string(i);
    lateral_.push_back(register_module("lateral" + number, he_normal(convolution(in[i], options.width, 1))));
    smooth_.push_back(register_module("smooth" + number, he_normal(convolution(options.width, options.width, 3))));
    norm_.push_back(register_module("norm" + number, make_batch_norm(options.width, options.norm)));
  }
  auto const last = [&](std::string const& name, std::int64_t out, double bias) {
    auto conv = register_module(name, he_normal(convolution(options.width, out, 3, {.bias = true})));
    torch::nn::init::normal_(conv->weight, 0, 0.01);
    torch::nn::init::constant_(conv->bias, bias);
    return conv;
  };
  mean_ = last("mean", options.outputs, 0);
  log_variance_ = last("log_variance", options.shared_spread ? 1 : options.outputs, options.initial_log_variance);
}

uncertain_logits uncertain_network::forward(torch::Tensor const& image)
{
  auto const stages = backbone_->forward(image);
  torch::Tensor x;
  for (std::size_t i = 5; i-- > 0;) {
    auto const seen = lateral_[i](stages[i]);
    x = x.defined() ? at_size(x, seen.size(2), seen.size(3)) + seen : seen;
    x = torch::leaky_relu(norm_[i]->forward(smooth_[i](x)), 0.1);
  }
  auto const H = image.size(2), W = image.size(3);
  return {at_size(mean_(x), H, W), at_size(log_variance_(x), H, W)};
}

std::shared_ptr<uncertain_network> small_uncertain_network(std::int64_t outputs, std::int64_t width)
{
  return std::make_shared<uncertain_network>(small_resnet(width, {.pool = false}),
                                             uncertain_network_options{.outputs = outputs, .width = width});
}

}  // namespace trainer
