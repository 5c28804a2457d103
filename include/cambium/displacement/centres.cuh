#pragma once
// Between a centre map with an offset field and instances, on a GPU. Lists of centres are of a length that only the maps
// know: what makes one waits for the stream once.

#include <cambium/displacement/centres.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/ordered.hpp>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/scan.cuh>
#include <cambium/exec/sort.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/middle.hpp>
#include <cambium/grid/reserve.hpp>
#include <cambium/grid/union_find.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <utility>

namespace cambium {

/// As region_centres, in the memory of a policy.
template <class Space>
struct region_centres_in {
  grid<point, 1, Space> at;
  grid<index_t, 1, Space> first;  ///< N + 1 entries: those of region r are at(first(r-1)) .. at(first(r)-1)

  index_t regions() const { return first.size() - 1; }
};

/// The same centres in the memory of a policy.
/// @throws precondition_error: centres that are not divided among regions
template <class P>
[[nodiscard]] region_centres_in<typename P::memory> copy_of(P const& where, region_centres const& from)
{
  expects_centres(from, "copy_of");
  return {listed_for(where, from.at), listed_for(where, from.first)};
}

/// The same centres on the host.
/// @asynchrony gpu: waits for where.stream
template <class P>
[[nodiscard]] region_centres to_host(P const& where, region_centres_in<typename P::memory> const& from)
{
  region_centres out{points(static_cast<std::size_t>(from.at.size())),
                     std::vector<index_t>(static_cast<std::size_t>(from.first.size()))};
  copy(where, from.at.view(), view<point, 1>(out.at.data(), {from.at.size()}));
  copy(where, from.first.view(), view<index_t, 1>(out.first.data(), {from.first.size()}));
  wait_for(where, "to_host");
  return out;
}

// --- candidates, region by region -------------------------------------------------------------------------------------

/// How many candidates a region has, and which candidates have one.
struct count_candidate {
  std::int32_t const* region;  ///< of each candidate, 0 for none
  index_t candidates;
  index_t regions;
  std::int32_t* chosen;  ///< candidates + 1
  index_t* of_region;    ///< regions + 1, zeros

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const r = i < candidates ? region[i] : 0;
    bool const is = 0 < r && r <= regions;
    chosen[i] = is ? 1 : 0;
    if (is) atomic_add(&of_region[r - 1], index_t{1});
  }
};

/// The chosen candidates side by side, with their region.
struct list_candidate {
  std::int32_t const* region;
  std::int32_t const* before;
  std::uint32_t* key;
  std::int32_t* value;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (before[i] == before[i + 1]) return;
    key[before[i]] = static_cast<std::uint32_t>(region[i]);
    value[before[i]] = static_cast<std::int32_t>(i);
  }
};

/// The points of the list. A Source has operator()(i) -> point of candidate i.
template <class Source>
struct write_centre {
  Source source;
  std::int32_t const* candidate;
  point* at;

  CAMBIUM_HD void operator()(index_t k) const { at[k] = source(candidate[k]); }
};

/// As by_region: sorts candidates by region; of a region they keep their order.
///
/// @param region  [candidates] in the policy's memory; candidates outside 1..regions are left out
/// @asynchrony    gpu: waits for where.stream
template <class P, class Source>
region_centres_in<typename P::memory> candidates_by_region(P const& where, index_t candidates,
                                                           std::int32_t const* region, index_t regions,
                                                           Source const& source)
{
  expects(candidates <= std::numeric_limits<std::int32_t>::max(), "by_region: ", candidates, " candidates");
  workspace<P> space;
  region_centres_in<typename P::memory> out{{}, make_grid<index_t>(where, {regions + 1})};
  auto chosen = make_grid<std::int32_t>(where, {candidates + 1});
  std::int32_t* const before = chosen.view().data;
  index_t* const first = out.first.view().data;
  fill(where, regions + 1, first, index_t{0});
  for_each_index(where, candidates + 1, count_candidate{region, candidates, regions, before, first});
  exclusive_scan(where, candidates + 1, before, before, space);
  exclusive_scan(where, regions + 1, first, first, space);
  index_t const count = read_cell(where, before + candidates);
  out.at = make_grid<point>(where, {count});
  auto key = make_grid<std::uint32_t>(where, {count}), sorted_key = make_grid<std::uint32_t>(where, {count});
  auto value = make_grid<std::int32_t>(where, {count}), sorted = make_grid<std::int32_t>(where, {count});
  for_each_index(where, candidates, list_candidate{region, before, key.view().data, value.view().data});
  int const bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(regions)));
  sort_by_key(where, count, key.view().data, value.view().data, sorted_key.view().data, sorted.view().data,
              bits < 32 ? bits : 32, space);
  for_each_index(where, count, write_centre<Source>{source, sorted.view().data, out.at.view().data});
  return out;
}

