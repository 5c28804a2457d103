#pragma once
// Many sums at once, on cores. exec/gpu.cuh has the gpu's. Both sum in the same order.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/workspace.hpp>

#include <algorithm>
#include <concepts>
#include <limits>
#include <utility>
#include <vector>

namespace cambium {

/// The shape of a row's reduction tree: each of 256 lanes sums every 256th of 4096 values; then lanes are summed in
/// pairs.
inline constexpr index_t reduce_lanes = 256, reduce_chunk = 4096;

/// The number of chunks of a row, at least one.
inline index_t chunks_of(index_t length)
{
  return length <= reduce_chunk ? 1 : (length + reduce_chunk - 1) / reduce_chunk;
}

/// The largest number of chunk results that reduce_rows keeps on a device. A caller can reserve them in advance.
inline index_t reduce_room(index_t rows, index_t length)
{
  index_t const chunks = chunks_of(length);
  return chunks == 1 ? 0 : rows * (chunks + chunks_of(chunks));
}

/// Reduce one chunk of a row, as a block of threads does.
template <class A, class Value, class Op>
A reduce_one_chunk(index_t row, index_t begin, index_t end, Value const& value, A identity, Op const& op)
{
  A lane[reduce_lanes];
  for (index_t l = 0; l < reduce_lanes; ++l) {
    lane[l] = identity;
    for (index_t i = begin + l; i < end; i += reduce_lanes) lane[l] = op(lane[l], value(row, i));
  }
  for (index_t half = reduce_lanes / 2; half > 0; half /= 2)
    for (index_t l = 0; l < half; ++l) lane[l] = op(lane[l], lane[l + half]);
  return lane[0];
}

/// Sum rows: out[r] = op over i of value(r, i), from `identity`, in a fixed tree. The tree does not depend on threads.
///
/// @param value   value(r, i) -> A, for r in 0..rows-1 and i in 0..length-1
/// @param op      op(A, A) -> A with op(identity, a) = a; need not be exactly associative
/// @param out     `rows` results in the memory of the policy; a row of length 0 is `identity`
/// @complexity    Theta(rows * length)
/// @determinism   cores and devices have the same order of operations
template <class P, class A, class Value, class Op>
  requires std::same_as<typename P::memory, host>
void reduce_rows(P const& where, index_t rows, index_t length, Value const& value, A identity, Op const& op, A* out,
                 workspace<P>&)
{
  for_each_share(
      where, rows, std::max<index_t>(1, 16384 / std::max<index_t>(1, length)), [&](index_t first, index_t last) {
        std::vector<A> partial;
        for (index_t r = first; r < last; ++r) {
          partial.clear();
          for (index_t i = 0; i < length; i += reduce_chunk)
            partial.push_back(reduce_one_chunk(r, i, std::min(i + reduce_chunk, length), value, identity, op));
          while (partial.size() > 1) {
            auto const above = [&](index_t, index_t i) { return partial[static_cast<std::size_t>(i)]; };
            index_t const n = static_cast<index_t>(partial.size());
            std::vector<A> next;
            for (index_t i = 0; i < n; i += reduce_chunk)
              next.push_back(reduce_one_chunk(r, i, std::min(i + reduce_chunk, n), above, identity, op));
            partial = std::move(next);
          }
          out[r] = partial.empty() ? identity : partial[0];
        }
      });
}

namespace rule {

/// value(i) as the only row of reduce_rows.
template <class Value>
struct only_row {
  Value value;
  CAMBIUM_HD auto operator()(index_t, index_t i) const { return value(i); }
};

}  // namespace rule

/// As reduce_rows, for one row: value(i) -> A.
template <class P, class A, class Value, class Op>
void reduce(P const& where, index_t length, Value const& value, A identity, Op const& op, A* out, workspace<P>& space)
{
  reduce_rows(where, 1, length, rule::only_row<Value>{value}, identity, op, out, space);
}

// Operations for host and device.
struct plus {
  template <class A>
  CAMBIUM_HD A operator()(A a, A b) const
  {
    return a + b;
  }
};
struct max_of {
  template <class A>
  CAMBIUM_HD A operator()(A a, A b) const
  {
    return a < b ? b : a;
  }
};

/// Smallest and largest value of a row.
template <class T>
struct value_range {
  T low;
  T high;

  static value_range none() { return {std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()}; }
  CAMBIUM_HD T middle() const { return low / 2 + high / 2; }
};
struct join_ranges {
  template <class T>
  CAMBIUM_HD value_range<T> operator()(value_range<T> a, value_range<T> b) const
  {
    return {b.low < a.low ? b.low : a.low, a.high < b.high ? b.high : a.high};
  }
};

}  // namespace cambium
