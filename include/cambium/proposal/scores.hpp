#pragma once
// What the suppressions share: masks by falling score, and the checks of scores and categories.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/pairwise.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace cambium {

/// A mask by its place, and its score after suppression.
struct scored_mask {
  index_t index = 0;
  double score = 0;

  friend bool operator==(scored_mask const&, scored_mask const&) = default;
};

/// Throws unless there is one finite score a mask, and one category a mask or none. `who` begins the message.
inline void expects_mask_scores(index_t masks, std::span<double const> scores, std::span<std::int32_t const> categories,
                                char const* who)
{
  expects(static_cast<index_t>(scores.size()) == masks, who, ": ", static_cast<index_t>(scores.size()), " scores but ",
          masks, " masks");
  expects(categories.empty() || static_cast<index_t>(categories.size()) == masks, who, ": ",
          static_cast<index_t>(categories.size()), " categories but ", masks, " masks");
  for (std::size_t i = 0; i < scores.size(); ++i)
    expects(std::isfinite(scores[i]), who, ": scores(", static_cast<index_t>(i), ") is ", scores[i],
            "; expected a finite number");
}

/// Places by falling score; equal scores by place.
[[nodiscard]] inline std::vector<index_t> by_falling_score(std::span<double const> scores)
{
  std::vector<index_t> order(scores.size());
  std::iota(order.begin(), order.end(), index_t{0});
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  return order;
}

/// How the score of an overlapping mask falls.
enum class nms_kernel {
  linear,    ///< 1 - u
  gaussian,  ///< soft_nms: exp(-u^2 / sigma); matrix_nms: exp(-sigma u^2)
};

namespace rule {

/// Overlaps of one mask with others of its category; 0 with those of another one.
struct overlaps_of_one {
  masks_view<> masks;
  index_t one;
  scored_mask const* others;
  std::int32_t const* category;  ///< by place of a mask, or null
  index_t begin, end;
  double* out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    packed_mask const& m = masks.masks[one];
    for (index_t k = begin; k < end; ++k) {
      index_t const other = others[k].index;
      packed_mask const& n = masks.masks[other];
      bool const apart = category != nullptr && category[other] != category[one];
      out[k] = apart || shared_area(m.bounds, n.bounds) == 0
                   ? 0.
                   : iou_of_pair{}(cells_in_both(masks, m, masks, n), m.area, n.area);
    }
  }
};

}  // namespace rule

}  // namespace cambium
