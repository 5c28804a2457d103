#pragma once
// irnet on a GPU: the stages of irnet.hpp in the same order, from a network's maps to labels without leaving the card.

#include <cambium/affinity/make_transition.cuh>
#include <cambium/affinity/path_affinity.cuh>
#include <cambium/component/connected.cuh>
#include <cambium/component/relabel.cuh>
#include <cambium/displacement/cluster.cuh>
#include <cambium/displacement/trace.cuh>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/sort.cuh>
#include <cambium/grid/instance.cuh>
#include <cambium/instance/assign.cuh>
#include <cambium/instance/detect.cuh>
#include <cambium/instance/separate.cuh>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/walk/random_walk.cuh>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace cambium {

/// Semantic and instance labels of one image, in the memory of a policy.
template <class Space>
struct irnet_label_maps {
  grid<std::int32_t, 2, Space> semantic;  ///< [H,W] 0 background, class + 1
  instance_table<Space> objects;          ///< categories are keys: 0-based classes
};

/// The same labels on the host. @asynchrony gpu: waits for where.stream
template <class P>
[[nodiscard]] irnet_labels to_host(P const& where, irnet_label_maps<typename P::memory> const& from)
{
  irnet_labels out{make_grid<std::int32_t>(from.semantic.view().extent), {}};
  copy(where, from.semantic.view(), out.semantic.view());
  out.objects = to_host(where, from.objects);  // waits for both
  return out;
}

/// Rule: a boundary keeps its share of the seeds to itself.
template <class T, class S>
struct keep_off_boundary {
  stack_view<T const, S> scores;
  image_view<T const, S> boundary;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = scores(c, y, x) * (1 - boundary(y, x));
  }
};

/// As propagate_to_edge in irnet.hpp; channels that are zero everywhere are walked like the others, and stay so.
/// @asynchrony enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] grid<T, 3, S> propagate_to_edge(P const& where, transition<T, S> const& step,
                                              stack_view<T const, S> scores, image_view<T const, S> boundary,
                                              irnet_options const& options)
{
  expects(boundary.extent[0] == scores.extent[1] && boundary.extent[1] == scores.extent[2],
          "propagate_to_edge: scores are ", scores, " but the boundary is ", boundary);
  auto seeds = make_grid<T>(where, scores.extent);
  for_each_cell(where, scores.extent, keep_off_boundary<T, S>{scores, boundary, seeds.view()});
  return random_walk(where, seeds, step, walk_options::squarings(options.exp_times, options.tolerance));
}

/// As irnet_clusters in irnet.hpp. @asynchrony waits for where.stream: how many clusters there are decides what follows
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] instance_map_in<S> irnet_clusters(P const& where, stack_view<T const, S> displacement,
                                                irnet_options const& options)
{
  auto const centroids = nearest_cells(where, trace(where, displacement, {.iterations = options.iterations}));
  auto const weak = weak_field(where, displacement, options.thres);
  auto regions = make_grid<std::int32_t>(where, weak.view().extent);
  auto count = make_grid<index_t>(where, {1});
  connected_scratch<P> scratch;
  connected_into(where, weak, c4, regions, count, scratch);
  return cluster(where, regions, centroids);
}

/// Rule: the channel a component lies in.
template <class S>
struct note_channel {
  image_view<std::int32_t const, S> label;
  image_view<std::int32_t const, S> channel;
  view<std::uint32_t, 1, S> at;  ///< [N] of component l at l - 1

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    // every cell of a component writes the same; one that is alone in its row of cells does not wait for the others
    std::int32_t const l = label(y, x);
    if (l > 0 && (x == 0 || label(y, x - 1) != l)) at(l - 1) = static_cast<std::uint32_t>(channel(y, x));
  }
};

/// Rule: components numbered by their place in an order, and the categories of that order.
template <class S>
struct take_order {
  view<std::uint32_t const, 1, S> channel;     ///< [N] of the i-th
  view<std::int32_t const, 1, S> component;    ///< [N] which is the i-th, from 0
  view<std::int32_t const, 1, S> channel_key;  ///< [M] of channel m at m - 1
  view<std::int32_t, 1, S> table;              ///< [N+1]
  view<std::int32_t, 1, S> category;           ///< [N]

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i == 0) table(0) = 0;
    if (i == component.extent[0]) return;
    table(component(i) + 1) = static_cast<std::int32_t>(i + 1);
    index_t const m = static_cast<index_t>(channel(i)) - 1;
    category(i) = 0 <= m && m < channel_key.extent[0] ? channel_key(m) : -1;
  }
};

