#pragma once
// From the channel of every pixel to instances: the last part of IRNet's label synthesis.

#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/transition.hpp>
#include <cambium/instance/assign.hpp>
#include <cambium/instance/detect.hpp>
#include <cambium/instance/enlarged.hpp>
#include <cambium/pipeline/irnet_choice.hpp>

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
  int radius = 5;                               ///< [cells] of the stencil; 1..17
  double beta = 10;                             ///< power of the affinities
  int exp_times = 8;                            ///< the walk takes 2^exp_times steps
  double tolerance = 0;                         ///< of the walk, see walk_options; 0 = exact
  weight_format weights = weight_format::full;  ///< of the walk; bfloat16 is quicker on large maps, see make_transition
  double sem_seg_bg_thres = 0.25;
  double ins_seg_bg_thres = 0.25;
  int iterations = 300;             ///< of the trace
  double thres = 2.5;               ///< [cells] below which displacement is weak
  double max_fragment_size = 0.01;  ///< [fraction of the image] smaller components are fragments
  fragments small = fragments::score_zero;
  score_scale scale = score_scale::image;
  no_score empty = no_score::background;
  pieces parts = pieces::separate;
  double component_thres = 0.5;  ///< without displacement: components end where boundaries reach it; > 1: nowhere
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
template <class Channel, class S>
struct note_channel {
  image_view<std::int32_t const, S> label;
  image_view<Channel const, S> channel;
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

/// The channel of a pixel where the enlarged boundary is below a threshold. Boundaries part instances without a
/// displacement field.
template <class Channel, class T, class S>
struct cut_at_boundary {
  image_view<Channel const, S> channel;
  enlarged_at<T, S> boundary;
  T threshold;
  image_view<Channel, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    Channel const here = channel(y, x);
    bool const off = here != 0 && boundary(0, boundary.down(y), boundary.across(x)) < threshold;
    out(y, x) = off ? here : Channel(0);
  }
};

/// The channel of a pixel that is in no component.
template <class Channel, class S>
struct keep_unlabelled {
  image_view<Channel const, S> channel;
  image_view<std::int32_t const, S> label;
  image_view<Channel, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = label(y, x) == 0 ? channel(y, x) : Channel(0);
  }
};

/// A pixel takes the label of a second labelling, behind the labels of the first.
template <class S>
struct append_label {
  image_view<std::int32_t const, S> more;
  std::int32_t before;
  image_view<std::int32_t, S> label;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    if (more(y, x) != 0) label(y, x) = before + more(y, x);
  }
};

}  // namespace rule

/// The cpu's schedule of rule::cut_at_boundary, row by row.
template <class Channel, class T>
void cut_at_boundary_on(cpu const& where, image_view<Channel const> channel, image_view<T const> boundary, T threshold,
                        image_view<Channel> out)
{
  index_t const H = channel.extent[0], W = channel.extent[1];
  enlarged_rows<T> const enlarged(as_batch(boundary), {0, 0, H, W}, 4);
  for_each_share(where, H, 8, [&](index_t begin, index_t end) {
    auto mixed = enlarged.mixed(), wall = enlarged.row();
    for (index_t y = begin; y < end; ++y) {
      enlarged(0, y, mixed, wall.data());
      Channel const* const from = &channel(y, 0);
      Channel* const to = &out(y, 0);
      for (index_t x = 0; x < W; ++x) to[x] = wall[static_cast<std::size_t>(x)] < threshold ? from[x] : Channel(0);
    }
  });
}
template <execution_policy P, class Channel, class T, class S>
void cut_at_boundary_on(P const& where, image_view<Channel const, S> channel, image_view<T const, S> boundary,
                        T threshold, image_view<Channel, S> out)
{
  rule::enlarged_at<T, S> const enlarged{as_batch(boundary), T(1) / T(4)};
  for_each_cell(where, as_batch(out).extent, rule::cut_at_boundary<Channel, T, S>{channel, enlarged, threshold, out});
}

