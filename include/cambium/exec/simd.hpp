#pragma once
// Vectors inside one core: packs of lanes, choice of the widest instruction set at run time, and the floating-point
// modes of the schedules.
//
// A schedule is one struct with `template <int Bytes> [[gnu::always_inline]] void run() const`. run_widest() starts it.
// Packs are never passed by value to a function, because their ABI depends on flags.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if CAMBIUM_X86
#include <xmmintrin.h>
#endif

namespace cambium {

/// `Lanes` values of T in one register, or in several if the machine's are smaller.
template <class T, int Lanes>
struct pack_of {
  typedef std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t> integer;
  typedef integer bits __attribute__((vector_size(Lanes * sizeof(T))));  ///< the same register as integers
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
  struct __attribute__((packed, may_alias)) anywhere {
    type v;
  };  ///< the register in memory, at any address
};
template <class T, int Lanes>
using pack = typename pack_of<T, Lanes>::type;
template <class T, int Lanes>
using bits = typename pack_of<T, Lanes>::bits;

/// The pack at p, which needs no alignment: read or write its member v.
template <int Lanes, class T>
[[gnu::always_inline]] inline typename pack_of<T, Lanes>::anywhere& lanes_at(T* p)
{
  return *reinterpret_cast<typename pack_of<T, Lanes>::anywhere*>(p);
}
template <int Lanes, class T>
[[gnu::always_inline]] inline typename pack_of<T, Lanes>::anywhere const& lanes_at(T const* p)
{
  return *reinterpret_cast<typename pack_of<T, Lanes>::anywhere const*>(p);
}

/// Set `count` values to one, a register at a time: plain loops of a schedule are not always vectorised.
template <int Bytes, class T>
[[gnu::always_inline]] inline void fill_lanes(T* to, index_t count, T value)
{
  constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
  index_t i = 0;
  for (; i + lanes <= count; i += lanes) lanes_at<lanes>(to + i).v = value - pack<T, lanes>{};  // keeps -0
  for (; i < count; ++i) to[i] = value;
}

/// Every lane moves to the next higher one, 0 comes into the first; and the other way round. In memory, where packs may
/// cross functions. Two spellings, because g++ takes element lists apart and clang++ has no __builtin_shuffle.
template <class T, int Lanes, int... Lane>
[[gnu::always_inline]] inline void shift_lanes_up(T* p, std::integer_sequence<int, Lane...>)
{
  pack<T, Lanes> const from = lanes_at<Lanes>(p).v;
#if defined(__clang__)
  pack<T, Lanes> const to = {(Lane == 0 ? T(0) : from[(Lane + Lanes - 1) % Lanes])...};
#else
  bits<T, Lanes> const source = {(Lane == 0 ? 0 : Lanes + Lane - 1)...};
  pack<T, Lanes> const to = __builtin_shuffle(pack<T, Lanes>{}, from, source);
#endif
  lanes_at<Lanes>(p).v = to;
}
template <class T, int Lanes, int... Lane>
[[gnu::always_inline]] inline void shift_lanes_down(T* p, std::integer_sequence<int, Lane...>)
{
  pack<T, Lanes> const from = lanes_at<Lanes>(p).v;
#if defined(__clang__)
  pack<T, Lanes> const to = {(Lane + 1 == Lanes ? T(0) : from[(Lane + 1) % Lanes])...};
#else
  bits<T, Lanes> const source = {(Lane + 1)...};
  pack<T, Lanes> const to = __builtin_shuffle(from, pack<T, Lanes>{}, source);
#endif
  lanes_at<Lanes>(p).v = to;
}
template <class T, int Lanes>
[[gnu::always_inline]] inline void shift_lanes_up(T* p)
{
  shift_lanes_up<T, Lanes>(p, std::make_integer_sequence<int, Lanes>{});
}
template <class T, int Lanes>
[[gnu::always_inline]] inline void shift_lanes_down(T* p)
{
  shift_lanes_down<T, Lanes>(p, std::make_integer_sequence<int, Lanes>{});
}

#if CAMBIUM_X86
template <class Body>
[[gnu::target("avx2,fma"), gnu::noinline]] void run_avx2(Body const& body)
{
  body.template run<32>();
}
template <class Body>
[[gnu::target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"), gnu::noinline]] void run_avx512(Body const& body)
{
  body.template run<64>();
}
#endif

/// The processor's widest instruction set.
inline isa widest_isa()
{
#if CAMBIUM_X86
  static isa const found = [] {
    __builtin_cpu_init();
    bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    return avx512 ? isa::avx512 : avx2 ? isa::avx2 : isa::baseline;
  }();
  return found;
#else
  return isa::baseline;
#endif
}

/// The instruction set of a call: the processor's widest one, or a narrower one that the policy requests.
inline isa vectors_of(cpu const& where)
{
  isa const widest = widest_isa();
  return where.vectors < widest ? where.vectors : widest;
}

/// Bytes of a register of that instruction set.
constexpr int register_bytes(isa set) { return set == isa::avx512 ? 64 : set == isa::avx2 ? 32 : 16; }

/// Call body.run<Bytes>() compiled for the instruction set.
template <class Body>
void run_widest(isa set, Body const& body)
{
#if CAMBIUM_X86
  if (set == isa::avx512) return run_avx512(body);
  if (set == isa::avx2) return run_avx2(body);
#endif
  static_cast<void>(set);
  body.template run<16>();
}

/// x becomes e^x within 2 ulp, for x in [-87,88]. The polynomial of packs and of single numbers: see exec/rounded.hpp.
///
/// @param raise  raise(p, n): multiply p by 2^k, where k is in the low bits of n
template <class Number, class Raise>
[[gnu::always_inline]] CAMBIUM_HD inline void exponential_polynomial(Number& x, Raise const& raise)
{
  Number const shifted = x * 1.44269504f + 12582912.f;  // the whole part of log2, in the low bits
  Number const whole = shifted - 12582912.f;
  Number const r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  Number p = r * 1.98412698e-4f + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  raise(p, shifted);
  x = p;
}

/// p becomes p * 2^k, lane by lane, where k is in the low bits of n.
template <int Lanes>
struct raise_lanes {
  using numbers = pack<float, Lanes>;
  using integers = bits<float, Lanes>;
  [[gnu::always_inline]] CAMBIUM_HD void operator()(numbers& p, numbers const& n) const
  {
    p = (numbers)((integers)p + ((integers)n << 23));
  }
};

/// x becomes e^x, lane by lane, within 2 ulp, for x in [-87,88].
template <int Lanes>
[[gnu::always_inline]] inline void exponential_inside(pack<float, Lanes>& x)
{
#if !defined(__CUDA_ARCH__)  // nvcc's pass for the device refuses packs, which this function of the host has
  exponential_polynomial(x, raise_lanes<Lanes>{});
#endif
}

/// x becomes e^x, lane by lane, within 2 ulp; below e^-87 it is e^-87, above e^88 it is e^88. NaN stays.
template <int Lanes>
[[gnu::always_inline]] inline void exponential(pack<float, Lanes>& x)
{
  using numbers = pack<float, Lanes>;
  numbers const zero{}, least = zero - 87.f, most = zero + 88.f;  // nvcc 13.0 dies of folding numbers{} - 87
  x = x < least ? least : x;
  x = x > most ? most : x;
  exponential_inside<Lanes>(x);
}

/// x becomes log(1 + x), lane by lane, within 3 ulp, for x in [0,1]. NaN stays.
template <int Lanes>
[[gnu::always_inline]] inline void log_one_plus(pack<float, Lanes>& x)
{
  pack<float, Lanes> p = x * 5.23269146e-3f - 2.95052275e-2f;
  p = p * x + 7.82259336e-2f;
  p = p * x - 1.36632442e-1f;
  p = p * x + 1.91060060e-1f;
  p = p * x - 2.48429820e-1f;
  p = p * x + 3.33190968e-1f;
  p = p * x - 4.99994931e-1f;
  p = p * x + 9.99999970e-1f;
  x = p * x;
}

/// x becomes 1 / sqrt(x), lane by lane, within 3 ulp, for normal x > 0. NaN stays NaN.
template <int Lanes>
[[gnu::always_inline]] inline void reciprocal_root(pack<float, Lanes>& x)
{
  using numbers = pack<float, Lanes>;
  using integers = bits<float, Lanes>;
  numbers const half = x * 0.5f;
  numbers y = (numbers)(0x5f3759df - ((integers)x >> 1));  // within 4 %
  y = y * (1.5f - half * y * y);                           // Newton: within 0.2 %
  numbers const off = 0.5f - half * y * y;                 // Halley: within rounding
  x = y + y * (off * (1.5f * off + 1.f));
}

/// Bytes become integers. `count` is a multiple of 16.
[[gnu::always_inline]] inline void widen_bytes(std::uint8_t const* from, std::int32_t* to, int count)
{
  using octets = pack<std::uint8_t, 16>;
  for (int x = 0; x < count; x += 16) {
    octets v;
    std::memcpy(&v, from + x, 16);
#if defined(__clang__)
    for (int i = 0; i < 16; ++i) to[x + i] = v[i];
#else
    // g++ 12 takes a conversion apart byte by byte: zeros are shuffled in, on x86 as high halves.
    octets const zero{};
    octets const two[2] = {
        __builtin_shuffle(v, zero, octets{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}),
        __builtin_shuffle(v, zero, octets{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})};
    for (int i = 0; i < 2; ++i) {
      octets const low =
          __builtin_shuffle(two[i], zero, octets{0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23});
      octets const high =
          __builtin_shuffle(two[i], zero, octets{8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31});
      std::memcpy(to + x + 8 * i, &low, 16);
      std::memcpy(to + x + 8 * i + 4, &high, 16);
    }
#endif
  }
}

/// One of the numbers 0, `one` and `two`, lane by lane, by kind 0, 1 or 2.
template <int Lanes>
[[gnu::always_inline]] inline void pick_of_three(bits<float, Lanes> const& kind, float one, float two,
                                                 pack<float, Lanes>& found)
{
  using integers = bits<float, Lanes>;
#if !defined(__clang__)
  if constexpr (Lanes >= 8) {  // narrower registers of old machines cannot shuffle by a variable
    pack<float, Lanes> table{};
    table[1] = one, table[2] = two;
    found = __builtin_shuffle(table, kind);
    return;
  }
#endif
  pack<float, Lanes> const zero{};
  found = (pack<float, Lanes>)(((integers)(zero + one) & (kind << 31 >> 31)) |
                               ((integers)(zero + two) & (kind << 30 >> 31)));
}

/// While this object lives, its thread treats numbers below the smallest normal one as 0. Without it a score that fades
/// out behind a boundary is a hundred times as slow.
class flush_denormals {
 public:
#if CAMBIUM_X86
  flush_denormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~flush_denormals() { _mm_setcsr(before_); }
#else
  flush_denormals() = default;
  ~flush_denormals() {}
#endif
  flush_denormals(flush_denormals const&) = delete;
  flush_denormals& operator=(flush_denormals const&) = delete;

 private:
#if CAMBIUM_X86
  unsigned before_;
#endif
};

/// Pin a value to its rounded form: the compiler may not fuse the product that made it into a
/// following sum, whatever its flags. For results that must equal another program's bit by bit.
template <class T>
[[gnu::always_inline]] inline void no_contract(T& value)
{
#if CAMBIUM_X86 && defined(__clang__)
  // Wide and narrow packs do not fit its constraint here; but it fuses inside one expression only, and this ends one.
  if constexpr (sizeof(T) == 16 || std::is_arithmetic_v<T>) asm("" : "+x"(value));
#elif CAMBIUM_X86
  if constexpr (sizeof(T) >= 8 || std::is_arithmetic_v<T>)
    asm("" : "+x"(value));
  else
    asm("" : "+m"(value));  // a pack of one
#else
  asm volatile("" : "+m"(value));
#endif
}

}  // namespace cambium
