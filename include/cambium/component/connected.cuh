#pragma once
// connected, connected_equal and connected_if on a GPU: union-find over cells, joined by atomic minima, numbered by a
// running sum. The cpu's schedule is in connected.hpp; labels and counts are the same.

#include <cambium/component/connected.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/scan.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/reserve.hpp>
#include <cambium/grid/union_find.hpp>

namespace cambium {

/// Memory for labelling under a policy P. It grows to the largest map and is one call's at a time.
/// Index numbers the cells of a batch: std::int64_t for 2^31 - 1 or more.
template <class P, std::signed_integral Index = std::int32_t>
struct connected_scratch {
  grid<Index, 1, typename P::memory> parent;  ///< the first cell of each cell's component, -1 outside
  grid<Index, 1, typename P::memory> order;   ///< how many components begin before a cell
  workspace<P> running;
};

/// A mask as a relation: neighbours inside belong together.
template <class T, class S>
struct inside_mask {
  stack_view<T const, S> mask;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return mask(b, y, x) != T(0); }
  CAMBIUM_HD bool join(index_t, index_t, index_t, index_t, index_t) const { return true; }
};

/// A label map as a relation: neighbours with equal labels belong together.
template <class T, class S>
struct equal_labels {
  stack_view<T const, S> labels;
  T background;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return labels(b, y, x) != background; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return labels(b, y, x) == labels(b, ny, nx);
  }
};

/// Two predicates of one map as a relation.
template <class Inside, class Join>
struct relation_of {
  Inside is_inside;
  Join joins;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return is_inside(y, x); }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const { return joins(y, x, ny, nx); }
};

/// Rule: does a component begin here?
template <class Index>
struct mark_first_cell {
  Index const* parent;
  Index* order;

  CAMBIUM_HD void operator()(index_t i) const { order[i] = parent[i] == i ? Index(1) : Index(0); }
};

/// Rule: how many components map b has.
template <class Index, class S>
struct count_components {
  Index const* parent;
  Index const* order;
  index_t cells;  ///< of a map
  view<index_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t b) const
  {
    index_t const last = (b + 1) * cells - 1;
    count(b) = cells == 0 ? 0 : static_cast<index_t>(order[last] + (parent[last] == last) - order[b * cells]);
  }
};

/// Rule: the number of the component a cell belongs to, counted within its map.
template <class Label, class Index, class S>
struct number_cell {
  Index const* parent;
  Index const* order;
  Label most;
  stack_view<Label, S> out;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const begin = b * out.extent[1] * out.extent[2], here = begin + y * out.extent[2] + x;
    Index const first = parent[here];
    index_t const number = first < 0 ? 0 : static_cast<index_t>(order[first] - order[begin]) + 1;
    out(b, y, x) =
        static_cast<std::uint64_t>(number) > static_cast<std::uint64_t>(most) ? most : static_cast<Label>(number);
  }
};

/// A map [H,W] as a stack [1,H,W]; a stack is one already.
template <class T, class S>
stack_view<T, S> maps_of(image_view<T, S> const& map)
{
  stack_view<T, S> out(map.data, {1, map.extent[0], map.extent[1]});
  out.stride[1] = map.stride[0], out.stride[2] = map.stride[1];
  return out;
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

/// Finds components of a relation and in which order they begin.
template <class P, class Relation, class Index>
void find_components(P const& where, index_t const (&extent)[3], neighbourhood const& near, Relation const& relation,
                     view<index_t, 1, typename P::memory> count, connected_scratch<P, Index>& scratch)
{
  index_t const cells = extent[0] * extent[1] * extent[2];
  Index* const parent = reserve(where, scratch.parent, cells);
  Index* const order = reserve(where, scratch.order, cells);
  if (cells > 0) {
    find_sets(where, extent, near, relation, parent);
    for_each_index(where, cells, mark_first_cell<Index>{parent, order});
    exclusive_scan(where, cells, static_cast<Index const*>(order), order, scratch.running);
  }
  for_each_index(where, extent[0],
                 count_components<Index, typename P::memory>{parent, order, extent[1] * extent[2], count});
}

/// Numbers what find_components found.
template <class P, class Label, class Index>
void number_components(P const& where, stack_view<Label, typename P::memory> out, connected_scratch<P, Index>& scratch)
{
  for_each_cell(where, out.extent,
                number_cell<Label, Index, typename P::memory>{scratch.parent.view().data, scratch.order.view().data,
                                                              std::numeric_limits<Label>::max(), out});
}

/// The checks of all doors that write on memory given.
template <class Index, class A, class O, class S>
void expects_room(stack_view<A, S> const& in, stack_view<O, S> const& out, view<index_t, 1, S> const& count,
                  char const* name)
{
  expects(same_shape(in, out), "connected: ", name, " is ", in, " but out is ", out);
  expects(!overlap(in, out), "connected: ", name, " and out overlap");
  expects(count.extent[0] == in.extent[0], "connected: ", in.extent[0], " maps but count is ", count);
  expects(!overlap(in, count) && !overlap(out, count), "connected: count overlaps ", name, " or out");
  expects(in.size() < static_cast<index_t>(std::numeric_limits<Index>::max()), "connected: ", in,
          " is too large for this scratch; use connected_scratch<P, index_t>");
}

/// Throws unless the neighbourhood is c4 or c8.
inline void expects_usual(neighbourhood const& near)
{
  expects(near == c4 || near == c8, "connected: the neighbourhood is neither c4 nor c8; connected_if takes any");
}

/// Label the connected components of masks on a device.
///
/// @param where    gpu
/// @param mask     [H,W], or [B,H,W]: maps of a batch, labelled each for itself
/// @param near     c4 or c8
/// @param out      [H,W] or [B,H,W]; 0 outside, 1..count in raster order of each component's first cell. Where there are
///                 more components than Label can tell apart, the others get its largest value: look at count
/// @param count    [1] or [B] of index_t, in the policy's memory
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
///
/// @throws       precondition_error before anything is written, gpu_error
/// @complexity   O(H * W * alpha(H * W)) on average; 8 bytes a cell
/// @determinism  exact: what the cpu says
/// @asynchrony   enqueues and returns
/// @source       as find_sets
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_into(P const& where, M const& mask, neighbourhood const& near, O&& out, N&& count,
                    connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  auto const in = as_maps(mask, "connected: mask");
  auto const to = as_maps(out, "connected: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "mask");
  find_components(where, in.extent, near, inside_mask<value_of_maps<M>, S>{in}, number, scratch);
  number_components(where, to, scratch);
}

/// Label the components of label maps on a device: neighbours belong together when their labels are equal.
///
/// @param background  cells that hold it belong to no component
///
/// Everything else as connected_into.
template <execution_policy P, maps_like M, maps_like O, gridded<1> N, class Index>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of_maps<M>>
void connected_equal_into(P const& where, M const& labels, neighbourhood const& near,
                          std::type_identity_t<value_of_maps<M>> background, O&& out, N&& count,
                          connected_scratch<P, Index>& scratch)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of_maps<M>>, "connected_equal: labels are integers");
  auto const in = as_maps(labels, "connected_equal: labels");
  auto const to = as_maps(out, "connected_equal: out");
  view<index_t, 1, S> const number = as_view<1>(count, "connected_equal: count");
  expects_usual(near);
  expects_room<Index>(in, to, number, "labels");
  find_components(where, in.extent, near, equal_labels<value_of_maps<M>, S>{in, background}, number, scratch);
  number_components(where, to, scratch);
}