/// Label the components of a map of channels, with numbers after those in use; no cell has two labels.
template <class Channel>
void append_components_on(cpu const& where, image_view<Channel const> channel, components<>& found)
{
  auto const append = [&]<class Index>(std::vector<run_band<Index>> bands) {
    auto const linked =
        link_runs(where, c4, label_runs<Channel const>{channel, 0}, {channel.extent[0], channel.extent[1]}, bands);
    expects_labels_fit<std::int32_t>(found.count + linked.count, "irnet_components");
    write_runs(where, linked, bands, found.label.view(), static_cast<std::int32_t>(found.count), true);
    found.count += linked.count;
  };
  if (numbers_cells<std::int32_t>(1, channel.extent[0], channel.extent[1]))
    append(std::vector<run_band<std::int32_t>>{});
  else
    append(std::vector<run_band<index_t>>{});
}
template <execution_policy P, class Channel, class S>
void append_components_on(P const& where, image_view<Channel const, S> channel, components<std::int32_t, S>& found)
{
  auto const more = connected_equal(where, channel, c4);
  for_each_cell(where, as_batch(channel).extent,
                rule::append_label<S>{more.label.view(), static_cast<std::int32_t>(found.count), found.label.view()});
  found.count += more.count;
}

/// Detect instances of components, each in one channel, in the memory of their labels. Instances are in the order of
/// channels, those of one channel in the order of component numbers, as in the original's loop over channels.
///
/// @param channel       [H,W]
/// @param scores        as in detect_on
/// @param channel_keys  the class of each channel
template <class T, execution_policy P, class Channel, class S, class Scores>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_detect_components(P const& where, components<std::int32_t, S> found,
                                                   image_view<Channel const, S> channel, Scores const& scores,
                                                   std::vector<std::int32_t> const& channel_keys,
                                                   detect_options const& rules)
{
  index_t const N = found.count;
  auto const label = std::as_const(found.label).view();
  if constexpr (std::is_same_v<P, cpu>)
    expects_labels(channel, static_cast<index_t>(channel_keys.size()), "irnet_detect: channel");
  auto of = make_grid<std::uint32_t>(where, {N}), in_order = make_grid<std::uint32_t>(where, {N});
  auto number = make_grid<std::int32_t>(where, {N}), component = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  auto const keys = to_memory(where, channel_keys);
  fill(where, N, of.view().data, std::uint32_t{0});  // a label may have no cell
  for_each_cell(where, as_batch(label).extent, rule::note_channel<Channel, S>{label, channel, of.view()});
  for_each_index(where, N, rule::count_up<S>{number.view()});
  int bits = 1;
  while ((std::size_t{1} << bits) <= channel_keys.size()) ++bits;
  workspace<P> space;
  sort_by_key(where, N, static_cast<std::uint32_t const*>(of.view().data),
              static_cast<std::int32_t const*>(number.view().data), in_order.view().data, component.view().data, bits,
              space);
  for_each_index(where, N + 1,
                 rule::take_order<S>{in_order.view(), component.view(), keys.view(), table.view(), category.view()});
  relabel_into(where, label, table, found.label);
  return detect_windows<T>(where, label, category, scores, rules, std::move(found.label));
}

/// The scores of pixels that are kept: see detect_on.
template <class T, class S>
auto scores_of(assignment<T, S> const& chosen)
{
  image_view<T const, S> const score = chosen.score.view();
  return [score](auto const& visit) { visit(box{0, 0, score.extent[0], score.extent[1]}, score); };
}

/// From the channel of every pixel to instances: its components, or all its pixels.
template <class T, execution_policy P, class Channel, class S, class Scores>
[[nodiscard]] instances<S> irnet_detect_on(P const& where, image_view<Channel const, S> channel, Scores const& scores,
                                           std::vector<std::int32_t> const& channel_keys, irnet_options const& options)
{
  auto const rules = irnet_fragments({channel.extent[0], channel.extent[1]}, options);
  if (options.parts == pieces::separate)
    return irnet_detect_components<T>(where, connected_equal(where, channel, c4), channel, scores, channel_keys, rules);
  return detect_windows<T>(where, channel, to_memory(where, channel_keys), scores, rules,
                           make_grid<std::int32_t>(where, {channel.extent[0], channel.extent[1]}));
}

