#pragma once
// Of boxes or masks of a category that overlap much, the better one stays.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/pairwise.hpp>
#include <cambium/proposal/scores.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace cambium {

/// Overlap of two boxes of masks as the tools of detectors see them: a box reaches from the middle of its first pixel
/// to that of its last, so that it is x2 - x1 wide, in float. 0 / 0 is 0.
/// @source box_iou and nms of torchvision, in float; the boxes are those of batched_mask_to_box, segment_anything/utils/amg.py
[[nodiscard]] inline double corner_iou(packed_mask const& m, packed_mask const& n)
{
  auto const side = [](index_t from, index_t to) { return static_cast<float>(std::max<index_t>(0, to - from)); };
  box const &a = m.bounds, &b = n.bounds;
  // An empty mask has the box of the single pixel (0,0). Both have no area.
  float const shared = side(std::max(a.top, b.top), std::min(a.bottom, b.bottom) - 1) *
                       side(std::max(a.left, b.left), std::min(a.right, b.right) - 1);
  float const both =
      side(a.top, a.bottom - 1) * side(a.left, a.right - 1) + side(b.top, b.bottom - 1) * side(b.left, b.right - 1);
  float const all = both - shared;
  return shared > 0 ? static_cast<double>(shared / all) : 0.;
}

namespace rule {

/// Marks what a kept mask suppresses among those after it in the order.
struct suppress_masks {
  masks_view<> masks;
  index_t const* order;
  std::int32_t const* category;  ///< or null
  double threshold;
  index_t kept, begin, end;  ///< places in the order
  std::uint8_t* gone;        ///< by place in the order

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    packed_mask const& m = masks.masks[order[kept]];
    for (index_t k = begin; k < end; ++k) {
      if (gone[k] != 0 || (category != nullptr && category[order[k]] != category[order[kept]])) continue;
      packed_mask const& n = masks.masks[order[k]];
      // What they share is at most this. The overlap rises with it, and so does its rounding.
      index_t most = shared_area(m.bounds, n.bounds);
      if (most > m.area) most = m.area;
      if (most > n.area) most = n.area;
      iou_of_pair const iou;
      if (iou(most, m.area, n.area) <= threshold) continue;
      gone[k] = iou(cells_in_both(masks, m, masks, n), m.area, n.area) > threshold;
    }
  }
};

}  // namespace rule

/// The greedy loop of both: suppress(kept, begin, end, gone) marks places of the order.
template <class Suppress>
[[nodiscard]] std::vector<index_t> suppress_greedily(cpu const& where, std::vector<index_t> const& order, index_t grain,
                                                     Suppress const& suppress)
{
  auto const count = static_cast<index_t>(order.size());
  std::vector<std::uint8_t> gone(order.size(), 0);
  std::vector<index_t> kept;
  for (index_t k = 0; k < count; ++k) {
    if (gone[static_cast<std::size_t>(k)] != 0) continue;
    kept.push_back(order[static_cast<std::size_t>(k)]);
    for_each_share(where, count - k - 1, grain,
                   [&](index_t begin, index_t end) { suppress(k, k + 1 + begin, k + 1 + end, gone.data()); });
  }
  return kept;
}

struct nms_options {
  double threshold = 0.7;  ///< overlap above this suppresses, strictly
};

/// Keep the best masks: by falling score, each suppresses those of its category that overlap it by more than a threshold.
///
/// @param masks       N masks
/// @param scores      N scores, finite
/// @param categories  N, or none: all masks are of one
/// @return places of the kept masks, by falling score; equal scores by place
///
/// @pre          threshold is not NaN
/// @throws       precondition_error: another number of scores or categories, a score that is not finite
/// @invariant    no two kept masks of a category overlap by more than the threshold; a threshold of 1 keeps all
/// @complexity   O(N * kept) bounds by boxes and areas; words are compared where these are above the threshold
/// @determinism  exact counts and one division
/// @source       the definition; segment-anything suppresses by boxes only (box_nms)
[[nodiscard]] inline std::vector<index_t> mask_nms(cpu const& where, mask_set<> const& masks,
                                                   std::span<double const> scores, nms_options const& options = {},
                                                   std::span<std::int32_t const> categories = {})
{
  expects_masks(masks, "mask_nms");
  expects_mask_scores(masks.size(), scores, categories, "mask_nms");
  expects(!std::isnan(options.threshold), "mask_nms: threshold is nan");
  auto const order = by_falling_score(scores);
  isa const set = vectors_of(where);
  return suppress_greedily(where, order, 256, [&](index_t kept, index_t begin, index_t end, std::uint8_t* gone) {
    run_widest(set,
               rule::suppress_masks{masks_view<>(masks), order.data(), categories.empty() ? nullptr : categories.data(),
                                    options.threshold, kept, begin, end, gone});
  });
}

/// As mask_nms, by the overlap of the masks' boxes: corner_iou.
///
/// A mask that is one pixel wide or high has a box without area: it suppresses nothing and nothing suppresses it.
///
/// @source  batched_nms of torchvision on batched_mask_to_box, as segment_anything/automatic_mask_generator.py calls it:
///          the overlap is rounded to float and compared with the threshold in double
[[nodiscard]] inline std::vector<index_t> box_nms(cpu const& where, mask_set<> const& masks,
                                                  std::span<double const> scores, nms_options const& options = {},
                                                  std::span<std::int32_t const> categories = {})
{
  expects_masks(masks, "box_nms");
  expects_mask_scores(masks.size(), scores, categories, "box_nms");
  expects(!std::isnan(options.threshold), "box_nms: threshold is nan");
  auto const order = by_falling_score(scores);
  auto const category = [&](index_t k) {
    return categories.empty() ? 0 : categories[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])];
  };
  return suppress_greedily(where, order, 4096, [&](index_t kept, index_t begin, index_t end, std::uint8_t* gone) {
    packed_mask const& m = masks.masks(order[static_cast<std::size_t>(kept)]);
    for (index_t k = begin; k < end; ++k)
      if (gone[k] == 0 && category(k) == category(kept))
        gone[k] = corner_iou(m, masks.masks(order[static_cast<std::size_t>(k)])) > options.threshold;
  });
}

}  // namespace cambium
