#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/transition.hpp>
#include <cambium/walk/lanes.hpp>
#include <cambium/walk/series.hpp>
#include <cambium/walk/step.hpp>
#include <cambium/walk/visits.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

struct walk_options {
  index_t steps = 256;   ///< [count] steps, in each of which every cell averages its neighbours; >= 0
  double tolerance = 0;  ///< [fraction of a channel's seed range] largest allowed error; 0: exact

  /// IRNet squares its dense matrix `times` times, which is 2^times steps: exp_times = 8 is 256 steps.
  static walk_options squarings(int times, double tolerance = 0)
  {
    expects(0 <= times && times <= 40, "walk_options: exp_times is ", times,
            "; the walk takes 2^exp_times steps, and 8 gives the 256 of the paper");
    return {index_t{1} << times, tolerance};
  }
};

/// The degrees of a transition.
struct degree_range {
  double sum = 0;
  double smallest = std::numeric_limits<double>::max();
  double largest = 1;
};

/// The norm of one channel's seeds in the error bound of the accelerated form.
struct seed_norm {
  double middle = 0;  ///< mean of the seeds, weighted by the degrees, in units
  double norm = 0;    ///< sqrt(sum of degree * (seed - middle)^2 / smallest degree)
};

/// A sum over a map in eight independent parts.
template <class Term>
double sum_over(index_t H, index_t W, Term const& term)
{
  double part[8]{};
  for (index_t y = 0; y < H; ++y) {
    index_t x = 0;
    for (; x + 8 <= W; x += 8)
      for (index_t i = 0; i < 8; ++i) part[i] += term(y, x + i);
    for (; x < W; ++x) part[0] += term(y, x);
  }
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/// Two passes over seeds scaled by `unit`. So offsets do not cancel and huge values do not overflow.
template <class T>
seed_norm measure_seeds(image_view<T const> seeds, image_view<double const> degree, degree_range const& range,
                        double unit)
{
  index_t const H = seeds.extent[0], W = seeds.extent[1];
  double const scale = 1 / unit;
  auto const seed = [&](index_t y, index_t x) { return static_cast<double>(seeds(y, x)) * scale; };
  double const middle = sum_over(H, W, [&](index_t y, index_t x) { return degree(y, x) * seed(y, x); }) / range.sum;
  double const squares = sum_over(H, W, [&](index_t y, index_t x) {
    double const off = seed(y, x) - middle;
    return degree(y, x) * off * off;
  });
  return {middle, std::sqrt(squares / range.smallest)};
}

/// Find the shortest polynomial in T that approximates T^steps within `tolerance` of every channel's range. Also find
/// each channel's mean, which the walk subtracts, and the range of its seeds, to which the walk clamps.
///
/// T is similar to the symmetric D^-1/2 A D^-1/2, and row v of T holds 1/degree(v) on the diagonal and
/// 1 - 1/degree(v) beside it: by Gershgorin its spectrum lies in [2/max(degree) - 1, 1]. A polynomial
/// that is off by r there is off by at most r * seed_norm at any cell (Cauchy and Schwarz).
template <class T>
chebyshev_power plan_walk(cpu const& where, stack_view<T const> seeds, image_view<T const> inverse_degree,
                          walk_options options, std::vector<channel_frame<T>>& channel)
{
  auto degree = make_grid<double>({inverse_degree.extent[0], inverse_degree.extent[1]});
  degree_range range;
  for (index_t y = 0; y < inverse_degree.extent[0]; ++y)
    for (index_t x = 0; x < inverse_degree.extent[1]; ++x) {
      double const d = 1 / static_cast<double>(inverse_degree(y, x));
      degree(y, x) = d;
      range = {range.sum + d, std::min(range.smallest, d), std::max(range.largest, d)};
    }
  std::vector<double> relative(channel.size(), 0.0);
  for_each_share(where, seeds.extent[0], 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      auto& frame = channel[static_cast<std::size_t>(c)];
      frame = {T(0), std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
      for (index_t y = 0; y < seeds.extent[1]; ++y)
        for (index_t x = 0; x < seeds.extent[2]; ++x) {
          frame.low = std::min(frame.low, seeds(c, y, x));
          frame.high = std::max(frame.high, seeds(c, y, x));
        }
      if (frame.low == frame.high) {
        frame.shift = frame.low;
        continue;
      }
      double const low = static_cast<double>(frame.low), high = static_cast<double>(frame.high);
      double const unit = std::max(std::abs(low), std::abs(high));
      auto const size = measure_seeds<T>(seeds[c], degree, range, unit);
      frame.shift = static_cast<T>(size.middle * unit);
      relative[static_cast<std::size_t>(c)] = size.norm / (high / unit - low / unit);
    }
  });
  return expand_walk(options.steps, range.largest, options.tolerance,
                     *std::max_element(relative.begin(), relative.end()));
}

