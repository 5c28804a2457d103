#include "network/irnet_heads.hpp"

#include "network/module_weights.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/upsampling.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace trainer {

using cambium::expects;

// --- classifier ---------------------------------------------------------------------------------

cam_network::cam_network(std::shared_ptr<resnet> backbone, std::int64_t classes, cam_network_options options)
    : options_(options)
{
  expects(backbone != nullptr, "cam_network: no backbone");
  expects(classes >= 1, "cam_network: ", classes, " classes");
  auto const wide = backbone->channels()[4];
  backbone_ = register_module("backbone", std::move(backbone));
  classifier_ =
      register_module("classifier", torch::nn::Conv2d(torch::nn::Conv2dOptions(wide, classes, 1).bias(false)));
}

torch::Tensor cam_network::features(torch::Tensor const& image)
{
  return backbone_->forward(image, options_.stop_after_layer2 ? 3 : 0).back();
}

torch::Tensor cam_network::forward(torch::Tensor const& image)
{
  return classifier_(features(image).mean({2, 3}, true)).flatten(1);
}

torch::Tensor cam_network::cam(torch::Tensor const& image) { return torch::relu(classifier_(features(image))); }

// --- boundaries and displacements ---------------------------------------------------------------

void load_cam_backbone(resnet& backbone, std::filesystem::path const& file)
{
  name_map names;
  names.prefix = "backbone.";
  load_weights(backbone, file, names);
}

mean_shift::mean_shift(std::int64_t channels) : running_mean(register_buffer("running_mean", torch::zeros(channels))) {}

torch::Tensor mean_shift::forward(torch::Tensor const& x)
{
  return is_training() ? x : x - running_mean.view({1, -1, 1, 1});
}

namespace {

/// 1x1 without bias, groups, [enlarged], ReLU; `factor` 1 is not enlarged.
torch::nn::Sequential branch(std::int64_t in, std::int64_t out, std::int64_t groups, double factor = 1)
{
  torch::nn::Sequential steps;
  steps->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).bias(false)));
  steps->push_back(torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, out)));
  if (factor != 1)
    steps->push_back(torch::nn::Upsample(torch::nn::UpsampleOptions()
                                             .scale_factor(std::vector<double>{factor, factor})
                                             .mode(torch::kBilinear)
                                             .align_corners(false)));
  steps->push_back(torch::nn::ReLU());
  return steps;
}

torch::Tensor cropped(torch::Tensor const& x, torch::Tensor const& like)
{
  return x.slice(2, 0, like.size(2)).slice(3, 0, like.size(3));
}

/// Groups and channels of a published layer, made narrower.
struct grouped {
  std::int64_t groups, channels;
  grouped(std::int64_t all_groups, std::int64_t all_channels, double width)
      : groups(std::max<std::int64_t>(1, std::llround(static_cast<double>(all_groups) * width))),
        channels(groups * (all_channels / all_groups))
  {
  }
};

std::vector<torch::Tensor> parameters_of(std::vector<torch::nn::Sequential> const& branches)
{
  std::vector<torch::Tensor> out;
  for (auto const& b : branches)
    for (auto const& p : b->parameters()) out.push_back(p);
  return out;
}

}  // namespace

boundary_displacement_network::boundary_displacement_network(std::shared_ptr<resnet> backbone,
                                                             boundary_displacement_options options)
    : options_(options)
{
  expects(backbone != nullptr, "boundary_displacement_network: no backbone");
  expects(std::isfinite(options.head_width) && options.head_width > 0, "boundary_displacement_network: head_width is ",
          options.head_width, ", not above 0");
  expects(backbone->options().strides == std::array<std::int64_t, 4>{1, 2, 2, 1},
          "boundary_displacement_network: the layers of the backbone have other strides than 1, 2, 2, 1");
  auto const in = backbone->channels();
  backbone_ = register_module("backbone", std::move(backbone));
  double const w = options.head_width;

  grouped const edge(4, 32, w);
  std::array<double, 5> const up{1, 1, 2, 4, 4};
  for (std::size_t i = 0; i < 5; ++i)
    edge_.push_back(
        register_module("fc_edge" + std::to_string(i + 1), branch(in[i], edge.channels, edge.groups, up[i])));
  edge6_ = register_module("fc_edge6", torch::nn::Conv2d(torch::nn::Conv2dOptions(5 * edge.channels, 1, 1)));

  std::array<grouped, 5> const dp{grouped{8, 64, w}, {16, 128, w}, {16, 256, w}, {16, 256, w}, {16, 256, w}};
  std::array<double, 5> const dp_up{1, 1, 1, 2, 2};
  for (std::size_t i = 0; i < 5; ++i)
    displacement_.push_back(
        register_module("fc_dp" + std::to_string(i + 1), branch(in[i], dp[i].channels, dp[i].groups, dp_up[i])));
  displacement_.push_back(register_module(
      "fc_dp6", branch(dp[2].channels + dp[3].channels + dp[4].channels, dp[4].channels, dp[4].groups, 2)));
  mean_shift_ = std::make_shared<mean_shift>(2);
  auto last = branch(dp[0].channels + dp[1].channels + dp[4].channels, dp[4].channels, dp[4].groups);
  last->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(dp[4].channels, 2, 1).bias(false)));
  last->push_back(mean_shift_);
  displacement_.push_back(register_module("fc_dp7", last));
}

boundary_displacement boundary_displacement_network::forward(torch::Tensor const& image)
{
  auto x = backbone_->forward(image, options_.detach_stages ? 5 : 0);

  std::vector<torch::Tensor> edges(5);
  edges[1] = edge_[1]->forward(x[1]);
  for (std::size_t i : {0, 2, 3, 4}) edges[i] = cropped(edge_[i]->forward(x[i]), edges[1]);
  auto const boundary = edge6_(torch::cat(edges, 1));

  auto const d1 = displacement_[0]->forward(x[0]), d2 = displacement_[1]->forward(x[1]);
  auto const d3 = displacement_[2]->forward(x[2]);
  auto const d4 = cropped(displacement_[3]->forward(x[3]), d3), d5 = cropped(displacement_[4]->forward(x[4]), d3);
  auto const up = cropped(displacement_[5]->forward(torch::cat({d3, d4, d5}, 1)), d2);
  return {boundary, displacement_[6]->forward(torch::cat({d1, d2, up}, 1))};
}

std::vector<torch::Tensor> boundary_displacement_network::boundary_parameters() const
{
  auto out = parameters_of(edge_);
  for (auto const& p : edge6_->parameters()) out.push_back(p);
  return out;
}

std::vector<torch::Tensor> boundary_displacement_network::displacement_parameters() const
{
  return parameters_of(displacement_);
}

}  // namespace trainer
