#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace cambium {

struct peak_attention_options {
  double alpha = 0.7;  ///< fraction of a channel's maximum below which it is silenced; in [0,1]
};

/// The value below which peak attention silences a channel. The product is taken in the type of the maps, of alpha
/// rounded to that type.
template <class T>
T attention_cut(image_view<T const> channel, peak_attention_options options)
{
  T most = 0;
  for (index_t y = 0; y < channel.extent[0]; ++y)
    for (index_t x = 0; x < channel.extent[1]; ++x) most = std::max(most, channel(y, x));
  return most * static_cast<T>(options.alpha);
}

/// Calls body(channel, y, cut) for every row of every channel, after the checks both doors share.
template <class T, class Body>
void for_each_attended_row(cpu const& where, stack_view<T const> in, peak_attention_options options, Body const& body)
{
  static_assert(std::is_floating_point_v<T>, "peak_attention: maps are of float or double");
  expects(options.alpha >= 0 && options.alpha <= 1, "peak_attention: alpha is ", options.alpha, ", outside [0,1]");
  expects_finite(where, in, "peak_attention: maps");
  for_each_share(where, in.extent[1] * in.extent[2] == 0 ? 0 : in.extent[0], 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      T const cut = attention_cut<T>(in[c], options);
      for (index_t y = 0; y < in.extent[1]; ++y) body(c, y, cut);
    }
  });
}

/// Keep what is near the maximum of its channel, so that a classifier attends to peaks instead of whole objects.
///
///   out = r where r >= alpha * max r over the channel, otherwise 0,   r = max(maps, 0)
///
/// @param where    cpu
/// @param maps     [C,H,W] features of one image, or of several with their channels side by side; finite
/// @param options  alpha = 0.7
/// @return [C,H,W]
///
/// @throws       precondition_error: NaN or infinite values, alpha outside [0,1]
/// @invariant    the maximum of a channel stays; alpha = 0 is max(maps, 0); a channel without a positive value is 0
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @source       Kim et al., CVPR 2022, section 3.3: the peak attention module; PAM, PAM/models/classifier.py of
///               clovaai/BESTIE, which keeps what equals the cut
template <stack_like M>
[[nodiscard]] auto peak_attention(cpu const& where, M const& maps,
                                  peak_attention_options options = {}) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "peak_attention: maps");
  auto out = grid_like<T, host>(in);
  for_each_attended_row<T>(where, in, options, [&](index_t c, index_t y, T cut) {
    for (index_t x = 0; x < in.extent[2]; ++x) {
      T const r = std::max(in(c, y, x), T(0));
      out(c, y, x) = r >= cut ? r : T(0);
    }
  });
  return out;
}

/// The gradient of a loss by the maps, from its gradient by peak_attention(maps): it passes where the map is positive
/// and was kept. The cut counts as a constant.
///
/// @param maps      as given to peak_attention
/// @param gradient  [C,H,W] finite
/// @return [C,H,W]
///
/// @throws       precondition_error as peak_attention, and on differing shapes
template <stack_like M, stack_like G>
[[nodiscard]] auto peak_attention_gradient(cpu const& where, M const& maps, G const& gradient,
                                           peak_attention_options options = {}) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  static_assert(std::is_same_v<T, value_of<G, 3>>, "peak_attention_gradient: maps and gradient hold different types");
  auto const in = as_view<3>(maps, "peak_attention_gradient: maps");
  auto const down = as_view<3>(gradient, "peak_attention_gradient: gradient");
  expects(same_shape(in, down), "peak_attention_gradient: maps are ", in, " but the gradient is ", down);
  expects_finite(where, down, "peak_attention_gradient: gradient");
  auto out = grid_like<T, host>(in);
  for_each_attended_row<T>(where, in, options, [&](index_t c, index_t y, T cut) {
    for (index_t x = 0; x < in.extent[2]; ++x) {
      T const v = in(c, y, x);
      out(c, y, x) = v > 0 && v >= cut ? down(c, y, x) : T(0);
    }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Memory for peak_attention_into under a policy P. It grows to the largest maps.
template <class P, class T>
struct peak_attention_scratch {
  grid<T, 1, typename P::memory> largest;  ///< of each channel
  workspace<P> reducing;
};

/// A cell of a channel, as a value.
template <class T, class S>
struct cell_of_channel {
  stack_view<T const, S> maps;
  CAMBIUM_HD T operator()(index_t c, index_t i) const
  {
    index_t const W = maps.extent[2];
    return maps(c, i / W, i % W);
  }
};

/// Rule: what is near the maximum of its channel stays.
template <class T, class S>
struct attend_to_cell {
  stack_view<T const, S> maps;
  T const* largest;
  T alpha;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T const v = maps(c, y, x), r = v < 0 ? T(0) : v;
    out(c, y, x) = r >= largest[c] * alpha ? r : T(0);
  }
};

/// Rule: the gradient passes where the cell stayed.
template <class T, class S>
struct pass_attended_gradient {
  stack_view<T const, S> maps;
  stack_view<T const, S> gradient;
  T const* largest;
  T alpha;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T const v = maps(c, y, x);
    out(c, y, x) = v > 0 && v >= largest[c] * alpha ? gradient(c, y, x) : T(0);
  }
};

