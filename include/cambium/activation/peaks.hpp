#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/union_find.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Mark the cells no cell of the window around them exceeds.
///
/// @param where   cpu
/// @param maps    [C,H,W] finite
/// @param kernel  [cells] side of the window, odd; it is cut at the border
/// @return [C,H,W] 0 or 1; every cell of a plateau is marked
///
/// @throws       precondition_error: an even kernel, NaN or infinite values
/// @complexity   Theta(C * H * W) where few cells exceed their neighbours; O(C * H * W * kernel^2)
/// @determinism  exact
/// @source       peak_extract, PAM/point_extraction.py of clovaai/BESTIE: max_pool2d(map) == map
template <stack_like M>
[[nodiscard]] grid<std::uint8_t, 3> local_maxima(cpu const& where, M const& maps, index_t kernel)
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "local_maxima: maps");
  expects_window(kernel, "local_maxima");
  expects_finite(where, in, "local_maxima: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<std::uint8_t>({C, H, W});
  for_each_share(where, W == 0 ? 0 : C * H, 16, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      local_maximum<T> const here{in[at / H], {}, kernel / 2};
      for (index_t x = 0; x < W; ++x) out(at / H, at % H, x) = here(at % H, x);
    }
  });
  return out;
}

struct peak_options {
  index_t kernel = 15;     ///< [cells] side of the window that a peak must dominate; odd
  index_t most = 25;       ///< [count] of a channel, K; the largest are kept
  double threshold = 0.1;  ///< smaller scores are no peaks
  plateau plateaus = plateau::every_cell;
};

/// Find the peaks of each channel.
///
/// A peak is positive, not below the threshold, and not exceeded inside its window.
///
/// @param where    cpu
/// @param maps     [C,H,W] finite, for example normalised and smoothed class maps; absent classes are 0 everywhere
/// @param options  kernel = 15, most = 25, threshold = 0.1, plateaus = every_cell
/// @return points with the channel as category and the map's value as score: channels ascending, of a channel by falling
///         score, equal ones in raster order
///
/// @throws       precondition_error: NaN or infinite values, an even kernel, most < 1, a NaN threshold
/// @complexity   as local_maxima, of cells above the threshold
/// @determinism  exact
/// @source       peak_extract and the main program of PAM/point_extraction.py, extract_peak of utils/utils.py of
///               clovaai/BESTIE; the comparison of a float with the threshold is in double, as theirs. Theirs
///               leaves the order of equal scores open and refuses maps of less than K cells
template <stack_like M>
[[nodiscard]] points extract_peaks(cpu const& where, M const& maps, peak_options options = {})
{
  using T = value_of<M, 3>;
  static_assert(std::is_floating_point_v<T>, "extract_peaks: maps are of float or double");
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  expects_window(options.kernel, "extract_peaks");
  expects(options.most >= 1, "extract_peaks: most is ", options.most);
  expects(!std::isnan(options.threshold), "extract_peaks: threshold is nan");
  expects_finite(where, in, "extract_peaks: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  std::vector<points> found(static_cast<std::size_t>(C));
  for_each_share(where, H * W == 0 ? 0 : C, 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      local_maximum<T> const here{in[c], {}, options.kernel / 2};
      std::vector<place> cells;
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          T const v = in(c, y, x);
          if (v > 0 && static_cast<double>(v) >= options.threshold && here(y, x)) cells.push_back({y, x});
        }
      if (options.plateaus == plateau::one_cell) cells = one_of_each_plateau(here, cells);
      std::stable_sort(cells.begin(), cells.end(), [&](place a, place b) { return in(c, a.y, a.x) > in(c, b.y, b.x); });
      if (static_cast<index_t>(cells.size()) > options.most) cells.resize(static_cast<std::size_t>(options.most));
      for (place const at : cells)
        found[static_cast<std::size_t>(c)].push_back({static_cast<double>(at.y), static_cast<double>(at.x),
                                                      static_cast<std::int32_t>(c),
                                                      static_cast<double>(in(c, at.y, at.x))});
    }
  });
  points out;
  for (auto const& of_channel : found) out.insert(out.end(), of_channel.begin(), of_channel.end());
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Is no cell of the window around a cell larger than it? As local_maximum, of a stack.
template <class T, class S>
struct window_maximum {
  stack_view<T const, S> maps;
  index_t reach;

