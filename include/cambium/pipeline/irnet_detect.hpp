#pragma once
// From the channel of every pixel to instances: the last part of IRNet's label synthesis.

#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/instance/assign.hpp>
#include <cambium/instance/detect.hpp>
#include <cambium/instance/enlarged.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
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

namespace rule {

/// The channel of each component.
template <class S>
struct note_channel {
  image_view<std::int32_t const, S> label;
  image_view<std::int32_t const, S> channel;
  view<std::uint32_t, 1, S> at;  ///< [N] of component l at l - 1; 0 before

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const l = label(y, x);
    if (l <= 0 || (x > 0 && label(y, x - 1) == l)) return;
    auto const here = static_cast<std::uint32_t>(channel(y, x));  // the same on all cells of a component
    if (atomic_read(&at(l - 1)) != here) atomic_max(&at(l - 1), here);
  }
};

/// Number components by their place in an order, and list the categories in that order.
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

/// The channel of a pixel off the boundaries, 0 on them. Boundaries part instances without a displacement field.
template <class T, class S>
struct cut_at_boundary {
  enlarged_at<T, S> boundary;
  T threshold;
  image_view<std::int32_t const, S> channel;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = boundary(0, boundary.down(y), boundary.across(x)) < threshold ? channel(y, x) : 0;
  }
};

/// Which regions have no core. Their cells then get labels after those of the cores, one a region.
template <class S>
struct note_core {
  image_view<std::int32_t const, S> region, core;
  view<std::int32_t, 1, S> without;  ///< [N+1] 1 before

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const r = region(y, x);
    if (r > 0 && core(y, x) > 0 && atomic_read(&without(r)) != 0) atomic_min(&without(r), 0);
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

}  // namespace rule

/// The cpu's schedule of a cut, a row at a time. See rule::cut_at_boundary.
template <class T>
void cut_at_boundary_on(cpu const& where, image_view<T const> boundary, T threshold,
                        image_view<std::int32_t const> channel, image_view<std::int32_t> out)
{
  index_t const H = out.extent[0], W = out.extent[1];
  enlarged_rows<T> const enlarged(as_batch(boundary), {0, 0, H, W}, 4);
  for_each_share(where, H, 8, [&](index_t begin, index_t end) {
    auto mixed = enlarged.mixed(), wall = enlarged.row();
    for (index_t y = begin; y < end; ++y) {
      enlarged(0, y, mixed, wall.data());
      for (index_t x = 0; x < W; ++x) out(y, x) = wall[static_cast<std::size_t>(x)] < threshold ? channel(y, x) : 0;
    }
  });
}

/// The same by rules.
template <execution_policy P, class T, class S>
void cut_at_boundary_on(P const& where, image_view<T const, S> boundary, T threshold,
                        image_view<std::int32_t const, S> channel, image_view<std::int32_t, S> out)
{
  rule::enlarged_at<T, S> const enlarged{as_batch(boundary), T(1) / T(4)};
  for_each_cell(where, as_batch(out).extent, rule::cut_at_boundary<T, S>{enlarged, threshold, channel, out});
}

