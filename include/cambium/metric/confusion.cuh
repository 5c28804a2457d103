#pragma once
// accumulate on a GPU: counts by atomic steps, one a run of equal pairs down a column. The cpu's is in confusion.hpp; the
// counts are the same.

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/fill.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/metric/confusion.hpp>

namespace cambium {

/// Rows that one call of the rule counts down a column before it takes an atomic step.
inline constexpr index_t confusion_rows = 32;

/// Rule: count the pairs of truth and prediction of a piece of a column.
template <class Q, class G, class S>
struct count_pixel_pairs {
  image_view<Q const, S> predicted;
  image_view<G const, S> truth;
  confusion_options options;
  index_t classes;
  view<index_t, 2, S> count;    ///< [classes, classes + 1]
  view<index_t, 1, S> refused;  ///< [1]

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * confusion_rows;
    index_t const end = begin + confusion_rows < truth.extent[0] ? begin + confusion_rows : truth.extent[0];
    index_t last = nowhere, since = begin;
    for (index_t y = begin; y < end; ++y) {
      index_t const here = place(static_cast<index_t>(truth(y, x)), static_cast<index_t>(predicted(y, x)));
      if (here == last) continue;
      add(last, y - since);
      last = here, since = y;
    }
    add(last, end - since);
  }

 private:
  static constexpr index_t nowhere = -1, wrong = -2;

  CAMBIUM_HD index_t place(index_t want, index_t have) const
  {
    if (want < 0 || want == options.ignore) return nowhere;
    if (want >= classes) return wrong;
    if (have == options.ignore) {
      if (options.predicted == unsure::dropped) return nowhere;
      have = options.predicted == unsure::missed ? classes : index_t{label::background};
    } else if (have < 0 || have >= classes) {
      return wrong;
    }
    return want * (classes + 1) + have;
  }

  CAMBIUM_HD void add(index_t at, index_t cells) const
  {
    if (at == nowhere || cells == 0) return;
    atomic_add(at == wrong ? &refused(0) : &count(at / (classes + 1), at % (classes + 1)), cells);
  }
};

/// Add one image to counts of (truth, prediction) on a device.
///
/// @param where      gpu
/// @param predicted  [H,W] 0..classes-1, or options.ignore
/// @param truth      [H,W] 0..classes-1, or options.ignore, or negative
/// @param count      [classes, classes + 1] of index_t, as confusion_matrix lays them out; they grow
/// @param refused    [1] of index_t: grows by the number of pixels that hold any other value, which count nowhere else
///
/// @throws       precondition_error: shapes that differ, gpu_error
/// @complexity   Theta(H * W)
/// @determinism  exact: what the cpu says
/// @asynchrony   enqueues and returns
template <execution_policy P, image_like Q, image_like G, class N, class R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<Q, 2>> && gridded<N, 2> && gridded<R, 1>
void accumulate_into(P const& where, Q const& predicted, G const& truth, confusion_options options, N&& count,
                     R&& refused)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<Q, 2>> && std::is_integral_v<value_of<G, 2>>,
                "accumulate: labels are integers");
  auto const p = as_view<2>(predicted, "accumulate: predicted");
  auto const t = as_view<2>(truth, "accumulate: truth");
  view<index_t, 2, S> const counts = as_view<2>(count, "accumulate: count");
  view<index_t, 1, S> const wrong = as_view<1>(refused, "accumulate: refused");
  expects(same_shape(p, t), "accumulate: predicted is ", p, " but truth is ", t);
  expects(counts.extent[0] >= 1 && counts.extent[1] == counts.extent[0] + 1, "accumulate: count is ", counts,
          ", not [classes, classes + 1]");
  expects(wrong.extent[0] == 1, "accumulate: refused is ", wrong, " instead of one cell");
  expects(
      !overlap(p, counts) && !overlap(t, counts) && !overlap(p, wrong) && !overlap(t, wrong) && !overlap(counts, wrong),
      "accumulate: labels, count and refused overlap");
  index_t const bands = (t.extent[0] + confusion_rows - 1) / confusion_rows;
  for_each_cell(where, {1, bands, t.extent[1]},
                count_pixel_pairs<value_of<Q, 2>, value_of<G, 2>, S>{p, t, options, counts.extent[0], counts, wrong});
}

/// Counts that stay in the memory of a policy over any number of images.
template <class P>
struct confusion_counts {
  grid<index_t, 2, typename P::memory> count;    ///< [classes, classes + 1]
  grid<index_t, 1, typename P::memory> refused;  ///< [1]

  /// All zero.
  confusion_counts(P const& where, int classes)
  {
    confusion_matrix const checked(classes);
    count = make_grid<index_t>(where, {index_t{classes}, index_t{classes} + 1});
    refused = make_grid<index_t>(where, {1});
    fill(where, count.size(), count.view().data, index_t{0});
    fill(where, index_t{1}, refused.view().data, index_t{0});
  }
};

/// As accumulate_into.
template <execution_policy P, image_like Q, image_like G>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<Q, 2>>
void accumulate(P const& where, confusion_counts<P>& into, Q const& predicted, G const& truth,
                confusion_options options = {})
{
  accumulate_into(where, predicted, truth, options, into.count, into.refused);
}

/// The matrix that was counted.
///
/// @throws     precondition_error when an image held a value that is no class
/// @asynchrony gpu: waits for where.stream
template <class P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] confusion_matrix confusion_of(P const& where, confusion_counts<P> const& counts)
{
  auto const read = [&](auto const& from) {
    if constexpr (std::same_as<typename P::memory, host>)
      return from;
    else
      return to_host(where, from);
  };
  index_t const refused = read(counts.refused)(0);
  auto const count = read(counts.count);
  int const classes = static_cast<int>(count.shape()[0]);
  expects(refused == 0, "accumulate: ", refused, " pixels are neither one of ", classes, " classes nor left out");
  confusion_matrix out(classes);
  out.count.assign(count.cells().begin(), count.cells().end());
  return out;
}

}  // namespace cambium
