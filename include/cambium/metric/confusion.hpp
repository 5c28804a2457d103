#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// What a predicted "not sure" (255) counts as.
enum class unsure {
  background,  ///< class 0: IRNet's evaluation of label maps
  missed,      ///< a wrong prediction of no class
  dropped,     ///< the pixel does not count
};

struct confusion_options {
  int ignore = label::ignore;             ///< this truth, and every negative one, does not count
  unsure predicted = unsure::background;  ///< what `ignore` means in a prediction
};

/// Counts of (truth, prediction), gathered over any number of images.
struct confusion_matrix {
  explicit confusion_matrix(int n) : classes(n)
  {
    expects(n >= 1 && n <= 46340, "confusion_matrix: ", n, " classes");
    count.resize(static_cast<std::size_t>(n) * static_cast<std::size_t>(n + 1));
  }

  int classes;
  std::vector<index_t> count;  ///< [classes, classes + 1]; the last column holds `unsure::missed`

  index_t& at(int truth, int predicted)
  {
    return count[static_cast<std::size_t>(truth) * static_cast<std::size_t>(classes + 1) +
                 static_cast<std::size_t>(predicted)];
  }
  index_t at(int truth, int predicted) const { return const_cast<confusion_matrix*>(this)->at(truth, predicted); }
};

namespace rule {

/// Rows that one call of the rule counts down a column before it takes an atomic step.
inline constexpr index_t confusion_rows = 32;

/// Count the pairs of truth and prediction of a piece of a column.
template <class Q, class G, class S>
struct count_pixel_pairs {
  image_view<Q const, S> predicted;
  image_view<G const, S> truth;
  confusion_options options;
  index_t classes;
  view<index_t, 2, S> count;    ///< [classes, classes + 1]
  view<index_t, 1, S> refused;  ///< [1]

  static constexpr index_t nowhere = -1, wrong = -2;

  /// Where a pair is counted in [classes, classes + 1]; nowhere if it is left out, wrong if it holds no class.
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

  CAMBIUM_HD index_t place_at(index_t y, index_t x) const
  {
    return place(static_cast<index_t>(truth(y, x)), static_cast<index_t>(predicted(y, x)));
  }

  CAMBIUM_HD void operator()(index_t, index_t band, index_t x) const
  {
    index_t const begin = band * confusion_rows;
    index_t const end = begin + confusion_rows < truth.extent[0] ? begin + confusion_rows : truth.extent[0];
    index_t last = nowhere, since = begin;
    for (index_t y = begin; y < end; ++y) {
      index_t const here = place_at(y, x);
      if (here == last) continue;
      add(last, y - since);
      last = here, since = y;
    }
    add(last, end - since);
  }

 private:
  CAMBIUM_HD void add(index_t at, index_t cells) const
  {
    if (at == nowhere || cells == 0) return;
    atomic_add(at == wrong ? &refused(0) : &count(at / (classes + 1), at % (classes + 1)), cells);
  }
};

}  // namespace rule

/// Call visit(y, x, cells) for every run of a row on which both maps keep their values, in raster order.
/// @pre the maps have one shape
template <class Q, class G, class Visit>
void for_each_pair_run(image_view<Q> const& a, image_view<G> const& b, Visit const& visit)
{
  index_t const W = a.extent[1];
  for (index_t y = 0; W > 0 && y < a.extent[0]; ++y) {
    Q const* const one = &a(y, 0);
    G const* const other = &b(y, 0);
    for (index_t x = 0, end; x < W; x = end) {
      for (end = x + 1; end < W && one[end] == one[x] && other[end] == other[x];) ++end;
      visit(y, x, end - x);
    }
  }
}

