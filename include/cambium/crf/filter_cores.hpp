#pragma once
// The cpu's own schedule of filtering: a register of channels at a time, part by part of the positions.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/lattice.hpp>
#include <cambium/crf/lattice_cores.hpp>
#include <cambium/crf/spread_positions.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// Blurs along whole chains: every point takes half of either neighbour.
template <int Width>
struct blur_chains {
  std::int32_t const* slot;  ///< slot[-1] and slot[n] are 0, or slot[0] is
  index_t n;
  float* slots;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    using values = channel_lanes<lanes>;
    using numbers = typename values::type;
    auto const self = *this;
    float nowhere[std::size_t{lanes}];
    for (int first = 0; first < Width; first += lanes) {
      float* at = self.slots + index_t{self.slot[0]} * Width + first;
      numbers before{}, here;
      values::load(here, at);
      for (index_t i = 1; i <= self.n; ++i) {
        float* const next = self.slots + index_t{self.slot[i]} * Width + first;
        numbers after;
        if constexpr (Width >= 16)
          __builtin_prefetch(self.slots + index_t{self.slot[std::min(i + 24, self.n)]} * Width + first, 1);
        values::load(after, next);
        values::store(at != self.slots + first ? at : nowhere, here + 0.5f * (before + after));  // slot 0 stays 0
        before = here;
        here = after;
        at = next;
      }
    }
  }
};

/// The values of points that several parts touch: each part's slots are added to the point's home, in order, or become
/// what the home holds.
template <int Width, bool Gather>
struct join_slots {
  permutohedral<cpu>::sharing const* shared;
  index_t n;
  float* slots;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    constexpr index_t ahead = 16;
    using values = channel_lanes<lanes>;
    auto const self = *this;
    for (index_t i = 0; i < self.n; ++i) {
      auto const [home, slot] = self.shared[i];
      float *const here = self.slots + index_t{home} * Width, *const there = self.slots + index_t{slot} * Width;
      __builtin_prefetch(self.slots + index_t{self.shared[std::min(i + ahead, self.n - 1)].home} * Width);
      __builtin_prefetch(self.slots + index_t{self.shared[std::min(i + ahead, self.n - 1)].slot} * Width);
      for (int first = 0; first < Width; first += lanes) {
        typename values::type v, sum;
        values::load(v, here + first);
        if constexpr (Gather) {
          values::load(sum, there + first);
          sum = v + sum;
          values::store(here + first, sum);
        } else {
          values::store(there + first, v);
        }
      }
    }
  }
};

/// Values of some channels on the slots of a lattice, piece after piece. What parts spread anew can lie `gap` slots
/// behind or before what is read: then a part's old values are those of parts that were read before.
struct lattice_values {
  cells_t<float> cells;
  index_t gap = 0;     ///< [slots]
  index_t zero = 0;    ///< where slot 0 of what is read lies, 0 or gap; its values are 0
  index_t latest = 0;  ///< the same of what is spread

  float* piece(permutohedral<cpu> const& lattice, index_t channel) { return cells.data() + start(lattice, channel); }
  float const* piece(permutohedral<cpu> const& lattice, index_t channel) const
  {
    return cells.data() + start(lattice, channel);
  }

 private:
  index_t start(permutohedral<cpu> const& lattice, index_t channel) const
  {
    return (lattice.slots() + 1 + gap) * channel;
  }
};

/// Make room for some channels, and what is spread by parts together to lie apart from what they read. A part's slots
/// are cleared by clear_part before it spreads onto them, and the other slots by clear_rest.
inline void make_room(permutohedral<cpu> const& lattice, index_t channels, lattice_values& values, index_t together = 0)
{
  values.gap = values.zero = values.latest = 0;
  for (index_t p = 0; together > 0 && p < lattice.parts().count(); p += together)
    values.gap = std::max(values.gap,
                          lattice.first_slot(std::min(p + together, lattice.parts().count())) - lattice.first_slot(p));
  auto const n = static_cast<std::size_t>((lattice.slots() + 1 + values.gap) * channels);
  if (values.cells.size() < n) values.cells.resize(n);
}
inline void clear_part(permutohedral<cpu> const& lattice, index_t part, index_t channels, lattice_values& values)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const piece = values.piece(lattice, c) + (values.latest + 1) * Width;
    std::fill(piece + lattice.first_slot(part) * Width, piece + lattice.first_slot(part + 1) * Width, 0.f);
  });
}
/// Clear slot 0 and the slots of no part. What was spread is then read.
inline void clear_rest(permutohedral<cpu> const& lattice, index_t channels, lattice_values& values)
{
  index_t const slots = lattice.slots() + 1, own = lattice.first_slot(lattice.parts().count()) + 1;
  values.zero = values.latest;
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const piece = values.piece(lattice, c) + values.zero * Width;
    std::fill_n(piece, Width, 0.f);
    std::fill(piece + own * Width, piece + slots * Width, 0.f);
  });
}

