#include <cambium/metric/coco_ap.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace cambium;

namespace {

coco_pair pair_of(std::int32_t category, std::vector<double> score, std::vector<double> area,
                  std::vector<double> truth_area, std::vector<std::uint8_t> crowd,
                  std::vector<std::vector<double>> const& iou)
{
  grid<double, 2> overlaps(score.size(), truth_area.size());
  for (std::size_t d = 0; d < score.size(); ++d)
    for (std::size_t g = 0; g < truth_area.size(); ++g) overlaps(d, g) = iou[d][g];
  return {category, std::move(score), std::move(area), std::move(truth_area), std::move(crowd), std::move(overlaps)};
}

struct curve {
  std::vector<double> precision;  ///< at every recall point
  double recall;
};

/// Oracle, by the words of the definition, one category, threshold, range and limit at a time. -1 everywhere where
/// nothing is asked for.
curve by_definition(std::vector<coco_pair> const& pairs, int category, double threshold, area_range range, int most,
                    int limit)
{
  struct detection {
    double score;
    int image, place;
    bool hit, counts;
  };
  std::vector<detection> all;
  int objects = 0;
  for (int i = 0; i < static_cast<int>(pairs.size()); ++i) {
    auto const& p = pairs[i];
    if (p.category != category) continue;
    auto const asked = [&](std::size_t g) {
      return !p.crowd[g] && range.least <= p.truth_area[g] && p.truth_area[g] <= range.most;
    };
    for (std::size_t g = 0; g < p.crowd.size(); ++g) objects += asked(g);
    std::vector<bool> done(p.score.size()), taken(p.crowd.size());
    for (int place = 0; place < static_cast<int>(p.score.size()) && place < most; ++place) {
      std::size_t d = p.score.size();
      for (std::size_t other = 0; other < p.score.size(); ++other)
        if (!done[other] && (d == p.score.size() || p.score[other] > p.score[d])) d = other;
      done[d] = true;
      // the best of those asked for, or else of the others
      int target = -1;
      for (bool const wanted : {true, false}) {
        if (target >= 0) break;
        for (std::size_t g = 0; g < p.crowd.size(); ++g) {
          if (asked(g) != wanted || (taken[g] && !p.crowd[g])) continue;
          if (p.iou(d, g) < std::min(threshold, 1 - 1e-10)) continue;
          if (target < 0 || p.iou(d, g) >= p.iou(d, static_cast<std::size_t>(target))) target = static_cast<int>(g);
        }
      }
      bool counts = range.least <= p.area[d] && p.area[d] <= range.most;
      if (target >= 0) {
        counts = asked(static_cast<std::size_t>(target));
        taken[static_cast<std::size_t>(target)] = true;
      }
      if (place < limit) all.push_back({p.score[d], i, place, target >= 0, counts});
    }
  }
  if (objects == 0) return {std::vector<double>(101, -1), -1};
  std::vector<double> recall, precision;
  std::vector<bool> done(all.size());
  int hits = 0, counted = 0;
  for (std::size_t n = 0; n < all.size(); ++n) {
    std::size_t best = all.size();
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!done[i] && (best == all.size() || all[i].score > all[best].score)) best = i;
    done[best] = true;
    counted += all[best].counts;
    hits += all[best].counts && all[best].hit;
    recall.push_back(hits / static_cast<double>(objects));
    precision.push_back(counted == 0 ? 0 : hits / static_cast<double>(counted));
  }
  curve out{{}, recall.empty() ? 0 : recall.back()};
  for (int r = 0; r <= 100; ++r) {
    double best = 0;
    for (std::size_t i = 0; i < recall.size(); ++i)
      if (recall[i] >= (r == 100 ? 1 : r * 0.01)) best = std::max(best, precision[i]);
    out.precision.push_back(best);
  }
  return out;
}

