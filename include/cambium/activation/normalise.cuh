#pragma once
// normalise on a GPU: a reduction of each channel, then one division a cell. The cpu's is in normalise.hpp; the bits are
// the same.

#include <cambium/activation/normalise.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/reserve.hpp>

namespace cambium {

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
