#pragma once
// Moving cells between the host and a device. Within the host: copy.hpp.

#include <cambium/exec/gpu.hpp>
#include <cambium/exec/read_cell.cuh>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.cuh>

#include <cstddef>
#include <type_traits>
#include <vector>

namespace cambium {

/// Copy every cell to, from or on the device, ordered after prior work on where.stream.
///
/// @pre        same shape, both without gaps, no overlap
/// @throws     precondition_error, gpu_error
/// @asynchrony enqueues. Pageable host memory, that of grids and vectors, is read before the call returns: the runtime
///             stages it. Pinned memory that is read, and any host memory that is written, must live until the stream has
///             passed
template <class T, class U, int Rank, class From, class To>
  requires std::is_same_v<std::remove_const_t<T>, U> && (std::is_same_v<From, device> || std::is_same_v<To, device>)
void copy(gpu const& where, view<T, Rank, From> const& from, view<U, Rank, To> const& to)
{
  expects(same_shape(from, to), "copy: from ", from, " to ", to);
  expects(from.contiguous() && to.contiguous(), "copy: to and from a device needs views without gaps");
  if constexpr (std::is_same_v<From, To>) expects(!overlap(from, to), "copy: the two ranges overlap");
  if (from.size() == 0) return;
  throw_if_failed(cudaMemcpyAsync(to.data, from.data, static_cast<std::size_t>(from.size()) * sizeof(U),
                                  cudaMemcpyDefault, where.stream),
                  "copy");
}

/// The same cells in device memory. Returns when they have arrived.
template <class T, int Rank>
[[nodiscard]] grid<std::remove_const_t<T>, Rank, device> to_device(gpu const& where, view<T, Rank> const& from)
{
  auto to = make_grid<std::remove_const_t<T>>(where, from.extent);
  copy(where, from, to.view());
  wait_for(where, "to_device");
  return to;
}
template <class T, int Rank>
[[nodiscard]] grid<T, Rank, device> to_device(gpu const& where, grid<T, Rank> const& from)
{
  return to_device(where, from.view());
}

/// A list of the host in the policy's memory. Enqueues on a gpu; the list, which is pageable memory, is read before the
/// call returns.
template <class P, class T>
[[nodiscard]] grid<T, 1, typename P::memory> listed_for(P const& where, std::vector<T> const& list)
{
  auto const count = static_cast<index_t>(list.size());
  auto out = make_grid<T>(where, {count});
  if (count > 0) copy(where, view<T const, 1>(list.data(), {count}), out.view());
  return out;
}

/// The same cells in host memory. Returns when they have arrived.
template <class T, int Rank>
[[nodiscard]] grid<T, Rank> to_host(gpu const& where, grid<T, Rank, device> const& from)
{
  auto to = grid_like<T, host>(from.view());
  copy(where, from.view(), to.view());
  wait_for(where, "to_host");
  return to;
}

}  // namespace cambium
