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

/// Simplices of some positions of a part, and the values that a filter holds of some channels.
template <int Fixed, class Slot_>
struct simplices_and_values {
  using slot_t = Slot_;
  static constexpr int fixed = Fixed;
  int dimension;
  std::byte const* simplex;  ///< of the first position
  float* values;             ///< of slot 0 of the part
  float const* factor;       ///< of the first position, or null
  float gain;                ///< of what is read
};
struct no_simplices {};

/// Call each(c, weight, slot) for the corners of a simplex. Its lambda is inlined.
template <int Fixed, class Slot, class Each>
[[gnu::always_inline]] inline void for_each_corner(int dimension, std::byte const* simplex, Each const& each)
{
  int const D = Fixed > 0 ? Fixed : dimension;
  auto const* const weight = reinterpret_cast<float const*>(simplex);
  auto const* const slot = reinterpret_cast<Slot const*>(weight + D);
  float rest = 1;
  repeat<(Fixed > 0)>(0, D, [&](int c) CAMBIUM_INLINE { rest -= weight[c]; });
  each(rest, index_t{slot[0]});
  repeat<(Fixed > 0)>(0, D, [&](int c) CAMBIUM_INLINE { each(weight[c], index_t{slot[c + 1]}); });
}

/// Adds values at n positions onto the slots of their part, of one filter or of two at a time.
template <int Width, class A, class B = no_simplices>
struct spread_positions {
  A a;
  B b;
  float const* from;  ///< values of the first position
  index_t step;       ///< between the values of one position and the next
  index_t n;

  template <int lanes, class S>
  [[gnu::always_inline]] static void spread(S const& s, index_t i, int first,
                                            typename channel_lanes<lanes>::type const& unscaled)
  {
    using values = channel_lanes<lanes>;
    using numbers = typename values::type;
    numbers value = unscaled;
    if (s.factor != nullptr) value = value * s.factor[i];
    using slot_t = typename S::slot_t;
    int const D = S::fixed > 0 ? S::fixed : s.dimension;
    // the corners are different points, so their order does not matter
    for_each_corner<S::fixed, slot_t>(D, s.simplex + i * simplex_bytes<slot_t>(D),
                                      [&](float weight, index_t slot) CAMBIUM_INLINE {
                                        float* const to = s.values + slot * Width + first;
                                        numbers part = weight * value, held;
                                        no_contract(part);  // rounded by itself on every machine
                                        values::load(held, to);
                                        values::store(to, part + held);
                                      });
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    auto const self = *this;  // in registers: no store can change it
    for (index_t i = 0; i < self.n; ++i)
      for (int first = 0; first < Width; first += lanes) {
        typename channel_lanes<lanes>::type value;
        channel_lanes<lanes>::load(value, self.from + i * self.step + first);
        spread<lanes>(self.a, i, first, value);
        if constexpr (!std::is_same_v<B, no_simplices>) spread<lanes>(self.b, i, first, value);
      }
  }
};

/// What the simplex of each of n positions holds, times a factor, on top of other values; of one filter or of two.
template <int Width, class A, class B = no_simplices>
struct read_positions {
  A a;
  B b;
  index_t n;
  float const* on;  ///< other values, laid out like the result; may be the same; or null: 0
  float* to;
  index_t step;  ///< between the values of one position and the next

  static constexpr index_t ahead = 32;  ///< positions whose memory is fetched before it is read

  template <class S>
  [[gnu::always_inline]] static void prefetch(S const& s, index_t i)
  {
    __builtin_prefetch(s.simplex + i * simplex_bytes<typename S::slot_t>(S::fixed > 0 ? S::fixed : s.dimension));
  }

