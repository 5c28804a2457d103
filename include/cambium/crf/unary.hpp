#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <type_traits>

namespace cambium {

struct label_unary_options {
  double gt_prob = 0.7;      ///< how likely a label is right; in (0,1)
  bool zero_unsure = false;  ///< label 0 says nothing; labels 1..L are then the classes 0..L-1
};

namespace rule {

/// One cell's energy.
template <class I, class S>
struct energy_of_label {
  image_view<I const, S> labels;
  index_t shift;  ///< 1 where label 0 is unsure
  float right, wrong, unsure;
  stack_view<float, S> out;

  /// @throws precondition_error: L < 1, gt_prob outside (0,1)
  static energy_of_label of(image_view<I const, S> labels, index_t L, label_unary_options const& options)
  {
    static_assert(std::is_integral_v<I>, "unary_from_labels: labels are integers");
    expects(L >= 1, "unary_from_labels: ", L, " labels");
    expects(options.gt_prob > 0 && options.gt_prob < 1, "unary_from_labels: gt_prob is ", options.gt_prob,
            ", outside (0,1)");
    auto const count = static_cast<double>(L);
    auto const right = L == 1 ? 0 : -std::log(options.gt_prob);
    auto const wrong = L == 1 ? 0 : -std::log((1 - options.gt_prob) / (count - 1));
    return {labels,
            options.zero_unsure ? 1 : 0,
            static_cast<float>(right),
            static_cast<float>(wrong),
            static_cast<float>(std::log(count)),
            {}};
  }

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    auto const at = static_cast<index_t>(labels(y, x)) - shift;
    out(l, y, x) = at < 0 ? unsure : at == l ? right : wrong;
  }
};

}  // namespace rule

/// Energies of a label map whose labels are right with probability gt_prob, into memory of the caller.
///
///   out(l,y,x) = -log gt_prob at the label, -log((1 - gt_prob) / (L - 1)) elsewhere, -log(1 / L) where it is unsure
///
/// @param where    where to run; must reach the memory of the labels
/// @param labels   [H,W] 0..L-1; with zero_unsure 0..L
/// @param L        number of labels, >= 1; with one label every energy is 0
/// @param options  gt_prob = 0.7, zero_unsure = false (the package's own default is true)
/// @param out      [L,H,W]
///
/// @throws       precondition_error: a label outside its range, with its place; L < 1; gt_prob outside (0,1); shapes
///               that differ; overlap
/// @complexity   Theta(L * H * W)
/// @determinism  exact; logarithms in double, rounded once
/// @asynchrony   gpu: enqueues and returns, and cannot check the labels: one below 0 is unsure, one beyond L is wrong
///               everywhere
/// @source       unary_from_labels, pydensecrf.utils; crf_inference_label, misc/imutils.py of jiwoon-ahn/irn
template <execution_policy P, image_like M, stack_like O>
  requires reaches<P, space_of<M, 2>> && reaches<P, space_of<O, 3>>
void unary_from_labels_into(P const& where, M const& labels, index_t L, label_unary_options options, O&& out)
{
  using I = value_of<M, 2>;
  using S = space_of<M, 2>;
  image_view<I const, S> const in = as_view<2>(labels, "unary_from_labels: labels");
  auto energy = rule::energy_of_label<I, S>::of(in, L, options);
  energy.out = as_view<3>(out, "unary_from_labels: out");
  auto const& extent = energy.out.extent;
  expects(extent[0] == L && extent[1] == in.extent[0] && extent[2] == in.extent[1], "unary_from_labels: labels are ",
          in, " but out is ", energy.out);
  expects(!overlap(in, energy.out), "unary_from_labels: out overlaps the labels");
  if constexpr (std::is_same_v<P, cpu>) expects_labels(in, L + energy.shift - 1, "unary_from_labels: label");
  for_each_cell(where, extent, energy);
}

/// As unary_from_labels_into, and allocates the result.
/// @return grid<float, 3> [L,H,W] in the memory of the policy
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] auto unary_from_labels(P const& where, M const& labels, index_t L, label_unary_options options = {})
{
  auto const in = as_view<2>(labels, "unary_from_labels: labels");
  expects(L >= 1, "unary_from_labels: ", L, " labels");
  auto out = make_grid<float>(where, {L, in.extent[0], in.extent[1]});
  unary_from_labels_into(where, in, L, options, out);
  return out;
}

struct probability_unary_options {
  double clip = 1e-5;  ///< smaller probabilities count as this; in (0,1)
  double scale = 1;    ///< trust: p becomes scale * p + (1 - scale) / L first; in (0,1]
};

namespace rule {

/// One cell's energy. NaN stays NaN.
template <class T, class S>
struct energy_of_probability {
  stack_view<T const, S> probabilities;
  double scale, rest, clip;
  stack_view<float, S> out;

  /// @throws precondition_error: options outside their ranges
  static energy_of_probability of(stack_view<T const, S> probabilities, probability_unary_options const& options)
  {
    expects(options.clip > 0 && options.clip < 1, "unary_from_probabilities: clip is ", options.clip,
            ", outside (0,1)");
    expects(options.scale > 0 && options.scale <= 1, "unary_from_probabilities: scale is ", options.scale,
            ", outside (0,1]");
    double const rest = (1 - options.scale) / static_cast<double>(probabilities.extent[0]);
    return {probabilities, options.scale, rest, options.clip, {}};
  }

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    double const p = scale * static_cast<double>(probabilities(l, y, x)) + rest;
    out(l, y, x) = static_cast<float>(-std::log(p < clip ? clip : p > 1 ? 1 : p));
  }
};

}  // namespace rule

