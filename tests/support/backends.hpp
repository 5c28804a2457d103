#pragma once
// The backends under test in this translation unit, and how data travels to them and back.

#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/transition.hpp>

#include "support/catch.hpp"

#include <cstdlib>
#include <string>
#include <tuple>
#include <type_traits>

#if defined(__CUDACC__)
#include <cambium/exec/gpu.cuh>
#endif

namespace support {
/// The gpu's algorithms on cores: every stage but for the cpu's own schedules, under the cpu's loops and primitives.
/// A launch alone shows the rest: streams, blocks, shared memory (docs/gpu.md).
struct by_rules : cambium::cpu {};

/// Cell by cell, as a device does it: without the rows that a rule may have for the cpu.
template <class Rule>
void for_each_cell(by_rules const& where, cambium::index_t const (&extent)[3], Rule const& rule)
{
  cambium::cpu const& cores = where;
  cambium::for_each_cell(cores, extent,
                         [&](cambium::index_t c, cambium::index_t y, cambium::index_t x) { rule(c, y, x); });
}
}  // namespace support
template <>
inline constexpr bool cambium::reaches_v<support::by_rules, cambium::host> = true;

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

/// CTest asks for the cores' half and the card's half of nvcc's tests by themselves: CAMBIUM_TESTS_ON=cores, =card.
inline bool left_out(char const* half)
{
  char const* const wanted = std::getenv("CAMBIUM_TESTS_ON");
  return wanted != nullptr && std::string(wanted) != half;
}

template <>
struct carry<by_rules> : carry<cambium::cpu> {
  static bool usable() { return !left_out("cores"); }
};

#if defined(__CUDACC__)
template <>
struct carry<cambium::gpu> {
  /// False, and said so, on a machine without a device: the test was compiled and is not run.
  static bool usable()
  {
    if (left_out("card")) return false;
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
using backends = std::tuple<by_rules, cambium::gpu>;
using rule_backends = backends;
#else
using backends = std::tuple<cambium::cpu, by_rules>;
using rule_backends = std::tuple<by_rules>;  ///< for tests that compare with the cpu's own schedule
#endif

/// A policy with so many threads, where it has threads.
template <class P>
P with_threads(int threads)
{
  P where{};
  if constexpr (std::is_base_of_v<cambium::cpu, P>) where.threads = threads;
  return where;
}

/// A copy of a grid where P can reach it, to be written on.
template <class P, class T, int R>
auto copied(cambium::grid<T, R> const& g)
{
  if constexpr (std::is_same_v<typename P::memory, cambium::host>)
    return cambium::grid<T, R>(g);
  else
    return carry<P>::there(g);
}

/// A transition where P can reach it.
template <class P, class T>
auto carried(cambium::transition<T> const& t)
{
  using to = carry<P>;
  return cambium::transition<T, typename P::memory>{t.edges, to::there(t.weight), to::there(t.inverse_degree),
                                                    t.format};
}

}  // namespace support
