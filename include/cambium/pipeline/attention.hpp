#pragma once

#include <cambium/affinity/attention.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/component/statistics.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cstdint>
#include <type_traits>

namespace cambium {

struct attention_refine_options {
  attention_layers layers;  ///< CLIP-ES: the last 8; WeCLIP: the last 6
  attention_options affinity{};
  double box_threshold = 0.4;  ///< [0,1] part of a CAM's maximum; CLIP-ES has 0.4 for VOC and 0.7 for COCO
  bool boxes = true;           ///< spread only what lies in boxes around strong components
};

/// Memory for box_mask under a policy P.
template <class P>
struct box_mask_scratch {
  using S = typename P::memory;
  grid<std::uint8_t, 1, S> strong;
  grid<std::int32_t, 1, S> label;
  grid<index_t, 1, S> count;
  grid<std::int32_t, 1, S> most;
  grid<component_statistics, 1, S> measured;
  connected_scratch<P> connecting;
  statistics_scratch<P> measuring;
  workspace<P> sums;
};

namespace rule {

/// A score in 0..1 as a byte, cut.
template <class T>
CAMBIUM_HD std::int32_t byte_of(T score)
{
  return static_cast<std::int32_t>(score * T(255));
}
template <class T, class S>
struct byte_of_cell {
  image_view<T const, S> map;
  CAMBIUM_HD std::int32_t operator()(index_t i) const { return byte_of(map(i / map.extent[1], i % map.extent[1])); }
};
template <class T, class S>
struct above_threshold {
  image_view<T const, S> map;
  std::int32_t const* most;
  double threshold;
  image_view<std::uint8_t, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = byte_of(map(y, x)) > static_cast<std::int32_t>(threshold * *most) ? 1 : 0;
  }
};
/// Is a cell in the box of a component? Boxes are cut before the last row and column.
template <class S>
struct inside_boxes {
  view<component_statistics, 1, S> measured;
  image_view<std::uint8_t, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::uint8_t inside = 0;
    if (y + 1 < out.extent[0] && x + 1 < out.extent[1])
      for (index_t l = 1; l < measured.extent[0] && measured(l).area > 0 && inside == 0; ++l) {
        box const b = measured(l).bounds;
        if (b.top <= y && y < b.bottom && b.left <= x && x < b.right) inside = 1;
      }
    out(y, x) = inside;
  }
};

}  // namespace rule

/// Mark the boxes around the strong components of each CAM.
///
///   q = cam * 255, cut to a whole number;   strong = q > int(threshold * max q)
///   out = 1 in the bounding boxes of the 8-connected components of strong, without the map's last row and column
///
/// @param where      where to run
/// @param cams       [C,H,W] in [0,1]
/// @param threshold  [0,1]
/// @param out        [C,H,W] 0 or 1
/// @param scratch    of any earlier call
///
/// @throws       precondition_error before anything is written; on the cpu also for values outside [0,1]
/// @complexity   Theta(C * H * W) and the boxes of each cell
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns; allocates only while the scratch grows
/// @source       scoremap2bbox, utils.py of linyq2117/CLIP-ES. Its boxes end at min(x + w, W - 1) and are filled as
///               half-open ranges, so the last row and column are never inside, and a map of one row or column has no box
template <execution_policy P, stack_like I, stack_like O>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<O, 3>>
void box_mask_into(P const& where, I const& cams, double threshold, O&& out, box_mask_scratch<P>& scratch)
{
  using T = value_of<I, 3>;
  using S = typename P::memory;
  view<T const, 3, S> const in = as_view<3>(cams, "box_mask: cams");
  view<std::uint8_t, 3, S> const to = as_view<3>(out, "box_mask: out");
  index_t const H = in.extent[1], W = in.extent[2], extent[3] = {1, H, W};
  expects(same_shape(in, to), "box_mask: cams are ", in, " but out is ", to);
  expects(threshold >= 0 && threshold <= 1, "box_mask: threshold is ", threshold, "; expected a value in [0,1]");
  if constexpr (std::is_same_v<P, cpu>) expects_inside(where, in, T(0), T(1), "box_mask: cams", "a value in [0,1]");
  if (in.size() == 0) return;
  view<std::uint8_t, 2, S> const strong(reserve(where, scratch.strong, H * W), {H, W});
  view<std::int32_t, 2, S> const label(reserve(where, scratch.label, H * W), {H, W});
  view<component_statistics, 1, S> const measured(reserve(where, scratch.measured, H * W + 1), {H * W + 1});
  view<index_t, 1, S> const count(reserve(where, scratch.count, 1), {1});
  std::int32_t* const most = reserve(where, scratch.most, 1);
  for (index_t c = 0; c < in.extent[0]; ++c) {
    reduce(where, H * W, rule::byte_of_cell<T, S>{in[c]}, std::int32_t{0}, max_of{}, most, scratch.sums);
    for_each_cell(where, extent, rule::above_threshold<T, S>{in[c], most, threshold, strong});
    connected_into(where, strong, c8, label, count, scratch.connecting);
    statistics_into(where, label, image_view<float const, S>{}, measured, scratch.measuring);
    for_each_cell(where, extent, rule::inside_boxes<S>{measured, to[c]});
  }
}

