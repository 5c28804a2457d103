#pragma once

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/core/label.hpp>
#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/trace.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/channel_range.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/instance/assign.hpp>
#include <cambium/instance/separate.hpp>
#include <cambium/pipeline/irnet_choice.hpp>
#include <cambium/pipeline/irnet_detect.hpp>
#include <cambium/walk/random_walk.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// One image's maps. The views are not owned.
template <class T, class Space = host>
struct irnet_input {
  stack_view<T const, Space> cams;          ///< [C,h,w], h = (H-1)/4 + 1
  std::vector<std::int32_t> keys;           ///< C classes, 0-based; the label of class k is k + 1
  image_view<T const, Space> boundary;      ///< [h,w] in [0,1]
  stack_view<T const, Space> displacement;  ///< [2,h,w], or null: then instances are components
  extent2 image;                            ///< [pixels] H, W
};

/// Labels of one image. The categories are keys.
template <class Space = host>
using irnet_labels = image_labels<Space>;

/// Throws unless the thresholds are numbers. The stages check the other options.
inline void expects_irnet_options(irnet_options const& o)
{
  expects(std::isfinite(o.sem_seg_bg_thres), "irnet: sem_seg_bg_thres is ", o.sem_seg_bg_thres);
  expects(std::isfinite(o.ins_seg_bg_thres), "irnet: ins_seg_bg_thres is ", o.ins_seg_bg_thres);
  expects(!std::isnan(o.component_thres), "irnet: component_thres is ", o.component_thres);
  expects(0 <= o.max_fragment_size && o.max_fragment_size <= 1, "irnet: max_fragment_size is ", o.max_fragment_size,
          ", outside [0,1]");
}

/// Throws unless the maps of an image fit together.
template <class T, class Space>
void expects_irnet_input(irnet_input<T, Space> const& in)
{
  index_t const h = (in.image.height - 1) / 4 + 1, w = (in.image.width - 1) / 4 + 1;
  expects(in.image.height >= 1 && in.image.width >= 1, "irnet: an image of ", in.image.height, " x ", in.image.width);
  expects(in.cams.extent[1] == h && in.cams.extent[2] == w, "irnet: an image of ", in.image.height, " x ",
          in.image.width, " needs CAMs of [C,", h, ",", w, "]; they are ", in.cams);
  expects(static_cast<index_t>(in.keys.size()) == in.cams.extent[0], "irnet: CAMs are ", in.cams, " but there are ",
          static_cast<index_t>(in.keys.size()), " keys");
  expects(in.boundary.extent[0] == h && in.boundary.extent[1] == w, "irnet: CAMs are ", in.cams,
          " but the boundary is ", in.boundary);
  expects(in.displacement.data == nullptr ||
              (in.displacement.extent[0] == 2 && in.displacement.extent[1] == h && in.displacement.extent[2] == w),
          "irnet: CAMs are ", in.cams, " but the displacement is ", in.displacement);
  expects_keys(in.keys, "irnet");
}

/// Make the step of IRNet's walk: affinities of a boundary map, sharpened and normalised.
template <execution_policy P, image_like B>
  requires reaches<P, space_of<B, 2>>
[[nodiscard]] auto irnet_transition(P const& where, B const& boundary, irnet_options const& options)
{
  auto const edges = stencil::disc(options.radius);
  return make_transition(where, edges, path_affinity(where, boundary, edges),
                         {.beta = options.beta, .weights = options.weights});
}

namespace rule {

/// A boundary keeps its share of the seeds to itself.
template <class T, class S>
struct keep_off_boundary {
  stack_view<T const, S> scores;
  image_view<T const, S> boundary;
  index_t const* channel;  ///< of each map of `out`; null: all of them
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = scores(channel == nullptr ? c : channel[c], y, x) * (1 - boundary(y, x));
  }
};

}  // namespace rule

/// The channels that are not zero everywhere; scores are finite.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P, stack_like X>
[[nodiscard]] std::vector<index_t> channels_with_scores(P const& where, X const& scores)
{
  using T = value_of<X, 3>;
  stack_view<T const, typename P::memory> const in = as_view<3>(scores, "channels_with_scores: scores");
  if (in.size() == 0) return {};
  auto range = make_grid<value_range<T>>(where, {in.extent[0]});
  workspace<P> space;
  measure_channels(where, as_batch(in), range.view().data, space);
  auto const found = to_vector(where, range);
  std::vector<index_t> out;
  for (std::size_t n = 0; n < found.size(); ++n)
    if (found[n].low != 0 || found[n].high != 0) out.push_back(static_cast<index_t>(n));
  return out;
}