/// Checks alpha and finds each channel's largest value, at least 0.
template <class P, class T>
T const* largest_of_channels(P const& where, stack_view<T const, typename P::memory> in, peak_attention_options options,
                             peak_attention_scratch<P, T>& scratch)
{
  static_assert(std::is_floating_point_v<T>, "peak_attention: maps are of float or double");
  expects(options.alpha >= 0 && options.alpha <= 1, "peak_attention: alpha is ", options.alpha, ", outside [0,1]");
  T* const largest = reserve(where, scratch.largest, in.extent[0]);
  if (in.size() > 0)
    reduce_rows(where, in.extent[0], in.extent[1] * in.extent[2], cell_of_channel<T, typename P::memory>{in}, T(0),
                max_of{}, largest, scratch.reducing);
  return largest;
}

/// Keep what is near the maximum of its channel, on a device.
///
/// @param maps     [C,H,W], or images side by side: their channels one after another. NaN is left out of a maximum and
///                 becomes 0
/// @param out      [C,H,W]
/// @param scratch  of any earlier call
/// @asynchrony     gpu: enqueues and returns
///
/// Everything else as peak_attention in peak_attention.hpp.
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void peak_attention_into(P const& where, M const& maps, peak_attention_options options, O&& out,
                         peak_attention_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "peak_attention: maps");
  stack_view<T, S> const to = as_view<3>(out, "peak_attention: out");
  expects(same_shape(in, to), "peak_attention: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "peak_attention: maps and out overlap");
  T const* const largest = largest_of_channels<P, T>(where, in, options, scratch);
  for_each_cell(where, in.extent, attend_to_cell<T, S>{in, largest, static_cast<T>(options.alpha), to});
}

/// As peak_attention_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto peak_attention(P const& where, M const& maps,
                                  peak_attention_options options = {}) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "peak_attention: maps").extent);
  peak_attention_scratch<P, value_of<M, 3>> scratch;
  peak_attention_into(where, maps, options, out, scratch);
  return out;
}

/// The gradient of a loss by the maps, from its gradient by peak_attention(maps), on a device.
///
/// @param out      [C,H,W]; may be the gradient itself
/// @param scratch  of any earlier call
/// @asynchrony     gpu: enqueues and returns
///
/// Everything else as peak_attention_gradient in peak_attention.hpp.
template <execution_policy P, stack_like M, stack_like G, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void peak_attention_gradient_into(P const& where, M const& maps, G const& gradient, peak_attention_options options,
                                  O&& out, peak_attention_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_same_v<T, value_of<G, 3>>, "peak_attention_gradient: maps and gradient hold different types");
  auto const in = as_view<3>(maps, "peak_attention_gradient: maps");
  auto const down = as_view<3>(gradient, "peak_attention_gradient: gradient");
  stack_view<T, S> const to = as_view<3>(out, "peak_attention_gradient: out");
  expects(same_shape(in, down), "peak_attention_gradient: maps are ", in, " but the gradient is ", down);
  expects(same_shape(in, to), "peak_attention_gradient: maps are ", in, " but out is ", to);
  bool same = down.data == to.data;
  for (int r = 0; r < 3; ++r) same = same && down.stride[r] == to.stride[r];
  expects(!overlap(in, to) && (same || !overlap(down, to)),
          "peak_attention_gradient: maps or gradient and out overlap");
  T const* const largest = largest_of_channels<P, T>(where, in, options, scratch);
  for_each_cell(where, in.extent, pass_attended_gradient<T, S>{in, down, largest, static_cast<T>(options.alpha), to});
}

/// As peak_attention_gradient_into, and allocates.
template <execution_policy P, stack_like M, stack_like G>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto peak_attention_gradient(P const& where, M const& maps, G const& gradient,
                                           peak_attention_options options = {})
    -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "peak_attention_gradient: maps").extent);
  peak_attention_scratch<P, value_of<M, 3>> scratch;
  peak_attention_gradient_into(where, maps, gradient, options, out, scratch);
  return out;
}

}  // namespace cambium
