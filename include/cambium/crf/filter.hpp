#pragma once
// Gaussian filtering of values that lie anywhere in a space: on a lattice, or exactly, over all pairs of positions.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/crf/filter_cores.hpp>
#include <cambium/crf/lattice.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace cambium {

struct filter_options {
  bool reverse = false;  ///< blur along the axes in the other order: the transposed filter, for gradients
};

/// Positions whose values are summed over all pairs, exactly: O(N^2) a channel, for a few thousand positions. A filter
/// with the functions of a lattice: whatever filters for a dense_crf has those below, for its policy.
///
///   cpu     make_room, clear_part, spread_some, clear_rest, sum_up, read_some
///   others  spread_and_blur, read_back
template <execution_policy P = cpu>
struct all_pairs {
  grid<float, 2, typename P::memory> features;  ///< [D,N]

  index_t positions() const { return features.view().extent[1]; }
  index_t points() const { return positions(); }
};

/// Room for filtering some channels: 8 bytes a point and channel.
template <execution_policy P = cpu>
struct lattice_scratch {
  using S = typename P::memory;
  lattice_scratch() = default;
  template <class Filter>
  lattice_scratch(P const& where, Filter const& filter, index_t channels)
      : lattice_scratch(where, filter.points() * channels)
  {
  }
  lattice_scratch(P const& where, index_t cells)
      : values(make_grid<float>(where, {cells})), others(make_grid<float>(where, {cells}))
  {
  }
  bool holds(permutohedral<P> const& lattice, index_t channels) const
  {
    return values.size() >= lattice.points() * channels;
  }

  grid<float, 1, S> values, others;
};

/// Room of the cpu: 4 bytes a slot and channel, for at most 16 channels at a time.
template <>
struct lattice_scratch<cpu> {
  static constexpr index_t most = 16;
  lattice_scratch() = default;
  template <class Filter>
  lattice_scratch(cpu const&, Filter const& filter, index_t channels)
  {
    make_room(filter, std::min(channels, most), values);
  }
  bool holds(permutohedral<cpu> const& lattice, index_t channels) const
  {
    return static_cast<index_t>(values.cells.size()) >= (lattice.slots() + 1) * std::min(channels, most);
  }

  lattice_values values;
};

namespace rule {

/// What positions spread onto a point, for one channel. A part of the positions sums on its own, and the parts' sums
/// are added in order, as on the cpu.
struct spread_onto_points {
  lattice_map map;
  float const* from;    ///< value of a position and channel, or null: then all are 1
  index_t step;         ///< from the values of one position to those of the next
  float const* factor;  ///< [N], or null
  index_t channels;
  float* to;  ///< [points,channels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    lattice_parts const parts{map.positions};
    index_t part = 0, end = parts.begin(1);
    float total = 0, sum = 0;
    for (std::int32_t k = map.first[point]; k < map.first[point + 1]; ++k) {
      std::int32_t const number = map.number[k];
      index_t const i = number / map.corners;
      if (i >= map.positions) break;  // the origin's
      if (i >= end) {
        total += sum, sum = 0;
        while (i >= end) end = parts.begin(++part + 1);
      }
      float const value = from == nullptr ? 1.f : from[i * step + c];
      sum += rounded_product(map.weight[number], factor == nullptr ? value : rounded_product(value, factor[i]));
    }
    to[at] = total + sum;
  }
};

/// Every point takes half of either neighbour along an axis.
struct blur_points {
  lattice_map map;
  int axis;
  index_t channels;
  float const* from;
  float* to;  ///< other memory

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    std::int32_t const* const beside = map.neighbour + (axis * map.points + point) * 2;
    float const before = beside[0] < 0 ? 0.f : from[beside[0] * channels + c];
    float const after = beside[1] < 0 ? 0.f : from[beside[1] * channels + c];
    to[at] = from[at] + rounded_product(0.5f, before + after);
  }
};