/// Labels one map, and waits for the count before the labels are written.
template <class Label, class P, class Relation>
components<Label, typename P::memory> components_of(P const& where, extent2 size, neighbourhood const& near,
                                                    Relation const& relation, char const* who)
{
  expects(size.height == 0 || size.width < std::numeric_limits<std::int32_t>::max() / size.height, who, ": a map of ",
          size.height, " x ", size.width, " cells is too large; connected_into takes an index_t scratch");
  components<Label, typename P::memory> out{make_grid<Label>(where, {size.height, size.width}), 0};
  connected_scratch<P> scratch;
  auto count = make_grid<index_t>(where, {1});
  find_components(where, {1, size.height, size.width}, near, relation, count.view(), scratch);
  out.count = read_cell(where, count.view().data);
  expects_labels_fit<Label>(out.count, who);
  number_components(where, maps_of(out.label.view()), scratch);
  return out;
}

/// As connected_into, for one map, and allocates.
/// @return labels [H,W], and their count
/// @throws     precondition_error also when the components do not fit Label
/// @asynchrony gpu: waits for where.stream, for the count; then enqueues the labels
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected(P const& where, M const& mask,
                                                              neighbourhood const& near = c4)
{
  auto const in = as_view<2>(mask, "connected: mask");
  expects_usual(near);
  return components_of<Label>(where, {in.extent[0], in.extent[1]}, near,
                              inside_mask<value_of<M, 2>, typename P::memory>{maps_of(in)}, "connected");
}

/// As connected_equal_into, for one map, and allocates. Otherwise as connected.
template <class Label = std::int32_t, execution_policy P, image_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 2>>
[[nodiscard]] components<Label, typename P::memory> connected_equal(P const& where, M const& labels,
                                                                    neighbourhood const& near = c4,
                                                                    value_of<M, 2> background = 0)
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "connected_equal: labels are integers");
  auto const in = as_view<2>(labels, "connected_equal: labels");
  expects_usual(near);
  return components_of<Label>(where, {in.extent[0], in.extent[1]}, near,
                              equal_labels<value_of<M, 2>, typename P::memory>{maps_of(in), background},
                              "connected_equal");
}

/// Label the components of any relation between neighbours on a device.
///
/// @param inside  inside(y, x): callable where P runs, for a gpu a struct with a CAMBIUM_HD operator()
/// @param join    join(y, x, ny, nx): symmetric; callable as inside. It is asked from either end and more than once
/// @throws     precondition_error when a neighbour does not come before its cell, and as connected
/// @asynchrony as connected
///
/// Everything else as connected_if in connected.hpp.
template <class Label = std::int32_t, execution_policy P, class Inside, class Join>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] components<Label, typename P::memory> connected_if(P const& where, extent2 size,
                                                                 neighbourhood const& near, Inside const& inside,
                                                                 Join const& join)
{
  expects(size.height >= 0 && size.width >= 0, "connected_if: size is ", size.height, " x ", size.width);
  expects_before(near, "connected_if");
  return components_of<Label>(where, size, near, relation_of<Inside, Join>{inside, join}, "connected_if");
}

}  // namespace cambium
