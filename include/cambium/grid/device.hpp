#pragma once
// Device memory, and copies between device and host. Plain C++ with the CUDA runtime's header; it needs no nvcc.

#include <cambium/exec/gpu.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace cambium {

/// Cells in device memory. A grid moves but does not copy; call copy() to copy device memory.
///
/// The policy's stream orders allocation and release, without waiting for the device. A grid that another stream uses
/// must outlive that use.
template <class T, int Rank>
class grid<T, Rank, device> {
 public:
  using value_type = T;

  grid() = default;

  /// Cells are not initialised. Fill them with copy() or a stage.
  grid(gpu const& where, index_t const (&extents)[Rank])
      : cells_(where, static_cast<std::size_t>(cell_count(extents)) * sizeof(T)),
        window_(static_cast<T*>(cells_.data()), extents)
  {
  }

  grid(grid&& other) noexcept : cells_(std::move(other.cells_)), window_(std::exchange(other.window_, {})) {}
  grid& operator=(grid&& other) noexcept
  {
    cells_ = std::move(other.cells_);
    window_ = std::exchange(other.window_, {});
    return *this;
  }

  index_t size() const { return window_.size(); }
  cambium::view<T, Rank, device> view() { return window_; }
  cambium::view<T const, Rank, device> view() const { return window_; }
  operator cambium::view<T, Rank, device>() { return window_; }
  operator cambium::view<T const, Rank, device>() const { return window_; }

 private:
  device_bytes cells_;
  cambium::view<T, Rank, device> window_;
};

template <int Rank, class T>
view<T, Rank, device> as_view(grid<T, Rank, device>& g, char const* = "")
{
  return g.view();
}
template <int Rank, class T>
view<T const, Rank, device> as_view(grid<T, Rank, device> const& g, char const* = "")
{
  return g.view();
}

/// Make a device grid of these extents. Its cells are not initialised.
template <class T, std::size_t Rank>
grid<T, static_cast<int>(Rank), device> make_grid(gpu const& where, index_t const (&extents)[Rank])
{
  return {where, extents};
}

/// Copy every cell to, from or on the device, after prior work on where.stream.
///
/// @pre        same shape, both contiguous, no overlap
/// @throws     precondition_error, gpu_error
/// @asynchrony enqueues. The runtime stages pageable host memory, for example of grids and vectors, so it is read
///             before the call returns. Pinned memory that is read, and host memory that is written, must live until
///             the stream has finished the copy
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

/// Copy cells to device memory. Returns after the copy is done.
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

/// Copy cells to host memory. Returns after the copy is done.
template <class T, int Rank>
[[nodiscard]] grid<T, Rank> to_host(gpu const& where, grid<T, Rank, device> const& from)
{
  auto to = grid_like<T, host>(from.view());
  copy(where, from.view(), to.view());
  wait_for(where, "to_host");
  return to;
}

}  // namespace cambium
