#pragma once

#include <cambium/component/connected.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
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
  expects(found.count >= 0, "ordered: count is ", found.count);
  expects_labels(label, found.count, "ordered: label");
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Memory for numbering anew under a policy P. It grows to the largest count.
template <class P>
struct relabel_scratch {
  grid<index_t, 1, typename P::memory> size;   ///< [cells] of each label, or how many labels before it are kept
  grid<index_t, 1, typename P::memory> table;  ///< the new label of each old one
  grid<std::uint64_t, 1, typename P::memory> key, sorted_key;
  grid<index_t, 1, typename P::memory> order, sorted_order;
  workspace<P> running;
};

/// Rule: a label's entry, 0 where it has none.
template <class L, class To, class Entry, class S>
struct look_up_label {
  image_view<L const, S> label;
  Entry const* table;
  index_t known;
  image_view<To, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto const at = static_cast<index_t>(label(y, x));
    out(y, x) = 0 <= at && at < known ? static_cast<To>(table[at]) : To(0);
  }
};

/// Replace every label by its entry in a table, on a device.
///
/// @param table  [N] in the policy's memory: the new label of each old one
/// @param out    [H,W] of the table's type; 0 where a label has no entry. May be the labels themselves
/// @throws       precondition_error: shapes that differ, memory that overlaps, a table with gaps
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as relabel in relabel.hpp.
template <execution_policy P, image_like L, class Table, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && gridded<Table const, 1>
void relabel_into(P const& where, L const& labels, Table const& table, O&& out)
{
  using To = value_of<Table const, 1>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "relabel: labels are integers");
  auto const label = as_view<2>(labels, "relabel: labels");
  view<To const, 1, S> const entries = as_view<1>(table, "relabel: table");
  image_view<To, S> const to = as_view<2>(out, "relabel: out");
  expects(entries.contiguous(), "relabel: table has gaps");
  expects(same_shape(label, to), "relabel: labels are ", label, " but out is ", to);
  bool const same = static_cast<void const*>(label.data) == static_cast<void const*>(to.data) &&
                    sizeof(To) == sizeof(value_of<L, 2>) && label.stride[0] == to.stride[0] &&
                    label.stride[1] == to.stride[1];
  expects((same || !overlap(label, to)) && !overlap(entries, to), "relabel: labels or table and out overlap");
  for_each_cell(where, {1, label.extent[0], label.extent[1]},
                look_up_label<value_of<L, 2>, To, To, S>{label, entries.data, entries.extent[0], to});
}

/// As relabel_into, and allocates.
template <execution_policy P, image_like L, class Table>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && gridded<Table const, 1>
[[nodiscard]] auto relabel(P const& where, L const& labels,
                           Table const& table) -> grid<value_of<Table const, 1>, 2, typename P::memory>
{
  auto out = make_grid<value_of<Table const, 1>>(where, as_view<2>(labels, "relabel: labels").extent);
  relabel_into(where, labels, table, out);
  return out;
}

/// Rows that one call of a rule looks at down a column before it takes atomic steps.
inline constexpr index_t relabel_rows = 32;

/// Rule: how many cells of a piece of a column each label has.
template <class L, class S>
struct count_label_cells {
  image_view<L const, S> label;
  index_t count;
  index_t* size;

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * relabel_rows;
    index_t const end = begin + relabel_rows < label.extent[0] ? begin + relabel_rows : label.extent[0];
    index_t of = -1, first = begin;
    for (index_t y = begin; y < end; ++y) {
      auto const here = static_cast<index_t>(label(y, x));
      if (here == of) continue;
      if (of > 0 && of <= count) atomic_add(size + of, y - first);
      of = here, first = y;
    }
    if (of > 0 && of <= count) atomic_add(size + of, end - first);
  }
};

/// Rule: is a label kept? The outside is not counted.
struct mark_kept_label {
  index_t const* size;
  index_t area;
  index_t* kept;

  CAMBIUM_HD void operator()(index_t i) const { kept[i] = i > 0 && size[i] >= area ? 1 : 0; }
};

