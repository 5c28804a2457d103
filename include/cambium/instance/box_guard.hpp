#pragma once
// The cells that boxes keep whatever the network says: those that are most like foreground, first one in each row and
// column that kept none, then as many as reach the smallest fill. The cpu goes box by box; other policies sort all
// cells at once.

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/tiles.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace cambium {

/// How many cells of boxes changed.
struct bootstrap_counts {
  index_t foreground = 0;  ///< [cells] that became certain foreground
  index_t background = 0;  ///< [cells] that became certain background
  index_t restored = 0;    ///< [cells] that a guard kept from becoming background, or ignored

  friend CAMBIUM_HD bootstrap_counts operator+(bootstrap_counts const& a, bootstrap_counts const& b)
  {
    return {a.foreground + b.foreground, a.background + b.background, a.restored + b.restored};
  }
};

namespace rule {

/// Boxes whose cells, rows and columns are numbered one box after the other.
struct numbered_boxes {
  box const* boxes;
  index_t const* first_cell;  ///< [count + 1]
  index_t const* first_line;  ///< [count + 1] rows of a box, then its columns
  index_t count;

  /// The box of number i, by its first numbers.
  CAMBIUM_HD index_t box_of(index_t const* first, index_t i) const
  {
    index_t low = 0, high = count;  // first[low] <= i < first[high]
    while (high - low > 1) {
      index_t const middle = low + (high - low) / 2;
      (first[middle] <= i ? low : high) = middle;
    }
    return low;
  }
};

/// Mark the best cell of a row or a column that kept none; of equals the first.
template <class S>
struct keep_line {
  numbered_boxes all;
  image_view<float const, S> target;
  image_view<double const, S> score;
  std::int32_t* taken;  ///< of each cell of the boxes; 0 before

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const b = all.box_of(all.first_line, i), width = all.boxes[b].right - all.boxes[b].left;
    index_t const height = all.boxes[b].bottom - all.boxes[b].top, line = i - all.first_line[b];
    bool const row = line < height;
    index_t y = row ? line : 0, x = row ? 0 : line - height, best = y * width + x;
    double most = score(all.boxes[b].top + y, all.boxes[b].left + x);
    for (index_t n = row ? width : height; n > 0; --n, row ? ++x : ++y) {
      index_t const at_y = all.boxes[b].top + y, at_x = all.boxes[b].left + x;
      if (target(at_y, at_x) == 1) return;
      if (score(at_y, at_x) > most) most = score(at_y, at_x), best = y * width + x;
    }
    atomic_max(taken + all.first_cell[b] + best, std::int32_t{1});
  }
};

/// Key every cell of the boxes so that those to be put back first come first, and count the others.
template <class S>
struct key_guarded {
  numbered_boxes all;
  image_view<float const, S> target;
  image_view<double const, S> score;
  std::int32_t const* taken;
  std::uint64_t* key;
  std::int64_t* cell;
  std::int64_t* held;  ///< [count] cells of a box that it keeps already; 0 before

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const b = all.box_of(all.first_cell, i), width = all.boxes[b].right - all.boxes[b].left;
    index_t const local = i - all.first_cell[b];
    index_t const y = all.boxes[b].top + local / width, x = all.boxes[b].left + local % width;
    bool const free = target(y, x) != 1 && taken[i] == 0;
    // Keys of higher scores are lower.
    key[i] =
        free ? (std::uint64_t{1} << 63) - 1 - static_cast<std::uint64_t>(order_key(score(y, x))) : ~std::uint64_t{0};
    cell[i] = i;
    if (!free) atomic_add(held + b, std::int64_t{1});
  }
};

struct box_of_cell {
  numbered_boxes all;
  std::int64_t const* cell;
  std::uint32_t* out;
  CAMBIUM_HD void operator()(index_t i) const
  {
    out[i] = static_cast<std::uint32_t>(all.box_of(all.first_cell, cell[i]));
  }
};

/// Mark the cells of the map that boxes put back: those of lines, and the first of the others up to the smallest fill.
template <class S>
struct put_back {
  numbered_boxes all;
  double min_fill;
  std::int32_t const* taken;
  std::int64_t const* cell;  ///< sorted
  std::int64_t const* held;
  image_view<std::int32_t, S> restored;

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = cell[at], b = all.box_of(all.first_cell, i), width = all.boxes[b].right - all.boxes[b].left;
    index_t const area = all.first_cell[b + 1] - all.first_cell[b];
    auto const least = static_cast<index_t>(std::ceil(min_fill * static_cast<double>(area)));
    bool const fills =
        held[b] < area && at - all.first_cell[b] < least - held[b] && at - all.first_cell[b] < area - held[b];
    index_t const local = i - all.first_cell[b];
    if (taken[i] != 0 || fills)
      atomic_max(&restored(all.boxes[b].top + local / width, all.boxes[b].left + local % width), std::int32_t{1});
  }
};

