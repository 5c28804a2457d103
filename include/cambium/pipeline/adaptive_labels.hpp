#pragma once

#include <cambium/affinity/colour_affinity.hpp>
#include <cambium/walk/neighbour_walk.hpp>

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

/// The weights of a photograph's neighbours, made once for any number of label maps.
template <execution_policy P = cpu>
struct photograph_weights {
  dilated_neighbours near;
  grid<float, 3, typename P::memory> weight;  ///< [P,H,W]

  /// About the bytes of weighing a photograph and of refining its labels once.
  static double bytes_needed(index_t height, index_t width, index_t L, dilated_neighbours const& near = {})
  {
    double const a_pixel = 4.0 * (near.size() + std::max<double>(6, static_cast<double>(L) + 1));
    return a_pixel * static_cast<double>(height) * static_cast<double>(width);
  }
};

/// Weigh the neighbours of a photograph's pixels, for adapt_labels.
///
/// @param where       where to run; must reach the memory of the photograph
/// @param photograph  [H,W,K] bytes, K >= 1
/// @param colours     colour_affinity_options::par() or pamr()
/// @param near        the neighbours
///
/// @throws       precondition_error: see colour_affinity_into
/// @complexity   colour_affinity; memory: 32 bytes a pixel and dilation, and 8 a pixel and channel meanwhile
/// @determinism  as colour_affinity
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like I>
  requires reaches<P, space_of<I, 3>>
[[nodiscard]] photograph_weights<P> weigh_photograph(P const& where, I const& photograph,
                                                     colour_affinity_options const& colours,
                                                     dilated_neighbours const& near = {})
{
  using S = typename P::memory;
  stack_view<std::uint8_t const, S> const from = as_view<3>(photograph, "weigh_photograph: photograph");
  expects(from.extent[2] >= 1, "weigh_photograph: photograph is ", from, "; it needs a channel");
  auto planes = make_grid<float>(where, {from.extent[2], from.extent[0], from.extent[1]});
  for_each_cell(where, planes.view().extent, rule::plane_of_photograph<S>{from, planes});
  return {near, colour_affinity(where, planes, near, colours)};
}

/// Refine a label map by a photograph's weights, as PAR and PAMR refine scores: each label becomes a mask, masks are
/// averaged, and each pixel takes the label of its largest mask.
///
/// @param where    where to run
/// @param weights  of the photograph
/// @param labels   [H,W] 0..L-1
/// @param L        number of labels, >= 1
/// @param options  steps = 10
/// @return [H,W] 0..L-1 in the memory of the policy; of equal masks the smallest label wins
///
/// @throws       precondition_error: sizes that differ, a label outside 0..L-1, steps below 0
/// @invariant    no label appears that the map does not have; a map of one label stays
/// @complexity   Theta(steps * P * L * H * W) time, 4 L + 4 bytes a pixel
/// @determinism  as neighbour_walk
/// @asynchrony   gpu: enqueues and returns; a label outside 0..L-1 has no mask
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> adapt_labels(P const& where,
                                                                     photograph_weights<P> const& weights,
                                                                     M const& labels, index_t L,
                                                                     neighbour_walk_options options = {})
{
  using S = typename P::memory;
  using value = value_of<M, 2>;
  image_view<value const, S> const in = as_view<2>(labels, "adapt_labels: labels");
  stack_view<float const, S> const w = weights.weight.view();
  expects(in.extent[0] == w.extent[1] && in.extent[1] == w.extent[2], "adapt_labels: labels are ", in,
          " but weights are ", w);
  expects(L >= 1, "adapt_labels: L is ", L, "; expected a number of labels >= 1");
  expects(options.steps >= 0, "adapt_labels: steps is ", options.steps);
  if constexpr (std::is_same_v<P, cpu>) expects_labels(in, L - 1, "adapt_labels: labels");
  index_t const H = in.extent[0], W = in.extent[1];
  auto masks = make_grid<float>(where, {L, H, W});
  for_each_cell(where, masks.view().extent, rule::mask_of_label<value, S>{in, masks});
  neighbour_walk_scratch<float, P> scratch(where, L, H, W, weights.near);
  neighbour_walk_into(where, masks, w, weights.near, options, masks, scratch);
  auto out = make_grid<std::int32_t>(where, {H, W});
  for_each_cell(where, {1, H, W}, rule::label_of_masks<S>{masks, out});
  return out;
}

}  // namespace cambium
