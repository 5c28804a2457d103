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
#include <utility>

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

/// The same, with pieces taken together in which two fit that hold 4 channels or more: body(Width, More, first channel),
/// where More is 0 for a piece alone.
template <class Body>
void for_each_two_pieces(index_t channels, Body const& body)
{
  index_t c = 0;
  auto const pieces = [&]<int Width, int More>(std::integral_constant<int, Width> width,
                                               std::integral_constant<int, More> more) {
    for (; c + Width + More <= channels && (More == 0 || channels - c < 2 * Width); c += Width + More)
      body(width, more, c);
  };
  using std::integral_constant;
  while (c + 32 <= channels) body(integral_constant<int, 16>{}, integral_constant<int, 0>{}, c), c += 16;
  pieces(integral_constant<int, 16>{}, integral_constant<int, 8>{});
  pieces(integral_constant<int, 16>{}, integral_constant<int, 4>{});
  pieces(integral_constant<int, 16>{}, integral_constant<int, 0>{});
  pieces(integral_constant<int, 8>{}, integral_constant<int, 4>{});
  pieces(integral_constant<int, 8>{}, integral_constant<int, 0>{});
  pieces(integral_constant<int, 4>{}, integral_constant<int, 0>{});
  pieces(integral_constant<int, 2>{}, integral_constant<int, 0>{});
  pieces(integral_constant<int, 1>{}, integral_constant<int, 0>{});
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

/// The channels of two pieces, of `Width` and of `More` (or 0) channels, in registers of `Bytes`.
template <int Width, int More, int Bytes>
struct channel_registers {
  static constexpr int most = Bytes / static_cast<int>(sizeof(float));
  using piece = channel_lanes<std::min(Width, most)>;
  using other_piece = channel_lanes<std::min(std::max(More, 1), most)>;
  static constexpr int lanes = std::min(Width, most), other_lanes = std::min(std::max(More, 1), most);
  static constexpr int count = Width / lanes, others = More / other_lanes;
  typename piece::type v[std::size_t{count}];
  typename other_piece::type w[static_cast<std::size_t>(others > 0 ? others : 1)];

  /// Call body(piece, register, its first channel) for every register of the first piece, then of the other.
  template <class Body, class Other>
  [[gnu::always_inline]] static void each(Body const& body, Other const& other)
  {
    [&]<int... R>(std::integer_sequence<int, R...>)
        CAMBIUM_INLINE { (body(R, R * lanes), ...); }(std::make_integer_sequence<int, count>{});
    [&]<int... R>(std::integer_sequence<int, R...>)
        CAMBIUM_INLINE { (other(R, R * other_lanes), ...); }(std::make_integer_sequence<int, others>{});
  }
  /// Of channels that lie side by side.
  [[gnu::always_inline]] void load(float const* p)
  {
    each([&](int r, int first) CAMBIUM_INLINE { piece::load(v[r], p + first); },
         [&](int r, int first) CAMBIUM_INLINE { other_piece::load(w[r], p + Width + first); });
  }
  [[gnu::always_inline]] void store(float* p) const
  {
    each([&](int r, int first) CAMBIUM_INLINE { piece::store(p + first, v[r]); },
         [&](int r, int first) CAMBIUM_INLINE { other_piece::store(p + Width + first, w[r]); });
  }
};

/// Simplices of some positions of a part, and the values that a filter holds of some channels.
template <int Fixed, class Slot_, class Value = float>
struct simplices_and_values {
  using slot_t = Slot_;
  static constexpr int fixed = Fixed;
  int dimension;
  std::byte const* simplex;  ///< of the first position
  Value* values;             ///< of slot 0 of the part
  Value* others;             ///< the same of a second piece, or null
  float const* factor;       ///< of the first position, or null
  float gain;                ///< of what is read
};
struct no_simplices {};

/// Adds values at n positions onto the slots of their part, of one filter or of two at a time, of one piece or of two.
template <int Width, int More, class A, class B = no_simplices>
struct spread_positions {
  A a;
  B b;
  float const* from;  ///< values of the first position
  index_t step;       ///< between the values of one position and the next
  index_t n;

  template <int Bytes, class S>
  [[gnu::always_inline]] static void spread(S const& s, index_t i,
                                            channel_registers<Width, More, Bytes> const& unscaled)
  {
    using registers = channel_registers<Width, More, Bytes>;
    using piece = typename registers::piece;
    using other_piece = typename registers::other_piece;
    registers value = unscaled;
    if (s.factor != nullptr)
      registers::each([&](int r, int) CAMBIUM_INLINE { value.v[r] = value.v[r] * s.factor[i]; },
                      [&](int r, int) CAMBIUM_INLINE { value.w[r] = value.w[r] * s.factor[i]; });
    using slot_t = typename S::slot_t;
    int const D = S::fixed > 0 ? S::fixed : s.dimension;
    // the corners are different points, so their order does not matter
    for_each_corner<S::fixed, slot_t>(D, s.simplex + i * simplex_bytes<slot_t>(D),
                                      [&](float weight, index_t slot) CAMBIUM_INLINE {
                                        auto* const to = s.values + slot * Width;
                                        auto* const other = s.others + slot * More;
                                        registers::each(
                                            [&](int r, int first) CAMBIUM_INLINE {
                                              typename piece::type part = weight * value.v[r], held;
                                              no_contract(part);  // rounded by itself on every machine
                                              piece::load(held, to + first);
                                              piece::store(to + first, part + held);
                                            },
                                            [&](int r, int first) CAMBIUM_INLINE {
                                              typename other_piece::type part = weight * value.w[r], held;
                                              no_contract(part);
                                              other_piece::load(held, other + first);
                                              other_piece::store(other + first, part + held);
                                            });
                                      });
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    auto const self = *this;  // in registers: no store can change it
    for (index_t i = 0; i < self.n; ++i) {
      channel_registers<Width, More, Bytes> value;
      value.load(self.from + i * self.step);
      spread<Bytes>(self.a, i, value);
      if constexpr (!std::is_same_v<B, no_simplices>) spread<Bytes>(self.b, i, value);
    }
  }
};

/// Values of positions, with `step` from one position to the next.
struct value_rows {
  float const* first = nullptr;  ///< or null: 0
  index_t step = 0;
};

/// What the simplex of each of n positions holds, times a factor, on top of other values; of one filter or of two, of
/// one piece or of two.
template <int Width, int More, class A, class B = no_simplices>
struct read_positions {
  A a;
  B b;
  index_t n;
  value_rows on;  ///< other values, which may be the result
  float* to;
  index_t step;  ///< of the result

  static constexpr index_t ahead = 32;  ///< positions whose memory is fetched before it is read

  template <class S>
  [[gnu::always_inline]] static void prefetch(S const& s, index_t i)
  {
    __builtin_prefetch(s.simplex + i * simplex_bytes<typename S::slot_t>(S::fixed > 0 ? S::fixed : s.dimension));
  }

  template <int Bytes, class S>
  [[gnu::always_inline]] static void read(S const& s, index_t i, channel_registers<Width, More, Bytes>& below)
  {
    using registers = channel_registers<Width, More, Bytes>;
    using piece = typename registers::piece;
    using other_piece = typename registers::other_piece;
    using slot_t = typename S::slot_t;
    int const D = S::fixed > 0 ? S::fixed : s.dimension;
    float const times = s.factor != nullptr ? s.gain * s.factor[i] : s.gain;
    registers sum{};
    for_each_corner<S::fixed, slot_t>(D, s.simplex + i * simplex_bytes<slot_t>(D),
                                      [&](float weight, index_t slot) CAMBIUM_INLINE {
                                        auto* const from = s.values + slot * Width;
                                        auto* const other = s.others + slot * More;
                                        registers::each(
                                            [&](int r, int first) CAMBIUM_INLINE {
                                              typename piece::type held;
                                              piece::load(held, from + first);
                                              held = weight * held;
                                              no_contract(held);
                                              sum.v[r] += held;
                                            },
                                            [&](int r, int first) CAMBIUM_INLINE {
                                              typename other_piece::type held;
                                              other_piece::load(held, other + first);
                                              held = weight * held;
                                              no_contract(held);
                                              sum.w[r] += held;
                                            });
                                      });
    registers::each(
        [&](int r, int) CAMBIUM_INLINE {
          sum.v[r] = times * sum.v[r];
          no_contract(sum.v[r]);
          below.v[r] = below.v[r] + sum.v[r];
        },
        [&](int r, int) CAMBIUM_INLINE {
          sum.w[r] = times * sum.w[r];
          no_contract(sum.w[r]);
          below.w[r] = below.w[r] + sum.w[r];
        });
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    auto const self = *this;
    for (index_t i = 0; i < self.n; ++i) {
      prefetch(self.a, i + ahead);
      if constexpr (!std::is_same_v<B, no_simplices>) prefetch(self.b, i + ahead);
      if (self.on.first != nullptr) __builtin_prefetch(self.on.first + (i + ahead) * self.on.step);
      channel_registers<Width, More, Bytes> below{};
      if (self.on.first != nullptr) below.load(self.on.first + i * self.on.step);
      read<Bytes>(self.a, i, below);
      if constexpr (!std::is_same_v<B, no_simplices>) read<Bytes>(self.b, i, below);
      below.store(self.to + i * self.step);
    }
  }
};

}  // namespace cambium