/// Rule: a kept label's new number, 0 for the others; from how many are kept before it.
struct number_kept_label {
  index_t const* size;
  index_t area;
  index_t* before;  ///< entry 0, which is 0 by itself, becomes the number of all
  index_t last;
  index_t* table;

  CAMBIUM_HD void operator()(index_t i) const
  {
    bool const kept = i > 0 && size[i] >= area;
    table[i] = kept ? before[i] + 1 : 0;
    if (i == last) before[0] = before[i] + (kept ? 1 : 0);
  }
};

/// Remove components of less than `area` cells, on a device.
///
/// @return labels whose count is known; cells of labels outside 0..count become 0
/// @asynchrony gpu: waits for where.stream, for the count
///
/// Everything else as drop_small in relabel.hpp.
template <execution_policy P, class Label>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] components<Label, typename P::memory> drop_small(P const& where,
                                                               components<Label, typename P::memory> const& found,
                                                               index_t area)
{
  using S = typename P::memory;
  expects(found.count >= 0, "drop_small: count is ", found.count);
  image_view<Label const, S> const label = found.label.view();
  index_t const entries = found.count + 1, H = label.extent[0], W = label.extent[1];
  relabel_scratch<P> scratch;
  index_t* const size = reserve(where, scratch.size, entries);
  index_t* const table = reserve(where, scratch.table, entries);
  index_t* const before = reserve(where, scratch.order, entries);
  fill(where, entries, size, index_t{0});
  for_each_cell(where, {1, (H + relabel_rows - 1) / relabel_rows, W},
                count_label_cells<Label, S>{label, found.count, size});
  for_each_index(where, entries, mark_kept_label{size, area, before});
  exclusive_scan(where, entries, static_cast<index_t const*>(before), before, scratch.running);
  for_each_index(where, entries, number_kept_label{size, area, before, entries - 1, table});
  components<Label, S> out{make_grid<Label>(where, {H, W}), 0};
  for_each_cell(where, {1, H, W}, look_up_label<Label, Label, index_t, S>{label, table, entries, out.label.view()});
  out.count = read_cell(where, before);
  return out;
}

/// Rule: the first place of each label in an order, of a piece of a column.
template <class L, class S>
struct find_label_begin {
  image_view<L const, S> label;
  index_t count;
  index_t side;  ///< [cells] of a block
  std::int64_t* key;

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * relabel_rows;
    index_t const end = begin + relabel_rows < label.extent[0] ? begin + relabel_rows : label.extent[0];
    index_t of = -1;
    for (index_t y = begin; y < end; ++y) {
      auto const here = static_cast<index_t>(label(y, x));
      if (here == of) continue;
      of = here;
      std::int64_t const place = y / side * label.extent[1] + x / side;
      if (of > 0 && of <= count && place < atomic_read(key + of)) atomic_min(key + of, place);
    }
  }
};

/// Rule: what is sorted, the places of labels 1..count and the labels.
struct list_label {
  std::int64_t const* found;
  std::uint64_t* key;
  index_t* label;

  CAMBIUM_HD void operator()(index_t i) const
  {
    key[i] = static_cast<std::uint64_t>(found[i + 1]);
    label[i] = i + 1;
  }
};

/// Rule: the label that came i-th becomes i + 1.
struct number_sorted_label {
  index_t const* label;
  index_t* table;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i == 0) table[0] = 0;
    table[label[i]] = i + 1;
  }
};

