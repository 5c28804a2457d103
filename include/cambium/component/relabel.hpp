#pragma once

#include <cambium/component/connected.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Replace every label by its entry in a table.
///
/// @param where   where to run
/// @param labels  [H,W] 0..N-1
/// @param table   [N] the new label of each old one, in the policy's memory
/// @param out     [H,W] of the table's type; may be the labels themselves
///
/// @pre          cpu: every label has an entry. On a device a label without one becomes 0
/// @throws       precondition_error before anything is written: a label without an entry, shapes that differ, memory
///               that overlaps, a table with gaps
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, image_like L, gridded<1> Table, image_like O>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<Table, 1>> && reaches<P, space_of<O, 2>>
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
  if constexpr (std::is_same_v<P, cpu>) expects_labels(label, entries.extent[0] - 1, "relabel: label");
  for_each_cell(where, {1, label.extent[0], label.extent[1]},
                rule::look_up_label<value_of<L, 2>, To, To, S>{label, entries.data, entries.extent[0], to});
}

/// As relabel_into, and allocates.
template <execution_policy P, image_like L, gridded<1> Table>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<Table, 1>>
[[nodiscard]] auto relabel(P const& where, L const& labels, Table const& table)
    -> grid<value_of<Table const, 1>, 2, typename P::memory>
{
  auto out = make_grid<value_of<Table const, 1>>(where, as_view<2>(labels, "relabel: labels").extent);
  relabel_into(where, labels, table, out);
  return out;
}

/// As relabel, with a table of the host.
template <execution_policy P, image_like L, class To>
  requires reaches<P, space_of<L, 2>>
[[nodiscard]] grid<To, 2, typename P::memory> relabel(P const& where, L const& labels, std::vector<To> const& table)
{
  return relabel(where, labels, to_memory(where, table));
}

namespace rule {

/// How many cells each label has.
template <writers Of>
struct count_label_cells {
  index_t count;
  index_t* size;

  CAMBIUM_HD void operator()(index_t label, box const& cells) const
  {
    if (0 < label && label <= count) add_into<Of>(size + label, area_of(cells));
  }
};

/// Is a label kept? The outside is not counted.
struct mark_kept_label {
  index_t const* size;
  index_t area;
  index_t* kept;

  CAMBIUM_HD void operator()(index_t i) const { kept[i] = i > 0 && size[i] >= area ? 1 : 0; }
};

/// A kept label's new number, 0 for the others; from how many are kept before it.
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

}  // namespace rule

/// Writes the labels of the large components on `out`, which may be the labels themselves.
/// @return how many there are
template <class Label, execution_policy P, class S>
[[nodiscard]] index_t keep_large(P const& where, image_view<Label const, S> label, index_t count, index_t area,
                                 image_view<Label, S> out)
{
  expects(count >= 0, "drop_small: count is ", count);
  if constexpr (std::is_same_v<P, cpu>) expects_labels(label, count, "drop_small: label");
  index_t const entries = count + 1;
  auto size = make_grid<index_t>(where, {entries}), table = make_grid<index_t>(where, {entries});
  auto numbers = make_grid<index_t>(where, {entries});
  index_t* const before = numbers.view().data;
  workspace<P> running;
  fill(where, entries, size.view().data, index_t{0});
  for_each_strip(where, label, rule::count_label_cells<writers_of<P>>{count, size.view().data});
  for_each_index(where, entries, rule::mark_kept_label{size.view().data, area, before});
  exclusive_scan(where, entries, static_cast<index_t const*>(before), before, running);
  for_each_index(where, entries,
                 rule::number_kept_label{size.view().data, area, before, entries - 1, table.view().data});
  using look_up_label = rule::look_up_label<Label, Label, index_t, S>;
  for_each_cell(where, as_batch(label).extent, look_up_label{label, table.view().data, entries, out});
  return read_cell(where, before);
}

/// Remove components of less than `area` cells; the others keep their order and close up.
///
/// @param found  labels 0..count, as connected() gives them
/// @param area   [cells] the smallest area kept
/// @pre          cpu: labels are in 0..count. On a device others become 0
/// @throws       precondition_error
/// @complexity   Theta(H * W + count)
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream, for the count
template <execution_policy P, class Label>
[[nodiscard]] components<Label, typename P::memory> drop_small(P const& where,
                                                               components<Label, typename P::memory> const& found,
                                                               index_t area)
{
  components<Label, typename P::memory> out{make_grid<Label>(where, found.label.view().extent), 0};
  out.count = keep_large(where, found.label.view(), found.count, area, out.label.view());
  return out;
}

