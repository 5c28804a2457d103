#pragma once
// Masks as run lengths, column by column, the form of COCO's tools.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if CAMBIUM_X86
#include <emmintrin.h>
#endif

namespace cambium {

/// Lengths of runs of a mask, **column by column** (down, then right), starting with a run of zeros that may be empty.
/// Functions of this file return no empty run except the first. They accept empty runs everywhere.
struct rle {
  index_t height = 0;
  index_t width = 0;
  std::vector<index_t> counts;

  index_t area() const
  {
    index_t n = 0;
    for (std::size_t i = 1; i < counts.size(); i += 2) n += counts[i];
    return n;
  }
  friend bool operator==(rle const&, rle const&) = default;
};

/// Find the error of run lengths; "" for valid ones. Valid run lengths are >= 0 and fill the image.
/// @complexity Theta(runs)
[[nodiscard]] inline std::string fault_of(rle const& mask)
{
  auto const size = std::to_string(mask.height) + " x " + std::to_string(mask.width);
  if (mask.height < 0 || mask.width < 0 ||
      (mask.width > 0 && mask.height > std::numeric_limits<index_t>::max() / mask.width))
    return "an image of " + size;
  index_t rest = mask.height * mask.width;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    if (mask.counts[i] < 0) return "count " + std::to_string(i) + " is " + std::to_string(mask.counts[i]);
    if (mask.counts[i] > rest) return "count " + std::to_string(i) + " runs past the end of an image of " + size;
    rest -= mask.counts[i];
  }
  if (rest > 0) return "the counts end " + std::to_string(rest) + " pixels before the end of an image of " + size;
  return "";
}

/// Throw precondition_error unless run lengths fill their image. `who` begins the message.
inline void expects_runs(rle const& mask, char const* who)
{
  std::string const fault = fault_of(mask);
  expects(fault.empty(), who, ": ", fault);
}

/// Throw precondition_error for negative sizes, and for sizes whose number of cells overflows. `who` begins the
/// message.
inline void expects_image(extent2 image, char const* who)
{
  expects(
      image.height >= 0 && image.width >= 0 && (image.width == 0 || image.height <= (index_t{1} << 62) / image.width),
      who, ": an image of ", image.height, " x ", image.width);
}

/// Positions x * height + y, ascending, at which a mask changes between outside and inside.
/// Their number is even: a mask whose last cell is set changes at the end.
/// @complexity Theta(runs)
[[nodiscard]] inline std::vector<index_t> turns_of(rle const& mask)
{
  std::vector<index_t> turns(mask.counts.size() & ~std::size_t{1});
  index_t at = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) turns[i] = at += mask.counts[i];
  return turns;
}

/// Make the mask that changes at these positions. Two changes at one position cancel.
/// @param turns ascending, in 0..height * width
/// @complexity Theta(turns)
[[nodiscard]] inline rle rle_of_turns(extent2 image, std::vector<index_t> turns)
{
  index_t const cells = image.height * image.width;
  std::size_t kept = 0;
  for (index_t const at : turns)
    if (kept > 0 && turns[kept - 1] == at)
      --kept;
    else
      turns[kept++] = at;
  if (kept > 0 && turns[kept - 1] == cells) --kept;
  turns.resize(kept + 1);
  turns[kept] = cells;
  for (std::size_t i = kept; i > 0; --i) turns[i] -= turns[i - 1];
  return {image.height, image.width, std::move(turns)};
}

// --- encode and decode -----------------------------------------------------------------------------------

/// A bit for each of n <= 64 cells: 1 if the cell is nonzero. The first cell is the lowest bit.
template <class T>
std::uint64_t set_bits(T const* cells, index_t n)
{
  std::uint64_t set = 0;
#if CAMBIUM_X86
  if constexpr (sizeof(T) == 1)
    if (n == 64) {
      __m128i const zero = _mm_setzero_si128();
      for (int i = 0; i < 4; ++i) {
        __m128i const part = _mm_loadu_si128(reinterpret_cast<__m128i const*>(cells + 16 * i));
        auto const clear = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, zero)));
        set |= std::uint64_t{~clear & 0xFFFFu} << (16 * i);
      }
      return set;
    }
