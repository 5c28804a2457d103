#pragma once
// Device storage. Its host sibling is grid.hpp.

#include <cambium/exec/gpu.hpp>
#include <cambium/grid/grid.hpp>

#include <memory>
#include <utility>

namespace cambium {

template <class T, int Rank>
class grid<T, Rank, device> {
 public:
  using value_type = T;

  grid() = default;

  /// Cells hold no value; fill them with copy() or a stage.
  struct uninitialised {};
  grid(index_t const (&extents)[Rank], uninitialised)
  {
    index_t const n = cell_count(extents);
    T* first = nullptr;
    if (n > 0)
      throw_if_failed(cudaMalloc(reinterpret_cast<void**>(&first), static_cast<std::size_t>(n) * sizeof(T)),
                      "grid: device allocation");
    cells_.reset(first);
    window_ = {first, extents};
  }

  grid(grid&& other) noexcept : cells_(std::move(other.cells_)), window_(std::exchange(other.window_, {})) {}
  grid& operator=(grid&& other) noexcept
  {
    cells_ = std::move(other.cells_);
    window_ = std::exchange(other.window_, {});
    return *this;
  }

  /// Unlike on the host, the cells hold no value yet.
  template <std::convertible_to<index_t>... N>
    requires(sizeof...(N) == Rank)
  explicit grid(N... extents) : grid({static_cast<index_t>(extents)...}, uninitialised{})
  {
  }

  cambium::view<T, Rank, device> view() { return window_; }
  cambium::view<T const, Rank, device> view() const { return window_; }
  operator cambium::view<T, Rank, device>() { return window_; }
  operator cambium::view<T const, Rank, device>() const { return window_; }

 private:
  struct release {
    void operator()(T* p) const noexcept { cudaFree(p); }
  };
  std::unique_ptr<T, release> cells_;  // move only: copying device memory is said aloud, with copy()
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

}  // namespace cambium
