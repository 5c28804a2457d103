#pragma once
// connected, connected_equal and connected_if on a GPU: union-find over cells, joined by atomic minima, numbered by a
// running sum. The cpu's schedule is in connected.hpp; labels and counts are the same.

#include <cambium/component/connected.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/scan.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/reserve.hpp>
#include <cambium/grid/union_find.hpp>

namespace cambium {

/// Memory for labelling under a policy P. It grows to the largest map and is one call's at a time.
/// Index numbers the cells of a batch: std::int64_t for 2^31 - 1 or more.
template <class P, std::signed_integral Index = std::int32_t>
struct connected_scratch {
  using S = typename P::memory;
  grid<Index, 1, S> parent;          ///< the first cell, or block, of each one's component; -1 outside
  grid<Index, 1, S> order;           ///< how many components begin before a place; and of all
  grid<Index, 1, S> first;           ///< of blocks: the place where the component of a first block begins
  grid<std::uint8_t, 1, S> pattern;  ///< of blocks: which cells are set
  workspace<P> running;
};

/// A mask as a relation: neighbours inside belong together.
template <class T, class S>
struct inside_mask {
  stack_view<T const, S> mask;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return mask(b, y, x) != T(0); }
  CAMBIUM_HD bool join(index_t, index_t, index_t, index_t, index_t) const { return true; }
};

/// A label map as a relation: neighbours with equal labels belong together.
template <class T, class S>
struct equal_labels {
  stack_view<T const, S> labels;
  T background;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return labels(b, y, x) != background; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return labels(b, y, x) == labels(b, ny, nx);
  }
};

/// Two predicates of one map as a relation.
template <class Inside, class Join>
struct relation_of {
  Inside is_inside;
  Join joins;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return is_inside(y, x); }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const { return joins(y, x, ny, nx); }
};

/// Rule: does a component begin here? One entry more stands behind the last.
template <class Index>
struct mark_first_cell {
  Index const* parent;
  index_t cells;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const { order[i] = i < cells && parent[i] == i ? Index(1) : Index(0); }
};

/// Rule: how many components map b has.
template <class Index, class S>
struct count_components {
  Index const* order;
  index_t places;  ///< of a map
  view<index_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t b) const
  {
    count(b) = static_cast<index_t>(order[(b + 1) * places] - order[b * places]);
  }
};

/// A label, or the largest one where it does not fit.
template <class Label>
CAMBIUM_HD Label fitting_label(index_t number, Label most)
{
  return static_cast<std::uint64_t>(number) > static_cast<std::uint64_t>(most) ? most : static_cast<Label>(number);
}

/// Rule: the number of the component a cell belongs to, counted within its map.
template <class Label, class Index, class S>
struct number_cell {
  Index const* parent;
  Index const* order;
  Label most;
  stack_view<Label, S> out;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const begin = b * out.extent[1] * out.extent[2], here = begin + y * out.extent[2] + x;
    Index const first = parent[here];
    index_t const number = first < 0 ? 0 : static_cast<index_t>(order[first] - order[begin]) + 1;
    out(b, y, x) = fitting_label(number, most);
  }
};

// --- masks whose corners connect: blocks of 2 x 2 cells, whose set cells always belong together -----------------------

/// How many blocks a map has.
struct block_extent {
  index_t height;
  index_t width;

  explicit block_extent(index_t const (&extent)[3]) : height((extent[1] + 1) / 2), width((extent[2] + 1) / 2) {}
};

/// Rule: which cells of a block are set: 1 2 in its upper row, 4 8 in its lower one.
template <class T, class S>
struct read_block {
  stack_view<T const, S> mask;
  block_extent blocks;
  std::uint8_t* pattern;

