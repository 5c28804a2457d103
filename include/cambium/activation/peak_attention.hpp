#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
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

}  // namespace cambium
