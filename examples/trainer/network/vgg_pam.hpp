#pragma once
// BESTIE's classifier: VGG-16 at stride 8, and three layers that attend to peaks.

#include "network/batch_norm.hpp"

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace trainer {

/// Peak attention inside a network: out = r where r >= alpha * max r over the plane, otherwise 0; r = max(x, 0).
///
/// The same numbers as cambium::peak_attention, on whatever device, and its gradient: the cut is a constant.
/// @param x  [B,C,H,W]
/// @throws   cambium::precondition_error: another shape, alpha outside [0,1]
/// @source   PAM, PAM/models/classifier.py of clovaai/BESTIE
[[nodiscard]] torch::Tensor attend_to_peaks(torch::Tensor const& x, double alpha);

/// Layers other than a convolution of so many channels.
inline constexpr std::int64_t vgg_halve = 0;   ///< the maximum of 2x2, stride 2
inline constexpr std::int64_t vgg_widen = -1;  ///< the maximum of 3x3, stride 1

struct vgg_pam_options {
  std::vector<std::int64_t> layers{64,        64,  vgg_halve, 128, 128,       vgg_halve, 256, 256, 256,
                                   vgg_halve, 512, 512,       512, vgg_widen, 512,       512, 512};
  std::size_t dilated_from = 14;  ///< convolutions from this layer on are dilated by 2
  std::int64_t extra = 512;       ///< channels of the layers that attend to peaks
  double alpha = 0.7;             ///< of peak attention; 0: a plain ReLU, for comparison
  bool normalised = false;        ///< batch normalisation behind every 3x3 convolution, for weights that begin anew
};

/// The classifier of tags whose class maps show one peak an object.
///
/// Parameters are named features.0 .. features.28 as in torchvision's vgg16, then extra_conv1 .. extra_conv4. With
/// `normalised` the numbers of `features` count the normalisations, and extra_bn1 .. extra_bn3 are there, too.
///
/// @source VGG and vgg16_pam, PAM/models/classifier.py of clovaai/BESTIE, list D1; the number of classes is 20 there
class vgg_pam : public torch::nn::Module {
 public:
  /// @throws cambium::precondition_error: no class, a layer below -1, no convolution, alpha outside [0,1]
  explicit vgg_pam(std::int64_t classes, vgg_pam_options options = {});

  /// Scores of the classes before a sigmoid: the mean of the class maps, negative values included. [B,classes]
  [[nodiscard]] torch::Tensor forward(torch::Tensor const& image) { return maps(image).mean({2, 3}); }
  /// The class maps, neither rectified nor normalised: [B,classes,h,w], h = H/8 rounded down.
  [[nodiscard]] torch::Tensor maps(torch::Tensor const& image);

  [[nodiscard]] vgg_pam_options const& options() const { return options_; }
  /// Another alpha from now on, in [0,1].
  void attend(double alpha);
  [[nodiscard]] std::int64_t classes() const { return classes_; }
  /// Rates of the original by parameter: 1 weights, 2 biases, ten times as much for the extra layers.
  [[nodiscard]] static double rate_of(std::string const& parameter);

 private:
  vgg_pam_options options_;
  std::int64_t classes_;
  torch::nn::Sequential features_{nullptr};
  std::vector<torch::nn::Conv2d> extra_;
  std::vector<std::shared_ptr<held_batch_norm>> extra_bn_;
};

/// For two cores and images of about 100 pixels: stride 4, four convolutions of width to four times width, normalised.
[[nodiscard]] vgg_pam_options small_vgg_pam(std::int64_t width, double alpha);

}  // namespace trainer
