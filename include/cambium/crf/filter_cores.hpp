#pragma once
// The cpu's own schedule of filtering: a register of channels at a time, part by part of the positions.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/lattice.hpp>
#include <cambium/crf/lattice_cores.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// Call body(std::integral_constant<int, Width>, first channel) for pieces of 16, 8, 4, 2 and 1 channels. A piece has
/// memory of its own, [slots() + 1,Width], so that a point's values are in one line of the cache.
template <class Body>
void for_each_piece(index_t channels, Body const& body)
{
  index_t c = 0;
  auto const pieces = [&]<int Width>(std::integral_constant<int, Width> width) {
    for (; c + Width <= channels; c += Width) body(width, c);
  };
  pieces(std::integral_constant<int, 16>{});
  pieces(std::integral_constant<int, 8>{});
  pieces(std::integral_constant<int, 4>{});
  pieces(std::integral_constant<int, 2>{});
  pieces(std::integral_constant<int, 1>{});
}

/// Some channels in one register.
template <int Lanes>
struct channel_lanes {
  using type = pack<float, Lanes>;
  [[gnu::always_inline]] static void load(type& v, float const* p) { v = lanes_at<Lanes>(p).v; }
  [[gnu::always_inline]] static void store(float* p, type const& v) { lanes_at<Lanes>(p).v = v; }
};
template <>
struct channel_lanes<1> {
  using type = float;
  [[gnu::always_inline]] static void load(float& v, float const* p) { v = *p; }
  [[gnu::always_inline]] static void store(float* p, float const& v) { *p = v; }
};

/// Adds values at n positions onto the slots of their part.
template <int Width, int Fixed>
struct spread_positions {
  int dimension;
  std::int32_t const* corner;  ///< [n,D + 1]
  float const* weight;         ///< [n,D + 1]
  float const* from;           ///< values of the first position
  index_t step;                ///< between the values of one position and the next
  float const* factor;         ///< [n], or null
  index_t n;
  float* slots;  ///< slot 0 of the part

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr bool fixed = Fixed > 0;
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    using values = channel_lanes<lanes>;
    using numbers = typename values::type;
    auto const self = *this;  // in registers: no store can change it
    int const corners = (fixed ? Fixed : self.dimension) + 1;
    for (index_t i = 0; i < self.n; ++i)
      for (int first = 0; first < Width; first += lanes) {
        numbers value;
        values::load(value, self.from + i * self.step + first);
        if (self.factor != nullptr) value = value * self.factor[i];
        repeat<fixed>(0, corners, [&](int c) CAMBIUM_INLINE {  // different points, so the order does not matter
          float* const to = self.slots + index_t{self.corner[i * corners + c]} * Width + first;
          numbers part = self.weight[i * corners + c] * value, held;
          no_contract(part);  // rounded by itself on every machine
          values::load(held, to);
          values::store(to, part + held);
        });
      }
  }
};

/// What the simplex of each of n positions holds, times a factor, on top of other values.
template <int Width, int Fixed>
struct read_positions {
  int dimension;
  std::int32_t const* corner;  ///< [n,D + 1]
  float const* weight;         ///< [n,D + 1]
  float const* slots;          ///< slot 0 of the part
  float gain;
  float const* factor;  ///< [n], or null
  index_t n;
  float const* on;  ///< other values, laid out like the result; may be the same; or null: 0
  float* to;
  index_t step;  ///< between the values of one position and the next

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr bool fixed = Fixed > 0;
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    using values = channel_lanes<lanes>;
    using numbers = typename values::type;
    auto const self = *this;
    int const corners = (fixed ? Fixed : self.dimension) + 1;
    for (index_t i = 0; i < self.n; ++i) {
      float const times = self.factor != nullptr ? self.gain * self.factor[i] : self.gain;
      std::int32_t const* const corner_of = self.corner + i * corners;
      float const* const weight_of = self.weight + i * corners;
      for (int first = 0; first < Width; first += lanes) {
        numbers sum{}, below{};
        repeat<fixed>(0, corners, [&](int c) CAMBIUM_INLINE {
          numbers held;
          values::load(held, self.slots + index_t{corner_of[c]} * Width + first);
          held = weight_of[c] * held;
          no_contract(held);
          sum += held;
        });
        sum = times * sum;
        no_contract(sum);
        if (self.on != nullptr) values::load(below, self.on + i * self.step + first);
        values::store(self.to + i * self.step + first, below + sum);
      }
    }
  }
};

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
        values::load(after, next);
        values::store(at != self.slots + first ? at : nowhere, here + 0.5f * (before + after));  // slot 0 stays 0
        before = here;
        here = after;
        at = next;
      }
    }
  }
};

