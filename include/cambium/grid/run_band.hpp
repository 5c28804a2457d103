#pragma once
// Runs of equal cells in a band of rows, and sets of them.

#include <cambium/core/index.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace cambium {

/// A row in words. Each list has one word more than the row needs.
struct row_words {
  std::vector<std::uint64_t> inside;  ///< of a mask
  std::vector<std::uint64_t> begin;   ///< first cells of runs
  std::vector<std::uint64_t> end;     ///< cells one past a run

  void resize(index_t width)
  {
    auto const words = static_cast<std::size_t>(width / 64 + 1);
    inside.assign(words, 0), begin.assign(words, 0), end.assign(words, 0);
  }
};

/// Sets of numbered items, each known by its smallest member.
template <class Index>
class disjoint_sets {
 public:
  void add() { parent_.push_back(static_cast<Index>(parent_.size())); }
  Index size() const { return static_cast<Index>(parent_.size()); }
  Index& operator[](Index i) { return parent_[static_cast<std::size_t>(i)]; }
  Index operator[](Index i) const { return parent_[static_cast<std::size_t>(i)]; }
  void clear() { parent_.clear(); }
  void resize(index_t n) { parent_.resize(static_cast<std::size_t>(n)); }
  void reserve(index_t n) { parent_.reserve(static_cast<std::size_t>(n)); }
  /// Make room for n items. Those that are new have no set yet.
  Index* extend(index_t n)
  {
    resize(n);
    return parent_.data();
  }

  /// The smallest member of the set of i; shortens the way there for the next caller.
  Index find(Index i)
  {
    Index* const parent = parent_.data();
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }

  /// Joins the sets of two items. Returns the smallest member of the union.
  Index join(Index a, Index b)
  {
    a = find(a);
    b = find(b);
    Index const smaller = std::min(a, b);
    parent_[static_cast<std::size_t>(std::max(a, b))] = smaller;
    return smaller;
  }

 private:
  cells_t<Index> parent_;
};

/// Positions where a row of bytes changes between zero and non-zero: first cell of each run, one past its last.
inline void find_runs(std::uint8_t const* row, index_t width, cells_t<std::int32_t>& ends)
{
  std::uint64_t carry = 0;  // was the cell before this word set?
  for (index_t x = 0; x < width; x += 64) {
    index_t const n = std::min<index_t>(64, width - x);
    std::uint64_t const set = nonzero_bits(row + x, n);
    std::uint64_t changes = set ^ (set << 1 | carry);
    if (n < 64) changes &= (std::uint64_t{1} << n) - 1;
    for (; changes != 0; changes &= changes - 1)
      ends.push_back(static_cast<std::int32_t>(x + std::countr_zero(changes)));
    carry = set >> (n - 1) & 1;
  }
  if (carry != 0) ends.push_back(static_cast<std::int32_t>(width));
}

/// The runs of some rows of a map, and which of them belong together.
template <class Index>
struct run_band {
  index_t first_row = 0;
  Index offset = 0;              ///< number of runs in the bands above
  cells_t<std::int32_t> ends;    ///< of run i: [ends[2i], ends[2i+1])
  std::vector<Index> row_begin;  ///< the first run of each row, and one past the last run
  disjoint_sets<Index> sets;     ///< of runs of this band
  row_words rows[2];             ///< the last two rows in words, if a run's row is found in words

  Index runs() const { return static_cast<Index>(ends.size() / 2); }
  std::int32_t begin(Index i) const { return ends[2 * static_cast<std::size_t>(i)]; }
  std::int32_t end(Index i) const { return ends[2 * static_cast<std::size_t>(i) + 1]; }
  /// Calls meet(upper run, lower run) for every pair of runs that touch: `above` is the row over
  /// `row` of this band, `corner` 1 when corners count.
  template <class Meet>
  void for_each_contact(run_band const& above, Index above_begin, Index above_end, index_t row, std::int32_t corner,
                        Meet const& meet) const
  {
    Index up = above_begin;
    Index const last = row_begin[static_cast<std::size_t>(row + 1)];
    for (Index low = row_begin[static_cast<std::size_t>(row)]; low < last; ++low) {
      std::int32_t const from = begin(low) - corner, to = end(low) + corner;
      if (up > above_begin && above.end(up - 1) > from) --up;  // labels: it touched the run before, and this one too
      while (up < above_end && above.end(up) <= from) ++up;
      for (; up < above_end && above.begin(up) < to; ++up) {
        meet(up, low);
        if (above.end(up) >= to) break;  // may touch the next run too
      }
    }
  }
};

}  // namespace cambium
