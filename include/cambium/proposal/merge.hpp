#pragma once
// Masks and a map of classes: each class takes the masks that lie in it.

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/proposal/pairwise.hpp>

#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Which masks a class takes, and what becomes of its cells without a mask.
enum class merge_form {
  max_iou,       ///< masks with more than half of their cells in the class; other cells become background
  max_iou_imp,   ///< the same masks; cells of the class that no mask holds stay
  max_iou_imp2,  ///< also masks that hold at least 85 % of the class; cells that no mask holds stay
};

struct merge_options {
  index_t classes = 20;  ///< without the background; 0..254
  merge_form form = merge_form::max_iou_imp2;
  double inside = 0.5;       ///< a mask is taken if more than this share of it is in the class
  double holds = 0.85;       ///< of max_iou_imp2: or if it holds at least this share of the class
  bool keep_ignore = false;  ///< cells with label::ignore that no class takes keep it, instead of becoming background
};

/// Merge masks into a map of classes: a class takes the masks that lie in it.
///
///   for c = 1..classes, of the masks that no class before took: A = {map = c}
///   mask m is taken if |m and A| / |m| > inside, or, in max_iou_imp2, |m and A| / |A| >= holds
///   its cells become c, also where a class before had them; in the two forms with `imp` also the cells of A that none
///   of these masks holds, taken or not
///
/// @param masks    N masks
/// @param map      [H,W] labels 0..classes, or label::ignore
/// @return [H,W] std::int32_t
///
/// @throws       precondition_error: a map of another size, labels out of range, classes or shares out of range
/// @invariant    the order of the masks has no effect; without masks max_iou_imp and max_iou_imp2 return the classes as
///               they are
/// @complexity   O(classes that occur * N * words of a box)
/// @determinism  exact counts and one division in double
/// @source       MaxIoU, MaxIoU_IMP and MaxIoU_IMP2 of cskyl/SAM_WSSS, merge/. As there: a mask that a class before took
///               no longer holds cells, so a later class gets its own cells under it back; no IoU is computed; label 255
///               becomes background unless keep_ignore
template <image_like L>
  requires reaches<cpu, space_of<L, 2>>
[[nodiscard]] grid<std::int32_t, 2> merge_masks(cpu const& where, mask_set<> const& masks, L const& map,
                                                merge_options const& options = {})
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "merge_masks: labels are integers");
  auto const in = as_view<2>(map, "merge_masks: map");
  auto const [H, W] = masks.image;
  expects_masks(masks, "merge_masks");
  expects(in.extent[0] == H && in.extent[1] == W, "merge_masks: the map is ", in, " but the masks are of an image of ",
          H, " x ", W);
  expects(0 <= options.classes && options.classes < label::ignore, "merge_masks: classes is ", options.classes);
  expects(options.inside >= 0, "merge_masks: inside is ", options.inside);
  expects(options.holds > 0, "merge_masks: holds is ", options.holds);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(in(y, x));
      expects((0 <= at && at <= options.classes) || at == label::ignore, "merge_masks: map(", y, ",", x, ") is ", at,
              ", outside 0..", options.classes, " and not ", label::ignore);
    }

  auto const classes = masks_of_labels(where, in, options.classes);
  auto const shared = pairwise_intersection(where, classes, masks);
  masks_view<> const from(masks), of_class(classes);
  grid<std::int32_t, 2> out(H, W);
  auto const write = [&](index_t y, index_t w, std::uint64_t word, std::int32_t value) {
    for (; word != 0; word &= word - 1) out(y, 64 * w + std::countr_zero(word)) = value;
  };
  std::vector<std::uint8_t> used(static_cast<std::size_t>(masks.size()), 0);
  grid<std::uint64_t, 2> held(H, words_of_row(W));
  for (index_t c = 0; c < options.classes; ++c) {
    packed_mask const& A = classes.masks(c);
    if (A.area == 0) continue;
    std::vector<index_t> taken;
    for (auto& word : held.cells()) word = 0;
    for (index_t k = 0; k < masks.size(); ++k) {
      if (used[static_cast<std::size_t>(k)] != 0) continue;
      packed_mask const& m = masks.masks(k);
      if (m.area == 0) continue;
      double const both = static_cast<double>(shared(c, k));
      bool const takes =
          both / static_cast<double>(m.area) > options.inside ||
          (options.form == merge_form::max_iou_imp2 && both / static_cast<double>(A.area) >= options.holds);
      if (takes) taken.push_back(k);
      for_each_word(from, m, [&](index_t y, index_t w, std::uint64_t word) { held(y, w) |= word; });
    }
    auto const value = static_cast<std::int32_t>(c + 1);
    for (index_t const k : taken) {
      used[static_cast<std::size_t>(k)] = 1;
      for_each_word(from, masks.masks(k), [&](index_t y, index_t w, std::uint64_t word) { write(y, w, word, value); });
    }
    if (options.form != merge_form::max_iou)
      for_each_word(of_class, A,
                    [&](index_t y, index_t w, std::uint64_t word) { write(y, w, word & ~held(y, w), value); });
  }
  if (options.keep_ignore)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        if (out(y, x) == 0 && static_cast<index_t>(in(y, x)) == label::ignore) out(y, x) = label::ignore;
  return out;
}

}  // namespace cambium