  CAMBIUM_HD void operator()(index_t b, index_t by, index_t bx) const
  {
    unsigned set = 0;
    for (int i = 0; i < 4; ++i) {
      index_t const y = 2 * by + i / 2, x = 2 * bx + i % 2;
      if (y < mask.extent[1] && x < mask.extent[2] && mask(b, y, x) != T(0)) set |= 1u << i;
    }
    pattern[(b * blocks.height + by) * blocks.width + bx] = static_cast<std::uint8_t>(set);
  }
};

/// Blocks as a relation: they belong together where set cells touch.
struct touching_blocks {
  std::uint8_t const* pattern;
  block_extent blocks;

  CAMBIUM_HD unsigned at(index_t b, index_t y, index_t x) const
  {
    return pattern[(b * blocks.height + y) * blocks.width + x];
  }
  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return at(b, y, x) != 0; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    bool const before = ny < y || (ny == y && nx < x);
    unsigned const early = before ? at(b, ny, nx) : at(b, y, x), late = before ? at(b, y, x) : at(b, ny, nx);
    if (ny == y) return (early & 10u) != 0 && (late & 5u) != 0;
    index_t const across = before ? nx - x : x - nx;  // from the late block to the early one, which is above
    if (across == 0) return (early & 12u) != 0 && (late & 3u) != 0;
    return across < 0 ? (early & 8u) != 0 && (late & 1u) != 0 : (early & 4u) != 0 && (late & 2u) != 0;
  }
};

/// Rule: where the component of a block begins. Places are (row of cells, column of blocks): two components never begin at
/// one, and places follow each other as first cells do.
template <class Index>
struct find_begin {
  std::uint8_t const* pattern;
  block_extent blocks;
  Index const* parent;
  Index* first;

  CAMBIUM_HD void operator()(index_t b, index_t by, index_t bx) const
  {
    index_t const row = b * blocks.height + by, here = row * blocks.width + bx;
    Index const of = parent[here];
    if (of < 0 || of / blocks.width != row) return;  // a component begins in the row of its first block
    index_t const lower = (pattern[here] & 3u) != 0 ? 0 : 1;
    auto const place = static_cast<Index>((2 * row + lower) * blocks.width + bx);
    if (place < atomic_read(first + of)) atomic_min(first + of, place);
  }
};

/// Rule: mark where a component begins.
template <class Index>
struct mark_begin {
  Index const* parent;
  Index const* first;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (parent[i] == i) order[first[i]] = 1;
  }
};

/// Rule: the number of the component of a cell's block, if the cell is set.
template <class Label, class Index, class S>
struct number_cell_of_block {
  std::uint8_t const* pattern;
  block_extent blocks;
  Index const* parent;
  Index const* first;
  Index const* order;
  Label most;
  stack_view<Label, S> out;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const block = (b * blocks.height + y / 2) * blocks.width + x / 2;
    index_t number = 0;
    if ((pattern[block] >> (y % 2 * 2 + x % 2) & 1u) != 0)
      number = static_cast<index_t>(order[first[parent[block]]] - order[b * 2 * blocks.height * blocks.width]) + 1;
    out(b, y, x) = fitting_label(number, most);
  }
};

// --- doors -----------------------------------------------------------------------------------------------------------

/// A map [H,W] as a stack [1,H,W]; a stack is one already.
template <class T, class S>
stack_view<T, S> maps_of(image_view<T, S> const& map)
{
  stack_view<T, S> out(map.data, {1, map.extent[0], map.extent[1]});
  out.stride[1] = map.stride[0], out.stride[2] = map.stride[1];
  return out;
}
template <class T, class S>
stack_view<T, S> maps_of(stack_view<T, S> const& maps)
{
  return maps;
}

template <class A>
inline constexpr bool is_batch = false;
template <class T, class S>
inline constexpr bool is_batch<view<T, 3, S>> = true;
template <class T, class S>
inline constexpr bool is_batch<grid<T, 3, S>> = true;

/// A map [H,W], or a batch of maps [B,H,W] as a view or grid.
template <class A>
concept maps_like = is_batch<std::remove_cvref_t<A>> || image_like<A>;