  CAMBIUM_HD bool operator()(index_t c, index_t y, index_t x) const
  {
    return above(c, y, x, reach < 1 ? reach : 1) && (reach <= 1 || above(c, y, x, reach));
  }

 private:
  CAMBIUM_HD bool above(index_t c, index_t y, index_t x, index_t by) const
  {
    index_t const H = maps.extent[1], W = maps.extent[2];
    index_t const top = y < by ? 0 : y - by, bottom = by < H - y ? y + by : H - 1;
    index_t const left = x < by ? 0 : x - by, right = by < W - x ? x + by : W - 1;
    T const mine = maps(c, y, x);
    for (index_t v = top; v <= bottom; ++v)
      for (index_t u = left; u <= right; ++u)
        if (maps(c, v, u) > mine) return false;
    return true;
  }
};

/// Rule of local_maxima.
template <class T, class S>
struct mark_maximum {
  window_maximum<T, S> here;
  stack_view<std::uint8_t, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { out(c, y, x) = here(c, y, x) ? 1 : 0; }
};

/// Mark the cells no cell of the window around them exceeds, on a device.
///
/// @param out  [C,H,W] of std::uint8_t
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as local_maxima in peaks.hpp; NaN exceeds nothing and is exceeded by nothing.
template <execution_policy P, stack_like M, stack_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void local_maxima_into(P const& where, M const& maps, index_t kernel, O&& out)
{
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "local_maxima: maps");
  stack_view<std::uint8_t, S> const to = as_view<3>(out, "local_maxima: out");
  expects_window(kernel, "local_maxima");
  expects(same_shape(in, to), "local_maxima: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "local_maxima: maps and out overlap");
  for_each_cell(where, in.extent, mark_maximum<value_of<M, 3>, S>{{in, kernel / 2}, to});
}

/// As local_maxima_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<std::uint8_t, 3, typename P::memory> local_maxima(P const& where, M const& maps, index_t kernel)
{
  auto out = make_grid<std::uint8_t>(where, as_view<3>(maps, "local_maxima: maps").extent);
  local_maxima_into(where, maps, kernel, out);
  return out;
}

/// Memory for finding peaks under a policy P. It grows to the largest maps.
template <class P>
struct peak_scratch {
  using S = typename P::memory;
  grid<std::int32_t, 1, S> marked;  ///< of every cell: is it a peak?
  grid<std::int32_t, 1, S> before;  ///< of every cell: peaks before it; and of all
  grid<std::int32_t, 1, S> parent;  ///< of every cell, where plateaus count once
  grid<plateau_tally, 1, S> plateau;
  grid<std::uint64_t, 1, S> key, sorted_key;
  grid<std::int32_t, 1, S> cell, sorted_cell;
  grid<std::int32_t, 1, S> begin, kept, offset;  ///< of every channel
  workspace<P> running;
};

/// Rule: is a cell a peak?
template <class T, class S>
struct mark_peak {
  window_maximum<T, S> here;
  double threshold;
  std::int32_t* marked;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    auto const& maps = here.maps;
    T const v = maps(c, y, x);
    bool const peak = v > 0 && static_cast<double>(v) >= threshold && here(c, y, x);
    marked[(c * maps.extent[1] + y) * maps.extent[2] + x] = peak ? 1 : 0;
  }
};

/// Rule: how many peaks there are, behind the running sum.
struct count_marked {
  std::int32_t const* marked;
  index_t cells;
  std::int32_t* before;

  CAMBIUM_HD void operator()(index_t) const { before[cells] = before[cells - 1] + marked[cells - 1]; }
};

/// Marked cells that touch and are equal, as a relation.
template <class T, class S>
struct same_plateau {
  stack_view<T const, S> maps;
  std::int32_t const* marked;

  CAMBIUM_HD bool inside(index_t c, index_t y, index_t x) const
  {
    return marked[(c * maps.extent[1] + y) * maps.extent[2] + x] != 0;
  }
  CAMBIUM_HD bool join(index_t c, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return maps(c, y, x) == maps(c, ny, nx);
  }
};

