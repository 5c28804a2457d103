#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace cambium {

/// What becomes 0 and what becomes 1.
enum class normalisation {
  largest,        ///< x / (max + eps) per channel: IRNet's CAMs. A channel of zeros stays zero
  min_max,        ///< (x - min) / (max - min) per channel; a constant channel becomes 0
  largest_of_all  ///< x / max over all channels; if that is not positive, everything becomes 0
};

struct normalise_options {
  normalisation by = normalisation::largest;
  double eps = 1e-5;  ///< added to the maximum by `largest`
  bool relu = false;  ///< set negative values to 0 first
};

/// Bring activations to a common scale, channel by channel.
///
/// @param where    cpu
/// @param maps     [C,H,W] activations, finite
/// @param options  by = largest, eps = 1e-5, relu = false
/// @return [C,H,W]
///
/// @throws       precondition_error: NaN or infinite values, negative eps
/// @invariant    with relu and `largest`: 0 <= out < 1; with min_max: 0 <= out <= 1
/// @complexity   Theta(C * H * W)
/// @determinism  exact, one division a cell
/// @source       step/make_cam.py of jiwoon-ahn/irn: `/= max + 1e-5`, eps added in the type of the maps
template <stack_like M>
[[nodiscard]] auto normalise(cpu const& where, M const& maps, normalise_options options = {}) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  static_assert(std::is_floating_point_v<T>, "normalise: maps are of float or double");
  auto const in = as_view<3>(maps, "normalise: maps");
  expects(options.eps >= 0, "normalise: eps is ", options.eps);
  expects_finite(where, in, "normalise: maps");
  auto out = grid_like<T, host>(in);
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto const floor_at = options.relu ? T(0) : std::numeric_limits<T>::lowest();
  auto const range = [&](index_t c) {
    std::pair<T, T> r{std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        T const v = std::max(floor_at, in(c, y, x));
        r = {std::min(r.first, v), std::max(r.second, v)};
      }
    return r;
  };
  T most = std::numeric_limits<T>::lowest();
  if (options.by == normalisation::largest_of_all)
    for (index_t c = 0; c < C; ++c) most = std::max(most, range(c).second);
  for_each_share(where, H * W == 0 ? 0 : C, 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      T less = 0, by = most, part = 1;
      if (options.by != normalisation::largest_of_all) {
        auto const [low, high] = range(c);
        less = options.by == normalisation::min_max ? low : T(0);
        by = options.by == normalisation::min_max ? high - low : high + static_cast<T>(options.eps);
        if (std::isinf(by)) part = T(0.5), less *= part, by = high * part - low * part;  // a range beyond T
      }
      bool const defined = options.by == normalisation::largest ? by != 0 : by > 0;
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x)
          out(c, y, x) = defined ? (std::max(floor_at, in(c, y, x)) * part - less) / by : T(0);
    }
  });
  return out;
}

}  // namespace cambium
