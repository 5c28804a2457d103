#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/memory.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cambium {

/// Multiply with wrap-around: an empty view may have huge extents.
CAMBIUM_HD constexpr index_t wrapped_product(index_t a, index_t b)
{
  return static_cast<index_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

/// A non-owning, row-major window on a grid of rank 1 to 4, for example [H,W] or [C,H,W]. It is trivially copyable, so
/// kernels receive it by value. The innermost stride is 1.
template <class T, int Rank, class Space = host>
struct view {
  static_assert(1 <= Rank && Rank <= 4);
  using value_type = std::remove_const_t<T>;
  using memory = Space;

  T* data = nullptr;
  index_t extent[std::size_t{Rank}]{};  ///< [cells] along each axis, slowest first
  index_t stride[std::size_t{Rank}]{};  ///< [elements] between neighbours along each axis

  view() = default;

  /// A window on contiguous elements.
  CAMBIUM_HD view(T* first, index_t const (&extents)[std::size_t{Rank}]) : data(first)
  {
    index_t step = 1;
    for (int r = Rank - 1; r >= 0; --r) {
      extent[r] = extents[r];
      stride[r] = step;
      step = wrapped_product(step, extents[r]);
    }
  }

  /// A writable view converts to a readable one. A view never changes its memory space.
  template <class U>
    requires std::same_as<U const, T>
  CAMBIUM_HD view(view<U, Rank, Space> const& other) : data(other.data)
  {
    for (int r = 0; r < Rank; ++r) extent[r] = other.extent[r], stride[r] = other.stride[r];
  }

  /// The cell at these indices, one index per axis.
  template <class... Index>
  CAMBIUM_HD T& operator()(Index... index) const
  {
    static_assert(sizeof...(Index) == Rank, "one index an axis");
    index_t at = 0;
    int r = 0;
    ((at += static_cast<index_t>(index) * stride[r++]), ...);
    return data[at];
  }

  /// The window with the slowest axis fixed: channel c of [C,H,W] is [H,W].
  CAMBIUM_HD view<T, (Rank > 1 ? Rank - 1 : 1), Space> operator[](index_t i) const
  {
    static_assert(Rank > 1, "a view of rank 1 has no planes");
    view<T, (Rank > 1 ? Rank - 1 : 1), Space> plane;
    plane.data = data + i * stride[0];
    for (int r = 1; r < Rank; ++r) plane.extent[r - 1] = extent[r], plane.stride[r - 1] = stride[r];
    return plane;
  }

  /// Number of cells; 0 if any extent is 0.
  CAMBIUM_HD index_t size() const
  {
    index_t n = 1;
    for (int r = 0; r < Rank; ++r) n = wrapped_product(n, extent[r]);
    return n;
  }

  /// Whether the cells are contiguous.
  CAMBIUM_HD bool contiguous() const
  {
    index_t step = 1;
    for (int r = Rank - 1; r >= 0; --r) {
      if (extent[r] != 1 && stride[r] != step) return false;
      step = wrapped_product(step, extent[r]);
    }
    return true;
  }
};

template <class T, class Space = host>
using image_view = view<T, 2, Space>;  ///< [H,W]
template <class T, class Space = host>
using stack_view = view<T, 3, Space>;  ///< [C,H,W]

/// "[4,94,125]", for messages.
template <class T, int Rank, class Space>
std::string message_part(view<T, Rank, Space> const& v)
{
  std::string text = "[";
  for (int r = 0; r < Rank; ++r) text += (r ? "," : "") + std::to_string(v.extent[r]);
  return text + "]";
}

/// Whether two views have the same extents.
template <class T, class U, int Rank, class S, class S2>
bool same_shape(view<T, Rank, S> const& a, view<U, Rank, S2> const& b)
{
  for (int r = 0; r < Rank; ++r)
    if (a.extent[r] != b.extent[r]) return false;
  return true;
}

/// Whether two views are the same cells in the same order.
template <class T, class U, int Rank, class S>
bool same_window(view<T, Rank, S> const& a, view<U, Rank, S> const& b)
{
  bool same = a.data == b.data && same_shape(a, b);
  for (int r = 0; r < Rank; ++r) same = same && a.stride[r] == b.stride[r];
  return same;
}

/// Whether the memory ranges of two views share a byte. Ranges are compared, not cells: rows interleaved in one buffer
/// count as overlapping.
template <class T, class U, int Rank, int Rank2, class S>
bool overlap(view<T, Rank, S> const& a, view<U, Rank2, S> const& b)
{
  if (a.size() == 0 || b.size() == 0) return false;
  auto const ends = [](auto const& v) {
    index_t last = 0;
    for (int r = 0; r < static_cast<int>(std::extent_v<std::remove_cvref_t<decltype(v.extent)>>); ++r)
      last += (v.extent[r] - 1) * v.stride[r];
    return std::pair{reinterpret_cast<char const*>(v.data), reinterpret_cast<char const*>(v.data + last + 1)};
  };
  auto const [a0, a1] = ends(a);
  auto const [b0, b1] = ends(b);
  return a0 < b1 && b0 < a1;
}

// --- arrays of other libraries -------------------------------------------------------------------

/// A contiguous row-major array in host memory that knows its cells and extents.
///
/// - `a.data()` is a pointer to the first cell, or to `a.data_offset()` cells before it;
/// - `a.shape()` is a range of integers with `size()`, or a pointer to `a.num_dimensions()` of them;
/// - `a.strides()`, if present, must be row-major without gaps; this is checked.
///
/// xt::xtensor, xt::xarray, xt::pytensor and boost::multi_array are models.
template <class A>
concept array_container = requires(A& a) {
  requires std::is_pointer_v<decltype(a.data())>;
  requires !std::is_void_v<std::remove_pointer_t<decltype(a.data())>>;
  a.shape()[0];
} && (requires(A& a) { a.shape().size(); } || requires(A& a) { a.num_dimensions(); });

/// Add a first axis of extent 1: an image becomes a batch of one.
template <class T, int Rank, class S>
view<T, Rank + 1, S> as_batch(view<T, Rank, S> const& v)
{
  view<T, Rank + 1, S> out;
  out.data = v.data;
  out.extent[0] = 1, out.stride[0] = v.size();
  for (int r = 0; r < Rank; ++r) out.extent[r + 1] = v.extent[r], out.stride[r + 1] = v.stride[r];
  return out;
}

/// Return a view unchanged.
template <int Rank, class T, class Space>
view<T, Rank, Space> as_view(view<T, Rank, Space> const& v, char const* = "")
{
  return v;
}

/// View a container with the given rank. `what` names it in the message if the rank differs.
template <int Rank, array_container A>
auto as_view(A& a, char const* what = "array")
{
  using cell = std::remove_pointer_t<decltype(a.data())>;
  using shape_type = std::remove_cvref_t<decltype(a.shape())>;
  if constexpr (requires { std::tuple_size<shape_type>::value; })
    static_assert(std::tuple_size<shape_type>::value == Rank, "this array has another number of axes");
  auto const axes = [&]() -> index_t {
    if constexpr (requires { a.num_dimensions(); })
      return static_cast<index_t>(a.num_dimensions());
    else
      return static_cast<index_t>(a.shape().size());
  }();
  expects(axes == Rank, what, " has ", axes, " axes instead of ", Rank);
  index_t extents[std::size_t{Rank}];
  for (int r = 0; r < Rank; ++r) extents[r] = static_cast<index_t>(a.shape()[static_cast<std::size_t>(r)]);
  cell* first = a.data();
  if constexpr (requires { a.data_offset(); }) first += a.data_offset();  // xt::view: data() is the whole array's
  view<cell, Rank> const v(first, extents);
  if constexpr (requires { a.strides()[0]; })
    for (int r = 0; r < Rank; ++r)
      expects(extents[r] == 1 || v.size() == 0 ||
                  static_cast<index_t>(a.strides()[static_cast<std::size_t>(r)]) == v.stride[r],
              what, " is not row-major without gaps; copy it into a row-major array first");
  return v;
}

/// An argument of a stage: a view, a grid, or an array_container, of the given rank.
template <class A, int Rank>
concept gridded = requires(A& a) { as_view<Rank>(a); };
template <class A>
concept image_like = gridded<A, 2>;  ///< [H,W]
template <class A>
concept stack_like = gridded<A, 3>;  ///< [C,H,W]

template <class A, int Rank>
using view_of = decltype(as_view<Rank>(std::declval<A&>()));
template <class A, int Rank>
using value_of = typename view_of<A, Rank>::value_type;  ///< the cell type without const
template <class A, int Rank>
using space_of = typename view_of<A, Rank>::memory;  ///< its memory space

}  // namespace cambium
