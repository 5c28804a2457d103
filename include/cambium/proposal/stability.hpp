#pragma once
// How much of a mask stays if its threshold rises.

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/workspace.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <cmath>
#include <type_traits>

namespace cambium {

struct stability_options {
  double threshold = 0;  ///< where a mask begins
  double offset = 1;     ///< >= 0: how far the threshold is moved, up and down
};

/// How much of a mask stays if its threshold rises.
struct mask_stability {
  index_t high = 0;  ///< [cells] above threshold + offset
  index_t low = 0;   ///< [cells] above threshold - offset
  double score = 0;  ///< high / low; 0 if there is no cell
};

/// Memory for stability under a policy.
template <class P>
struct stability_scratch {
  workspace<P> space;
};

namespace rule {

/// Cells above either limit.
struct join_stability {
  CAMBIUM_HD mask_stability operator()(mask_stability a, mask_stability const& b) const
  {
    a.high += b.high, a.low += b.low;
    return a;
  }
};

/// One cell of the maps, as a mask's part.
template <class T, class S>
struct stability_cell {
  stack_view<T const, S> maps;
  T high, low;

  CAMBIUM_HD mask_stability operator()(index_t i, index_t at) const
  {
    T const cell = maps(i, at / maps.extent[2], at % maps.extent[2]);
    mask_stability one{};
    one.high = cell > high, one.low = cell > low;
    return one;
  }
};

/// Counts become a score.
template <class S>
struct conclude_stability {
  view<mask_stability, 1, S> out;

  CAMBIUM_HD void operator()(index_t i) const
  {
    mask_stability& m = out(i);
    m.score = m.low > 0 ? static_cast<double>(m.high) / static_cast<double>(m.low) : 0.;
  }
};

/// The counts of whole maps, a register at a time.
template <class T>
struct stability_rows {
  stack_view<T const> maps;
  T high, low;
  view<mask_stability, 1> out;
  index_t begin, end;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t const W = maps.extent[2];
    for (index_t i = begin; i < end; ++i) {
      mask_stability found{};
      for (index_t y = 0; y < maps.extent[1]; ++y) {
        T const* const row = W > 0 ? &maps(i, y, 0) : nullptr;
        bits<T, lanes> above{}, below{};  // minus the counts: a comparison is 0 or -1
        index_t x = 0;
        for (; x + lanes <= W; x += lanes) {
          pack<T, lanes> const cells = lanes_at<lanes>(row + x).v;
          above += cells > high, below += cells > low;
        }
        for (int l = 0; l < lanes; ++l) found.high -= above[l], found.low -= below[l];
        for (; x < W; ++x) found.high += row[x] > high, found.low += row[x] > low;
      }
      out(i) = found;
    }
  }
};

}  // namespace rule

/// The CPU schedule.
template <class T>
void stability_on(cpu const& where, stack_view<T const> maps, T high, T low, view<mask_stability, 1> out,
                  stability_scratch<cpu>&)
{
  isa const set = vectors_of(where);
  for_each_share(where, maps.extent[0], 1, [&](index_t begin, index_t end) {
    run_widest(set, rule::stability_rows<T>{maps, high, low, out, begin, end});
  });
}

/// Any other policy.
template <execution_policy P, class T, class S>
void stability_on(P const& where, stack_view<T const, S> maps, T high, T low, view<mask_stability, 1, S> out,
                  stability_scratch<P>& scratch)
{
  reduce_rows(where, maps.extent[0], maps.extent[1] * maps.extent[2], rule::stability_cell<T, S>{maps, high, low},
              mask_stability{}, rule::join_stability{}, out.data, scratch.space);
}

/// Measure how little masks depend on the threshold that cuts them from maps.
///
///   out(i) = |L_i > threshold + offset| / |L_i > threshold - offset|
///
/// @param where    where to run
/// @param maps     [N,H,W] logits or probabilities; NaN is above nothing
/// @param out      [N]
/// @param scratch  of any earlier call
///
/// @pre          threshold and offset are finite
/// @throws       precondition_error before anything is written
/// @invariant    0 <= score <= 1; a larger offset never raises it
/// @complexity   Theta(N * H * W)
/// @determinism  exact: both limits are rounded to the type of the maps before the comparison
/// @asynchrony   gpu: enqueues and returns
/// @source       calculate_stability_score, segment_anything/utils/amg.py. It adds up rows in 16 bits: a row of more than
///               32,767 set pixels overflows there, and not here. A mask without a cell is NaN there; here 0
template <execution_policy P, stack_like L, gridded<1> O>
  requires reaches<P, space_of<L, 3>> && reaches<P, space_of<O, 1>>
void stability_into(P const& where, L const& maps, stability_options const& options, O&& out,
                    stability_scratch<P>& scratch)
{
  using T = value_of<L, 3>;
  using M = typename P::memory;
  static_assert(std::is_floating_point_v<T>, "stability: maps are floating-point numbers");
  stack_view<T const, M> const in = as_view<3>(maps, "stability: maps");
  view<mask_stability, 1, M> const to = as_view<1>(out, "stability: out");
  expects(to.extent[0] == in.extent[0], "stability: out is ", to, " but the maps are ", in);
  expects(std::isfinite(options.threshold), "stability: threshold is ", options.threshold);
  expects(std::isfinite(options.offset) && options.offset >= 0, "stability: offset is ", options.offset);
  stability_on(where, in, static_cast<T>(options.threshold + options.offset),
               static_cast<T>(options.threshold - options.offset), to, scratch);
  for_each_index(where, to.extent[0], rule::conclude_stability<M>{to});
}

/// As stability_into, and allocates.
/// @return grid<mask_stability, 1> [N] in the memory of the policy
template <execution_policy P, stack_like L>
  requires reaches<P, space_of<L, 3>>
[[nodiscard]] auto stability(P const& where, L const& maps, stability_options const& options = {})
{
  stability_scratch<P> scratch;
  auto out = make_grid<mask_stability>(where, {as_view<3>(maps, "stability: maps").extent[0]});
  stability_into(where, maps, options, out, scratch);
  return out;
}

}  // namespace cambium
