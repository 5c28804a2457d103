#pragma once

#include "network/classifier.hpp"
#include "program/groups.hpp"

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace trainer {

/// How logits become probabilities, which only matters where nobody says what an image shows.
enum class logit_kind { softmax, sigmoid };

struct class_activation_options {
  std::vector<double> scales{1, 0.5, 1.5, 2};
  logit_kind logits = logit_kind::softmax;
  double least_score = 0.3;  ///< classes from here on are taken for shown
  double head_top = 0.2;     ///< an extra head's score is its mean over this fraction of its highest cells
};

struct class_activations {
  std::vector<int> classes;      ///< of the channels
  cambium::grid<float, 3> maps;  ///< [C,(H-1)/4+1,(W-1)/4+1] in [0,1)
};

/// A photograph as a network's input.
/// @param photograph  [H,W,3] RGB
/// @return [1,3,H,W] float, 0..255
[[nodiscard]] torch::Tensor to_tensor(cambium::grid<std::uint8_t, 3> const& photograph);

/// CAMs of groups of classes, over scales and mirror images.
///
/// Of group S with weights W_k and logits l_k of the image at scale 1: p = softmax of l over S, W_S = sum_k p_k W_k
/// (the gradient of the log-sum-exp of the group), CAM = relu(W_S . features), without bias. Summed over scales and
/// their mirror images at a quarter of the image's size, divided by the maximum + 1e-5. A channel that is 0 everywhere
/// stays 0.
///
/// @source step/make_cam.py of jiwoon-ahn/irn for the scales and what follows; sizes are the nearest multiples of what
///         the network wants, cubic resizing is OpenCV's (a = -0.75, no antialiasing) where the original's is Pillow's
class class_activation {
 public:
  /// @throws cambium::precondition_error: no scale, scales outside (0,8], a class both of a group and of a head
  class_activation(std::shared_ptr<classifier> network, std::vector<class_group> groups, std::vector<extra_head> heads,
                   class_activation_options options = {});

  /// @param classes  what the image shows; without it every class that scores high enough, and at least the highest
  /// @throws cambium::precondition_error: a class without a group or head
  [[nodiscard]] class_activations of(cambium::cpu const& where, cambium::grid<std::uint8_t, 3> const& photograph,
                                     std::optional<std::vector<int>> const& classes) const;

  /// About how much memory a photograph of this size takes, in bytes.
  [[nodiscard]] double memory(cambium::extent2 image) const;

 private:
  std::shared_ptr<classifier> network_;
  std::vector<class_group> groups_;
  std::vector<extra_head> heads_;
  class_activation_options options_;
};

}  // namespace trainer
