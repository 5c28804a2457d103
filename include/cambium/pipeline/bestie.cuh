#pragma once
// BESTIE on a GPU: the stages of bestie.hpp in the same order. Maps stay on the card; lists of classes, cues and clicks are
// the host's, and how many regions and centres there are decides what is allocated next.

#include <cambium/activation/class_maps.cuh>
#include <cambium/activation/peaks.cuh>
#include <cambium/activation/select.cuh>
#include <cambium/activation/smooth.cuh>
#include <cambium/activation/softmax.cuh>
#include <cambium/component/connected.cuh>
#include <cambium/component/relabel.cuh>
#include <cambium/displacement/centres.cuh>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/sort.cuh>
#include <cambium/grid/instance.cuh>
#include <cambium/instance/refine.cuh>
#include <cambium/instance/score.cuh>
#include <cambium/instance/targets.cuh>
#include <cambium/instance/transfer.cuh>
#include <cambium/pipeline/bestie.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Cells of a policy's memory as a list of the host: the cues of bestie_peaks, for example.
/// @asynchrony gpu: waits for where.stream
template <execution_policy P, class C>
  requires gridded<C, 1>
[[nodiscard]] auto to_list(P const& where, C const& cells)
{
  using T = value_of<C, 1>;
  view<T const, 1, typename P::memory> const from = as_view<1>(cells, "to_list: cells");
  std::vector<T> out(static_cast<std::size_t>(from.extent[0]));
  copy(where, from, view<T, 1>(out.data(), {from.extent[0]}));
  wait_for(where, "to_list");
  return out;
}

/// Targets of an image or a batch, as Out, the same on the host. @asynchrony gpu: waits for where.stream
template <class Out, class P, class Targets>
[[nodiscard]] Out targets_on_host(P const& where, Targets const& from)
{
  Out out{make_grid<float>(from.centre.view().extent), make_grid<float>(from.offset.view().extent),
          make_grid<float>(from.weight.view().extent)};
  copy(where, from.centre.view(), out.centre.view());
  copy(where, from.offset.view(), out.offset.view());
  copy(where, from.weight.view(), out.weight.view());
  wait_for(where, "to_host");
  return out;
}
template <class P>
[[nodiscard]] centre_targets to_host(P const& where, centre_targets_in<typename P::memory> const& from)
{
  return targets_on_host<centre_targets>(where, from);
}
template <class P>
[[nodiscard]] centre_targets_batch to_host(P const& where, centre_targets_batch_in<typename P::memory> const& from)
{
  return targets_on_host<centre_targets_batch>(where, from);
}

// --- cues ---------------------------------------------------------------------------------------

/// As bestie_peaks in bestie.hpp.
/// @return      [count] of point in the policy's memory; to_list() brings them to the host
/// @asynchrony  gpu: waits for where.stream twice, for the numbers of peaks found and kept
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<point, 1, typename P::memory> bestie_peaks(P const& where, M const& maps, M const& flipped,
                                                              extent2 image, std::vector<std::int32_t> const& classes,
                                                              bestie_peak_options const& options = {})
{
  auto const mean =
      mean_with_mirrored(where, class_maps(where, maps, image, classes), class_maps(where, flipped, image, classes));
  return extract_peaks(where, smooth(where, mean, options.smoothing), options.peaks);
}

// --- regions ------------------------------------------------------------------------------------

/// Rule: a cell of a class present, of the others 0.
template <class V, class S>
struct keep_present {
  image_view<V const, S> semantic;
  char const* table;
  index_t entries;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    V const value = semantic(y, x);
    out(y, x) = is_present(table, entries, value) ? static_cast<std::int32_t>(value) : 0;
  }
};

/// As present_classes in bestie.hpp.
/// @asynchrony enqueues and returns
template <execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] auto present_classes(P const& where, M const& semantic, index_t C,
                                   std::vector<std::int32_t> const& classes)
    -> grid<std::int32_t, 2, typename P::memory>
{
  using S = typename P::memory;
  using V = value_of<M, 2>;
  static_assert(std::is_integral_v<V>, "present_classes: semantic is of integers");
  image_view<V const, S> const in = as_view<2>(semantic, "present_classes: semantic");
  auto const table = listed_for(where, table_of_classes(C, classes, "present_classes"));
  auto out = make_grid<std::int32_t>(where, in.extent);
  for_each_cell(where, {1, in.extent[0], in.extent[1]},
                keep_present<V, S>{in, table.view().data, table.size(), out.view()});
  return out;
}

