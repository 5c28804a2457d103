#pragma once
// Box supervision: a segmentation network from a few exact masks and many boxes, which turn into masks while it learns.

#include "data/dataset.hpp"
#include "run/training.hpp"

#include <cambium/exec/cpu.hpp>
#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/pairwise.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace trainer {

class uncertain_network;

/// What a training uses of the images that are not exact.
enum class box_supervision_kind {
  exact,           ///< their masks: the baseline
  uncertainty,     ///< their boxes, which may be wrong: the method
  boxes_as_masks,  ///< their boxes, filled, as masks
  exact_part,      ///< nothing: these images are left out, and the exact ones are used more often
  boxinst          ///< their boxes' projections, and the colours of neighbours inside them
};

/// The word for it in logs and in the study's tables: "exact", "uncertainty", "boxes_as_masks", "exact_part",
/// "boxinst".
[[nodiscard]] std::string name_of(box_supervision_kind kind);

/// BoxInst's losses, as `boxinst` takes them.
struct boxinst_options {
  cambium::projection_options projection{};
  cambium::pairwise_options pairs{};  ///< pairs.warm is not read: warm_up is
  double warm_up = 0.1;               ///< [share of the steps] in which the pairwise loss rises to its weight; 0..1
  double weight = 1;                  ///< of both losses beside that of certain pixels; >= 0
};

struct boxes_options {
  bool several = false;       ///< one label for each class of the set; otherwise all classes are one foreground
  double exact_share = 0.18;  ///< of the images have masks, the others boxes; (0,1]
  /// [images] which ones `exact` takes as the exact ones of a paired step; empty: those that choose_exact takes
  std::vector<bool> exact_images{};
  std::uint64_t seed = 1;  ///< of the weights, the order, the mirroring and of which images are exact

  std::int64_t steps = 600;  ///< of the optimiser
  std::int64_t batch = 8;    ///< images a step
  /// Share of exact images in the batches, if the set has exact images and others; 0: their share in the set. The box
  /// of an image that is not exact calls background pixels beside the object foreground. With 82 % such images no
  /// uncertainty compensates for this (sigma without bound: 77 %, up to 5: 63 %).
  double exact_seen = 0.5;
  /// Exact images and others of every step, beside each other; both 0: `batch` and `exact_seen` say it. One alone is
  /// refused where images of the other kind would never be seen. The trainings of a seed are then paired: each sees the same exact images in the same step, mirrored alike. exact_part sees these
  /// alone. For `exact` they are those of exact_images.
  std::int64_t exact_batch = 0, box_batch = 0;
  double rate = 4e-3;          ///< of Adam at the start; it falls to 0 with power 0.9
  double weight_decay = 1e-4;  ///< of Adam
  std::int64_t width = 16;     ///< [channels] of the network's stem
  double log_variance = -2;    ///< what the network says of sigma before it has learned
  /// Safetensors of a classifier that `trainer irnet` trained on tags, of the same width: every training starts with
  /// its backbone. Empty: random initial weights. The classifier's stem pools; here the stem does not.
  std::filesystem::path classifier;

  double warm_up = 0.6;  ///< [share of the steps] during which boxes do not change; 0..1
  cambium::box_supervision_options supervision = careful();  ///< its bootstrap.warm_up is not read: warm_up is
  boxinst_options boxinst{};
  cambium::cpu where{};  ///< for cambium's part; the caller sets LibTorch's threads

  /// Settings for a step of which half the images are exact: a low bound of sigma, background only where the mean's
  /// confidence is 0.9, foreground where the mean is positive and sigma below 4, and what is neither is ignored. Chosen on
  /// scenes of seed 11, with 3 and 18 % exact ones, and looked at on 12 and 13: docs/label_uncertainty.md has the figures.
  [[nodiscard]] static cambium::box_supervision_options careful();
};

/// A photograph and the labels that the training may use.
struct box_sample {
  std::string id;
  cambium::grid<std::uint8_t, 3> photograph;  ///< [H,W,3]
  bool exact = false;
  std::vector<cambium::class_box> boxes;  ///< of a box image; classes from 0, all 0 where `several` is off
  /// [H,W] of an exact image: 0 background, class + 1, 255 where the truth is unknown; otherwise empty
  cambium::grid<std::int32_t, 2> mask;
  cambium::grid<std::uint8_t, 2> ignored{};  ///< [H,W] of a box image: 1 where crowds are; or empty
};

/// Chooses the images with masks by the seed: round(share * count), at least one.
/// @return [count] true where exact
/// @throws cambium::precondition_error: no image, a share outside (0,1]
[[nodiscard]] std::vector<bool> choose_exact(std::size_t count, double share, std::uint64_t seed);

/// Looks, before anything is read or trained, whether a training can be: the options, and that a step sees exact images
/// and others where there are both.
/// @param exact  [images] which have masks
/// @throws cambium::precondition_error as train_with, of `kind`
void expects_trainable(box_supervision_kind kind, std::vector<bool> const& exact, boxes_options const& options);

/// Which images have a mask, see has_truth. @return [count]
[[nodiscard]] std::vector<bool> with_masks(dataset const& from);

