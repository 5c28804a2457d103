#pragma once
// Labels that BESTIE's network makes for itself: what it learns after the pseudo labels.

#include <cambium/activation/softmax.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/instance/refine.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/instance/targets.hpp>
#include <cambium/pipeline/bestie/grouping.hpp>
#include <cambium/pipeline/bestie/regions.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

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
void expects_refined(bestie_output<T, Space> const& in, image_view<S, Space> const& semantic,
                     bestie_refine_options const& options, centre_targets_view<Space> const& out)
{
  char const* const who = "bestie_refined_labels";
  expects_bestie_output(in, who);
  index_t const H = in.seg.extent[1], W = in.seg.extent[2];
  expects(semantic.extent[0] == H && semantic.extent[1] == W, who, ": logits are ", in.seg, " but the semantic map is ",
          semantic);
  expects(out.centre.extent[0] == in.centre.extent[0], who, ": centres are ", in.centre, " but the targets ",
          out.centre);
  expects_targets_over(out, H, W, who);
  expects_sigma(options.labels.sigma, who);
}

/// The measured groups of an image, which become refined labels.
template <class T, class Space = host>
struct bestie_measured {
  class_regions<Space> regions;
  bestie_groups<T, Space> groups;
  grid<group_measure, 1, Space> measures;
};

/// Group the foreground of an image and measure the groups.
template <execution_policy P, class T, class V>
[[nodiscard]] auto bestie_measure(P const& where, bestie_output<T, typename P::memory> const& in,
                                  image_view<V const, typename P::memory> semantic,
                                  std::vector<std::int32_t> const& classes, bestie_refine_options const& options)
    -> bestie_measured<T, typename P::memory>
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
  bestie_measured<T, S> out{find_regions(where, weak.label, options.smallest), {}, {}};
  out.groups = bestie_group(where, out.regions, in.centre, in.offset, options.labels.threshold, lone_region::nothing,
                            options.groups);
  out.measures =
      measure_groups(where, out.groups.ids, out.groups.centres.at.size(), out.groups.response, weak.probability);
  return out;
}

/// Write measured groups as refined labels.
template <execution_policy P, class T>
void bestie_write_refined(P const& where, bestie_measured<T, typename P::memory> const& of,
                          bestie_refine_options const& options, centre_targets_view<typename P::memory> const& out,
                          refine_scratch<P>& scratch)
{
  refine_into(where, of.regions.label, of.regions.categories, of.groups.ids, to_vector(where, of.groups.centres.first),
              of.measures, options.labels, out, scratch);
}

/// Refined labels of one image from the network's own output.
///
/// @param where     where to run; must reach maps and targets
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
/// @asynchrony   gpu: waits for where.stream seven times, for numbers of regions and centres; five if beta = 0. NaN and
///               infinite values are not refused and give labels without meaning
template <class T, execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
void bestie_refined_image_into(P const& where, bestie_output<T, typename P::memory> const& in, M const& semantic,
                               std::vector<std::int32_t> const& classes, bestie_refine_options const& options,
                               std::type_identity_t<centre_targets_view<typename P::memory>> const& out)
{
  using V = value_of<M, 2>;
  static_assert(std::is_integral_v<V>, "bestie_refined_labels: semantic is of integers");
  image_view<V const, typename P::memory> const given = as_view<2>(semantic, "bestie_refined_labels: semantic");
  expects_refined(in, given, options, out);
  static_cast<void>(table_of_classes(in.centre.extent[0], classes, "bestie_refined_labels"));
  refine_scratch<P> scratch;
  bestie_write_refined(where, bestie_measure(where, in, given, classes, options), options, out, scratch);
}

/// Targets of several images.
template <class Space = host>
struct centre_targets_batch {
  grid<float, 4, Space> centre;  ///< [B,C,H,W]
  grid<float, 4, Space> offset;  ///< [B,2,H,W]
  grid<float, 3, Space> weight;  ///< [B,H,W]

  centre_targets_view<Space> operator[](index_t b) { return {centre.view()[b], offset.view()[b], weight.view()[b]}; }
};

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
void expects_refined(bestie_batch<T, Space> const& in, stack_view<S, Space> const& semantic,
                     std::vector<std::vector<std::int32_t>> const& classes, bestie_refine_options const& options,
                     centre_targets_batch<Space>& out)
{
  index_t const B = in.centre.extent[0];
  auto const centre = out.centre.view(), offset = out.offset.view();
  auto const weight = out.weight.view();
  expects(in.seg.extent[0] == B && in.offset.extent[0] == B && static_cast<index_t>(classes.size()) == B &&
              semantic.extent[0] == B && centre.extent[0] == B && offset.extent[0] == B && weight.extent[0] == B,
          "bestie_refined_labels: logits ", in.seg, ", centres ", in.centre, ", offsets ", in.offset,
          ", semantic maps ", semantic, ", ", static_cast<index_t>(classes.size()), " lists of classes and targets ",
          centre, ", ", offset, " and ", weight);
  for (index_t b = 0; b < B; ++b) expects_refined(in[b], semantic[b], options, out[b]);
}

