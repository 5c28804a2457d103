#pragma once
// Masks of one image, one bit a pixel.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/memory.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Where the cells of one mask are: rows of words, of the rows of its box. Word w of a row has the columns 64 w to
/// 64 w + 63, the first in the lowest bit. Bits outside the box are 0.
struct packed_mask {
  box bounds;         ///< smallest around the mask; all zeros without a cell
  index_t area = 0;   ///< [cells]
  index_t first = 0;  ///< place of the first word

  CAMBIUM_HD index_t first_word() const { return bounds.left / 64; }
  CAMBIUM_HD index_t end_word() const { return (bounds.right + 63) / 64; }
  CAMBIUM_HD index_t row_words() const { return end_word() - first_word(); }
  CAMBIUM_HD index_t size() const { return (bounds.bottom - bounds.top) * row_words(); }  ///< [words]

  friend bool operator==(packed_mask const&, packed_mask const&) = default;
};

/// Masks of one image. They may overlap. A mask takes the words of its box only: 200 masks of 640 x 640 take at most
/// 10.24 MB, and a quarter of it where boxes are half as wide and high as the image.
/// pack_masks(), masks_of_labels() and io/mask_runs.hpp make them.
template <class Space = host>
struct mask_set {
  extent2 image;
  grid<packed_mask, 1, Space> masks;    ///< [N]
  grid<std::uint64_t, 1, Space> words;  ///< of all masks, one after another

  index_t size() const { return masks.view().extent[0]; }

  /// Same image and same masks.
  friend bool operator==(mask_set const&, mask_set const&) = default;
};

/// Read access to masks, for rules.
template <class Space = host>
struct masks_view {
  packed_mask const* masks = nullptr;
  std::uint64_t const* words = nullptr;
  index_t count = 0;

  masks_view() = default;
  masks_view(mask_set<Space> const& of) : masks(of.masks.view().data), words(of.words.view().data), count(of.size()) {}

  /// The first word of the mask in row y of its box.
  CAMBIUM_HD std::uint64_t const* row(packed_mask const& m, index_t y) const
  {
    return words + m.first + (y - m.bounds.top) * m.row_words();
  }

  /// Word w of row y of a mask, 0 outside its box.
  CAMBIUM_HD std::uint64_t word(packed_mask const& m, index_t y, index_t w) const
  {
    if (y < m.bounds.top || y >= m.bounds.bottom || w < m.first_word() || w >= m.end_word()) return 0;
    return row(m, y)[w - m.first_word()];
  }

  /// Is the cell in mask i?
  CAMBIUM_HD bool inside(index_t i, index_t y, index_t x) const
  {
    return (word(masks[i], y, x / 64) >> (x % 64) & 1) != 0;
  }
};

/// Call body(y, w, word) for every word of a mask, row by row.
template <class S, class Body>
void for_each_word(masks_view<S> const& from, packed_mask const& m, Body const& body)
{
  index_t const first = m.first_word(), words = m.row_words();
  for (index_t y = m.bounds.top; y < m.bounds.bottom; ++y) {
    std::uint64_t const* const row = from.row(m, y);
    for (index_t w = 0; w < words; ++w) body(y, first + w, row[w]);
  }
}

/// The words of a row of an image.
inline index_t words_of_row(index_t width) { return (width + 63) / 64; }

/// Throws unless the boxes of masks lie on their image and their words in memory. `who` begins the message.
/// @complexity Theta(N)
inline void expects_masks(mask_set<> const& set, char const* who)
{
  auto const [H, W] = set.image;
  expects(H >= 0 && W >= 0, who, ": the masks are of an image of ", H, " x ", W);
  index_t const most = set.words.size();
  for (index_t i = 0; i < set.size(); ++i) {
    packed_mask const& m = set.masks(i);
    box const& b = m.bounds;
    expects(0 <= b.top && b.top <= b.bottom && b.bottom <= H && 0 <= b.left && b.left <= b.right && b.right <= W, who,
            ": the box of mask ", i, " is ", b.top, ",", b.left, " to ", b.bottom, ",", b.right, " on an image of ", H,
            " x ", W);
    expects(0 <= m.first && m.first <= most && m.size() <= most - m.first, who, ": the words of mask ", i,
            " are beyond the ", most, " there are");
  }
}

