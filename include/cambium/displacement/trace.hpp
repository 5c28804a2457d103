#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// How the positions are carried while they move.
enum class trace_precision {
  mixed,   ///< state in the type of the field, interpolation in double: the original, bit by bit
  single,  ///< everything in the type of the field: faster, and the same wherever the field converges
};

struct trace_options {
  int iterations = 300;  ///< [count] "any integer >= 100" in the original; >= 0
  trace_precision precision = trace_precision::mixed;
};

/// Both components of one cell, so that they are read at once.
template <class T>
struct alignas(2 * sizeof(T)) displacement_at {
  T dy;
  T dx;
};

namespace rule {

template <class T, class S>
struct lay_beside {
  stack_view<T const, S> field;
  image_view<displacement_at<T>, S> beside;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { beside(y, x) = {field(0, y, x), field(1, y, x)}; }
};

}  // namespace rule

/// Take steps until they are done. Positions seen before come again: standing still is a cycle of length 1 (Brent's
/// test).
#if defined(__CUDACC__)
#pragma nv_exec_check_disable  // positions of several cells are stepped on cores only
#endif
template <class Position, class Step>
CAMBIUM_HD void take_steps(index_t iterations, Position& at, Step const& step)
{
  Position seen = at;
  index_t seen_at = 0;
  for (index_t u = 1; u <= iterations; ++u) {
    step(at);
    if (at == seen) {
      u = iterations - (iterations - u) % (u - seen_at);
      seen_at = iterations;
    } else if (u >= 2 * seen_at && seen_at < iterations) {
      seen = at;
      seen_at = u;
    }
  }
}

/// One step of one position on cores, read from a field whose (dy,dx) lie side by side.
///
/// Products are pinned: fused into a sum they would end elsewhere in fields that do not converge.
template <class T, class Wide>
struct trace_step {
  T const* field;  ///< [H,W,2]
  index_t height;
  index_t width;

  [[gnu::always_inline]] void operator()(T& y, T& x) const
  {
    index_t const low_y = static_cast<index_t>(static_cast<std::int32_t>(y));
    index_t const low_x = static_cast<index_t>(static_cast<std::int32_t>(x));
    index_t const high_y = low_y + (low_y + 1 < height), high_x = low_x + (low_x + 1 < width);
    Wide const up = static_cast<Wide>(y) - static_cast<Wide>(low_y), down = 1 - up;
    Wide const right = static_cast<Wide>(x) - static_cast<Wide>(low_x), left = 1 - right;
    T const* const hh = field + 2 * (high_y * width + high_x);
    T const* const lh = field + 2 * (low_y * width + high_x);
    T const* const hl = field + 2 * (high_y * width + low_x);
    T const* const ll = field + 2 * (low_y * width + low_x);
    using both = pack<Wide, 2>;
    both a{hh[0], hh[1]}, b{lh[0], lh[1]}, c{hl[0], hl[1]}, d{ll[0], ll[1]};
    a = a * up * right;
    b = b * down * right;
    c = c * up * left;
    d = d * down * left;
    if constexpr (sizeof(both) == 16) {
      no_contract(a), no_contract(b), no_contract(c), no_contract(d);
    }
    both const moved = both{static_cast<Wide>(y), static_cast<Wide>(x)} + (((a + b) + c) + d);
    T const to_y = static_cast<T>(moved[0]), to_x = static_cast<T>(moved[1]);
    y = std::min(std::max(to_y, T(0)), static_cast<T>(height - 1));
    x = std::min(std::max(to_x, T(0)), static_cast<T>(width - 1));
  }
};