template <class S>
struct set_cell {
  std::int32_t value;
  image_view<std::int32_t, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { out(y, x) = value; }
};

template <class S>
struct restore_cell {
  image_view<std::int32_t const, S> restored;
  image_view<float, S> target;
  image_view<std::uint8_t, S> trusted;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    if (restored(y, x) > 0) target(y, x) = 1, trusted(y, x) = trust::boxed;
  }
};

/// The changes of cell x of row y.
template <class S>
struct count_cell {
  image_view<std::int32_t const, S> restored;  ///< -1 outside boxes
  image_view<float const, S> target;
  image_view<std::uint8_t const, S> trusted;

  CAMBIUM_HD bootstrap_counts operator()(index_t y, index_t x) const
  {
    bool const certain = restored(y, x) >= 0 && trusted(y, x) == trust::certain;
    return {certain && target(y, x) == 1, certain && target(y, x) != 1, restored(y, x) > 0};
  }
};

}  // namespace rule

/// The cells that one box keeps, on the cpu.
class box_guard {
 public:
  /// `kept` [H,W] is 1 at foreground; `score` [H,W] ranks the others. Both before any guard.
  box_guard(image_view<std::uint8_t const> kept, image_view<double const> score) : kept_(kept), score_(score) {}

  /// The places (y,x) that this box puts back, in no order, each once.
  std::vector<std::pair<index_t, index_t>> restored(box const& b, bool tight, double min_fill) const
  {
    std::vector<std::pair<index_t, index_t>> places;
    if (tight) {
      for (index_t y = b.top; y < b.bottom; ++y) line(places, y, b.left, 0, 1, b.right - b.left);
      for (index_t x = b.left; x < b.right; ++x) line(places, b.top, x, 1, 0, b.bottom - b.top);
      std::sort(places.begin(), places.end());
      places.erase(std::unique(places.begin(), places.end()), places.end());
    }
    index_t const area = area_of(b);
    auto const least = static_cast<index_t>(std::ceil(min_fill * static_cast<double>(area)));
    auto const taken = places.size();
    std::vector<std::pair<index_t, index_t>> rest;
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x)
        if (kept_(y, x) == 0 &&
            !std::binary_search(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(taken), std::pair{y, x}))
          rest.emplace_back(y, x);
    index_t const missing =
        std::min<index_t>(least - (area - static_cast<index_t>(rest.size())), static_cast<index_t>(rest.size()));
    if (missing <= 0) return places;
    std::nth_element(rest.begin(), rest.begin() + (missing - 1), rest.end(), [&](auto const& p, auto const& q) {
      double const a = score_(p.first, p.second), c = score_(q.first, q.second);
      return a != c ? a > c : p < q;
    });
    places.insert(places.end(), rest.begin(), rest.begin() + missing);
    return places;
  }

 private:
  /// The best cell of a row or a column without foreground; of equals the first.
  void line(std::vector<std::pair<index_t, index_t>>& places, index_t y, index_t x, index_t dy, index_t dx,
            index_t length) const
  {
    std::pair<index_t, index_t> best{y, x};
    for (index_t i = 0; i < length; ++i, y += dy, x += dx) {
      if (kept_(y, x) != 0) return;
      if (score_(y, x) > score_(best.first, best.second)) best = {y, x};
    }
    places.push_back(best);
  }

  image_view<std::uint8_t const> kept_;
  image_view<double const> score_;
};

