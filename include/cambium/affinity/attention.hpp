#pragma once

#include <cambium/affinity/attention_cores.hpp>
#include <cambium/affinity/attention_rules.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

struct attention_layers {
  int layers = 8;           ///< [count] the last ones are used, or all if there are fewer; > 0. WeCLIP takes 6
  bool class_token = true;  ///< the first row and column are the class token's and are left out
};

struct attention_options {
  int rounds = 3;     ///< [count] of dividing columns, then rows, by their sums; >= 0
  int squarings = 1;  ///< [count] of products with itself; 0..8. The power of the paper is 2^squarings
};

/// Memory for attention_affinity under a policy P. It grows to the largest matrix.
template <class P, class T = float>
struct attention_scratch {
  using S = typename P::memory;
  grid<T, 1, S> of_row, of_column;  ///< factors
  grid<T, 1, S> other;
};

/// Tokens without that of the class.
inline index_t tokens_of(index_t rows, attention_layers const& which) { return rows - (which.class_token ? 1 : 0); }

/// Throws unless attention is a stack of square matrices that the options fit.
template <class T, class S>
void expects_attention(stack_view<T, S> const& in, attention_layers const& which, char const* who)
{
  expects(which.layers > 0, who, ": layers is ", which.layers, "; expected a number > 0");
  expects(in.extent[1] == in.extent[2], who, ": attention is ", in, "; expected square matrices");
  expects(in.extent[0] > 0, who, ": attention is ", in, ", without a layer");
  expects(!which.class_token || in.extent[1] > 0, who, ": attention is ", in, ", without a class token");
}

/// Average the last layers of a transformer's attention.
///
///   out(i, j) = mean over the last n layers l of attention(l, i + 1, j + 1)
///
/// @param where      where to run
/// @param attention  [L,N+1,N+1] attention of token i to token j, heads already averaged; token 0 is the class token.
///                   Without class token [L,N,N]
/// @param which      the number of layers
/// @param out        [N,N]
///
/// @pre          finite; on the cpu this is checked
/// @throws       precondition_error before anything is written
/// @invariant    equal layers give that layer, up to rounding
/// @complexity   Theta(n * N^2)
/// @determinism  run to run
/// @asynchrony   gpu: enqueues and returns
/// @source       CLIP-ES (Lin et al., CVPR 2023), generate_cams_voc12.py of linyq2117/CLIP-ES: the mean of the last 8
///               layers, all if there are fewer
template <execution_policy P, stack_like A, image_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<O, 2>>
void mean_attention_into(P const& where, A const& attention, attention_layers const& which, O&& out)
{
  using T = value_of<A, 3>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T> && std::is_same_v<T, value_of<O, 2>>,
                "mean_attention: attention and out are both float or both double");
  view<T const, 3, S> const in = as_view<3>(attention, "mean_attention: attention");
  view<T, 2, S> const to = as_view<2>(out, "mean_attention: out");
  expects_attention(in, which, "mean_attention");
  index_t const N = tokens_of(in.extent[1], which);
  expects(to.extent[0] == N && to.extent[1] == N, "mean_attention: out is ", to, " but attention is ", in);
  expects(!overlap(in, to), "mean_attention: attention and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "mean_attention: attention");
  index_t const n = std::min<index_t>(which.layers, in.extent[0]);
  index_t const extent[3] = {1, N, N};
  for_each_cell(where, extent,
                rule::mean_of_layers<T, S>{in, in.extent[0] - n, which.class_token ? 1 : 0, nullptr, {}, to});
}

/// As mean_attention_into, and allocates.
/// @return grid<T, 2> [N,N] in the memory of the policy
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto mean_attention(P const& where, A const& attention, attention_layers const& which = {})
{
  auto const in = as_view<3>(attention, "mean_attention: attention");
  expects_attention(in, which, "mean_attention");
  index_t const N = tokens_of(in.extent[1], which);
  auto out = make_grid<value_of<A, 3>>(where, {N, N});
  mean_attention_into(where, in, which, out);
  return out;
}