// --- find_centres -----------------------------------------------------------------------------------------------------

/// The region of every cell that is a maximum of it.
template <class T, class S>
struct mark_region_maximum {
  local_maximum<T, S> maximum;
  T above;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const r = maximum.region(y, x);
    out(y, x) = maximum.map(y, x) > above && r != 0 && maximum(y, x) ? r : 0;
  }
};

/// Which marked cells are one plateau.
template <class T, class S>
struct same_region_plateau {
  image_view<T const, S> heat;
  image_view<std::int32_t const, S> marked;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return marked(y, x) != 0; }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return marked(y, x) == marked(ny, nx) && heat(y, x) == heat(ny, nx);
  }
};

/// Rule: a marked cell meets its plateau, which is known at its first cell.
template <class S>
struct meet_plateau {
  plateau_tally::round now;
  std::int32_t const* parent;
  plateau_tally* of;
  image_view<std::int32_t const, S> marked;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * marked.extent[1] + x;
    if (marked(y, x) != 0) of[parent[here]].meet(now, y, x, here);
  }
};

/// Rule: only the place of a plateau stays marked.
template <class S>
struct thin_plateau {
  std::int32_t const* parent;
  plateau_tally const* of;
  image_view<std::int32_t, S> marked;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * marked.extent[1] + x;
    if (marked(y, x) != 0 && of[parent[here]].at != here) marked(y, x) = 0;
  }
};

/// Candidate i is cell i, and its response the score.
template <class T, class S>
struct cell_as_centre {
  image_view<T const, S> heat;

  CAMBIUM_HD point operator()(index_t i) const
  {
    index_t const y = i / heat.extent[1], x = i % heat.extent[1];
    return {static_cast<double>(y), static_cast<double>(x), 0, static_cast<double>(heat(y, x))};
  }
};

/// As find_centres in centres.hpp.
///
/// @pre          as there; on a device a cell of a region outside 1..count is no centre, and NaN responses are not refused:
///               a NaN is no centre and exceeds nothing
/// @throws       precondition_error: shapes that differ, an even kernel, a NaN threshold, a negative count
/// @complexity   as there, and a sort of the centres
/// @determinism  exact: the cpu's centres in their order
/// @asynchrony   waits for the stream
template <execution_policy P, image_like X, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto find_centres(P const& where, X const& response, R const& regions, index_t count,
                                centre_options options = {}) -> region_centres_in<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<T const, S> const heat = as_view<2>(response, "find_centres: response");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "find_centres: regions");
  expects_findable(heat, region, count, options);
  index_t const H = heat.extent[0], W = heat.extent[1], cells[3] = {1, H, W};
  T const low = static_cast<T>(options.threshold), above = low > 0 ? low : T(0);
  auto marks = make_grid<std::int32_t>(where, {H, W});
  local_maximum<T, S> const maximum{heat, region, options.kernel / 2};
  for_each_cell(where, cells, mark_region_maximum<T, S>{maximum, above, marks.view()});
  if (options.plateaus == plateau::one_cell && H * W > 0) {
    auto parent = make_grid<std::int32_t>(where, {H * W});
    auto tally = make_grid<plateau_tally>(where, {H * W});
    plateau_tally* const of = tally.view().data;
    fill(where, H * W, of, plateau_tally{});
    find_sets(where, cells, c8, same_region_plateau<T, S>{heat, marks.view()}, parent.view().data);
    using round = plateau_tally::round;
    for (auto const now : {round::sums, round::high, round::low, round::place})
      for_each_cell(where, cells, meet_plateau<S>{now, parent.view().data, of, marks.view()});
    for_each_cell(where, cells, thin_plateau<S>{parent.view().data, of, marks.view()});
  }
  return candidates_by_region(where, H * W, marks.view().data, count, cell_as_centre<T, S>{heat});
}

// --- weak_cells, disc_centres -----------------------------------------------------------------------------------------

template <class T, class S>
struct mark_weak_cell {
  image_view<std::int32_t const, S> region;
  stack_view<T const, S> field;
  T radius;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    bool const weak = region(y, x) != 0 && is_weak(field(0, y, x), field(1, y, x), radius);
    out(y, x) = weak ? region(y, x) : 0;
  }
};

