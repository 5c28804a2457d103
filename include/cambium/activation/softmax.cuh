#pragma once
// decide and probability_at on a GPU: a cell a thread. The cpu's are in softmax.hpp.

#include <cambium/activation/softmax.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

#include <cmath>

namespace cambium {

/// The softmax of a cell's scores: its largest score and one over the sum of exponentials.
template <class T, class S>
struct softmax_of_cell {
  stack_view<T const, S> scores;
  index_t y;
  index_t x;
  float most;
  float part;

  CAMBIUM_HD softmax_of_cell(stack_view<T const, S> const& all, index_t at_y, index_t at_x)
      : scores(all), y(at_y), x(at_x), most(static_cast<float>(all(0, at_y, at_x))), part(0)
  {
    for (index_t l = 1; l < scores.extent[0]; ++l) {
      float const v = static_cast<float>(scores(l, y, x));
      most = v > most ? v : most;
    }
    float sum = 0;
    for (index_t l = 0; l < scores.extent[0]; ++l) sum += above(l);
    part = 1 / sum;
  }

  CAMBIUM_HD float above(index_t l) const
  {
    float const v = static_cast<float>(scores(l, y, x)) - most;
    return std::exp(v < -87.f ? -87.f : v);
  }
  CAMBIUM_HD float operator()(index_t l) const { return above(l) * part; }
};

/// Rule: the most probable class of a cell.
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

/// Rule: how probable a cell's label is.
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

/// Decide for one class a cell, by the softmax of a network's scores, on a device.
///
/// @param allowed      [L] of char in the policy's memory, or null
/// @param label        [H,W] of std::int32_t
/// @param probability  [H,W] of float; where scores are not finite it may be NaN, and the label is any of 0..L-1
///
/// @determinism  the same bits on every run; probabilities within 1e-5 of the cpu's, relatively, and the label differs
///               only where two are nearer to each other than that
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as decide in softmax.hpp.
template <execution_policy P, stack_like M, image_like O, image_like Q>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void decide_into(P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped,
                 view<char const, 1, typename P::memory> allowed, O&& label, Q&& probability)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(scores, "decide: scores");
  image_view<std::int32_t, S> const to = as_view<2>(label, "decide: label");
  image_view<float, S> const sure = as_view<2>(probability, "decide: probability");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects(L >= 1, "decide: scores are ", in, ", without a channel");
  expects(flipped.data == nullptr || same_shape(stack_view<T const, S>(in), flipped), "decide: scores are ", in,
          " but those of the mirror image ", flipped);
  expects(allowed.data == nullptr || (allowed.extent[0] == L && allowed.contiguous()), "decide: ", L, " channels but ",
          allowed.extent[0], " entries of allowed");
  expects(to.extent[0] == H && to.extent[1] == W && same_shape(to, sure), "decide: scores are ", in, " but label is ",
          to, " and probability ", sure);
  expects(
      !overlap(in, to) && !overlap(in, sure) && !overlap(to, sure) && !overlap(flipped, to) && !overlap(flipped, sure),
      "decide: scores, label and probability overlap");
  for_each_cell(where, {1, H, W}, decide_cell<T, S>{in, flipped, allowed.data, to, sure});
}

/// As decide_into, and allocates.
/// @param allowed  on the host: L entries, or none
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] class_decision_in<typename P::memory> decide(
    P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped = {},
    std::vector<char> const& allowed = {})
{
  auto const in = as_view<3>(scores, "decide: scores");
  auto const count = static_cast<index_t>(allowed.size());
  auto listed = make_grid<char>(where, {count});
  if (count > 0) copy(where, view<char const, 1>(allowed.data(), {count}), listed.view());
  class_decision_in<typename P::memory> out{make_grid<std::int32_t>(where, {in.extent[1], in.extent[2]}),
                                            make_grid<float>(where, {in.extent[1], in.extent[2]})};
  view<char const, 1, typename P::memory> const among = listed.view();
  decide_into(where, scores, flipped, count > 0 ? among : view<char const, 1, typename P::memory>{}, out.label,
              out.probability);
  return out;
}

/// How probable given labels are, by the softmax of a network's scores, on a device.
///
/// @param out    [H,W] of float
/// @determinism  the same bits on every run; within 1e-5 of the cpu's, relatively
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as probability_at in softmax.hpp.
template <execution_policy P, stack_like M, image_like L, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void probability_at_into(P const& where, M const& scores, L const& labels, O&& out)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "probability_at: labels are integers");
  auto const in = as_view<3>(scores, "probability_at: scores");
  auto const label = as_view<2>(labels, "probability_at: labels");
  image_view<float, S> const to = as_view<2>(out, "probability_at: out");
  expects(label.extent[0] == in.extent[1] && label.extent[1] == in.extent[2], "probability_at: scores are ", in,
          " but labels are ", label);
  expects(same_shape(label, to), "probability_at: labels are ", label, " but out is ", to);
  expects(!overlap(in, to) && !overlap(label, to), "probability_at: scores or labels and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]},
                read_probability<value_of<M, 3>, value_of<L, 2>, S>{in, label, to});
}

/// As probability_at_into, and allocates.
template <execution_policy P, stack_like M, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<float, 2, typename P::memory> probability_at(P const& where, M const& scores, L const& labels)
{
  auto out = make_grid<float>(where, as_view<2>(labels, "probability_at: labels").extent);
  probability_at_into(where, scores, labels, out);
  return out;
}

}  // namespace cambium