/// Copy targets of an image or a batch to the host. @asynchrony gpu: waits for where.stream
template <execution_policy P, template <class> class Targets, class Space>
  requires requires(Targets<Space> const& t) { t.centre, t.offset, t.weight; }
[[nodiscard]] Targets<host> to_host(P const& where, Targets<Space> const& from)
{
  Targets<host> out{make_grid<float>(from.centre.view().extent), make_grid<float>(from.offset.view().extent),
                    make_grid<float>(from.weight.view().extent)};
  copy(where, from.centre.view(), out.centre.view());
  copy(where, from.offset.view(), out.offset.view());
  copy(where, from.weight.view(), out.weight.view());
  wait_for(where, "to_host");
  return out;
}

/// Refined labels of a batch. The cpu shares the images among its threads; a gpu takes one after the other on
/// where.stream. To run them side by side on a gpu call bestie_refined_image_into in for_each_item of exec/team.cuh.
///
/// @param semantic  [B,H,W]
/// @param classes   B lists
/// @param out       of the same shape: B, C, H, W
///
/// Everything else as bestie_refined_image_into.
template <class T, execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
void bestie_refined_labels_into(P const& where, bestie_batch<T, typename P::memory> const& in, M const& semantic,
                                std::vector<std::vector<std::int32_t>> const& classes,
                                bestie_refine_options const& options, centre_targets_batch<typename P::memory>& out)
{
  using V = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<V>, "bestie_refined_labels: semantic is of integers");
  stack_view<V const, S> const given = as_view<3>(semantic, "bestie_refined_labels: semantic");
  index_t const B = in.centre.extent[0];
  expects_refined(in, given, classes, options, out);
  for (auto const& present : classes)
    static_cast<void>(table_of_classes(in.centre.extent[1], present, "bestie_refined_labels"));
  if constexpr (std::is_same_v<P, cpu>) {
    std::vector<bestie_measured<T>> images(static_cast<std::size_t>(B));  // written when all of them are good
    for_each_item(where, B, [&](cpu const& share, index_t b) {
      auto const at = static_cast<std::size_t>(b);
      images[at] = bestie_measure(share, in[b], given[b], classes[at], options);
    });
    for_each_item(where, B, [&](cpu const& share, index_t b) {
      refine_scratch<cpu> scratch;
      bestie_write_refined(share, images[static_cast<std::size_t>(b)], options, out[b], scratch);
    });
  } else {
    refine_scratch<P> scratch;
    for (index_t b = 0; b < B; ++b)
      bestie_write_refined(where, bestie_measure(where, in[b], given[b], classes[static_cast<std::size_t>(b)], options),
                           options, out[b], scratch);
  }
}

/// As above, and allocates the targets.
template <class T, execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto bestie_refined_labels(P const& where, bestie_batch<T, typename P::memory> const& in,
                                         M const& semantic, std::vector<std::vector<std::int32_t>> const& classes,
                                         bestie_refine_options const& options = {})
    -> centre_targets_batch<typename P::memory>
{
  auto const& [B, C, H, W] = in.centre.extent;
  centre_targets_batch<typename P::memory> out{
      make_grid<float>(where, {B, C, H, W}), make_grid<float>(where, {B, 2, H, W}), make_grid<float>(where, {B, H, W})};
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

/// As points_by_class. @throws precondition_error also where a point is not finite
[[nodiscard]] inline region_centres<> checked_clicks(points const& clicks, std::vector<std::int32_t> const& classes,
                                                     index_t C, border_points border)
{
  auto out = points_by_class(clicks, classes, C, border);
  expects_finite_centres(out.at.cells());
  return out;
}

/// Refined offsets of one image with points: every cell of a class gets the offset to the point that is nearest to the
/// end of its own offset.
///
/// @param where     where to run; must reach the maps
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
/// @asynchrony   gpu: enqueues and returns; NaN and infinite offsets are not refused. The clicks are the host's
template <execution_policy P, stack_like D, image_like M>
  requires reaches<P, space_of<D, 3>> && reaches<P, space_of<M, 2>>
void bestie_refined_offsets_into(P const& where, D const& offset, M const& semantic,
                                 std::vector<std::int32_t> const& classes, points const& clicks, index_t C,
                                 border_points border, stack_view<float, typename P::memory> to,
                                 image_view<float, typename P::memory> weight)
{
  auto const in = as_view<2>(semantic, "present_classes: semantic");
  stack_view<value_of<D, 3> const, typename P::memory> const field = as_view<3>(offset, "group_pixels: offset");
  index_t const H = in.extent[0], W = in.extent[1];
  auto const by_class = checked_clicks(clicks, classes, C, border);
  expects_offset(where, offset, in, "group_pixels: offset");
  expects_targets_over(centre_targets_view<typename P::memory>{{nullptr, {0, H, W}}, to, weight}, H, W,
                       "lead_to_points");
  auto const given = present_classes(where, in, C, classes);
  auto const there = to_memory(where, by_class);
  auto const ids = group_pixels(where, field, given, there);
  lead_to_points_into(where, ids, there.at, to, weight);
}

}  // namespace cambium
