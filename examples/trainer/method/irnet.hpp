#pragma once
// IRNet from image tags to masks: a classifier, its CAMs, the pixels they are sure of, a network for boundaries and
// displacements that learns from those, labels. Each step is a function that can run alone.

#include "data/dataset.hpp"
#include "run/journal.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/loss/affinity_displacement.hpp>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/pipeline/label_mining.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trainer {

class cam_network;
class boundary_displacement_network;

/// Which network looks at photographs.
struct backbone_options {
  std::string name = "small";    ///< small or resnet50
  std::int64_t width = 24;       ///< channels of the small one's stem
  std::string weights;           ///< safetensors of an ImageNet classifier for resnet50, or "" to begin from nothing
};

/// One training: how long, how fast, on what.
struct training_options {
  int epochs = 5;
  int batch = 16;
  double learning_rate = 0.1;
  double weight_decay = 1e-4;
  cambium::index_t crop = 512;            ///< [pixels] side of the square that is cut out
  double smallest_scale = 1, largest_scale = 1;  ///< a photograph is resized by something between
};

/// Everything about training IRNet. The defaults are the original's, small_scenes() those for scenes on two cores.
struct irnet_training_options {
  std::uint64_t seed = 1;
  int threads = 0;  ///< of cambium's stages; 0: all
  backbone_options backbone{.name = "resnet50"};
  training_options cam{.epochs = 5, .batch = 16, .learning_rate = 0.1, .crop = 512};
  bool cam_stops_gradient = true;  ///< after layer2, where weights come from ImageNet
  std::vector<double> cam_scales{1.0, 0.5, 1.5, 2.0};
  cambium::mining_options mining{};
  training_options field{.epochs = 3, .batch = 32, .learning_rate = 0.1, .crop = 512, .smallest_scale = 0.5, .largest_scale = 1.5};
  double displacement_rate = 10;     ///< times the learning rate, for the displacement branch
  bool backbone_stops_gradient = true;
  cambium::affinity_loss_options loss{};
  cambium::irnet_options labels{};

  [[nodiscard]] static irnet_training_options small_scenes();
};

/// Trains the classifier whose CAMs everything begins with.
/// @source step/train_cam.py of jiwoon-ahn/irn
[[nodiscard]] std::shared_ptr<cam_network> train_cam(dataset const& set, irnet_training_options const& options,
                                                     journal& log);

/// CAMs of one photograph at several scales and mirrored, of its tags.
/// @source step/make_cam.py of jiwoon-ahn/irn
[[nodiscard]] cambium::cams<float> cams_of(cam_network& network, weak_image const& image,
                                           irnet_training_options const& options);

/// Trains boundaries and displacements on mined labels.
/// @param mined  of image i: [H,W] 0, class + 1, or label::ignore
/// @source step/train_irn.py of jiwoon-ahn/irn
[[nodiscard]] std::shared_ptr<boundary_displacement_network> train_field(
    dataset const& set, std::function<cambium::grid<std::int32_t, 2>(std::size_t)> const& mined,
    cam_network* classifier, irnet_training_options const& options, journal& log);

/// What the second network says of one photograph, at stride 4.
struct boundary_and_displacement {
  cambium::grid<float, 2> boundary;      ///< [h,w] in [0,1]
  cambium::grid<float, 3> displacement;  ///< [2,h,w]
};
[[nodiscard]] boundary_and_displacement field_of(boundary_displacement_network& network, weak_image const& image,
                                                 irnet_training_options const& options);

}  // namespace trainer
