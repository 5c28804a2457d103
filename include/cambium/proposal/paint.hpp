#pragma once
// Masks become one map of instances: later ones cover earlier ones.

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/proposal/scores.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Which masks are painted first. Later ones cover earlier ones.
enum class paint_order {
  by_score,        ///< the best is painted last, so that it is whole; of equal scores the first mask is on top
  largest_first,   ///< small masks lie on large ones; of equal areas the later mask is on top
  smallest_first,  ///< large masks cover small ones; of equal areas the later mask is on top
};

/// Make the order in which masks are painted.
///
/// @param scores  N finite scores; only by_score reads them, so they may be none otherwise
/// @return all N places
/// @throws       precondition_error
/// @determinism  exact
/// @source       largest_first: show_anns of segment-anything's notebooks, which sorts by falling area
[[nodiscard]] inline std::vector<index_t> order_to_paint(mask_set<> const& masks, paint_order how,
                                                         std::span<double const> scores = {})
{
  expects_masks(masks, "order_to_paint");
  if (how == paint_order::by_score) {
    expects_mask_scores(masks.size(), scores, {}, "order_to_paint");
    auto order = by_falling_score(scores);
    std::reverse(order.begin(), order.end());
    return order;
  }
  std::vector<index_t> order(static_cast<std::size_t>(masks.size()));
  std::iota(order.begin(), order.end(), index_t{0});
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
    index_t const m = masks.masks(a).area, n = masks.masks(b).area;
    return how == paint_order::largest_first ? m > n : m < n;
  });
  return order;
}

namespace rule {

/// 64 cells of a row: from the last mask to the first, each takes the cells that no later one has.
template <class T, class S>
struct paint_word {
  masks_view<S> masks;
  index_t const* order;
  index_t painted;
  T const* number;  ///< of each mask, or null: its place + 1
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t w) const
  {
    index_t const W = out.extent[1], end = W - 64 * w < 64 ? W - 64 * w : 64;
    std::uint64_t rest = low_bits(end);
    for (index_t x = 0; x < end; ++x) out(y, 64 * w + x) = T(0);
    for (index_t k = painted; k-- > 0 && rest != 0;) {
      index_t const i = order[k];
      std::uint64_t const mine = masks.word(masks.masks[i], y, w) & rest;
      if (mine == 0) continue;
      rest &= ~mine;
      T const value = number != nullptr ? number[i] : static_cast<T>(i + 1);
      for (index_t x = 0; x < end; ++x)
        if ((mine >> x & 1) != 0) out(y, 64 * w + x) = value;
    }
  }
};

/// 64 cells of a row: how many masks hold each.
template <class T, class S>
struct cover_word {
  masks_view<S> masks;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t w) const
  {
    index_t const W = out.extent[1], end = W - 64 * w < 64 ? W - 64 * w : 64;
    for (index_t x = 0; x < end; ++x) out(y, 64 * w + x) = T(0);
    for (index_t i = 0; i < masks.count; ++i) {
      std::uint64_t const mine = masks.word(masks.masks[i], y, w);
      if (mine == 0) continue;
      for (index_t x = 0; x < end; ++x)
        out(y, 64 * w + x) = static_cast<T>(out(y, 64 * w + x) + static_cast<T>(mine >> x & 1));
    }
  }
};

}  // namespace rule

/// Throws unless every place of the order is one of a mask. `who` begins the message.
inline void expects_order(std::span<index_t const> order, index_t masks, char const* who)
{
  for (std::size_t k = 0; k < order.size(); ++k)
    expects(0 <= order[k] && order[k] < masks, who, ": order(", static_cast<index_t>(k), ") is ", order[k],
            ", but there are ", masks, " masks");
}

/// Throws unless a map has the size of the masks' image and its type has a number for each. `who` begins the message.
template <class T, class S, class Masks>
void expects_map(image_view<T, S> const& map, Masks const& masks, char const* who)
{
  expects(map.extent[0] == masks.image.height && map.extent[1] == masks.image.width, who, ": the map is ", map,
          " but the masks are of an image of ", masks.image.height, " x ", masks.image.width);
  expects(std::cmp_less_equal(masks.size(), std::numeric_limits<T>::max()), who, ": ", masks.size(),
          " masks do not fit the type of the map, whose largest value is ", std::numeric_limits<T>::max());
}

/// Paint masks into one map, one over the other.
///
///   out(y,x) = 1 + the last mask of the order that holds (y,x); 0 where there is none
///
/// @param where  where to run
/// @param masks  N masks
/// @param order  places of masks, the first painted first; those that are not in it are not painted
/// @param out    [H,W] integers
///
/// @throws       precondition_error before anything is written: a place without a mask, a map of another size, more masks
///               than the type of the map has numbers
/// @invariant    painting all masks in any order leaves 0 exactly where mask_coverage is 0
/// @complexity   O(H * W / 64 * N) comparisons with boxes
/// @determinism  exact
/// @asynchrony   gpu: copies the order, enqueues and returns
template <execution_policy P, image_like O>
  requires reaches<P, space_of<O, 2>>
void paint_masks_into(P const& where, mask_set<typename P::memory> const& masks, std::span<index_t const> order,
                      O&& out)
{
  using T = value_of<O, 2>;
  using M = typename P::memory;
  static_assert(std::is_integral_v<T>, "paint_masks: a map of labels has integers");
  image_view<T, M> const to = as_view<2>(out, "paint_masks: out");
  if constexpr (std::is_same_v<M, host>) expects_masks(masks, "paint_masks");
  expects_map(to, masks, "paint_masks");
  expects_order(order, masks.size(), "paint_masks");
  auto const there = to_memory(where, std::vector<index_t>(order.begin(), order.end()));
  for_each_cell(
      where, {1, to.extent[0], words_of_row(to.extent[1])},
      rule::paint_word<T, M>{masks_view<M>(masks), there.view().data, static_cast<index_t>(order.size()), nullptr, to});
}