/// Rule: a marked cell meets its plateau.
struct gather_plateau {
  plateau_tally::round now;
  index_t height, width;
  std::int32_t const* parent;
  std::int32_t const* before;
  plateau_tally* plateau;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (parent[i] >= 0) plateau[before[parent[i]]].meet(now, i / width % height, i % width, i);
  }
};

/// Rule: only the place of a plateau stays marked.
struct keep_place_of_plateau {
  std::int32_t const* parent;
  std::int32_t const* before;
  plateau_tally const* plateau;
  std::int32_t* marked;

  CAMBIUM_HD void operator()(index_t i) const
  {
    marked[i] = parent[i] >= 0 && plateau[before[parent[i]]].at == i ? 1 : 0;
  }
};

/// Rule: put a marked cell on the list, with what it is sorted by.
template <class T, class S>
struct list_peak {
  stack_view<T const, S> maps;
  std::int32_t const* marked;
  std::int32_t const* before;
  std::uint64_t* key;
  std::int32_t* cell;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const i = (c * maps.extent[1] + y) * maps.extent[2] + x;
    if (marked[i] == 0) return;
    // A larger score has a smaller key. Scores are positive, so that the sign bit is free.
    constexpr int width = 8 * static_cast<int>(sizeof(T)) - 1;
    constexpr std::uint64_t most = (std::uint64_t{1} << width) - 1;
    std::uint64_t const falling = most - static_cast<std::uint64_t>(order_key(maps(c, y, x)));
    key[before[i]] = sizeof(T) == 4 ? static_cast<std::uint64_t>(c) << width | falling : falling;
    cell[before[i]] = static_cast<std::int32_t>(i);
  }
};

/// Rule: what the second sort of long keys is by, the channel.
struct key_of_channel {
  std::int32_t const* cell;
  index_t cells;  ///< of a channel
  std::uint64_t channels;
  std::uint64_t* key;

  CAMBIUM_HD void operator()(index_t k) const
  {
    key[k] = cell[k] < 0 ? channels : static_cast<std::uint64_t>(cell[k] / cells);
  }
};

/// Rule: where a channel begins and ends on the sorted list.
struct find_channel {
  std::int32_t const* cell;
  index_t limit;
  index_t cells;  ///< of a channel
  std::int32_t* begin;
  std::int32_t* end;

  CAMBIUM_HD void operator()(index_t k) const
  {
    if (cell[k] < 0) return;
    index_t const c = cell[k] / cells;
    if (k == 0 || cell[k - 1] / cells != c) begin[c] = static_cast<std::int32_t>(k);
    if (k + 1 == limit || cell[k + 1] < 0 || cell[k + 1] / cells != c) end[c] = static_cast<std::int32_t>(k + 1);
  }
};

/// Rule: how many peaks a channel keeps.
struct keep_most {
  index_t most;
  std::int32_t const* begin;
  std::int32_t* kept;  ///< holds where the channel ends

  CAMBIUM_HD void operator()(index_t c) const
  {
    std::int32_t const n = kept[c] - begin[c];
    kept[c] = n < most ? n : static_cast<std::int32_t>(most);
  }
};

/// Rule: the number of all peaks kept.
template <class S>
struct total_kept {
  std::int32_t const* kept;
  std::int32_t const* offset;
  index_t channels;
  view<index_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t) const
  {
    count(0) = channels == 0 ? 0 : index_t{offset[channels - 1]} + kept[channels - 1];
  }
};

/// Rule: a peak on the sorted list as a point.
template <class T, class S>
struct write_peak {
  stack_view<T const, S> maps;
  std::int32_t const* cell;
  std::int32_t const* begin;
  std::int32_t const* kept;
  std::int32_t const* offset;
  view<point, 1, S> out;

  CAMBIUM_HD void operator()(index_t k) const
  {
    if (cell[k] < 0) return;
    index_t const W = maps.extent[2], row = cell[k] / W, c = row / maps.extent[1], y = row % maps.extent[1];
    index_t const x = cell[k] % W, rank = k - begin[c];
    if (rank >= kept[c] || offset[c] + rank >= out.extent[0]) return;
    out(offset[c] + rank) = point{static_cast<double>(y), static_cast<double>(x), static_cast<std::int32_t>(c),
                                  static_cast<double>(maps(c, y, x))};
  }
};

