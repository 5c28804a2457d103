#pragma once

#include <cambium/component/connected_runs.hpp>
#include <cambium/component/connected_sets.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace cambium {

/// A label for every cell: 0 outside, 1..count in raster order of each component's first cell.
template <class Label = std::int32_t, class Space = host>
struct components {
  grid<Label, 2, Space> label;
  index_t count = 0;
};

/// Memory for labelling under a policy P. It grows to the largest map and is one call's at a time.
/// Index numbers the cells of a batch: std::int64_t for 2^31 - 1 or more.
template <class P, std::signed_integral Index = std::int32_t>
struct connected_scratch : connected_sets_scratch<P, Index> {};
template <std::signed_integral Index>
struct connected_scratch<cpu, Index> : connected_runs_scratch<Index> {};

/// A map [H,W] as a stack [1,H,W]; a stack is one already.
template <class T, class S>
stack_view<T, S> maps_of(image_view<T, S> const& map)
{
  return as_batch(map);
}
template <class T, class S>
stack_view<T, S> maps_of(stack_view<T, S> const& maps)
{
  return maps;
}

template <class A>
inline constexpr bool is_batch = false;
template <class T, class S>
inline constexpr bool is_batch<view<T, 3, S>> = true;
template <class T, class S>
inline constexpr bool is_batch<grid<T, 3, S>> = true;

/// A map [H,W], or a batch of maps [B,H,W] as a view or grid.
template <class A>
concept maps_like = is_batch<std::remove_cvref_t<A>> || image_like<A>;

template <class A>
  requires maps_like<A>
auto as_maps(A& a, char const* what)
{
  if constexpr (is_batch<std::remove_cvref_t<A>>)
    return maps_of(as_view<3>(a, what));
  else
    return maps_of(as_view<2>(a, what));
}

/// The cell type and the memory of maps.
template <class A>
using value_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::value_type;
template <class A>
using space_of_maps = typename decltype(as_maps(std::declval<A&>(), ""))::memory;

/// Do cells, and places of blocks, half empty at odd borders, have numbers of this type?
template <class Index>
bool numbers_cells(index_t maps, index_t height, index_t width)
{
  return static_cast<double>(maps) * static_cast<double>(height + 1) * static_cast<double>(width + 1) <
         static_cast<double>(std::numeric_limits<Index>::max());
}

/// Throws unless maps can be labelled on memory given.
template <class Index, class A, class O, class S>
void expects_room(stack_view<A, S> const& in, stack_view<O, S> const& out, view<index_t, 1, S> const& count,
                  char const* name)
{
  expects(same_shape(in, out), "connected: ", name, " is ", in, " but out is ", out);
  expects(!overlap(in, out), "connected: ", name, " and out overlap");
  expects(count.extent[0] == in.extent[0], "connected: ", in.extent[0], " maps but count is ", count);
  expects(!overlap(in, count) && !overlap(out, count), "connected: count overlaps ", name, " or out");
  expects(in.extent[2] < std::numeric_limits<std::int32_t>::max(), "connected: a row of ", in.extent[2],
          " cells is too long");
  expects(numbers_cells<Index>(in.extent[0], in.extent[1], in.extent[2]), "connected: ", in,
          " is too large for this scratch; use connected_scratch<P, index_t>");
}

/// Throws unless the neighbourhood is c4 or c8.
inline void expects_usual(neighbourhood const& near)
{
  expects(near == c4 || near == c8, "connected: the neighbourhood is neither c4 nor c8; connected_if takes any");
}

