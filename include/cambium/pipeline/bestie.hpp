#pragma once

#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/peaks.hpp>
#include <cambium/activation/select.hpp>
#include <cambium/activation/smooth.hpp>
#include <cambium/activation/softmax.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/displacement/disc_centres.hpp>
#include <cambium/displacement/find_centres.hpp>
#include <cambium/displacement/group_pixels.hpp>
#include <cambium/displacement/join_centres.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/refine.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/instance/targets.hpp>
#include <cambium/instance/transfer.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

// --- cues ---------------------------------------------------------------------------------------

struct bestie_peak_options {
  index_t smoothing = 3;  ///< [cells] side of the window that is averaged
  peak_options peaks{};   ///< kernel = 15, most = 25, threshold = 0.1
};

/// Find the cues of an image: peaks of its class maps, smoothed after averaging with those of its mirror image.
///
/// @param where    cpu
/// @param maps     [C,h,w] of a classifier, before any normalisation; finite
/// @param flipped  [C,h,w] of the mirror image
/// @param image    [pixels]
/// @param classes  present in the image, 0-based
/// @param options  defaults of the original
/// @return points in pixels of the image: classes ascending, of a class by falling score
///
/// @throws       precondition_error
/// @complexity   Theta(C * H * W)
/// @determinism  as fuse
/// @source       main program of PAM/point_extraction.py of clovaai/BESTIE
template <stack_like M>
[[nodiscard]] points bestie_peaks(cpu const& where, M const& maps, M const& flipped, extent2 image,
                                  std::vector<std::int32_t> const& classes, bestie_peak_options const& options = {})
{
  auto const mean =
      mean_with_mirrored(where, class_maps(where, maps, image, classes), class_maps(where, flipped, image, classes));
  return to_vector(where, extract_peaks(where, smooth(where, mean, options.smoothing), options.peaks));
}

// --- regions ------------------------------------------------------------------------------------

/// The components of a semantic map: neighbours of one class, corners included.
template <class Space>
struct class_regions_in {
  grid<std::int32_t, 2, Space> label;    ///< [H,W] 0..N
  std::vector<std::int32_t> categories;  ///< N entries, on the host: the class of region i+1, 0-based
};
using class_regions = class_regions_in<host>;

/// The value of a label map in each of its components; entry 0 means nothing.
template <class S>
[[nodiscard]] auto values_of(components<> const& found, image_view<S> const& map)
{
  std::vector<std::remove_const_t<S>> out(static_cast<std::size_t>(found.count + 1), 0);
  for_each_run(found.label.view(), [&](index_t y, index_t begin, index_t, std::int32_t at) {
    out[static_cast<std::size_t>(at)] = map(y, begin);
  });
  return out;
}

/// Which values of a semantic map, class + 1, are classes present: C + 1 entries, the first is 0.
/// @throws precondition_error: a class outside 0..C-1. `who` begins the message
[[nodiscard]] inline std::vector<char> table_of_classes(index_t C, std::vector<std::int32_t> const& classes,
                                                        std::string const& who)
{
  expects(C >= 0, who, ": ", C, " classes");
  std::vector<char> out(static_cast<std::size_t>(C + 1), 0);
  for (auto const c : classes) {
    expects(0 <= c && c < C, who, ": class ", c, " is outside 0..", C - 1);
    out[static_cast<std::size_t>(c + 1)] = 1;
  }
  return out;
}

/// Is a value of a semantic map that of a class present? The table is of so many entries.
template <class S>
[[nodiscard]] CAMBIUM_HD bool is_present(char const* table, index_t entries, S value)
{
  auto const at = static_cast<std::uint64_t>(value);  // a negative one is a large number without a sign
  return at < static_cast<std::uint64_t>(entries) && table[at] != 0;
}
template <class S>
[[nodiscard]] bool is_present(std::vector<char> const& table, S value)
{
  return is_present(table.data(), static_cast<index_t>(table.size()), value);
}