/// The stages of extract_peaks on a device.
template <class P, class T>
struct peak_finder {
  using S = typename P::memory;
  P const& where;
  stack_view<T const, S> maps;
  peak_options options;
  peak_scratch<P>& scratch;

  index_t channels() const { return maps.extent[0]; }
  index_t cells() const { return maps.size(); }

  void check() const
  {
    static_assert(std::is_floating_point_v<T>, "extract_peaks: maps are of float or double");
    expects_window(options.kernel, "extract_peaks");
    expects(options.most >= 1, "extract_peaks: most is ", options.most);
    expects(!std::isnan(options.threshold), "extract_peaks: threshold is nan");
    expects(cells() < std::numeric_limits<std::int32_t>::max(), "extract_peaks: maps are ", maps,
            ", more than 2^31 - 2 cells");
  }

  /// Marks the cells that are peaks and counts them.
  /// @return where on the policy's memory their number is
  std::int32_t const* mark() const
  {
    std::int32_t* const marked = reserve(where, scratch.marked, cells());
    for_each_cell(where, maps.extent, mark_peak<T, S>{{maps, options.kernel / 2}, options.threshold, marked});
    return number();
  }

  /// Sorts them, `limit` at the most, and counts what is kept of each channel.
  void sort(index_t limit, view<index_t, 1, S> count) const
  {
    index_t const C = channels(), of_channel = maps.extent[1] * maps.extent[2];
    std::int32_t* const marked = scratch.marked.view().data;
    if (options.plateaus == plateau::one_cell) thin_plateaus(limit);
    std::int32_t const* const before = scratch.before.view().data;
    auto* const key = reserve(where, scratch.key, limit);
    auto* const cell = reserve(where, scratch.cell, limit);
    auto* const sorted_key = reserve(where, scratch.sorted_key, limit);
    auto* const sorted = reserve(where, scratch.sorted_cell, limit);
    constexpr int width = 8 * static_cast<int>(sizeof(T)) - 1;
    auto const behind = static_cast<std::uint64_t>(C);  // the channel of entries that are none
    int const channel_bits = static_cast<int>(std::bit_width(behind));
    constexpr std::uint64_t largest = (std::uint64_t{1} << width) - 1;
    fill(where, limit, key, sizeof(T) == 4 ? behind << width | largest : largest);
    fill(where, limit, cell, std::int32_t{-1});
    for_each_cell(where, maps.extent, list_peak<T, S>{maps, marked, before, key, cell});
    auto const by_key = [&](int bits) {
      sort_by_key(where, limit, static_cast<std::uint64_t const*>(key), static_cast<std::int32_t const*>(cell),
                  sorted_key, sorted, bits, scratch.running);
    };
    if constexpr (sizeof(T) == 4) {
      by_key(width + channel_bits);
    } else {  // both do not fit a key: by score, then, keeping that order, by channel
      by_key(width);
      for_each_index(where, limit, key_of_channel{sorted, of_channel, behind, key});
      sort_by_key(where, limit, static_cast<std::uint64_t const*>(key), static_cast<std::int32_t const*>(sorted),
                  sorted_key, cell, channel_bits, scratch.running);
    }
    auto* const begin = reserve(where, scratch.begin, C);
    auto* const kept = reserve(where, scratch.kept, C);
    auto* const offset = reserve(where, scratch.offset, C);
    fill(where, C, begin, std::int32_t{0});
    fill(where, C, kept, std::int32_t{0});
    for_each_index(where, limit, find_channel{listed(), limit, of_channel, begin, kept});
    for_each_index(where, C, keep_most{options.most, begin, kept});
    exclusive_scan(where, C, static_cast<std::int32_t const*>(kept), offset, scratch.running);
    for_each_index(where, 1, total_kept<S>{kept, offset, C, count});
  }

