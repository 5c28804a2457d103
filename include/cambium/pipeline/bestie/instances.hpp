#pragma once

#include <cambium/activation/softmax.hpp>
#include <cambium/core/error.hpp>
#include <cambium/displacement/group_pixels.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/pipeline/bestie/grouping.hpp>
#include <cambium/pipeline/bestie/refine.hpp>
#include <cambium/pipeline/bestie/regions.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

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
  extent2 seen{};  ///< [pixels] the image as the network saw it, the unit of offsets; 0 x 0: as large as the maps
};

/// Labels of one image.
template <class Space = host>
using bestie_labels = image_labels<Space>;

/// The decision of all classes, or of those present; and the offsets as they are to be read.
template <class T, class Space = host>
struct bestie_reading {
  class_decision<Space> decided;
  grid<T, 3, Space> own;  ///< offsets that had to be changed
  stack_view<T const, Space> offset;
};

/// Throws unless a network's output can be read so. `who` begins the message.
/// @return the size of the image as the network saw it
template <class T, class Space>
extent2 expects_reading(bestie_output<T, Space> const& in, bestie_output<T, Space> const& flipped,
                        bestie_instance_options const& options, std::string const& who)
{
  expects_bestie_output(in, who);
  if (flipped.seg.data != nullptr) expects_bestie_output(flipped, who + ": mirror image");
  extent2 const seen = options.seen;
  if (seen == extent2{}) return {in.seg.extent[1], in.seg.extent[2]};
  expects(seen.height > 0 && seen.width > 0, who, ": the network saw ", seen.height, " x ", seen.width, " pixels");
  return seen;
}

/// Read the output of a network. @asynchrony gpu: enqueues and returns
template <execution_policy P, class T>
[[nodiscard]] auto read_output(P const& where, bestie_output<T, typename P::memory> const& in,
                               bestie_output<T, typename P::memory> const& flipped,
                               std::optional<std::vector<std::int32_t>> const& classes,
                               bestie_instance_options const& options, std::string const& who)
    -> bestie_reading<T, typename P::memory>
{
  extent2 const seen = expects_reading(in, flipped, options, who);
  index_t const C = in.centre.extent[0], H = in.seg.extent[1], W = in.seg.extent[2];
  std::vector<char> allowed;
  if (classes) allowed = table_of_classes(C, *classes, who);
  bestie_reading<T, typename P::memory> out{decide(where, in.seg, flipped.seg, allowed), {}, in.offset};
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
/// @param where    where to run; must reach the maps
/// @param in       what the network says about the image
/// @param classes  present in the image, 0-based, if that is known: others are passed over
/// @param options  defaults of the original
/// @param flipped  what it says about the mirror image, or nothing: scores and centre maps are averaged
/// @return semantic labels, and instances by class, of a class in the order of label_order::blocks of their regions, of
///         a region in the order of their centres. Nothing found is an empty list
///
/// @throws       precondition_error: maps that do not fit together, NaN or infinite values, classes outside 0..C-1
/// @complexity   Theta(C * H * W) exponentials, and centres of a region for each of its cells
/// @determinism  as decide
/// @source       get_ins_map, utils/utils.py of clovaai/BESTIE. Its rescaling of offsets does nothing, because it reads
///               the size of maps that were already enlarged; `seen` does what was meant
/// @asynchrony   gpu: waits for where.stream seven times, for numbers of regions and centres; five if beta = 0. NaN and
///               infinite values are not refused and give labels without meaning
template <class T, execution_policy P>
[[nodiscard]] auto bestie_instances(P const& where, bestie_output<T, typename P::memory> const& in,
                                    std::optional<std::vector<std::int32_t>> const& classes = {},
                                    bestie_instance_options const& options = {},
                                    std::type_identity_t<bestie_output<T, typename P::memory>> const& flipped = {})
    -> bestie_labels<typename P::memory>
{
  auto reading = read_output(where, in, flipped, classes, options, "bestie_instances");
  auto const regions = find_regions(where, reading.decided.label, options.smallest);
  auto const groups = bestie_group(where, regions, in.centre, reading.offset, options.threshold, options.alone,
                                   options.groups, flipped.centre);
  auto const measured =
      measure_groups(where, groups.ids, groups.centres.at.size(), groups.response, reading.decided.probability);
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
/// @asynchrony gpu: enqueues and returns; classes and clicks are the host's
template <class T, execution_policy P>
[[nodiscard]] auto bestie_instances_at(P const& where, bestie_output<T, typename P::memory> const& in,
                                       std::vector<std::int32_t> const& classes, points const& clicks,
                                       bestie_instance_options const& options = {},
                                       std::type_identity_t<bestie_output<T, typename P::memory>> const& flipped = {})
    -> bestie_labels<typename P::memory>
{
  expects_bestie_output(in, "bestie_instances_at");
  auto const by_class = checked_clicks(clicks, classes, in.centre.extent[0], border_points::keep);
  auto reading = read_output(where, in, flipped, classes, options, "bestie_instances_at");
  auto const there = to_memory(where, by_class);
  auto const& probability = reading.decided.probability;
  auto const ids = group_pixels(where, reading.offset, reading.decided.label, there);
  auto const measured = measure_groups(where, ids, there.at.size(), probability, probability);
  auto objects =
      score_groups(where, ids, measured, categories_of(to_vector(cpu{}, by_class.at)), scored_by::class_only);
  return {std::move(reading.decided.label), std::move(objects)};
}

}  // namespace cambium