/// Energies of probabilities, -log p, into memory of the caller.
///
/// @param where          where to run; must reach the memory of the probabilities
/// @param probabilities  [L,H,W] in [0,1]; they need not sum to 1. Values that rounding has carried out of it, by
///                       unit_slack at most, count as 0 and 1
/// @param options        clip = 1e-5, scale = 1
/// @param out            [L,H,W]
///
/// @throws       precondition_error: values outside [0,1], options outside their ranges, shapes that differ, overlap
/// @complexity   Theta(L * H * W) logarithms
/// @determinism  exact up to the mathematics library's logarithm
/// @asynchrony   gpu: enqueues and returns, and cannot check the values: those outside [0,1] count as the nearer end,
///               NaN stays NaN
/// @source       unary_from_softmax, pydensecrf.utils
template <execution_policy P, stack_like A, stack_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void unary_from_probabilities_into(P const& where, A const& probabilities, probability_unary_options options, O&& out)
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const in = as_view<3>(probabilities, "unary_from_probabilities: probabilities");
  auto energy = rule::energy_of_probability<T, S>::of(in, options);
  energy.out = as_view<3>(out, "unary_from_probabilities: out");
  expects(same_shape(in, energy.out), "unary_from_probabilities: probabilities are ", in, " but out is ", energy.out);
  expects(!overlap(in, energy.out), "unary_from_probabilities: out overlaps the probabilities");
  if constexpr (std::is_same_v<P, cpu>)
    expects_inside(where, in, -unit_slack<T>, 1 + unit_slack<T>, "unary_from_probabilities: probabilities",
                   "a value in [0,1]");
  for_each_cell(where, energy.out.extent, energy);
}

/// As unary_from_probabilities_into, and allocates the result.
/// @return grid<float, 3> [L,H,W] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto unary_from_probabilities(P const& where, A const& probabilities,
                                            probability_unary_options options = {})
{
  auto const in = as_view<3>(probabilities, "unary_from_probabilities: probabilities");
  auto out = make_grid<float>(where, in.extent);
  unary_from_probabilities_into(where, in, options, out);
  return out;
}

namespace rule {

/// One pixel's energies. A NaN or an infinity may come out as NaN.
template <class T, class S>
struct energies_of_scores {
  stack_view<T const, S> scores;
  double scale;
  stack_view<float, S> out;

  /// @throws precondition_error: scale outside its range
  static energies_of_scores of(stack_view<T const, S> scores, double scale)
  {
    expects(scale > 0 && std::isfinite(scale), "unary_from_scores: scale is ", scale,
            "; it must be positive and finite");
    return {scores, scale, {}};
  }

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const L = scores.extent[0];
    auto const at = [&](index_t l) { return scale * static_cast<double>(scores(l, y, x)); };
    auto const total = softmax_of(L, at);
    double const normal = std::log(total.sum);
    for (index_t l = 0; l < L; ++l) out(l, y, x) = static_cast<float>(normal + (total.most - at(l)));
  }
};

}  // namespace rule

/// Energies of scores of any scale, -log of their softmax, into memory of the caller.
///
///   out(l) = log sum over m of exp(scale * scores(m)) - scale * scores(l)
///
/// @param where   where to run; must reach the memory of the scores
/// @param scores  [L,H,W] finite: logits, or activations with a background channel
/// @param scale   inverse temperature, > 0 and finite
/// @param out     [L,H,W], each >= 0
///
/// @throws       precondition_error: NaN or infinite scores, scale outside its range, shapes that differ, overlap
/// @complexity   Theta(L * H * W) exponentials
/// @determinism  exact up to the mathematics library's exponential
/// @asynchrony   gpu: enqueues and returns, and cannot check the scores: a pixel with a NaN or an infinity may come out
///               as NaN
/// @source       ours
template <execution_policy P, stack_like A, stack_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 3>>
void unary_from_scores_into(P const& where, A const& scores, double scale, O&& out)
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const in = as_view<3>(scores, "unary_from_scores: scores");
  auto energies = rule::energies_of_scores<T, S>::of(in, scale);
  energies.out = as_view<3>(out, "unary_from_scores: out");
  expects(same_shape(in, energies.out), "unary_from_scores: scores are ", in, " but out is ", energies.out);
  expects(!overlap(in, energies.out), "unary_from_scores: out overlaps the scores");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "unary_from_scores: scores");
  if (in.size() > 0) for_each_cell(where, {1, in.extent[1], in.extent[2]}, energies);
}

/// As unary_from_scores_into, and allocates the result.
/// @return grid<float, 3> [L,H,W] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto unary_from_scores(P const& where, A const& scores, double scale = 1)
{
  auto const in = as_view<3>(scores, "unary_from_scores: scores");
  auto out = make_grid<float>(where, in.extent);
  unary_from_scores_into(where, in, scale, out);
  return out;
}

}  // namespace cambium
