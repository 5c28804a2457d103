#pragma once
// Where a training's photographs come from, on the command line.

#include "data/dataset.hpp"
#include "data/scenes.hpp"
#include "data/survey.hpp"

#include <cambium/io/coco_data.hpp>

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trainer {

/// A flag, and the kinds of --data that it is for.
struct data_flag {
  CLI::Option const* flag;
  unsigned kinds;
};

struct data_settings {
  std::string data = "scenes";  ///< scenes, a folder in VOC's layout, or a JSON file in COCO's form
  // scenes
  std::size_t images = 400, held_out = 100;
  cambium::index_t side = 192;
  std::uint64_t scenes_seed = 1;
  bool label_training = false;  ///< what was learned from is labelled, not what was held out
  // folders
  std::string list, held_out_list, photographs, tags, points, scribbles, classes;
  double point_threshold = -1;
  bool held_out_photographs_only = false;  ///< nothing is weakly known of held-out photographs
  bool masks_or_boxes = false;             ///< photographs with a mask need no boxes, and held-out ones neither
  bool boxes = false, zero_based = false, zero_based_boxes = false, tags_are_classes = false;
  // COCO
  std::string held_out_json, held_out_photographs, crowds = "ignore";
  std::vector<data_flag> flags{};  ///< of the command line
};

/// --data and what belongs to it.
void add_data_flags(CLI::App& app, data_settings& s);

/// What is learned from, and what is labelled and measured.
struct data_sets {
  std::vector<std::unique_ptr<dataset>> owned;
  dataset* train = nullptr;
  dataset* held_out = nullptr;  ///< the training set itself where no other was named
};

/// @throws cambium::io_error, cambium::precondition_error: naming the flag or the file. Both sets have the same classes
///         in the same order; a flag that was given is for this kind of set
[[nodiscard]] data_sets open_data(data_settings const& s);

/// Loads all that is learned from once, before a training: see survey_of. Scenes need none.
/// @throws as survey_of
[[nodiscard]] std::optional<survey> surveyed(data_settings const& s, data_sets const& sets);

/// For errors.
inline constexpr char no_tags[] =
    "no image of the set has a tag, so there is nothing to learn; tags come from --tags, from the list, from points "
    "above --point-threshold or from boxes";

/// --crowds. @pre it was checked
[[nodiscard]] cambium::crowds crowds_of(data_settings const& s);

/// Says what a person should hear of a file, a line each, on stderr.
void say_remarks(std::vector<std::string> const& remarks);

}  // namespace trainer