template <class A>
  requires maps_like<A>
auto as_maps(A& a, char const* what)
{
  if constexpr (is_batch<std::remove_cvref_t<A>>)
    return maps_of(as_view<3>(a, what));
  else
    return maps_of(as_view<2>(a, what));
}

/// The cell type and the memory of maps.
template <class A>
using value_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::value_type;
template <class A>
using space_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::memory;

/// Finds components of a relation and in which order they begin.
template <class P, class Relation, class Index>
void find_components(P const& where, index_t const (&extent)[3], neighbourhood const& near, Relation const& relation,
                     view<index_t, 1, typename P::memory> count, connected_scratch<P, Index>& scratch)
{
  index_t const cells = extent[0] * extent[1] * extent[2];
  Index* const parent = reserve(where, scratch.parent, cells);
  Index* const order = reserve(where, scratch.order, cells + 1);
  if (cells > 0) find_sets(where, extent, near, relation, parent);
  for_each_index(where, cells + 1, mark_first_cell<Index>{parent, cells, order});
  exclusive_scan(where, cells + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, extent[0], count_components<Index, typename P::memory>{order, extent[1] * extent[2], count});
}

/// Numbers what find_components found.
template <class P, class Label, class Index>
void number_components(P const& where, stack_view<Label, typename P::memory> out, connected_scratch<P, Index>& scratch)
{
  for_each_cell(where, out.extent,
                number_cell<Label, Index, typename P::memory>{scratch.parent.view().data, scratch.order.view().data,
                                                              std::numeric_limits<Label>::max(), out});
}

/// As find_components, of a mask whose corners connect, by blocks.
template <class P, class T, class Index>
void find_block_components(P const& where, stack_view<T const, typename P::memory> mask,
                           view<index_t, 1, typename P::memory> count, connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  block_extent const size(mask.extent);
  index_t const extent[3] = {mask.extent[0], size.height, size.width};
  index_t const blocks = extent[0] * size.height * size.width, places = 2 * blocks;
  std::uint8_t* const pattern = reserve(where, scratch.pattern, blocks);
  Index* const parent = reserve(where, scratch.parent, blocks);
  Index* const first = reserve(where, scratch.first, blocks);
  Index* const order = reserve(where, scratch.order, places + 1);
  for_each_cell(where, extent, read_block<T, S>{mask, size, pattern});
  if (blocks > 0) find_sets(where, extent, c8, touching_blocks{pattern, size}, parent);
  fill(where, blocks, first, std::numeric_limits<Index>::max());
  fill(where, places + 1, order, Index(0));
  for_each_cell(where, extent, find_begin<Index>{pattern, size, parent, first});
  for_each_index(where, blocks, mark_begin<Index>{parent, first, order});
  exclusive_scan(where, places + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, extent[0], count_components<Index, S>{order, 2 * size.height * size.width, count});
}

/// Numbers what find_block_components found.
template <class P, class Label, class Index>
void number_block_components(P const& where, stack_view<Label, typename P::memory> out,
                             connected_scratch<P, Index>& scratch)
{
  for_each_cell(where, out.extent,
                number_cell_of_block<Label, Index, typename P::memory>{
                    scratch.pattern.view().data, block_extent(out.extent), scratch.parent.view().data,
                    scratch.first.view().data, scratch.order.view().data, std::numeric_limits<Label>::max(), out});
}

/// Do cells, and places of blocks, half empty at odd borders, have numbers of this type?
template <class Index>
bool numbers_cells(index_t maps, index_t height, index_t width)
{
  return static_cast<double>(maps) * static_cast<double>(height + 1) * static_cast<double>(width + 1) <
         static_cast<double>(std::numeric_limits<Index>::max());
}

