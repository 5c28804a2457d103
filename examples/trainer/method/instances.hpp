#pragma once
// The second stage: an instance network learns from pseudo instances as if they were the truth.
//
//   voc_folder set({.root = "voc", .list = "train.txt",
//                   .class_maps = "pseudo/classes", .object_maps = "pseudo/objects"});
//   auto network = small_panoptic_deeplab(16, 20);
//   train_instances(set, *network, {.steps = 20000});        // set.truth(i) are the pseudo labels
//   evaluate_bestie(held_out, *network);

#include "data/augment.hpp"
#include "data/dataset.hpp"
#include "network/bestie_network.hpp"
#include "run/training.hpp"

#include <cambium/grid/instance.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace trainer {

struct instance_training {
  std::int64_t steps = 50000;
  std::int64_t batch = 16;
  double rate = 5e-5;  ///< Adam's
  std::int64_t warm_up = 2000;
  double seg_weight = 1, centre_weight = 200, offset_weight = 0.01;
  double hardest = 0.2;              ///< fraction of the pixels whose cross entropy counts
  int sigma = 8;                     ///< [pixels] of the centres' heat maps
  bool trust_background = true;      ///< false: pixels outside all instances add no loss, of class or centre
  double least_score = 0;            ///< pixels of instances with less add no loss; IRNet's fragments have 0
  bestie_augmentation augmentation;  ///< its points and fill are not used: padding adds no loss
  std::string beside;  ///< for the recipe: facts that are no option: which labels, the source of the initial weights
  std::uint64_t seed = 1;
  int workers = 2;  ///< threads that prepare photographs; the result does not depend on their number
  int threads = 0;  ///< of the losses; 0: as cpu::threads
};

/// The targets of a network for one augmented photograph.
struct instance_targets {
  cambium::grid<std::int32_t, 2> semantic;  ///< [H,W] 0 background, class + 1, label::ignore
  cambium::grid<float, 3> centre;           ///< [C,H,W] Gaussians around the mean of each instance's pixels
  cambium::grid<float, 3> offset;           ///< [2,H,W] (dy,dx) from a pixel to this mean; 0 outside instances
  cambium::grid<float, 2> centre_weight;    ///< [H,W] 1 where the heat map is known
  cambium::grid<float, 2> offset_weight;    ///< [H,W] 1 on instances
};

/// Makes targets from instance labels after the augmentation: a cropped instance has the mean of its remaining pixels.
///
/// @param labels   [H,W] 0 background, i + 1 for found[i], below 0 unknown
/// @param classes  C
/// @throws cambium::precondition_error: a label beyond found, a class outside 0..C-1, sigma outside 1..200
/// @source PanopticTargetGenerator of Cheng et al., "Panoptic-DeepLab", CVPR 2020, with a heat map for each class
[[nodiscard]] instance_targets make_instance_targets(cambium::grid<std::int32_t, 2> const& labels,
                                                     std::vector<cambium::instance> const& found, std::int64_t classes,
                                                     instance_training const& options);

/// The recipe of a training: names and weak labels of the set, all options but threads and workers.
[[nodiscard]] std::string instances_recipe(dataset const& set, instance_training const& options);

/// Trains a network on the instances that set.truth(i) gives: pseudo labels, or true ones for comparison.
///
/// The seed gives every epoch's order and every augmentation. The checkpoint is saved every 1000 steps.
///
/// @return the last step: "seg", "centre", "offset"; see run_training
/// @throws cambium::precondition_error: fewer photographs than a batch, another number of classes, options outside
///         their ranges; cambium::io_error as set.load, set.truth, run_training
journal_entry train_instances(dataset const& set, bestie_network& network, instance_training const& options,
                              training_record const& record = {});

}  // namespace trainer
