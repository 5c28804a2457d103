#pragma once
// Scores of masks fall by their overlap with better ones, all at once.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/scores.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace cambium {

struct matrix_nms_options {
  nms_kernel kernel = nms_kernel::gaussian;
  double sigma = 2;        ///< of gaussian, >= 0: a factor, so larger is stronger
  index_t nms_pre = -1;    ///< [masks] the best that take part; -1: all
  index_t max_num = -1;    ///< [masks] the best that are kept; -1: all
  double filter_thr = -1;  ///< if > 0, masks with a lower score are dropped
};

/// Lower the scores of masks by their overlap with better ones, all at once.
///
///   masks by falling score; u_ij = IoU of i before j of one category, else 0; c_i = max over k before i of u_ki
///   s_j = s_j min over i before j of f(u_ij) / f(c_i);  f(u) = exp(-sigma u^2), or 1 - u
///
/// @return kept masks by falling new score; equal ones by falling old score, then by place
///
/// @throws       precondition_error: as mask_nms; sigma < 0 or infinite, nms_pre or max_num below -1
/// @invariant    no score >= 0 rises; the best mask of a category keeps its score
/// @complexity   O(N^2) pairs; memory of 64 N numbers
/// @determinism  the same for any number of threads
/// @source       Wang et al., SOLOv2, NeurIPS 2020; matrix_nms of WXinlong/SOLO and mask_matrix_nms of mmdet. Equal
///               masks make the linear form of the original 0 / 0, NaN, from the third on; here their score is 0. Of two
///               empty masks its IoU is NaN; here 0
[[nodiscard]] inline std::vector<scored_mask> matrix_nms(cpu const& where, mask_set<> const& masks,
                                                         std::span<double const> scores,
                                                         matrix_nms_options const& options = {},
                                                         std::span<std::int32_t const> categories = {})
{
  expects_masks(masks, "matrix_nms");
  expects_mask_scores(masks.size(), scores, categories, "matrix_nms");
  expects(options.sigma >= 0 && std::isfinite(options.sigma), "matrix_nms: sigma is ", options.sigma);
  expects(options.nms_pre >= -1, "matrix_nms: nms_pre is ", options.nms_pre);
  expects(options.max_num >= -1, "matrix_nms: max_num is ", options.max_num);
  expects(!std::isnan(options.filter_thr), "matrix_nms: filter_thr is nan");
  isa const set = vectors_of(where);
  auto order = by_falling_score(scores);
  if (options.nms_pre >= 0 && static_cast<index_t>(order.size()) > options.nms_pre)
    order.resize(static_cast<std::size_t>(options.nms_pre));
  auto const N = static_cast<index_t>(order.size());
  std::vector<scored_mask> all(order.size());
  for (std::size_t k = 0; k < order.size(); ++k) all[k] = {order[k], scores[static_cast<std::size_t>(order[k])]};
  auto const f = [&](double u) {
    return options.kernel == nms_kernel::gaussian ? std::exp(-options.sigma * (u * u)) : 1 - u;
  };

  constexpr index_t block = 64;  // masks whose overlaps with all before them are known at a time
  auto overlaps = make_grid<double>({std::min(N, block), N});
  std::vector<double> compensation(order.size());  // f(c_i)
  std::vector<scored_mask> out = all;
  for (index_t first = 0; first < N; first += block) {
    index_t const last = std::min(N, first + block);
    for_each_share(where, last - first, 1, [&](index_t begin, index_t end) {
      for (index_t j = first + begin; j < first + end; ++j)
        run_widest(set, rule::overlaps_of_one{masks_view<>(masks), order[static_cast<std::size_t>(j)], all.data(),
                                              categories.empty() ? nullptr : categories.data(), 0, j,
                                              &overlaps(j - first, 0)});
    });
    for (index_t j = first; j < last; ++j) {
      double const* const u = &overlaps(j - first, 0);
      double most = 0, decay = 1;
      for (index_t i = 0; i < j; ++i) {
        most = std::max(most, u[i]);
        // Where f(c_i) is 0, i equals a mask before it, which lowers j as much as i could.
        double const c = compensation[static_cast<std::size_t>(i)];
        if (u[i] > 0 && c > 0) decay = std::min(decay, f(u[i]) / c);
      }
      compensation[static_cast<std::size_t>(j)] = f(most);
      out[static_cast<std::size_t>(j)].score *= decay;
    }
  }
  if (options.filter_thr > 0) std::erase_if(out, [&](scored_mask const& m) { return m.score < options.filter_thr; });
  std::stable_sort(out.begin(), out.end(), [](auto const& a, auto const& b) { return a.score > b.score; });
  if (options.max_num >= 0 && static_cast<index_t>(out.size()) > options.max_num)
    out.resize(static_cast<std::size_t>(options.max_num));
  return out;
}

}  // namespace cambium