  /// Writes them.
  void write(index_t limit, view<point, 1, S> out) const
  {
    for_each_index(where, limit,
                   write_peak<T, S>{maps, listed(), scratch.begin.view().data, scratch.kept.view().data,
                                    scratch.offset.view().data, out});
  }

 private:
  /// The sorted list: long keys are sorted twice, to and fro.
  std::int32_t const* listed() const
  {
    return sizeof(T) == 4 ? scratch.sorted_cell.view().data : scratch.cell.view().data;
  }

  std::int32_t const* number() const
  {
    std::int32_t const* const marked = scratch.marked.view().data;
    std::int32_t* const before = reserve(where, scratch.before, cells() + 1);
    exclusive_scan(where, cells(), marked, before, scratch.running);
    for_each_index(where, 1, count_marked{marked, cells(), before});
    return before + cells();
  }

  void thin_plateaus(index_t limit) const
  {
    std::int32_t* const marked = scratch.marked.view().data;
    std::int32_t const* const before = scratch.before.view().data;
    std::int32_t* const parent = reserve(where, scratch.parent, cells());
    plateau_tally* const tally = reserve(where, scratch.plateau, limit);
    find_sets(where, maps.extent, c8, same_plateau<T, S>{maps, marked}, parent);
    fill(where, limit, tally, plateau_tally{});
    using round = plateau_tally::round;
    for (auto const now : {round::sums, round::high, round::low, round::place})
      for_each_index(where, cells(), gather_plateau{now, maps.extent[1], maps.extent[2], parent, before, tally});
    for_each_index(where, cells(), keep_place_of_plateau{parent, before, tally, marked});
    number();
  }
};

/// Find the peaks of each channel on a device.
///
/// @param out      [N] of point, in the policy's memory: the first `count` are written. What does not fit is left out; no
///                 more than C * most can be
/// @param count    [1] of index_t, in the policy's memory: how many there are, also where out is shorter
/// @param scratch  of any earlier call; it grows to the largest maps and allocates nothing else
///
/// @pre          less than 2^31 - 1 cells; NaN is no peak, and does not keep others from being one
/// @throws       precondition_error before anything is written, gpu_error
/// @complexity   as local_maxima, and a sort of C * H * W keys, since their number stays on the device: extract_peaks
///               waits for it instead and sorts peaks only. 32 bytes a cell, 84 where plateaus count once
/// @determinism  exact: what the cpu says
/// @asynchrony   enqueues and returns
///
/// Everything else as extract_peaks in peaks.hpp.
template <execution_policy P, stack_like M, class Out, class N>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>> && gridded<Out, 1> && gridded<N, 1>
void extract_peaks_into(P const& where, M const& maps, peak_options options, Out&& out, N&& count,
                        peak_scratch<P>& scratch)
{
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  view<point, 1, S> const to = as_view<1>(out, "extract_peaks: out");
  view<index_t, 1, S> const number = as_view<1>(count, "extract_peaks: count");
  peak_finder<P, value_of<M, 3>> const find{where, in, options, scratch};
  find.check();
  expects(number.extent[0] == 1, "extract_peaks: count is ", number, " instead of one cell");
  expects(!overlap(in, to) && !overlap(in, number) && !overlap(to, number),
          "extract_peaks: maps, out and count overlap");
  if (find.cells() == 0) return fill(where, index_t{1}, number.data, index_t{0});
  find.mark();
  find.sort(find.cells(), number);
  find.write(find.cells(), to);
}

/// As extract_peaks_into, and allocates.
/// @return [count] of point in the memory of the policy
/// @asynchrony gpu: waits for where.stream twice, for the numbers of peaks found and kept
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<point, 1, typename P::memory> extract_peaks(P const& where, M const& maps, peak_options options = {})
{
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  peak_scratch<P> scratch;
  peak_finder<P, value_of<M, 3>> const find{where, in, options, scratch};
  find.check();
  index_t const found = find.cells() == 0 ? 0 : read_cell(where, find.mark());
  if (found == 0) return make_grid<point>(where, {0});
  auto count = make_grid<index_t>(where, {1});
  find.sort(found, count);
  auto out = make_grid<point>(where, {read_cell(where, count.view().data)});
  find.write(found, out);
  return out;
}

}  // namespace cambium