/// A semantic map without the classes that are not present: everything else, 255 included, becomes 0.
///
/// @param semantic  [H,W] of integers, class + 1
/// @param C         number of classes
/// @param classes   those present, 0..C-1
/// @throws precondition_error: a class outside 0..C-1
template <image_like S>
[[nodiscard]] auto present_classes(cpu const& where, S const& semantic, index_t C,
                                   std::vector<std::int32_t> const& classes) -> grid<std::int32_t, 2>
{
  static_assert(std::is_integral_v<value_of<S, 2>>, "present_classes: semantic is of integers");
  auto const in = as_view<2>(semantic, "present_classes: semantic");
  auto const table = table_of_classes(C, classes, "present_classes");
  auto out = make_grid<std::int32_t>({in.extent[0], in.extent[1]});
  for_each_share(where, in.extent[0], 262144 / (in.extent[1] + 1) + 1, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < in.extent[1]; ++x)
        out(y, x) = is_present(table, in(y, x)) ? static_cast<std::int32_t>(in(y, x)) : 0;
  });
  return out;
}

/// Find the regions of a semantic map.
///
/// @param semantic  [H,W] int32 0..C, from present_classes
/// @param smallest  [cells] regions of less are dropped
/// @throws precondition_error: a value below 0
/// @return regions by class, of a class in the order of label_order::blocks, in which the original lists instances
template <image_like S>
[[nodiscard]] class_regions find_regions(cpu const& where, S const& semantic, index_t smallest)
{
  image_view<std::int32_t const> const in = as_view<2>(semantic, "find_regions: semantic");
  auto found = connected_equal(where, in, c8);
  struct region {
    std::int32_t value = 0;
    index_t area = 0, key = std::numeric_limits<index_t>::max();
  };
  std::vector<region> of(static_cast<std::size_t>(found.count + 1));
  for_each_run(found.label.view(), [&](index_t y, index_t begin, index_t end, std::int32_t at) {
    auto& r = of[static_cast<std::size_t>(at)];
    r.value = in(y, begin);
    expects(r.value >= 0, "find_regions: semantic(", y, ",", begin, ") is ", r.value);
    r.area += end - begin;
    r.key = std::min(r.key, order_key(label_order::blocks, in.extent[1], y, begin));
  });
  std::vector<std::size_t> order;
  for (std::size_t i = 1; i < of.size(); ++i)
    if (of[i].area >= smallest) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple{of[a].value, of[a].key, a} < std::tuple{of[b].value, of[b].key, b};
  });
  class_regions out;
  std::vector<std::int32_t> table(of.size(), 0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    table[order[i]] = static_cast<std::int32_t>(i + 1);
    out.categories.push_back(of[order[i]].value - 1);
  }
  for (auto& at : found.label.cells()) at = table[static_cast<std::size_t>(at)];
  out.label = std::move(found.label);
  return out;
}

// --- pseudo labels ------------------------------------------------------------------------------

/// What of a cue's score is compared with the threshold.
enum class cue_score {
  three_decimals,  ///< what a point file holds of it: the original, to which 0.7003 does not exceed 0.7
  exact,           ///< all of it
};

struct bestie_transfer_options {
  double pseudo_thresh = 0.7;  ///< cues count when their score exceeds it
  cue_score score = cue_score::three_decimals;
  transfer_options labels{};  ///< sup = image, sigma = 6, smallest = 50, centre = truncated, several = reject
};

/// The cues that count: of classes present, and sure enough.
[[nodiscard]] inline points cues_that_count(points const& cues, std::vector<char> const& present,
                                            bestie_transfer_options const& options)
{
  expects(!std::isnan(options.pseudo_thresh), "bestie_pseudo_labels: pseudo_thresh is nan");
  bool const exact = options.score == cue_score::exact;
  points out = exact ? cues : confident_points(cues, options.pseudo_thresh);
  std::erase_if(out, [&](point const& p) {
    return (exact && !(p.score > options.pseudo_thresh)) || !is_present(present, index_t{p.category} + 1);
  });
  return out;
}