/// Detect instances of components that lie in one channel each. Channels come in order; of one channel, components by
/// their number, as in the original's loop over channels.
///
/// @param channel_keys  the class of each channel
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_detect_components(P const& where, components<std::int32_t, S> const& found,
                                                   assignment<T, S> const& chosen,
                                                   std::vector<std::int32_t> const& channel_keys,
                                                   detect_options const& rules)
{
  index_t const N = found.count;
  auto const label = found.label.view();
  if constexpr (std::is_same_v<P, cpu>)
    expects_labels(chosen.channel.view(), static_cast<index_t>(channel_keys.size()), "irnet_detect: channel");
  auto channel = make_grid<std::uint32_t>(where, {N}), in_order = make_grid<std::uint32_t>(where, {N});
  auto number = make_grid<std::int32_t>(where, {N}), component = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  auto const keys = to_memory(where, channel_keys);
  fill(where, N, channel.view().data, std::uint32_t{0});  // a label may have no cell
  for_each_cell(where, {1, label.extent[0], label.extent[1]},
                rule::note_channel<S>{label, chosen.channel.view(), channel.view()});
  for_each_index(where, N, rule::count_up<S>{number.view()});
  int bits = 1;
  while ((std::size_t{1} << bits) <= channel_keys.size()) ++bits;
  workspace<P> space;
  sort_by_key(where, N, static_cast<std::uint32_t const*>(channel.view().data),
              static_cast<std::int32_t const*>(number.view().data), in_order.view().data, component.view().data, bits,
              space);
  for_each_index(where, N + 1,
                 rule::take_order<S>{in_order.view(), component.view(), keys.view(), table.view(), category.view()});
  auto const ordered = relabel(where, found.label, table);
  detect_scratch<P, T> scratch;
  return make_instances(where, label.extent[0], label.extent[1], N,
                        [&](auto const& to, auto const& all, auto const& count) {
                          detect_into(where, ordered, category, chosen.score, rules, to, all, count, scratch);
                        });
}

/// From the channel of every pixel to instances: its components, or all its pixels.
///
/// @param channel_keys  the class of each channel
/// @asynchrony  gpu: waits for where.stream unless pieces are merged
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_detect(P const& where, assignment<T, S> const& chosen,
                                        std::vector<std::int32_t> const& channel_keys, irnet_options const& options)
{
  auto const channel = chosen.channel.view();
  auto const rules = irnet_fragments({channel.extent[0], channel.extent[1]}, options);
  if (options.parts == pieces::merged) return detect(where, channel, channel_keys, chosen.score, rules);
  return irnet_detect_components(where, connected_equal(where, channel, c4), chosen, channel_keys, rules);
}

/// Instances without a displacement field: components of the class labels that boundaries part.
///
/// A class region is cut where the boundary, enlarged to the image, reaches component_thres; cores of at least
/// max_fragment_size grow back over the boundary inside their class region; a region without such a core is one
/// instance. A component's score is the largest scaled class score on it.
///
/// @asynchrony  gpu: waits for where.stream, for the numbers of components
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_components(P const& where, assignment<T, S> const& chosen,
                                            std::vector<std::int32_t> const& keys,
                                            std::type_identity_t<image_view<T const, S>> boundary,
                                            irnet_options const& options)
{
  if (options.parts == pieces::merged || options.component_thres > 1) return irnet_detect(where, chosen, keys, options);
  auto const channel = chosen.channel.view();
  index_t const H = channel.extent[0], W = channel.extent[1];
  index_t const all[3] = {1, H, W};
  auto const rules = irnet_fragments({H, W}, options);
  auto const regions = connected_equal(where, channel, c4);
  auto cut = make_grid<std::int32_t>(where, {H, W});
  cut_at_boundary_on(where, boundary, static_cast<T>(options.component_thres), channel, cut.view());
  auto cores = connected_equal(where, cut, c4);
  cores = drop_small(where, cores, static_cast<index_t>(std::ceil(rules.smallest)));
  cores = grow(where, cores, channel);
  auto without = make_grid<std::int32_t>(where, {regions.count + 1}),
       before = make_grid<std::int32_t>(where, {regions.count + 1});
  workspace<P> space;
  for_each_index(where, regions.count + 1, rule::one_each<S>{without.view()});
  for_each_cell(where, all,
                rule::note_core<S>{regions.label.view(), std::as_const(cores).label.view(), without.view()});
  exclusive_scan(where, regions.count + 1, static_cast<std::int32_t const*>(without.view().data), before.view().data,
                 space);
  for_each_cell(where, all,
                rule::follow_cores<S>{regions.label.view(), without.view(), before.view(),
                                      static_cast<std::int32_t>(cores.count), cores.label.view()});
  cores.count += regions.count;  // at most; a label without cells gives no instance
  return irnet_detect_components(where, cores, chosen, keys, rules);
}

}  // namespace cambium