std::vector<coco_pair> random_pairs(unsigned seed, int images, int categories)
{
  std::mt19937 bits(seed);
  std::vector<coco_pair> out;
  for (int i = 0; i < images; ++i)
    for (int k = 0; k < categories; ++k) {
      if (bits() % 4 == 0) continue;
      std::size_t const D = bits() % 9, G = bits() % 6;
      std::vector<double> score, area, truth_area;
      std::vector<std::uint8_t> crowd;
      auto const some_area = [&] { return std::vector<double>{10, 1024, 1025, 5000, 9216, 20000}[bits() % 6]; };
      for (std::size_t d = 0; d < D; ++d)
        score.push_back(static_cast<double>(bits() % 12) / 12), area.push_back(some_area());
      for (std::size_t g = 0; g < G; ++g) truth_area.push_back(some_area()), crowd.push_back(bits() % 5 == 0);
      std::vector<std::vector<double>> iou(D, std::vector<double>(G));
      for (auto& row : iou)
        for (double& v : row) v = bits() % 2 ? static_cast<double>(bits() % 21) / 20 : 0;
      out.push_back(pair_of(k, score, area, truth_area, crowd, iou));
    }
  return out;
}

}  // namespace

TEST_CASE("precision and recall, by definition", "[metric][reference]")
{
  for (unsigned seed = 0; seed < 12; ++seed) {
    auto const pairs = random_pairs(seed, 6, 3);
    coco_ap_options options;
    options.detections = {1, 3, 5};
    auto const got = coco_ap(cpu{.threads = 1}, pairs, 4, options);  // the last category never occurs
    auto const shared = coco_ap(cpu{.threads = 3}, pairs, 4, options);
    CHECK(shared.precision == got.precision);
    CHECK(shared.recall == got.recall);
    REQUIRE((got.thresholds == 10 && got.recalls == 101 && got.categories == 4 && got.areas == 4 && got.limits == 3));
    for (index_t t = 0; t < 10; ++t)
      for (index_t k = 0; k < 4; ++k)
        for (index_t a = 0; a < 4; ++a)
          for (index_t m = 0; m < 3; ++m) {
            auto const want = by_definition(pairs, static_cast<int>(k), options.thresholds[static_cast<std::size_t>(t)],
                                            options.areas[static_cast<std::size_t>(a)], 5,
                                            static_cast<int>(options.detections[static_cast<std::size_t>(m)]));
            CAPTURE(seed, t, k, a, m);
            REQUIRE(got.recall_at(t, k, a, m) == Approx(want.recall).margin(1e-12));
            for (index_t r = 0; r < 101; ++r)
              REQUIRE(got.precision_at(t, r, k, a, m) ==
                      Approx(want.precision[static_cast<std::size_t>(r)]).margin(1e-12));
          }
  }
}

TEST_CASE("one image, counted by hand", "[metric][picture]")
{
  // Two true objects. The best detection fits the first, the second nothing, the third the second object a little.
  auto const p = pair_of(0, {.9, .8, .7}, {2000, 2000, 2000}, {2000, 500}, {0, 0}, {{.92, 0}, {.1, .2}, {0, .62}});
  auto const s = coco_ap({p}, 1);
  auto const t = summarise(s);
  // At .5: precision 1 up to recall 1/2 (51 points), then 2/3 (50 points).
  CHECK(t.ap50 == Approx((51 + 50 * 2. / 3) / 101));
  CHECK(t.ap75 == Approx(51. / 101));
  // .5, .55, .6 as above, up to .9 one object is found, at .95 none.
  CHECK(t.ap == Approx((3 * (51 + 50 * 2. / 3) + 6 * 51) / 1010));
  CHECK(t.ar1 == Approx(.45));
  CHECK(t.ar10 == Approx((3 * 1 + 6 * .5) / 10));
  CHECK(t.ar100 == t.ar10);
  CHECK(t.ap_small == Approx(.3));  // the first fits an object of another size; the second is itself of another size
  CHECK(t.ar_small == Approx(.3));
  CHECK(t.ap_large == -1);
  CHECK(t.ar_large == -1);
  CHECK(t.ap_medium > 0);
  CHECK(average_precision_of(s, .5, 0, 2, 0) == t.ap50);
}

