#pragma once

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <random>

namespace support {

/// Cells uniform in [low, high], the same on every machine.
template <class T, int Rank>
cambium::grid<T, Rank> uniform(cambium::index_t const (&extents)[Rank], double low, double high, std::uint64_t seed)
{
  auto out = cambium::make_grid<T>(extents);
  std::mt19937_64 bits(seed);
  for (auto& v : out.cells()) v = static_cast<T>(low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53);
  return out;
}

template <class A, class B>
double largest_gap(A const& a, B const& b)
{
  double gap = a.size() == b.size() ? 0 : 1e300;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    double const d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    if (!(d <= gap && -d <= gap)) gap = d < 0 ? -d : d;
  }
  return gap;
}

}  // namespace support
