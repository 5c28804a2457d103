#pragma once
// Copies between views of host memory. Copies to and from a device are in device.hpp.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <type_traits>
#include <vector>

namespace cambium {

/// Copy every cell. Row by row, so strides may differ.
///
/// @pre    same shape, no overlap
/// @throws precondition_error before anything is written
template <class T, class U, int Rank>
  requires std::is_same_v<std::remove_const_t<T>, U>
void copy(cpu const& where, view<T, Rank> const& from, view<U, Rank> const& to)
{
  expects(same_shape(from, to), "copy: from ", from, " to ", to);
  expects(!overlap(from, to), "copy: the two ranges overlap");
  if (from.size() == 0) return;
  index_t const W = from.extent[Rank - 1];
  for_each_share(where, from.size() / W, std::max<index_t>(1, 65536 / W), [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t row = at, source = 0, target = 0;
      for (int r = Rank - 2; r >= 0; --r) {
        source += row % from.extent[r] * from.stride[r];
        target += row % from.extent[r] * to.stride[r];
        row /= from.extent[r];
      }
      std::copy_n(from.data + source, W, to.data + target);
    }
  });
}

/// Copy a list of the host into the memory of the policy.
/// @asynchrony gpu: enqueues; the list, which is pageable memory, is read before the call returns
template <class P, class T, class A>
[[nodiscard]] grid<T, 1, typename P::memory> to_memory(P const& where, std::vector<T, A> const& list)
{
  auto const count = static_cast<index_t>(list.size());
  auto out = make_grid<T>(where, {count});
  if (count > 0) copy(where, view<T const, 1>(list.data(), {count}), out.view());
  return out;
}

/// Copy cells of the policy's memory into a list of the host.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P, class C>
  requires gridded<C, 1>
[[nodiscard]] auto to_vector(P const& where, C const& cells)
{
  using T = value_of<C, 1>;
  view<T const, 1, typename P::memory> const from = as_view<1>(cells, "to_vector: cells");
  std::vector<T> out(static_cast<std::size_t>(from.extent[0]));
  copy(where, from, view<T, 1>(out.data(), {from.extent[0]}));
  wait_for(where, "to_vector");
  return out;
}

}  // namespace cambium