#endif
  for (index_t i = 0; i < n; ++i) set |= std::uint64_t{cells[i] != T{}} << i;
  return set;
}

/// Encode the cells of `bounds`. Rows are given as bits: bits(y, x, n) has the cells (y,x) to (y,x+n-1), the first in
/// the lowest bit. A row is compared with the row above, 64 cells at a time, so only changes cost more. A counting sort
/// then orders the changes by column.
/// @complexity Theta(cells of the box / 64 + columns + runs)
template <class Bits>
[[nodiscard]] rle encode_bits(extent2 image, box bounds, Bits const& bits)
{
  expects(0 <= bounds.top && bounds.top <= bounds.bottom && bounds.bottom <= image.height && 0 <= bounds.left &&
              bounds.left <= bounds.right && bounds.right <= image.width,
          "encode_rle: the box ", bounds.top, ",", bounds.left, " to ", bounds.bottom, ",", bounds.right,
          " leaves the image of ", image.height, " x ", image.width);
  index_t const rows = bounds.bottom - bounds.top, columns = bounds.right - bounds.left, words = (columns + 63) / 64;
  if (rows == 0 || columns == 0) return {image.height, image.width, {image.height * image.width}};
  auto set = make_grid<std::uint64_t>({rows, words});
  for (index_t y = 0; y < rows; ++y)
    for (index_t w = 0; w < words; ++w)
      set(y, w) = bits(bounds.top + y, bounds.left + 64 * w, std::min<index_t>(64, columns - 64 * w));

  // The row above the first row: zeros, or the end of the previous column if the box has the image's height.
  bool const whole = rows == image.height;
  std::vector<std::uint64_t> above(static_cast<std::size_t>(words), 0);
  for (index_t w = 0; whole && w < words; ++w)
    above[static_cast<std::size_t>(w)] = set(rows - 1, w) << 1 | (w > 0 ? set(rows - 1, w - 1) >> 63 : 0);
  if (whole && columns % 64 != 0) above.back() &= (std::uint64_t{1} << columns % 64) - 1;
  auto const for_each_turn = [&](auto const& turn) {
    for (index_t y = 0; y < rows + !whole; ++y)
      for (index_t w = 0; w < words; ++w) {
        std::uint64_t const before = y > 0 ? set(y - 1, w) : above[static_cast<std::size_t>(w)];
        for (std::uint64_t change = (y < rows ? set(y, w) : 0) ^ before; change != 0; change &= change - 1)
          turn(y, 64 * w + std::countr_zero(change));
      }
  };

  std::vector<index_t> next(static_cast<std::size_t>(columns) + 1, 0);
  for_each_turn([&](index_t, index_t x) { ++next[static_cast<std::size_t>(x) + 1]; });
  for (std::size_t x = 1; x < next.size(); ++x) next[x] += next[x - 1];
  bool const open = whole && (set(rows - 1, words - 1) >> (columns - 1) % 64 & 1) != 0;
  std::vector<index_t> turns(static_cast<std::size_t>(next.back()) + open);
  for_each_turn([&](index_t y, index_t x) {
    turns[static_cast<std::size_t>(next[static_cast<std::size_t>(x)]++)] =
        (bounds.left + x) * image.height + bounds.top + y;
  });
  if (open) turns.back() = bounds.right * image.height;
  return rle_of_turns(image, std::move(turns));
}

/// Encode the cells of `bounds` for which inside(y, x) is true. The mask has no cells outside `bounds`.
/// @throws precondition_error if the box leaves the image
/// @complexity Theta(cells of the box)
template <class Inside>
[[nodiscard]] rle encode_rle(extent2 image, box bounds, Inside const& inside)
{
  return encode_bits(image, bounds, [&](index_t y, index_t x, index_t n) {
    std::uint64_t set = 0;
    for (index_t i = 0; i < n; ++i) set |= std::uint64_t{static_cast<bool>(inside(y, x + i))} << i;
    return set;
  });
}

