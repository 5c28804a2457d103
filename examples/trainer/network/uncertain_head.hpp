#pragma once
// A segmentation network that says how sure it is: a Gaussian over every logit.

#include "network/resnet.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace trainer {

/// Gaussians over the logits of every pixel.
struct uncertain_logits {
  torch::Tensor mean;          ///< [B,outputs,H,W]
  torch::Tensor log_variance;  ///< [B,outputs,H,W], or [B,1,H,W] where all outputs share it
};

struct uncertain_network_options {
  std::int64_t outputs = 1;          ///< logits a pixel: classes, with the background where there is a softmax
  bool shared_spread = false;        ///< one variance a pixel, and not one an output
  std::int64_t width = 32;           ///< [channels] of the decoder
  double initial_log_variance = -2;  ///< what the network says before it has learned: sure, as it has seen no box
  batch_norm_options norm{};         ///< of the decoder
};

/// An encoder and a light decoder: what the five stages of a residual network see, made equally wide by 1x1
/// convolutions, is added from the coarsest to the finest, each sum followed by a 3x3 convolution, a normalisation and
/// a leaky ReLU of slope 0.1. With a plain one and 8 channels a class was seen to die: all features 0 wherever it was.
/// Two 3x3 convolutions, `mean` and `log_variance`, end it; their maps are enlarged to the size of the image.
///
/// @source Lin et al., "Feature pyramid networks", CVPR 2017, for the decoder; Neven et al., ICCVW 2021, name a network
///         that learns an uncertainty, and not which. Two outputs of one decoder, the log of the variance and its start
///         are ours
class uncertain_network : public torch::nn::Module {
 public:
  /// @throws cambium::precondition_error: no backbone, outputs or width below 1, a start that is not finite
  explicit uncertain_network(std::shared_ptr<resnet> backbone, uncertain_network_options options = {});

  /// @param image  [B,3,H,W] normalised photographs
  /// @throws cambium::precondition_error: another shape
  [[nodiscard]] uncertain_logits forward(torch::Tensor const& image);

  [[nodiscard]] resnet& backbone() { return *backbone_; }
  [[nodiscard]] uncertain_network_options const& options() const { return options_; }

 private:
  uncertain_network_options options_;
  std::shared_ptr<resnet> backbone_;
  std::vector<torch::nn::Conv2d> lateral_, smooth_;
  std::vector<std::shared_ptr<held_batch_norm>> norm_;
  torch::nn::Conv2d mean_{nullptr}, log_variance_{nullptr};
};

/// A network for two cores and photographs of about 100 pixels: small_resnet without pooling, whose finest maps have
/// half the image's size.
[[nodiscard]] std::shared_ptr<uncertain_network> small_uncertain_network(std::int64_t outputs, std::int64_t width = 16);

}  // namespace trainer
