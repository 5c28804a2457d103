#pragma once
// The backends under test in this translation unit, and how data travels to them and back.

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/transition.hpp>

#include "support/catch.hpp"

#include <tuple>

#if defined(__CUDACC__)
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#endif

namespace support {

template <class P>
struct carry;

template <>
struct carry<cambium::cpu> {
  static bool usable() { return true; }
  template <class T, int R>
  static cambium::grid<T, R> const& there(cambium::grid<T, R> const& g)
  {
    return g;
  }
  template <class T, int R>
  static cambium::grid<T, R> const& back(cambium::grid<T, R> const& g)
  {
    return g;
  }
};

#if defined(__CUDACC__)
template <>
struct carry<cambium::gpu> {
  /// False, and said so, on a machine without a device: the test was compiled and is not run.
  static bool usable()
  {
    if (cambium::device_count() > 0) return true;
    WARN("no CUDA device: compiled, not run");
    return false;
  }
  template <class T, int R>
  static auto there(cambium::grid<T, R> const& g)
  {
    return cambium::to_device(cambium::gpu{}, g);
  }
  template <class T, int R>
  static auto back(cambium::grid<T, R, cambium::device> const& g)
  {
    return cambium::to_host(cambium::gpu{}, g);
  }
};
using backends = std::tuple<cambium::cpu, cambium::gpu>;
#else
using backends = std::tuple<cambium::cpu>;
#endif

/// A transition where P can reach it.
template <class P, class T>
auto carried(cambium::transition<T> const& t)
{
  using to = carry<P>;
  return cambium::transition<T, typename P::memory>{t.edges, to::there(t.weight), to::there(t.inverse_degree)};
}

}  // namespace support
