#pragma once
// The door to xtensor. Its containers go into every stage as they are (they are array_containers);
// here is how results come out. The one file that knows where xtensor keeps its headers.

#include <cambium/grid/grid.hpp>

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xtensor.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xtensor.hpp>
#endif

#include <array>
#include <cstddef>
#include <utility>

namespace cambium {

/// Move the cells of a grid into an xtensor container. Nothing is copied; the grid is empty afterwards.
///
///   auto scores = into_xtensor(random_walk(cpu{}, cams, transition));   // scores is an xt:: container, [C,H,W]
template <class T, int Rank>
[[nodiscard]] auto into_xtensor(grid<T, Rank>&& from)
{
  std::array<std::size_t, std::size_t{Rank}> shape;
  for (std::size_t r = 0; r < Rank; ++r) shape[r] = static_cast<std::size_t>(from.shape()[r]);
  cells_t<T> cells = std::move(from.cells());
  from = grid<T, Rank>();
  return xt::xtensor_adaptor<cells_t<T>, std::size_t{Rank}, xt::layout_type::row_major>(std::move(cells), shape);
}

/// Look at the cells of a grid or a view without gaps as an xtensor expression. Nothing is copied or owned.
template <int Rank, gridded<Rank> A>
[[nodiscard]] auto as_xtensor(A& a)
{
  auto const v = as_view<Rank>(a, "as_xtensor: array");
  expects(v.contiguous(), "as_xtensor: the view ", v, " has gaps");
  std::array<std::size_t, std::size_t{Rank}> shape;
  for (std::size_t r = 0; r < Rank; ++r) shape[r] = static_cast<std::size_t>(v.extent[r]);
  return xt::adapt(v.data, static_cast<std::size_t>(v.size()), xt::no_ownership(), shape);
}

}  // namespace cambium