/// The schedule of cores: several cells at once. One step waits for the one before it, steps of different cells do not.
template <class T, class Wide>
void follow_on(cpu const& where, image_view<displacement_at<T> const> beside, index_t iterations, stack_view<T> to)
{
  constexpr int together = 8;
  constexpr index_t unasked = 1 << 22;  // steps between two questions whether to stop, some 0.2 s
  struct positions {
    T y[together], x[together];
    bool operator==(positions const&) const = default;
  };
  index_t const H = beside.extent[0], W = beside.extent[1];
  trace_step<T, Wide> const step{reinterpret_cast<T const*>(beside.data), H, W};
  stop_of_team stop(where);
  // rows in turn: how long one takes depends on the field
  as_team(team_size(where, H * W, 256), H, claims::in_order, [&](index_t y) {
    if (stop.seen()) return;
    for (index_t x = 0; x < W; x += together) {
      positions at;
      index_t const n = std::min<index_t>(together, W - x);
      for (int i = 0; i < together; ++i) {
        at.y[i] = static_cast<T>(y);
        at.x[i] = static_cast<T>(x + std::min<index_t>(i, n - 1));
      }
      for (index_t left = iterations; left > 0; left -= unasked) {
        if (left < iterations && stop.seen()) return;
        take_steps(std::min(left, unasked), at, [&](positions& p) {
          for (int i = 0; i < together; ++i) step(p.y[i], p.x[i]);
        });
      }
      for (index_t i = 0; i < n; ++i) to(0, y, x + i) = at.y[i], to(1, y, x + i) = at.x[i];
    }
  });
  stop.throw_if_seen();
}

namespace rule {

/// The whole path of one cell, with the operations of trace_step in their order.
template <class T, class Wide, class S>
struct follow_cell {
  image_view<displacement_at<T> const, S> beside;
  index_t iterations;
  stack_view<T, S> out;

  struct position {
    T y, x;
    CAMBIUM_HD bool operator==(position const& o) const { return y == o.y && x == o.x; }
  };

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    position at{static_cast<T>(y), static_cast<T>(x)};
    take_steps(iterations, at, *this);
    out(0, y, x) = at.y, out(1, y, x) = at.x;
  }

  /// One step.
  CAMBIUM_HD void operator()(position& at) const
  {
    auto& [y, x] = at;
    index_t const low_y = static_cast<std::int32_t>(y), low_x = static_cast<std::int32_t>(x);
    index_t const high_y = low_y + (low_y + 1 < beside.extent[0]), high_x = low_x + (low_x + 1 < beside.extent[1]);
    Wide const up = static_cast<Wide>(y) - static_cast<Wide>(low_y), down = 1 - up;
    Wide const right = static_cast<Wide>(x) - static_cast<Wide>(low_x), left = 1 - right;
    displacement_at<T> const hh = beside(high_y, high_x), lh = beside(low_y, high_x);
    displacement_at<T> const hl = beside(high_y, low_x), ll = beside(low_y, low_x);

    Wide const dy =
        ((share(hh.dy, up, right) + share(lh.dy, down, right)) + share(hl.dy, up, left)) + share(ll.dy, down, left);
    Wide const dx =
        ((share(hh.dx, up, right) + share(lh.dx, down, right)) + share(hl.dx, up, left)) + share(ll.dx, down, left);
    y = inside(static_cast<T>(static_cast<Wide>(y) + dy), beside.extent[0]);
    x = inside(static_cast<T>(static_cast<Wide>(x) + dx), beside.extent[1]);
  }

 private:
  static CAMBIUM_HD Wide share(T d, Wide by, Wide bx) { return rounded_product(static_cast<Wide>(d) * by, bx); }

  /// NaN, which the door of a device cannot refuse, is the first cell.
  static CAMBIUM_HD T inside(T at, index_t cells)
  {
    T const last = static_cast<T>(cells - 1), low = at >= 0 ? at : T(0);
    return low < last ? low : last;
  }
};

}  // namespace rule

