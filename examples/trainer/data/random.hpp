#pragma once
// Random numbers that are the same on every machine: the standard's engines are, its distributions are not.

#include <cambium/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace trainer {

/// Mixes the bits of a number so that neighbours have nothing in common: the finaliser of splitmix64.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t z) noexcept
{
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A seed of its own for each (seed, a, b...): of an epoch, an item, a purpose. The order of the numbers counts.
template <class... Number>
[[nodiscard]] constexpr std::uint64_t seed_of(std::uint64_t seed, Number... number) noexcept
{
  std::uint64_t s = mixed(seed + 0x9e3779b97f4a7c15u);
  ((s = mixed(s + 0x9e3779b97f4a7c15u + mixed(static_cast<std::uint64_t>(number) + 0x632be59bd9b4e019u))), ...);
  return s;
}

/// A sequence of random numbers, given wholly by its seed.
///
/// @determinism the same numbers on every machine, compiler and library; normal() takes one logarithm to decide whether
///              a pair is taken, so two libraries could differ where it lies within a rounding of the border (2^-50)
/// @source      Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (splitmix64);
///              Kinderman & Monahan, 1977 (ratio of uniforms)
class dice {
 public:
  explicit constexpr dice(std::uint64_t seed) noexcept : state_(seed) {}

  /// 64 random bits.
  constexpr std::uint64_t bits() noexcept { return mixed(state_ += 0x9e3779b97f4a7c15u); }

  /// A number in [low, high), 53 random bits fine.
  constexpr double operator()(double low, double high) noexcept { return low + (high - low) * unit(); }

  /// A whole number in [0, n), each as likely. @throws precondition_error unless n > 0
  int below(int n)
  {
    cambium::expects(n > 0, "dice: below(", n, "); expected a number above 0");
    auto const m = static_cast<std::uint64_t>(n);
    std::uint64_t const uneven = (std::uint64_t{0} - m) % m;  // 2^64 mod n: so many values are one too many
    std::uint64_t v = bits();
    while (v < uneven) v = bits();
    return static_cast<int>(v % m);
  }

  /// True with probability p.
  constexpr bool chance(double p) noexcept { return unit() < p; }

  /// A number of the normal distribution with mean 0 and deviation 1.
  double normal()
  {
    for (;;) {
      double const u = 1 - unit();  // (0,1]
      double const x = 1.7155277699214135 * (unit() - 0.5) / u;
      if (x * x <= -4 * std::log(u)) return x;
    }
  }

  /// Brings a list into random order (Fisher-Yates).
  template <class T>
  void shuffle(std::vector<T>& list)
  {
    for (std::size_t i = list.size(); i > 1; --i)
      std::swap(list[i - 1], list[static_cast<std::size_t>(below(static_cast<int>(i)))]);
  }

 private:
  constexpr double unit() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  std::uint64_t state_;
};

}  // namespace trainer