/// Which images are exact: all that have masks where some have none; otherwise those that choose_exact takes.
/// @return [count] true where exact
[[nodiscard]] std::vector<bool> choose_exact(dataset const& from, double share, std::uint64_t seed);

/// The images whose ids a file lists, one a line: those are exact.
/// @return [count] true where exact
/// @throws cambium::io_error naming file and line: an id that the set does not have, or has without a mask; no id at all
[[nodiscard]] std::vector<bool> listed_exact(dataset const& from, std::filesystem::path const& list);

/// Reads the images of a set that have masks, to measure by.
/// @throws as read_samples
[[nodiscard]] std::vector<box_sample> read_measured(dataset const& from, bool several);

/// Reads a set. Only the truth of exact images is read. An image with an unknown box cannot be a box image, since
/// pixels outside all boxes are background: it is left out.
/// @param left_out  gets a sentence for each such image; without it such an image is an error
/// @throws cambium::precondition_error naming the image: of another size than the first, a box outside of it or of no
///         class, a box image without a box though it has tags; cambium::io_error of the set
[[nodiscard]] std::vector<box_sample> read_samples(dataset const& from, std::vector<bool> const& exact, bool several,
                                                   std::vector<std::string>* left_out = nullptr);

/// Boxes as a mask; smaller boxes lie on larger ones.
[[nodiscard]] cambium::grid<std::int32_t, 2> filled_boxes(std::vector<cambium::class_box> boxes,
                                                          cambium::index_t height, cambium::index_t width);

/// The result of one training.
struct boxes_training {
  std::shared_ptr<uncertain_network> network;
  std::vector<double> loss;      ///< of every step
  std::vector<double> replaced;  ///< of every step: share of the batch's box cells that became certain
};

/// Trains a new network on the samples.
///
/// `boxinst`: pixels of exact images and outside all boxes are certain, as in the other trainings. For each box of the
/// others it adds cambium::box_projection_loss of the class's map inside the box, and cambium::pairwise_loss of that map.
/// BoxInst's network has a map for each object; here the objects of a class share one, so that the projection cannot ask
/// for background outside its box. The pixels outside all boxes do.
/// @param classes  of the set; used only with options.several
/// @param record   losses: "loss", "replaced"; a training that resumes returns those of its own steps
/// @throws cambium::precondition_error: options outside their ranges, no sample, for exact_part none that is
///         exact, for boxinst classes that are not one_vs_rest
/// @determinism the same bits for the same seed, build and number of threads
/// @source Neven et al., "Weakly-supervised semantic segmentation by learning label uncertainty", ICCVW 2021: 18 %
///         exact and 82 % box labels reach 98.33 % of the IoU (binary) and 97.12 % of the mIoU (two classes of
///         CityScapes) of the exact baseline; so its abstract. Network, schedule and thresholds of the authors are not
///         known, these are ours
[[nodiscard]] boxes_training train_with(box_supervision_kind kind, std::vector<box_sample> const& samples,
                                        std::size_t classes, boxes_options const& options,
                                        training_record const& record = {});

/// The class of each pixel: 0 background, class + 1. Only the mean counts; sigma does not change its sign.
/// @param photograph  [H,W,3]
[[nodiscard]] cambium::grid<std::int32_t, 2> predict(uncertain_network& network,
                                                     cambium::grid<std::uint8_t, 3> const& photograph,
                                                     cambium::class_model model);

/// Compares a network with exact samples. @throws cambium::precondition_error naming a sample that is not exact
[[nodiscard]] cambium::confusion_matrix evaluate(uncertain_network& network, std::vector<box_sample> const& held_out,
                                                 std::size_t classes, boxes_options const& options);

/// The figure of a matrix: with two classes the foreground's IoU, otherwise the mean over all classes and the
/// background.
[[nodiscard]] double figure_of(cambium::confusion_matrix const& counts);

/// How well an order of values tells where a flag is set.
struct rank_agreement {
  double spearman = 0;  ///< correlation of ranks, -1..1; equal values share their mean rank; 0 where all are equal
  double auc = 0;       ///< chance that a value with the flag is larger than one without; equal values count a half
};

/// @throws cambium::precondition_error: lists of two lengths, a value that is not finite, flags all or none set
[[nodiscard]] rank_agreement agreement_of(std::vector<float> const& value, std::vector<std::uint8_t> const& flag);

/// What a network says of pixels in boxes, against the truth.
struct box_agreement {
  rank_agreement sigma;  ///< of sigma, at most largest_sigma as in the loss, with "the box is wrong here"
  rank_agreement mean;   ///< of -mean with the same
  double wrong = 0;      ///< share of the pixels in boxes that are not of the box's class
  double found = 0;      ///< share of these that the mean calls background
};

/// Looks at all pixels in boxes of the images that are not exact, class by class.
/// @param truth  the same images with masks
/// @throws cambium::precondition_error: other images than `boxes`, a softmax, what agreement_of throws
[[nodiscard]] box_agreement agreement_in_boxes(uncertain_network& network, std::vector<box_sample> const& boxes,
                                               std::vector<box_sample> const& truth, boxes_options const& options);

}  // namespace trainer
