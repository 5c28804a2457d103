#pragma once
// Moving cells between the host and a device. Within the host: copy.hpp.

#include <cambium/exec/gpu.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.cuh>

namespace cambium {

/// Copy every cell to, from or on the device, ordered after prior work on where.stream.
///
/// @pre        same shape, both without gaps
/// @throws     precondition_error, gpu_error
/// @asynchrony enqueues; a host view must live until the stream has passed
template <class T, class U, int Rank, class From, class To>
  requires std::is_same_v<std::remove_const_t<T>, U> && (std::is_same_v<From, device> || std::is_same_v<To, device>)
void copy(gpu const& where, view<T, Rank, From> const& from, view<U, Rank, To> const& to)
{
  expects(same_shape(from, to), "copy: from ", from, " to ", to);
  expects(from.contiguous() && to.contiguous(), "copy: to and from a device needs views without gaps");
  if (from.size() == 0) return;
  throw_if_failed(cudaMemcpyAsync(to.data, from.data, static_cast<std::size_t>(from.size()) * sizeof(U),
                                  cudaMemcpyDefault, where.stream),
                  "copy");
}

/// The same cells in device memory. Returns when they have arrived.
template <class T, int Rank>
[[nodiscard]] grid<T, Rank, device> to_device(gpu const& where, grid<T, Rank> const& from)
{
  auto to = make_grid<T>(where, from.view().extent);
  copy(where, from.view(), to.view());
  throw_if_failed(cudaStreamSynchronize(where.stream), "to_device");
  return to;
}

/// The same cells in host memory. Returns when they have arrived.
template <class T, int Rank>
[[nodiscard]] grid<T, Rank> to_host(gpu const& where, grid<T, Rank, device> const& from)
{
  auto to = grid_like<T, host>(from.view());
  copy(where, from.view(), to.view());
  throw_if_failed(cudaStreamSynchronize(where.stream), "to_host");
  return to;
}

}  // namespace cambium
