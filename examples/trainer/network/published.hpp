#pragma once
// How the names of published checkpoints become those of the networks here. The files are the originals' state
// dictionaries, saved from Python as safetensors; tensors that share memory there have to be cloned first.

#include "network/module_weights.hpp"

namespace trainer {

/// torchvision's resnet50 and resnet101 into a `resnet`. With `fc` false the classifier of the file is passed over.
[[nodiscard]] name_map published_resnet(bool fc);

/// IRNet's classifier (net/resnet50_cam.py) into a cam_network: resnet50.* is the backbone; what the file holds twice,
/// stage1 .. stage4, backbone.* and newly_added.*, is passed over.
[[nodiscard]] name_map published_irnet_cam();

/// IRNet's second network (net/resnet50_irn.py) into a boundary_displacement_network. The mean displacement is
/// fc_dp7.4.running_mean; edge_layers, dp_layers, mean_shift and tables of paths are passed over.
[[nodiscard]] name_map published_irnet();

/// torchvision's vgg16 into a vgg_pam: `features` alone, the layers that attend to peaks keep their first weights.
[[nodiscard]] name_map published_vgg16();

/// BESTIE's classifier (PAM/models/classifier.py), which holds `features` twice, into a vgg_pam.
[[nodiscard]] name_map published_pam();

/// BESTIE's networks (models/hrnet.py, models/panoptic_deeplab.py) into an hrnet or a panoptic_deeplab.
[[nodiscard]] name_map published_bestie();

/// HRNet's weights of ImageNet or of poses into an hrnet: heads keep their first weights, what classified there is
/// passed over.
[[nodiscard]] name_map published_hrnet();

}  // namespace trainer
