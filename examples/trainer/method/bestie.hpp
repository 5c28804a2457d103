#pragma once
// BESTIE: instances from tags or points, by peaks of class maps and a semantic map of another method, such as IRNet.
//
//   auto net = vgg_pam(classes, small_vgg_pam(16, 0.7));
//   train_peak_classifier(train, net, how);                      // 1  the classes of each image
//   auto cues = find_cues(train, net);                           // 2  a peak for each object
//   auto maps = read_semantic_maps(train, "irnet/semantic");     // 3  the class of each pixel
//   auto last = train_bestie(train, maps, cues, network, what);  // 4, 5  pseudo labels, guided and refined training
//   auto ap = evaluate_bestie(held_out, network);                // 6  grouping, average precision
//
// Each step runs alone, too.

#include "data/augment.hpp"
#include "data/dataset.hpp"
#include "method/scores.hpp"
#include "network/bestie_network.hpp"
#include "network/vgg_pam.hpp"
#include "run/training.hpp"

#include <cambium/pipeline/bestie.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace trainer {

// --- 1 the classifier -----------------------------------------------------------------------------

struct peak_classifier_options {
  std::int64_t epochs = 15;
  std::int64_t batch = 5;
  double rate = 1e-3;                      ///< times vgg_pam::rate_of
  bool rates_by_layer = true;              ///< false: one rate for all, for random initial weights
  std::vector<std::int64_t> falls{5, 10};  ///< epochs, from 1, at which the rate falls to a tenth
  /// The first epochs train without peak attention. 0 with pretrained weights; random initial weights learn little from
  /// the few cells that peak attention leaves.
  std::int64_t plain_epochs = 0;
  double momentum = 0.9;  ///< Nesterov's
  double weight_decay = 5e-4;
  pam_augmentation samples{};
  std::string beside;  ///< for the recipe: facts that are no option, such as the source of the initial weights
  std::uint64_t seed = 1;
};

/// Settings for square photographs of `side` pixels and a small_vgg_pam, which has random initial weights.
[[nodiscard]] peak_classifier_options small_peak_classifier(cambium::index_t side);

/// The recipe of a training: names and weak labels of the set, options of the network, all other options.
[[nodiscard]] std::string peak_classifier_recipe(dataset const& train, vgg_pam const& network,
                                                 peak_classifier_options const& options);

/// Trains a classifier to name the classes in a photograph. Its checkpoint is saved after each epoch.
/// @return the last step: "tags"; see run_training
/// @throws cambium::precondition_error, cambium::io_error: as the set's load, tags outside the classes
/// @source PAM/train.py of clovaai/BESTIE
journal_entry train_peak_classifier(dataset const& train, vgg_pam& network, peak_classifier_options const& options,
                                    training_record const& record = {});

// --- 2 the cues -----------------------------------------------------------------------------------

struct cue_options {
  cambium::extent2 squash{321, 321};  ///< [pixels] size of the classifier's input; 0 x 0: the photograph's own
  cambium::bestie_peak_options peaks{};
  /// Peak attention during inference, as in the original. In each of three layers it removes responses below alpha
  /// times the channel's maximum, and so the weaker of two objects of a class. Without it the maps of a classifier that
  /// was trained with peak attention are still sharper than a plain classifier's, and keep both objects.
  bool attend = true;
  int threads = 0;
};

/// Peaks of the class maps of each photograph and its mirror image, in pixels of the photograph.
/// @return one list an image
/// @source PAM/point_extraction.py of clovaai/BESTIE
[[nodiscard]] std::vector<cambium::points> find_cues(dataset const& images, vgg_pam& network,
                                                     cue_options const& options = {});

/// The points a person clicked, of each photograph.
[[nodiscard]] std::vector<cambium::points> given_cues(dataset const& images);

// --- 3 the semantic maps --------------------------------------------------------------------------

/// [H,W] each: 0 background, class + 1; 255 unknown.
using semantic_maps = std::vector<cambium::grid<std::uint8_t, 2>>;

/// Reads FOLDER/ID.png of each photograph, an indexed PNG.
/// @throws cambium::io_error naming the file: not there, another size than the photograph, a class that is not in the
///         set; no class in any of them, as in masks of 0 and 255
[[nodiscard]] semantic_maps read_semantic_maps(dataset const& images, std::filesystem::path const& folder);

struct spoiled_truth_options {
  int swell = 2;       ///< [pixels] the objects of an image grow or shrink at random by at most this
  double lost = 0.05;  ///< probability that an object is missing
  std::uint64_t seed = 1;
};

/// The truth's semantic maps with errors: only for experiments with the later steps, never for a result.
[[nodiscard]] semantic_maps spoiled_truth(dataset const& images, spoiled_truth_options const& options = {});