/// Add one image to a confusion matrix.
///
/// @param predicted  [H,W] 0..classes-1, or options.ignore
/// @param truth      [H,W] 0..classes-1, or options.ignore, or negative
/// @throws       precondition_error for any other value, with its place; the matrix is then unchanged
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       calc_semantic_segmentation_confusion of chainercv; step/eval_sem_seg.py of jiwoon-ahn/irn for 255
template <image_like Q, image_like G>
void accumulate(confusion_matrix& into, Q const& predicted, G const& truth, confusion_options options = {})
{
  static_assert(std::is_integral_v<value_of<Q, 2>> && std::is_integral_v<value_of<G, 2>>,
                "accumulate: labels are integers");
  auto const p = as_view<2>(predicted, "accumulate: predicted");
  auto const t = as_view<2>(truth, "accumulate: truth");
  expects(same_shape(p, t), "accumulate: predicted is ", p, " but truth is ", t);
  index_t const n = into.classes;
  rule::count_pixel_pairs<value_of<Q, 2>, value_of<G, 2>, host> const pairs{p, t, options, n, {}, {}};
  for_each_pair_run(p, t, [&](index_t y, index_t x, index_t) {
    if (pairs.place_at(y, x) != pairs.wrong) return;
    auto const want = static_cast<index_t>(t(y, x)), have = static_cast<index_t>(p(y, x));
    expects(want < n, "accumulate: truth(", y, ",", x, ") is ", want, " but there are ", n, " classes");
    expects(false, "accumulate: predicted(", y, ",", x, ") is ", have, " but there are ", n, " classes");
  });
  for_each_pair_run(p, t, [&](index_t y, index_t x, index_t cells) {
    if (index_t const at = pairs.place_at(y, x); at >= 0) into.count[static_cast<std::size_t>(at)] += cells;
  });
}

/// Does the truth have a pixel of a class beside the background? A mask of 0 and 255 has none. Then a mean IoU tells
/// the share of background and nothing of labels.
inline bool has_class(confusion_matrix const& m)
{
  for (int t = 1; t < m.classes; ++t)
    for (int p = 0; p <= m.classes; ++p)
      if (m.at(t, p) > 0) return true;
  return false;
}

/// Intersection over union of every class; NaN for a class that occurs in neither truth nor prediction.
/// @source calc_semantic_segmentation_iou of chainercv
inline std::vector<double> class_iou(confusion_matrix const& m)
{
  std::vector<double> iou;
  for (int c = 0; c < m.classes; ++c) {
    index_t in_truth = m.at(c, m.classes), predicted = 0;
    for (int i = 0; i < m.classes; ++i) in_truth += m.at(c, i), predicted += m.at(i, c);
    index_t const both = m.at(c, c), either = in_truth + predicted - both;
    iou.push_back(either == 0 ? std::numeric_limits<double>::quiet_NaN()
                              : static_cast<double>(both) / static_cast<double>(either));
  }
  return iou;
}

/// Mean of the numbers that are not NaN; NaN if there is none.
inline double mean_defined(std::vector<double> const& values)
{
  double sum = 0;
  int n = 0;
  for (double const v : values)
    if (!std::isnan(v)) sum += v, ++n;
  return n == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / n;
}

/// The mean intersection over union over the classes that occur.
inline double mean_iou(confusion_matrix const& m) { return mean_defined(class_iou(m)); }

/// Add one image to counts of (truth, prediction) in the memory of a policy.
///
/// @param where      where to run; must reach all memory
/// @param predicted  [H,W] 0..classes-1, or options.ignore
/// @param truth      [H,W] 0..classes-1, or options.ignore, or negative
/// @param count      [classes, classes + 1] of index_t, as confusion_matrix lays them out; they grow
/// @param refused    [1] of index_t: grows by the number of pixels that hold any other value, which count nowhere else
///
/// @throws       precondition_error: shapes that differ, gpu_error
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, image_like Q, image_like G, class N, class R>
  requires reaches<P, space_of<Q, 2>> && gridded<N, 2> && gridded<R, 1>
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
  index_t const bands = (t.extent[0] + rule::confusion_rows - 1) / rule::confusion_rows;
  using pairs = rule::count_pixel_pairs<value_of<Q, 2>, value_of<G, 2>, S>;
  for_each_cell(where, {1, bands, t.extent[1]}, pairs{p, t, options, counts.extent[0], counts, wrong});
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
  requires reaches<P, space_of<Q, 2>>
void accumulate(P const& where, confusion_counts<P>& into, Q const& predicted, G const& truth,
                confusion_options options = {})
{
  accumulate_into(where, predicted, truth, options, into.count, into.refused);
}

/// The matrix that was counted.
///
/// @throws     precondition_error when an image held a value that is no class
/// @asynchrony gpu: waits for where.stream
template <execution_policy P>
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
