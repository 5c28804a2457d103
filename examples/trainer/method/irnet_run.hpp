#pragma once
// IRNet's steps on files: each takes what the one before it left in a folder, so that any of them can run alone and a
// run that was killed goes on where it was.
//
//   FOLDER/cam/                log.jsonl curves.png checkpoint.pt   the classifier's training
//   FOLDER/cam.safetensors     the classifier
//   FOLDER/mined/ID.png        pixels it is sure of; 255 elsewhere
//   FOLDER/field/, field.safetensors                               boundaries and displacements
//   FOLDER/cams/ID.npy boundaries/ID.npy displacements/ID.npy      what `label` takes, of the images to label
//   FOLDER/tags.txt ids.txt    of those
//   FOLDER/photographs.txt     a number for each photograph that maps were made of
//   FOLDER/semantic/ID.png instances/ID.png                        labels
//   FOLDER/results.json        COCO results
//   FOLDER/scores.json         against the truth, where there is one

#include "method/irnet.hpp"
#include "method/scores.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace trainer {

/// cam, mine, field, maps, labels, score: in this order.
[[nodiscard]] std::vector<std::string> const& irnet_steps();

struct irnet_run_options {
  irnet_training_options how{};
  std::filesystem::path folder;
  std::vector<std::string> steps = irnet_steps();
  bool quiet = false;
  instances_by apart = instances_by::displacement;  ///< how the labels that are written tell instances apart
};

/// Each row of the paper's comparison.
struct irnet_run_scores {
  scores cam;                ///< CAMs above a threshold, their components
  scores walk;               ///< after the walk, components
  scores walk_boundary;      ///< components parted by boundaries, too
  scores walk_displacement;  ///< instances by displacement
};

/// Runs steps.
///
/// Trainings go on from their checkpoints, and are over where their weights lie. Files of single images that are newer
/// than the weights they come from are kept, maps only where the image's tags are those in tags.txt and
/// its photograph is that of photographs.txt. An image that fails is named, and the rest goes on.
///
/// @param train   what is learned from
/// @param images  what is labelled; may be the same
/// @param failed  one sentence for every image that failed
/// Several processes train together; between the trainings rank 0 works alone. All must see the folder.
///
/// @return scores, where they were asked for, in rank 0
/// @throws cambium::precondition_error: an unknown step; cambium::io_error: what a step needs is not there
std::optional<irnet_run_scores> run_irnet(dataset const& train, dataset const& images, irnet_run_options const& options,
                                          std::vector<std::string>& failed);

}  // namespace trainer
