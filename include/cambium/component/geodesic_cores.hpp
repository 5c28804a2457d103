#pragma once
// The schedule of geodesic for cores: Dijkstra's algorithm with a radix heap. Any other policy iterates the rules.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Cells by distance, nearest first. No distance is below the last one taken. A cell waits in the bucket of the highest
/// digit in which the bits of its distance differ from those of the last one, and of the value of that digit.
/// @source Ahuja, Mehlhorn, Orlin, Tarjan, "Faster algorithms for the shortest path problem", JACM 1990: the two-level
///         radix heap, here with digits of 6 bits; batches closer together than the cheapest step: Dinitz 1978
template <class T>
class radix_heap {
 public:
  struct entry {
    T distance;  ///< >= 0, finite
    std::int32_t cell;
  };

  void clear()
  {
    for (auto& b : bucket_) b.clear();
    for (auto& f : filled_) f = 0;
    filled_levels_ = 0, last_ = 0;
  }
  void push(T distance, std::int32_t cell)
  {
    key const at = bits_of(distance), apart = at ^ last_;
    int const level = apart == 0 ? 0 : (static_cast<int>(std::bit_width(apart)) - 1) / digit;
    auto const value = static_cast<int>(at >> (level * digit) & (places - 1));
    bucket_[level * places + value].push_back({distance, cell});
    filled_[level] |= std::uint64_t{1} << value;
    filled_levels_ |= 1U << level;
  }
  /// Take the nearest cells: all of one distance, or more if they are closer together than `gap`, the cheapest step.
  /// @param stale  stale(entry): was a shorter way found since? Some such entries are left out
  /// @return whether there was a cell
  template <class Stale>
  bool take(std::vector<entry>& batch, T gap, Stale const& stale)
  {
    while (filled_levels_ != 0) {
      int const level = std::countr_zero(filled_levels_), value = std::countr_zero(filled_[level]);
      batch.clear();
      std::swap(batch, bucket_[level * places + value]);
      filled_[level] &= filled_[level] - 1;
      if (filled_[level] == 0) filled_levels_ &= filled_levels_ - 1;
      T low = batch.front().distance, high = low;
      for (entry const& e : batch) low = std::min(low, e.distance), high = std::max(high, e.distance);
      last_ = bits_of(low);
      if (level == 0 || high < low + gap) return true;
      for (entry const& e : batch)
        if (!stale(e)) push(e.distance, e.cell);  // into lower levels
    }
    return false;
  }

 private:
  using key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr int digit = 6, places = 1 << digit, levels = (8 * static_cast<int>(sizeof(T)) + digit - 1) / digit;
  static key bits_of(T distance)  // of numbers >= 0: in their order
  {
    key bits;
    std::memcpy(&bits, &distance, sizeof bits);
    return bits;
  }

  std::vector<entry> bucket_[std::size_t{levels * places}];
  std::uint64_t filled_[std::size_t{levels}]{};  ///< bit v: the bucket of value v has an entry
  unsigned filled_levels_ = 0;
  key last_ = 0;
};

/// A cell in a search.
template <class T, class Label>
struct geodesic_cell {
  T distance;
  Label label;
};

/// What cores search in. It grows to the largest map.
template <class T, class Label>
struct geodesic_cores_scratch {
  radix_heap<T> heap;
  std::vector<typename radix_heap<T>::entry> batch;
  std::vector<std::int32_t> plateau;
  grid<T, 1> toll;
  grid<geodesic_cell<T, Label>, 1> first, second;
};

namespace rule {

/// The least key of a row of costs, and whether one is negative or NaN.
template <class T>
struct row_of_costs {
  using key = order_key_t<T>;
  T const* row;
  index_t length;
  key* least;
  bool* fault;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    using keys = bits<T, lanes>;
    key const infinity = order_key(std::numeric_limits<T>::infinity());
    key low = infinity, odd = 0;  // odd: negative if a key is, or beyond infinity
    index_t x = 0;
    if (length >= lanes) {
      keys some = keys{} + infinity, alarm{};
      for (; x + lanes <= length; x += lanes) {
        pack<T, lanes> const v = lanes_at<lanes>(row + x).v + T(0);  // -0 becomes 0
        keys const here = (keys)v;                                   // in the order of numbers >= 0
        some = here < some ? here : some;
        alarm |= here | (here > infinity);
      }
      for (int l = 0; l < lanes; ++l) low = std::min<key>(low, some[l]), odd |= alarm[l];
    }
    for (; x < length; ++x) {
      key const here = std::bit_cast<key>(row[x] + T(0));
      low = std::min(low, here), odd |= here > infinity ? key{-1} : here;
    }
    *least = low, *fault = odd < 0;
  }
};

}  // namespace rule

/// Throw unless all steps on the map cost 0 or more.
/// @return the least cost; infinity without a step
template <class T>
T expects_costs(cpu const& where, stack_view<T const> cost, neighbourhood const& near)
{
  isa const set = vectors_of(where);
  order_key_t<T> least = order_key(std::numeric_limits<T>::infinity());
  for (int k = 0; k < near.size; ++k) {
    offset const to = after(near, k);
    index_t const first = to.dx < 0 ? -to.dx : 0, last = cost.extent[2] - (to.dx > 0 ? to.dx : 0);
    for (index_t y = 0; y + to.dy < cost.extent[1] && first < last; ++y) {
      order_key_t<T> low{};
      bool fault = false;
      T const* const row = &cost(k, y, first);
      run_widest(set, rule::row_of_costs<T>{row, last - first, &low, &fault});
      least = std::min(least, low);
      for (index_t x = first; fault && x < last; ++x)
        expects(row[x - first] >= 0, "geodesic: cost(", k, ",", y, ",", x, ") is ", row[x - first],
                "; expected a number >= 0");
    }
  }
  return from_order_key<T>(least);
}