/// The checks of all doors that write on memory given.
template <class Index, class A, class O, class S>
void expects_room(stack_view<A, S> const& in, stack_view<O, S> const& out, view<index_t, 1, S> const& count,
                  char const* name)
{
  expects(same_shape(in, out), "connected: ", name, " is ", in, " but out is ", out);
  expects(!overlap(in, out), "connected: ", name, " and out overlap");
  expects(count.extent[0] == in.extent[0], "connected: ", in.extent[0], " maps but count is ", count);
  expects(!overlap(in, count) && !overlap(out, count), "connected: count overlaps ", name, " or out");
  expects(numbers_cells<Index>(in.extent[0], in.extent[1], in.extent[2]), "connected: ", in,
          " is too large for this scratch; use connected_scratch<P, index_t>");
}

/// Throws unless the neighbourhood is c4 or c8.
inline void expects_usual(neighbourhood const& near)
{
  expects(near == c4 || near == c8, "connected: the neighbourhood is neither c4 nor c8; connected_if takes any");
}

/// Label the connected components of masks on a device.
///
/// @param where    gpu
/// @param mask     [H,W], or [B,H,W]: maps of a batch, labelled each for itself
/// @param near     c4 or c8
/// @param out      [H,W] or [B,H,W]; 0 outside, 1..count in raster order of each component's first cell. Where there are
///                 more components than Label can tell apart, the others get its largest value: look at count
/// @param count    [1] or [B] of index_t, in the policy's memory
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
///
/// @throws       precondition_error before anything is written, gpu_error
/// @complexity   O(H * W * alpha(H * W)) on average; 8 bytes a cell, with c8 4.3
/// @determinism  exact: what the cpu says
/// @asynchrony   enqueues and returns
/// @source       as find_sets; with c8 over blocks of 2 x 2 cells (Allegretti, Bolelli, Grana 2019)
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_into(P const& where, M const& mask, neighbourhood const& near, O&& out, N&& count,
                    connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  auto const in = as_maps(mask, "connected: mask");
  auto const to = as_maps(out, "connected: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "mask");
  if (near == c8) {
    find_block_components<P, value_of_maps<M>>(where, in, number, scratch);
    number_block_components(where, to, scratch);
  } else {
    find_components(where, in.extent, near, inside_mask<value_of_maps<M>, S>{in}, number, scratch);
    number_components(where, to, scratch);
  }
}

/// Label the components of label maps on a device: neighbours belong together when their labels are equal.
///
/// @param background  cells that hold it belong to no component
///
/// Everything else as connected_into.
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_equal_into(P const& where, M const& labels, neighbourhood const& near,
                          std::type_identity_t<value_of_maps<M>> background, O&& out, N&& count,
                          connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of_maps<M>>, "connected_equal: labels are integers");
  auto const in = as_maps(labels, "connected_equal: labels");
  auto const to = as_maps(out, "connected_equal: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected_equal: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "labels");
  find_components(where, in.extent, near, equal_labels<value_of_maps<M>, S>{in, background}, number, scratch);
  number_components(where, to, scratch);
}

/// Labels one map, and waits for the count before the labels are written: find(count, scratch), number(labels, scratch).
template <class Label, class P, class Find, class Number>
components<Label, typename P::memory> components_of(P const& where, extent2 size, char const* who, Find const& find,
                                                    Number const& number)
{
  expects(numbers_cells<std::int32_t>(1, size.height, size.width), who, ": a map of ", size.height, " x ", size.width,
          " cells is too large; connected_into takes a connected_scratch<P, index_t>");
  components<Label, typename P::memory> out{make_grid<Label>(where, {size.height, size.width}), 0};
  connected_scratch<P> scratch;
  auto count = make_grid<index_t>(where, {1});
  find(count.view(), scratch);
  out.count = read_cell(where, count.view().data);
  expects_labels_fit<Label>(out.count, who);
  number(maps_of(out.label.view()), scratch);
  return out;
}

/// As components_of, of a relation.
template <class Label, class P, class Relation>
components<Label, typename P::memory> components_of_relation(P const& where, extent2 size, neighbourhood const& near,
                                                             Relation const& relation, char const* who)
{
  return components_of<Label>(
      where, size, who,
      [&](auto count, auto& scratch) {
        find_components(where, {1, size.height, size.width}, near, relation, count, scratch);
      },
      [&](auto labels, auto& scratch) { number_components(where, labels, scratch); });
}

/// As connected_into, for one map, and allocates.
/// @return labels [H,W], and their count
/// @throws     precondition_error also when the components do not fit Label
/// @asynchrony gpu: waits for where.stream, for the count; then enqueues the labels
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected(P const& where, M const& mask,
                                                              neighbourhood const& near = c4)
{
  auto const in = as_view<2>(mask, "connected: mask");
  expects_usual(near);
  using S = typename P::memory;
  using T = value_of<M, 2>;
  extent2 const size{in.extent[0], in.extent[1]};
  stack_view<T const, S> const maps = maps_of(in);
  if (!(near == c8)) return components_of_relation<Label>(where, size, near, inside_mask<T, S>{maps}, "connected");
  return components_of<Label>(
      where, size, "connected",
      [&](auto count, auto& scratch) { find_block_components<P, T>(where, maps, count, scratch); },
      [&](auto labels, auto& scratch) { number_block_components(where, labels, scratch); });
}

/// As connected_equal_into, for one map, and allocates. Otherwise as connected.
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected_equal(P const& where, M const& labels,
                                                                    neighbourhood const& near = c4,
                                                                    value_of<M, 2> background = 0)
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "connected_equal: labels are integers");
  auto const in = as_view<2>(labels, "connected_equal: labels");
  expects_usual(near);
  return components_of_relation<Label>(where, {in.extent[0], in.extent[1]}, near,
                                       equal_labels<value_of<M, 2>, typename P::memory>{maps_of(in), background},
                                       "connected_equal");
}