/// Number components anew, in an order, on a device.
///
/// @return labels; cells of labels outside 0..count become 0
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as reorder in relabel.hpp.
template <execution_policy P, class Label>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] components<Label, typename P::memory> reorder(P const& where,
                                                            components<Label, typename P::memory> const& found,
                                                            label_order order)
{
  using S = typename P::memory;
  expects(found.count >= 0, "ordered: count is ", found.count);
  image_view<Label const, S> const label = found.label.view();
  index_t const count = found.count, H = label.extent[0], W = label.extent[1];
  relabel_scratch<P> scratch;
  std::int64_t* const begin = reserve(where, scratch.size, count + 1);
  index_t* const table = reserve(where, scratch.table, count + 1);
  auto* const key = reserve(where, scratch.key, count);
  auto* const sorted_key = reserve(where, scratch.sorted_key, count);
  index_t* const listed = reserve(where, scratch.order, count);
  index_t* const sorted = reserve(where, scratch.sorted_order, count);
  fill(where, count + 1, begin, H * W);  // behind all places: labels without a cell come last
  fill(where, index_t{1}, table, index_t{0});
  for_each_cell(where, {1, (H + relabel_rows - 1) / relabel_rows, W},
                find_label_begin<Label, S>{label, count, order == label_order::blocks ? 2 : 1, begin});
  for_each_index(where, count, list_label{begin, key, listed});
  sort_by_key(where, count, static_cast<std::uint64_t const*>(key), static_cast<index_t const*>(listed), sorted_key,
              sorted, std::max<int>(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W)))), scratch.running);
  for_each_index(where, count, number_sorted_label{sorted, table});
  components<Label, S> out{make_grid<Label>(where, {H, W}), count};
  for_each_cell(where, {1, H, W}, look_up_label<Label, Label, index_t, S>{label, table, count + 1, out.label.view()});
  return out;
}

/// Rule: one round of growth. An unlabelled cell takes the smallest label of the neighbours in its region.
template <class Label, class R, class S>
struct grow_one_step {
  image_view<R const, S> region;
  R background;
  image_view<Label const, S> from;
  image_view<Label, S> to;
  std::int32_t* grown;  ///< becomes 1 when a cell does

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    Label mine = from(y, x);
    R const here = region(y, x);
    if (mine == Label(0) && here != background) {
      look(y - 1, x, here, mine), look(y, x - 1, here, mine), look(y, x + 1, here, mine), look(y + 1, x, here, mine);
      if (mine != Label(0) && atomic_read(grown) == 0) atomic_max(grown, std::int32_t{1});
    }
    to(y, x) = mine;
  }

 private:
  CAMBIUM_HD void look(index_t y, index_t x, R here, Label& mine) const
  {
    if (y < 0 || y >= region.extent[0] || x < 0 || x >= region.extent[1] || region(y, x) != here) return;
    Label const theirs = from(y, x);
    if (theirs != Label(0) && (mine == Label(0) || theirs < mine)) mine = theirs;
  }
};

/// Give unlabelled cells of a region the label of the nearest labelled cell they can reach inside it, on a device.
///
/// @complexity Theta(H * W) for each step of the longest way, where the cpu looks at a cell once
/// @asynchrony gpu: waits for where.stream every 32 steps, to see whether something still grows
///
/// Everything else as grow in relabel.hpp.
template <execution_policy P, class Label, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>>
[[nodiscard]] components<Label, typename P::memory> grow(P const& where,
                                                         components<Label, typename P::memory> const& found,
                                                         R const& regions, value_of<R, 2> background = 0)
{
  using S = typename P::memory;
  auto const region = as_view<2>(regions, "grow: regions");
  expects(same_shape(found.label.view(), region), "grow: labels are ", found.label.view(), " but regions are ", region);
  index_t const H = region.extent[0], W = region.extent[1];
  components<Label, S> out{make_grid<Label>(where, {H, W}), found.count};
  copy(where, found.label.view(), out.label.view());
  if (H * W == 0) return out;
  auto other = make_grid<Label>(where, {H, W});
  auto grown = make_grid<std::int32_t>(where, {1});
  constexpr int steps = 32;  // an even number: the last step writes on `out`
  fill(where, index_t{1}, grown.view().data, std::int32_t{0});
  do {
    for (int i = 0; i < steps; i += 2) {
      if (i + 2 == steps) fill(where, index_t{1}, grown.view().data, std::int32_t{0});
      for_each_cell(where, {1, H, W},
                    grow_one_step<Label, value_of<R, 2>, S>{region, background, out.label.view(), other.view(),
                                                            grown.view().data});
      for_each_cell(where, {1, H, W},
                    grow_one_step<Label, value_of<R, 2>, S>{region, background, other.view(), out.label.view(),
                                                            grown.view().data});
    }
  } while (read_cell(where, grown.view().data) != 0);
  return out;
}

}  // namespace cambium
