#pragma once
// trace on a GPU: a thread follows one cell from its start to its end. The cpu's schedule is in trace.hpp.

#include <cambium/displacement/trace.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/reserve.hpp>

namespace cambium {

template <class T>
struct trace_scratch<T, device> {
  grid<T, 1, device> beside;
};

/// Both components of one cell, so that they are read at once.
template <class T>
struct alignas(2 * sizeof(T)) displacement_at {
  T dy;
  T dx;
};

/// First rule: both components side by side.
template <class T, class S>
struct lay_beside {
  stack_view<T const, S> field;
  image_view<displacement_at<T>, S> beside;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { beside(y, x) = {field(0, y, x), field(1, y, x)}; }
};

/// Second rule: the whole path of one cell, with the operations of trace_step in their order.
template <class T, class Wide, class S>
struct follow_cell {
  image_view<displacement_at<T> const, S> beside;
  index_t iterations;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    T at_y = static_cast<T>(y), at_x = static_cast<T>(x), seen_y = at_y, seen_x = at_x;
    index_t seen_at = 0;
    for (index_t u = 1; u <= iterations; ++u) {
      step(at_y, at_x);
      // Positions seen before come again (Brent's test, as on the cpu).
      if (at_y == seen_y && at_x == seen_x) {
        u = iterations - (iterations - u) % (u - seen_at);
        seen_at = iterations;
      } else if (u >= 2 * seen_at && seen_at < iterations) {
        seen_y = at_y, seen_x = at_x;
        seen_at = u;
      }
    }
    out(0, y, x) = at_y, out(1, y, x) = at_x;
  }

 private:
  CAMBIUM_HD void step(T& y, T& x) const
  {
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

  static CAMBIUM_HD Wide share(T d, Wide by, Wide bx) { return rounded_product(static_cast<Wide>(d) * by, bx); }

  /// NaN, which the door of a device cannot refuse, is the first cell.
  static CAMBIUM_HD T inside(T at, index_t cells)
  {
    T const last = static_cast<T>(cells - 1), low = at >= 0 ? at : T(0);
    return low < last ? low : last;
  }
};

template <class P, class T>
displacement_at<T>* cells_beside(P const& where, trace_scratch<T, device>& scratch, index_t count)
{
  return reinterpret_cast<displacement_at<T>*>(reserve(where, scratch.beside, 2 * count));
}
template <class P, class T>
displacement_at<T>* cells_beside(P const&, trace_scratch<T, host>& scratch, index_t count)
{
  scratch.beside.resize(std::max(scratch.beside.size(), static_cast<std::size_t>(2 * count)));
  return reinterpret_cast<displacement_at<T>*>(scratch.beside.data());
}

/// As trace_into in trace.hpp, on a device.
///
/// @pre          as there. On a device no value is refused: a position that a NaN or an infinity leads nowhere is in the
///               first row or column
/// @complexity   at most iterations * H * W steps; a warp waits for its longest path. 2 * H * W values of scratch
/// @determinism  exact with precision mixed: the same bits as on the cpu. With single the cpu's bits where its compiler does
///               not fuse products into sums
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, stack_like D, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<O, 3>>
void trace_into(P const& where, D const& displacement, trace_options options, O&& out,
                trace_scratch<value_of<D, 3>, typename P::memory>& scratch)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  static_assert(std::is_same_v<T, value_of<O, 3>>, "trace: displacement and out hold different types");
  stack_view<T const, S> const field = as_view<3>(displacement, "trace: displacement");
  stack_view<T, S> const to = as_view<3>(out, "trace: out");
  expects_traceable(field, options, to);
  index_t const H = field.extent[1], W = field.extent[2], cells[3] = {1, H, W};
  if (H * W == 0) return;
  image_view<displacement_at<T>, S> const beside(cells_beside(where, scratch, H * W), {H, W});
  for_each_cell(where, cells, lay_beside<T, S>{field, beside});
  if (options.precision == trace_precision::mixed)
    for_each_cell(where, cells, follow_cell<T, double, S>{beside, options.iterations, to});
  else
    for_each_cell(where, cells, follow_cell<T, T, S>{beside, options.iterations, to});
}

/// As trace_into, and allocates the result and the scratch.
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto trace(P const& where, D const& displacement,
                         trace_options options = {}) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  auto out = make_grid<value_of<D, 3>>(where, as_view<3>(displacement, "trace: displacement").extent);
  trace_scratch<value_of<D, 3>, typename P::memory> scratch;
  trace_into(where, displacement, options, out, scratch);
  return out;
}

}  // namespace cambium
