#pragma once
// Masks as run lengths, column by column, the form of COCO's tools.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
[[nodiscard]] inline std::string error_in(rle const& mask)
{
  auto const size = [&] { return std::to_string(mask.height) + " x " + std::to_string(mask.width); };
  if (mask.height < 0 || mask.width < 0 ||
      (mask.width > 0 && mask.height > std::numeric_limits<index_t>::max() / mask.width))
    return "an image of " + size();
  index_t const cells = mask.height * mask.width;
  std::uint64_t left = static_cast<std::uint64_t>(cells), odd = 0;  // the top bit of odd: negative, or past the end
  for (index_t const c : mask.counts)
    left -= static_cast<std::uint64_t>(c), odd |= static_cast<std::uint64_t>(c) | left;
  if (left == 0 && odd >> 63 == 0) return "";
  index_t rest = cells;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    if (mask.counts[i] < 0) return "count " + std::to_string(i) + " is " + std::to_string(mask.counts[i]);
    if (mask.counts[i] > rest) return "count " + std::to_string(i) + " runs past the end of an image of " + size();
    rest -= mask.counts[i];
  }
  if (rest > 0) return "the counts end " + std::to_string(rest) + " pixels before the end of an image of " + size();
  return "";
}

/// Throw precondition_error unless run lengths fill their image. `who` begins the message.
inline void expects_runs(rle const& mask, char const* who)
{
  std::string const error = error_in(mask);
  expects(error.empty(), who, ": ", error);
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
                     [&](index_t y, index_t x, index_t n) { return nonzero_bits(&v(y, x), n); });
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

/// How many counts a text has: characters that end one.
[[nodiscard]] inline std::size_t count_of_counts(std::string_view text)
{
  std::size_t out = 0;
  for (char const c : text) out += ((c - '0') & 32) == 0;
  return out;
}

/// Read compressed `counts` of a mask of known size; see parse_counts. What `mask.counts` has reserved is used.
inline void parse_counts_into(std::string_view text, rle& mask, std::string const& name)
{
  mask.counts.clear();
  mask.counts.reserve(count_of_counts(text));
  for (std::size_t at = 0; at < text.size();) {
    std::uint64_t bits = 0;
    for (int shift = 0;; shift += 5) {
      if (at == text.size()) throw io_error(name + ": ends inside a count");
      int const six = text[at] - '0';
      if (six < 0 || six > 63)
        throw io_error(name + ": character " + std::to_string(at) + " is not one of '0' to 'o'" +
                       (text.starts_with("b'") || text.starts_with("b\"")
                            ? "; these are Python's bytes written with str(): write counts.decode()"
                            : ""));
      if (shift > 55) throw io_error(name + ": the count at character " + std::to_string(at) + " is too long");
      ++at;
      bits |= static_cast<std::uint64_t>(six & 31) << shift;
      if ((six & 32) != 0) continue;
      bits |= (0 - static_cast<std::uint64_t>(six >> 4 & 1)) << (shift + 5);  // the sign
      break;
    }
    auto const count = static_cast<index_t>(bits);  // at most 60 bits: the sum of two fits
    index_t const base = mask.counts.size() > 2 ? mask.counts[mask.counts.size() - 2] : 0;
    if (count + base < 0 || count + base > index_t{1} << 60)
      throw io_error(name + ": count " + std::to_string(mask.counts.size()) + " is " + std::to_string(count + base));
    mask.counts.push_back(count + base);
  }
  if (std::string const error = error_in(mask); !error.empty()) throw io_error(name + ": " + error);
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
  parse_counts_into(text, mask, name);
  return mask;
}

// --- boxes, overlaps, unions of masks ---------------------------------------------------------------------------

/// The smallest box around the cells between turns; all zeros if there are none.
/// @pre turns_of a mask of this size
/// @complexity Theta(turns)
[[nodiscard]] inline box bounds_of_turns(extent2 image, std::span<index_t const> turns)
{
  index_t const H = image.height;
  box out{H, image.width, 0, 0};
  index_t column = 0, begin = 0;  // of the last end, and its first cell
  auto const move_to = [&](index_t at) {
    if (at < begin + H) return;
    ++column, begin += H;  // most runs are of the next column
    if (at >= begin + H) column += (at - begin) / H, begin = column * H;
  };
  for (std::size_t i = 0; i < turns.size(); i += 2) {
    if (turns[i] == turns[i + 1]) continue;
    move_to(turns[i]);
    index_t const first = column, top = turns[i] - begin;
    move_to(turns[i + 1] - 1);
    bool const one = first == column;  // over several columns: the end of the first and the top of the last
    out.top = std::min(out.top, one ? top : 0);
    out.bottom = std::max(out.bottom, one ? turns[i + 1] - begin : H);
    out.left = std::min(out.left, first);
    out.right = column + 1;
  }
  return out.right == 0 ? box{} : out;
}

/// The smallest box around a mask; all zeros if it is empty.
/// @throws precondition_error unless the counts fill the image
/// @complexity Theta(runs)
/// @source rleToBbox, common/maskApi.c of cocodataset/cocoapi. Here empty runs do not count
[[nodiscard]] inline box bounds_of(rle const& mask)
{
  expects_runs(mask, "bounds_of");
  return bounds_of_turns({mask.height, mask.width}, turns_of(mask));
}

}  // namespace cambium
