#pragma once

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/core/label.hpp>
#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/trace.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/instance/assign.hpp>
#include <cambium/instance/detect.hpp>
#include <cambium/instance/separate.hpp>
#include <cambium/walk/random_walk.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

namespace cambium {

/// Are the pieces of one instance channel one object or several?
enum class pieces {
  separate,  ///< every 4-connected piece is an instance: the original, which splits what an occluder cuts
  merged,    ///< all pieces of a channel are one instance; without a displacement field, of a class
};

/// Parameters of IRNet's label synthesis, by the names and with the defaults of the original's run_sample.py.
struct irnet_options {
  int radius = 5;        ///< [cells] of the stencil; 1..17
  double beta = 10;      ///< power of the affinities
  int exp_times = 8;     ///< the walk takes 2^exp_times steps
  double tolerance = 0;  ///< of the walk, see walk_options; 0 = exact
  double sem_seg_bg_thres = 0.25;
  double ins_seg_bg_thres = 0.25;
  int iterations = 300;             ///< of the trace
  double thres = 2.5;               ///< [cells] below which displacement is weak
  double max_fragment_size = 0.01;  ///< [fraction of the image] smaller components are fragments
  fragments small = fragments::score_zero;
  score_scale scale = score_scale::image;
  no_score empty = no_score::background;
  pieces parts = pieces::separate;
  double component_thres = 0.5;  ///< without displacement: boundaries from here on part components; > 1 parts none
};

/// One image's maps. The views are not owned.
template <class T, class Space = host>
struct irnet_input {
  stack_view<T const, Space> cams;          ///< [C,h,w], h = (H-1)/4 + 1
  std::vector<std::int32_t> keys;           ///< C classes, 0-based; the label of class k is k + 1
  image_view<T const, Space> boundary;      ///< [h,w] in [0,1]
  stack_view<T const, Space> displacement;  ///< [2,h,w], or null: then instances are components
  extent2 image;                            ///< [pixels] H, W
};

/// Semantic and instance labels of one image.
struct irnet_labels {
  grid<std::int32_t, 2> semantic;  ///< [H,W] 0 background, class + 1
  instances<> objects;             ///< categories are keys: 0-based classes
};

/// Throws unless classes have labels: key + 1 is below label::ignore.
inline void expects_keys(std::vector<std::int32_t> const& keys, char const* who)
{
  for (auto const key : keys)
    expects(0 <= key && key < label::ignore - 1, who, ": key ", key, " is outside 0..", label::ignore - 2);
}

/// Throws unless the thresholds are numbers. (The rest is checked by the stages it goes to.)
inline void check_options(irnet_options const& o)
{
  expects(std::isfinite(o.sem_seg_bg_thres), "irnet: sem_seg_bg_thres is ", o.sem_seg_bg_thres);
  expects(std::isfinite(o.ins_seg_bg_thres), "irnet: ins_seg_bg_thres is ", o.ins_seg_bg_thres);
  expects(!std::isnan(o.component_thres), "irnet: component_thres is ", o.component_thres);
  expects(0 <= o.max_fragment_size && o.max_fragment_size <= 1, "irnet: max_fragment_size is ", o.max_fragment_size,
          ", outside [0,1]");
}

/// Throws unless the maps of an image fit together.
template <class T, class Space>
void check_input(irnet_input<T, Space> const& in)
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

/// The step of IRNet's walk: affinities of a boundary map, sharpened and normalised.
template <class T>
[[nodiscard]] transition<T> irnet_transition(cpu const& where, image_view<T const> boundary,
                                             irnet_options const& options)
{
  auto const edges = stencil::disc(options.radius);
  return make_transition(where, edges, path_affinity(where, boundary, edges), {.beta = options.beta});
}

/// Spread scores up to the boundaries: multiply by 1 - boundary, then walk.
///
/// Channels that are zero everywhere stay so and are not walked.
///
/// @param step      from irnet_transition
/// @param scores    [N,h,w]
/// @param boundary  [h,w]
/// @return [N,h,w]
/// @source propagate_to_edge, misc/indexing.py of jiwoon-ahn/irn
template <class T>
[[nodiscard]] grid<T, 3> propagate_to_edge(cpu const& where, transition<T> const& step, stack_view<T const> scores,
                                           image_view<T const> boundary, irnet_options const& options)
{
  index_t const N = scores.extent[0], H = scores.extent[1], W = scores.extent[2];
  expects(boundary.extent[0] == H && boundary.extent[1] == W, "propagate_to_edge: scores are ", scores,
          " but the boundary is ", boundary);
  expects_finite(where, scores, "propagate_to_edge: scores");
  std::vector<index_t> alive;
  for (index_t n = 0; n < N; ++n) {
    bool any = false;
    for (index_t y = 0; y < H && !any; ++y)
      any = std::any_of(&scores(n, y, 0), &scores(n, y, 0) + W, [](T v) { return v != 0; });
    if (any) alive.push_back(n);
  }
  auto seeds = make_grid<T>({static_cast<index_t>(alive.size()), H, W});
  for (std::size_t i = 0; i < alive.size(); ++i)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) seeds(i, y, x) = scores(alive[i], y, x) * (1 - boundary(y, x));
  auto walked = random_walk(where, seeds, step, walk_options::squarings(options.exp_times, options.tolerance));
  if (static_cast<index_t>(alive.size()) == N) return walked;
  grid<T, 3> out(N, H, W);
  for (std::size_t i = 0; i < alive.size(); ++i) std::copy_n(&walked(i, 0, 0), H * W, &out(alive[i], 0, 0));
  return out;
}

