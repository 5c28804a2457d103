#pragma once
// What the study keeps of an image: for each arm and each of its settings the comparison with the truth and the judgement
// without it. No pixels.

#include "criterion.hpp"
#include "photographs/folder.hpp"

#include <cambium/grid/instance.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

/// One way to labels, in words.
struct arm_words {
  std::string name;     ///< in the JSON file
  std::string title;    ///< in the tables
  std::string from;     ///< name of the arm that it builds on; empty: none
  std::string uses;     ///< weak labels and maps that it sees
  std::string chooser;  ///< how its setting is chosen: the arm whose criterion chooses; empty: there is one setting
  bool semantic = true, objects = true;  ///< which figures it has
};

/// One setting of an arm on one image.
struct measured {
  std::string setting;                                   ///< "0.35"; the same for all images
  std::vector<std::array<cambium::index_t, 3>> counted;  ///< truth, prediction, pixels
  cambium::image_result objects;
  judged_labels judged;
  cambium::index_t cues = 0;  ///< peaks or points that it uses
};

struct measured_arm {
  arm_words words;
  std::vector<measured> at;
};

/// Compares labels of a photograph with its truth.
class comparison {
 public:
  /// @param in  for as long as labels are compared
  explicit comparison(photograph const& in) : in_(in) {}

  /// The arm that further labels are of.
  void begin(arm_words words) { arms_.push_back({std::move(words), {}}); }
  /// @param semantic  [H,W] 0, 1..254; or nothing
  /// @param objects   categories are 0-based classes; or nothing
  /// @param stable    of the criterion
  measured& add(std::string setting, cambium::grid<std::int32_t, 2> const* semantic,
                cambium::instances<> const* objects, double stable = 0);

  std::vector<measured_arm> take() { return std::move(arms_); }

 private:
  photograph const& in_;
  std::vector<measured_arm> arms_;
};

}  // namespace labelling
