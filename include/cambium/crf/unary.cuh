#pragma once
// Unary energies on a GPU: the equations of unary.hpp, a cell or a pixel a thread, in double, rounded once.

#include <cambium/crf/unary.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

#include <cmath>
#include <concepts>
#include <type_traits>

namespace cambium {

template <class I, class S>
struct energy_of_label {
  image_view<I const, S> labels;
  index_t shift;  ///< 1 where label 0 is unsure
  float right, wrong, unsure;
  stack_view<float, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    auto const at = static_cast<index_t>(labels(y, x)) - shift;
    out(l, y, x) = at < 0 ? unsure : at == l ? right : wrong;
  }
};

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
  static_assert(std::is_integral_v<I>, "unary_from_labels: labels are integers");
  expects(L >= 1, "unary_from_labels: ", L, " labels");
  expects(options.gt_prob > 0 && options.gt_prob < 1, "unary_from_labels: gt_prob is ", options.gt_prob,
          ", outside (0,1)");
  expects(out.extent[0] == L && out.extent[1] == labels.extent[0] && out.extent[2] == labels.extent[1],
          "unary_from_labels: labels are ", labels, " but out is ", out);
  expects(!overlap(labels, out), "unary_from_labels: out overlaps the labels");
  auto const count = static_cast<double>(L);
  auto const right = static_cast<float>(L == 1 ? 0 : -std::log(options.gt_prob));
  auto const wrong = static_cast<float>(L == 1 ? 0 : -std::log((1 - options.gt_prob) / (count - 1)));
  auto const unsure = static_cast<float>(std::log(count));
  for_each_cell(where, out.extent,
                energy_of_label<I, S>{labels, options.zero_unsure ? 1 : 0, right, wrong, unsure, out});
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

template <class T, class S>
struct energy_of_probability {
  stack_view<T const, S> probabilities;
  double scale, rest, clip;
  stack_view<float, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    double const p = scale * static_cast<double>(probabilities(l, y, x)) + rest;
    out(l, y, x) = static_cast<float>(-std::log(p < clip ? clip : p > 1 ? 1 : p));
  }
};

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
  expects(options.clip > 0 && options.clip < 1, "unary_from_probabilities: clip is ", options.clip, ", outside (0,1)");
  expects(options.scale > 0 && options.scale <= 1, "unary_from_probabilities: scale is ", options.scale,
          ", outside (0,1]");
  expects(same_shape(probabilities, out), "unary_from_probabilities: probabilities are ", probabilities, " but out is ",
          out);
  expects(!overlap(probabilities, out), "unary_from_probabilities: out overlaps the probabilities");
  double const rest = (1 - options.scale) / static_cast<double>(out.extent[0]);
  for_each_cell(where, out.extent, energy_of_probability<T, S>{probabilities, options.scale, rest, options.clip, out});
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

template <class T, class S>
struct energy_of_scores {
  stack_view<T const, S> scores;
  double scale;
  stack_view<float, S> out;

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
  expects(scale > 0 && std::isfinite(scale), "unary_from_scores: scale is ", scale, "; it must be positive and finite");
  expects(same_shape(scores, out), "unary_from_scores: scores are ", scores, " but out is ", out);
  expects(!overlap(scores, out), "unary_from_scores: out overlaps the scores");
  if (scores.size() == 0) return;
  index_t const pixels[3] = {1, scores.extent[1], scores.extent[2]};
  for_each_cell(where, pixels, energy_of_scores<T, S>{scores, scale, out});
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
