#pragma once
// Components of a map from its runs, in words where the machine counts bits.

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/run_band.hpp>
#include <cambium/grid/run_words.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cambium {

/// How many bands, runs and components link_runs found. The labels of the runs are in the first band's sets.
struct linked_runs {
  std::size_t bands = 0;
  index_t runs = 0;
  index_t count = 0;
};

/// By what the labels of components ascend.
enum class label_order {
  raster,  ///< the first cell of each, row by row
  blocks,  ///< the first block of 2 x 2 cells that it touches, row of blocks by row of blocks: OpenCV's order where
           ///< corners connect. With edge neighbours OpenCV's order is raster
};

/// Number sets of runs by the first block of 2 x 2 cells that they touch.
///
/// @param all  of each run the smallest run of its set; becomes the label
/// @pre        corners connect, so that a block holds one component
/// @return the number of components
template <class Index>
index_t number_by_blocks(std::vector<run_band<Index>> const& bands, linked_runs const& linked, index_t H,
                         disjoint_sets<Index>& all)
{
  struct first_block {
    std::int32_t x;
    Index set;
  };
  std::vector<first_block> fresh;
  index_t count = 0;
  Index pair_begin = 0;  // the first run of this row of blocks
  std::size_t b = 0;
  for (index_t y = 0; y < H; ++y) {
    while (b + 1 < linked.bands && bands[b + 1].first_row <= y) ++b;
    auto const& band = bands[b];
    auto const row = static_cast<std::size_t>(y - band.first_row);
    if (y % 2 == 0) pair_begin = band.offset + band.row_begin[row];
    for (Index i = band.row_begin[row]; i < band.row_begin[row + 1]; ++i)
      if (Index const set = all[band.offset + i]; set >= pair_begin) fresh.push_back({band.begin(i) / 2, set});
    if (y % 2 == 0 && y + 1 < H) continue;
    std::sort(fresh.begin(), fresh.end(), [](first_block const& p, first_block const& q) { return p.x < q.x; });
    for (first_block const& f : fresh)
      if (all[f.set] == f.set) all[f.set] = ~static_cast<Index>(++count);  // negative: it has its label
    fresh.clear();
  }
  for (Index i = 0; i < static_cast<Index>(linked.runs); ++i)
    all[i] = all[i] < 0 ? ~all[i] : all[all[i]];  // a set's smallest run comes first
  return count;
}

/// Find the runs of a map and number their components: bands of rows in parallel, joined at their borders.
///
/// @param find   find(y, band) appends the runs of row y; find.joins(y, x, x2) tells whether a run of row y that begins
///               at x2 belongs to one of row y - 1 that begins at x, if they touch; find.words() may do both in words
/// @param size   [cells] of the map
/// @param bands  of any earlier call: they grow to the largest number of runs
/// @param order  of labels; blocks where corners connect and all runs are equal
/// @source runs and union-find by smallest member (Rosenfeld & Pfaltz 1966; Rem in Dijkstra 1976)
template <class Index, class Find>
linked_runs link_runs(cpu const& where, neighbourhood const& near, Find const& find, extent2 size,
                      std::vector<run_band<Index>>& bands, label_order order = label_order::raster)
{
  std::int32_t const corner = near == c8 ? 1 : 0;
  index_t const H = size.height, W = size.width;
  if (H == 0 || W == 0) return {};
  index_t const most = std::max<index_t>(1, std::min({static_cast<index_t>(thread_count(where)), H, H * W / 65536}));
  if (bands.size() < static_cast<std::size_t>(most)) bands.resize(static_cast<std::size_t>(most));
  auto const used = static_cast<std::size_t>(most);
  [[maybe_unused]] isa const set = vectors_of(where);
  as_team(static_cast<int>(most), most, claims::near, [&](index_t b) {
    auto& band = bands[static_cast<std::size_t>(b)];
    index_t const first = H * b / most, last = H * (b + 1) / most;
    band.first_row = first;
    band.ends.clear(), band.row_begin.clear(), band.sets.clear();
    band.row_begin.push_back(0);
    if constexpr (requires { find.words(); })
      if (set != isa::baseline)  // words are counted in an instruction that the oldest machines lack
        return run_widest(set, link_band<decltype(find.words()), Index>{find.words(), corner == 1, last, band});
    for (index_t y = first; y < last; ++y) {
      find(y, band);
      Index const begin = band.row_begin.back(), end = band.runs();
      band.row_begin.push_back(end);
      Index const above = y > first ? band.row_begin[static_cast<std::size_t>(y - first - 1)] : begin;
      for (Index low = begin; low < end; ++low) band.sets.add();
      band.for_each_contact(band, above, begin, y - first, corner, [&](Index up, Index low) {
        if (find.joins(y, band.begin(up), band.begin(low))) band.sets.join(low, up);
      });
    }
  });

  // One numbering for all bands, in the first one's sets.
  index_t total = 0;
  for (std::size_t b = 0; b < used; ++b) {
    bands[b].offset = static_cast<Index>(total);
    total += bands[b].runs();
  }
  disjoint_sets<Index>& all = bands[0].sets;
  all.resize(total);
  for (std::size_t b = 1; b < used; ++b)
    for (Index i = 0; i < bands[b].runs(); ++i) all[bands[b].offset + i] = bands[b].offset + bands[b].sets[i];
  for (std::size_t b = 1; b < used; ++b) {
    auto const& above = bands[b - 1];
    std::size_t const rows = above.row_begin.size();
    if (rows < 2 || bands[b].row_begin.size() < 2) continue;
    bands[b].for_each_contact(above, above.row_begin[rows - 2], above.row_begin[rows - 1], 0, corner,
                              [&](Index up, Index low) {
                                if (find.joins(bands[b].first_row, above.begin(up), bands[b].begin(low)))
                                  all.join(bands[b].offset + low, above.offset + up);
                              });
  }
  linked_runs linked{used, total, 0};
  if (order == label_order::blocks) {
    for (Index i = 0; i < static_cast<Index>(total); ++i) all[i] = all[all[i]];
    linked.count = number_by_blocks(bands, linked, H, all);
    return linked;
  }
  for (Index i = 0; i < static_cast<Index>(total); ++i) {  // parents come before children and already hold their label
    Index const parent = all[i], label = all[parent];
    bool const smallest = parent == i;
    linked.count += smallest;
    all[i] = smallest ? static_cast<Index>(linked.count) : label;
  }
  return linked;
}

}  // namespace cambium