/// Pseudo instance labels from a semantic map and cues: what the network learns first.
///
/// @param where     cpu
/// @param semantic  [H,W] of integers: class + 1; 0 and everything above C is no class
/// @param classes   present in the image, 0-based; others are passed over in map and cues
/// @param cues      points on the map
/// @param options   defaults of the original
/// @param out       targets of one image: centre [C,H,W], offset [2,H,W], weight [H,W]
///
/// @throws       precondition_error: classes outside 0..C-1, cues off the map, options outside their ranges
/// @complexity   Theta(C * H * W) for the empty heat maps; one labelling of the map for all classes
/// @determinism  exact
/// @source       pseudo_label_generation, utils/utils.py, with the filter of utils/LoadData.py, of clovaai/BESTIE
template <image_like S>
void bestie_pseudo_labels_into(cpu const& where, S const& semantic, std::vector<std::int32_t> const& classes,
                               points const& cues, bestie_transfer_options const& options,
                               centre_targets_view const& out)
{
  static_assert(std::is_integral_v<value_of<S, 2>>, "bestie_pseudo_labels: semantic is of integers");
  auto const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  index_t const C = out.centre.extent[0];
  auto const present = table_of_classes(C, classes, "bestie_pseudo_labels");
  points const used = cues_that_count(cues, present, options);
  auto const found = connected_equal(where, in, c8);
  auto const values = values_of(found, in);
  std::vector<std::int32_t> categories(values.size() - 1);
  std::transform(values.begin() + 1, values.end(), categories.begin(),
                 [&](auto v) { return is_present(present, v) ? static_cast<std::int32_t>(v) - 1 : -1; });
  transfer_into(where, found.label, categories, used, options.labels, out);
}

