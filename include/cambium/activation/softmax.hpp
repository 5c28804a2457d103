#pragma once

#include <cambium/activation/softmax_blocks.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// The softmax of a cell's scores.
template <class T, class S>
struct softmax_of_cell {
  stack_view<T const, S> scores;
  index_t y;
  index_t x;
  float most;
  float part;

  CAMBIUM_HD softmax_of_cell(stack_view<T const, S> const& all, index_t at_y, index_t at_x)
      : scores(all), y(at_y), x(at_x)
  {
    auto const score = [this](index_t l) { return static_cast<float>(scores(l, y, x)); };
    auto const sum = softmax_of(scores.extent[0], score, [](index_t, float v) { return exponential(v); });
    most = sum.most, part = 1 / sum.sum;
  }

  CAMBIUM_HD float operator()(index_t l) const
  {
    return exponential(static_cast<float>(scores(l, y, x)) - most) * part;
  }
};

namespace rule {

/// The most probable class of a cell.
template <class T, class S>
struct decide_cell {
  stack_view<T const, S> scores;
  stack_view<T const, S> flipped;  ///< or null
  char const* allowed;             ///< or null
  image_view<std::int32_t, S> label;
  image_view<float, S> probability;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    softmax_of_cell<T, S> const own(scores, y, x);
    bool const both = flipped.data != nullptr;
    softmax_of_cell<T, S> const other(both ? flipped : scores, y, both ? scores.extent[2] - 1 - x : x);
    float best = 0;
    std::int32_t of = 0;
    for (index_t l = 0; l < scores.extent[0]; ++l) {
      if (l > 0 && allowed != nullptr && allowed[l] == 0) continue;
      float const p = both ? (own(l) + other(l)) / 2 : own(l);
      if (l == 0 || p > best) best = p, of = static_cast<std::int32_t>(l);
    }
    label(y, x) = of;
    probability(y, x) = best;
  }
};

/// The probability of a cell's label.
template <class T, class L, class S>
struct read_probability {
  stack_view<T const, S> scores;
  image_view<L const, S> label;
  image_view<float, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto const l = static_cast<index_t>(label(y, x));
    out(y, x) = 0 < l && l < scores.extent[0] ? softmax_of_cell<T, S>(scores, y, x)(l) : 0.f;
  }
};

}  // namespace rule

/// Any other policy than cpu: the rules. The schedule of cpu is in softmax_blocks.hpp.
template <execution_policy P, class T, class S>
void decide_on(P const& where, stack_view<T const, S> scores, stack_view<T const, S> flipped, char const* allowed,
               image_view<std::int32_t, S> label, image_view<float, S> probability)
{
  for_each_cell(where, {1, scores.extent[1], scores.extent[2]},
                rule::decide_cell<T, S>{scores, flipped, allowed, label, probability});
}
template <execution_policy P, class T, class L, class S>
void probability_at_on(P const& where, stack_view<T const, S> scores, image_view<L const, S> label,
                       image_view<float, S> out)
{
  for_each_cell(where, {1, out.extent[0], out.extent[1]}, rule::read_probability<T, L, S>{scores, label, out});
}

/// The most probable class of each cell, and its probability.
template <class Space = host>
struct class_decision {
  grid<std::int32_t, 2, Space> label;  ///< [H,W] channel
  grid<float, 2, Space> probability;   ///< [H,W] of that channel
};

/// Throws unless the shapes of scores, mirrored scores and allowed classes go together.
template <class T, class S>
void expects_decidable(stack_view<T const, S> const& scores, stack_view<T const, S> const& flipped,
                       view<char const, 1, S> const& allowed)
{
  index_t const L = scores.extent[0];
  expects(L >= 1, "decide: scores are ", scores, ", without a channel");
  expects(flipped.data == nullptr || same_shape(scores, flipped), "decide: scores are ", scores,
          " but those of the mirror image ", flipped);
  expects(allowed.data == nullptr || (allowed.extent[0] == L && allowed.contiguous()), "decide: ", L, " channels but ",
          allowed.extent[0], " entries of allowed");
}