/// Label the components of any relation between neighbours on a device, on memory given: the map is as large as `out`.
///
/// @param inside  inside(y, x): callable where P runs, for a gpu a struct with a CAMBIUM_HD operator()
/// @param join    join(y, x, ny, nx): symmetric; callable as inside. It is asked from either end and more than once
/// @param out     [H,W], not what the predicates read
/// @throws     precondition_error when a neighbour does not come before its cell, and as connected_into
///
/// Everything else as connected_into, and as connected_if in connected.hpp.
template <execution_policy P, class Inside, class Join, image_like O, class N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 2>> && gridded<N, 1>
void connected_if_into(P const& where, neighbourhood const& near, Inside const& inside, Join const& join, O&& out,
                       N&& count, connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  auto const to = maps_of(as_view<2>(out, "connected_if: out"));
  view<index_t, 1, S> const number = as_view<1>(count, "connected_if: count");
  expects_before(near, "connected_if");
  expects(number.extent[0] == 1, "connected_if: count is ", number, " instead of one cell");
  expects(!overlap(to, number), "connected_if: count overlaps out");
  expects(numbers_cells<Index>(1, to.extent[1], to.extent[2]), "connected_if: out is ", to,
          ", too large for this scratch; use connected_scratch<P, index_t>");
  find_components(where, to.extent, near, relation_of<Inside, Join>{inside, join}, number, scratch);
  number_components(where, to, scratch);
}

/// As connected_if_into, and allocates. Otherwise as connected.
/// @param size  [cells] height and width
template <class Label = std::int32_t, execution_policy P, class Inside, class Join>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] components<Label, typename P::memory> connected_if(P const& where, extent2 size,
                                                                 neighbourhood const& near, Inside const& inside,
                                                                 Join const& join)
{
  expects(size.height >= 0 && size.width >= 0, "connected_if: size is ", size.height, " x ", size.width);
  expects_before(near, "connected_if");
  return components_of_relation<Label>(where, size, near, relation_of<Inside, Join>{inside, join}, "connected_if");
}

}  // namespace cambium
