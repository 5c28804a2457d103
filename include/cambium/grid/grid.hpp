#pragma once

#include <cambium/grid/view.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cambium {

/// Memory for numbers, aligned to a cache line. A growing vector does not initialise it, because the algorithm writes
/// every cell.
template <class T>
struct cell_allocator {
  using value_type = T;

  cell_allocator() = default;
  template <class U>
  cell_allocator(cell_allocator<U> const&)
  {
  }

  T* allocate(std::size_t n)
  {
    if (n > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
    std::size_t const size = n * sizeof(T);
    void* const p = ::operator new(size, alignment(size));
#if defined(__linux__)
    // New memory causes a page fault per page. Pages of 2 MB make faults 512 times rarer. The system may decline.
    if (alignment(size) == huge) madvise(p, size, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t n) noexcept { ::operator delete(p, alignment(n * sizeof(T))); }

  template <class U>
  void construct(U* p)
  {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args)
  {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }

  friend bool operator==(cell_allocator const&, cell_allocator const&) { return true; }

 private:
  static constexpr std::align_val_t huge{2 << 20};
  static constexpr std::align_val_t alignment(std::size_t size)
  {
    return size >= (std::size_t{4} << 20) ? huge : std::align_val_t{64};
  }
};

/// The cells of a host grid: a std::vector that can be moved out of it.
template <class T>
using cells_t = std::vector<T, cell_allocator<T>>;

/// The number of cells of a shape. Throws if an extent is negative or the product overflows.
template <std::size_t Rank>
index_t cell_count(index_t const (&extent)[Rank])
{
  index_t n = 1;
  bool empty = false;
  for (index_t e : extent) {
    expects(e >= 0, "grid: extent ", e, " is negative");
    empty = empty || e == 0;
  }
  if (empty) return 0;
  for (index_t e : extent) {
    expects(n <= std::numeric_limits<index_t>::max() / 16 / e, "grid: too many cells");
    n *= e;
  }
  return n;
}

/// Owning counterpart of view. This header has the grid in host memory, grid/device.hpp the one in device memory.
template <class T, int Rank, class Space = host>
class grid {
  static_assert(std::is_same_v<Space, host>,
                "cambium has no device memory in this translation unit: include <cambium/exec/gpu.cuh> in a file "
                "compiled by nvcc");
};

template <class T, int Rank>
class grid<T, Rank, host> {
  static_assert(!std::is_same_v<T, bool>, "a vector of bool has no cells; use std::uint8_t for masks");

 public:
  using value_type = T;

  grid() = default;

  /// All cells zero.
  template <std::convertible_to<index_t>... N>
    requires(sizeof...(N) == Rank)
  explicit grid(N... extents) : grid({static_cast<index_t>(extents)...}, uninitialised{})
  {
    cells_.assign(cells_.size(), T{});
  }

  /// The cells are not initialised: for results that a stage writes completely.
  struct uninitialised {};
  grid(index_t const (&extents)[std::size_t{Rank}], uninitialised)
      : cells_(static_cast<std::size_t>(cell_count(extents)))
  {
    for (int r = 0; r < Rank; ++r) extent_[static_cast<std::size_t>(r)] = extents[r];
  }

  cells_t<T>& cells() & { return cells_; }  ///< row-major, no gaps
  cells_t<T> const& cells() const& { return cells_; }
  cells_t<T> cells() && { return std::move(cells_); }  ///< a loop over a temporary's cells owns them
  T* data() { return cells_.data(); }
  T const* data() const { return cells_.data(); }
  std::array<index_t, std::size_t{Rank}> const& shape() const { return extent_; }
  index_t size() const { return static_cast<index_t>(cells_.size()); }

  cambium::view<T, Rank> view() { return window<T>(cells_.data()); }
  cambium::view<T const, Rank> view() const { return window<T const>(cells_.data()); }
  operator cambium::view<T, Rank>() { return view(); }
  operator cambium::view<T const, Rank>() const { return view(); }

  template <class... Index>
  T& operator()(Index... index)
  {
    return view()(index...);
  }
  template <class... Index>
  T const& operator()(Index... index) const
  {
    return view()(index...);
  }

  /// Same shape and same cells.
  friend bool operator==(grid const& a, grid const& b) { return a.extent_ == b.extent_ && a.cells_ == b.cells_; }

 private:
  template <class U>
  cambium::view<U, Rank> window(U* first) const
  {
    index_t extent[std::size_t{Rank}];
    for (int r = 0; r < Rank; ++r) extent[r] = extent_[static_cast<std::size_t>(r)];
    return {first, extent};
  }

  std::array<index_t, std::size_t{Rank}> extent_{};
  cells_t<T> cells_;
};

/// Make a grid of this shape in Space. Its cells are not initialised.
template <class T, class Space, class U, int Rank, class S2>
grid<T, Rank, Space> grid_like(view<U, Rank, S2> const& v)
{
  return {v.extent, typename grid<T, Rank, Space>::uninitialised{}};
}

/// Make a host grid of these extents. Its cells are not initialised.
template <class T, std::size_t Rank>
grid<T, static_cast<int>(Rank)> make_grid(index_t const (&extents)[Rank])
{
  return {extents, typename grid<T, static_cast<int>(Rank)>::uninitialised{}};
}

/// As make_grid(extents), in the memory of a host policy. grid/device.hpp has the gpu's.
template <class T, std::size_t Rank, execution_policy P>
  requires std::same_as<typename P::memory, host>
grid<T, static_cast<int>(Rank)> make_grid(P const&, index_t const (&extents)[Rank])
{
  return make_grid<T>(extents);
}

/// For a policy of other memory. The gpu's overload in grid/device.hpp is a better match.
template <class T, std::size_t Rank, execution_policy P>
grid<T, static_cast<int>(Rank), typename P::memory> make_grid(P const&, index_t const (&)[Rank])
{
  return {};
}

/// Make a scratch grid at least this large, in the memory of any policy. Its cells are lost if it grows. Enqueues on a
/// gpu.
/// @return the first cell
template <class P, class T>
T* reserve(P const& where, grid<T, 1, typename P::memory>& cells, index_t count)
{
  if (cells.size() < count) cells = make_grid<T>(where, {count});
  return cells.view().data;
}

}  // namespace cambium