// --- 4 knowledge transfer -------------------------------------------------------------------------

/// The quality of labels of instances: their pixels against true objects.
struct label_quality {
  std::size_t accepted = 0;  ///< labels: pixels of a class whose offsets end at one point
  std::size_t right = 0;     ///< those that overlap a true object of their class by half or more
  std::size_t objects = 0;   ///< true ones
};

[[nodiscard]] label_quality pseudo_label_quality(dataset const& images, semantic_maps const& semantic,
                                                 std::vector<cambium::points> const& cues,
                                                 cambium::bestie_transfer_options const& options = {});

/// The same of the labels that a network's own groups would be: what self-refinement would teach it next.
/// @param network  in its evaluation mode for the call
/// @throws cambium::precondition_error: lists of another length, a network of other classes, photographs of sizes that
///         the network does not take, a foreground from the network
[[nodiscard]] label_quality refined_label_quality(dataset const& images, semantic_maps const& semantic,
                                                  bestie_network& network,
                                                  cambium::bestie_refine_options const& options = {}, int threads = 0);

// --- 5 the instance network -----------------------------------------------------------------------

struct bestie_training_options {
  std::int64_t steps = 50000;
  std::int64_t batch = 16;
  double rate = 5e-5;
  std::int64_t warm_up = 2000;
  double weight_decay = 0;
  double seg_weight = 1, centre_weight = 200, offset_weight = 0.01;
  double hardest = 0.2;          ///< fraction of the pixels whose cross entropy counts
  bool guidance = true;          ///< losses of centres and offsets only where a pseudo instance is; false: everywhere
  bool refinement = true;        ///< the network's own groups are its next labels
  std::int64_t refine_from = 0;  ///< [steps]
  cambium::supervision cues = cambium::supervision::image;  ///< peaks, or a person's points
  cambium::bestie_transfer_options transfer{};              ///< its `sup` is set from `cues`
  cambium::bestie_refine_options refine{};
  cambium::border_points border = cambium::border_points::drop;
  bestie_augmentation samples{};
  std::string beside;  ///< for the recipe: facts that are no option, such as the source of the initial weights
  std::uint64_t seed = 3407;
  int threads = 0;  ///< of cambium's part; 0: as cpu::threads
};

/// Settings for two cores and square photographs of `side` pixels, about 100: only light and flip are changed; small
/// windows, large rates, `steps` steps.
[[nodiscard]] bestie_training_options small_bestie(std::int64_t steps, cambium::index_t side);

/// The recipe of a training: names and weak labels of the set, contents of maps and cues, all options but threads.
[[nodiscard]] std::string bestie_recipe(dataset const& train, semantic_maps const& semantic,
                                        std::vector<cambium::points> const& cues,
                                        bestie_training_options const& options);

/// Trains an instance network. Its checkpoint is saved every 1000 steps.
/// @param semantic  one an image, see read_semantic_maps
/// @param cues      one list an image; categories are classes
/// @return the last step: "seg", "centre", "offset", and "refined" the fraction of pixels with a refined label; see
///         run_training
/// @throws cambium::precondition_error: lists of another length, a network of other classes, semantic maps of other
///         sizes than their photographs, a crop that is no multiple of what the network needs
/// @source main.py of clovaai/BESTIE
journal_entry train_bestie(dataset const& train, semantic_maps const& semantic,
                           std::vector<cambium::points> const& cues, bestie_network& network,
                           bestie_training_options const& options, training_record const& record = {});

// --- 6 instances ----------------------------------------------------------------------------------

struct bestie_inference_options {
  cambium::bestie_instance_options instances{};
  std::int64_t multiple = 32;  ///< photographs are enlarged to multiples of it, or of what the network needs
  bool flip = true;            ///< classes and centres are means over the photograph and its mirror image
  bool tags_known = false;     ///< evaluation searches only for the classes of the image's tags: val_clean
  int threads = 0;
};

/// As small_bestie.
[[nodiscard]] bestie_inference_options small_bestie_inference();

/// The instances of a photograph; classes from 0.
/// @param tags  if given, only these classes are found
[[nodiscard]] cambium::bestie_labels<> bestie_find(cambium::grid<std::uint8_t, 3> const& photograph,
                                                   bestie_network& network,
                                                   bestie_inference_options const& options = {},
                                                   std::optional<std::vector<std::int32_t>> const& tags = {});

/// Average precision and the mIoU of the instances over a set with truth.
/// @throws cambium::io_error where the set has none
[[nodiscard]] scores evaluate_bestie(dataset const& held_out, bestie_network& network,
                                     bestie_inference_options const& options = {});

}  // namespace trainer