/// The steps of a map, cell by cell, so that a search finds those of one cell together. A frame of cells lies around the
/// map, and no step leads there: a search needs no look at the border.
template <class T>
struct geodesic_steps {
  static constexpr int tolls = 4;  ///< of a cell, c4 or c8
  T const* toll;                   ///< [(H + 2) * (W + 2)] cells: of the steps to the cells after it
  index_t width;                   ///< of a row, with its frame
  int size = 0;                    ///< neighbours of a cell
  std::int32_t number[8]{};        ///< from a cell to its neighbour
  index_t at[8]{};                 ///< from the cell's tolls to that of the step

  /// @param room  (H + 2) * (W + 2) * tolls
  geodesic_steps(stack_view<T const> cost, neighbourhood const& near, T* room) : toll(room), width(cost.extent[2] + 2)
  {
    T const never = std::numeric_limits<T>::infinity();
    index_t const H = cost.extent[1], W = cost.extent[2];
    std::fill_n(room, (H + 2) * width * tolls, never);
    for (int k = 0; k < near.size; ++k) {
      offset const to = after(near, k);
      auto const apart = static_cast<std::int32_t>(to.dy * width + to.dx);
      number[size] = apart, at[size++] = k;
      number[size] = -apart, at[size++] = k - apart * tolls;  // the other end owns the edge
      index_t const first = to.dx < 0 ? -to.dx : 0, last = W - (to.dx > 0 ? to.dx : 0);
      for (index_t y = 0; y + to.dy < H; ++y) {
        T const* const from = &cost(k, y, 0);
        T* const row = room + cell(y, 0) * tolls + k;
        for (index_t x = first; x < last; ++x) row[x * tolls] = from[x];
      }
    }
  }

  index_t cell(index_t y, index_t x) const { return (y + 1) * width + x + 1; }

  /// visit(neighbour, distance over the cell) for each neighbour that is not nearer than that already.
  ///
  /// Whether a neighbour is, is not predictable: all are compared before the first branch.
  template <int Size, class Cell, class Visit>
  [[gnu::always_inline]] void around(std::int32_t from, T here, Cell const* cells, Visit const& visit) const
  {
    T there[std::size_t{Size}];
    unsigned farther = 0;
    CAMBIUM_UNROLL
    for (int i = 0; i < Size; ++i) {
      there[i] = here + toll[from * index_t{tolls} + at[i]];
      farther |= static_cast<unsigned>(there[i] <= cells[from + number[i]].distance) << i;
    }
    for (; farther != 0; farther &= farther - 1) {
      int const i = std::countr_zero(farther);
      visit(from + number[i], there[i]);
    }
  }

  /// Ask for what a visit of a cell will read.
  template <class Cell>
  [[gnu::always_inline]] void fetch(std::int32_t from, Cell const* cells) const
  {
    __builtin_prefetch(toll + from * index_t{tolls});
    __builtin_prefetch(toll + (from - width) * tolls);
    __builtin_prefetch(cells + from);
    __builtin_prefetch(cells + from - width);
    __builtin_prefetch(cells + from + width);
  }
};

/// Search from the cells in the heap.
///
/// @param gap      no step costs less
/// @param limit    [distance] no farther; finite
/// @param cells    of the map and its frame
/// @param joined   joined(cell, neighbour): does the step exist?
/// @param arrive   arrive(cell, neighbour, shorter): the way over `cell`, whose distance is final, is shorter than those
///                 before, or equal. @return whether the neighbour has changed
template <int Size, class T, class Label, class Joined, class Arrive>
void geodesic_search(cpu const& where, geodesic_steps<T> const& steps, T gap, T limit, geodesic_cell<T, Label>* cells,
                     Joined const& joined, Arrive const& arrive, geodesic_cores_scratch<T, Label>& scratch)
{
  using entry = typename radix_heap<T>::entry;
  auto const stale = [&](entry const& e) { return cells[e.cell].distance < e.distance; };
  auto& batch = scratch.batch;
  auto& plateau = scratch.plateau;
  std::size_t taken = 0;
  while (scratch.heap.take(batch, gap, stale)) {
    std::size_t const before = std::exchange(taken, taken + batch.size());
    if (before >> 14 != taken >> 14) ask_to_stop(where);
    T const nearest = batch.front().distance;
    bool const free_steps = nearest + gap == nearest;  // cells may reach each other without cost
    if (free_steps && batch.size() > 1)
      std::sort(batch.begin(), batch.end(), [&](entry const& p, entry const& q) {
        Label const a = cells[p.cell].label, b = cells[q.cell].label;
        return a != b ? a < b : p.cell < q.cell;
      });
    constexpr std::size_t ahead = 6;
    for (std::size_t i = 0; i < std::min(ahead, batch.size()); ++i) steps.fetch(batch[i].cell, cells);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (i + ahead < batch.size()) steps.fetch(batch[i + ahead].cell, cells);
      if (stale(batch[i])) continue;
      std::int32_t cell = batch[i].cell;
      while (true) {
        T const here = cells[cell].distance;
        steps.template around<Size>(cell, here, cells, [&](std::int32_t next, T there) {
          if (!(there <= limit) || !joined(cell, next)) return;
          bool const shorter = there < cells[next].distance;
          cells[next].distance = there;
          bool const changed = arrive(cell, next, shorter) || shorter;
          if (there == here) {
            if (changed) plateau.push_back(next);
          } else if (shorter) {
            scratch.heap.push(there, next);
          }
        });
        if (plateau.empty()) break;
        cell = plateau.back();
        plateau.pop_back();
      }
    }
  }
}

}  // namespace cambium