/// Which instance each cell of a displacement field belongs to.
template <class T>
[[nodiscard]] instance_map<> irnet_clusters(cpu const& where, stack_view<T const> displacement,
                                          irnet_options const& options)
{
  auto const centroids = nearest_cells(where, trace(where, displacement, {.iterations = options.iterations}));
  auto const regions = connected(where, weak_field(where, displacement, options.thres), c4);
  return cluster(where, regions.label, centroids);
}

/// The channel of every pixel, from walked scores; `groups` has a number a channel.
template <class T>
[[nodiscard]] assignment<T> irnet_assign(cpu const& where, stack_view<T const> walked,
                                         std::vector<std::int32_t> const& groups, extent2 image, double background,
                                         irnet_options const& options)
{
  return assign(where, walked, groups, image,
                {.background = background, .scale = options.scale, .empty = options.empty});
}

/// From the channel of every pixel to its class label.
template <class T>
[[nodiscard]] grid<std::int32_t, 2> irnet_semantic_labels(cpu const& where, assignment<T> const& chosen,
                                                          std::vector<std::int32_t> const& keys)
{
  std::vector<std::int32_t> label{0};
  for (auto const key : keys) label.push_back(key + 1);
  return relabel(where, chosen.channel, label);
}

/// Number labels by the channel they lie in, then by their old number, as the original's loop over channels does.
inline std::vector<std::int32_t> order_by_channel(components<> const& found, grid<std::int32_t, 2> const& channel,
                                                  std::vector<std::int32_t>& channel_of)
{
  std::vector<std::int32_t> at(static_cast<std::size_t>(found.count + 1), 0);
  for (std::size_t i = 0; i < found.label.cells().size(); ++i)
    at[static_cast<std::size_t>(found.label.cells()[i])] = channel.cells()[i];
  std::vector<std::int32_t> order(static_cast<std::size_t>(found.count));
  std::iota(order.begin(), order.end(), 1);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return at[static_cast<std::size_t>(a)] < at[static_cast<std::size_t>(b)]; });
  std::vector<std::int32_t> table(at.size(), 0);
  channel_of.clear();
  for (std::size_t i = 0; i < order.size(); ++i) {
    table[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i + 1);
    channel_of.push_back(at[static_cast<std::size_t>(order[i])]);
  }
  return table;
}

/// The classes of instance channels c*K + k.
inline std::vector<std::int32_t> irnet_channel_keys(std::vector<std::int32_t> const& keys, index_t K)
{
  std::vector<std::int32_t> out;
  for (auto const key : keys) out.insert(out.end(), static_cast<std::size_t>(K), key);
  return out;
}

/// [pixels] The area below which a component of an image is a fragment, and what becomes of it.
[[nodiscard]] inline detect_options irnet_fragments(extent2 image, irnet_options const& options)
{
  return {options.max_fragment_size * static_cast<double>(image.height) * static_cast<double>(image.width),
          options.small};
}

/// Instances of components that lie in one channel each, channel by channel.
template <class T>
[[nodiscard]] instances<> irnet_detect_components(cpu const& where, components<> const& found,
                                                  assignment<T> const& chosen,
                                                  std::vector<std::int32_t> const& channel_keys,
                                                  detect_options const& rules)
{
  std::vector<std::int32_t> channel_of, categories;
  auto const labels = relabel(where, found.label, order_by_channel(found, chosen.channel, channel_of));
  for (auto const n : channel_of) categories.push_back(channel_keys[static_cast<std::size_t>(n - 1)]);
  return detect(where, labels, categories, chosen.score, rules);
}