/// The same on the memory of the components.
template <execution_policy P, class Label>
[[nodiscard]] components<Label, typename P::memory> drop_small(P const& where,
                                                               components<Label, typename P::memory>&& found,
                                                               index_t area)
{
  found.count = keep_large(where, std::as_const(found.label).view(), found.count, area, found.label.view());
  return std::move(found);
}

/// Where a cell comes in an order: numbers that ascend with it. W is the width of the map.
CAMBIUM_HD inline index_t order_key(label_order order, index_t W, index_t y, index_t x)
{
  index_t const side = order == label_order::blocks ? 2 : 1;
  return y / side * W + x / side;
}

namespace rule {

/// The first place of each label in an order.
template <writers Of>
struct find_label_begin {
  label_order order;
  index_t width;
  index_t count;
  index_t* key;

  CAMBIUM_HD void operator()(index_t label, box const& cells) const
  {
    if (0 < label && label <= count) min_into<Of>(key + label, order_key(order, width, cells.top, cells.left));
  }
};

/// What is sorted: the places of labels 1..count, and the labels.
struct list_label {
  index_t const* found;
  std::uint64_t* key;
  index_t* label;

  CAMBIUM_HD void operator()(index_t i) const
  {
    key[i] = static_cast<std::uint64_t>(found[i + 1]);
    label[i] = i + 1;
  }
};

/// The label that came i-th becomes i + 1.
struct number_sorted_label {
  index_t const* label;
  index_t* table;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i == 0) table[0] = 0;
    table[label[i]] = i + 1;
  }
};

}  // namespace rule

/// Number components anew, in an order.
///
/// @param found  labels 0..count; labels without a cell come last
/// @pre          cpu: labels are in 0..count. On a device others become 0
/// @throws       precondition_error
/// @complexity   Theta(H * W + count log count)
/// @determinism  exact; components that begin in the same block keep their order
/// @asynchrony   gpu: enqueues and returns
/// @source       what cv2.connectedComponents of OpenCV 4 returns, observed: blocks begin at even rows and columns
template <execution_policy P, class Label>
[[nodiscard]] components<Label, typename P::memory> reorder(P const& where,
                                                            components<Label, typename P::memory> const& found,
                                                            label_order order)
{
  using S = typename P::memory;
  expects(found.count >= 0, "reorder: count is ", found.count);
  image_view<Label const, S> const label = found.label.view();
  if constexpr (std::is_same_v<P, cpu>) expects_labels(label, found.count, "reorder: label");
  index_t const count = found.count, H = label.extent[0], W = label.extent[1];
  auto begin = make_grid<index_t>(where, {count + 1}), table = make_grid<index_t>(where, {count + 1});
  auto key = make_grid<std::uint64_t>(where, {count}), sorted_key = make_grid<std::uint64_t>(where, {count});
  auto listed = make_grid<index_t>(where, {count}), sorted = make_grid<index_t>(where, {count});
  workspace<P> running;
  fill(where, count + 1, begin.view().data, H * W);  // behind all places: labels without a cell come last
  fill(where, index_t{1}, table.view().data, index_t{0});
  for_each_strip(where, label, rule::find_label_begin<writers_of<P>>{order, W, count, begin.view().data});
  for_each_index(where, count, rule::list_label{begin.view().data, key.view().data, listed.view().data});
  int const bits = std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W))));
  sort_by_key(where, count, std::as_const(key).view().data, std::as_const(listed).view().data, sorted_key.view().data,
              sorted.view().data, bits, running);
  for_each_index(where, count, rule::number_sorted_label{sorted.view().data, table.view().data});
  components<Label, S> out{make_grid<Label>(where, {H, W}), count};
  using look_up_label = rule::look_up_label<Label, Label, index_t, S>;
  for_each_cell(where, {1, H, W}, look_up_label{label, table.view().data, count + 1, out.label.view()});
  return out;
}

