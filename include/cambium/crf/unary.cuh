#pragma once
// Unary energies on a GPU: the equations of unary.hpp, a cell or a pixel a thread, in double, rounded once.

#include <cambium/crf/unary.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

#include <concepts>
#include <type_traits>

namespace cambium {

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