/// From the channel of every pixel to instances: its components, or all its pixels.
///
/// @param channel_keys  the class of each channel
template <class T>
[[nodiscard]] instances<> irnet_detect(cpu const& where, assignment<T> const& chosen,
                                       std::vector<std::int32_t> const& channel_keys, irnet_options const& options)
{
  auto const& [H, W] = chosen.channel.shape();
  auto const rules = irnet_fragments({H, W}, options);
  if (options.parts == pieces::merged) return detect(where, chosen.channel, channel_keys, chosen.score, rules);
  return irnet_detect_components(where, connected_equal(where, chosen.channel, c4), chosen, channel_keys, rules);
}

/// Instances without a displacement field: components of the class labels that boundaries part.
///
/// A class region is cut where the boundary, enlarged to the image, reaches component_thres; cores of at least
/// max_fragment_size grow back over the boundary inside their class region; a region without such a core is one
/// instance. A component's score is the largest scaled class score on it.
template <class T>
[[nodiscard]] instances<> irnet_components(cpu const& where, assignment<T> const& chosen,
                                           std::vector<std::int32_t> const& keys, image_view<T const> boundary,
                                           irnet_options const& options)
{
  if (options.parts == pieces::merged || options.component_thres > 1) return irnet_detect(where, chosen, keys, options);
  auto const& [H, W] = chosen.channel.shape();
  auto const rules = irnet_fragments({H, W}, options);
  auto found = connected_equal(where, chosen.channel, c4);
  auto wall = make_grid<T>({H, W});
  auto const across = taps(W, T(0.25), boundary.extent[1]);
  std::vector<T> mixed(static_cast<std::size_t>(boundary.extent[1]));
  for (index_t y = 0; y < H; ++y)
    bilinear_row(boundary, tap(y, T(0.25), boundary.extent[0]), across, mixed.data(), &wall(y, 0));
  T const thres = static_cast<T>(options.component_thres);
  auto cores = connected_if(
      where, {H, W}, c4, [&](index_t y, index_t x) { return chosen.channel(y, x) != 0 && wall(y, x) < thres; },
      [&](index_t y, index_t x, index_t ny, index_t nx) { return chosen.channel(y, x) == chosen.channel(ny, nx); });
  cores = drop_small(where, cores, static_cast<index_t>(std::ceil(rules.smallest)));
  cores = grow(where, cores, chosen.channel);
  // Regions without a core follow as they are.
  std::vector<std::int32_t> rest(static_cast<std::size_t>(found.count + 1), -1);
  for (std::size_t i = 0; i < found.label.cells().size(); ++i) {
    auto& label = cores.label.cells()[i];
    auto const region = found.label.cells()[i];
    if (region == 0 || label != 0) continue;
    auto& number = rest[static_cast<std::size_t>(region)];
    if (number < 0) number = static_cast<std::int32_t>(++cores.count);
    label = number;
  }
  return irnet_detect_components(where, cores, chosen, keys, rules);
}

/// What walked class scores say: semantic labels and, where there is no displacement field, instances.
template <class T>
[[nodiscard]] irnet_labels irnet_label_classes(cpu const& where, stack_view<T const> walked, irnet_input<T> const& in,
                                               irnet_options const& options)
{
  auto const chosen = [&](double background) {
    return irnet_assign<T>(where, walked, in.keys, in.image, background, options);
  };
  irnet_labels out{irnet_semantic_labels(where, chosen(options.sem_seg_bg_thres), in.keys), {}};
  if (in.displacement.data == nullptr)
    out.objects = irnet_components(where, chosen(options.ins_seg_bg_thres), in.keys, in.boundary, options);
  return out;
}

/// Walked scores of one image: all that its labels need, whatever the thresholds. Keep them, and try many.
template <class T>
struct irnet_scores {
  grid<T, 3> classes;    ///< [C,h,w]
  grid<T, 3> instances;  ///< [C*K,h,w] channel c*K + k is class c on cluster k; empty without a displacement field
};

