#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/middle.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

namespace rule {

/// Is i one of 0..count-1?
CAMBIUM_HD constexpr bool is_index(index_t i, index_t count)
{
  return static_cast<std::uint64_t>(i) < static_cast<std::uint64_t>(count);
}

/// A cell of the channel of its region.
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
    index_t const c = is_index(r - 1, channels.extent[0]) ? channels(r - 1) : -1;
    T taken = 0;
    if (is_index(c, maps.extent[0])) {
      taken = maps(c, y, x);
      if (flipped.data != nullptr) taken = middle(taken, flipped(c, y, out.extent[1] - 1 - x));
    }
    out(y, x) = taken;
  }
};

}  // namespace rule

/// Take from every cell the channel of its region.
///
///   out(y,x) = maps(channels[regions(y,x) - 1], y, x) in a region, 0 outside
///
/// Regions share no cell, so one plane holds the values of all classes in their own regions.
///
/// @param where     where to run; must reach the memory of the maps
/// @param maps      [C,H,W]
/// @param regions   [H,W] 0..N
/// @param channels  [N] in the policy's memory, each 0..C-1
/// @param flipped   [C,H,W] of the mirror image, or null; with it, the mean of both
/// @param out       [H,W]
///
/// @pre          host memory: maps finite in the channels of the list. Elsewhere out is 0 where a region or its channel
///               is outside its range
/// @throws       precondition_error before anything is written: shapes that differ, a region or channel outside its
///               range, NaN or infinite values
/// @complexity   Theta(H * W), and a look at each channel asked for
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like M, image_like R, image_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<R, 2>> && reaches<P, space_of<O, 2>>
void select_into(P const& where, M const& maps, R const& regions,
                 view<std::int32_t const, 1, typename P::memory> channels,
                 stack_view<value_of<M, 3> const, typename P::memory> flipped, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<R, 2>>, "select: regions are integers");
  stack_view<T const, S> const in = as_view<3>(maps, "select: maps");
  auto const region = as_view<2>(regions, "select: regions");
  image_view<T, S> const to = as_view<2>(out, "select: out");
  expects(region.extent[0] == in.extent[1] && region.extent[1] == in.extent[2], "select: maps are ", in,
          " but regions are ", region);
  expects(flipped.data == nullptr || same_shape(in, flipped), "select: maps are ", in,
          " but those of the mirror image ", flipped);
  expects(same_shape(region, to), "select: regions are ", region, " but out is ", to);
  expects(!overlap(in, to) && !overlap(region, to) && (flipped.data == nullptr || !overlap(flipped, to)),
          "select: a map and out overlap");
  if constexpr (std::is_same_v<P, cpu>) {
    std::vector<char> seen(static_cast<std::size_t>(in.extent[0]), 0);
    for (index_t i = 0; i < channels.extent[0]; ++i) {
      auto const c = channels(i);
      expects(0 <= c && c < in.extent[0], "select: channel ", c, " is outside 0..", in.extent[0] - 1);
      if (seen[static_cast<std::size_t>(c)] != 0) continue;
      seen[static_cast<std::size_t>(c)] = 1;
      expects_finite(where, in[c], "select: a channel of maps");
      if (flipped.data != nullptr) expects_finite(where, flipped[c], "select: a mirrored channel of maps");
    }
    expects_labels(region, channels.extent[0], "select: region");
  }
  for_each_cell(where, {1, to.extent[0], to.extent[1]},
                rule::take_channel_of_region<T, value_of<R, 2>, S>{in, flipped, region, channels, to});
}

/// As select_into, and allocates.
/// @param channels  [N] on the host, each 0..C-1
/// @return [H,W] in the memory of the policy
template <execution_policy P, stack_like M, image_like R>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto select(P const& where, M const& maps, R const& regions, std::vector<std::int32_t> const& channels,
                          stack_view<value_of<M, 3> const, typename P::memory> flipped = {})
{
  auto const in = as_view<3>(maps, "select: maps");
  for (auto const c : channels)
    expects(0 <= c && c < in.extent[0], "select: channel ", c, " is outside 0..", in.extent[0] - 1);
  auto const listed = to_memory(where, channels);
  auto out = make_grid<value_of<M, 3>>(where, {in.extent[1], in.extent[2]});
  select_into(where, maps, regions, listed.view(), flipped, out);
  return out;
}

}  // namespace cambium
