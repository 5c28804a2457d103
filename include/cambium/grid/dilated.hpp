#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/path.hpp>

#include <algorithm>
#include <initializer_list>
#include <span>

namespace cambium {

/// The neighbours of a cell in eight directions at several distances, as a dilated 3x3 convolution has them. The cell is
/// not one of them. Number k = 8 i + j is direction j of dilation i; the directions are NW N NE W E SW S SE. A
/// neighbour outside the map is the nearest cell of the map (replicated borders).
struct dilated_neighbours {
  static constexpr int capacity = 32;  ///< [dilations]

  int count = 6;  ///< [dilations]
  int dilation[capacity] = {1, 2, 4, 8, 12, 24};

  /// The six dilations of PAR.
  dilated_neighbours() = default;

  /// @param dilations  [cells] 1 to 32 numbers >= 1, in the order of the neighbours; a number may stand twice
  /// @throws precondition_error unless they are so
  explicit dilated_neighbours(std::span<int const> dilations) : count(0), dilation{}
  {
    expects(!dilations.empty() && dilations.size() <= std::size_t{capacity},
            "dilated_neighbours: ", static_cast<index_t>(dilations.size()), " dilations; expected 1 to ", capacity);
    for (int const d : dilations) {
      expects(d >= 1, "dilated_neighbours: dilation ", count, " is ", d, "; expected a number >= 1");
      dilation[count++] = d;
    }
  }
  dilated_neighbours(std::initializer_list<int> dilations)
      : dilated_neighbours(std::span<int const>(dilations.begin(), dilations.size()))
  {
  }

  /// The number of neighbours of a cell, 8 a dilation.
  CAMBIUM_HD constexpr int size() const { return 8 * count; }

  /// The step to neighbour k.
  CAMBIUM_HD constexpr offset at(int k) const
  {
    int const d = dilation[k / 8], place = k % 8 < 4 ? k % 8 : k % 8 + 1;  // in a 3x3 square
    return {d * (place / 3 - 1), d * (place % 3 - 1)};
  }

  /// The largest dilation. [cells]
  constexpr int reach() const { return *std::max_element(dilation, dilation + count); }

  friend bool operator==(dilated_neighbours const& a, dilated_neighbours const& b)
  {
    return std::equal(a.dilation, a.dilation + a.count, b.dilation, b.dilation + b.count);
  }
};

/// Throw unless there are 1 to 32 dilations of at least 1 cell: the members are public. `who` begins the message.
inline void expects_dilations(dilated_neighbours const& near, char const* who)
{
  expects(1 <= near.count && near.count <= dilated_neighbours::capacity, who, ": ", near.count,
          " dilations; expected 1 to ", dilated_neighbours::capacity);
  for (int i = 0; i < near.count; ++i)
    expects(near.dilation[i] >= 1, who, ": dilation ", i, " is ", near.dilation[i], "; expected a number >= 1");
}

/// The nearest index of 0..count-1.
CAMBIUM_HD constexpr index_t nearest_inside(index_t at, index_t count)
{
  return at < 0 ? 0 : at < count ? at : count - 1;
}

/// Copy a row between two borders of `pad` cells, which repeat its ends.
template <class T>
void copy_between_borders(T const* row, index_t width, index_t pad, T* to)
{
  std::fill_n(to, pad, row[0]);
  std::copy_n(row, width, to + pad);
  std::fill_n(to + pad + width, pad, row[width - 1]);
}

}  // namespace cambium
