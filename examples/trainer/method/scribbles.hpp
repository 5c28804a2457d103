#pragma once
// Scribbles and points: a segmentation network learns from the marked pixels, and from the image's trees about the others.
//
//   voc_folder set({.root = "voc", .list = "train.txt", .scribbles = "Scribbles"});
//   auto const network = small_panoptic_deeplab(16, 20);
//   train_scribbles(set, network, {.steps = 20000});
//   find_semantic(photograph, *network);

#include "data/augment.hpp"
#include "data/dataset.hpp"
#include "network/bestie_network.hpp"
#include "run/training.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/pipeline/scribbles.hpp>
#include <cambium/walk/tree_filter.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trainer {

/// The tree energy loss, as its authors use it.
struct tree_energy_settings {
  double weight = 0.4;                 ///< beside the cross entropy of the marks; 0: without this loss
  cambium::tree_filter_options low{};  ///< of the photograph's tree
  bool high = true;                    ///< a second tree, of features that an added layer makes of the network's
  std::int64_t embedding = 256;        ///< channels of that layer: 1x1 convolution, normalisation, ReLU
};

struct scribble_training {
  bool points = false;  ///< the points of the images are marks, too
  bool frame = false;   ///< unmarked pixels of the outermost rows and columns are marked background
  /// Marks are spread along the photograph before the training: cambium::scribble_labels of at least spreading.confidence
  /// are labels, the others stay unmarked. Its `frame` and `objects` are not read.
  bool spread = false;
  cambium::scribble_options spreading{.confidence = 0.5};
  /// Marks of objects and marks of the background have half of the cross entropy each, however many there are. Without
  /// it a network finds no object where a hundred marks of background stand beside a few of objects.
  bool balance = false;
  tree_energy_settings tree{};

  std::int64_t steps = 50000;
  std::int64_t batch = 16;
  double rate = 5e-5;  ///< Adam's
  std::int64_t warm_up = 2000;
  bestie_augmentation augmentation;  ///< its exact_points and fill are not used: padding has no label and no tree
  std::string beside;  ///< for the recipe: facts that are no option: which marks, the source of the initial weights
  std::uint64_t seed = 1;
  int workers = 2;  ///< threads that prepare photographs; the result does not depend on their number
  int threads = 0;  ///< of the losses; 0: as cpu::threads
};

/// Settings for two cores and square photographs of `side` pixels, about 100: small windows, large rates, `balance`.
[[nodiscard]] scribble_training small_scribbles(std::int64_t steps, cambium::index_t side);

/// The marks of an image: its scribbles, and what the options add to them.
/// @param classes  C, without the background
/// @return [H,W] 255 unmarked, 0 background, class + 1
/// @throws cambium::precondition_error naming the image: scribbles of another size than the photograph or outside 0..C
///         and not 255; a point outside the photograph, of a class outside 0..C-1, or on a mark of another class
[[nodiscard]] cambium::grid<std::int32_t, 2> marks_of(weak_image const& image, std::int64_t classes,
                                                      scribble_training const& options);

/// The labels of an image: its marks, spread if the options say so.
/// @param marks  as marks_of gives them
/// @return [H,W] 255 unlabelled, 0 background, class + 1
[[nodiscard]] cambium::grid<std::int32_t, 2> labels_of_marks(weak_image const& image,
                                                             cambium::grid<std::int32_t, 2> const& marks,
                                                             scribble_training const& options);

/// A photograph as the training sees it: resized, cut out, padded.
struct scribble_sample {
  cambium::grid<float, 3> photograph;     ///< [3,S,S] normalised
  cambium::grid<std::int32_t, 2> labels;  ///< [S,S] 255 unlabelled, and all padding
  cambium::grid<std::int32_t, 2>
      unlabelled;  ///< [S,S] 1 on unlabelled pixels of the photograph, 0 on labels and padding
};

/// Augments an image and its marks. Each mark moves to the nearest cell, as a point does: a line of one pixel would lose
/// most of its cells if it were resized as a map is. With `spread`, the spread labels are resized as a map, and the marks
/// are put over them.
/// @throws as marks_of, augment_bestie
[[nodiscard]] scribble_sample sample_of_marks(weak_image image, std::uint64_t seed, std::int64_t classes,
                                              scribble_training const& options);

/// Reads every image of a set once, with several threads, and checks its marks.
/// @return a number that tells marks apart: the fingerprint of all images' marks
/// @throws cambium::precondition_error: as marks_of; no image is marked; an image without a mark: the first and how many
///         more there are; no mark of the background in any image; cambium::io_error as set.load
std::uint64_t expects_marks(dataset const& set, scribble_training const& options);

/// The recipe of a training: names and weak labels of the set, its marks, all options but threads and workers.
/// @param marks  what expects_marks returns for this set and these options
[[nodiscard]] std::string scribbles_recipe(dataset const& set, scribble_training const& options, std::uint64_t marks);

/// Trains a network on marks.
///
///   loss = cross entropy over labelled pixels + tree.weight * tree energy of the unlabelled ones
///
/// With `balance` the first is the mean of two: over pixels labelled background, and over the other labelled ones.
///
/// Marks keep their pixels when a photograph is resized: each moves to the nearest cell. The cross entropy sees the
/// logits at the photograph's size, the tree energy at the network's own, as the original does. The seed gives every
/// epoch's order and every augmentation. The checkpoint is saved every 1000 steps.
///
/// @return the last step: "marks" and, unless its weight is 0, "tree"; see run_training
/// @throws cambium::precondition_error: as expects_marks; fewer photographs than a batch, another number of classes,
///         options outside their ranges; cambium::io_error as set.load, run_training
/// @source Liang et al., "Tree Energy Loss: Towards Sparsely Annotated Semantic Segmentation", CVPR 2022; weight, sigma,
///         and the added layer are those of megvii-research/TreeEnergyLoss. Optimiser and augmentation are BESTIE's
journal_entry train_scribbles(dataset const& set, std::shared_ptr<bestie_network> const& network,
                              scribble_training const& options, training_record const& record = {});

struct semantic_inference_options {
  cambium::index_t long_side = 0;  ///< [pixels] the photograph is resized to it, as in training; 0: not resized
  bool flip = true;                ///< probabilities are means over the photograph and its mirror image
};

/// The class of each pixel of a photograph: 0 background, class + 1.
/// @param photograph  [H,W,3]
[[nodiscard]] cambium::grid<std::int32_t, 2> find_semantic(cambium::grid<std::uint8_t, 3> const& photograph,
                                                           bestie_network& network,
                                                           semantic_inference_options const& options = {});

/// The mIoU of a network over a set with truth, background included.
/// @throws cambium::io_error where the set has none
[[nodiscard]] double semantic_miou(dataset const& held_out, bestie_network& network,
                                   semantic_inference_options const& options = {});

}  // namespace trainer
