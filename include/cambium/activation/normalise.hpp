#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/channel_range.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

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

/// How the values of one channel are scaled.
template <class T>
struct channel_scale {
  T part, less, over;
  bool defined;

  CAMBIUM_HD T operator()(T v) const { return defined ? (v * part - less) / over : T(0); }
};

namespace rule {

/// A channel's range, as a value.
template <class T>
struct range_of_channel {
  value_range<T> const* range;
  CAMBIUM_HD value_range<T> operator()(index_t, index_t c) const { return range[c]; }
};

/// A cell on the scale of its channel.
template <class T, class S>
struct scale_cell {
  stack_view<T const, S> maps;
  value_range<T> const* range;  ///< of each channel, or one of all
  normalisation by;
  T floor_at;
  T eps;
  T infinite;
  stack_view<T, S> out;

  CAMBIUM_HD channel_scale<T> scale(index_t c) const
  {
    value_range<T> const r = range[by == normalisation::largest_of_all ? 0 : c];
    T const low = above_floor(r.low), high = above_floor(r.high);
    T less = 0, over = high, part = 1;
    if (by == normalisation::min_max) less = low, over = high - low;
    if (by == normalisation::largest) over = high + eps;
    if (by != normalisation::largest_of_all && (over == infinite || over == -infinite))
      part = T(0.5), less *= part, over = high * part - low * part;  // a range beyond T
    return {part, less, over, by == normalisation::largest ? over != 0 : over > 0};
  }
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = scale(c)(above_floor(maps(c, y, x)));
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    channel_scale<T> const s = scale(c);
    T const* const from = &maps(c, y, 0);
    T* const to = &out(c, y, 0);
    index_t x = 0;
    for (; s.defined && x + lanes <= out.extent[2]; x += lanes) {
      pack<T, lanes> const v = lanes_at<lanes>(from + x).v, least = pack<T, lanes>{} + floor_at;
      lanes_at<lanes>(to + x).v = ((least < v ? v : least) * s.part - s.less) / s.over;
    }
    for (; x < out.extent[2]; ++x) to[x] = s(above_floor(from[x]));
  }

 private:
  CAMBIUM_HD T above_floor(T v) const { return floor_at < v ? v : floor_at; }
};

}  // namespace rule

/// Memory for normalise_into under a policy P. It grows to the largest maps.
template <class P, class T>
struct normalise_scratch {
  grid<value_range<T>, 1, typename P::memory> range;  ///< of each channel, and of all
  workspace<P> reducing;
};

/// Bring activations to a common scale, channel by channel.
///
/// @param where    where to run; must reach the memory of the maps
/// @param maps     [C,H,W] activations
/// @param options  by = largest, eps = 1e-5, relu = false
/// @param out      [C,H,W]; may be the maps themselves
/// @param scratch  of any earlier call
///
/// @pre          host memory: maps finite. Elsewhere NaN is left out of a channel's range, and becomes NaN or the
///               floor; infinities count as numbers
/// @throws       precondition_error before anything is written: NaN or infinite values, negative eps, shapes that
///               differ, memory that overlaps in part; gpu_error
/// @invariant    with relu and `largest`: 0 <= out < 1; with min_max: 0 <= out <= 1
/// @complexity   Theta(C * H * W)
/// @determinism  exact, one division a cell
/// @asynchrony   gpu: enqueues and returns
/// @source       step/make_cam.py of jiwoon-ahn/irn: `/= max + 1e-5`, eps added in the type of the maps
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
void normalise_into(P const& where, M const& maps, normalise_options options, O&& out,
                    normalise_scratch<P, value_of<M, 3>>& scratch)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_floating_point_v<T>, "normalise: maps are of float or double");
  using limits = std::numeric_limits<T>;
  stack_view<T const, S> const in = as_view<3>(maps, "normalise: maps");
  stack_view<T, S> const to = as_view<3>(out, "normalise: out");
  expects(options.eps >= 0, "normalise: eps is ", options.eps);
  expects(same_shape(in, to), "normalise: maps are ", in, " but out is ", to);
  expects(same_window(in, to) || !overlap(in, to), "normalise: maps and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "normalise: maps");
  if (in.size() == 0) return;
  index_t const C = in.extent[0];
  auto* range = reserve(where, scratch.range, C + 1);
  measure_channels(where, as_batch(in), range, scratch.reducing);
  if (options.by == normalisation::largest_of_all) {
    reduce_rows(where, 1, C, rule::range_of_channel<T>{range}, value_range<T>::none(), join_ranges{}, range + C,
                scratch.reducing);
    range += C;
  }
  for_each_cell(where, in.extent,
                rule::scale_cell<T, S>{in, range, options.by, options.relu ? T(0) : limits::lowest(),
                                       static_cast<T>(options.eps), limits::infinity(), to});
}

/// As normalise_into, and allocates.
/// @return [C,H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto normalise(P const& where, M const& maps, normalise_options options = {})
{
  auto out = make_grid<value_of<M, 3>>(where, as_view<3>(maps, "normalise: maps").extent);
  normalise_scratch<P, value_of<M, 3>> scratch;
  normalise_into(where, maps, options, out, scratch);
  return out;
}

}  // namespace cambium
