#pragma once
// xtensor. Its containers are array_containers, so every stage takes them unchanged. This file converts results to
// xtensor. Only this file knows the paths of xtensor's headers.

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

/// Move the cells of a grid into an xtensor container. Nothing is copied. The grid is empty afterwards.
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

/// View the cells of a contiguous grid or view as an xtensor expression. Nothing is copied or owned.
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
