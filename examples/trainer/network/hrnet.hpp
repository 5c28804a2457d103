#pragma once
// HRNet, which keeps its resolution, with BESTIE's three heads.

#include "network/batch_norm.hpp"
#include "network/bestie_network.hpp"
#include "network/chain.hpp"
#include "network/residual_block.hpp"

#include <torch/nn/modules/conv.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace trainer {

struct hrnet_options {
  std::int64_t width = 48;                       ///< channels of the finest branch; 2, 4, 8 times as many of the others
  std::array<std::int64_t, 3> modules{1, 4, 3};  ///< of stages 2, 3, 4, which have 2, 3, 4 branches
  std::int64_t blocks = 4;                       ///< of a branch in a module, and of layer1
  std::int64_t stem = 64;                        ///< channels of the stem; four times as many of layer1
  std::int64_t head = 256;                       ///< channels inside a head
  double deviation = 0.001;  ///< of the first weights, normal; 0: by fan out, for weights that begin anew
  batch_norm_options norm{};
};

class hrnet_module;

/// The network of BESTIE's published weights: stride 4, heads of a 3x3 convolution, ReLU and a 1x1 convolution.
///
/// Names: conv1, bn1, conv2, bn2, layer1.0.conv1, transition1.0.0, stage2.0.branches.0.0.conv1,
/// stage2.0.fuse_layers.0.1.0 .., and seg, center, offset with .0 and .2. Entries a list of the original has no module
/// for have their number and no name, as there.
///
/// @source Sun et al., CVPR 2019; PoseHighResolutionNet, models/hrnet.py of clovaai/BESTIE
class hrnet : public bestie_network {
 public:
  /// @throws cambium::precondition_error: no class, options below 1
  explicit hrnet(std::int64_t classes, hrnet_options options = {});

  /// @pre H and W are multiples of 32
  [[nodiscard]] bestie_maps forward(torch::Tensor const& image) override;
  [[nodiscard]] semantic_half semantic(torch::Tensor const& image) override;
  [[nodiscard]] std::int64_t feature_channels() const override { return width_; }
  [[nodiscard]] std::int64_t classes() const override { return classes_; }
  [[nodiscard]] std::int64_t multiple() const override { return 32; }

  /// What the heads see: [B,width,H/4,W/4].
  [[nodiscard]] torch::Tensor features(torch::Tensor const& image);

 private:
  std::int64_t classes_, width_;
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  std::shared_ptr<held_batch_norm> bn1_, bn2_;
  std::vector<std::shared_ptr<residual_block>> layer1_;
  std::array<std::vector<std::shared_ptr<chain>>, 3> transitions_;  ///< null where a branch goes on as it is
  std::array<std::vector<std::shared_ptr<hrnet_module>>, 3> stages_;
  std::shared_ptr<chain> seg_, centre_, offset_;
};

[[nodiscard]] std::shared_ptr<hrnet> hrnet_w32(std::int64_t classes);
[[nodiscard]] std::shared_ptr<hrnet> hrnet_w48(std::int64_t classes);
/// For tests and two cores: one module a stage and one block a branch.
[[nodiscard]] std::shared_ptr<hrnet> small_hrnet(std::int64_t width, std::int64_t classes);

}  // namespace trainer