/// The CPU schedule.
template <class T>
void random_walk_on(cpu const& where, stack_view<T const> seeds, transition_view<T> const& t, walk_options options,
                    stack_view<T> out, walk_scratch<T>& s)
{
  if (seeds.size() == 0) return;
  spread_transition(where, t, s);
  std::fill(s.channel.begin(), s.channel.end(), channel_frame<T>{});

  chebyshev_power p;
  if (options.tolerance > 0) p = plan_walk(where, seeds, t.inverse_degree, options, s.channel);
  int const n = p.degree();
  T const* lanes = nullptr;
  if (options.tolerance > 0 && n < options.steps) {
    spread_scores(where, seeds, s.channel, s.map, s.seeds.data());
    T const top = static_cast<T>(p.coefficient.back());
    for (std::size_t i = 0; i < s.a.size(); ++i) s.a[i] = top * s.seeds[i];
    std::fill(s.b.begin(), s.b.end(), T(0));
    lanes = walk_lanes(where, s, n, [&](index_t step) { return clenshaw_form<T>(p, n - 1 - step); });
  } else {
    for (auto& frame : s.channel) frame.shift = 0;
    spread_scores(where, seeds, s.channel, s.map, s.a.data());
    std::fill(s.b.begin(), s.b.end(), T(0));  // cells around the map are read and never written
    lanes = walk_lanes(where, s, options.steps, [](index_t) { return step_form<T>{}; });
  }
  collect_scores(where, lanes, s.map, s.channel, out);
}

/// Scratch of all other policies: one more stack of scores, and the channels' ranges for walks with a tolerance.
template <class T, class P>
class walk_scratch {
  static_assert(std::same_as<typename P::memory, host>,
                "random_walk has no schedule for this policy in this translation unit: for gpu, include "
                "<cambium/walk/random_walk.cuh> in a file compiled by nvcc");

 public:
  walk_scratch(P const& where, index_t C, index_t H, index_t W, stencil const&, double tolerance = 0)
      : scores(make_grid<T>(where, {C, H, W}))
  {
    if (tolerance > 0) reserve(where, channel, C);
  }
  grid<T, 3, typename P::memory> scores;
  grid<value_range<T>, 1, typename P::memory> channel;
  workspace<P> reducing;
};

/// All other policies: the rules under the policy's loop.
template <execution_policy P, class T, class S>
void random_walk_on(P const& where, stack_view<T const, S> seeds, transition_view<T, S> const& t, walk_options options,
                    stack_view<T, S> out, walk_scratch<T, P>& scratch)
{
  if (seeds.size() == 0) return;
  stack_view<T, S> const spare(scratch.scores);
  if (options.tolerance == 0) return walk_by_rule(where, seeds, t, options.steps, out, spare);
  value_range<T>* const channel = scratch.channel.view().data;
  measure_channels(where, as_batch(seeds), channel, scratch.reducing);
  auto const p = plan_walk_unseen(t.edges, seeds.extent[1] * seeds.extent[2], options.steps, options.tolerance);
  if (p.degree() < options.steps) return walk_by_rule(where, seeds, t, p, channel, out, spare);
  walk_by_rule(where, seeds, t, options.steps, out, spare);
  for_each_cell(where, out.extent, rule::keep_in_range<T, S>{channel, out});
}