/// Memory for attention_like under a policy P. It grows to the most layers.
template <class P>
struct attention_like_scratch {
  grid<double, 1, typename P::memory> difference;
  workspace<P> sums;
};

/// Average the layers whose attention is at least as large in all as a learned affinity lets expect, and multiply with
/// that affinity.
///
///   D(l)       = sum over i, j of (learned(i, j) - attention(l, i, j))
///   used(l)    = D(l) <= mean of D
///   out(i, j)  = learned(i, j) * sum of the used attention(l, i, j) / (number used + 1e-5)
///
/// D keeps its sign, as in the original: layers of much attention are used, whatever their pattern.
///
/// @param learned  [N,N] affinities of tokens
/// @param used     [n] of the last n = min(layers, L) layers: 1 or 0
/// @param out      [N,N]
/// @param scratch  of any earlier call; it grows to the most layers
///
/// @complexity   Theta(n * N^2)
/// @source       WeCLIP (Zhang et al., CVPR 2024), compute_trans_mat and perform_single_voc_cam of zbf1991/WeCLIP, with
///               the last 6 layers
///
/// Everything else as mean_attention_into.
template <execution_policy P, stack_like A, image_like B, gridded<1> U, image_like O>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<B, 2>> && reaches<P, space_of<O, 2>>
void attention_like_into(P const& where, A const& attention, B const& learned, attention_layers const& which, U&& used,
                         O&& out, attention_like_scratch<P>& scratch)
{
  using T = value_of<A, 3>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T> && std::is_same_v<T, value_of<O, 2>> && std::is_same_v<T, value_of<B, 2>>,
                "attention_like: attention, learned and out are all float or all double");
  view<T const, 3, S> const in = as_view<3>(attention, "attention_like: attention");
  view<T const, 2, S> const target = as_view<2>(learned, "attention_like: learned");
  view<T, 2, S> const to = as_view<2>(out, "attention_like: out");
  view<std::uint8_t, 1, S> const chosen = as_view<1>(used, "attention_like: used");
  expects_attention(in, which, "attention_like");
  index_t const N = tokens_of(in.extent[1], which), n = std::min<index_t>(which.layers, in.extent[0]);
  expects(target.extent[0] == N && target.extent[1] == N, "attention_like: learned is ", target, " but attention is ",
          in);
  expects(to.extent[0] == N && to.extent[1] == N, "attention_like: out is ", to, " but attention is ", in);
  expects(chosen.extent[0] == n, "attention_like: used is ", chosen, " but ", n, " layers are looked at");
  expects(!overlap(in, to) && !overlap(target, to) && !overlap(chosen, to),
          "attention_like: out and another array overlap");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, in, "attention_like: attention");
    expects_finite(where, target, "attention_like: learned");
  }
  index_t const first = in.extent[0] - n, skip = which.class_token ? 1 : 0, extent[3] = {1, N, N};
  double* const difference = reserve(where, scratch.difference, n);
  reduce_rows(where, n, N * N, rule::layer_difference<T, S>{in, target, first, skip}, 0.0, plus{}, difference,
              scratch.sums);
  for_each_index(where, n, rule::choose_layer<S>{difference, n, chosen});
  for_each_cell(where, extent, rule::mean_of_layers<T, S>{in, first, skip, chosen.data, target, to});
}

/// What attention_like returns.
template <class T, class Space = host>
struct chosen_attention {
  grid<T, 2, Space> weight;           ///< [N,N]
  grid<std::uint8_t, 1, Space> used;  ///< [n]
};

