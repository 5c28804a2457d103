#pragma once
// What a filter gives each position of its own value: the diagonal of its kernel.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/filter.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>

namespace cambium {

/// What a position's simplex gives back of the value that the position spreads onto it, gain apart.
///
/// A value travels along some of the axes, in their order, and halves with every step. It comes back to the simplex
/// only if all steps go the same way: corners differ by sums of axes, and the sum of all axes is 0.
///
/// @param beside  beside(axis, point, way) is the next point that way, 0 or 1, along an axis, or `nowhere`
template <class Beside>
CAMBIUM_HD double own_share(int corners, std::int32_t const* corner, float const* weight, std::int32_t nowhere,
                            Beside const& beside)
{
  double sum = 0;
  for (int c = 0; c < corners; ++c) {
    double const spread = static_cast<double>(weight[c]);
    sum += spread * spread;
    for (int way = 0; way < 2; ++way)
      for (int path = 1; path < 1 << corners; ++path) {  // a bit for each axis; the first axis is the highest
        std::int32_t at = corner[c];
        double part = spread;
        for (int axis = 0; axis < corners && at != nowhere; ++axis) {
          int const bit = corners - 1 - axis;
          if ((path >> bit & 1) == 0) continue;
          at = beside(axis, at, way);
          part /= 2;
          if (at == nowhere) path |= (1 << bit) - 1;  // skip all paths that begin like this one
        }
        for (int e = 0; e < corners && at != nowhere; ++e)
          if (corner[e] == at) sum += part * static_cast<double>(weight[e]);
      }
  }
  return sum;
}

namespace rule {

/// The next slots along the axes, as own_share reads them; 0: there is no next slot.
struct next_slot {
  std::int32_t const* next;  ///< [D + 1,2,slots]
  index_t slots;
  CAMBIUM_HD std::int32_t operator()(int axis, std::int32_t point, int way) const
  {
    return next[(2 * axis + way) * slots + point];
  }
};

/// own_share of a position.
struct share_of_position {
  lattice_map map;
  float gain;
  float* out;

  CAMBIUM_HD void operator()(index_t i) const
  {
    auto const beside = [this](int axis, std::int32_t point, int way) {
      return map.neighbour[(axis * map.points + point) * 2 + way];
    };
    index_t const first = i * map.corners;
    out[i] = static_cast<float>(static_cast<double>(gain) * own_share(map.corners, map.corner + first,
                                                                      map.weight + first, std::int32_t{-1}, beside));
  }
};

}  // namespace rule

/// What filter() gives each position of its own value.
///
/// @return [N] in the memory of the policy
/// @complexity   O(N * 2^D * D^2), less where points have no neighbours; on the cpu 8 (D + 1) bytes a point
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P>
[[nodiscard]] grid<float, 1, typename P::memory> own_shares(P const& where, permutohedral<P> const& lattice)
{
  auto out = make_grid<float>(where, {lattice.positions()});
  for_each_index(where, lattice.positions(), rule::share_of_position{lattice.map(), lattice.gain(), out.view().data});
  return out;
}
[[nodiscard]] inline grid<float, 1> own_shares(cpu const& where, permutohedral<cpu> const& lattice)
{
  int const corners = lattice.corners();
  auto const slots = static_cast<std::size_t>(lattice.slots() + 1);
  cells_t<std::int32_t> home(slots), next(2 * slots * static_cast<std::size_t>(corners), 0);  // 0 is no point
  std::iota(home.begin(), home.end(), 0);
  for (auto const& s : lattice.shared()) home[static_cast<std::size_t>(s.slot)] = s.home;
  for (int axis = 0; axis < corners; ++axis) {
    auto const& chain = lattice.chains(axis);
    std::int32_t *const after = next.data() + 2 * static_cast<std::size_t>(axis) * slots, *const before = after + slots;
    for (std::size_t i = 1; i < chain.size(); ++i)
      if (chain[i - 1] != 0 && chain[i] != 0) after[chain[i - 1]] = chain[i], before[chain[i]] = chain[i - 1];
  }
  rule::next_slot const beside{next.data(), static_cast<index_t>(slots)};
  auto out = make_grid<float>({lattice.positions()});
  for_each_part(where, lattice.parts(), [&](index_t part, index_t first, index_t n) {
    std::int32_t corner[9];
    for (index_t i = 0; i < n; ++i) {
      auto const simplex = lattice.simplex_of(part, i);
      for (int c = 0; c < corners; ++c)
        corner[c] = home[static_cast<std::size_t>(lattice.first_slot(part) + simplex.slot[c])];
      out(first + i) = static_cast<float>(static_cast<double>(lattice.gain()) *
                                          own_share(corners, corner, simplex.weight, std::int32_t{0}, beside));
    }
  });
  return out;
}
template <execution_policy P>
[[nodiscard]] grid<float, 1, typename P::memory> own_shares(P const& where, all_pairs<P> const& pairs)
{
  auto out = make_grid<float>(where, {pairs.positions()});
  fill(where, pairs.positions(), out.view().data, 1.f);
  return out;
}

}  // namespace cambium
