#pragma once
// How good labels are, measured on the truth: mIoU and AP^r, image by image.

#include <cambium/grid/instance.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <vector>

namespace trainer {

/// In [0,1]; NaN where nothing was measured, and where the truth has no pixel of a class.
struct scores {
  double miou = 0;  ///< background included
  double ap25 = 0, ap50 = 0, ap70 = 0, ap75 = 0;
};

/// {"miou": 0.5, "ap25": null, ...}: NaN is null.
[[nodiscard]] nlohmann::json json_of(scores const& s);

/// Gathers labels and their truth, and measures them all at the end.
class scoring {
 public:
  /// @param classes  without the background; at least 1
  explicit scoring(std::int32_t classes) : classes_(classes), confusion_(classes + 1) {}

  /// Instances against the true ones. Says nothing of semantic labels: see add_semantic.
  ///
  /// Pixels that are ignored count for no object. An instance with half of its pixels or more on them, which no true
  /// one overlaps by the lowest threshold, is left out, as COCO leaves out what lies on a crowd: nobody says whether it
  /// is right.
  /// @param ignored  [H,W] 1 where the truth does not say; without cells: nowhere
  /// @throws cambium::precondition_error: other sizes, a class outside
  void add_instances(cambium::instances<> const& found, cambium::instances<> const& truth,
                     cambium::grid<std::uint8_t, 2> const& ignored = {});

  /// Semantic labels, [H,W] 0 background, class + 1, against those of the true instances.
  /// @param ignored  as in add_instances
  void add_semantic(cambium::grid<std::int32_t, 2> const& found, cambium::instances<> const& truth,
                    cambium::grid<std::uint8_t, 2> const& ignored = {});

  [[nodiscard]] scores result() const;

 private:
  std::int32_t classes_;
  cambium::confusion_matrix confusion_;
  std::vector<cambium::image_result> images_;
};

/// The semantic labels of instances: [H,W] 0 background, class + 1.
[[nodiscard]] cambium::grid<std::int32_t, 2> semantic_of(cambium::instances<> const& objects);

}  // namespace trainer