/// Instances of a channel map without a displacement field. See irnet_components.
template <execution_policy P, class Channel, class T, class S, class Scores>
[[nodiscard]] instances<S> irnet_components_on(P const& where, image_view<Channel const, S> channel,
                                               Scores const& scores, std::vector<std::int32_t> const& keys,
                                               image_view<T const, S> boundary, irnet_options const& options)
{
  if (options.parts == pieces::merged || options.component_thres > 1)
    return irnet_detect_on<T>(where, channel, scores, keys, options);
  auto const rules = irnet_fragments({channel.extent[0], channel.extent[1]}, options);
  auto rest = make_grid<Channel>(where, {channel.extent[0], channel.extent[1]});
  cut_at_boundary_on(where, channel, boundary, static_cast<T>(options.component_thres), rest.view());
  auto cores =
      grow(where, drop_small(where, connected_equal(where, rest, c4), static_cast<index_t>(std::ceil(rules.smallest))),
           channel);
  // Growth fills each region that has a core, so what is left are whole regions.
  for_each_cell(where, as_batch(channel).extent,
                rule::keep_unlabelled<Channel, S>{channel, std::as_const(cores).label.view(), rest.view()});
  append_components_on(where, std::as_const(rest).view(), cores);
  rest = {};
  return irnet_detect_components<T>(where, std::move(cores), channel, scores, keys, rules);
}

/// As irnet_detect_on, from a choice of pixels.
///
/// @param channel_keys  the class of each channel
/// @asynchrony  gpu: waits for where.stream unless pieces are merged
template <execution_policy P, class T>
[[nodiscard]] auto irnet_detect(P const& where, pixel_choice<P, T> const& chosen,
                                std::vector<std::int32_t> const& channel_keys, irnet_options const& options)
{
  return with_channel_type(chosen.channels(), [&]<class Channel>(Channel) {
    auto const channel = chosen.template map<Channel>(where, options.ins_seg_bg_thres);
    return irnet_detect_on<T>(where, channel.view(), chosen.scores(where, options.ins_seg_bg_thres), channel_keys,
                              options);
  });
}
/// The same of a choice that is kept for every pixel.
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_detect(P const& where, assignment<T, S> const& chosen,
                                        std::vector<std::int32_t> const& channel_keys, irnet_options const& options)
{
  return irnet_detect_on<T>(where, chosen.channel.view(), scores_of(chosen), channel_keys, options);
}

/// Instances without a displacement field: components of the class labels that boundaries part.
///
/// A class region is cut where the boundary, enlarged to the image, reaches component_thres; cores of at least
/// max_fragment_size grow back over the boundary inside their class region; a region without such a core is one
/// instance. A component's score is the largest scaled class score on it.
///
/// @asynchrony  gpu: waits for where.stream, for the numbers of components
template <execution_policy P, class T>
[[nodiscard]] auto irnet_components(P const& where, pixel_choice<P, T> const& chosen,
                                    std::vector<std::int32_t> const& keys,
                                    std::type_identity_t<image_view<T const, typename P::memory>> boundary,
                                    irnet_options const& options)
{
  return with_channel_type(chosen.channels(), [&]<class Channel>(Channel) {
    auto const channel = chosen.template map<Channel>(where, options.ins_seg_bg_thres);
    return irnet_components_on(where, channel.view(), chosen.scores(where, options.ins_seg_bg_thres), keys, boundary,
                               options);
  });
}
/// The same of a choice that is kept for every pixel.
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] instances<S> irnet_components(P const& where, assignment<T, S> const& chosen,
                                            std::vector<std::int32_t> const& keys,
                                            std::type_identity_t<image_view<T const, S>> boundary,
                                            irnet_options const& options)
{
  return irnet_components_on(where, chosen.channel.view(), scores_of(chosen), keys, boundary, options);
}

}  // namespace cambium
