#pragma once
// What class activation maps are made of: features, and a last layer that weighs them.

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>

namespace trainer {

/// A network whose logits are linear in its last feature maps, but for an average.
class classifier : public torch::nn::Module {
 public:
  /// What the network wants to see.
  /// @param rgb  [B,3,H,W] float, 0..255
  [[nodiscard]] virtual torch::Tensor prepare(torch::Tensor const& rgb) const = 0;
  /// The last feature maps.
  /// @param prepared  [B,3,H,W], of prepare()
  /// @return [B,F,h,w]
  virtual torch::Tensor features(torch::Tensor const& prepared) = 0;
  /// @param features  [B,F,h,w]
  /// @return [B,K], before any softmax
  virtual torch::Tensor logits(torch::Tensor const& features) = 0;
  /// What CAMs are weighed with: [K,F]
  [[nodiscard]] virtual torch::Tensor class_weights() const = 0;
  /// Heights and widths of images should be multiples of this many pixels.
  [[nodiscard]] virtual std::int64_t multiple() const = 0;
  /// The least height or width that leaves a cell.
  [[nodiscard]] virtual std::int64_t least_extent() const = 0;

  torch::Tensor forward(torch::Tensor const& rgb) { return logits(features(prepare(rgb))); }
};

}  // namespace trainer
