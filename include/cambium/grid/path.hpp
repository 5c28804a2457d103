#pragma once

#include <cambium/core/config.hpp>

namespace cambium {

/// A step between cells.
struct offset {
  int dy = 0;
  int dx = 0;

  friend CAMBIUM_HD constexpr bool operator==(offset a, offset b) { return a.dy == b.dy && a.dx == b.dx; }
};

/// Whether the thick line from (0,0) to `to` touches `at`. True for the cells of the two ends' bounding box whose
/// distance to the line is below 1 cell, both ends included.
CAMBIUM_HD constexpr bool on_path(offset to, offset at)
{
  int const cross = to.dy * at.dx - to.dx * at.dy;
  bool const in_rows = to.dy >= 0 ? 0 <= at.dy && at.dy <= to.dy : to.dy <= at.dy && at.dy <= 0;
  bool const in_columns = to.dx >= 0 ? 0 <= at.dx && at.dx <= to.dx : to.dx <= at.dx && at.dx <= 0;
  return in_rows && in_columns && cross * cross < to.dy * to.dy + to.dx * to.dx;
}

/// The cells of a step's path, destination first, source (0,0) last: by descending |dy| + |dx|, ties in raster order.
/// The order matters to a caller that takes the first of several equal maxima.
///
/// @source Ahn, Cho, Kwak, CVPR 2019; PathIndex.get_search_paths_dst, misc/indexing.py of
///         jiwoon-ahn/irn. It is not a Bresenham line: a (1,1) step has 4 cells.
struct path {
  static constexpr int longest = 17;   ///< [cells] every step is shorter
  static constexpr int capacity = 37;  ///< [cells] the largest path of such a step

  int size = 0;
  offset at[capacity]{};

  /// The path of a step with dy*dy + dx*dx < longest * longest.
  static constexpr path to(offset step)
  {
    path p;
    int const span = (step.dy < 0 ? -step.dy : step.dy) + (step.dx < 0 ? -step.dx : step.dx);
    int const y0 = step.dy < 0 ? step.dy : 0, y1 = step.dy < 0 ? 0 : step.dy;
    int const x0 = step.dx < 0 ? step.dx : 0, x1 = step.dx < 0 ? 0 : step.dx;
    for (int length = span; length >= 0; --length)
      for (int y = y0; y <= y1; ++y)
        for (int x = x0; x <= x1; ++x)
          if ((y < 0 ? -y : y) + (x < 0 ? -x : x) == length && on_path(step, {y, x})) p.at[p.size++] = {y, x};
    return p;
  }
};

}  // namespace cambium