/// Let boxes put back what they keep, box by box. Every box looks at the decisions, not at what other boxes put back.
/// So the order of boxes has no effect.
///
/// @param boxes    inside the map, not empty
/// @param score    [H,W] ranks the cells that are not foreground
/// @param target   [H,W] 1 at foreground; becomes 1 on the cells that are put back
/// @param trusted  [H,W] becomes boxed on them
/// @return what became of the cells of boxes, on the host
inline bootstrap_counts restore_boxes_on(cpu const&, std::vector<box> const& boxes, bool tight, double min_fill,
                                         image_view<double const> score, image_view<float> target,
                                         image_view<std::uint8_t> trusted)
{
  auto kept = make_grid<std::uint8_t>(target.extent);
  for (index_t y = 0; y < target.extent[0]; ++y)
    for (index_t x = 0; x < target.extent[1]; ++x) kept(y, x) = target(y, x) == 1;
  bootstrap_counts out;
  box_guard const guard(kept, score);
  for (box const& b : boxes)
    for (auto const& [y, x] : guard.restored(b, tight, min_fill)) {
      out.restored += target(y, x) != 1;
      target(y, x) = 1, trusted(y, x) = trust::boxed;
    }
  std::fill(kept.cells().begin(), kept.cells().end(), std::uint8_t{0});  // from here on: counted
  for (box const& b : boxes)
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x) {
        if (trusted(y, x) != trust::certain || std::exchange(kept(y, x), std::uint8_t{1}) != 0) continue;
        ++(target(y, x) == 1 ? out.foreground : out.background);
      }
  return out;
}

/// Any other policy's schedule: lines in any order, then the cells of all boxes, sorted by score and by box.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P, class S>
bootstrap_counts restore_boxes_on(P const& where, std::vector<box> const& boxes, bool tight, double min_fill,
                                  image_view<double const, S> score, image_view<float, S> target,
                                  image_view<std::uint8_t, S> trusted)
{
  index_t const H = target.extent[0], W = target.extent[1];
  auto restored = make_grid<std::int32_t>(where, {H, W});
  fill(where, H * W, restored.view().data, std::int32_t{-1});
  for (box const& b : boxes) {
    auto const window = crop(restored.view(), b);
    for_each_cell(where, as_batch(window).extent, rule::set_cell<S>{0, window});
  }
  std::vector<index_t> first_cell{0}, first_line{0};
  for (box const& b : boxes) {
    first_cell.push_back(first_cell.back() + area_of(b));
    first_line.push_back(first_line.back() + (b.bottom - b.top) + (b.right - b.left));
  }
  index_t const count = static_cast<index_t>(boxes.size()), cells = first_cell.back();
  auto const list = to_memory(where, boxes);
  auto const of_cell = to_memory(where, first_cell), of_line = to_memory(where, first_line);
  rule::numbered_boxes const all{list.view().data, of_cell.view().data, of_line.view().data, count};
  auto taken = make_grid<std::int32_t>(where, {cells});
  auto key = make_grid<std::uint64_t>(where, {cells}), sorted_key = make_grid<std::uint64_t>(where, {cells});
  auto cell = make_grid<std::int64_t>(where, {cells}), sorted = make_grid<std::int64_t>(where, {cells});
  auto box_key = make_grid<std::uint32_t>(where, {cells}), sorted_box = make_grid<std::uint32_t>(where, {cells});
  auto held = make_grid<std::int64_t>(where, {count});
  workspace<P> space;
  fill(where, cells, taken.view().data, std::int32_t{0});
  fill(where, count, held.view().data, std::int64_t{0});
  if (tight) for_each_index(where, first_line.back(), rule::keep_line<S>{all, target, score, taken.view().data});
  for_each_index(
      where, cells,
      rule::key_guarded<S>{all, target, score, taken.view().data, key.view().data, cell.view().data, held.view().data});
  sort_by_key(where, cells, static_cast<std::uint64_t const*>(key.view().data),
              static_cast<std::int64_t const*>(cell.view().data), sorted_key.view().data, sorted.view().data, 64,
              space);
  for_each_index(where, cells, rule::box_of_cell{all, sorted.view().data, box_key.view().data});
  sort_by_key(where, cells, static_cast<std::uint32_t const*>(box_key.view().data),
              static_cast<std::int64_t const*>(sorted.view().data), sorted_box.view().data, cell.view().data,
              std::max(1, static_cast<int>(std::bit_width(boxes.size()))), space);
  for_each_index(where, cells,
                 rule::put_back<S>{all, min_fill, taken.view().data, cell.view().data, held.view().data, restored});
  for_each_cell(where, {1, H, W}, rule::restore_cell<S>{restored.view(), target, trusted});
  auto of_row = make_grid<bootstrap_counts>(where, {H});
  reduce_rows(where, H, W, rule::count_cell<S>{restored.view(), target, trusted}, bootstrap_counts{}, plus{},
              of_row.view().data, space);
  bootstrap_counts out;
  for (bootstrap_counts const& row : to_vector(where, of_row)) out = out + row;
  return out;
}

}  // namespace cambium
