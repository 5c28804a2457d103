#pragma once
// Loops over cells and indices. exec/gpu.cuh has the gpu's loops. Argument-dependent lookup finds them by the policy.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/memory.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>

#include <concepts>

namespace cambium {

/// Whether a rule has a form for a whole row, in registers of a given number of bytes.
template <class Rule>
concept rule_of_rows = requires(Rule const& rule, index_t i) { rule.template row<16>(i, i); };

/// Rows first..last-1 of [C,H,W], as a body of run_widest.
template <class Rule>
struct run_rows {
  Rule const& rule;
  index_t height, first, last;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t at = first; at < last; ++at) rule.template row<Bytes>(at / height, at % height);
  }
};

/// Waking a thread takes as long as a rule takes for so many cells.
inline constexpr index_t cells_worth_a_thread = 4096;

/// Call rule(c, y, x) once for every cell of [C,H,W], in unspecified order. The rule must not throw. It must write only
/// its own cell.
///
/// A rule may have a second form for the cpu, which computes a whole row with vectors and gives the same results:
///
///   template <int Bytes> [[gnu::always_inline]] void row(index_t c, index_t y) const;   // see run_widest
template <class Rule>
void for_each_cell(cpu const& where, index_t const (&extent)[3], Rule const& rule)
{
  index_t const channels = extent[0], height = extent[1], width = extent[2];
  if (channels <= 0 || height <= 0 || width <= 0) return;
  [[maybe_unused]] isa const set = vectors_of(where);
  index_t const rows_worth_a_thread = 1 + (cells_worth_a_thread - 1) / width;
  for_each_share(where, channels * height, rows_worth_a_thread, [&](index_t first, index_t last) {
    if constexpr (rule_of_rows<Rule>) {
      run_widest(set, run_rows<Rule>{rule, height, first, last});
    } else {  // nvcc 13.0 cannot parse this without braces
      Rule const own = rule;  // no cell that it writes can be part of it, so its members stay in registers
      for (index_t row = first; row < last; ++row) {
        index_t const c = row / height, y = row % height;
        for (index_t x = 0; x < width; ++x) own(c, y, x);
      }
    }
  });
}

/// Call rule(i) once for each of 0..count-1, in unspecified order. As for_each_cell.
template <class Rule>
void for_each_index(cpu const& where, index_t count, Rule const& rule)
{
  for_each_share(where, count, cells_worth_a_thread, [&](index_t first, index_t last) {
    Rule const own = rule;
    for (index_t i = first; i < last; ++i) own(i);
  });
}

/// Whether this translation unit has loops for a policy. If not, a call does not compile, with the message below.
template <class P>
inline constexpr bool has_loops = std::same_as<typename P::memory, host>;

/// Overloads for a policy whose loops no included header has. The gpu's loops in exec/gpu.cuh are a better match.
template <class P, class Rule>
  requires(!has_loops<P>)
void for_each_cell(P const&, index_t const (&)[3], Rule const&)
{
  static_assert(
      has_loops<P>,
      "cambium has no loops for this policy in this translation unit: for gpu, include <cambium/exec/gpu.cuh> "
      "in a file compiled by nvcc");
}
template <class P, class Rule>
  requires(!has_loops<P>)
void for_each_index(P const& where, index_t, Rule const& rule)
{
  for_each_cell(where, {0, 0, 0}, rule);
}

/// The writers of a rule that for_each_strip calls: on the cpu one thread.
template <class P>
inline constexpr writers writers_of = std::same_as<P, cpu> ? writers::one : writers::many;

namespace rule {

/// The rule of fill().
template <class T>
struct fill_cell {
  T* cells;
  T value;

  CAMBIUM_HD void operator()(index_t i) const { cells[i] = value; }
};

}  // namespace rule

/// Set `count` cells of the policy's memory to a value. It needs the loops of for_each_cell. A gpu enqueues.
template <class P, class T>
void fill(P const& where, index_t count, T* cells, T value)
{
  for_each_index(where, count, rule::fill_cell<T>{cells, value});
}

}  // namespace cambium