/// As weak_cells in centres.hpp.
/// @pre        as there; on a device NaN and infinities are not refused, and are not weak
/// @asynchrony enqueues and returns
template <execution_policy P, image_like R, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<D, 3>>
[[nodiscard]] auto weak_cells(P const& where, R const& regions, D const& offset, double radius = 2.5)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "weak_cells: regions");
  stack_view<T const, S> const field = as_view<3>(offset, "weak_cells: offset");
  expects(radius > 0, "weak_cells: radius is ", radius);
  expects_offset_over(field, region, "weak_cells: offset");
  auto out = make_grid<std::int32_t>(where, region.extent);
  index_t const cells[3] = {1, region.extent[0], region.extent[1]};
  for_each_cell(where, cells, mark_weak_cell<T, S>{region, field, static_cast<T>(radius), out.view()});
  return out;
}

/// Sums over the cells of a component, or of all components of a region.
struct disc_sums {
  index_t area, y, x, region;
};

struct forget_discs {
  disc_sums* of;
  CAMBIUM_HD void operator()(index_t i) const { of[i] = {0, 0, 0, 0}; }
};

template <class L, class S>
struct add_to_discs {
  image_view<L const, S> label;
  image_view<std::int32_t const, S> region;
  index_t components;
  disc_sums* of;  ///< components + 1

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(label(y, x));
    if (at <= 0 || at > components) return;
    atomic_add(&of[at].area, index_t{1});
    atomic_add(&of[at].y, y);
    atomic_add(&of[at].x, x);
    atomic_max(&of[at].region, static_cast<index_t>(region(y, x)));
  }
};

struct add_to_regions {
  disc_sums const* of;
  disc_sums* in_region;  ///< regions + 1
  index_t regions;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const r = of[i].region;
    if (i == 0 || r <= 0 || r > regions) return;
    atomic_add(&in_region[r].area, of[i].area);
    atomic_add(&in_region[r].y, of[i].y);
    atomic_add(&in_region[r].x, of[i].x);
  }
};

/// Candidates 0..regions-1 are what is outside the weak cells of region 1, 2, ...; the others components 1, 2, ...
struct disc_as_centre {
  disc_sums const* of;
  disc_sums const* in_region;
  index_t regions;
  index_t height;
  index_t width;

  CAMBIUM_HD disc_sums sums(index_t i) const
  {
    if (i >= regions) return of[i - regions + 1];
    disc_sums const& s = in_region[i + 1];
    return {height * width - s.area, height * (height - 1) / 2 * width - s.y, width * (width - 1) / 2 * height - s.x,
            i + 1};
  }
  CAMBIUM_HD point operator()(index_t i) const
  {
    disc_sums const s = sums(i);
    return {static_cast<double>(s.y / s.area), static_cast<double>(s.x / s.area), 0, 1};
  }
};

struct choose_disc {
  disc_as_centre discs;
  double ideal;
  double tolerance;
  bool outside;
  std::int32_t* region;

  CAMBIUM_HD void operator()(index_t i) const
  {
    disc_sums const s = discs.sums(i);
    double const off = static_cast<double>(s.area) - ideal;
    bool const fits = s.area > 0 && (off < 0 ? -off : off) < tolerance && (outside || i >= discs.regions);
    region[i] = fits ? static_cast<std::int32_t>(s.region) : 0;
  }
};

/// As disc_centres in centres.hpp.
///
/// @pre          as there; on a device labels outside their ranges are left out, and a component that lies in several
///               regions is of the last
/// @throws       precondition_error: shapes that differ, a NaN tolerance, negative numbers
/// @determinism  exact: the cpu's centres in their order
/// @asynchrony   waits for the stream
template <execution_policy P, image_like L, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto disc_centres(P const& where, L const& weak, index_t N, R const& regions, index_t count,
                                disc_options options = {}) -> region_centres_in<typename P::memory>
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  image_view<cell_type const, S> const label = as_view<2>(weak, "disc_centres: weak");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "disc_centres: regions");
  expects_discs(label, N, region, count, options);
  index_t const H = label.extent[0], W = label.extent[1], cells[3] = {1, H, W}, candidates = count + N;
  auto sums = make_grid<disc_sums>(where, {N + 1}), in_region = make_grid<disc_sums>(where, {count + 1});
  auto of_region = make_grid<std::int32_t>(where, {candidates});
  disc_sums* const of = sums.view().data;
  for_each_index(where, N + 1, forget_discs{of});
  for_each_index(where, count + 1, forget_discs{in_region.view().data});
  for_each_cell(where, cells, add_to_discs<cell_type, S>{label, region, N, of});
  for_each_index(where, N + 1, add_to_regions{of, in_region.view().data, count});
  disc_as_centre const discs{of, in_region.view().data, count, H, W};
  double const ideal = static_cast<double>(disc_area(options.radius));
  for_each_index(where, candidates,
                 choose_disc{discs, ideal, options.tolerance, options.outside, of_region.view().data});
  return candidates_by_region(where, candidates, of_region.view().data, count, discs);
}

