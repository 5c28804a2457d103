#pragma once

#include "network/classifier.hpp"

#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <vector>

namespace trainer {

struct mobilenet_v2_options {
  std::int64_t classes = 1000;
  std::int64_t stride = 32;  ///< 32: as trained; 16: the last stride becomes a dilation of 2, for CAMs
};

/// MobileNetV2 of width 1 with its batch norms folded into the convolutions.
///
/// Names: conv1, block{0..16}.{expand,dw,project}, conv_last, fc, each .weight and .bias; block0 has no expand; fc is a
/// 1x1 convolution [K,1280,1,1]. Input RGB, x / 127.5 - 1. A stride of 2 pads 0 on the top and left and 1 on the bottom
/// and right, which is TensorFlow's SAME for even sizes: hence images of multiples of 32.
///
/// @source Sandler et al. 2018, table 2; weights as exported by Keras. At stride 16 block13.dw has stride 1 and the dw
///         of blocks 14 to 16 dilation 2, as IRNet does with its ResNet
class mobilenet_v2 : public classifier {
 public:
  /// @throws cambium::precondition_error: a stride that is neither 16 nor 32, no class
  explicit mobilenet_v2(mobilenet_v2_options options = {});

  [[nodiscard]] torch::Tensor prepare(torch::Tensor const& rgb) const override;
  torch::Tensor features(torch::Tensor const& prepared) override;  ///< [B,1280,h,w]
  torch::Tensor logits(torch::Tensor const& features) override;    ///< of the global average
  [[nodiscard]] torch::Tensor class_weights() const override;
  [[nodiscard]] std::int64_t multiple() const override { return 32; }
  [[nodiscard]] std::int64_t least_extent() const override { return 32; }

 private:
  struct bottleneck {
    torch::nn::Conv2d expand{nullptr}, dw{nullptr}, project{nullptr};
    bool halves = false, residual = false;
  };
  torch::nn::Conv2d conv1_{nullptr}, conv_last_{nullptr}, fc_{nullptr};
  std::vector<bottleneck> blocks_;
};

}  // namespace trainer
