#pragma once
// Scores of masks fall with each better one that they overlap; those that stay high enough are kept.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/scores.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace cambium {

struct soft_nms_options {
  nms_kernel kernel = nms_kernel::gaussian;
  double sigma = 0.5;        ///< > 0, of gaussian: larger is weaker
  double threshold = 0.3;    ///< of linear: only overlaps above it count
  double min_score = 0.001;  ///< masks below it are dropped
};

/// Lower the scores of masks that overlap better ones, and keep those whose score stays high enough.
///
///   the best mask left is kept; of each other of its category s = s f(u), u = their IoU, and it goes if s < min_score
///   gaussian f(u) = exp(-u^2 / sigma); linear f(u) = 1 - u if u > threshold, else 1
///
/// @return kept masks in the order of being kept, with the score they had then; of equal scores the first
///
/// @throws       precondition_error: as mask_nms; sigma <= 0
/// @complexity   O(N^2) pairs
/// @determinism  the same for any number of threads
/// @source       Bodla et al., ICCV 2017: its weights and its loop, on masks instead of boxes. The original also lets
///               masks below min_score be the first one kept
[[nodiscard]] inline std::vector<scored_mask> soft_nms(cpu const& where, mask_set<> const& masks,
                                                       std::span<double const> scores,
                                                       soft_nms_options const& options = {},
                                                       std::span<std::int32_t const> categories = {})
{
  expects_masks(masks, "soft_nms");
  expects_mask_scores(masks.size(), scores, categories, "soft_nms");
  expects(options.sigma > 0, "soft_nms: sigma is ", options.sigma);
  expects(!std::isnan(options.threshold) && !std::isnan(options.min_score), "soft_nms: a threshold is nan");
  isa const set = vectors_of(where);
  std::vector<scored_mask> rest, kept;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (scores[i] >= options.min_score) rest.push_back({static_cast<index_t>(i), scores[i]});
  std::vector<double> overlaps(rest.size());
  while (!rest.empty()) {
    auto const best =
        std::max_element(rest.begin(), rest.end(), [](auto const& a, auto const& b) { return a.score < b.score; });
    scored_mask const top = *best;
    rest.erase(best);
    kept.push_back(top);
    for_each_share(where, static_cast<index_t>(rest.size()), 256, [&](index_t begin, index_t end) {
      run_widest(set,
                 rule::overlaps_of_one{masks_view<>(masks), top.index, rest.data(),
                                       categories.empty() ? nullptr : categories.data(), begin, end, overlaps.data()});
    });
    std::size_t left = 0;
    for (std::size_t k = 0; k < rest.size(); ++k) {
      double const u = overlaps[k];
      double const f = options.kernel == nms_kernel::gaussian ? std::exp(-(u * u) / options.sigma)
                       : u > options.threshold                ? 1 - u
                                                              : 1;
      rest[left] = {rest[k].index, rest[k].score * f};
      left += rest[left].score >= options.min_score;
    }
    rest.resize(left);
  }
  return kept;
}

}  // namespace cambium
