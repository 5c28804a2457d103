#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/exec/middle.hpp>
#include <cambium/grid/range.hpp>

#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

namespace cambium {

/// Take from every cell the channel of the region it lies in.
///
///   out(y,x) = maps(channels[regions(y,x) - 1], y, x) in a region, 0 outside
///
/// Regions share no cell, so that one plane holds what the maps of all classes say about their own regions.
///
/// @param where     cpu
/// @param maps      [C,H,W] finite in the channels asked for
/// @param regions   [H,W] 0..N
/// @param channels  N entries, each 0..C-1
/// @param flipped   [C,H,W] of the mirror image, or null; with it, the mean of both
/// @return [H,W]
///
/// @throws       precondition_error: shapes that differ, a region or channel outside its range, NaN or infinite values
/// @complexity   Theta(H * W), and a look at each channel asked for
/// @determinism  exact
template <stack_like M, image_like R>
[[nodiscard]] auto select(cpu const& where, M const& maps, R const& regions, std::vector<std::int32_t> const& channels,
                          stack_view<value_of<M, 3> const> flipped = {}) -> grid<value_of<M, 3>, 2>
{
  using T = value_of<M, 3>;
  static_assert(std::is_integral_v<value_of<R, 2>>, "select: regions are integers");
  auto const in = as_view<3>(maps, "select: maps");
  auto const region = as_view<2>(regions, "select: regions");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2], N = static_cast<index_t>(channels.size());
  expects(region.extent[0] == H && region.extent[1] == W, "select: maps are ", in, " but regions are ", region);
  expects(flipped.data == nullptr || same_shape(in, flipped), "select: maps are ", in,
          " but those of the mirror image ", flipped);
  std::vector<char> seen(static_cast<std::size_t>(C), 0);
  for (auto const c : channels) {
    expects(0 <= c && c < C, "select: channel ", c, " is outside 0..", C - 1);
    if (seen[static_cast<std::size_t>(c)] != 0) continue;
    seen[static_cast<std::size_t>(c)] = 1;
    expects_finite(where, in[c], "select: a channel of maps");
    if (flipped.data != nullptr) expects_finite(where, flipped[c], "select: a mirrored channel of maps");
  }
  expects_labels(region, N, "select: region");
  auto out = make_grid<T>({H, W});
  for_each_share(where, H, 262144 / (W + 1) + 1, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const at = static_cast<std::size_t>(region(y, x));
        if (at == 0)
          out(y, x) = 0;
        else if (flipped.data == nullptr)
          out(y, x) = in(channels[at - 1], y, x);
        else
          out(y, x) = std::midpoint(in(channels[at - 1], y, x), flipped(channels[at - 1], y, W - 1 - x));
      }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