/// What is known of a component of a semantic map.
struct region_tally {
  index_t area;
  std::int64_t place;  ///< of its first block
  std::int32_t value;
};

/// Rule: what a piece of a column adds to its components.
template <class S>
struct tally_regions {
  static constexpr index_t rows = 32;
  image_view<std::int32_t const, S> semantic, label;
  region_tally* of;

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * rows;
    index_t const end = begin + rows < label.extent[0] ? begin + rows : label.extent[0];
    for (index_t y = begin, first = begin; y < end; first = y) {
      std::int32_t const at = label(first, x);
      while (y < end && label(y, x) == at) ++y;
      if (at <= 0) continue;
      region_tally& r = of[at];
      atomic_add(&r.area, y - first);
      std::int64_t const place = first / 2 * label.extent[1] + x / 2;
      if (place < atomic_read(&r.place)) atomic_min(&r.place, place);
      std::int32_t const value = semantic(first, x);
      if (value > atomic_read(&r.value)) atomic_max(&r.value, value);
    }
  }
};

/// Rule: what component i + 1 is sorted by, the class and then the place. Those that are dropped come last.
struct list_region {
  region_tally const* of;
  index_t smallest;
  int place_bits;
  std::uint64_t* key;
  std::int32_t* component;

  static CAMBIUM_HD constexpr std::uint64_t dropped(int place_bits) { return std::uint64_t{1} << (31 + place_bits); }

  CAMBIUM_HD void operator()(index_t i) const
  {
    region_tally const& r = of[i + 1];
    bool const kept = r.area >= smallest && r.value > 0;
    key[i] = kept ? static_cast<std::uint64_t>(r.value) << place_bits | static_cast<std::uint64_t>(r.place)
                  : dropped(place_bits);
    component[i] = static_cast<std::int32_t>(i + 1);
  }
};

/// Rule: the component that came i-th is region i + 1, and its class.
struct number_region {
  std::uint64_t const* key;
  std::int32_t const* component;
  int place_bits;
  std::int32_t* table;     ///< [N+1]
  std::int32_t* category;  ///< [N] -1 where there is none

  CAMBIUM_HD void operator()(index_t i) const
  {
    bool const kept = key[i] != list_region::dropped(place_bits);
    if (i == 0) table[0] = 0;
    table[component[i]] = kept ? static_cast<std::int32_t>(i + 1) : 0;
    category[i] = kept ? static_cast<std::int32_t>(key[i] >> place_bits) - 1 : -1;
  }
};

/// As find_regions in bestie.hpp.
/// @pre         as there; on a device components of a value below 0 are not refused, and are no regions
/// @asynchrony  gpu: waits for where.stream twice, for the number of components and for the classes of regions
template <execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] auto find_regions(P const& where, M const& semantic,
                                index_t smallest) -> class_regions_in<typename P::memory>
{
  using S = typename P::memory;
  image_view<std::int32_t const, S> const in = as_view<2>(semantic, "find_regions: semantic");
  index_t const H = in.extent[0], W = in.extent[1], rows = tally_regions<S>::rows;
  auto found = connected_equal(where, in, c8);
  index_t const N = found.count;
  if (N == 0) return {std::move(found.label), {}};
  // Maps of 2^31 cells and more have no components: a class and a place fit one key.
  int const place_bits = std::bit_width(static_cast<std::uint64_t>(H * W));
  auto tally = make_grid<region_tally>(where, {N + 1});
  auto key = make_grid<std::uint64_t>(where, {N}), sorted_key = make_grid<std::uint64_t>(where, {N});
  auto component = make_grid<std::int32_t>(where, {N}), sorted = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  region_tally* const of = tally.view().data;
  fill(where, N + 1, of, region_tally{0, std::numeric_limits<std::int64_t>::max(), 0});
  for_each_cell(where, {1, (H + rows - 1) / rows, W}, tally_regions<S>{in, std::as_const(found).label.view(), of});
  for_each_index(where, N, list_region{of, smallest, place_bits, key.view().data, component.view().data});
  workspace<P> space;
  sort_by_key(where, N, static_cast<std::uint64_t const*>(key.view().data),
              static_cast<std::int32_t const*>(component.view().data), sorted_key.view().data, sorted.view().data,
              32 + place_bits, space);
  for_each_index(
      where, N,
      number_region{sorted_key.view().data, sorted.view().data, place_bits, table.view().data, category.view().data});
  relabel_into(where, found.label, table, found.label);
  class_regions_in<S> out{std::move(found.label), to_list(where, category)};
  out.categories.erase(std::find(out.categories.begin(), out.categories.end(), -1), out.categories.end());
  return out;
}