/// Encode the nonzero cells of a mask.
///
/// @param mask [H,W]
/// @complexity   Theta(H * W), bytes 16 at a time, and the runs
/// @determinism  exact
/// @source       rleEncode, common/maskApi.c of cocodataset/cocoapi (format only). It takes the mask in columns. There
///               a change between two nonzero values ends a run
template <image_like M>
[[nodiscard]] rle encode_rle(M const& mask)
{
  auto const v = as_view<2>(mask, "encode_rle: mask");
  return encode_bits({v.extent[0], v.extent[1]}, {0, 0, v.extent[0], v.extent[1]},
                     [&](index_t y, index_t x, index_t n) { return set_bits(&v(y, x), n); });
}

/// Call inside(x, top, bottom) for each column's part of each run of ones, in order: cells (top..bottom-1, x).
/// @throws precondition_error unless the counts fill the image
/// @complexity Theta(runs + columns)
template <class Inside>
void for_each_column_run(rle const& mask, Inside const& inside)
{
  expects_runs(mask, "for_each_column_run");
  index_t const H = mask.height;
  index_t x = 0, y = 0;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    index_t rest = mask.counts[i];
    while (rest > 0) {
      index_t const part = std::min(rest, H - y);
      if (i % 2 == 1) inside(x, y, y + part);
      rest -= part, y += part;
      if (y == H) y = 0, ++x;
    }
  }
}

/// Decode a mask to cells.
///
/// The ends of runs are marked in the cells. Then each row is added to the row above, without carry.
///
/// @return [H,W] 1 inside, 0 outside
/// @throws       precondition_error unless the counts fill the image
/// @complexity   Theta(H * W / 8 + runs)
/// @determinism  exact
[[nodiscard]] inline grid<std::uint8_t, 2> decode_rle(rle const& mask)
{
  expects_runs(mask, "decode_rle");
  index_t const H = mask.height, W = mask.width;
  grid<std::uint8_t, 2> out(H, W);
  for_each_column_run(mask, [&](index_t x, index_t top, index_t bottom) {
    out(top, x) ^= 1;
    if (bottom < H) out(bottom, x) ^= 1;
  });
  for (index_t y = 1; W > 0 && y < H; ++y) {
    std::uint8_t *const row = &out(y, 0), *const above = row - W;
    index_t x = 0;
    for (; x + 8 <= W; x += 8) {
      std::uint64_t a, b;
      std::memcpy(&a, above + x, 8), std::memcpy(&b, row + x, 8);
      b ^= a;
      std::memcpy(row + x, &b, 8);
    }
    for (; x < W; ++x) row[x] ^= above[x];
  }
  return out;
}

// --- as text ---------------------------------------------------------------------------------------------

/// Format compressed `counts` as the COCO API does: six bits per character from '0', five of them payload. From the
/// fourth on, a count is the difference to the count two before.
/// @source rleToString, common/maskApi.c of cocodataset/cocoapi (format only)
[[nodiscard]] inline std::string compressed_counts(rle const& mask)
{
  std::string text;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    index_t rest = mask.counts[i] - (i > 2 ? mask.counts[i - 2] : 0);
    for (bool more = true; more;) {
      index_t const low = rest & 31;
      rest >>= 5;
      more = (low & 16) != 0 ? rest != -1 : rest != 0;
      text += static_cast<char>(48 + (low | (more ? 32 : 0)));
    }
  }
  return text;
}