/// Values of some channels on the slots of a lattice, piece after piece, slot 0 of each being 0.
using lattice_values = cells_t<float>;

/// Make room for some channels. A part's slots are cleared by clear_part, before it spreads onto them.
inline void make_room(permutohedral<cpu> const& lattice, index_t channels, lattice_values& values)
{
  index_t const slots = lattice.slots() + 1, own = lattice.first_slot(lattice.parts().count()) + 1;
  auto const n = static_cast<std::size_t>(slots * channels);
  if (values.size() < n) values.resize(n);
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const piece = values.data() + slots * c;
    std::fill_n(piece, Width, 0.f);
    std::fill(piece + own * Width, piece + slots * Width, 0.f);
  });
}
inline void clear_part(permutohedral<cpu> const& lattice, index_t part, index_t channels, lattice_values& values)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const piece = values.data() + (lattice.slots() + 1) * c + Width;
    std::fill(piece + lattice.first_slot(part) * Width, piece + lattice.first_slot(part + 1) * Width, 0.f);
  });
}

/// Spread n positions of a part from position `first` on. `from` points at the values of the first, `factor` at its
/// factor, or is null.
inline void spread_some(isa set, permutohedral<cpu> const& lattice, index_t part, index_t first, index_t n,
                        float const* from, index_t step, float const* factor, index_t channels, lattice_values& values)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float* const slots = values.data() + (lattice.slots() + 1) * c + lattice.first_slot(part) * Width;
    with_dimension(lattice.dimension(), [&]<int Fixed>(std::integral_constant<int, Fixed>) {
      run_widest(set, spread_positions<Width, Fixed>{lattice.dimension(), lattice.corners_of(first),
                                                    lattice.weights_of(first), from + c, step, factor, n, slots});
    });
  });
}

/// Write what n positions of a part read back, times `scale` and their factors, if there are any, on top of `on`, or of
/// 0 where it is null.
inline void read_some(isa set, permutohedral<cpu> const& lattice, index_t part, index_t first, index_t n,
                      index_t channels, lattice_values const& values, float scale, float const* factor, float const* on,
                      float* to, index_t step)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    float const* const slots = values.data() + (lattice.slots() + 1) * c + lattice.first_slot(part) * Width;
    with_dimension(lattice.dimension(), [&]<int Fixed>(std::integral_constant<int, Fixed>) {
      run_widest(set, read_positions<Width, Fixed>{lattice.dimension(), lattice.corners_of(first),
                                                  lattice.weights_of(first), slots, lattice.gain() * scale,
                                                  factor, n, on == nullptr ? nullptr : on + c, to + c, step});
    });
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
    float* const piece = values.data() + (lattice.slots() + 1) * c;
    auto const at = [&](std::int32_t slot) { return piece + slot * Width; };
    for_each_share(where, n, 8192, [&](index_t begin, index_t end) {
      for (index_t i = border(begin); i < border(end); ++i) {
        auto const [home, slot] = shared[static_cast<std::size_t>(i)];
        for (index_t k = 0; k < Width; ++k) at(home)[k] += at(slot)[k];
      }
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
      for (index_t i = begin; i < end; ++i) {
        auto const [home, slot] = shared[static_cast<std::size_t>(i)];
        std::copy_n(at(home), Width, at(slot));
      }
    });
  });
}

}  // namespace cambium
