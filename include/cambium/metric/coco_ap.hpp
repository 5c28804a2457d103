#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/coco_pair.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace cambium {

/// A range of areas. Objects outside it count neither as missing nor as false.
struct area_range {
  double least = 0;  ///< <= most
  double most = 1e10;
};

struct coco_ap_options {
  /// in [0,1], ascending, at least one. The ninth is that of NumPy's linspace(0.5, 0.95, 10), as in all evaluations
  std::vector<double> thresholds{0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95};
  int recall_points = 101;  ///< 0 to 1 in equal steps; >= 2
  /// at least one
  std::vector<area_range> areas{{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}};
  std::vector<index_t> detections{1, 10, 100};  ///< largest numbers per category and image; ascending, from 1
};

/// Precision and recall of COCO's evaluation. -1 where no true object exists.
struct coco_scores {
  index_t thresholds = 0, recalls = 0, categories = 0, areas = 0, limits = 0;
  std::vector<double> precision;  ///< [thresholds, recalls, categories, areas, limits]
  std::vector<double> recall;     ///< [thresholds, categories, areas, limits]
  std::vector<double> threshold;  ///< the values of the first axis

  double& precision_at(index_t t, index_t r, index_t k, index_t a, index_t m)
  {
    return precision[static_cast<std::size_t>((((t * recalls + r) * categories + k) * areas + a) * limits + m)];
  }
  double precision_at(index_t t, index_t r, index_t k, index_t a, index_t m) const
  {
    return const_cast<coco_scores*>(this)->precision_at(t, r, k, a, m);
  }
  double& recall_at(index_t t, index_t k, index_t a, index_t m)
  {
    return recall[static_cast<std::size_t>(((t * categories + k) * areas + a) * limits + m)];
  }
  double recall_at(index_t t, index_t k, index_t a, index_t m) const
  {
    return const_cast<coco_scores*>(this)->recall_at(t, k, a, m);
  }
};

/// Sort positions, highest score first; of equal scores the earlier one first.
inline std::vector<std::size_t> by_falling_score(std::vector<double> const& score)
{
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
  return order;
}

/// What the evaluation of one category needs at every threshold and for every range of areas.
struct coco_category_pairs {
  /// A detection in the order of all images: by falling score; of equal scores the earlier image first.
  struct ranked_detection {
    std::size_t flag;  ///< its place among the flags of coco_matches
    index_t place;     ///< on its image, by falling score
  };

  std::vector<coco_pair const*> pairs;
  std::vector<std::vector<std::size_t>> order;  ///< of each pair's detections by falling score, up to the largest limit
  std::vector<std::vector<double>> most;        ///< the largest overlap of each detection, in that order; at most 1
  std::vector<std::size_t> begin;               ///< of each pair's flags
  std::vector<ranked_detection> ranked;

  void add(coco_pair const& pair) { pairs.push_back(&pair); }

  /// Sort the detections, at most `limit` of each pair.
  void rank(index_t limit)
  {
    std::vector<double> score;
    std::vector<ranked_detection> all;
    for (coco_pair const* const pair : pairs) {
      auto& mine = order.emplace_back(by_falling_score(pair->score));
      if (static_cast<index_t>(mine.size()) > limit) mine.resize(static_cast<std::size_t>(limit));
      begin.push_back(all.size());
      auto& largest = most.emplace_back();
      for (std::size_t d = 0; d < mine.size(); ++d) {
        double best = -1;
        for (std::size_t g = 0; g < pair->truth_area.size(); ++g) best = std::max(best, pair->iou(mine[d], g));
        largest.push_back(std::min(best, 1.0));
        all.push_back({all.size(), static_cast<index_t>(d)});
        score.push_back(pair->score[mine[d]]);
      }
    }
    for (std::size_t const at : by_falling_score(score)) ranked.push_back(all[at]);
  }
};

/// The matches of one category at one threshold, for one range of areas.
class coco_matches {
 public:
  /// @param range  objects outside it, and crowds, do not count
  coco_matches(coco_category_pairs const& category, area_range range)
      : category_(category), range_(range), hit(category.ranked.size()), ignored(hit.size())
  {
    for (coco_pair const* const pair : category.pairs) {
      auto& flags = unasked_.emplace_back();
      for (std::size_t g = 0; g < pair->crowd.size(); ++g) {
        double const area = pair->truth_area[g];
        flags.push_back(pair->crowd[g] != 0 || area < range.least || area > range.most);
        objects += flags.back() == 0;
      }
      auto& asked_first = objects_.emplace_back(flags.size());
      std::iota(asked_first.begin(), asked_first.end(), std::size_t{0});
      std::stable_partition(asked_first.begin(), asked_first.end(), [&](std::size_t g) { return flags[g] == 0; });
    }
  }

