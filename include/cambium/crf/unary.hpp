#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace cambium {

struct label_unary_options {
  double gt_prob = 0.7;      ///< how likely a label is right; in (0,1)
  bool zero_unsure = false;  ///< label 0 says nothing; labels 1..L are then the classes 0..L-1
};

/// Energies of a label map whose labels are right with probability gt_prob.
///
///   out(l,y,x) = -log gt_prob at the label, -log((1 - gt_prob) / (L - 1)) elsewhere, -log(1 / L) where it is unsure
///
/// @param where    cpu
/// @param labels   [H,W] 0..L-1; with zero_unsure 0..L
/// @param L        number of labels, >= 1; with one label every energy is 0
/// @param options  gt_prob = 0.7, zero_unsure = false (the package's own default is true)
/// @return [L,H,W]
///
/// @throws       precondition_error: a label outside its range, with its place; gt_prob outside (0,1)
/// @complexity   Theta(L * H * W)
/// @determinism  exact; logarithms in double, rounded once
/// @source       unary_from_labels, pydensecrf.utils; crf_inference_label, misc/imutils.py of jiwoon-ahn/irn
template <image_like M>
[[nodiscard]] grid<float, 3> unary_from_labels(cpu const& where, M const& labels, index_t L,
                                               label_unary_options options = {})
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "unary_from_labels: labels are integers");
  auto const in = as_view<2>(labels, "unary_from_labels: labels");
  expects(L >= 1, "unary_from_labels: ", L, " labels");
  expects(options.gt_prob > 0 && options.gt_prob < 1, "unary_from_labels: gt_prob is ", options.gt_prob,
          ", outside (0,1)");
  index_t const H = in.extent[0], W = in.extent[1], shift = options.zero_unsure ? 1 : 0;
  expects_labels(in, L + shift - 1, "unary_from_labels: label");
  auto const count = static_cast<double>(L);
  auto const right = static_cast<float>(L == 1 ? 0 : -std::log(options.gt_prob));
  auto const wrong = static_cast<float>(L == 1 ? 0 : -std::log((1 - options.gt_prob) / (count - 1)));
  auto const unsure = static_cast<float>(std::log(count));
  auto out = make_grid<float>({L, H, W});
  for_each_share(where, L * H, 64, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row) {
      index_t const l = row / H, y = row % H;
      for (index_t x = 0; x < W; ++x) {
        auto const at = static_cast<index_t>(in(y, x)) - shift;
        out(l, y, x) = at < 0 ? unsure : at == l ? right : wrong;
      }
    }
  });
  return out;
}

struct probability_unary_options {
  double clip = 1e-5;  ///< smaller probabilities count as this; in (0,1)
  double scale = 1;    ///< trust: p becomes scale * p + (1 - scale) / L first; in (0,1]
};

/// Energies of probabilities: -log p.
///
/// @param where          cpu
/// @param probabilities  [L,H,W] in [0,1]; they need not sum to 1
/// @param options        clip = 1e-5, scale = 1
/// @return [L,H,W]
///
/// @throws       precondition_error: values outside [0,1], options outside their ranges
/// @complexity   Theta(L * H * W) logarithms
/// @determinism  exact up to the mathematics library's logarithm
/// @source       unary_from_softmax, pydensecrf.utils
template <stack_like P>
[[nodiscard]] grid<float, 3> unary_from_probabilities(cpu const& where, P const& probabilities,
                                                      probability_unary_options options = {})
{
  auto const in = as_view<3>(probabilities, "unary_from_probabilities: probabilities");
  using T = value_of<P, 3>;
  expects(options.clip > 0 && options.clip < 1, "unary_from_probabilities: clip is ", options.clip, ", outside (0,1)");
  expects(options.scale > 0 && options.scale <= 1, "unary_from_probabilities: scale is ", options.scale,
          ", outside (0,1]");
  expects_inside(where, in, T(0), T(1), "unary_from_probabilities: probabilities", "a value in [0,1]");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  double const rest = (1 - options.scale) / static_cast<double>(L);
  auto out = make_grid<float>({L, H, W});
  for_each_share(where, L * H, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x) {
        double const p = options.scale * static_cast<double>(in(row / H, row % H, x)) + rest;
        out(row / H, row % H, x) = static_cast<float>(-std::log(std::clamp(p, options.clip, 1.0)));
      }
  });
  return out;
}

/// Energies of scores of any scale: -log of their softmax.
///
///   out(l) = log sum over m of exp(scale * scores(m)) - scale * scores(l)
///
/// @param where   cpu
/// @param scores  [L,H,W] finite: logits, or activations with a background channel
/// @param scale   inverse temperature, > 0 and finite
/// @return [L,H,W], each >= 0
///
/// @throws       precondition_error: NaN or infinite scores, scale outside its range
/// @complexity   Theta(L * H * W) exponentials
/// @determinism  exact up to the mathematics library's exponential
/// @source       ours
template <stack_like S>
[[nodiscard]] grid<float, 3> unary_from_scores(cpu const& where, S const& scores, double scale = 1)
{
  auto const in = as_view<3>(scores, "unary_from_scores: scores");
  expects(scale > 0 && std::isfinite(scale), "unary_from_scores: scale is ", scale, "; it must be positive and finite");
  expects_finite(where, in, "unary_from_scores: scores");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<float>({L, H, W});
  for_each_share(where, L == 0 ? 0 : H, 16, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        double most = scale * static_cast<double>(in(0, y, x)), sum = 0;
        for (index_t l = 1; l < L; ++l) most = std::max(most, scale * static_cast<double>(in(l, y, x)));
        for (index_t l = 0; l < L; ++l) sum += std::exp(scale * static_cast<double>(in(l, y, x)) - most);
        for (index_t l = 0; l < L; ++l)
          out(l, y, x) = static_cast<float>(std::log(sum) + (most - scale * static_cast<double>(in(l, y, x))));
      }
  });
  return out;
}

}  // namespace cambium