/// What a position's simplex holds, times a gain and a factor, on top of another value.
struct read_simplices {
  lattice_map map;
  float const* values;  ///< [points,channels]
  float gain;
  float const* factor;  ///< [N], or null
  index_t channels;
  float const* on;  ///< laid out like the result, may be the same; or null: 0
  float* to;
  index_t step;  ///< from the values of one position to those of the next

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / channels, c = at % channels;
    float const times = factor == nullptr ? gain : rounded_product(gain, factor[i]);
    float sum = 0;
    for (int k = 0; k < map.corners; ++k) {
      index_t const corner = i * map.corners + k;
      sum += rounded_product(map.weight[corner], values[map.corner[corner] * channels + c]);
    }
    sum = rounded_product(times, sum);
    to[i * step + c] = (on == nullptr ? 0.f : on[i * step + c]) + sum;
  }
};

/// The sums over all pairs, for a pixel and up to `Group` channels:
///
///   out[i] = sum over j of exp(-|f_i - f_j|^2 / 2) factor[j] in[j]
template <int Group>
struct sum_all_pairs {
  float const* feature;  ///< [D,N]
  index_t dimension, positions;
  float const* in;  ///< [N,step], or null: all 1
  index_t step;
  float const* factor;  ///< [N], or null
  index_t channels;
  float* out;  ///< [N,channels]

  CAMBIUM_HD index_t groups() const { return (channels + Group - 1) / Group; }
  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / groups(), first = at % groups() * Group;
    index_t const n = channels - first < Group ? channels - first : Group;
    double sum[std::size_t{Group}]{};
    for (index_t j = 0; j < positions; ++j) {
      double distance = 0;
      for (index_t d = 0; d < dimension; ++d) {
        double const apart =
            static_cast<double>(feature[d * positions + i]) - static_cast<double>(feature[d * positions + j]);
        distance += apart * apart;
      }
      double const weight = std::exp(-distance / 2) * (factor != nullptr ? static_cast<double>(factor[j]) : 1.0);
      if (in == nullptr)
        for (index_t c = 0; c < n; ++c) sum[c] += weight;
      else
        for (index_t c = 0; c < n; ++c) sum[c] += weight * static_cast<double>(in[j * step + first + c]);
    }
    for (index_t c = 0; c < n; ++c) out[i * channels + first + c] = static_cast<float>(sum[c]);
  }
};

/// Sums over all pairs on top of other values.
struct add_pairs {
  float const* summed;  ///< [N,channels]
  float weight;
  float const* factor;  ///< [N], or null
  index_t channels;
  value_rows on;
  float* to;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const at = i / channels;
    float const times = factor == nullptr ? weight : rounded_product(weight, factor[at]);
    to[i] = (on.first == nullptr ? 0.f : on.first[at * on.step + i % channels]) + rounded_product(times, summed[i]);
  }
};

}  // namespace rule

/// Spread values and blur them. @return where in the scratch they are, [points,channels]
/// @param from  [N,channels] with `step` from row to row, or null: all 1
template <class P>
float const* spread_and_blur(P const& where, permutohedral<P> const& lattice, float const* from, index_t step,
                             float const* factor, index_t channels, bool reverse, lattice_scratch<P>& scratch)
{
  lattice_map const map = lattice.map();
  index_t const cells = map.points * channels;
  float *here = scratch.values.view().data, *there = scratch.others.view().data;
  for_each_index(where, cells, rule::spread_onto_points{map, from, step, factor, channels, here});
  for (int k = 0; k < map.corners; ++k) {
    int const axis = reverse ? map.corners - 1 - k : k;
    for_each_index(where, cells, rule::blur_points{map, axis, channels, here, there});
    std::swap(here, there);
  }
  return here;
}
template <class P>
float const* spread_and_blur(P const& where, all_pairs<P> const& pairs, float const* from, index_t step,
                             float const* factor, index_t channels, bool, lattice_scratch<P>& scratch)
{
  auto const f = pairs.features.view();
  rule::sum_all_pairs<4> const sum{f.data, f.extent[0], f.extent[1], from,
                                   step,   factor,      channels,    scratch.values.view().data};
  for_each_index(where, f.extent[1] * sum.groups(), sum);
  return scratch.values.view().data;
}