  template <int lanes, class S>
  [[gnu::always_inline]] static void read(S const& s, index_t i, int first, typename channel_lanes<lanes>::type& below)
  {
    using values = channel_lanes<lanes>;
    using numbers = typename values::type;
    using slot_t = typename S::slot_t;
    int const D = S::fixed > 0 ? S::fixed : s.dimension;
    float const times = s.factor != nullptr ? s.gain * s.factor[i] : s.gain;
    numbers sum{};
    for_each_corner<S::fixed, slot_t>(D, s.simplex + i * simplex_bytes<slot_t>(D),
                                      [&](float weight, index_t slot) CAMBIUM_INLINE {
                                        numbers held;
                                        values::load(held, s.values + slot * Width + first);
                                        held = weight * held;
                                        no_contract(held);
                                        sum += held;
                                      });
    sum = times * sum;
    no_contract(sum);
    below = below + sum;
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    using values = channel_lanes<lanes>;
    auto const self = *this;
    for (index_t i = 0; i < self.n; ++i)
      for (int first = 0; first < Width; first += lanes) {
        if (first == 0) {
          prefetch(self.a, i + ahead);
          if constexpr (!std::is_same_v<B, no_simplices>) prefetch(self.b, i + ahead);
          if (self.on != nullptr) __builtin_prefetch(self.on + (i + ahead) * self.step);
        }
        typename values::type below{};
        if (self.on != nullptr) values::load(below, self.on + i * self.step + first);
        read<lanes>(self.a, i, first, below);
        if constexpr (!std::is_same_v<B, no_simplices>) read<lanes>(self.b, i, first, below);
        values::store(self.to + i * self.step + first, below);
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

/// The simplices of a part from position `first` of all on, and a piece of values that starts with channel c.
template <int Width, int Fixed, class Slot>
simplices_and_values<Fixed, Slot> simplices_from(permutohedral<cpu> const& lattice, index_t part, index_t first,
                                                 lattice_values const& values, index_t c, float const* factor,
                                                 float scale)
{
  index_t const before = first - lattice.parts().begin(part);
  // what is spread onto is the caller's to write
  auto* const piece = const_cast<float*>(values.data()) + (lattice.slots() + 1) * c;
  return {lattice.dimension(), lattice.simplices_of(part) + before * simplex_bytes<Slot>(lattice.dimension()),
          piece + lattice.first_slot(part) * Width, factor, lattice.gain() * scale};
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
      auto a = simplices_from<Width, Fixed, Slot>(lattice, part, first, values, c, factor, 1);
      run_widest(set, spread_positions<Width, decltype(a)>{a, {}, from + c, step, n});
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
    with_simplices(lattice, part, [&]<int Fixed, class Slot>(std::integral_constant<int, Fixed>, Slot) {
      auto a = simplices_from<Width, Fixed, Slot>(lattice, part, first, values, c, factor, scale);
      run_widest(set, read_positions<Width, decltype(a)>{a, {}, n, on == nullptr ? nullptr : on + c, to + c, step});
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
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    using simplices_a = simplices_and_values<2, std::uint16_t>;
    using simplices_b = simplices_and_values<5, std::uint16_t>;
    run_widest(set,
               spread_positions<Width, simplices_a, simplices_b>{
                   simplices_from<Width, 2, std::uint16_t>(a, part, first, of_a, c, factor[0], 1),
                   simplices_from<Width, 5, std::uint16_t>(b, part, first, of_b, c, factor[1], 1), from + c, step, n});
  });
}
/// As read_some of one lattice and then of the other.
inline void read_both(isa set, permutohedral<cpu> const& a, permutohedral<cpu> const& b, index_t part, index_t first,
                      index_t n, index_t channels, lattice_values const& of_a, lattice_values const& of_b,
                      float const (&scale)[2], float const* const (&factor)[2], float const* on, float* to,
                      index_t step)
{
  for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    using simplices_a = simplices_and_values<2, std::uint16_t>;
    using simplices_b = simplices_and_values<5, std::uint16_t>;
    run_widest(set, read_positions<Width, simplices_a, simplices_b>{
                        simplices_from<Width, 2, std::uint16_t>(a, part, first, of_a, c, factor[0], scale[0]),
                        simplices_from<Width, 5, std::uint16_t>(b, part, first, of_b, c, factor[1], scale[1]), n,
                        on == nullptr ? nullptr : on + c, to + c, step});
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
