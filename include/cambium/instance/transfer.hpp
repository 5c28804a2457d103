#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/targets.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// Where the points come from that tell instances apart.
enum class supervision {
  image,  ///< peaks of class maps: the heat map stands at the centroids of accepted components
  point,  ///< someone's clicks: the heat map stands at every one of them, whatever they lie on
};

/// What a component with more than one cue is.
enum class several_cues {
  reject,  ///< nothing is known about it: the original
  split,   ///< as many instances: each cell belongs to the nearest cue
};

struct transfer_options {
  supervision sup = supervision::image;
  int sigma = 6;          ///< [cells] of the heat map
  index_t smallest = 50;  ///< [cells] components of less are dropped
  centroid centre = centroid::truncated;
  several_cues several = several_cues::reject;
};

/// The stamp of the heat maps. Throws unless these lists can be transferred to maps of these shapes.
template <class L, class S>
heat_stamp expects_transferable(image_view<L, S> const& label, std::vector<std::int32_t> const& categories,
                                points const& cues, transfer_options const& options,
                                centre_targets_view_in<S> const& out)
{
  index_t const H = label.extent[0], W = label.extent[1], C = out.centre.extent[0];
  expects_targets_over(out, H, W, "transfer");
  expects_sigma(options.sigma, "transfer");
  expects(options.smallest >= 0, "transfer: smallest is ", options.smallest);
  for (auto const c : categories) expects(-1 <= c && c < C, "transfer: category ", c, " is outside -1..", C - 1);
  bool const exact = options.centre == centroid::exact;
  heat_stamp stamp(options.sigma, exact ? stamping::exact : stamping::original);
  for (point const& p : cues) {
    expects(0 <= p.category && p.category < C, "transfer: category ", p.category, " of a cue is outside 0..", C - 1);
    expects(0 <= p.y && p.y < static_cast<double>(H) && 0 <= p.x && p.x < static_cast<double>(W),
            "transfer: a cue at (", p.y, ",", p.x, ") is off the map of ", label);
    expects(options.sup == supervision::image || !stamp.refuses(H, W, p.y, p.x), "transfer: a cue at the half cell (",
            p.y, ",", p.x, "), which the original refuses; round it, or take centroid::exact");
  }
  return stamp;
}

