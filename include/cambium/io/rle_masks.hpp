#pragma once
// Overlaps, unions and intersections of masks as run lengths, and masks inside outlines.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/rle.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace cambium {

/// Count the cells that two masks share, from the positions of their changes.
/// @complexity Theta(turns of both)
[[nodiscard]] inline index_t shared_cells(std::span<index_t const> a, std::span<index_t const> b)
{
  index_t both = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    index_t const end_a = a[i + 1], end_b = b[j + 1];
    both += std::max<index_t>(0, std::min(end_a, end_b) - std::max(a[i], b[j]));
    i += 2 * static_cast<std::size_t>(end_a <= end_b);  // no branch: the order of ends is unpredictable
    j += 2 * static_cast<std::size_t>(end_b <= end_a);
  }
  return both;
}

/// Masks of one size, prepared for overlaps: their turns one after the other in one list.
struct measured_masks {
  struct mask {
    std::size_t begin, end;  ///< of its turns
    box bounds;
    index_t area;
  };
  std::vector<index_t> turns;
  std::vector<mask> masks;

  void clear() { turns.clear(), masks.clear(); }
  std::span<index_t const> turns_of(mask const& m) const { return std::span(turns).subspan(m.begin, m.end - m.begin); }

  /// @pre valid runs
  void add(rle const& runs)
  {
    mask m{turns.size(), turns.size() + (runs.counts.size() & ~std::size_t{1}), {}, 0};
    turns.resize(m.end);
    index_t at = 0;
    for (std::size_t i = 0; i < m.end - m.begin; i += 2) {
      index_t const first = at + runs.counts[i], last = first + runs.counts[i + 1];
      turns[m.begin + i] = first, turns[m.begin + i + 1] = at = last;
      m.area += last - first;
    }
    m.bounds = bounds_of_turns({runs.height, runs.width}, turns_of(m));
    masks.push_back(m);
  }

  /// The overlaps of rle_iou with true masks of the same size.
  grid<double, 2> iou(measured_masks const& truth, std::vector<std::uint8_t> const& crowd) const
  {
    grid<double, 2> out(masks.size(), truth.masks.size());
    for (std::size_t d = 0; d < masks.size(); ++d)
      for (std::size_t g = 0; g < truth.masks.size(); ++g) {
        mask const &mine = masks[d], &other = truth.masks[g];
        box const &a = mine.bounds, &b = other.bounds;
        if (a.top >= b.bottom || b.top >= a.bottom || a.left >= b.right || b.left >= a.right) continue;
        index_t const both = shared_cells(turns_of(mine), truth.turns_of(other));
        bool const in_crowd = !crowd.empty() && crowd[g] != 0;
        index_t const all = in_crowd ? mine.area : mine.area + other.area - both;
        if (both > 0) out(d, g) = static_cast<double>(both) / static_cast<double>(all);
      }
    return out;
  }
};

/// Compute the overlap of every detected mask with every true mask.
///
///   iou(d,g) = |d and g| / |d or g|; for a crowd g |d and g| / |d|; 0 if they share no cell
///
/// @param detected  D masks of one size
/// @param truth     G masks of the same size
/// @param crowd     G flags, or an empty list: regions of several objects
/// @return [D,G]
///
/// @throws       precondition_error: masks of different sizes, damaged masks, a number of flags other than G and 0
/// @complexity   O(G * runs of D + D * runs of G); pairs with disjoint boxes cost nothing
/// @determinism  exact
/// @source       rleIou, common/maskApi.c of cocodataset/cocoapi. It gives -1 for masks of different sizes
[[nodiscard]] inline grid<double, 2> rle_iou(std::vector<rle> const& detected, std::vector<rle> const& truth,
                                             std::vector<std::uint8_t> const& crowd = {})
{
  expects(crowd.empty() || crowd.size() == truth.size(), "rle_iou: ", static_cast<index_t>(crowd.size()),
          " flags of crowds but ", static_cast<index_t>(truth.size()), " true masks");
  auto const prepare = [&](std::vector<rle> const& masks) {
    measured_masks out;
    for (rle const& m : masks) {
      rle const& first = detected.empty() ? truth[0] : detected[0];
      expects_runs(m, "rle_iou");
      expects(m.height == first.height && m.width == first.width, "rle_iou: a mask is ", m.height, " x ", m.width,
              " but another one ", first.height, " x ", first.width);
      out.add(m);
    }
    return out;
  };
  return prepare(detected).iou(prepare(truth), crowd);
}

enum class merge {
  either,  ///< union
  both,    ///< intersection
};

