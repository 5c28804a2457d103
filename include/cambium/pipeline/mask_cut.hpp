#pragma once
// Objects of an image without any label: normalised cuts of a network's features, one object after another.

#include <cambium/affinity/feature_affinity.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/instance/normalised_cut.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

struct mask_cut_options {
  double tau = 0.15;                      ///< patches are alike if the cosine of their features is larger
  index_t passes = 3;                     ///< [count] most objects; >= 1
  normalised_cut_options cut{};           ///< eps = 1e-5
  int corners = 3;                        ///< [1..5] a side with so many corners or more is background; 5: none is
  double repeats = 0.5;                   ///< [0,1] a pass is rejected if its IoU with the pass before is larger
  double smallest = 0.01;                 ///< [0,1] a later pass needs a larger fraction of the patches
  double smallest_first = 0;              ///< [0,1] the same for the first pass; the original accepts any size
  index_t most_bytes = index_t{4} << 30;  ///< [bytes] refuse maps whose pairs of patches would take more
};

/// What one pass of mask_cut found.
struct mask_cut_pass {
  cut_mode mode;
  cut_object object;
  grid<std::uint8_t, 2> component;  ///< [H,W] 1 in the seed's component of the object's side
  double cost = 2;                  ///< cut_cost of the side
  bool accepted = false;            ///< it cuts, is no repetition of the pass before, and is large enough. Its mask may
                                    ///< be empty all the same: earlier passes may have all of the component
};

struct mask_cuts {
  mask_set<> masks;                   ///< [passes] disjoint: a component less those before; empty if it was rejected
  std::vector<mask_cut_pass> passes;  ///< one a mask
};

/// The relation of patches after those inside have lost their features: their cosine with every patch is 0.
inline mask_set<> without_features(cpu const& where, mask_set<> const& alike, image_view<std::uint8_t const> inside,
                                   bool zero_is_alike)
{
  auto const [H, W] = alike.image;
  index_t const across = words_of_row(W), width = W;
  grid<std::uint64_t, 2> gone(H, across), all(H, across);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      std::uint64_t const bit = std::uint64_t{1} << (x % 64);
      all(y, x / 64) |= bit;
      if (inside(y, x) != 0) gone(y, x / 64) |= bit;
    }
  masks_view<> const from = alike;
  return fill_masks(where, alike.image, alike.size(), [&](index_t i, image_view<std::uint64_t> rows) {
    bool const lost = inside(i / width, i % width) != 0;
    for (index_t y = 0; y < rows.extent[0]; ++y)
      for (index_t w = 0; w < across; ++w) {
        std::uint64_t const zero = lost ? all(y, w) : gone(y, w);
        std::uint64_t const kept = from.word(from.masks[i], y, w) & ~zero;
        rows(y, w) = zero_is_alike ? kept | zero : kept;
      }
    return box{0, 0, rows.extent[0], width};
  });
}

/// Cut objects out of the features of an image's patches, one after another: MaskCut.
///
///   passes times:  alike = feature_affinity(features);   v = normalised_cut(alike);   side = choose_cut_object(v)
///                  component = what is 4-connected to the seed in side
///                  it counts unless it repeats the pass before or is too small; the first counts in any size
///                  mask = component less the masks so far;   features of its patches = 0
///
/// @param where     cpu
/// @param features  [D,H,W] of the patches, for example the keys of a vision transformer trained without labels
/// @param options   tau = 0.15, passes = 3, eps = 1e-5
/// @return a mask for each pass, and what the pass found
///
/// @throws       precondition_error: fewer than 2 patches, no feature, features that are not finite, options outside their
///               ranges, more patches than most_bytes allows
/// @invariant    masks are disjoint. Multiplying a patch's features by a number > 0 changes nothing, up to rounding,
///               while their length stays between 1e-12 and 1e150: see feature_affinity
/// @complexity   feature_affinity once, and a normalised_cut for the first pass and for each that follows an accepted one
/// @determinism  run to run
/// @source       Wang, Girdhar, Yu & Misra, "Cut and learn for unsupervised object detection and instance
///               segmentation", CVPR 2023, section 3.2; maskcut_forward of facebookresearch/CutLER. As there a pass is
///               compared with the pass before only, and before the masks so far are taken out of it, and the first may
///               have any size. A rejected pass leaves the features as they were. The next one then finds the same
///               component, compares it with nothing and accepts it. Here maps need not be square. A pass that cuts
///               nothing (cut_mode::cuts) is rejected; the original takes the vector that its solver happens to give
template <stack_like F>
  requires reaches<cpu, space_of<F, 3>>
[[nodiscard]] mask_cuts mask_cut(cpu const& where, F const& features, mask_cut_options const& options = {})
{
  auto const in = as_view<3>(features, "mask_cut: features");
  index_t const H = in.extent[1], W = in.extent[2], N = H * W;
  expects(in.extent[0] > 0 && N >= 2, "mask_cut: features are ", in, "; expected a feature and 2 patches at least");
  expects(options.passes >= 1, "mask_cut: passes is ", options.passes);
  expects(options.repeats >= 0 && options.repeats <= 1, "mask_cut: repeats is ", options.repeats);
  expects(options.smallest >= 0 && options.smallest <= 1, "mask_cut: smallest is ", options.smallest);
  expects(options.smallest_first >= 0 && options.smallest_first <= 1, "mask_cut: smallest_first is ",
          options.smallest_first);
  expects(options.corners >= 1 && options.corners <= 5, "mask_cut: corners is ", options.corners, "; expected 1..5");

  auto alike = feature_affinity(where, in, {.tau = options.tau, .most_bytes = options.most_bytes});
  grid<std::uint8_t, 3> masks(options.passes, H, W);
  grid<std::uint8_t, 2> before(H, W), taken(H, W);
  mask_cuts out;
  bool changed = true;  // the features, since the pass before; else it would be computed again to the bit
  for (index_t p = 0; p < options.passes; ++p) {
    mask_cut_pass now;
    if (changed) {
      now.mode = normalised_cut(where, alike, options.cut);
      now.object = choose_cut_object(where, now.mode.vector, options.corners);
      now.cost = cut_cost(where, alike, now.object.side, options.cut.eps);
      auto const parts = connected(where, now.object.side, c4);
      std::int32_t const own = parts.label(now.object.seed / W, now.object.seed % W);
      now.component = make_grid<std::uint8_t>({H, W});
      for (std::size_t i = 0; i < now.component.cells().size(); ++i)
        now.component.cells()[i] = parts.label.cells()[i] == own ? 1 : 0;
    } else {
      now = out.passes.back();
    }
    index_t area = 0, both = 0, any = 0;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        bool const inside = now.component(y, x) != 0;
        area += inside;
        both += inside && before(y, x) != 0;
        any += inside || before(y, x) != 0;
      }
    double const least = p > 0 ? options.smallest : options.smallest_first;
    now.accepted = now.mode.cuts && !(static_cast<double>(both) > options.repeats * static_cast<double>(any)) &&
                   static_cast<double>(area) > least * static_cast<double>(N);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        before(y, x) = now.accepted ? now.component(y, x) : std::uint8_t{0};
        masks(p, y, x) = before(y, x) != 0 && taken(y, x) == 0 ? 1 : 0;
        taken(y, x) |= before(y, x);
      }
    changed = now.accepted;
    if (changed && p + 1 < options.passes) alike = without_features(where, alike, before.view(), options.tau < 0);
    out.passes.push_back(std::move(now));
  }
  out.masks = pack_masks(where, masks);
  return out;
}

}  // namespace cambium