// --- pseudo labels ------------------------------------------------------------------------------

/// Rule: the class of a component, if it is present.
template <class V, class S>
struct note_category {
  image_view<V const, S> semantic;
  image_view<std::int32_t const, S> label;
  char const* table;
  index_t entries;
  std::int32_t* category;  ///< of component l at l - 1, -1 before

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const l = label(y, x);
    if (l <= 0 || (x > 0 && label(y, x - 1) == l) || !is_present(table, entries, semantic(y, x))) return;
    std::int32_t const c = static_cast<std::int32_t>(semantic(y, x)) - 1;
    if (atomic_read(&category[l - 1]) != c) atomic_max(&category[l - 1], c);
  }
};

/// As bestie_pseudo_labels_into in bestie.hpp, from a map in the policy's memory; classes and cues are the host's.
///
/// @throws       precondition_error before anything is enqueued
/// @determinism  exact, but for heat maps between cells (centroid::exact): within 1 ulp of float
/// @asynchrony   gpu: waits for where.stream, for the number of components
template <execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
void bestie_pseudo_labels_into(P const& where, M const& semantic, std::vector<std::int32_t> const& classes,
                               points const& cues, bestie_transfer_options const& options,
                               centre_targets_view_in<typename P::memory> const& out)
{
  using S = typename P::memory;
  using V = value_of<M, 2>;
  static_assert(std::is_integral_v<V>, "bestie_pseudo_labels: semantic is of integers");
  image_view<V const, S> const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  auto const present = table_of_classes(out.centre.extent[0], classes, "bestie_pseudo_labels");
  points const used = cues_that_count(cues, present, options);
  static_cast<void>(expects_transferable(in, {}, used, options.labels, out));
  auto const found = connected_equal(where, in, c8);
  auto const table = listed_for(where, present);
  auto category = make_grid<std::int32_t>(where, {found.count});
  fill(where, found.count, category.view().data, std::int32_t{-1});
  for_each_cell(where, {1, in.extent[0], in.extent[1]},
                note_category<V, S>{in, found.label.view(), table.view().data, table.size(), category.view().data});
  transfer_scratch<P> scratch;
  transfer_into(where, found.label, category, listed_for(where, used), options.labels, out, scratch);
}

