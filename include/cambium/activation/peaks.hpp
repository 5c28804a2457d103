#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>  // to_vector, for the result
#include <cambium/grid/grid.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/nonzero.hpp>
#include <cambium/grid/plateau.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

/// Mark the cells no cell of the window around them exceeds.
///
/// @param where   where to run; must reach the memory of the maps
/// @param maps    [C,H,W] finite
/// @param kernel  [cells] side of the window, odd; it is cut at the border
/// @param out     [C,H,W] of std::uint8_t, 0 or 1; every cell of a plateau is marked
///
/// @pre          gpu: values are not checked; a NaN exceeds nothing and is exceeded by nothing
/// @throws       precondition_error before anything is written: an even kernel, NaN or infinite values, shapes that
///               differ
/// @complexity   Theta(C * H * W) where few cells exceed their neighbours; O(C * H * W * kernel^2)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       peak_extract, PAM/point_extraction.py of clovaai/BESTIE: max_pool2d(map) == map
template <execution_policy P, stack_like M, stack_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 3>>
void local_maxima_into(P const& where, M const& maps, index_t kernel, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(maps, "local_maxima: maps");
  stack_view<std::uint8_t, S> const to = as_view<3>(out, "local_maxima: out");
  expects_window(kernel, "local_maxima");
  expects(same_shape(in, to), "local_maxima: maps are ", in, " but out is ", to);
  expects(!overlap(in, to), "local_maxima: maps and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "local_maxima: maps");
  constexpr T lowest = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : T{};
  for_each_cell(where, in.extent, rule::mark_maxima<T, S>{in, {}, 0, kernel / 2, lowest, to, true});
}

/// As local_maxima_into, and allocates the result.
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto local_maxima(P const& where, M const& maps, index_t kernel)
    -> grid<std::uint8_t, 3, typename P::memory>
{
  auto out = make_grid<std::uint8_t>(where, as_view<3>(maps, "local_maxima: maps").extent);
  local_maxima_into(where, maps, kernel, out);
  return out;
}

struct peak_options {
  index_t kernel = 15;     ///< [cells] side of the window that a peak must dominate; odd
  index_t most = 25;       ///< [count] of a channel, K; the largest are kept
  double threshold = 0.1;  ///< smaller scores are no peaks
  plateau plateaus = plateau::every_cell;
};

/// Memory for finding peaks under a policy P. It grows to the largest maps.
template <class P>
struct peak_scratch {
  using S = typename P::memory;
  using N = cell_number<P>;
  grid<std::uint8_t, 1, S> marked;  ///< of every cell: is it a peak?
  nonzero_cells<P> listed;
  plateau_scratch<P> plateaus;
  grid<std::uint64_t, 1, S> key, sorted_key;
  grid<N, 1, S> once, twice;         ///< the list, sorted by score, and then by channel
  grid<N, 1, S> begin, kept, offset;  ///< of every channel
};

namespace rule {

/// A number by which a peak is sorted: a larger score has a smaller one. Scores are positive, so their sign bit is
/// free. That of a float holds the channel too.
template <class T, class S, class N>
struct peak_key {
  stack_view<T const, S> maps;
  N const* cell;  ///< -1: no peak, behind the others
  std::uint64_t* key;

  static constexpr int width = 8 * static_cast<int>(sizeof(T)) - 1;

  CAMBIUM_HD void operator()(index_t k) const
  {
    constexpr std::uint64_t most = (std::uint64_t{1} << width) - 1;
    index_t const i = cell[k], H = maps.extent[1], W = maps.extent[2];
    index_t const c = i < 0 ? maps.extent[0] : i / W / H;
    std::uint64_t const falling =
        i < 0 ? most : most - static_cast<std::uint64_t>(order_key(maps(c, i / W % H, i % W)));
    key[k] = sizeof(T) == 4 ? static_cast<std::uint64_t>(c) << width | falling : falling;
  }
};

/// The second sort of long keys is by channel.
template <class N>
struct key_of_channel {
  N const* cell;
  index_t cells;  ///< of a channel
  std::uint64_t channels;
  std::uint64_t* key;

  CAMBIUM_HD void operator()(index_t k) const
  {
    key[k] = cell[k] < 0 ? channels : static_cast<std::uint64_t>(cell[k] / cells);
  }
};

/// Where a channel begins and ends on the sorted list.
template <class N>
struct find_channel {
  N const* cell;
  index_t limit;
  index_t cells;  ///< of a channel
  N* begin;
  N* end;

  CAMBIUM_HD void operator()(index_t k) const
  {
    if (cell[k] < 0) return;
    index_t const c = cell[k] / cells;
    if (k == 0 || cell[k - 1] / cells != c) begin[c] = static_cast<N>(k);
    if (k + 1 == limit || cell[k + 1] < 0 || cell[k + 1] / cells != c) end[c] = static_cast<N>(k + 1);
  }
};

/// How many peaks a channel keeps.
template <class N>
struct keep_most {
  index_t most;
  N const* begin;
  N* kept;  ///< holds where the channel ends

  CAMBIUM_HD void operator()(index_t c) const
  {
    N const n = kept[c] - begin[c];
    kept[c] = n < most ? n : static_cast<N>(most);
  }
};

/// The number of all peaks kept.
template <class S, class N>
struct total_kept {
  N const* kept;
  N const* offset;
  index_t channels;
  view<index_t, 1, S> count;

  CAMBIUM_HD void operator()(index_t) const
  {
    count(0) = channels == 0 ? 0 : index_t{offset[channels - 1]} + kept[channels - 1];
  }
};

/// A peak on the sorted list as a point.
template <class T, class S, class N>
struct write_peak {
  stack_view<T const, S> maps;
  N const* cell;
  N const* begin;
  N const* kept;
  N const* offset;
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

}  // namespace rule

/// The steps of extract_peaks.
template <class P, class T>
struct peak_finder {
  using S = typename P::memory;
  using N = cell_number<P>;
  P const& where;
  stack_view<T const, S> maps;
  peak_options options;
  peak_scratch<P>& scratch;

  index_t cells() const { return maps.size(); }

  void check() const
  {
    static_assert(std::is_floating_point_v<T>, "extract_peaks: maps are of float or double");
    expects_window(options.kernel, "extract_peaks");
    expects(options.most >= 1, "extract_peaks: most is ", options.most);
    expects(!std::isnan(options.threshold), "extract_peaks: threshold is nan");
    expects_numbers(where, cells(), "extract_peaks");
    if constexpr (std::is_same_v<P, cpu>) expects_finite(where, maps, "extract_peaks: maps");
  }

  /// The largest number that is no peak: the threshold is compared in double.
  T above() const
  {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    T const rounded = static_cast<T>(options.threshold);
    T const least = static_cast<double>(rounded) < options.threshold ? std::nextafter(rounded, infinity) : rounded;
    return std::max(T(0), std::nextafter(least, -infinity));
  }

  /// Mark the cells that are peaks and list them. @return the length of the list at most
  index_t mark() const
  {
    stack_view<std::uint8_t, S> const marked(reserve(where, scratch.marked, cells()), maps.extent);
    for_each_cell(where, maps.extent,
                  rule::mark_maxima<T, S>{maps, {}, 0, options.kernel / 2, above(), marked});
    return list_nonzero(where, cells(), static_cast<std::uint8_t const*>(marked.data), scratch.listed);
  }

  /// How many were listed. @asynchrony gpu: waits for where.stream
  index_t found() const { return read_cell(where, static_cast<N const*>(scratch.listed.number.view().data)); }

  /// Cells of peaks by channel and falling score.
  struct sorted_peaks {
    N const* cell;
    index_t limit;  ///< the length at most; -1 behind the last peak
  };

  /// Sort those listed, at most `limit`, and count those kept of each channel.
  sorted_peaks sort(index_t limit, view<index_t, 1, S> count) const
  {
    if (options.plateaus == plateau::one_cell) {
      std::uint8_t* const marked = scratch.marked.view().data;
      thin_plateaus(where, maps, {}, marked, scratch.listed, limit, scratch.plateaus);
      limit = std::min(limit, list_nonzero(where, cells(), static_cast<std::uint8_t const*>(marked), scratch.listed));
    }
    index_t const C = maps.extent[0], of_channel = maps.extent[1] * maps.extent[2];
    N const* const list = scratch.listed.list.view().data;
    std::uint64_t* const key = reserve(where, scratch.key, limit);
    std::uint64_t* const sorted_key = reserve(where, scratch.sorted_key, limit);
    N* const once = reserve(where, scratch.once, limit);
    N* const twice = sizeof(T) == 4 ? once : reserve(where, scratch.twice, limit);
    auto const channels = static_cast<std::uint64_t>(C);  // also the channel of entries without a peak
    int const channel_bits = static_cast<int>(std::bit_width(channels)), width = rule::peak_key<T, S, N>::width;
    auto const by_key = [&](int bits, N const* from, N* to) {
      sort_by_key(where, limit, static_cast<std::uint64_t const*>(key), from, sorted_key, to, bits,
                  scratch.listed.running);
    };
    for_each_index(where, limit, rule::peak_key<T, S, N>{maps, list, key});
    by_key(sizeof(T) == 4 ? width + channel_bits : width, list, once);
    if constexpr (sizeof(T) != 4) {  // both do not fit a key: by score, then, keeping that order, by channel
      for_each_index(where, limit, rule::key_of_channel<N>{once, of_channel, channels, key});
      by_key(channel_bits, once, twice);
    }
    N* const begin = reserve(where, scratch.begin, C);
    N* const kept = reserve(where, scratch.kept, C);
    N* const offset = reserve(where, scratch.offset, C);
    fill(where, C, begin, N{0});
    fill(where, C, kept, N{0});
    for_each_index(where, limit, rule::find_channel<N>{twice, limit, of_channel, begin, kept});
    for_each_index(where, C, rule::keep_most<N>{options.most, begin, kept});
    exclusive_scan(where, C, static_cast<N const*>(kept), offset, scratch.listed.running);
    for_each_index(where, 1, rule::total_kept<S, N>{kept, offset, C, count});
    return {twice, limit};
  }

  /// Write those kept.
  void write(sorted_peaks const& all, view<point, 1, S> out) const
  {
    for_each_index(where, all.limit,
                   rule::write_peak<T, S, N>{maps, all.cell, scratch.begin.view().data, scratch.kept.view().data,
                                             scratch.offset.view().data, out});
  }
};

/// Find the peaks of each channel.
///
/// A peak is positive, not below the threshold, and not exceeded inside its window.
///
/// @param where    where to run; must reach the memory of the maps
/// @param maps     [C,H,W] finite, for example normalised and smoothed class maps; absent classes are 0 everywhere
/// @param options  kernel = 15, most = 25, threshold = 0.1, plateaus = every_cell
/// @param out      [N] of point: the first `count` are written, with the channel as category and the map's value as
///                 score: channels ascending, of a channel by falling score, equal ones in raster order. Peaks that do
///                 not fit are left out; there are at most C * most
/// @param count    [1] of index_t: how many there are, also where out is shorter
/// @param scratch  of any earlier call; it grows to the largest maps and allocates nothing else
///
/// @pre          gpu: less than 2^31 - 1 cells; values are not checked. NaN is no peak and exceeds nothing
/// @throws       precondition_error before anything is written: NaN or infinite values, an even kernel, most < 1, a NaN
///               threshold; gpu_error
/// @complexity   as local_maxima, of cells above the threshold, and a sort of the peaks. gpu: a sort of C * H * W keys,
///               since their number stays on the device; extract_peaks waits for it and sorts peaks only
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       peak_extract and the main program of PAM/point_extraction.py, extract_peak of utils/utils.py of
///               clovaai/BESTIE; the comparison of a float with the threshold is in double, as theirs. Theirs
///               leaves the order of equal scores open and refuses maps of less than K cells
template <execution_policy P, stack_like M, gridded<1> Out, gridded<1> N>
  requires reaches<P, space_of<M, 3>>
void extract_peaks_into(P const& where, M const& maps, peak_options options, Out&& out, N&& count,
                        peak_scratch<P>& scratch)
{
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  view<point, 1, S> const to = as_view<1>(out, "extract_peaks: out");
  view<index_t, 1, S> const number = as_view<1>(count, "extract_peaks: count");
  peak_finder<P, value_of<M, 3>> const find{where, in, options, scratch};
  expects(number.extent[0] == 1, "extract_peaks: count is ", number, " instead of one cell");
  expects(!overlap(in, to) && !overlap(in, number) && !overlap(to, number),
          "extract_peaks: maps, out and count overlap");
  find.check();
  if (find.cells() == 0) return fill(where, index_t{1}, number.data, index_t{0});
  find.write(find.sort(find.mark(), number), to);
}

/// As extract_peaks_into, and allocates.
/// @return [count] of point in the memory of the policy
/// @asynchrony gpu: waits for where.stream twice, for the numbers of peaks found and kept
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto extract_peaks(P const& where, M const& maps, peak_options options = {})
    -> grid<point, 1, typename P::memory>
{
  auto const in = as_view<3>(maps, "extract_peaks: maps");
  peak_scratch<P> scratch;
  peak_finder<P, value_of<M, 3>> const find{where, in, options, scratch};
  find.check();
  if (find.cells() == 0) return make_grid<point>(where, {0});
  find.mark();
  index_t const found = find.found();
  if (found == 0) return make_grid<point>(where, {0});
  auto count = make_grid<index_t>(where, {1});
  auto const sorted = find.sort(found, count);
  auto out = make_grid<point>(where, {read_cell(where, count.view().data)});
  find.write(sorted, out);
  return out;
}

}  // namespace cambium
