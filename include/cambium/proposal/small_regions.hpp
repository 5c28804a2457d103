#pragma once
// Holes below an area are filled, islands below it are cleared.

#include <cambium/core/error.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/link_runs.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/run_band.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace cambium {

enum class small_regions {
  holes,    ///< components of the complement are filled
  islands,  ///< components of the mask are cleared
};

struct small_region_options {
  double area = 0;  ///< [cells] components smaller than it, strictly; it may have a fraction
  small_regions mode = small_regions::holes;
};

/// Masks, and whether each had a small region.
struct cleaned_masks {
  mask_set<> masks;
  std::vector<std::uint8_t> changed;  ///< [N] flags
};

/// The rows of a mask, or of its complement, in words, for link_runs.
struct packed_rows {
  image_view<std::uint64_t const> rows;  ///< [H, words_of_row(W)]
  index_t columns;
  bool complement;

  index_t width() const { return columns; }
  bool joins(index_t, index_t, index_t) const { return true; }
  packed_rows words() const { return *this; }

  [[gnu::always_inline]] std::uint64_t word(index_t y, index_t k) const
  {
    std::uint64_t const set = rows(y, k);
    return complement ? ~set & low_bits(std::min<index_t>(64, columns - 64 * k)) : set;
  }

  [[gnu::always_inline]] void read(index_t y, row_words& to) const
  {
    std::uint64_t carry = 0;
    for (index_t k = 0; 64 * k < columns; ++k) {
      auto const at = static_cast<std::size_t>(k);
      std::uint64_t const set = word(y, k), before = set << 1 | carry;
      to.inside[at] = set, to.begin[at] = set & ~before, to.end[at] = before & ~set;
      carry = set >> 63;
    }
    if (columns % 64 == 0) to.end[static_cast<std::size_t>(columns / 64)] = carry;
  }

  template <bool Corners>
  [[gnu::always_inline]] void meet(index_t y, index_t k, row_words const& up, row_words const& low, std::uint64_t& over,
                                   std::uint64_t& before, std::uint64_t& after) const
  {
    mask_words<std::uint8_t>{}.template meet<Corners>(y, k, up, low, over, before, after);
  }

  /// Appends the runs of a row, on machines that count no bits.
  template <class Band>
  void operator()(index_t y, Band& band) const
  {
    std::uint64_t carry = 0;
    for (index_t k = 0; 64 * k < columns; ++k) {
      std::uint64_t const set = word(y, k);
      std::uint64_t changes = set ^ (set << 1 | carry);
      if (index_t const left = columns - 64 * k; left < 64) changes &= low_bits(left);
      for (; changes != 0; changes &= changes - 1)
        band.ends.push_back(static_cast<std::int32_t>(64 * k + std::countr_zero(changes)));
      carry = set >> (std::min<index_t>(64, columns - 64 * k) - 1) & 1;
    }
    if (carry != 0) band.ends.push_back(static_cast<std::int32_t>(columns));
  }
};

/// Memory of remove_small_in_rows.
struct small_regions_scratch {
  std::vector<run_band<std::int32_t>> bands;
  std::vector<index_t> area;
};

/// Set or clear the bits of columns begin..end-1.
inline void write_bits(std::uint64_t* row, index_t begin, index_t end, bool set)
{
  for (index_t w = begin / 64; 64 * w < end; ++w) {
    std::uint64_t const at =
        low_bits(std::min<index_t>(64, end - 64 * w)) & ~low_bits(std::max<index_t>(0, begin - 64 * w));
    row[w] = set ? row[w] | at : row[w] & ~at;
  }
}

