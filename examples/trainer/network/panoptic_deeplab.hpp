#pragma once
// Panoptic-DeepLab on a residual network, as BESTIE uses it.

#include "network/bestie_network.hpp"
#include "network/resnet.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace trainer {

/// One of the two decoders: spatial pyramid, then three times a skip from layer3, layer2, layer1 is joined in.
struct deeplab_decoder_options {
  std::int64_t pyramid = 256;                      ///< channels of each of the pyramid's five branches
  std::array<std::int64_t, 3> skips{128, 64, 32};  ///< channels of the projected skips
  std::int64_t channels = 256;                     ///< behind each join
};

struct panoptic_deeplab_options {
  deeplab_decoder_options semantic{};
  deeplab_decoder_options instance{256, {64, 32, 16}, 128};
  std::array<std::int64_t, 3> rates{3, 6, 9};  ///< dilations of the pyramid
  /// Joins and heads convolve 5x5 each channel by itself, then 1x1 over all. false: 3x3 over all at once, which on a
  /// CPU is several times faster to train for few channels.
  bool separable = true;
  std::int64_t seg_head = 256, centre_head = 128, offset_head = 32;
  double dropout = 0.5;       ///< behind the pyramids
  double bn_momentum = 0.01;  ///< of the decoders; the backbone's is the caller's
  double deviation = 0.001;   ///< of the decoders' first weights, normal; 0: by fan out, for weights that begin anew
};

class deeplab_decoder;
class deeplab_head;

/// Features of a residual network, a decoder and a head for classes, another one for centres and offsets.
///
/// Names: backbone.* as in torchvision, decoder.{semantic,instance}_decoder.{aspp,project,fuse},
/// decoder.semantic_head.classifier.seg, decoder.instance_head.classifier.{center,offset}.
///
/// @source Cheng et al., CVPR 2020; PanopticDeepLab, models/panoptic_deeplab.py of clovaai/BESTIE
class panoptic_deeplab : public bestie_network {
 public:
  /// @throws cambium::precondition_error: no backbone, no class, channels below 1, a dropout outside [0,1)
  panoptic_deeplab(std::shared_ptr<resnet> backbone, std::int64_t classes, panoptic_deeplab_options options = {});

  [[nodiscard]] bestie_maps forward(torch::Tensor const& image) override;
  [[nodiscard]] semantic_half semantic(torch::Tensor const& image) override;
  [[nodiscard]] std::int64_t feature_channels() const override { return features_; }
  [[nodiscard]] std::int64_t classes() const override { return classes_; }
  [[nodiscard]] std::int64_t multiple() const override { return 1; }
  [[nodiscard]] resnet& backbone() { return *backbone_; }

 private:
  [[nodiscard]] semantic_half semantic_of(std::vector<torch::Tensor> const& stages);

  std::int64_t classes_, features_;
  std::shared_ptr<resnet> backbone_;
  std::shared_ptr<deeplab_decoder> semantic_, instance_;
  std::shared_ptr<deeplab_head> semantic_head_, instance_head_;
};

/// For two cores and images of about 100 pixels: a small residual network at strides 4, 8, 16, 16 and decoders of
/// `width` and twice `width` channels.
/// @param backbone  with weights of another training, say a classifier's of tags; null: a new small_resnet(width)
[[nodiscard]] std::shared_ptr<panoptic_deeplab> small_panoptic_deeplab(std::int64_t width, std::int64_t classes,
                                                                       std::shared_ptr<resnet> backbone = nullptr);

}  // namespace trainer