/// Read compressed `counts`.
///
/// @param text   characters '0' to 'o'
/// @param image  the size the counts must fill
/// @param name   begins every message
/// @throws       io_error: other characters, a count that ends early, is negative or longer than 60 bits, or counts
///               that do not fill the image
/// @complexity   Theta(characters)
/// @source       rleFrString, common/maskApi.c of cocodataset/cocoapi (format only). It has no checks
[[nodiscard]] inline rle parse_counts(std::string_view text, extent2 image, std::string const& name)
{
  rle mask{image.height, image.width, {}};
  for (std::size_t at = 0; at < text.size();) {
    std::uint64_t bits = 0;
    for (int shift = 0;; shift += 5) {
      if (at == text.size()) throw io_error(name + ": ends inside a count");
      int const six = text[at] - '0';
      if (six < 0 || six > 63) throw io_error(name + ": character " + std::to_string(at) + " is not one of '0' to 'o'");
      if (shift > 55) throw io_error(name + ": the count at character " + std::to_string(at) + " is too long");
      ++at;
      bits |= static_cast<std::uint64_t>(six & 31) << shift;
      if ((six & 32) != 0) continue;
      if ((six & 16) != 0) bits |= ~std::uint64_t{0} << (shift + 5);
      break;
    }
    auto const count = static_cast<index_t>(bits);  // at most 60 bits: the sum of two fits
    index_t const base = mask.counts.size() > 2 ? mask.counts[mask.counts.size() - 2] : 0;
    if (count + base < 0 || count + base > index_t{1} << 60)
      throw io_error(name + ": count " + std::to_string(mask.counts.size()) + " is " + std::to_string(count + base));
    mask.counts.push_back(count + base);
  }
  if (std::string const fault = fault_of(mask); !fault.empty()) throw io_error(name + ": " + fault);
  return mask;
}

// --- boxes, overlaps, unions of masks ---------------------------------------------------------------------------

/// The smallest box around a mask; all zeros if it is empty.
/// @throws precondition_error unless the counts fill the image
/// @complexity Theta(runs)
/// @source rleToBbox, common/maskApi.c of cocodataset/cocoapi. Here empty runs do not count
[[nodiscard]] inline box bounds_of(rle const& mask)
{
  expects_runs(mask, "bounds_of");
  index_t const H = mask.height;
  auto const turns = turns_of(mask);
  box out{H, mask.width, 0, 0};
  for (std::size_t i = 0; i < turns.size(); i += 2) {
    if (turns[i] == turns[i + 1]) continue;
    index_t const first = turns[i] / H, last = (turns[i + 1] - 1) / H;
    bool const one = first == last;  // over several columns: the end of the first and the top of the last
    out.top = std::min(out.top, one ? turns[i] - first * H : 0);
    out.bottom = std::max(out.bottom, one ? turns[i + 1] - last * H : H);
    out.left = std::min(out.left, first);
    out.right = last + 1;
  }
  return out.right == 0 ? box{} : out;
}

/// Count the cells that two masks share, from the positions of their changes.
/// @complexity Theta(turns of both)
[[nodiscard]] inline index_t shared_cells(std::vector<index_t> const& a, std::vector<index_t> const& b)
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
  struct prepared {
    std::vector<index_t> turns;
    box bounds;
    index_t area;
  };
  auto const prepare = [&](std::vector<rle> const& masks) {
    std::vector<prepared> out;
    for (rle const& m : masks) {
      rle const& first = detected.empty() ? truth[0] : detected[0];
      expects_runs(m, "rle_iou");
      expects(m.height == first.height && m.width == first.width, "rle_iou: a mask is ", m.height, " x ", m.width,
              " but another one ", first.height, " x ", first.width);
      out.push_back({turns_of(m), bounds_of(m), m.area()});
    }
    return out;
  };
  auto const D = prepare(detected), G = prepare(truth);
  grid<double, 2> out(D.size(), G.size());
  for (std::size_t d = 0; d < D.size(); ++d)
    for (std::size_t g = 0; g < G.size(); ++g) {
      box const &a = D[d].bounds, &b = G[g].bounds;
      if (a.top >= b.bottom || b.top >= a.bottom || a.left >= b.right || b.left >= a.right) continue;
      index_t const both = shared_cells(D[d].turns, G[g].turns);
      bool const in_crowd = !crowd.empty() && crowd[g] != 0;
      index_t const all = in_crowd ? D[d].area : D[d].area + G[g].area - both;
      if (both > 0) out(d, g) = static_cast<double>(both) / static_cast<double>(all);
    }
  return out;
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