/// Compute the union or the intersection of masks of one size.
///
/// @throws       precondition_error: an empty list, masks of different sizes, damaged masks
/// @complexity   O(runs * log masks)
/// @determinism  exact
/// @source       rleMerge, common/maskApi.c of cocodataset/cocoapi
[[nodiscard]] inline rle merge_rle(std::span<rle const> masks, merge how = merge::either)
{
  expects(!masks.empty(), "merge_rle: no mask");
  if (masks.size() == 1) {
    expects_runs(masks[0], "merge_rle");
    return masks[0];
  }
  rle const first = merge_rle(masks.first(masks.size() / 2), how),
            second = merge_rle(masks.subspan(masks.size() / 2), how);
  expects(first.height == second.height && first.width == second.width, "merge_rle: a mask is ", first.height, " x ",
          first.width, " but another one ", second.height, " x ", second.width);
  auto const a = turns_of(first), b = turns_of(second);
  std::vector<index_t> turns;
  turns.reserve(a.size() + b.size());
  // After i turns of a and j of b, a cell is inside a if i is odd, and inside b if j is odd.
  for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    auto const inside = [&] { return how == merge::either ? ((i | j) & 1) != 0 : (i & j & 1) != 0; };
    bool const before = inside();
    index_t const at = j == b.size() || (i < a.size() && a[i] <= b[j]) ? a[i++] : b[j++];
    if (inside() != before) turns.push_back(at);
  }
  return rle_of_turns({first.height, first.width}, std::move(turns));
}

// --- outlines ----------------------------------------------------------------------------------------------

/// Make the mask inside an outline, with the bits of COCO's tools.
///
/// Corners are rounded to fifths of a pixel and joined by straight lines of fifths, one per step of the longer axis.
/// Where a line crosses the middle of a column, the mask changes at the next cell below.
///
/// @param image  size of the mask, at most 2^62 cells
/// @param xy     x0 y0 x1 y1 ...: three corners or more [pixels], finite, at most 4e8 in size; (0,0) is the outer
///               corner of the first pixel. For crossing lines a cell is inside if an odd number of them is above it
///
/// @throws       precondition_error
/// @complexity   O(corners * columns that they span + crossings * log crossings), for corners at any distance outside
/// @determinism  exact
/// @source       rleFrPoly, common/maskApi.c of cocodataset/cocoapi: the same fifths, roundings (towards zero after
///               adding a half) and joints. Only the middles of columns are computed
[[nodiscard]] inline rle rle_of_polygon(extent2 image, std::span<double const> xy)
{
  expects_image(image, "rle_of_polygon");
  expects(xy.size() % 2 == 0 && xy.size() >= 6, "rle_of_polygon: ", static_cast<index_t>(xy.size()),
          " numbers; an outline has an x and a y for three corners or more");
  for (std::size_t i = 0; i < xy.size(); ++i)
    expects(std::abs(xy[i]) <= 4e8, "rle_of_polygon: number ", static_cast<index_t>(i), " is ", xy[i]);
  std::size_t const corners = xy.size() / 2;
  auto const fifths = [&](std::size_t i) { return static_cast<index_t>(5 * xy[i] + .5); };
  std::vector<index_t> turns;
  for (std::size_t i = 0; i < corners; ++i) {
    std::size_t const j = i + 1 < corners ? i + 1 : 0;
    index_t x0 = fifths(2 * i), y0 = fifths(2 * i + 1), x1 = fifths(2 * j), y1 = fifths(2 * j + 1);
    index_t const across = std::abs(x1 - x0), down = std::abs(y1 - y0);
    bool const flat = across >= down;
    if (across == 0) continue;
    if (flat ? x0 > x1 : y0 > y1) std::swap(x0, x1), std::swap(y0, y1);
    double const slope = flat ? static_cast<double>(y1 - y0) / static_cast<double>(across)
                              : static_cast<double>(x1 - x0) / static_cast<double>(down);
    // The position along the other axis at step t of the longer one.
    auto const other = [&](index_t t) {
      double rise = slope * static_cast<double>(t);
      no_contract(rise);  // rounded before the sum, also on processors with fused multiply-add
      return static_cast<index_t>(static_cast<double>(flat ? y0 : x0) + rise + .5);
    };
    // The middle of column x lies between fifths 5x+2 and 5x+3.
    index_t const from = std::max<index_t>(0, (std::min(x0, x1) + 2) / 5 - 1);
    index_t const to = std::min(image.width - 1, (std::max(x0, x1) + 2) / 5);
    for (index_t x = from; x <= to; ++x) {
      index_t const middle = 5 * x + 2;
      index_t height;
      if (flat) {
        index_t const t = middle - x0;
        if (t < 0 || middle + 1 > x1) continue;
        height = std::min(other(t), other(t + 1));
      } else {
        auto const before = [&](index_t t) { return slope > 0 ? other(t) <= middle : other(t) > middle; };
        if (!before(0) || before(down)) continue;
        auto t = static_cast<index_t>((static_cast<double>(middle - x0) + .5) / slope);
        t = std::clamp<index_t>(t, 0, down - 1);
        while (!before(t)) --t;
        while (before(t + 1)) ++t;
        height = y0 + t;
      }
      index_t const y = height <= 2 ? 0 : std::min(image.height, (height + 2) / 5);
      turns.push_back(x * image.height + y);
    }
  }
  std::sort(turns.begin(), turns.end());
  return rle_of_turns(image, std::move(turns));
}

/// Make the mask of a rectangle as COCO's tools do: rle_of_polygon of its corners.
/// @param left,top,width,height [pixels]
[[nodiscard]] inline rle rle_of_box(extent2 image, double left, double top, double width, double height)
{
  double const right = left + width, bottom = top + height;
  double const corners[] = {left, top, left, bottom, right, bottom, right, top};
  return rle_of_polygon(image, corners);
}

}  // namespace cambium