/// As bestie_pseudo_labels_into, and allocates the targets.
/// @param C  number of classes
template <execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] auto bestie_pseudo_labels(P const& where, M const& semantic, std::vector<std::int32_t> const& classes,
                                        points const& cues, index_t C, bestie_transfer_options const& options = {})
    -> centre_targets_in<typename P::memory>
{
  auto const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  auto out = make_targets(where, C, {in.extent[0], in.extent[1]}, "bestie_pseudo_labels");
  bestie_pseudo_labels_into(where, semantic, classes, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

// --- grouping -----------------------------------------------------------------------------------

/// As bestie_groups, in the memory of a policy.
template <class T, class Space>
struct bestie_groups_in {
  grid<T, 2, Space> response;  ///< [H,W] the centre map of each region's class; 1 where the disc rule added a centre
  region_centres_in<Space> centres;
  grid<std::int32_t, 2, Space> ids;  ///< [H,W] 0 or 1 + index into centres.at
};

/// As bestie_group in bestie.hpp.
///
/// @pre          as there; on a device NaN and infinities are not refused: see find_centres, weak_cells and group_pixels
/// @determinism  exact, the cpu's groups; with relative > 0 the length of a diagonal may differ in its last bit
/// @asynchrony   gpu: waits for where.stream two times if beta = 0, otherwise four
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
[[nodiscard]] bestie_groups_in<T, S> bestie_group(P const& where, class_regions_in<S> const& regions,
                                                  stack_view<T const, S> centre, stack_view<T const, S> offset,
                                                  double threshold, lone_region alone,
                                                  bestie_group_options const& options = {},
                                                  std::type_identity_t<stack_view<T const, S>> flipped = {})
{
  auto const count = static_cast<index_t>(regions.categories.size());
  expects(options.beta >= 0, "bestie_group: beta is ", options.beta);
  bestie_groups_in<T, S> out{select(where, centre, regions.label, regions.categories, flipped), {}, {}};
  out.centres = find_centres(where, out.response, regions.label, count, {threshold, options.kernel, options.plateaus});
  auto discs = copy_of(where, by_region({}, count));
  if (options.beta > 0) {
    auto const weak = connected_equal(where, weak_cells(where, regions.label, offset), c4);
    discs = disc_centres(where, weak.label, weak.count, regions.label, count,
                         {.tolerance = options.beta, .outside = options.outside});
  }
  out.centres = join_centres(
      where, out.centres, discs, regions.label,
      {.apart = options.apart, .relative = options.relative, .whole_regions = alone == lone_region::one_group},
      out.response);
  out.ids = group_pixels(where, offset, regions.label, out.centres);
  return out;
}

// --- refined labels -----------------------------------------------------------------------------

/// Refine one image whose shapes were looked at. What is refused is refused before `out` is written.
template <execution_policy P, class T, class V>
void refine_checked_image(P const& where, bestie_output<T, typename P::memory> const& in,
                          image_view<V const, typename P::memory> semantic, std::vector<std::int32_t> const& classes,
                          bestie_refine_options const& options, centre_targets_view_in<typename P::memory> const& out,
                          refine_scratch<P>& scratch)
{
  using S = typename P::memory;
  index_t const C = in.centre.extent[0];
  class_decision_in<S> weak;
  if (options.from == foreground::prediction) {
    weak = decide(where, in.seg, {}, table_of_classes(C, classes, "bestie_refined_labels"));
  } else {
    weak.label = present_classes(where, semantic, C, classes);
    weak.probability = probability_at(where, in.seg, weak.label);
  }
  auto const regions = find_regions(where, weak.label, options.smallest);
  auto const groups = bestie_group(where, regions, in.centre, in.offset, options.labels.threshold, lone_region::nothing,
                                   options.groups);
  auto const measures = measure_groups(where, groups.ids, groups.centres.at.size(), groups.response, weak.probability);
  refine_into(where, regions.label, regions.categories, groups.ids, to_list(where, groups.centres.first), measures,
              options.labels, out, scratch);
}

/// As bestie_refined_image_into in bestie.hpp, from and into the policy's memory.
///
/// @pre          as there; on a device NaN and infinite values are not refused, and give labels without meaning
/// @throws       precondition_error before `out` is written
/// @determinism  the same bits on every run. Against the cpu: groups, centres and offsets are its own; weights differ by
///               the rounding of probabilities (decide in softmax.cuh), and the foreground where two classes are that near
/// @asynchrony   gpu: waits for where.stream seven times, for numbers of regions and centres; five if beta = 0
template <execution_policy P, class T, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
void bestie_refined_image_into(P const& where, bestie_output<T, typename P::memory> const& in, M const& semantic,
                               std::vector<std::int32_t> const& classes, bestie_refine_options const& options,
                               centre_targets_view_in<typename P::memory> const& out)
{
  using V = value_of<M, 2>;
  static_assert(std::is_integral_v<V>, "bestie_refined_labels: semantic is of integers");
  image_view<V const, typename P::memory> const given = as_view<2>(semantic, "bestie_refined_labels: semantic");
  check_refined(in, given, options, out);
  static_cast<void>(table_of_classes(in.centre.extent[0], classes, "bestie_refined_labels"));
  refine_scratch<P> scratch;
  refine_checked_image(where, in, given, classes, options, out, scratch);
}

/// As bestie_refined_labels_into in bestie.hpp: image by image, as bestie_refined_image_into, on where.stream. To run them
/// side by side call that in for_each_item of exec/parallel.cuh.
template <execution_policy P, class T, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void bestie_refined_labels_into(P const& where, bestie_batch<T, typename P::memory> const& in, M const& semantic,
                                std::vector<std::vector<std::int32_t>> const& classes,
                                bestie_refine_options const& options, centre_targets_batch_in<typename P::memory>& out)
{
  using V = value_of<M, 3>;
  static_assert(std::is_integral_v<V>, "bestie_refined_labels: semantic is of integers");
  stack_view<V const, typename P::memory> const given = as_view<3>(semantic, "bestie_refined_labels: semantic");
  check_refined(in, given, classes, options, out);
  for (auto const& present : classes)
    static_cast<void>(table_of_classes(in.centre.extent[1], present, "bestie_refined_labels"));
  refine_scratch<P> scratch;
  for (index_t b = 0; b < in.centre.extent[0]; ++b)
    refine_checked_image<P, T, V>(where, in[b], given[b], classes[static_cast<std::size_t>(b)], options, out[b],
                                  scratch);
}

/// As above, and allocates the targets.
template <execution_policy P, class T, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto bestie_refined_labels(P const& where, bestie_batch<T, typename P::memory> const& in,
                                         M const& semantic, std::vector<std::vector<std::int32_t>> const& classes,
                                         bestie_refine_options const& options = {})
    -> centre_targets_batch_in<typename P::memory>
{
  auto const& [B, C, H, W] = in.centre.extent;
  centre_targets_batch_in<typename P::memory> out{
      make_grid<float>(where, {B, C, H, W}), make_grid<float>(where, {B, 2, H, W}), make_grid<float>(where, {B, H, W})};
  bestie_refined_labels_into(where, in, semantic, classes, options, out);
  return out;
}

/// Points by class, after a look at all that the host can see of them.
[[nodiscard]] inline region_centres checked_clicks(points const& clicks, std::vector<std::int32_t> const& classes,
                                                   index_t C, border_points border)
{
  auto out = points_by_class(clicks, classes, C, border);
  for (point const& p : out.at)
    expects(std::isfinite(p.y) && std::isfinite(p.x), "group_pixels: a centre is at (", p.y, ",", p.x, ")");
  return out;
}

/// As bestie_refined_offsets_into in bestie.hpp; the clicks are the host's.
///
/// @pre          as there; on a device NaN and infinite offsets are not refused: see group_pixels
/// @throws       precondition_error before anything is written
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
void bestie_refined_offsets_into(P const& where, stack_view<T const, typename P::memory> offset, M const& semantic,
                                 std::vector<std::int32_t> const& classes, points const& clicks, index_t C,
                                 border_points border, stack_view<float, typename P::memory> to,
                                 image_view<float, typename P::memory> weight)
{
  auto const in = as_view<2>(semantic, "present_classes: semantic");
  index_t const H = in.extent[0], W = in.extent[1];
  auto const by_class = checked_clicks(clicks, classes, C, border);
  expects_offset_over(offset, in, "group_pixels: offset");
  expects_targets_over(centre_targets_view_in<typename P::memory>{{nullptr, {0, H, W}}, to, weight}, H, W,
                       "lead_to_points");
  auto const given = present_classes(where, in, C, classes);
  auto const there = copy_of(where, by_class);
  auto const ids = group_pixels(where, offset, given, there);
  lead_to_points_into(where, ids, there.at, to, weight);
}

// --- instances ----------------------------------------------------------------------------------

/// Labels of one image, in the memory of a policy.
template <class Space>
struct bestie_label_maps {
  grid<std::int32_t, 2, Space> semantic;  ///< [H,W] 0 background, class + 1
  instance_table<Space> objects;          ///< categories are 0-based classes
};

/// The same labels on the host. @asynchrony gpu: waits for where.stream
template <class P>
[[nodiscard]] bestie_labels to_host(P const& where, bestie_label_maps<typename P::memory> const& from)
{
  bestie_labels out{make_grid<std::int32_t>(from.semantic.view().extent), {}};
  copy(where, from.semantic.view(), out.semantic.view());
  out.objects = to_host(where, from.objects);  // waits for both
  return out;
}

/// As bestie_reading, in the memory of a policy.
template <class T, class Space>
struct bestie_reading_in {
  class_decision_in<Space> decided;
  grid<T, 3, Space> own;  ///< offsets that had to be changed
  stack_view<T const, Space> offset;
};

/// As read_output in bestie.hpp. @asynchrony gpu: enqueues and returns
template <execution_policy P, class T>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] auto read_output(P const& where, bestie_output<T, typename P::memory> const& in,
                               bestie_output<T, typename P::memory> const& flipped,
                               std::optional<std::vector<std::int32_t>> const& classes,
                               bestie_instance_options const& options,
                               std::string const& who) -> bestie_reading_in<T, typename P::memory>
{
  extent2 const seen = check_reading(in, flipped, options, who);
  index_t const C = in.centre.extent[0], H = in.seg.extent[1], W = in.seg.extent[2];
  std::vector<char> allowed;
  if (classes) allowed = table_of_classes(C, *classes, who);
  bestie_reading_in<T, typename P::memory> out{decide(where, in.seg, flipped.seg, allowed), {}, in.offset};
  auto const changed = [&](grid<T, 3, typename P::memory> offsets) {
    out.own = std::move(offsets);
    out.offset = out.own.view();
  };
  if (options.offsets == mirrored_offsets::mean && flipped.seg.data != nullptr)
    changed(mean_with_mirrored_offsets(where, in.offset, flipped.offset));
  if (seen != extent2{H, W})
    changed(scale_offsets(where, out.offset, static_cast<double>(H) / static_cast<double>(seen.height),
                          static_cast<double>(W) / static_cast<double>(seen.width)));
  return out;
}

/// As bestie_instances in bestie.hpp, from and in the policy's memory.
///
/// @pre          as there; on a device NaN and infinite values are not refused, and give labels without meaning
/// @throws       precondition_error
/// @determinism  the same bits on every run. Against the cpu: semantic labels differ only where two probabilities are nearer
///               than decide's rounding, and scores by that rounding; instances of equal regions are equal
/// @asynchrony   gpu: waits for where.stream seven times, for numbers of regions and centres; five if beta = 0
template <execution_policy P, class T>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] auto bestie_instances(P const& where, bestie_output<T, typename P::memory> const& in,
                                    std::optional<std::vector<std::int32_t>> const& classes = {},
                                    bestie_instance_options const& options = {},
                                    std::type_identity_t<bestie_output<T, typename P::memory>> const& flipped = {})
    -> bestie_label_maps<typename P::memory>
{
  auto reading = read_output<P, T>(where, in, flipped, classes, options, "bestie_instances");
  auto const regions = find_regions(where, reading.decided.label, options.smallest);
  auto const groups = bestie_group(where, regions, in.centre, reading.offset, options.threshold, options.alone,
                                   options.groups, flipped.centre);
  auto const measured =
      measure_groups(where, groups.ids, groups.centres.at.size(), groups.response, reading.decided.probability);
  auto const categories = categories_of_groups(to_list(where, groups.centres.first), regions.categories);
  return {std::move(reading.decided.label), score_groups(where, groups.ids, measured, categories)};
}

/// As bestie_instances_at in bestie.hpp, from and in the policy's memory; classes and clicks are the host's.
///
/// @determinism  as bestie_instances
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] auto bestie_instances_at(P const& where, bestie_output<T, typename P::memory> const& in,
                                       std::vector<std::int32_t> const& classes, points const& clicks,
                                       bestie_instance_options const& options = {},
                                       std::type_identity_t<bestie_output<T, typename P::memory>> const& flipped = {})
    -> bestie_label_maps<typename P::memory>
{
  check_output(in, "bestie_instances_at");
  auto const by_class = checked_clicks(clicks, classes, in.centre.extent[0], border_points::keep);
  auto reading = read_output<P, T>(where, in, flipped, classes, options, "bestie_instances_at");
  auto const there = copy_of(where, by_class);
  auto const& probability = reading.decided.probability;
  auto const ids = group_pixels(where, reading.offset, reading.decided.label, there);
  auto const measured = measure_groups(where, ids, there.at.size(), probability, probability);
  auto objects = score_groups(where, ids, measured, categories_of(by_class.at), scored_by::class_only);
  return {std::move(reading.decided.label), std::move(objects)};
}

}  // namespace cambium