/// As bestie_pseudo_labels_into, and allocates the targets.
/// @param C  number of classes
template <image_like S>
[[nodiscard]] centre_targets bestie_pseudo_labels(cpu const& where, S const& semantic,
                                                  std::vector<std::int32_t> const& classes, points const& cues,
                                                  index_t C, bestie_transfer_options const& options = {})
{
  auto const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  auto out = make_targets(C, {in.extent[0], in.extent[1]}, "bestie_pseudo_labels");
  bestie_pseudo_labels_into(where, semantic, classes, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

// --- grouping -----------------------------------------------------------------------------------

/// What BESTIE's network says about one image. The views are not owned.
template <class T, class Space = host>
struct bestie_output {
  stack_view<T const, Space> seg;     ///< [C+1,H,W] logits, channel 0 background
  stack_view<T const, Space> centre;  ///< [C,H,W]
  stack_view<T const, Space> offset;  ///< [2,H,W] (dy,dx) in cells, centre minus cell
};

/// Throws unless the maps of an image fit together. `who` begins the message.
template <class T, class Space>
void check_output(bestie_output<T, Space> const& in, std::string const& who)
{
  index_t const H = in.seg.extent[1], W = in.seg.extent[2];
  expects(in.seg.extent[0] == in.centre.extent[0] + 1 && in.centre.extent[1] == H && in.centre.extent[2] == W &&
              in.offset.extent[0] == 2 && in.offset.extent[1] == H && in.offset.extent[2] == W,
          who, ": logits are ", in.seg, ", centres ", in.centre, " and offsets ", in.offset,
          "; expected [C+1,H,W], [C,H,W] and [2,H,W]");
}

struct bestie_group_options {
  index_t kernel = 41;  ///< [cells] window a centre must dominate
  double beta = 3;      ///< [cells] tolerance of the disc rule, >= 0; 0: centres come from the centre map alone
  bool outside = true;  ///< what lies outside the weak cells of a region counts as one more disc: the original
  double apart = 100;   ///< [cells] of a centre by the disc rule from the others
  double relative = 0;  ///< > 0: as a fraction of the region's diagonal instead
  plateau plateaus = plateau::every_cell;
};

/// What a region without any centre is.
enum class lone_region {
  nothing,    ///< in refined labels, and with val_ignore = True
  one_group,  ///< in inference: it becomes an instance, whose score may be low
};

/// The cells of regions, grouped around centres.
template <class T>
struct bestie_groups {
  grid<T, 2> response;  ///< [H,W] the centre map of each region's class; 1 where the disc rule added a centre
  region_centres<> centres;
  grid<std::int32_t, 2> ids;  ///< [H,W] 0 or 1 + index into centres.at
};

/// Group the cells of regions by a network's centres and offsets.
///
/// @param where    cpu
/// @param regions  of the foreground
/// @param centre   [C,H,W]
/// @param offset   [2,H,W]
/// @param threshold  of centres in the centre map; refine_thresh, val_thresh
/// @param alone    what a region without a centre is
/// @param options  kernel = 41, beta = 3, apart = 100, relative = 0
/// @param flipped  [C,H,W] centre maps of the mirror image, or null: then averaged
///
/// @throws       precondition_error
/// @complexity   Theta(H * W), and centres of a region for each of its cells
/// @determinism  exact
/// @source       get_instance_segmentation, utils/utils.py of clovaai/BESTIE, for all regions at once
template <class T>
[[nodiscard]] bestie_groups<T> bestie_group(cpu const& where, class_regions const& regions, stack_view<T const> centre,
                                            stack_view<T const> offset, double threshold, lone_region alone,
                                            bestie_group_options const& options = {}, stack_view<T const> flipped = {})
{
  auto const count = static_cast<index_t>(regions.categories.size());
  expects(options.beta >= 0, "bestie_group: beta is ", options.beta);
  bestie_groups<T> out{select(where, centre, regions.label, regions.categories, flipped), {}, {}};
  out.centres = find_centres(where, out.response, regions.label, count, {threshold, options.kernel, options.plateaus});
  auto discs = by_region({}, count);
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

/// Where refined labels take their foreground from.
enum class foreground {
  semantic,    ///< the weak semantic map: the original's code
  prediction,  ///< the network's own decision among the classes present: the paper's figure
};

struct bestie_refine_options {
  refine_options labels{};        ///< sigma = 6, threshold = 0.3 (of centres, too), most = 5, centre = truncated
  index_t smallest = 50;          ///< [cells] smaller regions contribute nothing
  bestie_group_options groups{};  ///< kernel = 41, beta = 3
  foreground from = foreground::semantic;
};

/// Throws unless maps, weak labels and targets of an image fit together.
template <class T, class S, class Space>
void check_refined(bestie_output<T, Space> const& in, image_view<S, Space> const& semantic,
                   bestie_refine_options const& options, centre_targets_view_in<Space> const& out)
{
  char const* const who = "bestie_refined_labels";
  check_output(in, who);
  index_t const H = in.seg.extent[1], W = in.seg.extent[2];
  expects(semantic.extent[0] == H && semantic.extent[1] == W, who, ": logits are ", in.seg, " but the semantic map is ",
          semantic);
  expects(out.centre.extent[0] == in.centre.extent[0], who, ": centres are ", in.centre, " but the targets ",
          out.centre);
  expects_targets_over(out, H, W, who);
  expects_sigma(options.labels.sigma, who);
}

/// The groups of an image, measured: all there is to refinement but to write it.
template <class T>
struct bestie_measured {
  class_regions regions;
  bestie_groups<T> groups;
  grid<group_measure, 1> measures;

  static bestie_measured of(cpu const& where, bestie_output<T> const& in, auto const& semantic,
                            std::vector<std::int32_t> const& classes, bestie_refine_options const& options)
  {
    index_t const C = in.centre.extent[0];
    bestie_measured out;
    auto own = grid<float, 2>(0, 0);
    if (options.from == foreground::prediction) {
      auto decided = decide(where, in.seg, {}, table_of_classes(C, classes, "bestie_refined_labels"));
      own = std::move(decided.probability);
      out.regions = find_regions(where, decided.label, options.smallest);
    } else {
      auto const given = present_classes(where, semantic, C, classes);
      own = probability_at(where, in.seg, given);
      out.regions = find_regions(where, given, options.smallest);
    }
    out.groups = bestie_group(where, out.regions, in.centre, in.offset, options.labels.threshold, lone_region::nothing,
                              options.groups);
    out.measures = measure_groups(where, out.groups.ids, out.groups.centres.at.size(),
                                  out.groups.response, own);
    return out;
  }

  void write(cpu const& where, bestie_refine_options const& options, centre_targets_view const& to) const
  {
    refine_scratch<cpu> scratch;
    refine_into(where, regions.label, regions.categories, groups.ids, to_vector(where, groups.centres.first), measures,
                options.labels, to, scratch);
  }
};

/// Refined labels of one image from the network's own output.
///
/// @param where     cpu
/// @param in        what the network says
/// @param semantic  [H,W] of integers: class + 1; 0 and everything above C is no class
/// @param classes   present in the image, 0-based
/// @param options   defaults of the original
/// @param out       targets; the weight is how sure they are, in [0,1]
///
/// @throws       precondition_error: maps that do not fit together, NaN or infinite values, classes outside 0..C-1
/// @complexity   Theta(C * H * W) for the empty heat maps and a look at the logits; the rest is as bestie_group
/// @determinism  as decide
/// @source       refine_label_generation, utils/utils.py of clovaai/BESTIE
template <class T, image_like S>
void bestie_refined_image_into(cpu const& where, bestie_output<T> const& in, S const& semantic,
                               std::vector<std::int32_t> const& classes, bestie_refine_options const& options,
                               centre_targets_view const& out)
{
  static_assert(std::is_integral_v<value_of<S, 2>>, "bestie_refined_labels: semantic is of integers");
  auto const given = as_view<2>(semantic, "bestie_refined_labels: semantic");
  check_refined(in, given, options, out);
  bestie_measured<T>::of(where, in, given, classes, options).write(where, options, out);
}

/// Targets of several images.
template <class Space>
struct centre_targets_batch_in {
  grid<float, 4, Space> centre;  ///< [B,C,H,W]
  grid<float, 4, Space> offset;  ///< [B,2,H,W]
  grid<float, 3, Space> weight;  ///< [B,H,W]

  centre_targets_view_in<Space> operator[](index_t b) { return {centre.view()[b], offset.view()[b], weight.view()[b]}; }
};
using centre_targets_batch = centre_targets_batch_in<host>;

/// What BESTIE's network says about several images of one size.
template <class T, class Space = host>
struct bestie_batch {
  view<T const, 4, Space> seg;     ///< [B,C+1,H,W]
  view<T const, 4, Space> centre;  ///< [B,C,H,W]
  view<T const, 4, Space> offset;  ///< [B,2,H,W]

  bestie_output<T, Space> operator[](index_t b) const { return {seg[b], centre[b], offset[b]}; }
};

/// Throws unless maps, weak labels, lists of classes and targets of a batch fit together.
template <class T, class S, class Space>
void check_refined(bestie_batch<T, Space> const& in, stack_view<S, Space> const& semantic,
                   std::vector<std::vector<std::int32_t>> const& classes, bestie_refine_options const& options,
                   centre_targets_batch_in<Space>& out)
{
  index_t const B = in.centre.extent[0];
  auto const centre = out.centre.view(), offset = out.offset.view();
  auto const weight = out.weight.view();
  expects(in.seg.extent[0] == B && in.offset.extent[0] == B && static_cast<index_t>(classes.size()) == B &&
              semantic.extent[0] == B && centre.extent[0] == B && offset.extent[0] == B && weight.extent[0] == B,
          "bestie_refined_labels: logits ", in.seg, ", centres ", in.centre, ", offsets ", in.offset,
          ", semantic maps ", semantic, ", ", static_cast<index_t>(classes.size()), " lists of classes and targets ",
          centre, ", ", offset, " and ", weight);
  for (index_t b = 0; b < B; ++b) check_refined(in[b], semantic[b], options, out[b]);
}

/// Refined labels of a batch, the images shared among the threads.
///
/// @param semantic  [B,H,W]
/// @param classes   B lists
/// @param out       of the same shape: B, C, H, W
///
/// Everything else as bestie_refined_image_into.
template <class T, stack_like S>
void bestie_refined_labels_into(cpu const& where, bestie_batch<T> const& in, S const& semantic,
                                std::vector<std::vector<std::int32_t>> const& classes,
                                bestie_refine_options const& options, centre_targets_batch& out)
{
  auto const given = as_view<3>(semantic, "bestie_refined_labels: semantic");
  index_t const B = in.centre.extent[0];
  check_refined(in, given, classes, options, out);
  std::vector<bestie_measured<T>> images(static_cast<std::size_t>(B));  // written when all of them are good
  for_each_item(where, B, [&](cpu const& share, index_t b) {
    auto const at = static_cast<std::size_t>(b);
    images[at] = bestie_measured<T>::of(share, in[b], given[b], classes[at], options);
  });
  for_each_item(where, B, [&](cpu const& share, index_t b) {
    images[static_cast<std::size_t>(b)].write(share, options, out[b]);
  });
}

/// As above, and allocates the targets.
template <class T, stack_like S>
[[nodiscard]] centre_targets_batch bestie_refined_labels(cpu const& where, bestie_batch<T> const& in, S const& semantic,
                                                         std::vector<std::vector<std::int32_t>> const& classes,
                                                         bestie_refine_options const& options = {})
{
  auto const& [B, C, H, W] = in.centre.extent;
  centre_targets_batch out{make_grid<float>({B, C, H, W}), make_grid<float>({B, 2, H, W}), make_grid<float>({B, H, W})};
  bestie_refined_labels_into(where, in, semantic, classes, options, out);
  return out;
}

/// What becomes of points on the first row or column.
enum class border_points {
  drop,  ///< they are taken for padding of a list: the original
  keep,
};

/// Points of the classes present, by class: those of class c are the centres of region c + 1 of a semantic map.
inline region_centres<> points_by_class(points const& given, std::vector<std::int32_t> const& classes, index_t C,
                                      border_points border)
{
  expects(C >= 0, "points_by_class: ", C, " classes");
  std::vector<std::pair<index_t, point>> found;
  for (point const& p : given) {
    expects(0 <= p.category && p.category < C, "points_by_class: category ", p.category, " is outside 0..", C - 1);
    bool const padding = border == border_points::drop && (p.y == 0 || p.x == 0);
    if (!padding && std::find(classes.begin(), classes.end(), p.category) != classes.end())
      found.push_back({p.category + 1, p});
  }
  return by_region(found, C);
}

/// Refined offsets of one image with points: every cell of a class is led to the point its offset leads nearest to.
///
/// @param where     cpu
/// @param offset    [2,H,W] of the network
/// @param semantic  [H,W] of integers: class + 1
/// @param classes   present in the image, 0-based
/// @param clicks    points of classes 0..C-1
/// @param C         number of classes
/// @param border    drop, the original, or keep
/// @param to        [2,H,W]
/// @param weight    [H,W] 1 on classes with a point
///
/// @throws       precondition_error
/// @complexity   O(H * W * points of a class)
/// @determinism  exact
/// @source       refine_label_generation_with_point, utils/utils.py of clovaai/BESTIE
template <class T, image_like S>
void bestie_refined_offsets_into(cpu const& where, stack_view<T const> offset, S const& semantic,
                                 std::vector<std::int32_t> const& classes, points const& clicks, index_t C,
                                 border_points border, stack_view<float> to, image_view<float> weight)
{
  auto const centres = points_by_class(clicks, classes, C, border);
  auto const ids = group_pixels(where, offset, present_classes(where, semantic, C, classes), centres);
  lead_to_points_into(where, ids, centres.at, to, weight);
}

// --- instances ----------------------------------------------------------------------------------

/// Whose offsets are read when there is a mirror image.
enum class mirrored_offsets {
  first,  ///< those of the image alone: the original
  mean,   ///< the mean with those of the mirror image, turned back
};

struct bestie_instance_options {
  double threshold = 0.1;  ///< of centres; val_thresh
  index_t smallest = 50;   ///< [cells] smaller regions are passed over
  lone_region alone = lone_region::one_group;
  bestie_group_options groups{};  ///< kernel = 41, beta = 3
  mirrored_offsets offsets = mirrored_offsets::first;
  extent2
      seen{};  ///< [pixels] the image as the network saw it, whose pixels its offsets count; 0 x 0: as large as the maps
};

/// Labels of one image.
struct bestie_labels {
  grid<std::int32_t, 2> semantic;  ///< [H,W] 0 background, class + 1
  instances<> objects;             ///< categories are 0-based classes
};

/// The decision of all classes, or of those present; and the offsets as they are to be read.
template <class T>
struct bestie_reading {
  class_decision<> decided;
  grid<T, 3> own;  ///< offsets that had to be changed
  stack_view<T const> offset;
};

/// Throws unless a network's output can be read so. `who` begins the message.
/// @return the size of the image as the network saw it
template <class T, class Space>
extent2 check_reading(bestie_output<T, Space> const& in, bestie_output<T, Space> const& flipped,
                      bestie_instance_options const& options, std::string const& who)
{
  check_output(in, who);
  if (flipped.seg.data != nullptr) check_output(flipped, who + ": mirror image");
  extent2 const seen = options.seen;
  if (seen == extent2{}) return {in.seg.extent[1], in.seg.extent[2]};
  expects(seen.height > 0 && seen.width > 0, who, ": the network saw ", seen.height, " x ", seen.width, " pixels");
  return seen;
}

template <class T>
[[nodiscard]] bestie_reading<T> read_output(cpu const& where, bestie_output<T> const& in,
                                            bestie_output<T> const& flipped,
                                            std::optional<std::vector<std::int32_t>> const& classes,
                                            bestie_instance_options const& options, std::string const& who)
{
  extent2 const seen = check_reading(in, flipped, options, who);
  index_t const C = in.centre.extent[0], H = in.seg.extent[1], W = in.seg.extent[2];
  std::vector<char> allowed;
  if (classes) allowed = table_of_classes(C, *classes, who);
  bestie_reading<T> out{decide(where, in.seg, flipped.seg, allowed), {}, in.offset};
  auto const changed = [&](grid<T, 3> offsets) {
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

/// The classes of points.
[[nodiscard]] inline std::vector<std::int32_t> categories_of(points const& all)
{
  std::vector<std::int32_t> out;
  for (point const& p : all) out.push_back(p.category);
  return out;
}

/// The classes of groups, of which those of region i + 1 begin at first[i].
[[nodiscard]] inline std::vector<std::int32_t> categories_of_groups(std::vector<index_t> const& first,
                                                                    std::vector<std::int32_t> const& of_regions)
{
  std::vector<std::int32_t> out;
  for (std::size_t r = 0; r < of_regions.size(); ++r)
    out.insert(out.end(), static_cast<std::size_t>(first[r + 1] - first[r]), of_regions[r]);
  return out;
}

/// Find the instances of an image in the network's output.
///
/// @param where    cpu
/// @param in       what the network says about the image
/// @param classes  present in the image, 0-based, if that is known: others are passed over
/// @param options  defaults of the original
/// @param flipped  what it says about the mirror image, or nothing: scores and centre maps are averaged
/// @return semantic labels, and instances by class, of a class in the order of label_order::blocks of their regions, of a
///         region in the order of their centres. Nothing found is an empty list
///
/// @throws       precondition_error: maps that do not fit together, NaN or infinite values, classes outside 0..C-1
/// @complexity   Theta(C * H * W) exponentials, and centres of a region for each of its cells
/// @determinism  as decide
/// @source       get_ins_map, utils/utils.py of clovaai/BESTIE. Its rescaling of offsets does nothing, because it reads the size
///               of maps that were already enlarged; `seen` does what was meant
template <class T>
[[nodiscard]] bestie_labels bestie_instances(cpu const& where, bestie_output<T> const& in,
                                             std::optional<std::vector<std::int32_t>> const& classes = {},
                                             bestie_instance_options const& options = {},
                                             bestie_output<T> const& flipped = {})
{
  auto reading = read_output(where, in, flipped, classes, options, "bestie_instances");
  auto const regions = find_regions(where, reading.decided.label, options.smallest);
  auto const groups = bestie_group<T>(where, regions, in.centre, reading.offset, options.threshold, options.alone,
                                      options.groups, flipped.centre);
  auto const measured = measure_groups(where, groups.ids, groups.centres.at.size(),
                                       groups.response, reading.decided.probability);
  auto const categories = categories_of_groups(to_vector(where, groups.centres.first), regions.categories);
  return {std::move(reading.decided.label), score_groups(where, groups.ids, measured, categories)};
}

/// Find the instances of an image around given points: one a point that wins a cell of its class.
///
/// @param classes  present in the image, 0-based
/// @param clicks   points of classes 0..C-1; those on the first row and column count
///
/// Everything else as bestie_instances; centre maps are not read.
/// @source get_ins_map_with_point, utils/utils.py of clovaai/BESTIE
template <class T>
[[nodiscard]] bestie_labels bestie_instances_at(cpu const& where, bestie_output<T> const& in,
                                                std::vector<std::int32_t> const& classes, points const& clicks,
                                                bestie_instance_options const& options = {},
                                                bestie_output<T> const& flipped = {})
{
  auto reading = read_output<T>(where, in, flipped, classes, options, "bestie_instances_at");
  auto const& probability = reading.decided.probability;
  auto const centres = points_by_class(clicks, classes, in.centre.extent[0], border_points::keep);
  auto const ids = group_pixels(where, reading.offset, reading.decided.label, centres);
  auto const measured = measure_groups(where, ids, centres.at.size(), probability, probability);
  return {std::move(reading.decided.label),
          score_groups(where, ids, measured, categories_of(to_vector(where, centres.at)), scored_by::class_only)};
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
/// @return      [count] of point in the policy's memory; to_vector() brings them to the host
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
  auto const table = to_memory(where, table_of_classes(C, classes, "present_classes"));
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
  int const place_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W)));
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
  class_regions_in<S> out{std::move(found.label), to_vector(where, category)};
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
  auto const table = to_memory(where, present);
  auto category = make_grid<std::int32_t>(where, {found.count});
  fill(where, found.count, category.view().data, std::int32_t{-1});
  for_each_cell(where, {1, in.extent[0], in.extent[1]},
                note_category<V, S>{in, found.label.view(), table.view().data, table.size(), category.view().data});
  transfer_scratch<P> scratch;
  transfer_into(where, found.label, category, to_memory(where, used), options.labels, out, scratch);
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
  region_centres<Space> centres;
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
  auto discs = to_memory(where, by_region({}, count));
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
  class_decision<S> weak;
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
  refine_into(where, regions.label, regions.categories, groups.ids, to_vector(where, groups.centres.first), measures,
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
[[nodiscard]] inline region_centres<> checked_clicks(points const& clicks, std::vector<std::int32_t> const& classes,
                                                     index_t C, border_points border)
{
  auto out = points_by_class(clicks, classes, C, border);
  expects_finite_centres(out.at.cells());
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
  expects_offset(where, offset, in, "group_pixels: offset");
  expects_targets_over(centre_targets_view_in<typename P::memory>{{nullptr, {0, H, W}}, to, weight}, H, W,
                       "lead_to_points");
  auto const given = present_classes(where, in, C, classes);
  auto const there = to_memory(where, by_class);
  auto const ids = group_pixels(where, offset, given, there);
  lead_to_points_into(where, ids, there.at, to, weight);
}

// --- instances ----------------------------------------------------------------------------------

/// Labels of one image, in the memory of a policy.
template <class Space>
struct bestie_label_maps {
  grid<std::int32_t, 2, Space> semantic;  ///< [H,W] 0 background, class + 1
  instances<Space> objects;               ///< categories are 0-based classes
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
  class_decision<Space> decided;
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
  auto const categories = categories_of_groups(to_vector(where, groups.centres.first), regions.categories);
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
  auto const there = to_memory(where, by_class);
  auto const& probability = reading.decided.probability;
  auto const ids = group_pixels(where, reading.offset, reading.decided.label, there);
  auto const measured = measure_groups(where, ids, there.at.size(), probability, probability);
  auto objects = score_groups(where, ids, measured, categories_of(to_vector(where, by_class.at)), scored_by::class_only);
  return {std::move(reading.decided.label), std::move(objects)};
}

}  // namespace cambium
