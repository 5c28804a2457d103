#pragma once

#include "network/batch_norm.hpp"
#include "network/chain.hpp"

#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace trainer {

enum class residual_kind {
  basic,      ///< two 3x3 convolutions; ResNet-18 and -34, HRNet's branches
  bottleneck  ///< 1x1, 3x3, 1x1, four times as wide at its end; ResNet-50 and more
};

/// How many times wider than its inside a block's end is.
[[nodiscard]] constexpr std::int64_t expansion(residual_kind block) { return block == residual_kind::basic ? 1 : 4; }

/// One block: x + f(x), rectified. Names conv1, bn1, .. and downsample.0, downsample.1 where sizes change.
/// @source torchvision/models/resnet.py; the stride is in the 3x3 convolution of a bottleneck
class residual_block : public torch::nn::Module {
 public:
  residual_block(residual_kind block, std::int64_t in, std::int64_t width, std::int64_t stride,
                 batch_norm_options norm);
  [[nodiscard]] torch::Tensor forward(torch::Tensor const& x);

 private:
  std::vector<std::pair<torch::nn::Conv2d, std::shared_ptr<held_batch_norm>>> steps_;
  std::shared_ptr<chain> downsample_;
};

}  // namespace trainer
