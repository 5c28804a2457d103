#pragma once

#include <cambium/core/error.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

struct join_options {
  double least = 0.05;  ///< a further centre needs a larger response where it is
  double apart = 100;   ///< [cells] and must be farther than this from every centre found before
  double relative = 0;  ///< > 0: farther than this fraction of the diagonal of its region's box instead
  bool whole_regions =
      false;  ///< a region without any centre gets one, where its response is largest; val_ignore = False
};

/// What join_centres learns about a region.
struct region_facts {
  index_t top, left, bottom, right;  ///< its box
  index_t centres;                   ///< found, or joined
  std::int64_t largest;              ///< the order_key of the largest response
  index_t best;                      ///< the first cell with that response
};

namespace rule {

/// Rule of runs of one region.
struct region_box {
  index_t regions;
  region_facts* of;  ///< regions + 1

  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, index_t r) const
  {
    if (r <= 0 || r > regions) return;
    atomic_min(&of[r].top, y), atomic_min(&of[r].left, begin);
    atomic_max(&of[r].bottom, y + 1), atomic_max(&of[r].right, end);
  }
};

/// Is r one of regions 1..regions, without a centre?
CAMBIUM_HD inline bool is_lone(region_facts const* of, index_t regions, index_t r)
{
  return 0 < r && r <= regions && of[r].centres == 0;
}

/// Rule of runs of one region: the largest response of regions without a centre.
template <class T, class S>
struct largest_response {
  image_view<T const, S> heat;
  index_t regions;
  region_facts* of;

  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, index_t r) const
  {
    if (!is_lone(of, regions, r)) return;
    T most = heat(y, begin);
    for (index_t x = begin + 1; x < end; ++x) most = heat(y, x) > most ? heat(y, x) : most;
    atomic_max(&of[r].largest, static_cast<std::int64_t>(order_key(most)));
  }
};

/// Rule of runs of one region: the first cell with that response.
template <class T, class S>
struct first_of_largest {
  image_view<T const, S> heat;
  index_t regions;
  region_facts* of;

  CAMBIUM_HD void operator()(index_t y, index_t begin, index_t end, index_t r) const
  {
    if (!is_lone(of, regions, r)) return;
    if (atomic_read(&of[r].best) < y * heat.extent[1] + begin) return;
    index_t x = begin;
    while (x < end && order_key(heat(y, x)) != of[r].largest) ++x;
    if (x < end) atomic_min(&of[r].best, y * heat.extent[1] + x);
  }
};

/// Candidates are the centres found, the further ones, and then a cell of every region.
template <class T, class S>
struct joined_centre {
  centres_view<S> found;
  centres_view<S> further;
  image_view<std::int32_t const, S> regions;
  image_view<T, S> heat;
  region_facts* of;

  CAMBIUM_HD index_t region(index_t i) const
  {
    index_t const a = found.at.extent[0], b = further.at.extent[0];
    return i < a ? found.region_of(i) : i < a + b ? further.region_of(i - a) : i - a - b + 1;
  }
  CAMBIUM_HD point operator()(index_t i) const
  {
    index_t const a = found.at.extent[0], b = further.at.extent[0];
    if (i < a) return found.at(i);
    if (i < a + b) {
      point p = further.at(i - a);
      p.score = 1;
      return p;
    }
    index_t const cell = of[i - a - b + 1].best, y = cell / heat.extent[1], x = cell % heat.extent[1];
    return {static_cast<double>(y), static_cast<double>(x), 0, static_cast<double>(heat(y, x))};
  }
};

/// Choose the centres found, and the further ones that fit. The cell of a region is not chosen yet.
template <class T, class S>
struct choose_listed {
  joined_centre<T, S> all;
  join_options options;
  std::uint8_t* chosen;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const a = all.found.at.extent[0], b = all.further.at.extent[0];
    index_t const r = i < a + b ? all.region(i) : 0;
    bool const is = r != 0 && (i < a || fits(all.further.at(i - a), r));
    chosen[i] = is ? 1 : 0;
    if (is) atomic_add(&all.of[r].centres, index_t{1});
  }

 private:
  CAMBIUM_HD bool fits(point const& p, index_t r) const
  {
    auto const& map = all.regions;
    bool const on_map =
        0 <= p.y && p.y < static_cast<double>(map.extent[0]) && 0 <= p.x && p.x < static_cast<double>(map.extent[1]);
    if (!on_map) return false;
    index_t const y = static_cast<index_t>(p.y), x = static_cast<index_t>(p.x);
    if (map(y, x) != r || !(all.heat(y, x) > static_cast<T>(options.least))) return false;
    double apart = options.apart;
    if (options.relative > 0) {
      region_facts const& f = all.of[r];
      index_t const height = f.bottom - f.top, width = f.right - f.left;  // their squares are exact
      apart = options.relative * std::sqrt(static_cast<double>(height * height + width * width));
    }
    for (index_t j = all.found.begin(r); j < all.found.end(r); ++j) {
      point const q = all.found.at(j);
      double const dy = q.y - p.y, dx = q.x - p.x;
      if (!(rounded_product(dy, dy) + rounded_product(dx, dx) > rounded_product(apart, apart))) return false;
    }
    return true;
  }
};

