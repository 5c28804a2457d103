#pragma once

#include <cambium/component/connected.hpp>
#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

namespace cambium {

/// Replace every label by its entry in a table.
///
/// @param labels  [H,W] 0..table.size()-1
/// @param table   the new label of each old one
/// @return        [H,W] of the table's type
/// @throws       precondition_error when a label has no entry
/// @complexity   Theta(H * W)
/// @determinism  exact
template <image_like L, class To>
[[nodiscard]] grid<To, 2> relabel(cpu const&, L const& labels, std::vector<To> const& table)
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "relabel: labels are integers");
  auto const label = as_view<2>(labels, "relabel: labels");
  index_t const H = label.extent[0], W = label.extent[1], known = static_cast<index_t>(table.size());
  auto out = make_grid<To>({H, W});
  for (index_t y = 0; W > 0 && y < H; ++y) {
    auto const* const row = &label(y, 0);
    bool unknown = false;
    for (index_t x = 0; x < W; ++x) unknown |= static_cast<std::uint64_t>(row[x]) >= static_cast<std::uint64_t>(known);
    for (index_t x = 0; unknown && x < W; ++x) {
      auto const at = static_cast<index_t>(row[x]);
      expects(0 <= at && at < known, "relabel: label(", y, ",", x, ") is ", at, " but the table ends at ", known - 1);
    }
    for (index_t x = 0; x < W; ++x) out(y, x) = table[static_cast<std::size_t>(row[x])];
  }
  return out;
}

/// Remove components of less than `area` cells; the others keep their order and close up.
///
/// @param found  labels 0..count, as connected() gives them
/// @param area   [cells] the smallest area kept
/// @throws       precondition_error when a label is outside 0..count
/// @complexity   Theta(H * W + count)
/// @determinism  exact
template <class Label>
[[nodiscard]] components<Label> drop_small(cpu const& where, components<Label> const& found, index_t area)
{
  expects(found.count >= 0, "drop_small: count is ", found.count);
  std::vector<index_t> size(static_cast<std::size_t>(found.count + 1), 0);
  expects_labels(found.label.view(), found.count, "drop_small: label");
  for_each_run(found.label.view(), [&](index_t, index_t begin, index_t end, Label label) {
    size[static_cast<std::size_t>(label)] += end - begin;
  });
  components<Label> out;
  std::vector<Label> table(size.size(), Label(0));
  for (std::size_t i = 1; i < size.size(); ++i)
    if (size[i] >= area) table[i] = static_cast<Label>(++out.count);
  out.label = relabel(where, found.label, table);
  return out;
}

/// By what the labels of components ascend.
enum class label_order {
  raster,  ///< the first cell of each, row by row
  blocks,  ///< the first block of 2 x 2 cells that it touches, row of blocks by row of blocks: OpenCV's order where corners
           ///< connect. With edge neighbours OpenCV's order is raster
};

/// Where a cell comes in an order: numbers that ascend with it. W is the width of the map.
inline index_t order_key(label_order order, index_t W, index_t y, index_t x)
{
  index_t const side = order == label_order::blocks ? 2 : 1;
  return y / side * W + x / side;
}

/// Where each component begins in an order: numbers that ascend as its labels are to. Entry 0 means nothing; a label
/// without a cell gets the largest number.
///
/// @param found  labels 0..count
/// @throws precondition_error when a label is outside 0..count
template <class Label>
[[nodiscard]] std::vector<index_t> order_keys(components<Label> const& found, label_order order)
{
  auto const label = found.label.view();
  expects(found.count >= 0, "order_keys: count is ", found.count);
  expects_labels(label, found.count, "order_keys: label");
  index_t const W = label.extent[1];
  std::vector<index_t> key(static_cast<std::size_t>(found.count + 1), std::numeric_limits<index_t>::max());
  for_each_run(label, [&](index_t y, index_t begin, index_t, Label at) {
    auto& least = key[static_cast<std::size_t>(at)];
    least = std::min(least, order_key(order, W, y, begin));
  });
  return key;
}

/// Number components anew, in an order.
///
/// @param found  labels 0..count; labels without a cell come last
/// @throws       precondition_error when a label is outside 0..count
/// @complexity   Theta(H * W + count log count)
/// @determinism  exact; components that begin in the same block keep their order
/// @source       what cv2.connectedComponents of OpenCV 4 returns, observed: blocks begin at even rows and columns
template <class Label>
[[nodiscard]] components<Label> reorder(cpu const& where, components<Label> const& found, label_order order)
{
  auto const key = order_keys(found, order);
  std::vector<std::size_t> by_key(key.size() - 1);
  std::iota(by_key.begin(), by_key.end(), std::size_t{1});
  std::stable_sort(by_key.begin(), by_key.end(), [&](std::size_t a, std::size_t b) { return key[a] < key[b]; });
  std::vector<Label> table(key.size(), Label(0));
  for (std::size_t i = 0; i < by_key.size(); ++i) table[by_key[i]] = static_cast<Label>(i + 1);
  return {relabel(where, found.label, table), found.count};
}

/// Give unlabelled cells of a region the label of the nearest labelled cell they can reach inside it.
///
/// Distance is counted in steps between edge neighbours with the same region label; ties go to the
/// smaller component label. Components whose core touches no region cell beside them stay as they are.
///
/// @param found       labels 0..count: the cores
/// @param regions     [H,W] integer labels; growth never crosses from one value to another
/// @param background  a region that growth never enters
/// @return labels 0..count
///
/// @throws       precondition_error on differing shapes
/// @complexity   Theta(H * W)
/// @determinism  exact
template <class Label, image_like R>
[[nodiscard]] components<Label> grow(cpu const&, components<Label> const& found, R const& regions,
                                     value_of<R, 2> background = 0)
{
  auto const region = as_view<2>(regions, "grow: regions");
  expects(same_shape(found.label.view(), region), "grow: labels are ", found.label.view(), " but regions are ", region);
  index_t const H = region.extent[0], W = region.extent[1];
  components<Label> out = found;
  std::vector<index_t> front, next;
  for (index_t at = 0; at < H * W; ++at)
    if (out.label.cells()[static_cast<std::size_t>(at)] != 0) front.push_back(at);
  auto fresh = grid<std::uint8_t, 2>(H, W);  // 1: reached in this round
  constexpr offset around[4] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
  while (!front.empty()) {
    next.clear();
    for (index_t const at : front) {
      index_t const y = at / W, x = at % W;
      Label const mine = out.label(y, x);
      for (offset const o : around) {
        index_t const ny = y + o.dy, nx = x + o.dx;
        if (ny < 0 || ny >= H || nx < 0 || nx >= W) continue;
        if (region(ny, nx) == background || region(ny, nx) != region(y, x)) continue;
        Label& theirs = out.label(ny, nx);
        if (theirs == 0) {
          theirs = mine;
          fresh(ny, nx) = 1;
          next.push_back(ny * W + nx);
        } else if (fresh(ny, nx) == 1 && mine < theirs) {
          theirs = mine;  // reached in the same round from a smaller label
        }
      }
    }
    for (index_t const at : next) fresh(at / W, at % W) = 0;
    front.swap(next);
  }
  return out;
}

}  // namespace cambium
