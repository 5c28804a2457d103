#pragma once

#include "network/classifier.hpp"

#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <vector>

namespace trainer {

/// SqueezeNet 1.0.
///
/// Names: conv1, fire{2..9}.{squeeze1x1,expand1x1,expand3x3}, conv10, each .weight and .bias. Input BGR, 0..255, less
/// (104, 117, 123). Max pools of 3x3 and stride 2 that keep a last partial window, as Caffe's do.
///
/// @source Iandola et al. 2016 and its Caffe model, the one with 96 maps of 7x7 at first. conv10 pads its 1x1 by 1: the
///         logits' average counts that border of relu(bias), CAMs do not
class squeezenet : public classifier {
 public:
  /// @throws cambium::precondition_error: no class
  explicit squeezenet(std::int64_t classes = 1000);

  [[nodiscard]] torch::Tensor prepare(torch::Tensor const& rgb) const override;
  torch::Tensor features(torch::Tensor const& prepared) override;  ///< fire9, [B,512,h,w] at stride 16
  torch::Tensor logits(torch::Tensor const& features) override;    ///< average of relu(conv10)
  [[nodiscard]] torch::Tensor class_weights() const override;
  [[nodiscard]] std::int64_t multiple() const override { return 1; }
  [[nodiscard]] std::int64_t least_extent() const override { return 21; }

 private:
  struct fire {
    torch::nn::Conv2d squeeze1x1{nullptr}, expand1x1{nullptr}, expand3x3{nullptr};
  };
  torch::nn::Conv2d conv1_{nullptr}, conv10_{nullptr};
  std::vector<fire> fires_;
};

}  // namespace trainer