// --- join_centres -----------------------------------------------------------------------------------------------------

/// Centres as rules read them. What is said of a list that is not divided is of no centre.
template <class S>
struct centres_view {
  view<point const, 1, S> at;
  view<index_t const, 1, S> first;

  CAMBIUM_HD index_t regions() const { return first.extent[0] - 1; }
  CAMBIUM_HD index_t begin(index_t region) const { return inside(first(region - 1)); }
  CAMBIUM_HD index_t end(index_t region) const { return inside(first(region)); }
  /// The region of centre i: the one whose share ends after it. 0 where there is none.
  CAMBIUM_HD index_t region_of(index_t i) const
  {
    index_t low = 1, high = regions();
    while (low < high) {
      index_t const middle = (low + high) / 2;
      if (end(middle) > i)
        high = middle;
      else
        low = middle + 1;
    }
    bool const is = low <= regions() && begin(low) <= i && i < end(low);
    return is ? low : 0;
  }

 private:
  CAMBIUM_HD index_t inside(index_t i) const { return i < 0 ? 0 : i < at.extent[0] ? i : at.extent[0]; }
};

/// What join_centres learns of a region.
struct region_facts {
  index_t top, left, bottom, right;  ///< its box
  index_t centres;                   ///< found, or joined
  std::int64_t largest;              ///< response, ordered
  index_t best;                      ///< the first cell of that response
};

template <class T, class S>
struct learn_of_regions {
  enum turn { forget, bounds, largest, best } now;
  image_view<std::int32_t const, S> region;
  image_view<T, S> heat;
  index_t regions;
  region_facts* of;  ///< regions + 1

  /// Of regions.
  CAMBIUM_HD void operator()(index_t r) const
  {
    of[r] = {region.extent[0], region.extent[1], 0, 0, 0, no_response, region.size()};
  }
  /// Of cells.
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const r = region(y, x), here = y * region.extent[1] + x;
    if (r <= 0 || r > regions) return;
    if (now == bounds) {
      atomic_min(&of[r].top, y), atomic_min(&of[r].left, x);
      atomic_max(&of[r].bottom, y + 1), atomic_max(&of[r].right, x + 1);
      return;
    }
    if (of[r].centres != 0) return;
    std::int64_t const response = ordered(heat(y, x));
    if (now == largest) atomic_max(&of[r].largest, response);
    if (now == best && response == of[r].largest) atomic_min(&of[r].best, here);
  }

 private:
  static constexpr std::int64_t no_response = std::numeric_limits<std::int64_t>::min();
};

/// Candidates are the centres found, the further ones, and then a cell of every region.
template <class T, class S>
struct joined_centre {
  centres_view<S> found;
  centres_view<S> further;
  image_view<std::int32_t const, S> regions;
  image_view<T, S> heat;
  region_facts* of;

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

template <class T, class S>
struct choose_joined {
  enum turn { lists, marks, lone } now;
  joined_centre<T, S> all;
  join_options options;
  std::int32_t* region;  ///< of each candidate

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const a = all.found.at.extent[0], b = all.further.at.extent[0];
    if (now == marks && a <= i && i < a + b && region[i] != 0) {
      point const p = all.further.at(i - a);
      all.heat(static_cast<index_t>(p.y), static_cast<index_t>(p.x)) = T(1);
    }
    if (now == lone && i >= a + b) {
      index_t const r = i - a - b + 1;
      bool const takes = all.of[r].centres == 0 && all.of[r].best < all.regions.size();
      region[i] = takes ? static_cast<std::int32_t>(r) : 0;
    }
    if (now != lists) return;
    index_t r = i < a ? all.found.region_of(i) : i < a + b ? all.further.region_of(i - a) : 0;
    if (i >= a && r != 0 && !fits(all.further.at(i - a), r)) r = 0;
    region[i] = static_cast<std::int32_t>(r);
    if (r != 0) atomic_add(&all.of[r].centres, index_t{1});
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
      apart =
          options.relative * std::hypot(static_cast<double>(f.bottom - f.top), static_cast<double>(f.right - f.left));
    }
    for (index_t j = all.found.begin(r); j < all.found.end(r); ++j) {
      point const q = all.found.at(j);
      double const dy = q.y - p.y, dx = q.x - p.x;
      if (!(rounded_product(dy, dy) + rounded_product(dx, dx) > rounded_product(apart, apart))) return false;
    }
    return true;
  }
};

