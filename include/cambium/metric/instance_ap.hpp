#pragma once

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/metric/confusion.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

namespace cambium {

/// Predicted and true objects of one image, and the overlap of each pair.
struct image_result {
  std::vector<std::int32_t> predicted;  ///< P classes, 0 <= c < most_classes
  std::vector<float> score;             ///< P scores, not NaN
  std::vector<std::int32_t> truth;      ///< G classes, 0 <= c < most_classes
  grid<float, 2> iou;                   ///< [P,G] from mask_iou or label_iou
};

/// Classes are below this number. Results are lists over classes, so a wrong number must not allocate gigabytes.
inline constexpr std::int32_t most_classes = 1 << 20;

/// Compute the overlap of every predicted mask with every true mask.
///
/// @param predicted  [P,H,W] non-zero inside
/// @param truth      [G,H,W]
/// @return [P,G] intersection over union, computed in double, rounded to float; NaN for two empty masks
/// @throws       precondition_error
/// @complexity   Theta(P * G * H * W)
/// @determinism  exact
/// @source       mask_iou of chainercv, which stores float32
template <stack_like Q, stack_like G>
[[nodiscard]] grid<float, 2> mask_iou(Q const& predicted, G const& truth)
{
  auto const p = as_view<3>(predicted, "mask_iou: predicted");
  auto const t = as_view<3>(truth, "mask_iou: truth");
  expects(p.extent[0] == 0 || t.extent[0] == 0 || (p.extent[1] == t.extent[1] && p.extent[2] == t.extent[2]),
          "mask_iou: predicted is ", p, " but truth is ", t);
  grid<float, 2> out(p.extent[0], t.extent[0]);
  for (index_t i = 0; i < p.extent[0]; ++i)
    for (index_t j = 0; j < t.extent[0]; ++j) {
      index_t both = 0, either = 0;
      for (index_t y = 0; y < p.extent[1]; ++y)
        for (index_t x = 0; x < p.extent[2]; ++x) {
          bool const a = p(i, y, x) != 0, b = t(j, y, x) != 0;
          both += a && b;
          either += a || b;
        }
      out(i, j) = static_cast<float>(static_cast<double>(both) / static_cast<double>(either));
    }
  return out;
}

/// Compute the same for disjoint objects, from two label maps in one pass.
///
/// @param predicted  [H,W] 0 background, 1..P
/// @param P          number of predicted objects, >= 0
/// @param truth      [H,W] 0 background, 1..T, or `ignore`
/// @param T          number of true objects, >= 0
/// @param ignore     negative or > T: cells with this truth count for no object. chainercv has no such cells. There
///                   void counts against a prediction that covers it
/// @return [P,T] as mask_iou
/// @throws       precondition_error: different shapes, labels outside their ranges, an `ignore` that is an object's
///         number
/// @complexity   Theta(H * W + P * T)
template <image_like Q, image_like G>
[[nodiscard]] grid<float, 2> label_iou(Q const& predicted, index_t P, G const& truth, index_t T, index_t ignore = -1)
{
  static_assert(std::is_integral_v<value_of<Q, 2>> && std::is_integral_v<value_of<G, 2>>,
                "label_iou: labels are integers");
  auto const p = as_view<2>(predicted, "label_iou: predicted");
  auto const t = as_view<2>(truth, "label_iou: truth");
  expects(same_shape(p, t), "label_iou: predicted is ", p, " but truth is ", t);
  expects(P >= 0 && T >= 0, "label_iou: ", P, " predicted and ", T, " true objects");
  expects(ignore < 0 || ignore > T, "label_iou: ignore is ", ignore, ", which is one of ", T, " true objects");
  grid<index_t, 2> both(P + 1, T + 1);
  for_each_pair_run(p, t, [&](index_t y, index_t x, index_t cells) {
    auto const a = static_cast<index_t>(p(y, x)), b = static_cast<index_t>(t(y, x));
    if (b == ignore) return;
    expects(0 <= a && a <= P && 0 <= b && b <= T, "label_iou: cell (", y, ",", x, ") is object ", a, " of ", P,
            " predicted and ", b, " of ", T, " true ones");
    both(a, b) += cells;
  });
  std::vector<index_t> area_p(static_cast<std::size_t>(P + 1)), area_t(static_cast<std::size_t>(T + 1));
  for (index_t a = 0; a <= P; ++a)
    for (index_t b = 0; b <= T; ++b) {
      area_p[static_cast<std::size_t>(a)] += both(a, b);
      area_t[static_cast<std::size_t>(b)] += both(a, b);
    }
  grid<float, 2> out(P, T);
  for (index_t a = 1; a <= P; ++a)
    for (index_t b = 1; b <= T; ++b) {
      index_t const either = area_p[static_cast<std::size_t>(a)] + area_t[static_cast<std::size_t>(b)] - both(a, b);
      out(a - 1, b - 1) = static_cast<float>(static_cast<double>(both(a, b)) / static_cast<double>(either));
    }
  return out;
}

/// The reduction of a precision-recall curve to one number.
enum class ap_form {
  area,   ///< area under the curve made monotone: VOC 2010 and later
  voc07,  ///< mean of the precision at recall 0, 0.1, ..., 1
};

/// AP^r of every class, and their mean over classes with ground truth.
struct average_precision {
  std::vector<double> of_class;  ///< NaN without ground truth of the class, 0 with ground truth but without predictions
  double mean = std::numeric_limits<double>::quiet_NaN();
};

/// Sort the positions of a list, highest score first; of equal scores the later one first.
inline std::vector<std::size_t> by_score(std::vector<float> const& score)
{
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] < score[b]; });
  std::reverse(order.begin(), order.end());
  return order;
}

