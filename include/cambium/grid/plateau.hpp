#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/atomic.hpp>

#include <cstdint>
#include <limits>

namespace cambium {

/// How many maxima a plateau of equal cells is.
enum class plateau {
  every_cell,  ///< as many as it has cells: the original of BESTIE
  one_cell,    ///< one, at the cell nearest to the mean of its cells, the first of several in raster order
};

__extension__ typedef __int128 wide_integer;

/// How many cells a plateau has, and the sums of their rows and of their columns.
struct plateau_sums {
  index_t cells = 0, y = 0, x = 0;

  /// How far a cell is from the mean, in whole numbers, so that equal distances are equal:
  ///
  ///   n |p - mean|^2 = n p.p - 2 p.sum + sum.sum / n,   here without the last term, which is the same for every cell p
  ///
  /// @pre cells * the larger extent of the map < 2^63: then the sums fit 64 bits and the distance 128
  CAMBIUM_HD wide_integer distance(index_t at_y, index_t at_x) const
  {
    wide_integer const py = at_y, px = at_x;
    return cells * (py * py + px * px) - 2 * (py * y + px * x);
  }
};

/// A plateau whose cells meet in any order: in four rounds over its cells, each begun when the one before has ended, the
/// nearest to their mean is found, the first of several in raster order.
struct plateau_tally {
  enum class round { sums, high, low, place };

  plateau_sums of{};
  std::int64_t high = std::numeric_limits<std::int64_t>::max();   ///< of the least distance, the upper half
  std::uint64_t low = std::numeric_limits<std::uint64_t>::max();  ///< and of those that have it, the lower half
  index_t at = std::numeric_limits<index_t>::max();               ///< the first cell there

  /// @param cell  its number in raster order
  CAMBIUM_HD void meet(round now, index_t y, index_t x, index_t cell)
  {
    if (now == round::sums) {
      atomic_add(&of.cells, index_t{1});
      atomic_add(&of.y, y);
      atomic_add(&of.x, x);
      return;
    }
    wide_integer const distance = of.distance(y, x);
    auto const upper = static_cast<std::int64_t>(distance >> 64);
    auto const lower = static_cast<std::uint64_t>(distance);
    if (now == round::high) atomic_min(&high, upper);
    if (now == round::low && upper == high) atomic_min(&low, lower);
    if (now == round::place && upper == high && lower == low) atomic_min(&at, cell);
  }
};

}  // namespace cambium
