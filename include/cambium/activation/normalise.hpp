#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// A cell of a channel, not below a floor, as a range.
template <class T, class S>
struct range_of_cell {
  stack_view<T const, S> maps;
  T floor_at;

  CAMBIUM_HD value_range<T> operator()(index_t c, index_t i) const
  {
    index_t const W = maps.extent[2];
    T const v = maps(c, i / W, i % W), above = floor_at < v ? v : floor_at;
    return {above, above};
  }
};

/// A channel's range, as a value.
template <class T>
struct range_of_channel {
  value_range<T> const* range;
  CAMBIUM_HD value_range<T> operator()(index_t, index_t c) const { return range[c]; }
};

/// Rule: a cell on the scale of its channel.
template <class T, class S>
struct scale_cell {
  stack_view<T const, S> maps;
  value_range<T> const* range;  ///< of each channel, or one of all
  normalisation by;
  T floor_at;
  T eps;
  T infinite;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    value_range<T> const r = range[by == normalisation::largest_of_all ? 0 : c];
    T less = 0, over = r.high, part = 1;
    if (by == normalisation::min_max) less = r.low, over = r.high - r.low;
    if (by == normalisation::largest) over = r.high + eps;
    if (by != normalisation::largest_of_all && (over == infinite || over == -infinite))
      part = T(0.5), less *= part, over = r.high * part - r.low * part;
    bool const defined = by == normalisation::largest ? over != 0 : over > 0;
    T const v = maps(c, y, x);
    out(c, y, x) = defined ? ((floor_at < v ? v : floor_at) * part - less) / over : T(0);
  }
};

/// Memory for normalise_into under a policy P. It grows to the largest maps.
template <class P, class T>
struct normalise_scratch {
  grid<value_range<T>, 1, typename P::memory> range;  ///< of each channel, and of all
  workspace<P> reducing;
};

/// Bring activations to a common scale on a device, channel by channel.
///
/// @param out      [C,H,W]; may be the maps themselves
/// @param scratch  of any earlier call
///
/// @throws       precondition_error: negative eps, shapes that differ, ranges that overlap in part; gpu_error
/// @determinism  exact: what the cpu says. NaN is left out of a channel's range, and is NaN or the floor in the result;
///               infinities are as large as any
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as normalise in normalise.hpp.
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void normalise_into(P const& where, M const& maps, normalise_options options, O&& out,
                    normalise_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T>, "normalise: maps are of float or double");
  auto const in = as_view<3>(maps, "normalise: maps");
  stack_view<T, S> const to = as_view<3>(out, "normalise: out");
  expects(options.eps >= 0, "normalise: eps is ", options.eps);
  expects(same_shape(in, to), "normalise: maps are ", in, " but out is ", to);
  bool same = in.data == to.data;
  for (int r = 0; r < 3; ++r) same = same && in.stride[r] == to.stride[r];
  expects(same || !overlap(in, to), "normalise: maps and out overlap");
  using limits = std::numeric_limits<T>;
  index_t const C = in.extent[0], cells = in.extent[1] * in.extent[2];
  if (C * cells == 0) return;
  T const floor_at = options.relu ? T(0) : limits::lowest();
  auto* range = reserve(where, scratch.range, C + 1);
  auto const nothing = value_range<T>::none();
  reduce_rows(where, C, cells, range_of_cell<T, S>{in, floor_at}, nothing, join_ranges{}, range, scratch.reducing);
  if (options.by == normalisation::largest_of_all) {
    reduce_rows(where, 1, C, range_of_channel<T>{range}, nothing, join_ranges{}, range + C, scratch.reducing);
    range += C;
  }
  for_each_cell(where, in.extent,
                scale_cell<T, S>{in, range, options.by, floor_at, static_cast<T>(options.eps), limits::infinity(), to});
}

/// As normalise_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto normalise(P const& where, M const& maps,
                             normalise_options options = {}) -> grid<value_of<M, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "normalise: maps").extent);
  normalise_scratch<P, value_of<M, 3>> scratch;
  normalise_into(where, maps, options, out, scratch);
  return out;
}

}  // namespace cambium
