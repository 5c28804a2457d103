#pragma once
// The accelerated walk: steps of a Clenshaw sum. The cpu's schedule takes its steps from this file. All other policies
// run its rules.

#include <cambium/exec/loops.hpp>
#include <cambium/grid/channel_range.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/walk/chebyshev.hpp>
#include <cambium/walk/step.hpp>

#include <cmath>
#include <cstddef>
#include <utility>

namespace cambium {

/// Clenshaw: b_k = c_k x + 2 s(T) b_k+1 - b_k+2 for k = degree - 1 down to 1, from b_degree = c_degree x and 0; the
/// result is c_0 x + s(T) b_1 - b_2. s(T) = mean * T + self takes [lower, 1] to [-1, 1].
template <class T>
step_form<T> clenshaw_form(chebyshev_power const& p, index_t k)
{
  double const mean = 2 / (1 - p.lower), self = -(1 + p.lower) / (1 - p.lower), twice = k == 0 ? 1 : 2;
  return {static_cast<T>(twice * mean), static_cast<T>(twice * self), T(-1),
          static_cast<T>(p.coefficient[static_cast<std::size_t>(k)]), false};
}

/// Find the shortest polynomial in T that approximates T^steps within `tolerance` of a channel's range, for all seeds
/// and all weights in [0,1]. A gpu uses it, because it cannot look at the seeds without waiting.
///
/// Degrees lie in [1, 1 + 2 K] for K edges. A polynomial that is off by r on [2/(1 + 2 K) - 1, 1] is then off by at
/// most r * sqrt(cells * (1 + 2 K)) * (half of the range) at any cell, see plan_walk. That is about a tenth more steps
/// than with a look at the seeds.
inline chebyshev_power plan_walk_unseen(stencil const& edges, index_t cells, index_t steps, double tolerance)
{
  double const largest = 1 + 2 * edges.size;
  return expand_walk(steps, largest, tolerance, std::sqrt(static_cast<double>(cells) * largest) / 2);
}

namespace rule {

/// b_degree and 0.
template <class T, class S>
struct series_begin {
  stack_view<T const, S> seeds;
  value_range<T> const* channel;
  T top;
  stack_view<T, S> from, to;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    from(c, y, x) = top * (seeds(c, y, x) - channel[c].middle());
    to(c, y, x) = 0;
  }
};

/// b_k over b_k+2.
template <class T, class S>
struct series_step {
  walk_step<T, S> step;
  stack_view<T const, S> seeds;
  value_range<T> const* channel;
  step_form<T> form;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T& to = step.to(c, y, x);
    to = form.mean * step.mean(c, y, x) + form.self * step.from(c, y, x) + form.before * to +
         form.seed * (seeds(c, y, x) - channel[c].middle());
  }
};

}  // namespace rule

/// v, clamped to the range of its channel's seeds. NaN stays NaN.
template <class T>
CAMBIUM_HD T kept(T v, value_range<T> const& channel)
{
  return v < channel.low ? channel.low : channel.high < v ? channel.high : v;
}

/// v plus the middle of its channel, which the walk had subtracted.
template <class T>
CAMBIUM_HD T framed(T v, value_range<T> const& channel)
{
  return kept(v + channel.middle(), channel);
}

namespace rule {

template <class T, class S>
struct series_end {
  value_range<T> const* channel;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { out(c, y, x) = framed(out(c, y, x), channel[c]); }
};

/// Rule: the end of a walk whose tolerance required every step, so the exact walk ran.
template <class T, class S>
struct keep_in_range {
  value_range<T> const* channel;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { out(c, y, x) = kept(out(c, y, x), channel[c]); }
};

}  // namespace rule

/// The exact walk: rules under any policy's loop. `spare` holds every other step.
template <class P, class T, class S>
void walk_by_rule(P const& where, stack_view<T const, S> seeds, transition_view<T, S> const& t, index_t steps,
                  stack_view<T, S> out, stack_view<T, S> spare)
{
  if (steps == 0) return copy(where, seeds, out);
  stack_view<T const, S> from = seeds;
  stack_view<T, S> to = steps % 2 ? out : spare;  // the last step lands in out
  stack_view<T, S> next = steps % 2 ? spare : out;
  for (index_t step = 0; step < steps; ++step) {
    for_each_cell(where, out.extent, rule::walk_step<T, S>{t, from, to});
    from = to;
    std::swap(to, next);
  }
}

/// The same, accelerated.
template <class P, class T, class S>
void walk_by_rule(P const& where, stack_view<T const, S> seeds, transition_view<T, S> const& t,
                  chebyshev_power const& p, value_range<T> const* channel, stack_view<T, S> out, stack_view<T, S> spare)
{
  index_t const n = p.degree();
  stack_view<T, S> from = n % 2 ? spare : out, to = n % 2 ? out : spare;
  for_each_cell(where, out.extent,
                rule::series_begin<T, S>{seeds, channel, static_cast<T>(p.coefficient.back()), from, to});
  for (index_t k = n - 1; k >= 0; --k) {
    for_each_cell(
        where, out.extent,
        rule::series_step<T, S>{{t, stack_view<T const, S>(from), to}, seeds, channel, clenshaw_form<T>(p, k)});
    std::swap(from, to);
  }
  for_each_cell(where, out.extent, rule::series_end<T, S>{channel, out});
}

}  // namespace cambium
