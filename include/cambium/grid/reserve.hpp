#pragma once
// Scratch that grows, in the memory of any policy.

#include <cambium/grid/grid.hpp>

namespace cambium {

/// At least so many cells; what they held is lost if the grid grows. Enqueues on a gpu.
/// @return the first of them
template <class P, class T>
T* reserve(P const& where, grid<T, 1, typename P::memory>& cells, index_t count)
{
  if (cells.size() < count) cells = make_grid<T>(where, {count});
  return cells.view().data;
}

}  // namespace cambium