/// As box_mask_into, and allocates.
template <execution_policy P, stack_like I>
  requires reaches<P, space_of<I, 3>>
[[nodiscard]] auto box_mask(P const& where, I const& cams, double threshold = 0.4)
{
  auto const in = as_view<3>(cams, "box_mask: cams");
  auto out = make_grid<std::uint8_t>(where, {in.extent[0], in.extent[1], in.extent[2]});
  box_mask_scratch<P> scratch;
  box_mask_into(where, in, threshold, out, scratch);
  return out;
}

/// Refine CAMs by a transformer's attention: CLIP-ES.
///
///   affinity = attention_affinity(mean_attention(attention));   refined = affinity * (box_mask(cams) * cams)
///
/// @param where      where to run
/// @param attention  [L,N+1,N+1] of N = H * W tokens and the class token, heads averaged
/// @param cams       [C,H,W] in [0,1], for example each divided by its maximum
///
/// @throws       precondition_error, as the stages
/// @return       grid<T, 3> [C,H,W] in the memory of the policy, not scaled again. CLIP-ES then subtracts each map's
///               minimum and divides by its maximum
/// @complexity   Theta(H^3 * W^3) for the squaring
/// @determinism  run to run
/// @asynchrony   gpu: enqueues and returns; allocates
/// @source       Lin et al., "CLIP is also an efficient segmenter", CVPR 2023
template <execution_policy P, stack_like A, stack_like I>
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<I, 3>>
[[nodiscard]] auto attention_refine(P const& where, A const& attention, I const& cams,
                                    attention_refine_options const& options = {})
{
  auto const in = as_view<3>(cams, "attention_refine: cams");
  auto const of = as_view<3>(attention, "attention_refine: attention");
  index_t const N = in.extent[1] * in.extent[2];
  expects(of.extent[1] == N + (options.layers.class_token ? 1 : 0), "attention_refine: attention is ", of,
          " but cams are ", in);
  auto const affinity = attention_affinity(where, mean_attention(where, of, options.layers), options.affinity);
  if (!options.boxes) return spread_by_attention(where, affinity, in);
  return spread_by_attention(where, affinity, in, box_mask(where, in, options.box_threshold));
}

/// The same with the layers that agree with a learned affinity: WeCLIP.
///
/// @param learned  [N,N] affinities of tokens
/// @source Zhang et al., "Frozen CLIP: a strong backbone for weakly supervised semantic segmentation", CVPR 2024
template <execution_policy P, stack_like A, stack_like I,
          image_like B>  // I first: options in its place are no B's error
  requires reaches<P, space_of<A, 3>> && reaches<P, space_of<B, 2>> && reaches<P, space_of<I, 3>>
[[nodiscard]] auto attention_refine(P const& where, A const& attention, B const& learned, I const& cams,
                                    attention_refine_options const& options = {.layers = {.layers = 6}})
{
  auto const in = as_view<3>(cams, "attention_refine: cams");
  auto const of = as_view<3>(attention, "attention_refine: attention");
  index_t const N = in.extent[1] * in.extent[2];
  expects(of.extent[1] == N + (options.layers.class_token ? 1 : 0), "attention_refine: attention is ", of,
          " but cams are ", in);
  auto const chosen = attention_like(where, of, learned, options.layers);
  auto const affinity = attention_affinity(where, chosen.weight, options.affinity);
  if (!options.boxes) return spread_by_attention(where, affinity, in);
  return spread_by_attention(where, affinity, in, box_mask(where, in, options.box_threshold));
}

}  // namespace cambium
