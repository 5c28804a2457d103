#pragma once
// The smallest and the largest value of each channel.

#include <cambium/core/config.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

namespace cambium {

namespace rule {

/// The range of a single cell of a channel.
template <class T, class S>
struct range_of_cell {
  view<T const, 4, S> maps;

  CAMBIUM_HD value_range<T> operator()(index_t row, index_t i) const
  {
    index_t const channels = maps.extent[1], width = maps.extent[3];
    T const v = maps(row / channels, row % channels, i / width, i % width);
    return {v, v};
  }
};

}  // namespace rule

/// Some cells side by side: `range` is widened to hold them.
template <class T>
struct range_of_run {
  T const* cells;
  index_t count;
  value_range<T>* range;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T)), turns = 4;  // so many independent comparisons in flight
    using numbers = pack<T, lanes>;
    value_range<T> r = *range;
    index_t x = 0;
    if (count >= turns * lanes) {
      numbers low[turns], high[turns];
      for (int t = 0; t < turns; ++t) low[t] = numbers{} + r.low, high[t] = numbers{} + r.high;
      for (; x + turns * lanes <= count; x += turns * lanes)
        for (int t = 0; t < turns; ++t) {
          numbers const v = lanes_at<lanes>(cells + x + t * lanes).v;
          low[t] = v < low[t] ? v : low[t];
          high[t] = v > high[t] ? v : high[t];
        }
      for (int t = 0; t < turns; ++t)
        for (int l = 0; l < lanes; ++l) r = join_ranges{}(r, value_range<T>{low[t][l], high[t][l]});
    }
    for (; x < count; ++x) r = join_ranges{}(r, value_range<T>{cells[x], cells[x]});
    *range = r;
  }
};

/// Find the range of every channel of [B,C,H,W]. NaN is left out; a channel without a number has value_range::none().
///
/// @param channel  [B * C] in the memory of the policy
/// @complexity     Theta(B * C * H * W)
/// @determinism    exact
/// @asynchrony     gpu: enqueues and returns
template <class P, class T, class S>
void measure_channels(P const& where, view<T const, 4, S> const& maps, value_range<T>* channel, workspace<P>& space)
{
  reduce_rows(where, maps.extent[0] * maps.extent[1], maps.extent[2] * maps.extent[3], rule::range_of_cell<T, S>{maps},
              value_range<T>::none(), join_ranges{}, channel, space);
}

/// The CPU schedule: a register of cells at a time.
template <class T>
void measure_channels(cpu const& where, view<T const, 4> const& maps, value_range<T>* channel, workspace<cpu>&)
{
  index_t const C = maps.extent[1], H = maps.extent[2], W = maps.extent[3];
  isa const set = vectors_of(where);
  for_each_share(where, maps.extent[0] * C, 1, [&](index_t first, index_t last) {
    for (index_t at = first; at < last; ++at) {
      channel[at] = value_range<T>::none();
      for (index_t y = 0; y < H && W > 0; ++y)
        run_widest(set, range_of_run<T>{&maps(at / C, at % C, y, 0), W, &channel[at]});
    }
  });
}

}  // namespace cambium