template <class S>
struct count_up {
  view<std::int32_t, 1, S> out;
  CAMBIUM_HD void operator()(index_t i) const { out(i) = static_cast<std::int32_t>(i); }
};

/// As irnet_detect_components in irnet.hpp.
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] instance_table<S> irnet_detect_components(P const& where, components<std::int32_t, S> const& found,
                                                        assignment<T, S> const& chosen,
                                                        std::vector<std::int32_t> const& channel_keys,
                                                        detect_options const& rules)
{
  index_t const N = found.count;
  auto const label = found.label.view();
  auto channel = make_grid<std::uint32_t>(where, {N}), in_order = make_grid<std::uint32_t>(where, {N});
  auto number = make_grid<std::int32_t>(where, {N}), component = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  auto const keys = listed_for(where, channel_keys);
  fill(where, N, channel.view().data, std::uint32_t{0});  // labels that nobody has
  for_each_cell(where, {1, label.extent[0], label.extent[1]},
                note_channel<S>{label, chosen.channel.view(), channel.view()});
  for_each_index(where, N, count_up<S>{number.view()});
  int bits = 1;
  while ((std::size_t{1} << bits) <= channel_keys.size()) ++bits;
  workspace<P> space;
  sort_by_key(where, N, static_cast<std::uint32_t const*>(channel.view().data),
              static_cast<std::int32_t const*>(number.view().data), in_order.view().data, component.view().data, bits,
              space);
  for_each_index(where, N + 1,
                 take_order<S>{in_order.view(), component.view(), keys.view(), table.view(), category.view()});
  auto const ordered = relabel(where, found.label, table);
  instance_table<S> out{make_grid<std::int32_t>(where, label.extent), make_grid<instance>(where, {N}),
                        make_grid<std::int32_t>(where, {1})};
  detect_scratch<P, T> scratch;
  detect_into(where, ordered, category, chosen.score, rules, out.label, out.found, out.count, scratch);
  return out;
}

/// As irnet_detect in irnet.hpp. @asynchrony waits for where.stream unless pieces are merged
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] instance_table<S> irnet_detect(P const& where, assignment<T, S> const& chosen,
                                             std::vector<std::int32_t> const& channel_keys,
                                             irnet_options const& options)
{
  auto const channel = chosen.channel.view();
  auto const rules = irnet_fragments({channel.extent[0], channel.extent[1]}, options);
  if (options.parts == pieces::merged) return detect(where, chosen.channel, channel_keys, chosen.score, rules);
  return irnet_detect_components(where, connected_equal(where, chosen.channel, c4), chosen, channel_keys, rules);
}

/// Inside a class region and below the boundary's threshold: what parts instances without a displacement field.
template <class T, class S>
struct off_the_wall {
  image_view<std::int32_t const, S> channel;
  enlarged_at<T, S> boundary;  ///< one channel
  T threshold;

  CAMBIUM_HD bool operator()(index_t y, index_t x) const
  {
    return channel(y, x) != 0 && boundary(0, boundary.down(y), boundary.across(x)) < threshold;
  }
};
template <class S>
struct same_channel {
  image_view<std::int32_t const, S> channel;
  CAMBIUM_HD bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    return channel(y, x) == channel(ny, nx);
  }
};

/// Rules: which regions have no core, and their cells' labels: one each after those of the cores.
template <class S>
struct note_core {
  image_view<std::int32_t const, S> region, core;
  view<std::int32_t, 1, S> without;  ///< [N+1] 1 before

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const r = region(y, x);
    if (r > 0 && core(y, x) > 0) atomic_min(&without(r), 0);
  }
};
template <class S>
struct one_each {
  view<std::int32_t, 1, S> without;
  CAMBIUM_HD void operator()(index_t r) const { without(r) = r == 0 ? 0 : 1; }
};
template <class S>
struct follow_cores {
  image_view<std::int32_t const, S> region;
  view<std::int32_t const, 1, S> without, before;
  std::int32_t cores;
  image_view<std::int32_t, S> core;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const r = region(y, x);
    if (r > 0 && core(y, x) == 0 && without(r) != 0) core(y, x) = cores + before(r) + 1;
  }
};

