#pragma once
// An arm of the study: one training or measurement of one seed, and its figures. Arms of one system are a part.
//
// To add an arm (irnet_arms.cpp, bestie_arms.cpp, boxes_arms.cpp):
//   1  out.arms.push_back({.name = "boxes/binary/3/exact_part", .recipe = "...", .needs = {"irnet"}, .measure = f});
//   2  The recipe names all that the figures hang on: sizes, steps, options. Change its words when the code of the arm
//      changes: figures of another recipe are measured anew, and so are those of all arms that need it.
//   3  f gets a place (see below) and returns figures. It has one thread and a process of its own. It reads the files of
//      the arms in `needs` below at.folder_of(need), and leaves its own below at.folder(), which is empty before.
//   4  out.claims.push_back({.name = "...", .less = "boxes/binary/3/exact_part:iou", .more = "...:iou"});
//   5  ./run study --list; ./run study --arms '^boxes/binary/3' --seeds 11,12,13 --docs out/trial

#include "study/claims.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace trainer::study {

/// By name. Shares in [0,1], which the page shows as percent, or numbers (is_number in results.hpp).
using figures = std::map<std::string, double>;

/// Where an arm is measured.
struct place {
  std::uint64_t seed = 1;      ///< of scenes and weights
  std::filesystem::path root;  ///< WORK/seed_S
  std::string arm;

  /// Of the arm's own files: WORK/seed_S/ARM.
  [[nodiscard]] std::filesystem::path folder() const { return root / arm; }
  /// Of an arm that this one needs.
  [[nodiscard]] std::filesystem::path folder_of(std::string const& need) const { return root / need; }
};

struct arm {
  std::string name;                   ///< letters, digits and _ - . / ("bestie/hard/refined")
  std::string recipe;                 ///< all that its figures hang on, beside the seed
  std::vector<std::string> needs{};   ///< arms of the same seed that come first
  std::vector<std::string> leaves{};  ///< files and folders in its folder; measured anew where a file is gone
  std::function<figures(place const&)> measure{};  ///< called in a process of its own
};

/// What one system shows.
struct part {
  std::string name;              ///< "boxes"; the arms' names begin with it
  std::string title;             ///< of its chapter
  std::string text;              ///< markdown: what was asked, what was done, what was chosen why
  std::vector<choice> chosen{};  ///< on which seeds its settings were chosen; add those you look at when you change one
  std::vector<arm> arms{};
  std::vector<claim> claims{};
};

/// How much is drawn and trained. A rehearsal runs every arm in seconds; its figures mean nothing.
struct study_size {
  std::size_t images = 320;   ///< scenes to learn from
  std::size_t held_out = 80;  ///< scenes nobody learned from
  bool rehearsal = false;

  /// Steps of a training.
  [[nodiscard]] std::int64_t steps(std::int64_t full) const { return rehearsal && full > 6 ? 6 : full; }
  /// Scenes of which a few percent are enough to learn from: IRNet's and BESTIE's would leave 58 of 18 %.
  [[nodiscard]] std::size_t boxes_images() const { return 3 * images; }
  /// Boxes are measured on more: their trainings are smaller, and so are the differences.
  [[nodiscard]] std::size_t measured_on() const { return 3 * held_out; }
  /// Measuring BESTIE's network takes a tenth of its training, and the gains are small: more scenes narrow intervals.
  [[nodiscard]] std::size_t bestie_measured_on() const { return 9 * held_out; }
  /// For recipes: "images 320 held out 240".
  [[nodiscard]] static std::string words(std::size_t images, std::size_t held_out)
  {
    return "images " + std::to_string(images) + " held out " + std::to_string(held_out);
  }
};

/// The recipe of an arm and of all that it needs.
/// @throws cambium::precondition_error: as check_arms
[[nodiscard]] std::string whole_recipe(std::vector<arm> const& arms, std::string const& name);

/// @throws cambium::precondition_error naming the arm: a name twice, of other letters, or that another one's continues
///         after a "/"; no measure; a need that is no arm; arms that need each other in a circle
void check_arms(std::vector<arm> const& arms);

/// @throws cambium::precondition_error naming the claim: two of one name; a figure that is not "ARM:FIGURE" of one of the
///         arms
void check_claims(std::vector<arm> const& arms, std::vector<claim> const& claims);

/// The arms of which a part of the name matches, in their order.
/// @param pattern  regular expression; empty: all
/// @throws cambium::precondition_error: no regular expression, one that matches no arm
[[nodiscard]] std::vector<std::string> matching(std::vector<arm> const& arms, std::string const& pattern);

/// These arms and all that they need, each after what it needs.
[[nodiscard]] std::vector<std::string> with_needs(std::vector<arm> const& arms, std::vector<std::string> const& names);

/// @throws cambium::precondition_error: there is none
[[nodiscard]] arm const& arm_of(std::vector<arm> const& arms, std::string const& name);

}  // namespace trainer::study