  /// Match detections with true objects.
  ///
  /// Detections of an image are processed by falling score. Each takes the free object with the largest overlap, if the
  /// overlap reaches the threshold. A crowd may be taken any number of times. Objects that count come first: an object
  /// that does not count is taken only if no other is left. Of equal overlaps the later object wins.
  ///
  /// @source evaluateImg, PythonAPI/pycocotools/cocoeval.py of cocodataset/cocoapi
  void match(double threshold)
  {
    for (std::size_t i = 0; i < category_.pairs.size(); ++i) {
      coco_pair const& pair = *category_.pairs[i];
      auto const& unasked = unasked_[i];
      std::size_t const none = unasked.size();
      taken_.assign(none, 0);
      for (std::size_t place = 0; place < category_.order[i].size(); ++place) {
        std::size_t const d = category_.order[i][place];
        std::size_t best = none;
        double most = std::min(threshold, 1 - 1e-10);
        if (category_.most[i][place] >= most)
          for (std::size_t const g : objects_[i]) {
            if (taken_[g] != 0 && pair.crowd[g] == 0) continue;
            if (best != none && unasked[best] == 0 && unasked[g] != 0) break;
            double const overlap = std::min(pair.iou(d, g), 1.0);
            if (overlap < most) continue;
            most = overlap, best = g;
          }
        if (best != none) taken_[best] = 1;
        std::size_t const flag = category_.begin[i] + place;
        hit[flag] = best != none;
        ignored[flag] = best != none ? unasked[best] : pair.area[d] < range_.least || pair.area[d] > range_.most;
      }
    }
  }

 private:
  coco_category_pairs const& category_;
  area_range range_;
  std::vector<std::vector<std::uint8_t>> unasked_;  ///< of each pair's objects: a crowd, or outside the range
  std::vector<std::vector<std::size_t>> objects_;   ///< of each pair, those that count first
  std::vector<std::uint8_t> taken_;

 public:
  index_t objects = 0;                ///< that count
  std::vector<std::uint8_t> hit;      ///< the detection matches a true object
  std::vector<std::uint8_t> ignored;  ///< the detection does not count
};

/// Precision and recall of the detections under one limit. Both change only at hits, so only those are stored.
struct coco_curve {
  std::vector<double> precision;  ///< at each hit, made monotone
  double recall = 0;              ///< of all detections