/// As irnet_components in irnet.hpp. @asynchrony waits for where.stream
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] instance_table<S> irnet_components(P const& where, assignment<T, S> const& chosen,
                                                 std::vector<std::int32_t> const& keys, image_view<T const, S> boundary,
                                                 irnet_options const& options)
{
  if (options.parts == pieces::merged || options.component_thres > 1) return irnet_detect(where, chosen, keys, options);
  auto const channel = chosen.channel.view();
  index_t const H = channel.extent[0], W = channel.extent[1];
  auto const rules = irnet_fragments({H, W}, options);
  auto const regions = connected_equal(where, channel, c4);
  stack_view<T const, S> walls(boundary.data, {1, boundary.extent[0], boundary.extent[1]});
  walls.stride[1] = boundary.stride[0];
  auto cores = connected_if(
      where, {H, W}, c4,
      off_the_wall<T, S>{channel, enlarged_at<T, S>{walls, T(0.25)}, static_cast<T>(options.component_thres)},
      same_channel<S>{channel});
  cores = drop_small(where, cores, static_cast<index_t>(std::ceil(rules.smallest)));
  cores = grow(where, cores, channel);
  auto without = make_grid<std::int32_t>(where, {regions.count + 1}),
       before = make_grid<std::int32_t>(where, {regions.count + 1});
  index_t const all[3] = {1, H, W};
  workspace<P> space;
  for_each_index(where, regions.count + 1, one_each<S>{without.view()});
  for_each_cell(where, all, note_core<S>{regions.label.view(), std::as_const(cores).label.view(), without.view()});
  exclusive_scan(where, regions.count + 1, static_cast<std::int32_t const*>(without.view().data), before.view().data,
                 space);
  for_each_cell(where, all,
                follow_cores<S>{regions.label.view(), without.view(), before.view(),
                                static_cast<std::int32_t>(cores.count), cores.label.view()});
  // As many as there may be: labels nobody has give no instance.
  cores.count += regions.count;
  return irnet_detect_components(where, cores, chosen, keys, rules);
}

/// Label one image as IRNet does, on a device: see irnet in irnet.hpp.
///
/// @param where    gpu
/// @param in       maps in device memory; keys on the host
/// @param options  as there
///
/// @pre          maps are finite, boundaries in [0,1]: what is not gives labels without meaning, and harms nothing
/// @throws       precondition_error before anything is enqueued, when shapes or options do not fit; gpu_error
/// @complexity   as there
/// @determinism  the same bits on every run; against the cpu scores differ by the walk's rounding (docs/determinism.md),
///               and with them a label where two scores are nearly equal
/// @asynchrony   waits for where.stream two to four times: how many clusters and components there are decides what is
///               allocated. For a batch see for_each_item of exec/parallel.cuh: images wait for themselves only
template <execution_policy P, class T>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] irnet_label_maps<typename P::memory> irnet(P const& where, irnet_input<T, typename P::memory> const& in,
                                                         irnet_options const& options = {})
{
  using S = typename P::memory;
  check_input(in);
  check_options(options);
  auto const edges = stencil::disc(options.radius);
  auto const step = make_transition(where, edges, path_affinity(where, in.boundary, edges), {.beta = options.beta});
  auto const classes = propagate_to_edge(where, step, in.cams, in.boundary, options);
  auto const chosen = [&](grid<T, 3, S> const& walked, std::vector<std::int32_t> const& groups, double background) {
    return assign(where, walked, groups, in.image,
                  {.background = background, .scale = options.scale, .empty = options.empty});
  };
  std::vector<std::int32_t> labels{0};
  for (auto const key : in.keys) labels.push_back(key + 1);
  auto semantic = relabel(where, chosen(classes, in.keys, options.sem_seg_bg_thres).channel, listed_for(where, labels));
  if (in.displacement.data == nullptr)
    return {std::move(semantic),
            irnet_components(where, chosen(classes, in.keys, options.ins_seg_bg_thres), in.keys, in.boundary, options)};
  auto const clusters = irnet_clusters(where, in.displacement, options);
  auto const split = separate(where, in.cams, clusters.id, clusters.count);
  auto const walked = propagate_to_edge(where, step, stack_view<T const, S>(split.view()), in.boundary, options);
  auto const keys = irnet_channel_keys(in.keys, clusters.count);
  return {std::move(semantic), irnet_detect(where, chosen(walked, keys, options.ins_seg_bg_thres), keys, options)};
}

}  // namespace cambium