/// The response becomes 1 where a further centre joined.
template <class T, class S>
struct mark_joined {
  joined_centre<T, S> all;
  std::uint8_t const* chosen;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const a = all.found.at.extent[0];
    if (chosen[a + i] == 0) return;
    point const p = all.further.at(i);
    all.heat(static_cast<index_t>(p.y), static_cast<index_t>(p.x)) = T(1);
  }
};

/// Choose the cell of a region without a centre.
struct choose_lone {
  region_facts const* of;
  index_t cells;
  std::uint8_t* chosen;  ///< of each region

  CAMBIUM_HD void operator()(index_t i) const { chosen[i] = of[i + 1].centres == 0 && of[i + 1].best < cells ? 1 : 0; }
};

}  // namespace rule

/// Add further centres to those found in the centre map, where they are far from them.
///
/// Further centres of one region are not compared with each other. The response becomes 1 where one is added.
///
/// @param where     where to run; must reach the memory of the maps
/// @param found     centres of count regions
/// @param further   more of them, from disc_centres
/// @param regions   [H,W] int32 0..count
/// @param options   least = 0.05, apart = 100, relative = 0, whole_regions = false
/// @param response  [H,W] as given to find_centres; marked here
/// @return of each region the centres found, then the further ones
///
/// @pre          gpu: values are not checked. A centre off the map does not join; indices of lists that are not divided
///               are clamped
/// @throws       precondition_error: shapes or numbers of regions that differ, centres that are not divided among them
///               or off the map, negative or NaN options
/// @complexity   O(H * W + centres * further centres of a region)
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream
/// @source       get_instance_segmentation, utils/utils.py of clovaai/BESTIE: the mark tells the scores that follow
///               that a cluster stands there. Its distance is absolute, so that in small regions nothing is ever added
template <execution_policy P, image_like R, image_like X>
  requires reaches<P, space_of<R, 2>> && reaches<P, space_of<X, 2>>
[[nodiscard]] auto join_centres(P const& where, region_centres<typename P::memory> const& found,
                                region_centres<typename P::memory> const& further, R const& regions,
                                join_options options, X&& response) -> region_centres<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "join_centres: regions");
  image_view<T, S> const heat = as_view<2>(response, "join_centres: response");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_centres(found, "join_centres: found");
    expects_centres(further, "join_centres: further");
  }
  index_t const count = found.regions(), H = region.extent[0], W = region.extent[1];
  expects(further.regions() == count, "join_centres: centres of ", count, " and of ", further.regions(), " regions");
  expects(same_shape(heat, region), "join_centres: response is ", heat, " but regions are ", region);
  expects(options.apart >= 0 && options.relative >= 0 && !std::isnan(options.least), "join_centres: apart is ",
          options.apart, ", relative ", options.relative, ", least ", options.least);
  index_t const listed = found.at.size() + further.at.size(), candidates = listed + count;
  expects_numbers(where, candidates, "join_centres");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_labels(region, count, "join_centres: region");
    for (auto const* const list : {&found, &further})
      for (point const& p : list->at.cells())
        expects(0 <= p.y && p.y < static_cast<double>(H) && 0 <= p.x && p.x < static_cast<double>(W), "join_centres: (",
                p.y, ",", p.x, ") is outside a map of ", region);
  }

  auto facts = make_grid<region_facts>(where, {count + 1});
  auto choice = make_grid<std::uint8_t>(where, {candidates});
  region_facts* const of = facts.view().data;
  std::uint8_t* const chosen = choice.view().data;
  fill(where, count + 1, of, region_facts{H, W, 0, 0, 0, std::numeric_limits<std::int64_t>::min(), region.size()});
  auto const of_runs = [&](auto const& run) {
    for_each_cell(where, as_batch(region).extent, rule::by_runs{region, run});
  };
  if (options.relative > 0 && further.at.size() > 0) of_runs(rule::region_box{count, of});
  rule::joined_centre<T, S> const all{
      {found.at.view(), found.first.view()}, {further.at.view(), further.first.view()}, region, heat, of};
  for_each_index(where, candidates, rule::choose_listed<T, S>{all, options, chosen});
  for_each_index(where, further.at.size(), rule::mark_joined<T, S>{all, chosen});
  bool lone = options.whole_regions;
  if constexpr (std::is_same_v<S, host>)
    lone = lone && std::any_of(of + 1, of + count + 1, [](region_facts const& f) { return f.centres == 0; });
  if (lone) {
    of_runs(rule::largest_response<T, S>{heat, count, of});
    of_runs(rule::first_of_largest<T, S>{heat, count, of});
    for_each_index(where, count, rule::choose_lone{of, region.size(), chosen + listed});
  }
  return centres_by_region(where, candidates, chosen, count, all);
}

}  // namespace cambium