/// Build a precision-recall curve point by point, from matches in the order of their scores.
inline double area_of_curve(std::vector<bool> const& match, index_t positives, ap_form form)
{
  std::vector<double> precision, recall;
  index_t hits = 0;
  for (std::size_t i = 0; i < match.size(); ++i) {
    hits += match[i];
    precision.push_back(static_cast<double>(hits) / static_cast<double>(i + 1));
    recall.push_back(static_cast<double>(hits) / static_cast<double>(positives));
  }
  double ap = 0;
  if (form == ap_form::voc07) {
    for (int step = 0; step <= 10; ++step) {
      double best = 0;
      for (std::size_t i = 0; i < recall.size(); ++i)
        if (recall[i] >= step * 0.1) best = std::max(best, precision[i]);
      ap += best / 11;
    }
    return ap;
  }
  for (std::size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double before = 0;
  for (std::size_t i = 0; i < recall.size(); ++i) {
    if (recall[i] != before) ap += (recall[i] - before) * precision[i];
    before = recall[i];
  }
  return ap;
}

/// Throw unless every image of a list is valid. Returns the largest class plus one.
inline std::int32_t expects_results(std::vector<image_result> const& images)
{
  std::int32_t classes = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const& r = images[i];
    auto const P = static_cast<index_t>(r.predicted.size()), G = static_cast<index_t>(r.truth.size());
    expects(r.score.size() == r.predicted.size(), "instance_ap: image ", i, " has ", P, " predictions but ",
            static_cast<index_t>(r.score.size()), " scores");
    expects(P * G == 0 || (r.iou.shape()[0] == P && r.iou.shape()[1] == G), "instance_ap: image ", i, " has ", P,
            " predictions and ", G, " true objects but overlaps ", r.iou.view());
    for (float const s : r.score) expects(!std::isnan(s), "instance_ap: a score of image ", i, " is NaN");
    for (auto const* list : {&r.predicted, &r.truth})
      for (std::int32_t const c : *list) {
        expects(0 <= c && c < most_classes, "instance_ap: a class of image ", i, " is ", c, ", outside 0..",
                most_classes - 1);
        classes = std::max(classes, c + 1);
      }
  }
  return classes;
}

