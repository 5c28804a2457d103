#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace cambium {

/// The type of a cell's number in lists: a device sorts and sums 32 bits in half the time of 64.
template <class P>
using cell_number = std::conditional_t<std::is_same_v<typename P::memory, host>, index_t, std::int32_t>;

/// The cells that hold a value other than 0, by number, ascending. It grows to the largest call.
template <class P>
struct nonzero_cells {
  grid<cell_number<P>, 1, typename P::memory> list;    ///< the first number(0) entries; -1 behind them on a device
  grid<cell_number<P>, 1, typename P::memory> number;  ///< [1]
  grid<cell_number<P>, 1, typename P::memory> before;  ///< scratch
  workspace<P> running;
};

namespace rule {

/// Is a cell not 0? The entry behind the last cell is 0.
template <class M, class N>
struct flag_nonzero {
  M const* cells;
  index_t count;
  N* flag;
  CAMBIUM_HD void operator()(index_t i) const { flag[i] = i < count && cells[i] != 0 ? 1 : 0; }
};

/// Put cell i on the list if it was flagged; entry i is -1 if the list ends before it.
template <class N>
struct enlist_cell {
  N const* before;
  index_t count;
  N* list;
  N* number;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i == 0) *number = before[count];
    if (i == count) return;
    if (before[i] != before[i + 1]) list[before[i]] = static_cast<N>(i);
    if (i >= before[count]) list[i] = -1;
  }
};

}  // namespace rule

/// Throws unless so many cells have numbers on the policy's lists. `who` begins the message.
template <class P>
void expects_numbers(P const&, index_t cells, char const* who)
{
  constexpr auto most = static_cast<index_t>(std::numeric_limits<cell_number<P>>::max());
  expects(cells < most, who, ": ", cells, " cells; at most ", most - 1, " have a number");
}

/// List the cells that are not 0.
///
/// @param cells  [count] in the policy's memory
/// @return       how many entries of the list can hold a cell: their number on cores, `count` on a device, which does
///               not wait
/// @pre          expects_numbers
/// @asynchrony   gpu: enqueues and returns
template <class P, class M>
index_t list_nonzero(P const& where, index_t count, M const* cells, nonzero_cells<P>& out)
{
  using N = cell_number<P>;
  N* const before = reserve(where, out.before, count + 1);
  N* const list = reserve(where, out.list, count);
  N* const number = reserve(where, out.number, 1);
  for_each_index(where, count + 1, rule::flag_nonzero<M, N>{cells, count, before});
  exclusive_scan(where, count + 1, static_cast<N const*>(before), before, out.running);
  for_each_index(where, count + 1, rule::enlist_cell<N>{before, count, list, number});
  return count;
}

/// Cores pass over 128 bytes of zeros at once.
template <class M>
index_t list_nonzero(cpu const& where, index_t count, M const* cells, nonzero_cells<cpu>& out)
{
  constexpr auto block = static_cast<index_t>(128 / sizeof(M));
  index_t* const list = reserve(where, out.list, count);
  index_t found = 0;
  for (index_t i = 0; i < count;) {
    index_t const end = std::min(count, i + block);
    if (end == i + block) {
      auto const* const first = reinterpret_cast<std::uint8_t const*>(cells + i);
      auto any = lanes_at<16>(first).v;
      for (int l = 16; l < 128; l += 16) any |= lanes_at<16>(first + l).v;
      std::uint64_t words[2];
      std::memcpy(words, &any, sizeof words);
      if ((words[0] | words[1]) == 0) i = end;
    }
    for (; i < end; ++i)
      if (cells[i] != 0) list[found++] = i;
  }
  *reserve(where, out.number, 1) = found;
  return found;
}

}  // namespace cambium