/// Spread scores up to the boundaries: multiply by 1 - boundary, then walk.
///
/// Channels that are zero everywhere stay so. The cpu does not walk them.
///
/// @param step      from irnet_transition
/// @param scores    [N,h,w]
/// @param boundary  [h,w]
/// @return [N,h,w]
/// @asynchrony gpu: enqueues and returns; NaN is not refused
/// @source propagate_to_edge, misc/indexing.py of jiwoon-ahn/irn
template <execution_policy P, stack_like X, image_like B>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<B, 2>>
[[nodiscard]] auto propagate_to_edge(P const& where, transition<value_of<X, 3>, typename P::memory> const& step,
                                     X const& scores, B const& boundary, irnet_options const& options)
    -> grid<value_of<X, 3>, 3, typename P::memory>
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const from = as_view<3>(scores, "propagate_to_edge: scores");
  image_view<T const, S> const walls = as_view<2>(boundary, "propagate_to_edge: boundary");
  index_t const N = from.extent[0], H = from.extent[1], W = from.extent[2];
  expects(walls.extent[0] == H && walls.extent[1] == W, "propagate_to_edge: scores are ", from, " but the boundary is ",
          walls);
  auto const walk = [&](index_t channels, index_t const* channel) {
    auto seeds = make_grid<T>(where, {channels, H, W});
    for_each_cell(where, seeds.view().extent, rule::keep_off_boundary<T, S>{from, walls, channel, seeds.view()});
    return random_walk(where, seeds, step, walk_options::squarings(options.exp_times, options.tolerance));
  };
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, from, "propagate_to_edge: scores");
    auto const alive = channels_with_scores(where, from);
    if (static_cast<index_t>(alive.size()) < N) {
      auto const walked = walk(static_cast<index_t>(alive.size()), alive.data());
      grid<T, 3> out(N, H, W);
      for (std::size_t i = 0; i < alive.size(); ++i) std::copy_n(&walked(i, 0, 0), H * W, &out(alive[i], 0, 0));
      return out;
    }
  }
  return walk(N, nullptr);
}

/// Which instance each cell of a displacement field belongs to.
/// @asynchrony gpu: waits for where.stream, for the numbers of weak regions and of clusters
template <execution_policy P, stack_like D>
  requires reaches<P, space_of<D, 3>>
[[nodiscard]] auto irnet_clusters(P const& where, D const& displacement, irnet_options const& options)
{
  auto const centroids = nearest_cells(where, trace(where, displacement, {.iterations = options.iterations}));
  auto const regions = connected(where, weak_field(where, displacement, options.thres), c4);
  return cluster(where, regions.label, centroids);
}

/// The options of assign for walked scores, without the background's score.
[[nodiscard]] inline assign_options irnet_assigning(irnet_options const& options)
{
  return {.scale = options.scale, .empty = options.empty};
}

/// The channel of every pixel, from walked scores; `groups` has a number a channel.
template <execution_policy P, stack_like X>
  requires reaches<P, space_of<X, 3>>
[[nodiscard]] auto irnet_assign(P const& where, X const& walked, std::vector<std::int32_t> const& groups, extent2 image,
                                double background, irnet_options const& options)
{
  auto how = irnet_assigning(options);
  how.background = background;
  return assign(where, walked, groups, image, how);
}

/// From the channel of every pixel to its class label.
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] grid<std::int32_t, 2, S> irnet_semantic_labels(P const& where, assignment<T, S> const& chosen,
                                                             std::vector<std::int32_t> const& keys)
{
  return relabel(where, chosen.channel, labels_of_keys(keys));
}

/// Labels of walked class scores: semantic labels and, without a displacement field, instances.
template <execution_policy P, class T>
[[nodiscard]] auto irnet_label_classes(P const& where,
                                       std::type_identity_t<stack_view<T const, typename P::memory>> walked,
                                       irnet_input<T, typename P::memory> const& in, irnet_options const& options)
    -> irnet_labels<typename P::memory>
{
  using S = typename P::memory;
  pixel_choice<P, T> const chosen(where, walked, in.keys, in.image, irnet_assigning(options));
  irnet_labels<S> out;  // instances first: they take most memory
  if (in.displacement.data == nullptr) out.objects = irnet_components(where, chosen, in.keys, in.boundary, options);
  out.semantic = chosen.labels(where, options.sem_seg_bg_thres, labels_of_keys(in.keys));
  return out;
}

