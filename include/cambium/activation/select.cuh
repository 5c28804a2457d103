#pragma once
// select on a GPU. The cpu's is in select.hpp.

#include <cambium/activation/select.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/grid/middle.hpp>

namespace cambium {

/// Rule: a cell of the channel of its region.
template <class T, class R, class S>
struct take_channel_of_region {
  stack_view<T const, S> maps;
  stack_view<T const, S> flipped;  ///< or null
  image_view<R const, S> region;
  view<std::int32_t const, 1, S> channels;
  image_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto const r = static_cast<index_t>(region(y, x));
    index_t const c = 0 < r && r <= channels.extent[0] ? channels(r - 1) : -1;
    T taken = 0;
    if (0 <= c && c < maps.extent[0]) {
      taken = maps(c, y, x);
      if (flipped.data != nullptr) taken = middle(taken, flipped(c, y, out.extent[1] - 1 - x));
    }
    out(y, x) = taken;
  }
};

/// Take from every cell the channel of the region it lies in, on a device.
///
/// @param channels  [N] in the policy's memory
/// @param flipped   [C,H,W] of the mirror image, or null
/// @param out       [H,W]; 0 also for a region outside 0..N and a channel outside 0..C-1
/// @asynchrony      gpu: enqueues and returns
///
/// Everything else as select in select.hpp; values are not looked at before.
template <execution_policy P, stack_like M, image_like R, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void select_into(P const& where, M const& maps, R const& regions,
                 view<std::int32_t const, 1, typename P::memory> channels,
                 stack_view<value_of<M, 3> const, typename P::memory> flipped, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<R, 2>>, "select: regions are integers");
  auto const in = as_view<3>(maps, "select: maps");
  auto const region = as_view<2>(regions, "select: regions");
  image_view<T, S> const to = as_view<2>(out, "select: out");
  expects(region.extent[0] == in.extent[1] && region.extent[1] == in.extent[2], "select: maps are ", in,
          " but regions are ", region);
  expects(flipped.data == nullptr || same_shape(stack_view<T const, S>(in), flipped), "select: maps are ", in,
          " but those of the mirror image ", flipped);
  expects(same_shape(region, to), "select: regions are ", region, " but out is ", to);
  expects(!overlap(in, to) && !overlap(region, to) && (flipped.data == nullptr || !overlap(flipped, to)),
          "select: a map and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]},
                take_channel_of_region<T, value_of<R, 2>, S>{in, flipped, region, channels, to});
}

/// As select_into, and allocates.
///
/// @param channels  on the host, checked: each 0..C-1
template <execution_policy P, stack_like M, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto select(P const& where, M const& maps, R const& regions, std::vector<std::int32_t> const& channels,
                          stack_view<value_of<M, 3> const, typename P::memory> flipped = {})
    -> grid<value_of<M, 3>, 2, typename P::memory>
{
  auto const in = as_view<3>(maps, "select: maps");
  for (auto const c : channels)
    expects(0 <= c && c < in.extent[0], "select: channel ", c, " is outside 0..", in.extent[0] - 1);
  auto const count = static_cast<index_t>(channels.size());
  auto listed = make_grid<std::int32_t>(where, {count});
  if (count > 0) copy(where, view<std::int32_t const, 1>(channels.data(), {count}), listed.view());
  auto out = make_grid<value_of<M, 3>>(where, {in.extent[1], in.extent[2]});
  select_into(where, maps, regions, listed.view(), flipped, out);
  return out;
}

}  // namespace cambium