/// Walk the CAMs of an image and, where there is a displacement field, their shares on each of its clusters.
template <class T>
[[nodiscard]] irnet_scores<T> irnet_walk(cpu const& where, irnet_input<T> const& in, irnet_options const& options)
{
  auto const step = irnet_transition<T>(where, in.boundary, options);
  irnet_scores<T> out{propagate_to_edge<T>(where, step, in.cams, in.boundary, options), {}};
  if (in.displacement.data == nullptr) return out;
  auto const clusters = irnet_clusters<T>(where, in.displacement, options);
  auto const split = separate(where, in.cams, clusters.id, clusters.count);
  out.instances = propagate_to_edge<T>(where, step, split.view(), in.boundary, options);
  return out;
}

/// Instances of walked instance channels.
template <class T>
[[nodiscard]] instances<> irnet_label_instances(cpu const& where, stack_view<T const> walked, irnet_input<T> const& in,
                                                irnet_options const& options)
{
  auto const C = static_cast<index_t>(in.keys.size());
  auto const keys = irnet_channel_keys(in.keys, C == 0 ? 0 : walked.extent[0] / C);
  auto const chosen = irnet_assign<T>(where, walked, keys, in.image, options.ins_seg_bg_thres, options);
  return irnet_detect(where, chosen, keys, options);
}

/// Labels of walked scores.
template <class T>
[[nodiscard]] irnet_labels irnet_label(cpu const& where, irnet_scores<T> const& walked, irnet_input<T> const& in,
                                       irnet_options const& options)
{
  auto out = irnet_label_classes<T>(where, walked.classes.view(), in, options);
  if (in.displacement.data != nullptr)
    out.objects = irnet_label_instances<T>(where, walked.instances.view(), in, options);
  return out;
}

/// Label one image as IRNet does: CAMs, a boundary map and, if there is one, a displacement field go in;
/// semantic labels and instances come out.
///
/// @param where    cpu
/// @param in       the maps at stride 4
/// @param options  defaults of the original
///
/// @throws       precondition_error before anything is written, when maps do not fit together or hold NaN
/// @complexity   the walk: 2^exp_times * (C + C*K) * h * w * 69 multiply-adds at radius 5
/// @determinism  the same bits on every run and for every number of threads
/// @source       Ahn, Cho, Kwak, CVPR 2019; _work of step/make_sem_seg_labels.py and step/make_ins_seg_labels.py of
///               jiwoon-ahn/irn. Where nothing scores these make everything the first class or raise; here the
///               image is background (options.empty) and the list of instances empty. Instances without a
///               displacement field are ours
template <class T>
[[nodiscard]] irnet_labels irnet(cpu const& where, irnet_input<T> const& in, irnet_options const& options = {})
{
  check_input(in);
  check_options(options);
  expects_finite(where, in.cams, "irnet: cams");
  return irnet_label(where, irnet_walk(where, in, options), in, options);
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Semantic and instance labels of one image, in the memory of a policy.
template <class Space>
struct irnet_label_maps {
  grid<std::int32_t, 2, Space> semantic;  ///< [H,W] 0 background, class + 1
  instances<Space> objects;               ///< categories are keys: 0-based classes
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
[[nodiscard]] instance_map<S> irnet_clusters(P const& where, stack_view<T const, S> displacement,
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
[[nodiscard]] instances<S> irnet_detect_components(P const& where, components<std::int32_t, S> const& found,
                                                   assignment<T, S> const& chosen,
                                                   std::vector<std::int32_t> const& channel_keys,
                                                   detect_options const& rules)
{
  index_t const N = found.count;
  auto const label = found.label.view();
  auto channel = make_grid<std::uint32_t>(where, {N}), in_order = make_grid<std::uint32_t>(where, {N});
  auto number = make_grid<std::int32_t>(where, {N}), component = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  auto const keys = to_memory(where, channel_keys);
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
  detect_scratch<P, T> scratch;
  auto const [H, W] = extent2{label.extent[0], label.extent[1]};
  return make_instances(where, H, W, N, [&](auto const& to, auto const& all, auto const& count) {
    detect_into(where, ordered, category, chosen.score, rules, to, all, count, scratch);
  });
}

/// As irnet_detect in irnet.hpp. @asynchrony waits for where.stream unless pieces are merged
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] instances<S> irnet_detect(P const& where, assignment<T, S> const& chosen,
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
[[nodiscard]] instances<S> irnet_components(P const& where, assignment<T, S> const& chosen,
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
  auto semantic = relabel(where, chosen(classes, in.keys, options.sem_seg_bg_thres).channel, to_memory(where, labels));
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