  void follow(coco_category_pairs const& category, coco_matches const& matches, index_t limit)
  {
    precision.clear();
    index_t hits = 0, counted = 0;
    for (auto const& [flag, place] : category.ranked) {
      if (place >= limit || matches.ignored[flag] != 0) continue;
      ++counted;
      if (matches.hit[flag] == 0) continue;
      ++hits;
      precision.push_back(static_cast<double>(hits) /
                          (static_cast<double>(counted) + std::numeric_limits<double>::epsilon()));
    }
    recall = static_cast<double>(hits) / static_cast<double>(matches.objects);
    for (std::size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  }
};

/// Throw precondition_error unless the options are valid.
inline void expects_options(coco_ap_options const& options)
{
  expects(options.recall_points >= 2, "coco_ap: ", options.recall_points, " recall points");
  expects(!options.thresholds.empty(), "coco_ap: no threshold");
  for (double const t : options.thresholds) expects(t >= 0 && t <= 1, "coco_ap: a threshold is ", t, ", outside [0,1]");
  expects(std::is_sorted(options.thresholds.begin(), options.thresholds.end()),
          "coco_ap: the thresholds are not in ascending order");
  expects(!options.areas.empty(), "coco_ap: no range of areas");
  for (area_range const& a : options.areas)
    expects(a.least <= a.most, "coco_ap: a range of areas is ", a.least, " to ", a.most);
  expects(!options.detections.empty() && options.detections[0] >= 1 &&
              std::is_sorted(options.detections.begin(), options.detections.end()),
          "coco_ap: the limits of detections are not ascending numbers from 1");
}

/// Throw precondition_error unless pair number i is valid.
inline void expects_pair(coco_pair const& p, index_t i, index_t categories)
{
  auto const D = static_cast<index_t>(p.score.size()), G = static_cast<index_t>(p.truth_area.size());
  expects(0 <= p.category && p.category < categories, "coco_ap: pair ", i, " is of category ", p.category,
          ", outside 0..", categories - 1);
  expects(p.area.size() == p.score.size(), "coco_ap: pair ", i, " has ", D, " scores but ",
          static_cast<index_t>(p.area.size()), " areas");
  expects(p.crowd.size() == p.truth_area.size(), "coco_ap: pair ", i, " has ", G, " true areas but ",
          static_cast<index_t>(p.crowd.size()), " flags of crowds");
  expects(D * G == 0 || (p.iou.shape()[0] == D && p.iou.shape()[1] == G), "coco_ap: pair ", i, " has ", D,
          " detections and ", G, " true objects but overlaps ", p.iou.view());
  for (auto const* list : {&p.score, &p.area, &p.truth_area})
    for (double const v : *list) expects(std::isfinite(v), "coco_ap: a score or an area of pair ", i, " is ", v);
  if (D * G > 0)
    for (double const v : p.iou.cells())
      expects(v >= 0 && v <= 1 + 1e-9, "coco_ap: an overlap of pair ", i, " is ", v, ", outside [0,1]");
}

/// Measure precision and recall of instance masks as COCO does.
///
/// The detections of all images are sorted by falling score. A detection that matches a true object by the threshold or
/// more is a hit. Detections on crowds or outside the range of areas do not count. All others are false alarms.
/// Precision is made monotone in recall and read at the first place that reaches each recall point. Beyond the last
/// recall it is 0.
///
/// @param where       how many threads; each takes the categories one by one
/// @param pairs       images in ascending order of their ids, each with a category at most once. This is not checked,
///                    because pairs do not know their image. Pairs without detections and objects may be left out
/// @param categories  K, larger than every category that occurs
/// @param options     the thresholds, recall points, areas and limits of the benchmark
/// @return arrays with -1 where a category has no true object in the range
///
/// @throws       precondition_error: lists of different lengths, scores or areas that are not finite, overlaps outside
///               [0,1], categories outside 0..K-1, empty lists of thresholds or limits, thresholds or limits outside
///               their ranges or not ascending, no range of areas, a range whose ends are swapped or NaN
/// @complexity   O(thresholds * areas * (sum of D * G + limits * n) + n log n), n detections
/// @determinism  exact, for every number of threads; of equal scores the earlier image, and the earlier detection of an image, comes first
/// @source       COCOeval.evaluate and accumulate, PythonAPI/pycocotools/cocoeval.py of cocodataset/cocoapi. There an
///               object whose id is 0 counts as unmatched. Ids have no effect here
[[nodiscard]] inline coco_scores coco_ap(cpu const& where, std::vector<coco_pair> const& pairs, index_t categories,
                                         coco_ap_options const& options = {})
{
  expects(categories >= 0, "coco_ap: ", categories, " categories");
  expects_options(options);
  for (std::size_t i = 0; i < pairs.size(); ++i) expects_pair(pairs[i], static_cast<index_t>(i), categories);

  auto const T = static_cast<index_t>(options.thresholds.size()), A = static_cast<index_t>(options.areas.size());
  auto const M = static_cast<index_t>(options.detections.size()), R = static_cast<index_t>(options.recall_points);
  coco_scores out{T, R, categories, A, M, {}, {}, options.thresholds};
  out.precision.assign(static_cast<std::size_t>(T * R * categories * A * M), -1);
  out.recall.assign(static_cast<std::size_t>(T * categories * A * M), -1);
  std::vector<double> recall_at;
  for (index_t r = 0; r < R; ++r)
    recall_at.push_back(r == R - 1 ? 1 : static_cast<double>(r) * (1 / static_cast<double>(R - 1)));

  std::vector<coco_category_pairs> by_category(static_cast<std::size_t>(categories));
  for (coco_pair const& pair : pairs) by_category[static_cast<std::size_t>(pair.category)].add(pair);
  for_each_item(where, categories, [&](cpu const&, index_t k) {
    by_category[static_cast<std::size_t>(k)].rank(options.detections.back());
  });
  for_each_item(where, categories * A, [&](cpu const&, index_t item) {
    index_t const k = item / A, a = item % A;
    coco_category_pairs const& category = by_category[static_cast<std::size_t>(k)];
    coco_matches matches(category, options.areas[static_cast<std::size_t>(a)]);
    if (matches.objects == 0) return;
    coco_curve curve;
    for (index_t t = 0; t < T; ++t) {
      matches.match(options.thresholds[static_cast<std::size_t>(t)]);
      for (index_t m = 0; m < M; ++m) {
        curve.follow(category, matches, options.detections[static_cast<std::size_t>(m)]);
        out.recall_at(t, k, a, m) = curve.recall;
        std::size_t hit = 0;  // the first that reaches the recall point
        for (index_t r = 0; r < R; ++r) {
          while (hit < curve.precision.size() && static_cast<double>(hit + 1) / static_cast<double>(matches.objects) <
                                                     recall_at[static_cast<std::size_t>(r)])
            ++hit;
          out.precision_at(t, r, k, a, m) = hit < curve.precision.size() ? curve.precision[hit] : 0;
        }
      }
    }
  });
  return out;
}

/// As coco_ap(where, ...), on all cores.
[[nodiscard]] inline coco_scores coco_ap(std::vector<coco_pair> const& pairs, index_t categories,
                                         coco_ap_options const& options = {})
{
  return coco_ap(cpu{}, pairs, categories, options);
}

/// Mean of the numbers that are not -1; -1 without such numbers.
inline double mean_of_asked(std::vector<double> const& values)
{
  double sum = 0;
  index_t n = 0;
  for (double const v : values)
    if (v > -1) sum += v, ++n;
  return n == 0 ? -1 : sum / static_cast<double>(n);
}

/// Average precision: the mean over thresholds, recall points and categories.
/// @param threshold  one of the thresholds, or a negative number for all
/// @param area       number of the range of areas
/// @param limit      number of the limit of detections
/// @param category   one category, or -1 for all
/// @throws precondition_error if the scores do not have the threshold, area, limit or category
[[nodiscard]] inline double average_precision_of(coco_scores const& s, double threshold, index_t area, index_t limit,
                                                 index_t category = -1)
{
  expects(0 <= area && area < s.areas && 0 <= limit && limit < s.limits && category < s.categories,
          "average_precision_of: area ", area, ", limit ", limit, ", category ", category, " of ", s.areas, ", ",
          s.limits, ", ", s.categories);
  std::vector<double> all;
  bool known = threshold < 0;
  for (index_t t = 0; t < s.thresholds; ++t) {
    if (threshold >= 0 && std::abs(s.threshold[static_cast<std::size_t>(t)] - threshold) > 1e-9) continue;
    known = true;
    for (index_t r = 0; r < s.recalls; ++r)
      for (index_t k = 0; k < s.categories; ++k)
        if (category < 0 || k == category) all.push_back(s.precision_at(t, r, k, area, limit));
  }
  expects(known, "average_precision_of: ", threshold, " is not one of the thresholds");
  return mean_of_asked(all);
}

/// Average recall: the mean over thresholds and categories.
[[nodiscard]] inline double average_recall_of(coco_scores const& s, index_t area, index_t limit)
{
  expects(0 <= area && area < s.areas && 0 <= limit && limit < s.limits, "average_recall_of: area ", area, ", limit ",
          limit, " of ", s.areas, ", ", s.limits);
  std::vector<double> all;
  for (index_t t = 0; t < s.thresholds; ++t)
    for (index_t k = 0; k < s.categories; ++k) all.push_back(s.recall_at(t, k, area, limit));
  return mean_of_asked(all);
}

/// The twelve numbers of COCO's table, in its order; -1 where no true object exists.
struct coco_summary {
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
};

/// @pre the scores have the benchmark's own options
/// @throws precondition_error if they do not
/// @source COCOeval.summarize, PythonAPI/pycocotools/cocoeval.py of cocodataset/cocoapi
[[nodiscard]] inline coco_summary summarise(coco_scores const& s)
{
  expects(s.areas == 4 && s.limits == 3, "summarise: ", s.areas, " ranges of areas and ", s.limits,
          " limits of detections instead of 4 and 3");
  auto const ap = [&](double threshold, index_t area) { return average_precision_of(s, threshold, area, 2); };
  return {ap(-1, 0),
          ap(0.5, 0),
          ap(0.75, 0),
          ap(-1, 1),
          ap(-1, 2),
          ap(-1, 3),
          average_recall_of(s, 0, 0),
          average_recall_of(s, 0, 1),
          average_recall_of(s, 0, 2),
          average_recall_of(s, 1, 2),
          average_recall_of(s, 2, 2),
          average_recall_of(s, 3, 2)};
}

}  // namespace cambium
