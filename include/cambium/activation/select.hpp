#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
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

}  // namespace cambium