/// Remove the small regions of one mask in rows of words.
/// @return whether there was one
inline bool remove_small_in_rows(cpu const& where, image_view<std::uint64_t> rows, index_t W,
                                 small_region_options const& options, small_regions_scratch& scratch)
{
  bool const holes = options.mode == small_regions::holes;
  index_t const H = rows.extent[0];
  auto const linked = link_runs(where, c8, packed_rows{rows, W, holes}, {H, W}, scratch.bands, label_order::blocks);
  if (linked.count == 0) return false;
  auto const& all = scratch.bands[0].sets;
  auto const for_each_run_of = [&](auto const& body) {
    for (std::size_t b = 0; b < linked.bands; ++b) {
      auto const& band = scratch.bands[b];
      for (std::size_t row = 0; row + 1 < band.row_begin.size(); ++row)
        for (auto i = band.row_begin[row]; i < band.row_begin[row + 1]; ++i)
          body(band.first_row + static_cast<index_t>(row), band.begin(i), band.end(i),
               static_cast<std::size_t>(all[band.offset + i] - 1));
    }
  };
  scratch.area.assign(static_cast<std::size_t>(linked.count), 0);
  for_each_run_of([&](index_t, index_t begin, index_t end, std::size_t at) { scratch.area[at] += end - begin; });
  auto const small = [&](std::size_t at) { return static_cast<double>(scratch.area[at]) < options.area; };
  bool any = false, every = true;
  for (std::size_t at = 0; at < scratch.area.size(); ++at) any = any || small(at), every = every && small(at);
  if (!any) return false;
  auto const largest =
      static_cast<std::size_t>(std::max_element(scratch.area.begin(), scratch.area.end()) - scratch.area.begin());
  for_each_run_of([&](index_t y, index_t begin, index_t end, std::size_t at) {
    if (small(at) && !(!holes && every && at == largest)) write_bits(&rows(y, 0), begin, end, holes);
  });
  return true;
}

/// Copy a mask into rows of words of its whole image.
inline void unpack_rows(masks_view<> from, packed_mask const& m, image_view<std::uint64_t> rows)
{
  for (index_t y = 0; y < rows.extent[0]; ++y) {
    std::uint64_t* const to = rows.data + y * rows.stride[0];
    std::fill(to, to + rows.extent[1], 0);
    if (m.bounds.top <= y && y < m.bounds.bottom) std::copy_n(from.row(m, y), m.row_words(), to + m.first_word());
  }
}

/// Throws unless the limit is a number. `who` begins the message.
inline void expects_region_area(double area, char const* who) { expects(!std::isnan(area), who, ": area is nan"); }

/// Fill the small holes, or clear the small islands, of each mask.
///
/// Cells belong together over edges and corners. So background that meets the outside over a corner is no hole. The
/// outside itself is a component: where it is small it is filled, too. If every island is small the largest one stays.
///
/// @param masks    N masks
/// @param options  .area [cells] components with less are removed, strictly
/// @return the masks, and for each whether it had a small region (true also if that was the one that stays)
///
/// @throws       precondition_error: area is NaN, a damaged set, images with 2^31 cells or more
/// @invariant    a second call changes no mask
/// @complexity   Theta(H * W / 64 + runs), per mask
/// @determinism  exact. Of several largest islands the one that stays is the first in OpenCV's order: by blocks of 2 x 2
///               cells
/// @source       remove_small_regions, segment_anything/utils/amg.py
[[nodiscard]] inline cleaned_masks remove_small_regions(cpu const& where, mask_set<> const& masks,
                                                        small_region_options const& options)
{
  expects_masks(masks, "remove_small_regions");
  expects_region_area(options.area, "remove_small_regions");
  auto const [H, W] = masks.image;
  expects(W == 0 || H < (index_t{1} << 31) / W, "remove_small_regions: an image of ", H, " x ", W);
  cleaned_masks out{{}, std::vector<std::uint8_t>(static_cast<std::size_t>(masks.size()))};
  cpu one = where;
  one.threads = 1;
  masks_view<> const from(masks);
  index_t const height = H, width = W;
  out.masks = fill_masks(where, masks.image, masks.size(), [&](index_t i, image_view<std::uint64_t> rows) {
    small_regions_scratch scratch;
    unpack_rows(from, from.masks[i], rows);
    out.changed[static_cast<std::size_t>(i)] = remove_small_in_rows(one, rows, width, options, scratch);
    return box{0, 0, height, width};
  });
  return out;
}

}  // namespace cambium
