#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <concepts>
#include <type_traits>

namespace cambium {

struct label_unary_options {
  double gt_prob = 0.7;      ///< how likely a label is right; in (0,1)
  bool zero_unsure = false;  ///< label 0 says nothing; labels 1..L are then the classes 0..L-1
};

/// One cell's energy, for every backend.
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
  using I = value_of<M, 2>;
  image_view<I const> const in = as_view<2>(labels, "unary_from_labels: labels");
  auto rule = energy_of_label<I, host>::of(in, L, options);
  expects_labels(in, L + rule.shift - 1, "unary_from_labels: label");
  auto out = make_grid<float>({L, in.extent[0], in.extent[1]});
  rule.out = out.view();
  for_each_cell(where, rule.out.extent, rule);
  return out;
}

struct probability_unary_options {
  double clip = 1e-5;  ///< smaller probabilities count as this; in (0,1)
  double scale = 1;    ///< trust: p becomes scale * p + (1 - scale) / L first; in (0,1]
};

/// One cell's energy, for every backend. NaN stays NaN.
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

/// Energies of probabilities: -log p.
///
/// @param where          cpu
/// @param probabilities  [L,H,W] in [0,1]; they need not sum to 1. Values that rounding has carried out of it, by
///                       unit_slack at most, count as 0 and 1
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
  using T = value_of<P, 3>;
  stack_view<T const> const in = as_view<3>(probabilities, "unary_from_probabilities: probabilities");
  auto rule = energy_of_probability<T, host>::of(in, options);
  expects_inside(where, in, -unit_slack<T>, 1 + unit_slack<T>, "unary_from_probabilities: probabilities", "a value in [0,1]");
  auto out = make_grid<float>(in.extent);
  rule.out = out.view();
  for_each_cell(where, rule.out.extent, rule);
  return out;
}

/// One pixel's energies, for every backend. A NaN or an infinity may come out as NaN.
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
    double most = at(0), sum = 0;
    for (index_t l = 1; l < L; ++l) most = most < at(l) ? at(l) : most;
    for (index_t l = 0; l < L; ++l) sum += std::exp(at(l) - most);
    double const normal = std::log(sum);
    for (index_t l = 0; l < L; ++l) out(l, y, x) = static_cast<float>(normal + (most - at(l)));
  }
};

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
  using T = value_of<S, 3>;
  stack_view<T const> const in = as_view<3>(scores, "unary_from_scores: scores");
  auto rule = energies_of_scores<T, host>::of(in, scale);
  expects_finite(where, in, "unary_from_scores: scores");
  auto out = make_grid<float>(in.extent);
  rule.out = out.view();
  if (in.size() > 0) for_each_cell(where, {1, in.extent[1], in.extent[2]}, rule);
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// unary_from_labels into memory of the caller's.
///
/// As in unary.hpp, but that labels are not looked at: one below 0 is unsure, one beyond L is wrong everywhere.
///
/// @param out  [L,H,W]
/// @throws       precondition_error: shapes that differ, L < 1, gt_prob outside (0,1)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class I, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void unary_from_labels_into(P const& where, image_view<I const, S> labels, index_t L, label_unary_options options,
                            std::type_identity_t<stack_view<float, S>> out)
{
  auto rule = energy_of_label<I, S>::of(labels, L, options);
  expects(out.extent[0] == L && out.extent[1] == labels.extent[0] && out.extent[2] == labels.extent[1],
          "unary_from_labels: labels are ", labels, " but out is ", out);
  expects(!overlap(labels, out), "unary_from_labels: out overlaps the labels");
  rule.out = out;
  for_each_cell(where, out.extent, rule);
}

/// As unary_from_labels in unary.hpp, with what unary_from_labels_into says of labels.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] auto unary_from_labels(P const& where, M const& labels, index_t L, label_unary_options options = {})
{
  using I = value_of<M, 2>;
  using S = space_of<M, 2>;
  image_view<I const, S> const in = as_view<2>(labels, "unary_from_labels: labels");
  expects(L >= 1, "unary_from_labels: ", L, " labels");
  auto out = make_grid<float>(where, {L, in.extent[0], in.extent[1]});
  unary_from_labels_into<P, I, S>(where, in, L, options, out.view());
  return out;
}

/// unary_from_probabilities into memory of the caller's.
///
/// As in unary.hpp, but that values are not looked at: those outside [0,1] count as the nearer end, NaN stays NaN.
///
/// @param out  [L,H,W]
/// @throws       precondition_error: shapes that differ, options outside their ranges
/// @determinism  the same bits on every run; within a rounding of the cpu's
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void unary_from_probabilities_into(P const& where, stack_view<T const, S> probabilities,
                                   probability_unary_options options, std::type_identity_t<stack_view<float, S>> out)
{
  auto rule = energy_of_probability<T, S>::of(probabilities, options);
  expects(same_shape(probabilities, out), "unary_from_probabilities: probabilities are ", probabilities, " but out is ",
          out);
  expects(!overlap(probabilities, out), "unary_from_probabilities: out overlaps the probabilities");
  rule.out = out;
  for_each_cell(where, out.extent, rule);
}

/// As unary_from_probabilities in unary.hpp, with what unary_from_probabilities_into says of values.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, stack_like A>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<A, 3>>
[[nodiscard]] auto unary_from_probabilities(P const& where, A const& probabilities,
                                            probability_unary_options options = {})
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const in = as_view<3>(probabilities, "unary_from_probabilities: probabilities");
  auto out = make_grid<float>(where, in.extent);
  unary_from_probabilities_into<P, T, S>(where, in, options, out.view());
  return out;
}

/// unary_from_scores into memory of the caller's.
///
/// As in unary.hpp, but that values are not looked at: a pixel with a NaN or an infinity may come out as NaN.
///
/// @param out  [L,H,W]
/// @throws       precondition_error: shapes that differ, scale outside its range
/// @determinism  the same bits on every run; within a rounding of the cpu's
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void unary_from_scores_into(P const& where, stack_view<T const, S> scores, double scale,
                            std::type_identity_t<stack_view<float, S>> out)
{
  auto rule = energies_of_scores<T, S>::of(scores, scale);
  expects(same_shape(scores, out), "unary_from_scores: scores are ", scores, " but out is ", out);
  expects(!overlap(scores, out), "unary_from_scores: out overlaps the scores");
  if (scores.size() == 0) return;
  index_t const pixels[3] = {1, scores.extent[1], scores.extent[2]};
  rule.out = out;
  for_each_cell(where, pixels, rule);
}

/// As unary_from_scores in unary.hpp, with what unary_from_scores_into says of values.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, stack_like A>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<A, 3>>
[[nodiscard]] auto unary_from_scores(P const& where, A const& scores, double scale = 1)
{
  using T = value_of<A, 3>;
  using S = space_of<A, 3>;
  stack_view<T const, S> const in = as_view<3>(scores, "unary_from_scores: scores");
  auto out = make_grid<float>(where, in.extent);
  unary_from_scores_into<P, T, S>(where, in, scale, out.view());
  return out;
}

}  // namespace cambium