namespace rule {

/// Finds box and area of the cells in rows of words, and copies the words of the box.
struct tighten {
  image_view<std::uint64_t const> rows;  ///< [H, words_of_row(W)]
  box around;                            ///< no cell is outside its rows and words
  packed_mask* mask;
  std::vector<std::uint64_t>* to;  ///< the words are appended

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    index_t const first = around.left / 64, last = (around.right + 63) / 64;
    packed_mask found;
    index_t top = around.bottom, bottom = 0, low = last, high = first;
    for (index_t y = around.top; y < around.bottom; ++y) {
      std::uint64_t any = 0;
      for (index_t w = first; w < last; ++w) {
        std::uint64_t const word = rows(y, w);
        any |= word;
        found.area += count_bits(word);
        if (word != 0) low = w < low ? w : low, high = w + 1 > high ? w + 1 : high;
      }
      if (any != 0) top = y < top ? y : top, bottom = y + 1;
    }
    found.first = static_cast<index_t>(to->size());
    if (found.area > 0) {
      std::uint64_t left = 0, right = 0;
      for (index_t y = top; y < bottom; ++y) left |= rows(y, low), right |= rows(y, high - 1);
      found.bounds = {top, 64 * low + __builtin_ctzll(left), bottom, 64 * high - __builtin_clzll(right)};
      for (index_t y = top; y < bottom; ++y) to->insert(to->end(), &rows(y, low), &rows(y, low) + (high - low));
    }
    *mask = found;
  }
};

}  // namespace rule

/// Make masks from rows of words.
///
/// @param image  size of the image
/// @param count  [masks]
/// @param fill   fill(i, rows) -> box writes mask i into rows [H, words_of_row(W)] and returns a box around it. It
///               writes every word of the rows and columns of that box. Bits from W on are 0. Calls run in parallel
/// @complexity   Theta(words of the boxes), and what fill takes
/// @determinism  exact
template <class Fill>
[[nodiscard]] mask_set<> fill_masks(cpu const& where, extent2 image, index_t count, Fill const& fill)
{
  mask_set<> out{image, make_grid<packed_mask>({count}), {}};
  index_t const across = words_of_row(image.width);
  // One list of words a mask would be many small allocations; one for all would have to be filled in order.
  constexpr index_t masks_a_list = 8;
  index_t const lists = (count + masks_a_list - 1) / masks_a_list;
  std::vector<std::vector<std::uint64_t>> words(static_cast<std::size_t>(lists));
  isa const set = vectors_of(where);
  for_each_share(where, lists, 1, [&](index_t begin, index_t end) {
    auto rows = make_grid<std::uint64_t>({image.height, across});
    for (index_t list = begin; list < end; ++list) {
      auto& to = words[static_cast<std::size_t>(list)];
      for (index_t i = list * masks_a_list; i < std::min(count, (list + 1) * masks_a_list); ++i) {
        box const around = fill(i, rows.view());
        run_widest(set, rule::tighten{rows.view(), around, &out.masks(i), &to});
      }
      to.shrink_to_fit();
    }
  });
  index_t total = 0;
  for (index_t list = 0; list < lists; ++list) {
    for (index_t i = list * masks_a_list; i < std::min(count, (list + 1) * masks_a_list); ++i)
      out.masks(i).first += total;
    total += static_cast<index_t>(words[static_cast<std::size_t>(list)].size());
  }
  out.words = make_grid<std::uint64_t>({total});
  std::uint64_t* to = out.words.data();
  for (auto& list : words) {
    to = std::copy(list.begin(), list.end(), to);
    list = {};
  }
  return out;
}

/// Pack masks, 64 pixels a word.
///
/// @param masks  [N,H,W] a cell is inside if it is not 0; NaN is inside, as in NumPy
/// @throws       precondition_error: not three axes
/// @complexity   Theta(N * H * W), bytes 16 at a time; a scratch of H * W / 8 bytes a thread
/// @determinism  exact
template <stack_like M>
  requires reaches<cpu, space_of<M, 3>>
[[nodiscard]] mask_set<> pack_masks(cpu const& where, M const& masks)
{
  auto const in = as_view<3>(masks, "pack_masks: masks");
  index_t const H = in.extent[1], W = in.extent[2];
  return fill_masks(where, {H, W}, in.extent[0], [&](index_t i, image_view<std::uint64_t> rows) {
    for (index_t y = 0; y < H; ++y)
      for (index_t w = 0; 64 * w < W; ++w)
        rows(y, w) = nonzero_bits(&in(i, y, 64 * w), std::min<index_t>(64, W - 64 * w));
    return box{0, 0, H, W};
  });
}

/// Pack the masks where maps are above a limit, for example the logits of a network above 0.
///
/// @param maps   [N,H,W] finite or not; NaN is never above
/// @param limit  a cell is inside if it is larger, strictly
/// @determinism  exact: the limit is rounded to the type of the maps first
template <stack_like M>
  requires reaches<cpu, space_of<M, 3>>
[[nodiscard]] mask_set<> pack_masks_above(cpu const& where, M const& maps, double limit)
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "pack_masks_above: maps");
  index_t const H = in.extent[1], W = in.extent[2];
  T const above = static_cast<T>(limit);
  return fill_masks(where, {H, W}, in.extent[0], [&](index_t i, image_view<std::uint64_t> rows) {
    for (index_t y = 0; y < H; ++y)
      for (index_t w = 0; 64 * w < W; ++w) {
        T const* const cells = &in(i, y, 64 * w);
        std::uint64_t set = 0;
        for (index_t x = 0, n = std::min<index_t>(64, W - 64 * w); x < n; ++x)
          set |= std::uint64_t{cells[x] > above} << x;
        rows(y, w) = set;
      }
    return box{0, 0, H, W};
  });
}