/// The simplices of a part from position `first` of all on, and a piece of values, whose slot 0 is at `zero`.
template <int Width, int Fixed, class Slot, class Value>
simplices_and_values<Fixed, Slot, Value> simplices_from(permutohedral<cpu> const& lattice, index_t part, index_t first,
                                                        Value* piece, index_t zero, float const* factor, float scale,
                                                        Value* other = nullptr, index_t more = 0)
{
  index_t const before = first - lattice.parts().begin(part);
  return {lattice.dimension(),
          lattice.simplices_of(part) + before * simplex_bytes<Slot>(lattice.dimension()),
          piece + (zero + lattice.first_slot(part)) * Width,
          other == nullptr ? nullptr : other + (zero + lattice.first_slot(part)) * more,
          factor,
          lattice.gain() * scale};
}

/// Call body(std::integral_constant<int, D>, Slot{}) for the dimension of a lattice, as with_dimension does, and the
/// slots of a part.
template <class Body>
void with_simplices(permutohedral<cpu> const& lattice, index_t part, Body const& body)
{
  with_dimension(lattice.dimension(), [&](auto fixed) {
    if (lattice.wide(part))
      body(fixed, std::int32_t{});
    else
      body(fixed, std::uint16_t{});
  });
}

/// Spread n positions of a part from position `first` on. `from` points at the values of the first, `factor` at its
/// factor, or is null.
inline void spread_some(isa set, permutohedral<cpu> const& lattice, index_t part, index_t first, index_t n,
                        float const* from, index_t step, float const* factor, index_t channels, lattice_values& values)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    with_simplices(lattice, part, [&]<int Fixed, class Slot>(std::integral_constant<int, Fixed>, Slot) {
      auto a =
          simplices_from<Width, Fixed, Slot>(lattice, part, first, values.piece(lattice, c), values.latest, factor, 1);
      run_widest(set, spread_positions<Width, 0, decltype(a)>{a, {}, from + c, step, n});
    });
  });
}

/// The same rows from channel c on.
inline value_rows channels_of(value_rows rows, index_t c)
{
  return {rows.first == nullptr ? nullptr : rows.first + c, rows.step};
}

/// Write what n positions of a part read back, times `scale` and their factors, if there are any, on top of `on`, or of
/// 0 where they are null.
inline void read_some(isa set, permutohedral<cpu> const& lattice, index_t part, index_t first, index_t n,
                      index_t channels, lattice_values const& values, float scale, float const* factor, value_rows on,
                      float* to, index_t step)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    with_simplices(lattice, part, [&]<int Fixed, class Slot>(std::integral_constant<int, Fixed>, Slot) {
      auto a = simplices_from<Width, Fixed, Slot>(lattice, part, first, values.piece(lattice, c), values.zero, factor,
                                                  scale);
      run_widest(set, read_positions<Width, 0, decltype(a)>{a, {}, n, channels_of(on, c), to + c, step});
    });
  });
}

