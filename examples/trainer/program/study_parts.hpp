#pragma once
// The parts of the study: one method each, for one seed.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace trainer {

using figures = std::map<std::string, double>;  ///< in [0,1], by name

struct study_size {
  std::size_t images = 320;   ///< scenes to learn from
  std::size_t held_out = 80;  ///< scenes nobody learned from
  std::int64_t bestie_steps = 2000, boxes_steps = 600;

  /// Scenes of which 18 % are enough to learn from: IRNet's and BESTIE's would leave 58.
  [[nodiscard]] std::size_t boxes_images() const { return 3 * images; }
  /// BESTIE and boxes are measured on more: their trainings are smaller, and so are the differences.
  [[nodiscard]] std::size_t measured_on() const { return 3 * held_out; }
};

/// cam_components_ap50, walk_components_ap50, walk_displacement_ap50, cam_miou, walk_miou. Leaves its labels of the
/// scenes to learn from in FOLDER/train, for study_bestie.
[[nodiscard]] figures study_irnet(std::uint64_t seed, study_size const& size, std::filesystem::path const& folder);

/// no_guidance_ap50, guidance_ap50, refined_ap50, cam_peaks_ap50, peak_attention_ap50, points_ap50, measured on
/// `measured_on` scenes; labelled_by_...: share of the objects to learn from that get a right pseudo label. Its
/// semantic maps are those of IRNet's walk, made first where they are not there.
[[nodiscard]] figures study_bestie(std::uint64_t seed, study_size const& size, std::filesystem::path const& irnet);

/// exact_iou, uncertainty_iou, boxes_as_masks_iou, exact_part_iou, boxinst_iou, of `boxes_images` scenes and measured on
/// `measured_on`. Networks begin with the backbone of IRNet's classifier.
[[nodiscard]] figures study_boxes(std::uint64_t seed, study_size const& size, std::filesystem::path const& irnet);

}  // namespace trainer