/// Any other policy: the rule under that policy's loop.
template <class T, class Wide, execution_policy P>
void follow_on(P const& where, image_view<displacement_at<T> const, typename P::memory> beside, index_t iterations,
               stack_view<T, typename P::memory> to)
{
  for_each_cell(where, {1, beside.extent[0], beside.extent[1]},
                rule::follow_cell<T, Wide, typename P::memory>{beside, iterations, to});
}

/// The field with both components of a cell side by side, so that maps of one size are traced without allocation.
template <class T, class Space = host>
struct trace_scratch {
  grid<displacement_at<T>, 1, Space> beside;
};

/// Follow a displacement field until it no longer moves anything: where does each cell end?
///
///   p_0 = the cell,   p_u+1 = clamp(p_u + D(p_u)),   D read bilinearly
///
/// @param where         where to run; must reach the memory of the field
/// @param displacement  [2,H,W] (dy,dx) in cells, finite
/// @param options       iterations = 300; precision = mixed, the original's
/// @param out           [2,H,W] (y,x) in [0,H-1] x [0,W-1]: where the position of each cell ended
/// @param scratch       of any earlier call; it grows to the largest map
///
/// @pre          H, W <= 2^24, so that positions are exact in float; displacement finite (NaN is refused). gpu: values
///               are not checked; a position that a NaN or an infinity leads nowhere is in the first row or column
/// @throws       precondition_error before anything is written
/// @invariant    a zero field leaves every cell where it is; more iterations than a cell needs change nothing
/// @complexity   at most iterations * H * W steps; cells stop as soon as they repeat themselves. 2 * H * W values of
///               scratch. gpu: a warp waits for its longest path
/// @determinism  exact with precision mixed: the same bits on every machine. With single the same bits on every
///               run, for every number of threads; between compilers, and with a device, up to contraction
/// @asynchrony   gpu: enqueues and returns; allocates only while the scratch grows
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (10); find_centroids_with_refinement,
///               step/make_ins_seg_labels.py of jiwoon-ahn/irn, whose state is float32 and whose weights
///               NumPy promotes to float64. It always does all iterations; ours are skipped once positions repeat
template <execution_policy P, stack_like D, stack_like O>
  requires reaches<P, space_of<D, 3>> && reaches<P, space_of<O, 3>>
void trace_into(P const& where, D const& displacement, trace_options options, O&& out,
                trace_scratch<value_of<D, 3>, typename P::memory>& scratch)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  static_assert(std::is_same_v<T, value_of<O, 3>>, "trace: displacement and out hold different types");
  stack_view<T const, S> const field = as_view<3>(displacement, "trace: displacement");
  stack_view<T, S> const to = as_view<3>(out, "trace: out");
  index_t const H = field.extent[1], W = field.extent[2];
  expects(field.extent[0] == 2, "trace: displacement is ", field, " instead of [2,H,W]");
  expects(same_shape(field, to), "trace: displacement is ", field, " but out is ", to);
  expects(options.iterations >= 0, "trace: iterations is ", options.iterations);
  expects(H <= (index_t{1} << 24) && W <= (index_t{1} << 24), "trace: ", field, " is larger than 2^24 along an axis");
  expects(!overlap(field, to), "trace: displacement and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, field, "trace: displacement");
  if (H * W == 0) return;
  image_view<displacement_at<T>, S> const beside(reserve(where, scratch.beside, H * W), {H, W});
  for_each_cell(where, {1, H, W}, rule::lay_beside<T, S>{field, beside});
  if (options.precision == trace_precision::mixed)
    follow_on<T, double>(where, beside, options.iterations, to);
  else
    follow_on<T, T>(where, beside, options.iterations, to);
}

/// As trace_into, and allocates the result and the scratch.
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto trace(P const& where, D const& displacement, trace_options options = {})
    -> grid<value_of<D, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<D, 3>>(where, as_view<3>(displacement, "trace: displacement").extent);
  trace_scratch<value_of<D, 3>, typename P::memory> scratch;
  trace_into(where, displacement, options, out, scratch);
  return out;
}

}  // namespace cambium
