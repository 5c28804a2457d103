#pragma once
// Residual networks, with the parameter names of torchvision's checkpoints.

#include "network/residual_block.hpp"

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace trainer {

struct resnet_options {
  residual_kind block = residual_kind::bottleneck;
  std::array<std::int64_t, 4> layers{3, 4, 6, 3};   ///< blocks of each layer
  std::int64_t width = 64;                          ///< channels of the stem
  std::array<std::int64_t, 4> strides{1, 2, 2, 2};  ///< of the first block of each layer; IRNet: 1, 2, 2, 1
  bool pool = true;                                 ///< the stem ends with a 3x3 maximum of stride 2
  batch_norm_options norm{};
  std::int64_t classes = 0;  ///< of `fc`; 0: there is none, for a network that only looks
};

/// A residual network. forward gives what its five stages see, not a classification.
///
/// Parameters are named conv1, bn1, layer1.0.conv1 .. layer4, layer1.0.downsample.0, fc, as in torchvision. Weights are
/// drawn as there: normal by fan out for convolutions, normalisations 1 and 0.
///
/// @source He et al., CVPR 2016; torchvision/models/resnet.py. Strides are in the 3x3 convolution of a bottleneck. No
///         layer is dilated, whatever its stride: so IRNet uses it
class resnet : public torch::nn::Module {
 public:
  /// @throws cambium::precondition_error: a width, a stride or a number of blocks below 1
  explicit resnet(resnet_options options = {});

  /// What the stages see.
  /// @param image  [B,3,H,W] normalised photographs
  /// @param detached  the first so many of the five maps let no gradient back, neither to what made them nor from the
  ///                  stages after them; 0..5
  /// @return five maps: stem (with its pooling), layer1 .. layer4; sizes are rounded up at every stride
  /// @throws cambium::precondition_error: another shape
  [[nodiscard]] std::vector<torch::Tensor> forward(torch::Tensor const& image, std::int64_t detached = 0);

  /// The scores of `fc` for the mean of the last stage: [B,classes].
  /// @throws cambium::precondition_error: there is no fc
  [[nodiscard]] torch::Tensor classify(torch::Tensor const& image);

  /// Channels of the five maps.
  [[nodiscard]] std::array<std::int64_t, 5> channels() const;
  /// Pixels of the image between two cells of each of the five maps.
  [[nodiscard]] std::array<std::int64_t, 5> strides() const;
  [[nodiscard]] resnet_options const& options() const { return options_; }

 private:
  resnet_options options_;
  torch::nn::Conv2d conv1_{nullptr};
  std::shared_ptr<held_batch_norm> bn1_;
  std::array<std::vector<std::shared_ptr<residual_block>>, 4> layers_;
  torch::nn::Linear fc_{nullptr};
};

/// The published depths; `options` gives everything but block and layers.
[[nodiscard]] std::shared_ptr<resnet> resnet50(resnet_options options = {});
[[nodiscard]] std::shared_ptr<resnet> resnet101(resnet_options options = {});
/// Four basic blocks on a stem of `width` channels, for two cores; `options` gives strides, norm and the rest.
[[nodiscard]] std::shared_ptr<resnet> small_resnet(std::int64_t width, resnet_options options = {});

}  // namespace trainer
