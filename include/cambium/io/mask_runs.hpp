#pragma once
// Sets of masks from run lengths and back.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/io/rle.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cambium {

/// Pack masks from run lengths, without a map of cells: ends of runs are marked as bits, and each row is added to the
/// row below it, 64 cells at a time.
///
/// @param masks  N masks of the image's size
/// @throws       precondition_error: a mask of another size, counts that do not fill the image
/// @complexity   Theta(runs + columns + words of the box), per mask
/// @determinism  exact
[[nodiscard]] inline mask_set<> pack_masks(cpu const& where, std::span<rle const> masks, extent2 image)
{
  expects_image(image, "pack_masks");
  for (std::size_t i = 0; i < masks.size(); ++i) {
    expects(masks[i].height == image.height && masks[i].width == image.width, "pack_masks: mask ",
            static_cast<index_t>(i), " is ", masks[i].height, " x ", masks[i].width, ", but the image ", image.height,
            " x ", image.width);
    std::string const error = error_in(masks[i]);
    expects(error.empty(), "pack_masks: mask ", static_cast<index_t>(i), ": ", error);
  }
  return fill_masks(where, image, static_cast<index_t>(masks.size()), [&](index_t i, image_view<std::uint64_t> rows) {
    rle const& mask = masks[static_cast<std::size_t>(i)];
    box const around = bounds_of_turns(image, turns_of(mask));
    index_t const first = around.left / 64, last = (around.right + 63) / 64;
    for (index_t y = around.top; y < around.bottom; ++y)
      std::fill(&rows(y, first), &rows(y, first) + (last - first), 0);
    for_each_column_run(mask, [&](index_t x, index_t top, index_t bottom) {
      std::uint64_t const bit = std::uint64_t{1} << x % 64;
      rows(top, x / 64) ^= bit;
      if (bottom < around.bottom) rows(bottom, x / 64) ^= bit;
    });
    for (index_t y = around.top + 1; y < around.bottom; ++y)
      for (index_t w = first; w < last; ++w) rows(y, w) ^= rows(y - 1, w);
    return around;
  });
}

/// Encode mask i of a set.
/// @throws       precondition_error: there is no mask i
/// @complexity   Theta(words of the box + columns + runs)
/// @determinism  exact
[[nodiscard]] inline rle encode_rle(mask_set<> const& masks, index_t i)
{
  expects_masks(masks, "encode_rle");
  expects(0 <= i && i < masks.size(), "encode_rle: mask ", i, " of ", masks.size());
  masks_view<> const from(masks);
  packed_mask const& m = masks.masks(i);
  return encode_bits(masks.image, m.bounds, [&](index_t y, index_t x, index_t n) {
    index_t const w = x / 64, shift = x % 64;
    std::uint64_t set = from.word(m, y, w) >> shift;
    if (shift > 0) set |= from.word(m, y, w + 1) << (64 - shift);
    return set & low_bits(n);
  });
}

/// Encode all masks of a set.
/// @determinism exact
[[nodiscard]] inline std::vector<rle> encode_rle(cpu const& where, mask_set<> const& masks)
{
  expects_masks(masks, "encode_rle");
  std::vector<rle> out(static_cast<std::size_t>(masks.size()));
  for_each_share(where, masks.size(), 8, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) out[static_cast<std::size_t>(i)] = encode_rle(masks, i);
  });
  return out;
}

}  // namespace cambium
