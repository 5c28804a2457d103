#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>

namespace cambium {

/// The rule of fill().
template <class T>
struct fill_cell {
  T* cells;
  T value;

  CAMBIUM_HD void operator()(index_t i) const { cells[i] = value; }
};

/// Set `count` cells of the policy's memory to a value. Needs the loops of for_each_cell; enqueues on a gpu.
template <class P, class T>
void fill(P const& where, index_t count, T* cells, T value)
{
  for_each_index(where, count, fill_cell<T>{cells, value});
}

}  // namespace cambium
