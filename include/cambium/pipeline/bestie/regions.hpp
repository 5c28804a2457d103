#pragma once

#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// The components of a semantic map: neighbours of one class, corners included.
template <class Space = host>
struct class_regions {
  grid<std::int32_t, 2, Space> label;    ///< [H,W] 0..N
  std::vector<std::int32_t> categories;  ///< N entries, on the host: the class of region i+1, 0-based
};

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

/// The area of a component, its first place in the order of label_order::blocks, and its class + 1.
struct region_tally {
  index_t area;
  index_t place;
  std::int32_t value;
};

namespace rule {

/// Keep a cell of a class present; others become 0.
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

/// Add a strip of cells to its component.
template <writers Of, class S>
struct tally_regions {
  image_view<std::int32_t const, S> semantic;
  region_tally* of;

  CAMBIUM_HD void operator()(index_t at, box const& cells) const
  {
    if (at <= 0) return;
    region_tally& r = of[at];
    add_into<Of>(&r.area, area_of(cells));
    min_into<Of>(&r.place, order_key(label_order::blocks, semantic.extent[1], cells.top, cells.left));
    max_into<Of>(&r.value, semantic(cells.top, cells.left));
  }
};

/// Key component i + 1 by its class, then by its place. Those that are dropped come last.
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

/// Number the sorted components: the i-th is region i + 1. Note its class.
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

}  // namespace rule

/// A semantic map without the classes that are not present: everything else, 255 included, becomes 0.
///
/// @param semantic  [H,W] of integers, class + 1
/// @param C         number of classes
/// @param classes   those present, 0..C-1
/// @throws precondition_error: a class outside 0..C-1
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
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
                rule::keep_present<V, S>{in, table.view().data, table.size(), out.view()});
  return out;
}

/// Find the regions of a semantic map.
///
/// @param semantic  [H,W] int32 0..C, from present_classes
/// @param smallest  [cells] regions of less are dropped
/// @throws precondition_error: on the cpu a value below 0; elsewhere components of such a value are no regions
/// @return regions by class, of a class in the order of label_order::blocks, in which the original lists instances
/// @asynchrony gpu: waits for where.stream twice, for the number of components and for the classes of regions
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] auto find_regions(P const& where, M const& semantic, index_t smallest)
    -> class_regions<typename P::memory>
{
  using S = typename P::memory;
  image_view<std::int32_t const, S> const in = as_view<2>(semantic, "find_regions: semantic");
  index_t const H = in.extent[0], W = in.extent[1];
  auto found = connected_equal(where, in, c8);
  index_t const N = found.count;
  if (N == 0) return {std::move(found.label), {}};
  int const place_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(H * W)));
  expects(place_bits <= 32, "find_regions: semantic is ", in, "; a class and a place do not fit one key");
  auto tally = make_grid<region_tally>(where, {N + 1});
  auto key = make_grid<std::uint64_t>(where, {N}), sorted_key = make_grid<std::uint64_t>(where, {N});
  auto component = make_grid<std::int32_t>(where, {N}), sorted = make_grid<std::int32_t>(where, {N});
  auto table = make_grid<std::int32_t>(where, {N + 1}), category = make_grid<std::int32_t>(where, {N});
  region_tally* const of = tally.view().data;
  fill(where, N + 1, of,
       region_tally{0, std::numeric_limits<index_t>::max(), std::numeric_limits<std::int32_t>::min()});
  for_each_strip(where, std::as_const(found).label.view(), rule::tally_regions<writers_of<P>, S>{in, of});
  if constexpr (std::is_same_v<P, cpu>)
    if (std::any_of(of + 1, of + N + 1, [](region_tally const& r) { return r.value < 0; }))  // says where
      expects_labels(in, std::numeric_limits<std::int32_t>::max(), "find_regions: semantic");
  for_each_index(where, N, rule::list_region{of, smallest, place_bits, key.view().data, component.view().data});
  workspace<P> space;
  sort_by_key(where, N, static_cast<std::uint64_t const*>(key.view().data),
              static_cast<std::int32_t const*>(component.view().data), sorted_key.view().data, sorted.view().data,
              32 + place_bits, space);
  for_each_index(where, N,
                 rule::number_region{sorted_key.view().data, sorted.view().data, place_bits, table.view().data,
                                     category.view().data});
  using look_up_label = rule::look_up_label<std::int32_t, std::int32_t, std::int32_t, S>;
  for_each_cell(where, {1, H, W},
                look_up_label{std::as_const(found).label.view(), table.view().data, N + 1, found.label.view()});
  class_regions<S> out{std::move(found.label), to_vector(where, category)};
  out.categories.erase(std::find(out.categories.begin(), out.categories.end(), -1), out.categories.end());
  return out;
}

}  // namespace cambium
