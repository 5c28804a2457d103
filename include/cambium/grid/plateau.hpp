#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/atomic.hpp>

#include <cstdint>
#include <limits>

namespace cambium {

/// The number of maxima of a plateau of equal cells.
enum class plateau {
  every_cell,  ///< every cell is a maximum: BESTIE's original
  one_cell,    ///< one maximum, at the cell nearest to the mean of the cells; of several the first in raster order
};

__extension__ typedef __int128 wide_integer;

/// The number of cells of a plateau, and the sums of their rows and of their columns.
struct plateau_sums {
  index_t cells = 0, y = 0, x = 0;

  /// The squared distance of a cell from the mean, in integers, so equal distances compare equal:
  ///
  ///   n |p - mean|^2 = n p.p - 2 p.sum + sum.sum / n,   without the last term, which is the same for every cell p
  ///
  /// @pre cells * the larger extent of the map < 2^63: then the sums fit 64 bits and the distance 128
  CAMBIUM_HD wide_integer distance(index_t at_y, index_t at_x) const
  {
    wide_integer const py = at_y, px = at_x;
    return cells * (py * py + px * px) - 2 * (py * y + px * x);
  }
};

/// Finds the cell nearest to a plateau's mean, of several the first in raster order. The cells may come in any order.
/// It takes four rounds over the cells, with a barrier between rounds.
struct plateau_tally {
  enum class round { sums, high, low, place };

  plateau_sums of{};
  std::int64_t high = std::numeric_limits<std::int64_t>::max();   ///< upper half of the smallest distance
  std::uint64_t low = std::numeric_limits<std::uint64_t>::max();  ///< the smallest lower half with that upper half
  index_t at = std::numeric_limits<index_t>::max();               ///< the first cell with that distance

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
