#pragma once
// IRNet's two networks on a residual network: the classifier that gives class maps, and the one that gives boundaries
// and displacements.

#include "network/resnet.hpp"

#include <torch/nn/modules/container/sequential.h>

#include <cstdint>
#include <filesystem>
#include <memory>

namespace trainer {

struct cam_network_options {
  /// No gradient passes back beyond layer1 and layer2 (the original's stages 1 and 2): right for a pretrained backbone,
  /// wrong for one that begins from nothing.
  bool stop_after_layer2 = true;
};

/// A classifier of tags whose class maps are its own last layer without the mean: residual network, mean over the
/// image, 1x1 classifier without bias.
///
/// @source Ahn et al., CVPR 2019; Net and CAM, net/resnet50_cam.py of jiwoon-ahn/irn
class cam_network : public torch::nn::Module {
 public:
  cam_network(std::shared_ptr<resnet> backbone, std::int64_t classes, cam_network_options options = {});

  /// Scores of the classes before a sigmoid.
  /// @param image  [B,3,H,W] normalised
  /// @return [B,classes]
  [[nodiscard]] torch::Tensor forward(torch::Tensor const& image);

  /// Class maps, rectified and not normalised, at the stride of the last stage: [B,classes,h,w].
  /// The original adds those of the image and of its mirror image; that is the caller's.
  [[nodiscard]] torch::Tensor cam(torch::Tensor const& image);

  /// The last feature maps, [B,F,h,w].
  [[nodiscard]] torch::Tensor features(torch::Tensor const& image);

  [[nodiscard]] resnet& backbone() { return *backbone_; }
  /// The classifier, which is trained with ten times the rate of the backbone.
  [[nodiscard]] torch::Tensor& classifier_weight() { return classifier_->weight; }

 private:
  cam_network_options options_;
  std::shared_ptr<resnet> backbone_;
  torch::nn::Conv2d classifier_{nullptr};
};

/// Loads the backbone of a cam_network's file, for another network that begins with what a classifier learned from
/// tags.
/// @throws cambium::io_error, cambium::precondition_error: as load_weights
void load_cam_backbone(resnet& backbone, std::filesystem::path const& file);

/// Subtracts a constant displacement in evaluation, the mean over a training set, and nothing while training.
/// @source MeanShift, net/resnet50_irn.py
class mean_shift : public torch::nn::Module {
 public:
  explicit mean_shift(std::int64_t channels);
  [[nodiscard]] torch::Tensor forward(torch::Tensor const& x);

  torch::Tensor running_mean;  ///< [channels]
};

/// What the second network says: both at half the stride of layer2, a quarter of the image for IRNet's backbone.
struct boundary_displacement {
  torch::Tensor boundary;      ///< [B,1,h,w] before a sigmoid
  torch::Tensor displacement;  ///< [B,2,h,w] (y,x) in cells of this map
};

struct boundary_displacement_options {
  /// Channels of the heads by those published: 1 gives 32 for boundaries and 64 to 256 for displacements. Groups of the
  /// normalisations shrink alike, so that each holds as many channels as published.
  double head_width = 1;
  /// Stage outputs are detached and the backbone learns nothing: the original. Otherwise gradients pass into it.
  bool detach_stages = true;
};

/// Two light branches on the five stages of a residual network.
///
/// fc_edge1..5: 1x1 to 32, 4 groups, enlarged to the size of stage 2, ReLU; together 160 -> fc_edge6, 1x1 to 1.
/// fc_dp1..5: 1x1 to 64, 128, 256, 256, 256 with 8, 16 groups, the last two enlarged to the size of stage 3; together
/// fc_dp6, 768 -> 256, enlarged; with the first two 448 -> 256 -> 2 in fc_dp7, whose end is mean_shift.
///
/// @pre    the backbone's relative strides are those of IRNet, {1, 2, 2, 1}
/// @source Ahn et al., CVPR 2019, figure 3; Net, net/resnet50_irn.py of jiwoon-ahn/irn, names and order as there
class boundary_displacement_network : public torch::nn::Module {
 public:
  /// @throws cambium::precondition_error: another backbone, a head_width that is not above 0
  explicit boundary_displacement_network(std::shared_ptr<resnet> backbone, boundary_displacement_options options = {});

  /// @param image  [B,3,H,W] normalised
  [[nodiscard]] boundary_displacement forward(torch::Tensor const& image);

  /// The constant subtracted in evaluation; [2], written by the end of a training.
  [[nodiscard]] torch::Tensor& mean_displacement() { return mean_shift_->running_mean; }
  [[nodiscard]] resnet& backbone() { return *backbone_; }
  /// Parameters of the boundary branch; those of the displacement branch are trained with ten times the rate.
  [[nodiscard]] std::vector<torch::Tensor> boundary_parameters() const;
  [[nodiscard]] std::vector<torch::Tensor> displacement_parameters() const;

 private:
  boundary_displacement_options options_;
  std::shared_ptr<resnet> backbone_;
  std::vector<torch::nn::Sequential> edge_, displacement_;  ///< fc_edge1..5; fc_dp1..7
  torch::nn::Conv2d edge6_{nullptr};
  std::shared_ptr<mean_shift> mean_shift_;
};

}  // namespace trainer