/// As join_centres in centres.hpp.
///
/// @pre          as there; on a device a centre off the map does not join, and lists that are not divided are not refused
/// @throws       precondition_error: shapes or numbers of regions that differ, negative or NaN options
/// @determinism  the cpu's centres in their order; with relative > 0 the length of a diagonal may differ in its last bit
/// @asynchrony   waits for the stream
template <execution_policy P, image_like R, image_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<X, 2>>
[[nodiscard]] auto join_centres(P const& where, region_centres_in<typename P::memory> const& found,
                                region_centres_in<typename P::memory> const& further, R const& regions,
                                join_options options, X&& response) -> region_centres_in<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "join_centres: regions");
  image_view<T, S> const heat = as_view<2>(response, "join_centres: response");
  index_t const count = found.regions();
  expects_joinable(count, further.regions(), region, options, heat);
  index_t const H = region.extent[0], W = region.extent[1], cells[3] = {1, H, W};
  index_t const listed = found.at.size() + further.at.size(), candidates = listed + count;
  auto facts = make_grid<region_facts>(where, {count + 1});
  auto of_region = make_grid<std::int32_t>(where, {candidates});
  using learn = learn_of_regions<T, S>;
  using choose = choose_joined<T, S>;
  learn of{learn::forget, region, heat, count, facts.view().data};
  joined_centre<T, S> const all{
      {found.at.view(), found.first.view()}, {further.at.view(), further.first.view()}, region, heat, of.of};
  choose chosen{choose::lists, all, options, of_region.view().data};
  for_each_index(where, count + 1, of);
  of.now = learn::bounds;
  if (options.relative > 0) for_each_cell(where, cells, of);
  for_each_index(where, candidates, chosen);
  chosen.now = choose::marks;
  for_each_index(where, candidates, chosen);
  for (auto const now : {learn::largest, learn::best}) {
    of.now = now;
    if (options.whole_regions) for_each_cell(where, cells, of);
  }
  chosen.now = choose::lone;
  if (options.whole_regions) for_each_index(where, candidates, chosen);
  return candidates_by_region(where, candidates, of_region.view().data, count, all);
}

// --- group_pixels -----------------------------------------------------------------------------------------------------

/// What group_pixels works in: the centres' coordinates in float.
template <execution_policy P>
struct group_scratch {
  grid<float, 1, typename P::memory> cy, cx;
};

template <class S>
struct round_centre {
  view<point const, 1, S> at;
  float* cy;
  float* cx;
  CAMBIUM_HD void operator()(index_t k) const
  {
    cy[k] = static_cast<float>(at(k).y), cx[k] = static_cast<float>(at(k).x);
  }
};

template <class T, class R, class S>
struct vote_cell {
  image_view<R const, S> region;
  stack_view<T const, S> offset;
  centres_view<S> centres;
  float const* cy;
  float const* cx;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const r = static_cast<index_t>(region(y, x));
    index_t id = 0;
    if (0 < r && r <= centres.regions()) {
      index_t const first = centres.begin(r), count = centres.end(r) - first;
      if (count == 1) id = first + 1;
      if (count > 1)
        id = first + 1 +
             nearest_centre{cy + first, cx + first, count}(static_cast<float>(y) + static_cast<float>(offset(0, y, x)),
                                                           static_cast<float>(x) + static_cast<float>(offset(1, y, x)));
    }
    out(y, x) = static_cast<std::int32_t>(id);
  }
};

/// As group_pixels in centres.hpp, into [H,W] int32.
///
/// @pre          as there; on a device a region outside 1..N has no centre, and where an offset or a centre is NaN the first
///               of those that are left wins
/// @throws       precondition_error: shapes that differ
/// @determinism  exact, the cpu's bits
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, stack_like D, image_like R, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>> &&
          reaches<P, space_of<O, 2>>
