#pragma once
// Offset fields [2,H,W]: (dy,dx) in cells, from each cell to its centre.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/middle.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <type_traits>

namespace cambium {

/// Is an offset shorter than a threshold? Its squares are rounded before they are summed.
template <class T>
[[gnu::always_inline]] CAMBIUM_HD inline bool is_weak(T dy, T dx, T threshold)
{
  return std::sqrt(rounded_product(dx, dx) + rounded_product(dy, dy)) < threshold;
}

/// Throws unless an offset field [2,H,W] lies over this map and, on the cpu, is finite. `who` begins the messages.
template <class P, class T, class U, class S>
void expects_offset(P const& where, stack_view<T, S> const& offset, image_view<U, S> const& map, char const* who)
{
  expects(offset.extent[0] == 2 && offset.extent[1] == map.extent[0] && offset.extent[2] == map.extent[1], who,
          ": offsets are ", offset, " over a map of ", map);
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, offset, who);
}

namespace rule {

template <class T, class S>
struct scale_offset {
  stack_view<T const, S> field;
  T down;
  T across;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = field(c, y, x) * (c == 0 ? down : across);
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t c, index_t y) const
  {
    T const factor = c == 0 ? down : across;
    T const* const from = &field(c, y, 0);
    T* const to = &out(c, y, 0);
    for (index_t x = 0; x < out.extent[2]; ++x) to[x] = from[x] * factor;
  }
};

template <class T, class S>
struct mean_offset {
  stack_view<T const, S> a;
  stack_view<T const, S> b;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T const mirrored = b(c, y, b.extent[2] - 1 - x);
    out(c, y, x) = middle(a(c, y, x), c == 0 ? mirrored : -mirrored);
  }
};

}  // namespace rule

/// Multiply an offset field, if the map it is read on has another size than the one it was learnt on.
///
/// @param where   where to run; must reach the memory of the offsets
/// @param offset  [2,H,W] (dy,dx)
/// @param down    factor of dy: height of the map / height of what the network saw
/// @param across  factor of dx
/// @return [2,H,W]; the factors are rounded to its type first
/// @throws      precondition_error
/// @determinism exact
/// @asynchrony  gpu: enqueues and returns
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto scale_offsets(P const& where, D const& offset, double down,
                                 double across) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "scale_offsets: offset");
  expects(field.extent[0] == 2, "scale_offsets: offset is ", field, " instead of [2,H,W]");
  expects(std::isfinite(down) && std::isfinite(across), "scale_offsets: factors are ", down, " and ", across);
  auto out = make_grid<T>(where, field.extent);
  for_each_cell(where, field.extent,
                rule::scale_offset<T, S>{field, static_cast<T>(down), static_cast<T>(across), out.view()});
  return out;
}

/// Average an offset field and that of the mirror image, which is turned back: its columns and the sign of dx.
///
/// @throws      precondition_error on differing shapes
/// @determinism exact: the bits of std::midpoint
/// @asynchrony  gpu: enqueues and returns
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto mean_with_mirrored_offsets(P const& where, D const& offset,
                                              D const& flipped) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const a = as_view<3>(offset, "mean_with_mirrored_offsets: offset");
  stack_view<T const, S> const b = as_view<3>(flipped, "mean_with_mirrored_offsets: flipped");
  expects(a.extent[0] == 2 && same_shape(a, b), "mean_with_mirrored_offsets: offsets are ", a, " and ", b);
  auto out = make_grid<T>(where, a.extent);
  for_each_cell(where, a.extent, rule::mean_offset<T, S>{a, b, out.view()});
  return out;
}

}  // namespace cambium
