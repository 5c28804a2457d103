#pragma once

#include "network/safetensors.hpp"

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

/// What differs between published PiDiNets; the defaults are those of the full one.
struct pidinet_options {
  std::int64_t channels = 60;  ///< of the first stage; tiny 20, small 30
  std::int64_t reduced = 24;   ///< of the side outputs; tiny 8, small 12
  /// Sizes of the depthwise kernels, the first convolution before them. A radial difference has become 5x5.
  std::array<std::int64_t, 16> kernels{3, 3, 5, 3, 3, 3, 5, 3, 3, 3, 5, 3, 3, 3, 5, 3};
};

/// Which PiDiNet these weights are of.
/// @throws cambium::io_error "origin: ..." where they are of none
[[nodiscard]] pidinet_options pidinet_options_of(named_tensors const& tensors, std::string const& origin);

/// PiDiNet with its pixel differences converted to plain convolutions: a map of boundaries of any class.
///
/// Names: init_block; block1_{1..3}, block{2..4}_{1..4} with conv1, conv2 and, where a stage begins, shortcut;
/// dilations.{0..3}.conv1 and .conv2_{1..4}; attentions.{0..3}.conv1 and .conv2; conv_reduces.{0..3}.conv; classifier.
/// Input RGB / 255 less (0.485, 0.456, 0.406), by (0.229, 0.224, 0.225).
///
/// @source Su et al. 2021, models/pidinet.py of hellozhuo/pidinet after its convert_pidinet
class pidinet : public torch::nn::Module {
 public:
  /// @throws cambium::precondition_error: channels below 1, kernels that are not odd
  explicit pidinet(pidinet_options const& options = {});

  /// @param rgb  [B,3,H,W] float, 0..255; extents of at least 8
  [[nodiscard]] torch::Tensor prepare(torch::Tensor const& rgb) const;
  /// @param prepared  [B,3,H,W], of prepare()
  /// @return [B,1,H,W] in [0,1]
  /// @throws cambium::precondition_error: an extent below 8, of which the last stage would see nothing
  torch::Tensor boundaries(torch::Tensor const& prepared);

  torch::Tensor forward(torch::Tensor const& rgb) { return boundaries(prepare(rgb)); }

 private:
  struct block {
    torch::nn::Conv2d conv1{nullptr}, conv2{nullptr}, shortcut{nullptr};
  };
  struct side {
    torch::nn::Conv2d reduce{nullptr}, dilated[4]{nullptr, nullptr, nullptr, nullptr};
    torch::nn::Conv2d attention1{nullptr}, attention2{nullptr}, score{nullptr};
  };
  torch::nn::Conv2d init_block_{nullptr}, classifier_{nullptr};
  std::vector<std::vector<block>> stages_;
  std::vector<side> sides_;
};

}  // namespace trainer