/// Compute the average precision of instance masks at one overlap threshold.
///
/// In each image the predictions of a class are processed by falling score. Each is matched to the true object with the
/// largest overlap. It is a hit if that overlap reaches the threshold and the object is still free.
///
/// @param images     every image of the set
/// @param threshold  in [0,1]; usually 0.25, 0.5, 0.7 and 0.75
/// @param form       area or voc07
///
/// @throws       precondition_error: an invalid image, a threshold outside [0,1]
/// @complexity   O(sum over images of P * G + (P + G) * the classes on it, + n log n + largest class), n predictions
/// @determinism  exact; of equal scores the later one comes first, as a stable ascending sort read backwards
/// @source       eval_instance_segmentation_voc of chainercv. Overlap and threshold are compared in float. Two empty
///               masks (0/0) match. NumPy's unstable order of equal scores is not reproduced
[[nodiscard]] inline average_precision instance_ap(std::vector<image_result> const& images, double threshold,
                                                   ap_form form = ap_form::area)
{
  expects(threshold >= 0 && threshold <= 1, "instance_ap: threshold is ", threshold, ", outside [0,1]");
  std::vector<std::vector<image_result const*>> with(static_cast<std::size_t>(expects_results(images)));
  for (auto const& r : images)
    for (auto const* list : {&r.predicted, &r.truth})
      for (std::int32_t const c : *list)
        if (auto& of = with[static_cast<std::size_t>(c)]; of.empty() || of.back() != &r) of.push_back(&r);
  average_precision out;
  for (std::size_t c = 0; c < with.size(); ++c) {
    std::vector<float> score;
    std::vector<bool> match;
    index_t positives = 0;
    for (image_result const* const image : with[c]) {
      image_result const& r = *image;
      std::vector<std::size_t> mine, theirs;
      std::vector<float> my_score;
      for (std::size_t i = 0; i < r.predicted.size(); ++i)
        if (static_cast<std::size_t>(r.predicted[i]) == c) mine.push_back(i), my_score.push_back(r.score[i]);
      for (std::size_t j = 0; j < r.truth.size(); ++j)
        if (static_cast<std::size_t>(r.truth[j]) == c) theirs.push_back(j);
      positives += static_cast<index_t>(theirs.size());
      std::vector<bool> taken(theirs.size(), false);
      for (std::size_t const i : by_score(my_score)) {
        std::size_t best = 0;
        float most = -1;
        for (std::size_t j = 0; j < theirs.size(); ++j) {
          float const iou = r.iou(mine[i], theirs[j]);
          if (std::isnan(most)) break;  // 0/0 wins, as in NumPy's argmax
          if (iou > most || std::isnan(iou)) most = iou, best = j;
        }
        bool const hit = !theirs.empty() && !(most < static_cast<float>(threshold)) && !taken[best];
        if (!theirs.empty() && !(most < static_cast<float>(threshold))) taken[best] = true;
        score.push_back(my_score[i]);
        match.push_back(hit);
      }
    }
    if (positives == 0) {
      out.of_class.push_back(std::numeric_limits<double>::quiet_NaN());
      continue;
    }
    std::vector<bool> sorted;
    for (std::size_t const i : by_score(score)) sorted.push_back(match[i]);
    out.of_class.push_back(area_of_curve(sorted, positives, form));
  }
  out.mean = mean_defined(out.of_class);
  return out;
}

/// Compute AP at several thresholds, in their order.
[[nodiscard]] inline std::vector<average_precision> instance_ap(std::vector<image_result> const& images,
                                                                std::vector<double> const& thresholds,
                                                                ap_form form = ap_form::area)
{
  std::vector<average_precision> out;
  for (double const t : thresholds) out.push_back(instance_ap(images, t, form));
  return out;
}

/// Compute the average best overlap. For every true object it is the largest overlap with a prediction of its class, or
/// 0 without predictions. It is averaged over the objects of a class, then over classes.
/// @throws  precondition_error: an invalid image
/// @source  Pont-Tuset & Van Gool 2015; ABO of Zhou et al., CVPR 2018 (PRM)
[[nodiscard]] inline average_precision average_best_overlap(std::vector<image_result> const& images)
{
  std::int32_t const classes = expects_results(images);
  std::vector<double> sum(static_cast<std::size_t>(classes), 0.0);
  std::vector<index_t> objects(sum.size(), 0);
  for (auto const& r : images)
    for (std::size_t j = 0; j < r.truth.size(); ++j) {
      double best = 0;
      for (std::size_t i = 0; i < r.predicted.size(); ++i)
        if (r.predicted[i] == r.truth[j]) best = std::max(best, static_cast<double>(r.iou(i, j)));
      sum[static_cast<std::size_t>(r.truth[j])] += best;
      ++objects[static_cast<std::size_t>(r.truth[j])];
    }
  average_precision out;
  for (std::size_t c = 0; c < sum.size(); ++c)
    out.of_class.push_back(objects[c] == 0 ? std::numeric_limits<double>::quiet_NaN()
                                           : sum[c] / static_cast<double>(objects[c]));
  out.mean = mean_defined(out.of_class);
  return out;
}

}  // namespace cambium