/// Write what positions read back of `blurred`, times `scale` and their factors, if there are any, on top of `on`, or
/// of 0 where it is null. `on` and `to` are [N,channels].
template <class P>
void read_back(P const& where, permutohedral<P> const& lattice, float const* blurred, float scale, float const* factor,
               index_t channels, float const* on, float* to, index_t step)
{
  for_each_index(where, lattice.positions() * channels,
                 rule::read_simplices{lattice.map(), blurred, lattice.gain() * scale, factor, channels, on, to, step});
}
template <class P>
void read_back(P const& where, all_pairs<P> const& pairs, float const* summed, float scale, float const* factor,
               index_t channels, float const* on, float* to, index_t)
{
  for_each_index(where, pairs.positions() * channels,
                 rule::add_pairs{summed, scale, factor, channels, {on, channels}, to});
}

/// The cpu's functions of all_pairs. Sums need all values first, so nothing is spread.
inline void make_room(all_pairs<cpu> const& pairs, index_t channels, lattice_values& values, index_t = 0)
{
  values.cells.resize(static_cast<std::size_t>(pairs.positions() * channels));
}
inline void clear_part(all_pairs<cpu> const&, index_t, index_t, lattice_values&) {}
inline void clear_rest(all_pairs<cpu> const&, index_t, lattice_values&) {}
inline void spread_some(isa, all_pairs<cpu> const&, index_t, index_t, index_t, float const*, index_t, float const*,
                        index_t, lattice_values&)
{
}
inline void sum_up(cpu const& where, all_pairs<cpu> const& pairs, float const* from, index_t step, float const* factor,
                   index_t channels, bool, lattice_values& values)
{
  auto const f = pairs.features.view();
  rule::sum_all_pairs<32> const sum{f.data, f.extent[0], f.extent[1], from,
                                    step,   factor,      channels,    values.cells.data()};
  for_each_share(where, f.extent[1] * sum.groups(), 16, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) sum(at);
  });
}
inline void read_some(isa, all_pairs<cpu> const&, index_t, index_t first, index_t n, index_t channels,
                      lattice_values const& values, float scale, float const* factor, value_rows on, float* to, index_t)
{
  rule::add_pairs const add{values.cells.data() + first * channels, scale, factor, channels, on, to};
  for (index_t i = 0; i < n * channels; ++i) add(i);
}

/// Any other policy's schedule.
/// @param from  [N,channels] with `step` from row to row, or null: all 1
template <class P, class Filter>
void filter_on(P const& where, Filter const& filter, float const* from, index_t step, index_t channels, bool reverse,
               float* out, index_t out_step, lattice_scratch<P>& scratch)
{
  float const* const blurred = spread_and_blur(where, filter, from, step, nullptr, channels, reverse, scratch);
  read_back(where, filter, blurred, 1.f, nullptr, channels, nullptr, out, out_step);
}

/// The cpu's schedule.
template <class Filter>
void filter_on(cpu const& where, Filter const& filter, float const* from, index_t step, index_t channels, bool reverse,
               float* out, index_t out_step, lattice_scratch<cpu>& scratch)
{
  constexpr index_t most = lattice_scratch<cpu>::most;
  float ones[std::size_t{most}];
  std::fill_n(ones, most, 1.f);
  isa const set = vectors_of(where);
  lattice_parts const parts{filter.positions()};
  for (index_t c = 0; c < channels; c += most) {
    index_t const width = std::min(channels - c, most), apart = from == nullptr ? 0 : step;
    float const* const values = from == nullptr ? ones : from + c;
    make_room(filter, width, scratch.values);
    for_each_part(where, parts, [&](index_t p, index_t first, index_t n) {
      clear_part(filter, p, width, scratch.values);
      spread_some(set, filter, p, first, n, values + first * apart, apart, nullptr, width, scratch.values);
    });
    clear_rest(filter, width, scratch.values);
    sum_up(where, filter, values, apart, nullptr, width, reverse, scratch.values);
    for_each_part(where, parts, [&](index_t p, index_t first, index_t n) {
      read_some(set, filter, p, first, n, width, scratch.values, 1, nullptr, {}, out + first * out_step + c, out_step);
    });
  }
}

