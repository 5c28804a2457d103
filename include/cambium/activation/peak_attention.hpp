#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/channel_range.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <type_traits>

namespace cambium {

struct peak_attention_options {
  double alpha = 0.7;  ///< fraction of a channel's maximum below which it is silenced; in [0,1]
};

namespace rule {

/// A cell passes where the map is positive and near the maximum of its channel. The others become 0.
template <class T, class S>
struct pass_attended {
  stack_view<T const, S> maps;
  value_range<T> const* range;  ///< of each channel
  T alpha;
  stack_view<T const, S> from;  ///< the maps, or a gradient
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = passes(maps(c, y, x), cut(c)) ? from(c, y, x) : T(0);
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    T const least = cut(c), *const map = &maps(c, y, 0), *const value = &from(c, y, 0);
    T* const to = &out(c, y, 0);
    for (index_t x = 0; x < out.extent[2]; ++x) to[x] = passes(map[x], least) ? value[x] : T(0);
  }

 private:
  /// The product is taken in the type of the maps, of alpha rounded to that type.
  CAMBIUM_HD T cut(index_t c) const { return (range[c].high < 0 ? T(0) : range[c].high) * alpha; }
  CAMBIUM_HD static bool passes(T v, T least) { return v > 0 && v >= least; }
};

}  // namespace rule

/// Memory for peak_attention_into under a policy P. It grows to the largest maps.
template <class P, class T>
struct peak_attention_scratch {
  grid<value_range<T>, 1, typename P::memory> range;  ///< of each channel
  workspace<P> reducing;
};

/// The checks that both doors share, and the rule.
template <class P, class T, class S>
void pass_attended_cells(P const& where, stack_view<T const, S> in, stack_view<T const, S> from,
                         peak_attention_options options, stack_view<T, S> to, peak_attention_scratch<P, T>& scratch)
{
  static_assert(std::is_floating_point_v<T>, "peak_attention: maps are of float or double");
  expects(options.alpha >= 0 && options.alpha <= 1, "peak_attention: alpha is ", options.alpha, ", outside [0,1]");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "peak_attention: maps");
  if (in.size() == 0) return;
  auto* const range = reserve(where, scratch.range, in.extent[0]);
  measure_channels(where, as_batch(in), range, scratch.reducing);
  for_each_cell(where, in.extent, rule::pass_attended<T, S>{in, range, static_cast<T>(options.alpha), from, to});
}

/// Keep the values near the maximum of their channel, so that a classifier attends to peaks instead of whole objects.
///
///   out = r where r >= alpha * max r over the channel, otherwise 0,   r = max(maps, 0)
///
/// @param where    where to run; must reach the memory of the maps
/// @param maps     [C,H,W] features of one image, or of several with their channels side by side
/// @param options  alpha = 0.7
/// @param out      [C,H,W]
/// @param scratch  of any earlier call
///
/// @pre          host memory: maps finite. Elsewhere NaN is left out of a maximum and becomes 0
/// @throws       precondition_error before anything is written: NaN or infinite values, alpha outside [0,1], differing
///               shapes
/// @invariant    the maximum of a channel stays; alpha = 0 is max(maps, 0); a channel without a positive value is 0
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       Kim et al., CVPR 2022, section 3.3: the peak attention module; PAM, PAM/models/classifier.py of
///               clovaai/BESTIE, which keeps what equals the cut
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
void peak_attention_into(P const& where, M const& maps, peak_attention_options options, O&& out,
                         peak_attention_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(maps, "peak_attention: maps");
  stack_view<T, S> const to = as_view<3>(out, "peak_attention: out");
  expects(same_shape(in, to), "peak_attention: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "peak_attention: maps and out overlap");
  pass_attended_cells(where, in, in, options, to, scratch);
}

/// As peak_attention_into, and allocates.
/// @return [C,H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto peak_attention(P const& where, M const& maps, peak_attention_options options = {})
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "peak_attention: maps").extent);
  peak_attention_scratch<P, value_of<M, 3>> scratch;
  peak_attention_into(where, maps, options, out, scratch);
  return out;
}

/// The gradient of a loss by the maps, from its gradient by peak_attention(maps): it passes where the map is positive
/// and was kept. The cut counts as a constant.
///
/// @param maps      as given to peak_attention
/// @param gradient  [C,H,W]; host memory: finite
/// @param out       [C,H,W]; may be the gradient itself
/// @param scratch   of any earlier call
///
/// @throws       precondition_error as peak_attention, and on differing shapes
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like M, stack_like G, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<G, 3>> && reaches<P, space_of<O, 3>>
void peak_attention_gradient_into(P const& where, M const& maps, G const& gradient, peak_attention_options options,
                                  O&& out, peak_attention_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_same_v<T, value_of<G, 3>>, "peak_attention_gradient: maps and gradient hold different types");
  stack_view<T const, S> const in = as_view<3>(maps, "peak_attention_gradient: maps");
  stack_view<T const, S> const down = as_view<3>(gradient, "peak_attention_gradient: gradient");
  stack_view<T, S> const to = as_view<3>(out, "peak_attention_gradient: out");
  expects(same_shape(in, down), "peak_attention_gradient: maps are ", in, " but the gradient is ", down);
  expects(same_shape(in, to), "peak_attention_gradient: maps are ", in, " but out is ", to);
  expects(!overlap(in, to) && (same_window(down, to) || !overlap(down, to)),
          "peak_attention_gradient: maps or gradient and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, down, "peak_attention_gradient: gradient");
  pass_attended_cells(where, in, down, options, to, scratch);
}

/// As peak_attention_gradient_into, and allocates.
/// @return [C,H,W] in the memory of the policy
template <execution_policy P, stack_like M, stack_like G>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<G, 3>>
[[nodiscard]] auto peak_attention_gradient(P const& where, M const& maps, G const& gradient,
                                           peak_attention_options options = {})
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "peak_attention_gradient: maps").extent);
  peak_attention_scratch<P, value_of<M, 3>> scratch;
  peak_attention_gradient_into(where, maps, gradient, options, out, scratch);
  return out;
}

}  // namespace cambium
