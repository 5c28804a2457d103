#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
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
  int const n = into.classes;
  auto const for_each_counted = [&](auto const& each) {
    for (index_t y = 0; y < p.extent[0]; ++y)
      for (index_t x = 0; x < p.extent[1]; ++x) {
        auto const want = static_cast<index_t>(t(y, x)), have = static_cast<index_t>(p(y, x));
        if (want >= 0 && want != options.ignore) each(y, x, want, have);
      }
  };
  for_each_counted([&](index_t y, index_t x, index_t want, index_t have) {
    expects(want < n, "accumulate: truth(", y, ",", x, ") is ", want, " but there are ", n, " classes");
    expects(have == options.ignore || (0 <= have && have < n), "accumulate: predicted(", y, ",", x, ") is ", have,
            " but there are ", n, " classes");
  });
  for_each_counted([&](index_t, index_t, index_t want, index_t have) {
    if (have == options.ignore) {
      if (options.predicted == unsure::dropped) return;
      have = options.predicted == unsure::missed ? n : label::background;
    }
    ++into.at(static_cast<int>(want), static_cast<int>(have));
  });
}

/// Whether the truth has a pixel of a class beside the background. Where it has none, as a mask of 0 and 255 has none, a
/// mean IoU says how much is background and nothing of labels.
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

}  // namespace cambium
