#pragma once
// What positions spread onto the corners of their simplices and read from them, on cores: a register of channels at a
// time.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/find_simplices.hpp>
#include <cambium/exec/simd.hpp>

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
template <int Fixed, class Slot_, class Value = float>
struct simplices_and_values {
  using slot_t = Slot_;
  static constexpr int fixed = Fixed;
  int dimension;
  std::byte const* simplex;  ///< of the first position
  Value* values;             ///< of slot 0 of the part
  float const* factor;       ///< of the first position, or null
  float gain;                ///< of what is read
};
struct no_simplices {};

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

}  // namespace cambium