/// As attention_like_into, and allocates.
template <execution_policy P, stack_like A, image_like B>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<B, 2>>
[[nodiscard]] auto attention_like(P const& where, A const& attention, B const& learned,
                                  attention_layers const& which = {.layers = 6})
{
  auto const in = as_view<3>(attention, "attention_like: attention");
  expects_attention(in, which, "attention_like");
  index_t const N = tokens_of(in.extent[1], which), n = std::min<index_t>(which.layers, in.extent[0]);
  chosen_attention<value_of<A, 3>, typename P::memory> out{make_grid<value_of<A, 3>>(where, {N, N}),
                                                           make_grid<std::uint8_t>(where, {n})};
  attention_like_scratch<P> scratch;
  attention_like_into(where, in, learned, which, out.used, out.weight, scratch);
  return out;
}

/// Turn attention between tokens into a symmetric affinity: scale, symmetrise, square.
///
///   rounds times:     W <- W / column sums, then W <- W / row sums       (Sinkhorn)
///   once:             T = (W + W^t) / 2
///   squarings times:  T <- T T
///
/// The rounds leave W and keep a factor for each row and column.
///
/// @param where    where to run
/// @param weight   [N,N] attention of token i to token j, as mean_attention or attention_like make it
/// @param options  the counts
/// @param out      [N,N]; not `weight`
/// @param scratch  of any earlier call; it grows to the largest matrix and allocates nothing else
///
/// @pre          finite; on the cpu this is checked
/// @throws       precondition_error before anything is written
/// @invariant    T is symmetric. Multiplying W by a number changes nothing, if there is a round
/// @complexity   Theta(rounds * N^2 + squarings * N^3)
/// @determinism  run to run
/// @asynchrony   gpu: enqueues and returns
/// @source       CLIP-ES (Lin et al., CVPR 2023), section 3.3 and generate_cams_voc12.py of linyq2117/CLIP-ES: columns are
///               divided first, so at the end only rows sum to 1; T is not scaled again; one squaring, where the paper
///               has a power t. A column or row whose sum is 0 makes the whole matrix NaN, as there
template <execution_policy P, image_like A, image_like O>
  requires reaches<P, space_of<A, 2>> && reaches<P, space_of<O, 2>>
void attention_affinity_into(P const& where, A const& weight, attention_options const& options, O&& out,
                             attention_scratch<P, value_of<A, 2>>& scratch)
{
  using T = value_of<A, 2>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T> && std::is_same_v<T, value_of<O, 2>>,
                "attention_affinity: weight and out are both float or both double");
  view<T const, 2, S> const in = as_view<2>(weight, "attention_affinity: weight");
  view<T, 2, S> const to = as_view<2>(out, "attention_affinity: out");
  expects(in.extent[0] == in.extent[1], "attention_affinity: weight is ", in, "; expected a square matrix");
  expects(same_shape(in, to), "attention_affinity: weight is ", in, " but out is ", to);
  expects(!overlap(in, to), "attention_affinity: weight and out overlap");
  expects(options.rounds >= 0, "attention_affinity: rounds is ", options.rounds, "; expected a number >= 0");
  expects(options.squarings >= 0 && options.squarings <= 8, "attention_affinity: squarings is ", options.squarings,
          "; expected a number in 0..8");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "attention_affinity: weight");
  index_t const N = in.extent[0];
  if (N == 0) return;
  T* const row = reserve(where, scratch.of_row, N);
  T* const column = reserve(where, scratch.of_column, N);
  fill(where, N, row, T(1));
  fill(where, N, column, T(1));
  for (int i = 0; i < options.rounds; ++i) {
    attention_columns_on(where, in, static_cast<T const*>(row), column);
    attention_rows_on(where, in, static_cast<T const*>(column), row);
  }
  symmetrise_on(where, in, static_cast<T const*>(row), static_cast<T const*>(column), to);
  if (options.squarings == 0) return;
  T* const other = reserve(where, scratch.other, square_room(where, N));
  for (int i = 0; i < options.squarings; ++i) square_on(where, to, other);
}

/// As attention_affinity_into, and allocates.
/// @return grid<T, 2> [N,N] in the memory of the policy
template <execution_policy P, image_like A>
  requires reaches<P, space_of<A, 2>>