TEST_CASE("a crowd takes any number of detections, and none counts", "[metric][picture]")
{
  auto const with = pair_of(0, {.9, .8, .7}, {2000, 2000, 2000}, {2000, 9000}, {0, 1}, {{0, .99}, {0, .97}, {1, .9}});
  CHECK(summarise(coco_ap({with}, 1)).ap == Approx(1));
  auto without = with;
  without.crowd[1] = 0;
  CHECK(summarise(coco_ap({without}, 1)).ap < 0.95);
}

TEST_CASE("order and company", "[metric][property]")
{
  auto pairs = random_pairs(77, 5, 2);
  auto const alone = coco_ap(pairs, 2);
  // pairs that say nothing change nothing
  pairs.insert(pairs.begin() + 2, pair_of(1, {}, {}, {}, {}, {}));
  CHECK(coco_ap(pairs, 2).precision == alone.precision);
  // more detections than the largest limit change nothing
  coco_ap_options few;
  few.detections = {1, 2, 4};
  auto const limited = coco_ap(pairs, 2, few);
  for (auto& p : pairs) {
    auto const order = by_falling_score(p.score);
    for (std::size_t i = 4; i < order.size(); ++i) p.score[order[i]] = -1 - static_cast<double>(order[i]);
  }
  CHECK(coco_ap(pairs, 2, few).precision == limited.precision);
}

TEST_CASE("nothing at all", "[metric][property]")
{
  auto const none = summarise(coco_ap({}, 0));
  CHECK((none.ap == -1 && none.ar100 == -1 && none.ap_small == -1));
  CHECK(summarise(coco_ap({}, 3)).ap == -1);
  auto const missed = summarise(coco_ap({pair_of(0, {}, {}, {50}, {0}, {})}, 1));
  CHECK((missed.ap == 0 && missed.ar100 == 0 && missed.ap_small == 0 && missed.ap_large == -1));
  auto const invented = summarise(coco_ap({pair_of(0, {.5}, {50}, {}, {}, {{}})}, 1));
  CHECK((invented.ap == -1 && invented.ar100 == -1));
  // a perfect detection at threshold 1
  coco_ap_options strict;
  strict.thresholds = {1};
  auto const perfect = coco_ap({pair_of(0, {.5}, {50}, {50}, {0}, {{1}})}, 1, strict);
  CHECK(average_precision_of(perfect, 1, 0, 2) == Approx(1));
}

TEST_CASE("COCO's ninth threshold is 0.8999999999999999, as linspace gives", "[metric][reference]")
{
  double const between = std::nextafter(0.9, 0.0);
  coco_ap_options const options;
  CHECK(options.thresholds[8] == between);
  auto const s = coco_ap({pair_of(0, {.5}, {100}, {90}, {0}, {{between}})}, 1);
  CHECK(average_precision_of(s, 0.9, 0, 2) == Approx(1));
  CHECK(summarise(s).ap == Approx(0.9));  // nine thresholds of ten
  CHECK(average_precision_of(coco_ap({pair_of(0, {.5}, {100}, {90}, {0}, {{std::nextafter(between, 0.0)}})}, 1), 0.9, 0,
                             2) == 0);
}

TEST_CASE("overlaps of equal boxes are cut at 1", "[metric][reference]")
{
  double const above = 1.0000000000000016;
  CHECK(summarise(coco_ap({pair_of(0, {.5}, {50}, {50}, {0}, {{above}})}, 1)).ap == Approx(1));
  // Cut, they are equal to 1, and of equal overlaps the later object wins: the second detection finds the first object.
  coco_ap_options strict;
  strict.thresholds = {1};
  auto const both = coco_ap({pair_of(0, {.9, .8}, {50, 50}, {50, 50}, {0, 0}, {{above, 1}, {above, 0}})}, 1, strict);
  CHECK(average_precision_of(both, 1, 0, 2) == Approx(1));
}