/// Pack the labels of a map: mask i has the cells of label i + 1. Other labels, for example label::ignore, are in none.
///
/// @param labels [H,W] integers
/// @param count  [masks] >= 0
/// @throws       precondition_error: a negative count
/// @complexity   Theta(count * H * W), 16 bytes at a time
/// @determinism  exact
template <image_like L>
  requires reaches<cpu, space_of<L, 2>>
[[nodiscard]] mask_set<> masks_of_labels(cpu const& where, L const& labels, index_t count)
{
  using T = value_of<L, 2>;
  static_assert(std::is_integral_v<T>, "masks_of_labels: labels are integers");
  auto const in = as_view<2>(labels, "masks_of_labels: labels");
  index_t const H = in.extent[0], W = in.extent[1];
  expects(count >= 0, "masks_of_labels: count is ", count);
  return fill_masks(where, {H, W}, count, [&](index_t i, image_view<std::uint64_t> rows) {
    T const value = static_cast<T>(i + 1);
    if (std::cmp_not_equal(static_cast<std::int64_t>(value), i + 1)) return box{};  // no cell can hold it
    for (index_t y = 0; y < H; ++y)
      for (index_t w = 0; 64 * w < W; ++w)
        rows(y, w) = equal_bits<T>(&in(y, 64 * w), nullptr, value, std::min<index_t>(64, W - 64 * w));
    return box{0, 0, H, W};
  });
}

/// Choose masks, in any order, also several times.
///
/// @param which  places of masks
/// @throws       precondition_error: a place without a mask, a damaged set
/// @complexity   Theta(words that are copied)
[[nodiscard]] inline mask_set<> select_masks(mask_set<> const& from, std::span<index_t const> which)
{
  expects_masks(from, "select_masks");
  index_t total = 0;
  for (std::size_t i = 0; i < which.size(); ++i) {
    expects(0 <= which[i] && which[i] < from.size(), "select_masks: which(", static_cast<index_t>(i), ") is ", which[i],
            ", but there are ", from.size(), " masks");
    total += from.masks(which[i]).size();
  }
  mask_set<> out{from.image, make_grid<packed_mask>({static_cast<index_t>(which.size())}),
                 make_grid<std::uint64_t>({total})};
  index_t at = 0;
  for (std::size_t i = 0; i < which.size(); ++i) {
    packed_mask const& m = from.masks(which[i]);
    std::copy_n(from.words.data() + m.first, m.size(), out.words.data() + at);
    out.masks(static_cast<index_t>(i)) = {m.bounds, m.area, at};
    at += m.size();
  }
  return out;
}

namespace rule {

/// Bits become cells.
template <class T, class S>
struct unpack_cell {
  masks_view<S> from;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t i, index_t y, index_t x) const
  {
    out(i, y, x) = static_cast<T>(from.inside(i, y, x));
  }
};

}  // namespace rule

/// Unpack masks to cells.
///
/// @param out    [N,H,W] becomes 1 inside, 0 outside
/// @throws       precondition_error before anything is written
/// @complexity   Theta(N * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like O>
  requires reaches<P, space_of<O, 3>>
void unpack_masks_into(P const& where, mask_set<typename P::memory> const& masks, O&& out)
{
  auto const to = as_view<3>(out, "unpack_masks: out");
  using T = value_of<O, 3>;
  if constexpr (std::is_same_v<typename P::memory, host>) expects_masks(masks, "unpack_masks");
  expects(to.extent[0] == masks.size() && to.extent[1] == masks.image.height && to.extent[2] == masks.image.width,
          "unpack_masks: out is ", to, " but there are ", masks.size(), " masks of ", masks.image.height, " x ",
          masks.image.width);
  for_each_cell(where, to.extent, rule::unpack_cell<T, typename P::memory>{masks, to});
}

/// As unpack_masks_into, and allocates.
/// @return grid<std::uint8_t, 3> [N,H,W] in the memory of the policy
template <execution_policy P>
[[nodiscard]] auto unpack_masks(P const& where, mask_set<typename P::memory> const& masks)
{
  auto out = make_grid<std::uint8_t>(where, {masks.size(), masks.image.height, masks.image.width});
  unpack_masks_into(where, masks, out);
  return out;
}

/// The same masks in the memory of a policy.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P>
[[nodiscard]] mask_set<typename P::memory> masks_to(P const& where, mask_set<> const& from)
{
  if constexpr (std::is_same_v<typename P::memory, host>) {
    return from;
  } else {
    mask_set<typename P::memory> out{from.image, make_grid<packed_mask>(where, {from.size()}),
                                     make_grid<std::uint64_t>(where, {from.words.size()})};
    copy(where, from.masks.view(), out.masks.view());
    copy(where, from.words.view(), out.words.view());
    wait_for(where, "masks_to");
    return out;
  }
}

}  // namespace cambium
