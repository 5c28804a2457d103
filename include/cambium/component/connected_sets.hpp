#pragma once
// The schedule of connected for any policy but the cpu: union-find over cells, or over blocks of cells where corners
// connect.

#include <cambium/component/connected_relation.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/union_find.hpp>

#include <concepts>
#include <cstdint>
#include <limits>

namespace cambium {

/// What rules label in. It grows to the largest map.
template <class P, std::signed_integral Index>
struct connected_sets_scratch {
  using S = typename P::memory;
  grid<Index, 1, S> parent;          ///< the first cell, or block, of each one's component; -1 outside
  grid<Index, 1, S> order;           ///< how many components begin before a place; and of all
  grid<Index, 1, S> first;           ///< of blocks: the place where the component of a first block begins
  grid<std::uint8_t, 1, S> pattern;  ///< of blocks: which cells are set
  workspace<P> running;
};

namespace rule {

/// A label, or the largest one where it does not fit.
template <class Label>
CAMBIUM_HD Label fitting_label(index_t number, Label most)
{
  return static_cast<std::uint64_t>(number) > static_cast<std::uint64_t>(most) ? most : static_cast<Label>(number);
}

/// Does a component begin here? One entry more stands behind the last.
template <class Index>
struct mark_first_cell {
  Index const* parent;
  index_t cells;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const { order[i] = i < cells && parent[i] == i ? Index(1) : Index(0); }
};

/// How many components map b has.
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

/// The number of the component a cell belongs to, counted within its map.
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

// Masks whose corners connect: blocks of 2 x 2 cells, whose set cells always belong together.

/// How many blocks a map has.
struct block_extent {
  index_t height;
  index_t width;

  explicit block_extent(index_t const (&extent)[3]) : height((extent[1] + 1) / 2), width((extent[2] + 1) / 2) {}
};

/// Which cells of a block are set: 1 2 in its upper row, 4 8 in its lower one.
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

/// Where the component of a block begins. Places are (row of cells, column of blocks): two components never begin at
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

/// Mark where a component begins.
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

/// The number of the component of a cell's block, if the cell is set.
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

}  // namespace rule

/// Any relation: cell by cell.
template <class P, class Label, class Relation, class Index>
void connected_on(P const& where, Relation const& of, neighbourhood const& near,
                  stack_view<Label, typename P::memory> out, view<index_t, 1, typename P::memory> count,
                  connected_sets_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  index_t const cells = out.size();
  Index* const parent = reserve(where, scratch.parent, cells);
  Index* const order = reserve(where, scratch.order, cells + 1);
  if (cells > 0) find_sets(where, out.extent, near, of, parent);
  for_each_index(where, cells + 1, rule::mark_first_cell<Index>{parent, cells, order});
  exclusive_scan(where, cells + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, out.extent[0], rule::count_components<Index, S>{order, out.extent[1] * out.extent[2], count});
  for_each_cell(where, out.extent,
                rule::number_cell<Label, Index, S>{parent, order, std::numeric_limits<Label>::max(), out});
}

/// A mask: by blocks where corners connect.
/// @source Allegretti, Bolelli, Grana 2019
template <class P, class Label, class T, class Index>
void connected_on(P const& where, rule::inside_mask<T, typename P::memory> const& of, neighbourhood const& near,
                  stack_view<Label, typename P::memory> out, view<index_t, 1, typename P::memory> count,
                  connected_sets_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  using relation = rule::inside_mask<T, S>;
  if (!(near == c8)) return connected_on<P, Label, relation, Index>(where, of, near, out, count, scratch);
  rule::block_extent const size(out.extent);
  index_t const extent[3] = {out.extent[0], size.height, size.width};
  index_t const blocks = extent[0] * size.height * size.width, places = 2 * blocks;
  std::uint8_t* const pattern = reserve(where, scratch.pattern, blocks);
  Index* const parent = reserve(where, scratch.parent, blocks);
  Index* const first = reserve(where, scratch.first, blocks);
  Index* const order = reserve(where, scratch.order, places + 1);
  for_each_cell(where, extent, rule::read_block<T, S>{of.mask, size, pattern});
  if (blocks > 0) find_sets(where, extent, c8, rule::touching_blocks{pattern, size}, parent);
  fill(where, blocks, first, std::numeric_limits<Index>::max());
  fill(where, places + 1, order, Index(0));
  for_each_cell(where, extent, rule::find_begin<Index>{pattern, size, parent, first});
  for_each_index(where, blocks, rule::mark_begin<Index>{parent, first, order});
  exclusive_scan(where, places + 1, static_cast<Index const*>(order), order, scratch.running);
  for_each_index(where, extent[0],
                 rule::count_components<Index, S>{order, 2 * size.height * size.width, count});
  for_each_cell(where, out.extent,
                rule::number_cell_of_block<Label, Index, S>{pattern, size, parent, first, order,
                                                            std::numeric_limits<Label>::max(), out});
}

}  // namespace cambium
