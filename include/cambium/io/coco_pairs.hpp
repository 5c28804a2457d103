#pragma once
// What coco_ap compares, of COCO's data.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/coco_pair.hpp>
#include <cambium/io/coco_data.hpp>
#include <cambium/io/rle_masks.hpp>

#include <cstdint>
#include <exception>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace cambium {

/// See coco_pairs. mask_at(i, scratch) is the mask of result i, which may lie in the scratch.
template <class MaskAt>
[[nodiscard]] std::vector<coco_pair> coco_pairs_of(cpu const& where, coco_dataset const& set,
                                                   std::vector<coco_result> const& results, MaskAt const& mask_at)
{
  std::unordered_map<std::int64_t, extent2> sizes;
  for (auto const& i : set.images) sizes[i.id] = {i.height, i.width};
  auto const groups = match_up(set, results);
  std::vector<coco_pair> out(groups.size());
  std::size_t failed = groups.size();  // the first group with an error, whichever thread finds one first
  std::exception_ptr failure;
  std::mutex failing;
  for_each_share(where, static_cast<index_t>(groups.size()), 16, [&](index_t begin, index_t end) {
    measured_masks detected, truth;
    rle scratch;
    for (auto at = static_cast<std::size_t>(begin); at < static_cast<std::size_t>(end); ++at) try {
        auto const& group = groups[at];
        auto& pair = out[at];
        pair.category = group.category;
        detected.clear(), truth.clear();
        pair.score.reserve(group.results.size()), pair.area.reserve(group.results.size());
        extent2 const size = sizes.at(group.image_id);
        for (std::size_t const i : group.results) {
          rle const& mask = mask_at(i, scratch);
          expects(size == extent2{mask.height, mask.width}, "coco_pairs: results[", static_cast<index_t>(i), "] is ",
                  mask.height, " x ", mask.width, " but image ", group.image_id, " is ", size.height, " x ",
                  size.width);
          detected.add(mask);
          pair.score.push_back(results[i].score), pair.area.push_back(static_cast<double>(detected.masks.back().area));
        }
        for (std::size_t const i : group.annotations) {
          auto const& a = set.annotations[i];
          expects(a.has_mask(), "coco_pairs: dataset.annotations[", static_cast<index_t>(i), "] has no segmentation");
          truth.add(mask_of(a, size));
          pair.truth_area.push_back(a.area), pair.crowd.push_back(a.iscrowd);
        }
        pair.iou = detected.iou(truth, pair.crowd);
      } catch (...) {
        std::lock_guard const one(failing);
        if (at < failed) failed = at, failure = std::current_exception();
        break;
      }
  });
  if (failure) std::rethrow_exception(failure);
  return out;
}

/// Make the pairs of coco_ap: a pair for each image and category with annotations or results.
///
/// @return in the order that coco_ap needs; categories are numbered by ascending id
/// @throws       precondition_error: as match_up, damaged masks, masks whose size differs from their image's,
///               annotations without a mask; stopped
/// @complexity   O(n log n + runs), n annotations and results
/// @determinism  exact, for every number of threads
[[nodiscard]] inline std::vector<coco_pair> coco_pairs(cpu const& where, coco_dataset const& set,
                                                       std::vector<coco_result> const& results)
{
  return coco_pairs_of(where, set, results, [&](std::size_t i, rle&) -> rle const& {
    expects_runs(results[i].segmentation, "coco_pairs");
    return results[i].segmentation;
  });
}

}  // namespace cambium