/// The cpu's schedule: the cells beside a core are found row by row. From there on cells wait in a queue, and each is
/// looked at once.
template <class Label, class R>
void grow_on(cpu const&, image_view<R const> region, R background, components<Label>& out)
{
  index_t const H = region.extent[0], W = region.extent[1];
  constexpr offset around[4] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
  auto const for_each_neighbour = [&](index_t y, index_t x, auto const& visit) {
    for (offset const o : around) {
      index_t const ny = y + o.dy, nx = x + o.dx;
      if (0 <= ny && ny < H && 0 <= nx && nx < W && region(ny, nx) == region(y, x)) visit(ny, nx);
    }
  };
  std::vector<index_t> front, next;
  std::vector<Label> first;  // of the cells of the first front
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (out.label(y, x) != 0 || region(y, x) == background) continue;
      Label least = 0;
      for_each_neighbour(y, x, [&](index_t ny, index_t nx) {
        if (Label const l = out.label(ny, nx); l != 0 && (least == 0 || l < least)) least = l;
      });
      if (least != 0) front.push_back(y * W + x), first.push_back(least);
    }
  std::vector<bool> fresh(front.empty() ? 0 : static_cast<std::size_t>(H * W));  // reached in this round
  for (std::size_t i = 0; i < front.size(); ++i) out.label(front[i] / W, front[i] % W) = first[i];
  while (!front.empty()) {
    next.clear();
    for (index_t const at : front) {
      Label const mine = out.label(at / W, at % W);
      for_each_neighbour(at / W, at % W, [&](index_t ny, index_t nx) {
        Label& theirs = out.label(ny, nx);
        auto const there = static_cast<std::size_t>(ny * W + nx);
        if (theirs == 0) {
          theirs = mine;
          fresh[there] = true;
          next.push_back(ny * W + nx);
        } else if (mine < theirs && fresh[there]) {
          theirs = mine;  // reached in the same round from a smaller label
        }
      });
    }
    for (index_t const at : next) fresh[static_cast<std::size_t>(at)] = false;
    front.swap(next);
  }
}

namespace rule {

/// One round of growth: an unlabelled cell takes the smallest label of the neighbours in its region.
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

}  // namespace rule

/// Any other policy's schedule: rounds over the whole map, until no cell has changed in the last two of 32.
template <execution_policy P, class Label, class R, class S>
void grow_on(P const& where, image_view<R const, S> region, R background, components<Label, S>& out)
{
  index_t const H = region.extent[0], W = region.extent[1];
  if (H * W == 0) return;
  auto other = make_grid<Label>(where, {H, W});
  auto grown = make_grid<std::int32_t>(where, {1});
  std::int32_t* const flag = grown.view().data;
  using step = rule::grow_one_step<Label, R, S>;
  constexpr int steps = 32;  // an even number: the last step writes on `out`
  do {
    for (int i = 0; i < steps; i += 2) {
      if (i == 0 || i + 2 == steps) fill(where, index_t{1}, flag, std::int32_t{0});
      for_each_cell(where, {1, H, W}, step{region, background, out.label.view(), other.view(), flag});
      for_each_cell(where, {1, H, W}, step{region, background, other.view(), out.label.view(), flag});
    }
  } while (read_cell(where, flag) != 0);
}

/// Give unlabelled cells of a region the label of the nearest labelled cell they can reach inside it.
///
/// Distance is counted in steps between edge neighbours with the same region label; ties go to the
/// smaller component label. Components whose core touches no region cell beside them stay as they are.
///
/// @param where       where to run
/// @param found       labels 0..count: the cores
/// @param regions     [H,W] integer labels; growth never crosses from one value to another
/// @param background  a region that growth never enters
/// @return labels 0..count
///
/// @throws       precondition_error on differing shapes
/// @complexity   cpu: Theta(H * W), on one thread; a device: Theta(H * W) for each step of the longest way
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream every 32 steps, to see whether something still grows
template <execution_policy P, class Label, image_like R>
  requires reaches<P, space_of<R, 2>>
[[nodiscard]] components<Label, typename P::memory> grow(P const& where, components<Label, typename P::memory>&& found,
                                                         R const& regions, value_of<R, 2> background = 0)
{
  using S = typename P::memory;
  image_view<value_of<R, 2> const, S> const region = as_view<2>(regions, "grow: regions");
  auto const label = std::as_const(found.label).view();
  expects(same_shape(label, region), "grow: labels are ", label, " but regions are ", region);
  grow_on(where, region, background, found);
  return std::move(found);
}

/// The same on a copy of the components.
template <execution_policy P, class Label, image_like R>
  requires reaches<P, space_of<R, 2>>
[[nodiscard]] components<Label, typename P::memory> grow(P const& where,
                                                         components<Label, typename P::memory> const& found,
                                                         R const& regions, value_of<R, 2> background = 0)
{
  components<Label, typename P::memory> out{make_grid<Label>(where, found.label.view().extent), found.count};
  copy(where, found.label.view(), out.label.view());
  return grow(where, std::move(out), regions, background);
}

}  // namespace cambium