/// Walked scores of one image. Labels for any thresholds follow from them: keep them, and try many.
template <class T, class Space = host>
struct irnet_scores {
  grid<T, 3, Space> classes;  ///< [C,h,w]
  grid<T, 3, Space>
      instances;  ///< [C*K,h,w] channel c*K + k is class c on cluster k; empty without a displacement field
};

/// Walk the CAMs of an image and, where there is a displacement field, their shares on each of its clusters.
template <execution_policy P, class T>
[[nodiscard]] auto irnet_walk(P const& where, irnet_input<T, typename P::memory> const& in,
                              irnet_options const& options) -> irnet_scores<T, typename P::memory>
{
  auto const step = irnet_transition(where, in.boundary, options);
  irnet_scores<T, typename P::memory> out{propagate_to_edge(where, step, in.cams, in.boundary, options), {}};
  if (in.displacement.data == nullptr) return out;
  auto const clusters = irnet_clusters(where, in.displacement, options);
  auto const split = separate(where, in.cams, clusters.id, clusters.count);
  out.instances = propagate_to_edge(where, step, split, in.boundary, options);
  return out;
}

/// Instances of walked instance channels.
template <execution_policy P, class T>
[[nodiscard]] auto irnet_label_instances(P const& where,
                                         std::type_identity_t<stack_view<T const, typename P::memory>> walked,
                                         irnet_input<T, typename P::memory> const& in, irnet_options const& options)
{
  auto const C = static_cast<index_t>(in.keys.size());
  auto const keys = irnet_channel_keys(in.keys, C == 0 ? 0 : walked.extent[0] / C);
  return irnet_detect(where, pixel_choice<P, T>(where, walked, keys, in.image, irnet_assigning(options)), keys,
                      options);
}

/// Labels of walked scores.
template <execution_policy P, class T>
[[nodiscard]] auto irnet_label(P const& where, irnet_scores<T, typename P::memory> const& walked,
                               irnet_input<T, typename P::memory> const& in, irnet_options const& options)
    -> irnet_labels<typename P::memory>
{
  instances<typename P::memory> objects;  // first: they take most memory
  if (in.displacement.data != nullptr) objects = irnet_label_instances(where, walked.instances.view(), in, options);
  auto out = irnet_label_classes(where, walked.classes.view(), in, options);
  if (in.displacement.data != nullptr) out.objects = std::move(objects);
  return out;
}

/// Label one image as IRNet does: CAMs, a boundary map and, if there is one, a displacement field go in;
/// semantic labels and instances come out.
///
/// @param where    where to run; must reach the maps
/// @param in       the maps at stride 4; keys on the host
/// @param options  defaults of the original
///
/// @pre          gpu: maps are finite, boundaries in [0,1]. Other maps are not refused and give labels without meaning
/// @throws       precondition_error before anything is written, when maps do not fit together or, on the cpu, hold NaN;
///               gpu_error
/// @complexity   the walk: 2^exp_times * (C + C*K) * h * w * 69 multiply-adds at radius 5
/// @determinism  the same bits on every run and for every number of threads. Between cpu and gpu scores differ by the
///               walk's rounding (docs/determinism.md), and with them a label where two scores are nearly equal
/// @asynchrony   gpu: waits for where.stream three to five times: numbers of clusters and components decide the sizes
///               of grids. For a batch see for_each_item of exec/team.cuh: each image then waits for its own work only
/// @source       Ahn, Cho, Kwak, CVPR 2019; _work of step/make_sem_seg_labels.py and step/make_ins_seg_labels.py of
///               jiwoon-ahn/irn. If nothing scores, these make every pixel the first class, or raise. Here every pixel
///               is background (options.empty) and the list of instances is empty. Instances without a displacement
///               field are ours
template <class T, execution_policy P>
[[nodiscard]] auto irnet(P const& where, irnet_input<T, typename P::memory> const& in,
                         irnet_options const& options = {}) -> irnet_labels<typename P::memory>
{
  expects_irnet_input(in);
  expects_irnet_options(options);
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in.cams, "irnet: cams");
  return irnet_label(where, irnet_walk(where, in, options), in, options);
}

}  // namespace cambium
