#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/nonzero.hpp>
#include <cambium/grid/points.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace cambium {

/// The centres of each region of a map, region by region.
template <class Space = host>
struct region_centres {
  grid<point, 1, Space> at;
  grid<index_t, 1, Space> first;  ///< N + 1 entries: region r has at(first(r-1)) .. at(first(r)-1)

  index_t regions() const { return first.size() - 1; }
};

/// Sort (region, point) pairs by region. Points of one region keep their order.
/// @throws precondition_error: a region outside 1..count
inline region_centres<> by_region(std::vector<std::pair<index_t, point>> const& found, index_t count)
{
  expects(count >= 0, "by_region: ", count, " regions");
  for (auto const& [region, at] : found)
    expects(0 < region && region <= count, "by_region: region ", region, " is outside 1..", count);
  region_centres<> out{make_grid<point>({static_cast<index_t>(found.size())}), grid<index_t, 1>(count + 1)};
  for (auto const& [region, at] : found) ++out.first(region);
  for (index_t r = 1; r <= count; ++r) out.first(r) += out.first(r - 1);
  auto next = out.first;
  for (auto const& [region, at] : found) out.at(next(region - 1)++) = at;
  return out;
}

/// The points of a list as the centres of region 1, the only one.
/// @asynchrony gpu: enqueues
template <class P>
[[nodiscard]] region_centres<typename P::memory> all_of_one_region(P const& where, points const& list)
{
  return {to_memory(where, list), to_memory(where, std::vector<index_t>{0, static_cast<index_t>(list.size())})};
}

/// Throws unless every centre belongs to a region. `who` begins the message.
inline void expects_centres(region_centres<> const& centres, char const* who)
{
  expects_divided(centres.first.cells(), centres.at.size(), who);
}

/// Throws unless centres to group by are finite.
inline void expects_finite_centres(std::span<point const> centres)
{
  for (point const& p : centres)
    expects(std::isfinite(p.y) && std::isfinite(p.x), "group_pixels: a centre is at (", p.y, ",", p.x, ")");
}

/// The same centres in the memory of a policy.
/// @throws     precondition_error: centres that are not divided among regions
/// @asynchrony gpu: enqueues
template <class P>
[[nodiscard]] region_centres<typename P::memory> to_memory(P const& where, region_centres<> const& from)
{
  expects_centres(from, "to_memory");
  return {to_memory(where, from.at.cells()), to_memory(where, from.first.cells())};
}

/// The same centres on the host.
/// @asynchrony gpu: waits for where.stream
template <class P>
[[nodiscard]] region_centres<> to_host(P const& where, region_centres<typename P::memory> const& from)
{
  region_centres<> out{make_grid<point>({from.at.size()}), make_grid<index_t>({from.first.size()})};
  copy(where, from.at.view(), out.at.view());
  copy(where, from.first.view(), out.first.view());
  wait_for(where, "to_host");
  return out;
}

/// Centres as rules read them. Indices outside the list are clamped, so that a list that is not divided does no harm.
template <class S>
struct centres_view {
  view<point const, 1, S> at;
  view<index_t const, 1, S> first;

  CAMBIUM_HD index_t regions() const { return first.extent[0] - 1; }
  CAMBIUM_HD index_t begin(index_t region) const { return inside(first(region - 1)); }
  CAMBIUM_HD index_t end(index_t region) const { return inside(first(region)); }
  /// The region of centre i: the first whose share ends after it. 0 where there is none.
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

namespace rule {

/// Count the chosen candidates of each region. A Source has region(i) and operator()(i) -> point of candidate i.
template <class Source, class N>
struct count_centre {
  Source source;
  N const* candidate;
  std::uint32_t* region;
  index_t* centres;  ///< of each region, zeros

  CAMBIUM_HD void operator()(index_t k) const
  {
    index_t const r = source.region(candidate[k]);
    region[k] = static_cast<std::uint32_t>(r);
    atomic_add(&centres[r - 1], index_t{1});
  }
};

template <class Source, class N>
struct write_centre {
  Source source;
  N const* candidate;
  point* at;
  CAMBIUM_HD void operator()(index_t k) const { at[k] = source(candidate[k]); }
};

}  // namespace rule

/// Sort chosen candidates by region. Candidates of one region keep their order.
///
/// @param chosen  [candidates] 1 or 0, in the policy's memory; those chosen have a region of 1..regions
/// @param source  has region(i), and operator()(i) -> point, of candidate i
/// @asynchrony    gpu: waits for where.stream
template <class P, class Source>
region_centres<typename P::memory> centres_by_region(P const& where, index_t candidates, std::uint8_t const* chosen,
                                                     index_t regions, Source const& source)
{
  using N = cell_number<P>;
  nonzero_cells<P> listed;
  list_nonzero(where, candidates, chosen, listed);
  index_t const count = read_cell(where, listed.number.view().data);
  N const* const list = listed.list.view().data;
  region_centres<typename P::memory> out{make_grid<point>(where, {count}), make_grid<index_t>(where, {regions + 1})};
  index_t* const first = out.first.view().data;
  auto region = make_grid<std::uint32_t>(where, {count}), sorted_region = make_grid<std::uint32_t>(where, {count});
  auto sorted = make_grid<N>(where, {count});
  fill(where, regions + 1, first, index_t{0});
  for_each_index(where, count, rule::count_centre<Source, N>{source, list, region.view().data, first});
  exclusive_scan(where, regions + 1, static_cast<index_t const*>(first), first, listed.running);
  int const bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(regions)));
  sort_by_key(where, count, static_cast<std::uint32_t const*>(region.view().data), list, sorted_region.view().data,
              sorted.view().data, bits < 32 ? bits : 32, listed.running);
  for_each_index(where, count, rule::write_centre<Source, N>{source, sorted.view().data, out.at.view().data});
  return out;
}

}  // namespace cambium