void group_pixels_into(P const& where, D const& offset, R const& regions,
                       region_centres_in<typename P::memory> const& centres, O&& out, group_scratch<P>& scratch)
{
  using T = value_of<D, 3>;
  using cell_type = value_of<R, 2>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "group_pixels: offset");
  image_view<cell_type const, S> const region = as_view<2>(regions, "group_pixels: regions");
  image_view<std::int32_t, S> const to = as_view<2>(out, "group_pixels: out");
  expects_offset_over(field, region, "group_pixels: offset");
  expects(same_shape(region, to), "group_pixels: regions are ", region, " but out is ", to);
  expects(!overlap(region, to) && !overlap(field, to), "group_pixels: an input and out overlap");
  expects(centres.first.size() >= 1, "group_pixels: centres: first does not divide ", centres.at.size(),
          " items among -1 regions");
  index_t const count = centres.at.size(), cells[3] = {1, to.extent[0], to.extent[1]};
  float* const cy = reserve(where, scratch.cy, count);
  float* const cx = reserve(where, scratch.cx, count);
  for_each_index(where, count, round_centre<S>{centres.at.view(), cy, cx});
  centres_view<S> const all{centres.at.view(), centres.first.view()};
  for_each_cell(where, cells, vote_cell<T, cell_type, S>{region, field, all, cy, cx, to});
}

/// As group_pixels_into, and allocates the result and the scratch.
template <execution_policy P, stack_like D, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, R const& regions,
                                region_centres_in<typename P::memory> const& centres)
{
  auto const region = as_view<2>(regions, "group_pixels: regions");
  auto out = make_grid<std::int32_t>(where, region.extent);
  group_scratch<P> scratch;
  group_pixels_into(where, offset, region, centres, out, scratch);
  return out;
}

/// As above, the whole map being one region; the centres come from the host.
/// @throws precondition_error: also NaN or infinite centres
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, points const& centres)
{
  auto const field = as_view<3>(offset, "group_pixels: offset");
  for (point const& p : centres)
    expects(std::isfinite(p.y) && std::isfinite(p.x), "group_pixels: a centre is at (", p.y, ",", p.x, ")");
  auto whole = make_grid<std::uint8_t>(where, {field.extent[1], field.extent[2]});
  fill(where, whole.size(), whole.view().data, std::uint8_t{1});
  auto const there = copy_of(where, region_centres{centres, {0, static_cast<index_t>(centres.size())}});
  return group_pixels(where, field, whole, there);
}

// --- offsets ----------------------------------------------------------------------------------------------------------

template <class T, class S>
struct scale_offset {
  stack_view<T const, S> field;
  T down;
  T across;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = field(c, y, x) * (c == 0 ? down : across);
  }
};

/// As scale_offsets in centres.hpp.
/// @determinism the cpu's bits
/// @asynchrony  enqueues and returns
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto scale_offsets(P const& where, D const& offset, double down,
                                 double across) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "scale_offsets: offset");
  expects(field.extent[0] == 2, "scale_offsets: offset is ", field, " instead of [2,H,W]");
  expects(std::isfinite(down) && std::isfinite(across), "scale_offsets: factors are ", down, " and ", across);
  auto out = make_grid<T>(where, field.extent);
  for_each_cell(where, field.extent,
                scale_offset<T, S>{field, static_cast<T>(down), static_cast<T>(across), out.view()});
  return out;
}

template <class T, class S>
struct mean_offset {
  stack_view<T const, S> a;
  stack_view<T const, S> b;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T const mirrored = b(c, y, b.extent[2] - 1 - x);
    out(c, y, x) = middle(a(c, y, x), c == 0 ? mirrored : -mirrored);
  }
};

/// As mean_with_mirrored_offsets in centres.hpp.
/// @determinism the cpu's bits
/// @asynchrony  enqueues and returns
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto mean_with_mirrored_offsets(P const& where, D const& offset,
                                              D const& flipped) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const a = as_view<3>(offset, "mean_with_mirrored_offsets: offset");
  stack_view<T const, S> const b = as_view<3>(flipped, "mean_with_mirrored_offsets: flipped");
  expects(a.extent[0] == 2 && same_shape(a, b), "mean_with_mirrored_offsets: offsets are ", a, " and ", b);
  auto out = make_grid<T>(where, a.extent);
  for_each_cell(where, a.extent, mean_offset<T, S>{a, b, out.view()});
  return out;
}

}  // namespace cambium