/// As paint_masks_into, and allocates. @return grid<std::int32_t, 2> [H,W]
template <execution_policy P>
[[nodiscard]] auto paint_masks(P const& where, mask_set<typename P::memory> const& masks,
                               std::span<index_t const> order)
{
  auto out = make_grid<std::int32_t>(where, {masks.image.height, masks.image.width});
  paint_masks_into(where, masks, order, out);
  return out;
}

/// Count the masks that hold each cell.
///
/// @param out    [H,W] integers
/// @throws       precondition_error before anything is written: a map of another size, more masks than its type can count
/// @complexity   O(H * W / 64 * N) comparisons with boxes
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, image_like O>
  requires reaches<P, space_of<O, 2>>
void mask_coverage_into(P const& where, mask_set<typename P::memory> const& masks, O&& out)
{
  using T = value_of<O, 2>;
  using M = typename P::memory;
  static_assert(std::is_integral_v<T>, "mask_coverage: counts are integers");
  image_view<T, M> const to = as_view<2>(out, "mask_coverage: out");
  if constexpr (std::is_same_v<M, host>) expects_masks(masks, "mask_coverage");
  expects_map(to, masks, "mask_coverage");
  for_each_cell(where, {1, to.extent[0], words_of_row(to.extent[1])}, rule::cover_word<T, M>{masks_view<M>(masks), to});
}

/// As mask_coverage_into, and allocates. @return grid<std::int32_t, 2> [H,W]
template <execution_policy P>
[[nodiscard]] auto mask_coverage(P const& where, mask_set<typename P::memory> const& masks)
{
  auto out = make_grid<std::int32_t>(where, {masks.image.height, masks.image.width});
  mask_coverage_into(where, masks, out);
  return out;
}

struct paint_options {
  paint_order order = paint_order::by_score;
  double visible = 0;  ///< in [0,1]: a mask of which a smaller share is seen is left out and hides nothing
};

/// The masks of an order of which enough is seen, from the last painted to the first: one that is left out hides nothing.
inline std::vector<index_t> visible_masks(mask_set<> const& masks, std::span<index_t const> order, double visible)
{
  grid<std::uint64_t, 2> taken(masks.image.height, words_of_row(masks.image.width));
  masks_view<> const from(masks);
  std::vector<index_t> out;
  for (std::size_t k = order.size(); k-- > 0;) {
    packed_mask const& m = masks.masks(order[k]);
    index_t seen = 0;
    for_each_word(from, m, [&](index_t y, index_t w, std::uint64_t word) { seen += count_bits(word & ~taken(y, w)); });
    if (static_cast<double>(seen) < visible * static_cast<double>(m.area)) continue;
    for_each_word(from, m, [&](index_t y, index_t w, std::uint64_t word) { taken(y, w) |= word; });
    out.push_back(order[k]);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

/// Make instances of masks: each cell belongs to the mask on top.
///
/// @param categories  N classes from 0, or negative for masks that are not painted; none: all are of class 0
/// @param scores      N finite scores
/// @return instances in the order of the masks. A mask of which no cell is seen gives no instance
///
/// @throws       precondition_error: another number of categories or scores, visible outside [0,1]
/// @invariant    the areas sum to the cells that are not 0
/// @complexity   O(H * W / 64 * N)
/// @determinism  exact
[[nodiscard]] inline instances<> paint_instances(cpu const& where, mask_set<> const& masks,
                                                 std::span<std::int32_t const> categories,
                                                 std::span<double const> scores, paint_options const& options = {})
{
  expects_masks(masks, "paint_instances");
  expects_mask_scores(masks.size(), scores, categories, "paint_instances");
  expects(0 <= options.visible && options.visible <= 1, "paint_instances: visible is ", options.visible);
  auto order = order_to_paint(masks, options.order, scores);
  std::erase_if(order, [&](index_t i) { return !categories.empty() && categories[static_cast<std::size_t>(i)] < 0; });
  if (options.visible > 0) order = visible_masks(masks, order, options.visible);
  auto const N = static_cast<std::size_t>(masks.size());
  auto top = paint_masks(where, masks, order);
  std::vector<instance> seen(N);
  for (std::size_t i = 0; i < N; ++i)
    seen[i] = {categories.empty() ? 0 : categories[i], scores[i], 0, {masks.image.height, masks.image.width, 0, 0}};
  for_each_run(top.view(), [&](index_t y, index_t begin, index_t end, std::int32_t at) {
    if (at == 0) return;
    instance& m = seen[static_cast<std::size_t>(at - 1)];
    m.area += end - begin;
    widen<writers::one>(m.bounds, box{y, begin, y + 1, end});
  });
  instances<> out{std::move(top), {}};
  std::vector<std::int32_t> number(N + 1, 0);
  for (std::size_t i = 0; i < N; ++i)
    if (seen[i].area > 0) {
      out.found.push_back(seen[i]);
      number[i + 1] = static_cast<std::int32_t>(out.found.size());
    }
  for (auto& cell : out.label.cells()) cell = number[static_cast<std::size_t>(cell)];
  return out;
}

}  // namespace cambium