/// Filter values with the Gaussian of a lattice, without normalisation, into memory of the caller.
///
///   out(i) ~ sum over j of exp(-|f_i - f_j|^2 / 2) values(j), the term j = i included
///
/// @param where    where to run; must reach the memory of the values
/// @param lattice  of N positions
/// @param values   [N,C] finite
/// @param options  reverse = false
/// @param out      [N,C], no gaps between channels; not the values
/// @param scratch  made for this lattice and at least C channels; one call at a time
///
/// @throws       precondition_error: another number of positions, NaN or infinite values, shapes that differ, overlap,
///               too small a scratch
/// @complexity   Theta(C * (N * D + points * D)). On a device a point sums its corners alone, so where most positions
///               lie in one simplex the device waits for few threads
/// @determinism  the same bits on every run, for every number of threads, every instruction set and every policy
/// @asynchrony   gpu: enqueues and returns, and cannot check the values: a NaN or an infinity spreads as far as the
///               filter reaches
/// @source       Permutohedral::compute of pydensecrf, whose rounding differs by its order of sums. Against exact
///               kernels the lattice gives too little, 0.28 to 0.88 of it, so that it is off by 12-71 % (relative L2,
///               45 kernels of sxy 1-80, srgb 0 or 3-40, on 44x56 pixels); divided by filtered ones, as a mean is, by
///               0.02-15 %. It is the approximation everyone's constants were found with, not an error to correct
template <execution_policy P, image_like X, image_like O>
  requires reaches<P, space_of<X, 2>> && reaches<P, space_of<O, 2>>
void filter_into(P const& where, permutohedral<P> const& lattice, X const& values, filter_options options, O&& out,
                 lattice_scratch<P>& scratch)
{
  using S = typename P::memory;
  view<float const, 2, S> const in = as_view<2>(values, "filter: values");
  view<float, 2, S> const to = as_view<2>(out, "filter: out");
  expects(in.extent[0] == lattice.positions(), "filter: values are ", in, " but the lattice holds ",
          lattice.positions(), " positions");
  expects(same_shape(in, to), "filter: values are ", in, " but out is ", to);
  expects(!overlap(in, to), "filter: out overlaps the values");
  expects(scratch.holds(lattice, in.extent[1]), "filter: the scratch is for another lattice or fewer channels");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "filter: values");
  if (in.size() > 0)
    filter_on(where, lattice, in.data, in.stride[0], in.extent[1], options.reverse, to.data, to.stride[0], scratch);
}

/// As filter_into, and allocates the result.
/// @return grid<float, 2> [N,C] in the memory of the policy
template <execution_policy P, image_like X>
  requires reaches<P, space_of<X, 2>>
[[nodiscard]] auto filter(P const& where, permutohedral<P> const& lattice, X const& values, filter_options options = {})
{
  auto const in = as_view<2>(values, "filter: values");
  expects(in.extent[0] == lattice.positions(), "filter: values are ", in, " but the lattice holds ",
          lattice.positions(), " positions");
  auto out = make_grid<float>(where, in.extent);
  lattice_scratch<P> scratch(where, lattice, in.extent[1]);
  filter_into(where, lattice, in, options, out.view(), scratch);
  return out;
}

}  // namespace cambium
