#pragma once
// Device storage. Its host sibling is grid.hpp.

#include <cambium/exec/gpu.hpp>
#include <cambium/grid/grid.hpp>

#include <utility>

namespace cambium {

/// Cells in device memory. Move only: copying device memory is said aloud, with copy().
///
/// The memory is taken and given back in the order of the policy's stream, without waiting for the device; a grid that
/// is used on another stream must outlive that use.
template <class T, int Rank>
class grid<T, Rank, device> {
 public:
  using value_type = T;

  grid() = default;

  /// Cells hold no value; fill them with copy() or a stage.
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

/// A device grid of these extents whose cells hold no value yet.
template <class T, int Rank>
grid<T, Rank, device> make_grid(gpu const& where, index_t const (&extents)[Rank])
{
  return {where, extents};
}

}  // namespace cambium