/// Label the connected components of masks.
///
/// @param where    where to run
/// @param mask     [H,W], or [B,H,W]: maps of a batch, labelled each for itself. Any arithmetic type or bool; a cell is
///                 inside where it is not 0
/// @param near     c4 (edge neighbours) or c8 (corners too)
/// @param out      [H,W] or [B,H,W]; 0 outside, 1..count in raster order of each component's first cell
/// @param count    [1] or [B] of index_t, in the policy's memory
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
///
/// @pre          W < 2^31
/// @throws       precondition_error before anything is written. On the cpu also when the components of a map do not fit
///               Label, before that map is written. On a device the components beyond them get Label's largest value:
///               look at count
/// @complexity   cpu: O(H * W + runs * alpha(runs)); a device: O(H * W * alpha(H * W)) on average
/// @determinism  exact, for every number of threads
/// @asynchrony   gpu: enqueues and returns
/// @source       numbering as skimage.measure.label, which the original of IRNet calls
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires reaches<P, space_of_maps<M>> && reaches<P, space_of_maps<O>>
void connected_into(P const& where, M const& mask, neighbourhood const& near, O&& out, N&& count,
                    connected_scratch<P, Index>& scratch)
{
  auto const in = as_maps(mask, "connected: mask");
  auto const to = as_maps(out, "connected: out");
  view<index_t, 1, typename P::memory> const number = as_view<1>(count, "connected: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "mask");
  connected_on(where, rule::inside_mask<value_of_maps<M>, typename P::memory>{in}, near, to, number, scratch);
}

/// Label the connected components of label maps: neighbours belong together when their labels are equal.
///
/// @param labels      [H,W] or [B,H,W] of an integer type
/// @param background  cells that hold it belong to no component
///
/// Everything else as connected_into.
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires reaches<P, space_of_maps<M>> && reaches<P, space_of_maps<O>>
void connected_equal_into(P const& where, M const& labels, neighbourhood const& near,
                          std::type_identity_t<value_of_maps<M>> background, O&& out, N&& count,
                          connected_scratch<P, Index>& scratch)
{
  static_assert(std::is_integral_v<value_of_maps<M>>, "connected_equal: labels are integers");
  auto const in = as_maps(labels, "connected_equal: labels");
  auto const to = as_maps(out, "connected_equal: out");
  view<index_t, 1, typename P::memory> const number = as_view<1>(count, "connected_equal: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "labels");
  connected_on(where, rule::equal_labels<value_of_maps<M>, typename P::memory>{in, background}, near, to, number,
               scratch);
}

/// Label the components of any relation between neighbours: the map is as large as `out`.
///
/// @param near    c4, c8, or any offsets before (0,0) in raster order
/// @param inside  inside(y, x): does the cell belong to a component at all? Callable where P runs, for a gpu a struct
///                with a CAMBIUM_HD operator()
/// @param join    join(y, x, ny, nx): do these two neighbours, both inside, belong together? Symmetric; callable as
///                inside. A device asks it from either end and more than once
/// @param out     [H,W], not what the predicates read
/// @param count   [1] of index_t
///
/// @throws       precondition_error when a neighbour does not come before its cell, and as connected_into
/// @complexity   O(H * W) calls of the predicates; cpu: on one thread
///
/// Everything else as connected_into.
template <execution_policy P, class Inside, class Join, image_like O, gridded<1> N, class Index>
  requires reaches<P, space_of<O, 2>>
void connected_if_into(P const& where, neighbourhood const& near, Inside const& inside, Join const& join, O&& out,
                       N&& count, connected_scratch<P, Index>& scratch)
{
  auto const to = maps_of(as_view<2>(out, "connected_if: out"));
  view<index_t, 1, typename P::memory> const number = as_view<1>(count, "connected_if: count");
  expects_before(near, "connected_if");
  expects(number.extent[0] == 1, "connected_if: count is ", number, " instead of one cell");
  expects(!overlap(to, number), "connected_if: count overlaps out");
  expects(numbers_cells<Index>(1, to.extent[1], to.extent[2]), "connected_if: out is ", to,
          ", too large for this scratch; use connected_scratch<P, index_t>");
  using relation = rule::relation_of<std::decay_t<Inside>, std::decay_t<Join>>;
  connected_on(where, relation{inside, join}, near, to, number, scratch);
}

/// Labels one map on memory that it makes: label(labels, count, scratch). `who` begins messages.
template <class Label, class P, class Body>
components<Label, typename P::memory> components_of(P const& where, extent2 size, char const* who, Body const& label)
{
  auto const [H, W] = size;
  components<Label, typename P::memory> out{make_grid<Label>(where, {H, W}), 0};
  auto count = make_grid<index_t>(where, {1});
  auto const by = [&]<class Index>(connected_scratch<P, Index> scratch) { label(out.label, count, scratch); };
  if (numbers_cells<std::int32_t>(1, H, W)) {
    by(connected_scratch<P>{});
  } else {
    expects(std::is_same_v<P, cpu>, who, ": a map of ", H, " x ", W,
            " cells is too large; connected_into takes a connected_scratch<P, index_t>");
    if constexpr (std::is_same_v<P, cpu>) by(connected_scratch<P, index_t>{});
  }
  out.count = read_cell(where, count.view().data);
  expects_labels_fit<Label>(out.count, who);
  return out;
}

/// As connected_into, for one map, and allocates.
/// @return labels [H,W], and their count
/// @throws     precondition_error also when the components do not fit Label
/// @asynchrony gpu: waits for where.stream, for the count
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected(P const& where, M const& mask,
                                                              neighbourhood const& near = c4)
{
  auto const in = as_view<2>(mask, "connected: mask");
  return components_of<Label>(where, {in.extent[0], in.extent[1]}, "connected",
                              [&](auto& out, auto& count, auto& scratch) {
                                connected_into(where, in, near, out, count, scratch);
                              });
}

/// As connected_equal_into, for one map, and allocates. Otherwise as connected.
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected_equal(P const& where, M const& labels,
                                                                    neighbourhood const& near = c4,
                                                                    value_of<M, 2> background = 0)
{
  auto const in = as_view<2>(labels, "connected_equal: labels");
  return components_of<Label>(where, {in.extent[0], in.extent[1]}, "connected_equal",
                              [&](auto& out, auto& count, auto& scratch) {
                                connected_equal_into(where, in, near, background, out, count, scratch);
                              });
}

/// As connected_if_into, and allocates. Otherwise as connected.
/// @param size  [cells] height and width
template <class Label = std::int32_t, execution_policy P, class Inside, class Join>
[[nodiscard]] components<Label, typename P::memory> connected_if(P const& where, extent2 size,
                                                                 neighbourhood const& near, Inside const& inside,
                                                                 Join const& join)
{
  expects(size.height >= 0 && size.width >= 0, "connected_if: size is ", size.height, " x ", size.width);
  return components_of<Label>(where, size, "connected_if", [&](auto& out, auto& count, auto& scratch) {
    connected_if_into(where, near, inside, join, out, count, scratch);
  });
}

}  // namespace cambium