/// Spread scores over a grid by a random walk that boundaries slow down.
///
/// out = T^steps seeds: `steps` times, every cell takes the weighted mean of itself and its neighbours. Edges of weight
/// near 0 let no score pass.
///
/// With a tolerance the same power is a short Chebyshev sum of about sqrt(2 steps ln(2/r)) applications of T instead of
/// `steps` (78 for 256 at 2e-5). r is the polynomial's error bound: the tolerance divided by the seeds' norm relative
/// to their range. A proven bound gives the degree, see plan_walk. A gpu does not wait to look at the seeds. It takes a
/// tenth more applications, see plan_walk_unseen.
///
/// @param where       the policy; it must reach the memory of the arrays
/// @param seeds       [C,H,W] scores; not modified. A step sums before it divides. So |seed| is at most the largest
///                    number divided by 2K + 2 (float, 34 edges: 4.8e36); with a tolerance also divided by 8 (steps +
///                    1); and divided by the largest weight if that is above 1
/// @param transition  [K,H,W] edge weights and [H,W] inverse degrees, from make_transition
/// @param options     steps = 256 is IRNet's exp_times = 8; tolerance = 0 is exact
/// @param out         [C,H,W] the spread scores, in the unit of seeds
/// @param scratch     walk_scratch for this shape, these edges and this policy; its contents are lost
///
/// @pre          extents agree; steps >= 0; 0 <= tolerance < 1; seeds and out do not overlap. In host memory
///               seeds are within that limit, weights finite and >= 0, inverse degrees in (0,1]. With a tolerance they
///               are the inverse degrees of these weights. On a gpu the weights are then at most 1, as affinities and
///               their powers are. Weights are in the transition's format
/// @throws       precondition_error before anything is written; gpu_error if a launch fails
/// @invariant    exact: min(seeds[c]) <= out[c] <= max(seeds[c]), and constants are fixed points, both up to rounding.
///               Rounding accumulates: after 256 steps a constant may be off by a relative 3e-5 in float and by 2e-12
///               in double. With a tolerance: |out - exact| <= tolerance * (max(seeds[c]) - min(seeds[c])) up to
///               rounding, and out never leaves [min(seeds[c]), max(seeds[c])], so constants are kept
/// @complexity   Theta(steps * C * H * W * K) time, O((K + C) * H * W) memory in the scratch. The exact form
///               allocates nothing, the accelerated one H * W degrees and its coefficients
/// @determinism  the same bits on every run and for every number of threads; between instruction sets and
///               between cpu and gpu up to contraction of multiply-add, bounded in docs/determinism.md.
///               On the cpu, numbers below the smallest normal one count as 0
/// @asynchrony   gpu: enqueues on where.stream and returns, cannot check values; cpu: returns after the walk
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (13); propagate_to_edge, misc/indexing.py of jiwoon-ahn/irn.
///               The original squares a dense (HW)^2 matrix exp_times times. This function applies the same operator to
///               K edges per cell. IRNet first multiplies seeds by (1 - boundary); pipeline/irnet.hpp does that
template <execution_policy P, stack_like X, transition_like A, stack_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<O, 3>>
void random_walk_into(P const& where, X const& seeds, A const& transition, walk_options options, O&& out,
                      walk_scratch<value_of<X, 3>, P>& scratch)
{
  using T = value_of<X, 3>;
  using S = space_of<X, 3>;
  stack_view<T const, S> const from = as_view<3>(seeds, "random_walk: seeds");
  stack_view<T, S> const to = as_view<3>(out, "random_walk: out");
  transition_view<T, S> const t = as_transition(transition);
  expects(options.steps >= 0, "random_walk: steps is ", options.steps);
  expects(options.tolerance >= 0 && options.tolerance < 1, "random_walk: tolerance is ", options.tolerance,
          ", outside [0,1)");
  expects_half_plane(t.edges, "random_walk");
  expects(t.weight.extent[0] == t.edges.size, "random_walk: weights are ", t.weight, " but there are ", t.edges.size,
          " edges");
  expects(same_shape(from, to), "random_walk: seeds are ", from, " but out is ", to);
  for (int r : {1, 2})
    expects(t.weight.extent[r] == from.extent[r] && t.inverse_degree.extent[r - 1] == from.extent[r],
            "random_walk: seeds are ", from, " but weights are ", t.weight, " and inverse degrees ", t.inverse_degree);
  expects(!overlap(from, to), "random_walk: seeds and out overlap");
  if constexpr (std::is_same_v<P, cpu>) {
    // A sum's terms grow up to one seed's spread times its degree + 1, its factors up to four.
    double const room =
        (2.0 * t.edges.size + 2) * (options.tolerance > 0 ? 8 * (static_cast<double>(options.steps) + 1) : 1);
    T const largest = static_cast<T>(static_cast<double>(std::numeric_limits<T>::max()) / room);
    expects_inside(where, from, -largest, largest, "random_walk: seeds",
                   "a finite number that a sum of cells can hold");
    expects_inside(where, t.weight, T(0), std::numeric_limits<T>::max(), "random_walk: weight", "a finite weight >= 0");
    expects_inside(where, t.inverse_degree, std::numeric_limits<T>::min(), T(1), "random_walk: inverse_degree",
                   "a value in (0,1]");
    expects(scratch.set == vectors_of(where) && scratch.edges == t.edges && scratch.channels == from.extent[0] &&
                scratch.map.height == from.extent[1] && scratch.map.width == from.extent[2] &&
                (options.tolerance == 0 || scratch.seeds.size() == scratch.a.size()),
            "random_walk: the scratch was made for another shape, stencil, policy or form");
    expects(scratch.format == weight_format::full || t.format == weight_format::bfloat16,
            "random_walk: the scratch holds weights in bfloat16, but those of the transition are not rounded to it");
  } else if constexpr (requires { same_shape(scratch.scores.view(), to); }) {
    expects(
        same_shape(scratch.scores.view(), to) && (options.tolerance == 0 || scratch.channel.size() >= from.extent[0]),
        "random_walk: the scratch was made for another shape or form");
  }
  random_walk_on(where, from, t, options, to, scratch);
}

/// As random_walk_into, and allocates the result and the scratch.
/// @return grid<T, 3> [C,H,W] in the memory of the policy
template <execution_policy P, stack_like X, transition_like A>
  requires reaches<P, space_of<X, 3>>
[[nodiscard]] auto random_walk(P const& where, X const& seeds, A const& transition, walk_options options = {})
{
  using T = value_of<X, 3>;
  auto const from = as_view<3>(seeds, "random_walk: seeds");
  index_t const C = from.extent[0], H = from.extent[1], W = from.extent[2];
  auto out = make_grid<T>(where, {C, H, W});
  transition_view<T, typename P::memory> const t = as_transition(transition);
  auto scratch = [&] {
    if constexpr (std::is_same_v<P, cpu>)
      return walk_scratch<T>(where, C, H, W, t.edges, options.tolerance, t.format);
    else
      return walk_scratch<T, P>(where, C, H, W, t.edges, options.tolerance);
  }();
  random_walk_into(where, from, t, options, out, scratch);
  return out;
}

}  // namespace cambium