TEST_CASE("damaged input of coco_ap", "[metric][errors]")
{
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto const good = pair_of(0, {.5}, {50}, {50}, {0}, {{1}});
  auto const refused = [&](auto const& change, std::string const& words, index_t categories = 1) {
    auto p = good;
    change(p);
    CAMBIUM_THROWS_SAYING(coco_ap({good, p}, categories), precondition_error, words);
  };
  refused([](coco_pair& p) { p.category = 1; }, "pair 1 is of category 1, outside 0..0");
  refused([](coco_pair& p) { p.category = -1; }, "pair 1 is of category -1");
  refused([](coco_pair& p) { p.area.push_back(1); }, "pair 1 has 1 scores but 2 areas");
  refused([](coco_pair& p) { p.crowd.clear(); }, "pair 1 has 1 true areas but 0 flags of crowds");
  refused([](coco_pair& p) { p.iou = grid<double, 2>(1, 2); },
          "pair 1 has 1 detections and 1 true objects but overlaps [1,2]");
  refused([&](coco_pair& p) { p.score[0] = nan; }, "a score or an area of pair 1 is nan");
  refused([&](coco_pair& p) { p.truth_area[0] = nan; }, "a score or an area of pair 1 is nan");
  refused([&](coco_pair& p) { p.iou(0, 0) = nan; }, "an overlap of pair 1 is nan");
  refused([](coco_pair& p) { p.iou(0, 0) = 1.25; }, "an overlap of pair 1 is 1.25, outside [0,1]");
  refused([](coco_pair& p) { p.iou(0, 0) = -0.5; }, "an overlap of pair 1 is -0.5, outside [0,1]");
  refused([](coco_pair&) {}, "-1 categories", -1);
  auto const with = [&](auto const& change, std::string const& words) {
    coco_ap_options o;
    change(o);
    CAMBIUM_THROWS_SAYING(coco_ap({good}, 1, o), precondition_error, words);
  };
  with([](auto& o) { o.recall_points = 1; }, "1 recall points");
  with([](auto& o) { o.thresholds[2] = 1.5; }, "a threshold is 1.5");
  with([&](auto& o) { o.thresholds[2] = nan; }, "a threshold is nan");
  with([](auto& o) { o.thresholds = {}; }, "no threshold");
  with([](auto& o) { o.thresholds = {.75, .5}; }, "the thresholds are not in ascending order");
  with([](auto& o) { o.areas = {}; }, "no range of areas");
  with([](auto& o) { o.areas[1] = {5, 1}; }, "a range of areas is 5 to 1");
  with([&](auto& o) { o.areas[3].most = nan; }, "a range of areas is 9216 to nan");
  with([](auto& o) { o.detections = {}; }, "the limits of detections");
  with([](auto& o) { o.detections = {10, 1}; }, "the limits of detections");
  with([](auto& o) { o.detections = {0, 1}; }, "the limits of detections");
  auto const s = coco_ap({good}, 1);
  CAMBIUM_THROWS_SAYING(average_precision_of(s, .51, 0, 2), precondition_error, "0.51 is not one of the thresholds");
  CAMBIUM_THROWS_SAYING(average_precision_of(s, .5, 4, 2), precondition_error,
                        "area 4, limit 2, category -1 of 4, 3, 1");
  CAMBIUM_THROWS_SAYING(average_recall_of(s, 0, 3), precondition_error, "area 0, limit 3 of 4, 3");
  coco_ap_options one;
  one.detections = {100};
  CAMBIUM_THROWS_SAYING(summarise(coco_ap({good}, 1, one)), precondition_error, "1 limits of detections instead of");
}
