#pragma once
// IRNet from image tags to masks: a classifier, its CAMs, confident pixels of the CAMs, a network that learns
// boundaries and displacements from these pixels, labels.
//
//   auto classifier = make_cam_network(classes, how);
//   train_cam(train, *classifier, how, record);                           // 1  the classes of each image
//   auto cams = cams_of(*classifier, image, how);                         // 2  roughly their places
//   auto sure = mine(image, cams, how);                                   // 3  confident pixels
//   auto field = make_field_network(how, classifier.get());
//   train_field(train, sure_of, *field, how, record);                     // 4  boundaries, displacements
//   auto maps = field_of(*field, image.photograph, how);                  // 5
//   auto labels = irnet_labels_of(cams, maps, image, {way}, how);         // 6  the walk
//
// Each step runs alone, too.

#include "data/dataset.hpp"
#include "network/irnet_heads.hpp"
#include "run/training.hpp"

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

/// The network whose features both trainings use.
struct backbone_options {
  bool small = false;       ///< four basic blocks with random initial weights; otherwise ResNet-50
  std::int64_t width = 16;  ///< [channels] of the small one's stem
  std::string weights;      ///< safetensors of an ImageNet ResNet-50, with torchvision's names
};

/// Defaults are the original's, small_irnet() those for drawn scenes on two cores.
struct irnet_training_options {
  std::uint64_t seed = 1;
  int workers = 2;  ///< threads that prepare photographs
  int threads = 0;  ///< of cambium's stages; 0: as cpu::threads
  backbone_options backbone{};

  // 1: the classifier
  int cam_epochs = 5, cam_batch = 16;
  double cam_rate = 0.1;                      ///< of stochastic gradient descent; ten times that for the last layer
  int cam_shortest = 320, cam_longest = 640;  ///< [pixels] of the long side
  cambium::index_t cam_crop = 512;
  // 2: its maps
  std::vector<double> cam_scales{1.0, 0.5, 1.5, 2.0};
  // 3: sure pixels
  cambium::mining_options mining{};
  // 4: boundaries and displacements
  int field_epochs = 3, field_batch = 32;
  double field_rate = 0.1;  ///< ten times that for the displacement branch
  double field_smallest = 0.5, field_largest = 1.5;
  cambium::index_t field_crop = 512;
  cambium::affinity_loss_options loss{};
  double head_width = 1;
  // 5, 6: labels
  double cam_thres = 0.15;  ///< of the CAM by itself, for comparison (cam_eval_thres)
  cambium::irnet_options labels{};

  std::string beside{};  ///< words behind the recipe: what was learned from, as survey::contents
};

/// For scenes of about 192 pixels and two cores. Random initial weights cannot be frozen: the classifier's
/// normalisations are live, gradients reach all of both networks, Adam replaces the original's descent, and the second
/// network starts with the first one's weights. Pairs are nearer than in the original, since 192 pixels are 48 cells.
[[nodiscard]] irnet_training_options small_irnet();

/// The recipe of a training, "cam" or "field": names and weak labels of the set, all options but threads, workers and
/// the kernels of the mining's CRF.
[[nodiscard]] std::string irnet_recipe(std::string const& what, dataset const& set, irnet_training_options const& how);

/// A classifier with its random or its ImageNet weights.
/// @throws cambium::io_error: weights that do not fit, all differences named
[[nodiscard]] std::shared_ptr<cam_network> make_cam_network(std::size_t classes, irnet_training_options const& how);
/// The second network. A small one starts with the weights of the classifier's backbone.
[[nodiscard]] std::shared_ptr<boundary_displacement_network> make_field_network(irnet_training_options const& how,
                                                                                cam_network* classifier = nullptr);

/// 1: trains the classifier.
/// @source step/train_cam.py of jiwoon-ahn/irn
void train_cam(dataset const& set, cam_network& network, irnet_training_options const& how,
               training_record const& record = {});

/// 2: CAMs of a photograph's tags, from several scales and mirrored.
/// @source step/make_cam.py of jiwoon-ahn/irn; sizes are rounded as there, resampling is Pillow's bicubic
[[nodiscard]] cambium::cams<float> cams_of(cam_network& network, weak_image const& image,
                                           irnet_training_options const& how);

/// 3: the pixels of which the CAMs are confident: [H,W] 0, class + 1, or label::ignore.
/// @source step/cam_to_ir_label.py of jiwoon-ahn/irn
[[nodiscard]] cambium::grid<std::int32_t, 2> mine(weak_image const& image, cambium::cams<float> const& maps,
                                                  irnet_training_options const& how);

using mined_labels = std::function<cambium::grid<std::int32_t, 2>(std::size_t)>;  ///< of image i; from any thread

/// 4: trains boundaries and displacements, and sets the constant that is subtracted from displacements.
/// @source step/train_irn.py of jiwoon-ahn/irn, the mean over the training set included
void train_field(dataset const& set, mined_labels const& mined, boundary_displacement_network& network,
                 irnet_training_options const& how, training_record const& record = {});

/// The second network's output for a photograph, at stride 4.
struct boundary_and_displacement {
  cambium::grid<float, 2> boundary;      ///< [h,w] in [0,1]
  cambium::grid<float, 3> displacement;  ///< [2,h,w]
};

/// 5: boundaries from the photograph and its mirror image, displacements from the photograph.
/// @source EdgeDisplacement, net/resnet50_irn.py of jiwoon-ahn/irn. There photographs are padded to 512 and larger ones
///         fail; here padding is to field_crop or, for larger ones, to the next multiple of 16
[[nodiscard]] boundary_and_displacement field_of(boundary_displacement_network& network,
                                                 cambium::grid<std::uint8_t, 3> const& photograph,
                                                 irnet_training_options const& how);

/// How instances are separated.
enum class instances_by { components, boundary_components, displacement };

/// 6: labels, one for each way of separating instances; the random walk runs once.
/// @source step/make_sem_seg_labels.py and step/make_ins_seg_labels.py of jiwoon-ahn/irn
[[nodiscard]] std::vector<cambium::irnet_labels<>> irnet_labels_of(cambium::cams<float> const& maps,
                                                                   boundary_and_displacement const& field,
                                                                   weak_image const& image,
                                                                   std::vector<instances_by> const& ways,
                                                                   irnet_training_options const& how);

/// Labels from CAMs alone: the strongest class above cam_thres, and its 4-connected components, scored by their
/// maximum.
[[nodiscard]] cambium::irnet_labels<> cam_labels(cambium::cams<float> const& maps, irnet_training_options const& how);

}  // namespace trainer