/// Whether two lattices can spread and read together: positions, and positions and colours, with slots of 16 bits in the
/// part. One's loads wait for the other's no longer than for its own, so both take hardly longer than one.
inline bool together(permutohedral<cpu> const& a, permutohedral<cpu> const& b, index_t part)
{
  return a.dimension() == 2 && b.dimension() == 5 && !a.wide(part) && !b.wide(part);
}
/// As spread_some onto one lattice and then onto the other.
inline void spread_both(isa set, permutohedral<cpu> const& a, permutohedral<cpu> const& b, index_t part, index_t first,
                        index_t n, float const* from, index_t step, float const* const (&factor)[2], index_t channels,
                        lattice_values& of_a, lattice_values& of_b)
{
  for_each_two_pieces(channels, [&]<int Width, int More>(std::integral_constant<int, Width>,
                                                         std::integral_constant<int, More>, index_t c) {
    auto const simplices = [&]<int D>(std::integral_constant<int, D>, auto const& lattice, lattice_values& of, int k) {
      return simplices_from<Width, D, std::uint16_t>(lattice, part, first, of.piece(lattice, c), of.latest, factor[k],
                                                     1, More > 0 ? of.piece(lattice, c + Width) : nullptr, More);
    };
    auto const of_2 = simplices(std::integral_constant<int, 2>{}, a, of_a, 0);
    auto const of_5 = simplices(std::integral_constant<int, 5>{}, b, of_b, 1);
    run_widest(set,
               spread_positions<Width, More, std::remove_const_t<decltype(of_2)>, std::remove_const_t<decltype(of_5)>>{
                   of_2, of_5, from + c, step, n});
  });
}
/// As read_some of one lattice and then of the other.
inline void read_both(isa set, permutohedral<cpu> const& a, permutohedral<cpu> const& b, index_t part, index_t first,
                      index_t n, index_t channels, lattice_values const& of_a, lattice_values const& of_b,
                      float const (&scale)[2], float const* const (&factor)[2], value_rows on, float* to, index_t step)
{
  for_each_two_pieces(channels, [&]<int Width, int More>(std::integral_constant<int, Width>,
                                                         std::integral_constant<int, More>, index_t c) {
    auto const simplices = [&]<int D>(std::integral_constant<int, D>, auto const& lattice, lattice_values const& of,
                                      int k) {
      return simplices_from<Width, D, std::uint16_t>(lattice, part, first, of.piece(lattice, c), of.zero, factor[k],
                                                     scale[k], More > 0 ? of.piece(lattice, c + Width) : nullptr, More);
    };
    auto const of_2 = simplices(std::integral_constant<int, 2>{}, a, of_a, 0);
    auto const of_5 = simplices(std::integral_constant<int, 5>{}, b, of_b, 1);
    run_widest(set,
               read_positions<Width, More, std::remove_const_t<decltype(of_2)>, std::remove_const_t<decltype(of_5)>>{
                   of_2, of_5, n, channels_of(on, c), to + c, step});
  });
}

/// Join what the parts have spread, blur it, and give every part its share. The values, spread already, are not used.
inline void sum_up(cpu const& where, permutohedral<cpu> const& lattice, float const*, index_t, float const*,
                   index_t channels, bool reverse, lattice_values& values)
{
  auto const& shared = lattice.shared();
  auto const n = static_cast<index_t>(shared.size());
  isa const set = vectors_of(where);
  // Of points that are shared by several parts no two threads see the same.
  auto const border = [&](index_t i) {
    while (0 < i && i < n && shared[static_cast<std::size_t>(i)].home == shared[static_cast<std::size_t>(i - 1)].home)
      ++i;
    return i;
  };
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const piece = values.piece(lattice, c) + values.zero * Width;
    for_each_share(where, n, 8192, [&](index_t begin, index_t end) {
      index_t const from = border(begin);
      run_widest(set, join_slots<Width, true>{shared.data() + from, border(end) - from, piece});
    });
    for (int step = 0; step < lattice.corners(); ++step) {
      auto const& chain = lattice.chains(reverse ? lattice.corners() - 1 - step : step);
      auto const last = static_cast<index_t>(chain.size()) - 1;
      auto const end_of_chain = [&](index_t i) {
        while (i > 1 && i < last && chain[static_cast<std::size_t>(i)] != 0) ++i;
        return i;
      };
      for_each_share(where, last - 1, 8192, [&](index_t begin, index_t end) {
        index_t const to = end_of_chain(end + 1);
        for (index_t first = end_of_chain(begin + 1), next = first; first < to; first = next) {
          ask_to_stop(where);  // lattices of noise have millions of points
          next = std::min(to, end_of_chain(first + (1 << 18)));
          run_widest(set, blur_chains<Width>{chain.data() + first, next - first, piece});
        }
      });
    }
    for_each_share(where, n, 8192, [&](index_t begin, index_t end) {
      run_widest(set, join_slots<Width, false>{shared.data() + begin, end - begin, piece});
    });
  });
}

}  // namespace cambium