/// Decide for one class a cell, by the softmax of a network's scores.
///
///   label = argmax over l of p(l),   p = softmax of scores, or its mean with that of the mirror image
///
/// @param where        where to run; must reach the memory of the scores
/// @param scores       [L,H,W], L >= 1; channel 0 is the background
/// @param flipped      [L,H,W] of the mirror image, or null
/// @param allowed      [L] of char in the policy's memory, or null: classes where it is 0 do not take part, without the
///                     others gaining; the background always does
/// @param label        [H,W] of std::int32_t
/// @param probability  [H,W] of float
///
/// @pre          host memory: scores finite. Elsewhere, where they are not, the probability may be NaN, and the label
///               is any of 0..L-1
/// @throws       precondition_error before anything is written: no channel, shapes that differ, NaN or infinite scores,
///               scores larger than a float can hold
/// @invariant    ties go to the lower channel
/// @complexity   Theta(L * H * W) exponentials
/// @determinism  the same bits for every number of threads; between instruction sets within a few ulp. A gpu's
///               probabilities are within 1e-5 of the cpu's, relatively, and labels differ only where two probabilities
///               are nearer to each other than that
/// @asynchrony   gpu: enqueues and returns
/// @source       get_ins_map, utils/utils.py of clovaai/BESTIE
template <execution_policy P, stack_like M, image_like O, image_like Q>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 2>> && reaches<P, space_of<Q, 2>>
void decide_into(P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped,
                 view<char const, 1, typename P::memory> allowed, O&& label, Q&& probability)
{
  using S = typename P::memory;
  stack_view<value_of<M, 3> const, S> const in = as_view<3>(scores, "decide: scores");
  image_view<std::int32_t, S> const to = as_view<2>(label, "decide: label");
  image_view<float, S> const sure = as_view<2>(probability, "decide: probability");
  index_t const H = in.extent[1], W = in.extent[2];
  expects_decidable(in, flipped, allowed);
  expects(to.extent[0] == H && to.extent[1] == W && same_shape(to, sure), "decide: scores are ", in, " but label is ",
          to, " and probability ", sure);
  expects(
      !overlap(in, to) && !overlap(in, sure) && !overlap(to, sure) && !overlap(flipped, to) && !overlap(flipped, sure),
      "decide: scores, label and probability overlap");
  if constexpr (std::is_same_v<P, cpu>) {  // values are checked while they are read
    class_decision<> found{make_grid<std::int32_t>({H, W}), make_grid<float>({H, W})};
    decide_on(where, in, flipped, allowed.data, found.label.view(), found.probability.view());
    copy(where, found.label.view(), to), copy(where, found.probability.view(), sure);
  } else {
    decide_on(where, in, flipped, allowed.data, to, sure);
  }
}

/// As decide_into, and allocates.
/// @param allowed  on the host: L entries, or none
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] class_decision<typename P::memory> decide(
    P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped = {},
    std::vector<char> const& allowed = {})
{
  using S = typename P::memory;
  stack_view<value_of<M, 3> const, S> const in = as_view<3>(scores, "decide: scores");
  auto const listed = to_memory(where, allowed);
  class_decision<typename P::memory> out{make_grid<std::int32_t>(where, {in.extent[1], in.extent[2]}),
                                         make_grid<float>(where, {in.extent[1], in.extent[2]})};
  view<char const, 1, S> among;
  if (!allowed.empty()) among = listed.view();
  expects_decidable(in, flipped, among);
  decide_on(where, in, flipped, static_cast<char const*>(among.data), out.label.view(), out.probability.view());
  return out;
}

/// The probability of given labels, by the softmax of a network's scores.
///
///   out = softmax(scores)(label) where the label is one of 1..L-1, 0 elsewhere
///
/// @param where   where to run; must reach the memory of the scores
/// @param scores  [L,H,W]; host memory: finite
/// @param labels  [H,W] of integers
/// @param out     [H,W] of float
///
/// @throws       precondition_error before anything is written: NaN or infinite scores, scores larger than a float can
///               hold, shapes that differ
/// @complexity   O(L) exponentials a cell; cpu: in blocks with a labelled cell
/// @determinism  as decide
/// @asynchrony   gpu: enqueues and returns
/// @source       refine_label_generation, utils/utils.py of clovaai/BESTIE
template <execution_policy P, stack_like M, image_like L, image_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<L, 2>> && reaches<P, space_of<O, 2>>
void probability_at_into(P const& where, M const& scores, L const& labels, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "probability_at: labels are integers");
  stack_view<T const, S> const in = as_view<3>(scores, "probability_at: scores");
  image_view<value_of<L, 2> const, S> const label = as_view<2>(labels, "probability_at: labels");
  image_view<float, S> const to = as_view<2>(out, "probability_at: out");
  expects(label.extent[0] == in.extent[1] && label.extent[1] == in.extent[2], "probability_at: scores are ", in,
          " but labels are ", label);
  expects(same_shape(label, to), "probability_at: labels are ", label, " but out is ", to);
  expects(!overlap(in, to) && !overlap(label, to), "probability_at: scores or labels and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_scores<T>(where, in, "probability_at: scores");
  probability_at_on(where, in, label, to);
}

/// As probability_at_into, and allocates.
/// @return [H,W] in the memory of the policy
template <execution_policy P, stack_like M, image_like L>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<L, 2>>
[[nodiscard]] auto probability_at(P const& where, M const& scores, L const& labels)
{
  auto out = make_grid<float>(where, as_view<2>(labels, "probability_at: labels").extent);
  probability_at_into(where, scores, labels, out);
  return out;
}

}  // namespace cambium