[[nodiscard]] auto attention_affinity(P const& where, A const& weight, attention_options const& options = {})
{
  auto const in = as_view<2>(weight, "attention_affinity: weight");
  auto out = make_grid<value_of<A, 2>>(where, {in.extent[0], in.extent[1]});
  attention_scratch<P, value_of<A, 2>> scratch;
  attention_affinity_into(where, in, options, out, scratch);
  return out;
}

/// Memory for spread_by_attention under a policy P. It grows to the largest scores.
template <class P, class T = float>
struct spread_scratch {
  grid<T, 1, typename P::memory> source;
};

/// Spread scores by the affinities of tokens.
///
///   out(c, i) = sum over j of affinity(i, j) mask(c, j) scores(c, j)
///
/// @param affinity  [N,N], N = H * W
/// @param scores    [C,H,W], for example CAMs
/// @param mask      [C,H,W] of bytes: only scores where it is not 0 are spread, but anywhere; or a null view
/// @param out       [C,H,W]; not `scores`
/// @param scratch   of any earlier call
///
/// @throws       precondition_error before anything is written
/// @complexity   Theta(C * N^2)
/// @determinism  run to run
/// @asynchrony   gpu: enqueues and returns
/// @source       CLIP-ES, generate_cams_voc12.py: columns of tokens outside the mask are set to 0
template <execution_policy P, image_like A, stack_like I, stack_like M, stack_like O>
  requires reaches<P, space_of<A, 2>> && reaches<P, space_of<I, 3>> && reaches<P, space_of<M, 3>> &&
           reaches<P, space_of<O, 3>>
void spread_by_attention_into(P const& where, A const& affinity, I const& scores, M const& mask, O&& out,
                              spread_scratch<P, value_of<A, 2>>& scratch)
{
  using T = value_of<A, 2>;
  using S = typename P::memory;
  static_assert(std::is_same_v<T, value_of<I, 3>> && std::is_same_v<T, value_of<O, 3>>,
                "spread_by_attention: affinity, scores and out have one type");
  view<T const, 2, S> const by = as_view<2>(affinity, "spread_by_attention: affinity");
  view<T const, 3, S> const in = as_view<3>(scores, "spread_by_attention: scores");
  view<std::uint8_t const, 3, S> const from = as_view<3>(mask, "spread_by_attention: mask");
  view<T, 3, S> const to = as_view<3>(out, "spread_by_attention: out");
  index_t const N = in.extent[1] * in.extent[2];
  expects(by.extent[0] == N && by.extent[1] == N, "spread_by_attention: affinity is ", by, " but scores are ", in);
  expects(same_shape(in, to), "spread_by_attention: scores are ", in, " but out is ", to);
  expects(from.data == nullptr || same_shape(in, from), "spread_by_attention: scores are ", in, " but mask is ", from);
  expects(!overlap(in, to) && !overlap(by, to) && !overlap(from, to),
          "spread_by_attention: out and another array overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "spread_by_attention: scores");
  if (in.size() == 0) return;
  T* const source = reserve(where, scratch.source, in.size());
  for_each_cell(where, in.extent, rule::mask_scores<T, S>{in, from, source});
  spread_on(where, by, static_cast<T const*>(source), to);
}

/// As spread_by_attention_into, and allocates.
/// @return grid<T, 3> [C,H,W] in the memory of the policy
template <execution_policy P, image_like A, stack_like I,
          stack_like M = stack_view<std::uint8_t const, typename P::memory>>
  requires reaches<P, space_of<A, 2>> && reaches<P, space_of<I, 3>> && reaches<P, space_of<M, 3>>
[[nodiscard]] auto spread_by_attention(P const& where, A const& affinity, I const& scores, M const& mask = {})
{
  auto const in = as_view<3>(scores, "spread_by_attention: scores");
  auto out = make_grid<value_of<I, 3>>(where, {in.extent[0], in.extent[1], in.extent[2]});
  spread_scratch<P, value_of<A, 2>> scratch;
  spread_by_attention_into(where, affinity, in, mask, out, scratch);
  return out;
}

}  // namespace cambium
