#pragma once

#include <cambium/pipeline/pixel_adaptive.hpp>

#include <cstdint>

namespace cambium {

namespace rule {

/// A byte of a photograph becomes a colour of a plane.
template <class S>
struct plane_of_photograph {
  stack_view<std::uint8_t const, S> photograph;
  stack_view<float, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = static_cast<float>(photograph(y, x, c));
  }
};

/// The mask of a label: 1 where the map has it.
template <class L, class S>
struct mask_of_label {
  image_view<L const, S> labels;
  stack_view<float, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    out(l, y, x) = static_cast<index_t>(labels(y, x)) == l ? 1.f : 0.f;
  }
};

/// The label of a pixel: its largest mask, of equal ones the first.
template <class S>
struct label_of_masks {
  stack_view<float const, S> masks;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t best = 0;
    for (index_t l = 1; l < masks.extent[0]; ++l)
      if (masks(best, y, x) < masks(l, y, x)) best = l;
    out(y, x) = static_cast<std::int32_t>(best);
  }
};

}  // namespace rule

/// About the bytes that adapt_labels needs on the cpu, the result included.
inline double adapt_labels_bytes(cpu const& where, index_t height, index_t width, index_t L)
{
  return pixel_adaptive_scratch<float, cpu>::bytes_needed(where, {L, height, width}, {}) +
         16.0 * static_cast<double>(height) * static_cast<double>(width);  // planes, labels
}

/// Refine a label map by a photograph, as PAR and PAMR refine scores: each label becomes a mask, masks are averaged, and
/// each pixel takes the label of its largest mask.
///
/// @param where       where to run; must reach all memory
/// @param photograph  [H,W,K] bytes, K >= 1
/// @param labels      [H,W] 0..L-1
/// @param L           number of labels, >= 1
/// @param colours     colour_affinity_options::par() or pamr()
/// @param options     dilations = {1, 2, 4, 8, 12, 24}, steps = 10; `size` has no effect, because the sizes agree
/// @return [H,W] 0..L-1 in the memory of the policy; of equal masks the smallest label wins
///
/// @throws       precondition_error: sizes that differ, a photograph without channels, a label outside 0..L-1, steps
///               below 0
/// @invariant    no label appears that the map does not have; a map of one label stays
/// @complexity   as par of L masks
/// @determinism  as neighbour_walk
/// @asynchrony   gpu: enqueues and returns; a label outside 0..L-1 has no mask
template <execution_policy P, stack_like I, image_like M>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<M, 2>>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> adapt_labels(P const& where, I const& photograph,
                                                                     M const& labels, index_t L,
                                                                     colour_affinity_options colours = {},
                                                                     pixel_adaptive_options const& options = {})
{
  using S = typename P::memory;
  using value = value_of<M, 2>;
  stack_view<std::uint8_t const, S> const picture = as_view<3>(photograph, "adapt_labels: photograph");
  image_view<value const, S> const in = as_view<2>(labels, "adapt_labels: labels");
  index_t const H = in.extent[0], W = in.extent[1], K = picture.extent[2];
  expects(H == picture.extent[0] && W == picture.extent[1], "adapt_labels: labels are ", in, " but the photograph is ",
          picture);
  expects(K >= 1, "adapt_labels: photograph is ", picture, "; it needs a channel");
  expects(L >= 1, "adapt_labels: L is ", L, "; expected a number of labels >= 1");
  expects(options.steps >= 0, "adapt_labels: steps is ", options.steps);
  expects_dilations(options.dilations, "adapt_labels");
  if constexpr (std::is_same_v<P, cpu>) expects_labels(in, L - 1, "adapt_labels: labels");
  auto out = make_grid<std::int32_t>(where, {H, W});
  if (in.size() == 0) return out;
  auto planes = make_grid<float>(where, {K, H, W});
  for_each_cell(where, planes.view().extent, rule::plane_of_photograph<S>{picture, planes});
  auto masks = make_grid<float>(where, {L, H, W});
  for_each_cell(where, masks.view().extent, rule::mask_of_label<value, S>{in, masks});
  pixel_adaptive_scratch<float, P> scratch(where, planes.view().extent, masks.view().extent, options);
  colours.normalise = options.normalise;
  average_by_colours(where, stack_view<float const, S>(planes), colours, options.steps, stack_view<float, S>(masks),
                     scratch);
  for_each_cell(where, {1, H, W}, rule::label_of_masks<S>{masks, out});
  return out;
}

}  // namespace cambium
