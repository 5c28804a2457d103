#pragma once
// Small holes and islands of masks are removed, and then masks whose boxes overlap another one's too much.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/small_regions.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

struct clean_masks_options {
  double min_area = 0;         ///< [cells] smaller holes are filled, then smaller islands are cleared
  double nms_threshold = 0.7;  ///< overlap of boxes above which a mask is removed, strictly
};

/// The masks that remain, and their places in the given set.
struct clean_mask_set {
  mask_set<> masks;
  std::vector<index_t> kept;
};

/// Remove small holes and islands of masks, and masks whose boxes overlap another one's too much.
///
///   score = 1 for a mask that was clean before, else 0; then box_nms
///
/// @return clean masks: first those that were clean before, each group by place
///
/// @throws       precondition_error: as remove_small_regions and box_nms
/// @complexity   that of both
/// @determinism  exact
/// @source       postprocess_small_regions, segment_anything/automatic_mask_generator.py. A mask that was cleaned loses
///               against any clean one, whatever its predicted quality, as there
[[nodiscard]] inline clean_mask_set clean_masks(cpu const& where, mask_set<> const& masks,
                                                clean_masks_options const& options = {})
{
  expects_masks(masks, "clean_masks");
  expects_region_area(options.min_area, "clean_masks");
  auto const filled = remove_small_regions(where, masks, {options.min_area, small_regions::holes});
  auto const cleaned = remove_small_regions(where, filled.masks, {options.min_area, small_regions::islands});
  std::vector<double> scores(filled.changed.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = filled.changed[i] == 0 && cleaned.changed[i] == 0;
  clean_mask_set out;
  out.kept = box_nms(where, cleaned.masks, scores, {options.nms_threshold});
  out.masks = select_masks(cleaned.masks, out.kept);
  return out;
}

}  // namespace cambium