/// Turn the components of a semantic map into pseudo instances where exactly one cue says that it is one object.
///
/// A component with exactly one cue of its own class is an instance: on it weight = 1 and offset = centroid - cell.
/// Everywhere else, the background included, offset and weight are 0.
///
/// @param where       cpu
/// @param components  [H,W] 0..N: components of one class each, corners connect
/// @param categories  N entries: the class of component i+1, 0..C-1, or -1 for one that is no instance of anything
/// @param cues        points on the map, of classes 0..C-1; a fraction of a coordinate counts for the heat map only
/// @param options     sup = image, sigma = 6, smallest = 50, centre = truncated, several = reject
/// @param out         centre [C,H,W], offset [2,H,W], weight [H,W]
///
/// @throws       precondition_error before anything is written: labels outside 0..N, classes outside 0..C-1, a cue off the
///               map, shapes that differ, sigma outside 1..200; clicks as centre_map
/// @invariant    the order of components and cues does not matter
/// @complexity   Theta(C * H * W) for the empty heat maps, two passes over the labels
/// @determinism  exact
/// @source       Kim et al., CVPR 2022, section 3.2; pseudo_label_generation, utils/utils.py of clovaai/BESTIE. With points,
///               its offsets lead to the centroid all the same and disagree with the heat map. Splitting is P2Seg's
template <image_like L>
void transfer_into(cpu const& where, L const& components, std::vector<std::int32_t> const& categories,
                   points const& cues, transfer_options options, centre_targets_view const& out)
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "transfer: components are integers");
  auto const label = as_view<2>(components, "transfer: components");
  index_t const N = static_cast<index_t>(categories.size());
  bool const exact = options.centre == centroid::exact;
  heat_stamp const stamp = expects_transferable(label, categories, cues, options, out);
  struct run {
    index_t y, begin, end;
    std::size_t component;
  };
  std::vector<run> runs;  // of components; the map is walked once
  std::vector<index_t> area(static_cast<std::size_t>(N + 1), 0);
  for_each_run(label, [&](index_t y, index_t begin, index_t end, value_of<L, 2> at) {
    expects(static_cast<std::uint64_t>(at) <= static_cast<std::uint64_t>(N), "transfer: component(", y, ",", begin,
            ") is ", at, ", outside 0..", N);  // a negative one is a large number without a sign
    if (at == 0 || categories[static_cast<std::size_t>(at - 1)] < 0) return;
    area[static_cast<std::size_t>(at)] += end - begin;
    runs.push_back({y, begin, end, static_cast<std::size_t>(at)});
  });

  // The instances: those of component i are parts[first[i]] ..., one for each of its cues.
  struct part {
    double cue_y, cue_x;
    index_t area = 0, sum_y = 0, sum_x = 0;
    double y = 0, x = 0;
  };
  std::vector<index_t> cue_count(static_cast<std::size_t>(N + 1), 0), first = cue_count;
  auto const component_of = [&](point const& p) -> std::size_t {
    auto const at = static_cast<std::size_t>(label(static_cast<index_t>(p.y), static_cast<index_t>(p.x)));
    return at != 0 && categories[at - 1] == p.category && area[at] >= options.smallest ? at : 0;
  };
  for (point const& p : cues) ++cue_count[component_of(p)];
  cue_count[0] = 0;
  std::vector<part> parts;
  for (std::size_t i = 1; i < cue_count.size(); ++i) {
    if (options.several == several_cues::reject && cue_count[i] > 1) cue_count[i] = 0;
    first[i] = static_cast<index_t>(parts.size());
    parts.resize(parts.size() + static_cast<std::size_t>(cue_count[i]));
  }
  {
    std::vector<index_t> next = first;
    for (point const& p : cues)
      if (auto const i = component_of(p); cue_count[i] != 0) {
        part& mine = parts[static_cast<std::size_t>(next[i]++)];
        mine.cue_y = p.y, mine.cue_x = p.x;
      }
  }
  auto const part_at = [&](std::size_t i, index_t y, index_t x) -> part& {
    auto const begin = static_cast<std::size_t>(first[i]), end = begin + static_cast<std::size_t>(cue_count[i]);
    std::size_t best = begin;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t k = begin; k < end; ++k) {
      double const dy = parts[k].cue_y - static_cast<double>(y), dx = parts[k].cue_x - static_cast<double>(x);
      double const square = rounded_product(dy, dy) + rounded_product(dx, dx);
      if (square < least) least = square, best = k;
    }
    return parts[best];
  };
  // Calls body(instance, y, begin, end) for every run of cells of an instance.
  auto const for_each_part = [&](auto const& body) {
    for (run const& r : runs)
      if (cue_count[r.component] == 1)
        body(parts[static_cast<std::size_t>(first[r.component])], r.y, r.begin, r.end);
      else if (cue_count[r.component] > 1)
        for (index_t x = r.begin; x < r.end; ++x) body(part_at(r.component, r.y, x), r.y, x, x + 1);
  };
  for_each_part([](part& mine, index_t y, index_t begin, index_t end) {
    mine.area += end - begin;
    mine.sum_y += y * (end - begin);
    mine.sum_x += (begin + end - 1) * (end - begin) / 2;
  });
  for (part& p : parts) {
    if (p.area == 0) continue;  // another cue was nearer everywhere
    p.y = static_cast<double>(p.sum_y) / static_cast<double>(p.area);
    p.x = static_cast<double>(p.sum_x) / static_cast<double>(p.area);
    if (!exact) p.y = std::trunc(p.y), p.x = std::trunc(p.x);
  }

  clear(where, out);
  for_each_part([&](part const& mine, index_t y, index_t begin, index_t end) {
    std::fill(&out.weight(y, 0) + begin, &out.weight(y, 0) + end, 1.f);
    std::fill(&out.offset(0, y, 0) + begin, &out.offset(0, y, 0) + end,
              static_cast<float>(mine.y - static_cast<double>(y)));
    float* const across = &out.offset(1, y, 0);
    for (index_t x = begin; x < end; ++x) across[x] = static_cast<float>(mine.x - static_cast<double>(x));
  });
  if (options.sup == supervision::point) {
    for (point const& p : cues) stamp(out.centre[p.category], p.y, p.x);
    return;
  }
  for (std::size_t i = 1; i < cue_count.size(); ++i)
    for (index_t k = first[i]; k < first[i] + cue_count[i]; ++k)
      if (part const& p = parts[static_cast<std::size_t>(k)]; p.area > 0)
        stamp(out.centre[categories[i - 1]], p.y, p.x);
}

/// As transfer_into, and allocates the result.
/// @param C  number of classes
template <image_like L>
[[nodiscard]] centre_targets transfer(cpu const& where, L const& components,
                                      std::vector<std::int32_t> const& categories, points const& cues, index_t C,
                                      transfer_options options = {})
{
  auto const label = as_view<2>(components, "transfer: components");
  auto out = make_targets(C, {label.extent[0], label.extent[1]}, "transfer");
  transfer_into(where, components, categories, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

}  // namespace cambium
