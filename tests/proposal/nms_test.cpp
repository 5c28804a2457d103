#include <cambium/proposal/matrix_nms.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/soft_nms.hpp>

#include "support/catch.hpp"
#include "support/random_masks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cambium;
using support::random_masks;
using support::random_scores;

namespace {

std::vector<std::int32_t> random_categories(int N, int kinds, std::uint64_t seed)
{
  std::vector<std::int32_t> out;
  for (double const s : random_scores(N, seed, kinds)) out.push_back(static_cast<std::int32_t>(std::lround(s * kinds)));
  return out;
}

/// Overlap of the boxes from corner pixel to corner pixel.
double plain_box_iou(support::byte_masks const& masks, int i, int j)
{
  auto const corners = [&](int m) {
    double y0 = 1e9, x0 = 1e9, y1 = -1, x1 = -1;
    for (int y = 0; y < masks.shape()[1]; ++y)
      for (int x = 0; x < masks.shape()[2]; ++x)
        if (masks(m, y, x))
          y0 = std::min<double>(y0, y), x0 = std::min<double>(x0, x), y1 = std::max<double>(y1, y),
          x1 = std::max<double>(x1, x);
    return y1 < 0 ? std::array<double, 4>{0, 0, 0, 0} : std::array<double, 4>{y0, x0, y1, x1};
  };
  auto const a = corners(i), b = corners(j);
  double const h = std::max(0., std::min(a[2], b[2]) - std::max(a[0], b[0]));
  double const w = std::max(0., std::min(a[3], b[3]) - std::max(a[1], b[1]));
  double const all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - h * w;
  return all > 0 ? static_cast<double>(static_cast<float>(h * w) / static_cast<float>(all)) : 0;
}

/// Greedy suppression that looks for the best mask that is left, again and again.
template <class Overlap>
std::vector<index_t> plain_nms(std::vector<double> scores, std::vector<std::int32_t> const& category, double threshold,
                               Overlap const& overlap)
{
  std::vector<bool> left(scores.size(), true);
  std::vector<index_t> out;
  for (;;) {
    int best = -1;
    for (int i = 0; i < static_cast<int>(scores.size()); ++i)
      if (left[i] && (best < 0 || scores[i] > scores[best])) best = i;
    if (best < 0) return out;
    out.push_back(best);
    left[best] = false;
    for (int i = 0; i < static_cast<int>(scores.size()); ++i)
      if (left[i] && (category.empty() || category[i] == category[best]) && overlap(best, i) > threshold)
        left[i] = false;
  }
}

}  // namespace

TEST_CASE("greedy suppression equals a search for the best mask left", "[proposal][reference]")
{
  auto const N = GENERATE(0, 1, 30, 90);
  auto const threshold = GENERATE(0., 0.3, 0.5, 0.9, 1.);
  auto const kinds = GENERATE(0, 3);
  CAPTURE(N, threshold, kinds);
  auto const cells = random_masks(N, 24, 70, 11);
  auto const scores = random_scores(N, 13);
  auto const categories = kinds > 0 ? random_categories(N, kinds, 17) : std::vector<std::int32_t>{};
  auto const masks = pack_masks(cpu{}, cells);
  for (int threads : {1, 3}) {
    cpu const where{.threads = threads};
    CHECK(
        mask_nms(where, masks, scores, {threshold}, categories) ==
        plain_nms(scores, categories, threshold, [&](int i, int j) { return support::plain_iou(cells, i, cells, j); }));
    CHECK(box_nms(where, masks, scores, {threshold}, categories) ==
          plain_nms(scores, categories, threshold, [&](int i, int j) { return plain_box_iou(cells, i, j); }));
  }
  CHECK(mask_nms(cpu{.vectors = isa::baseline}, masks, scores, {threshold}, categories) ==
        mask_nms(cpu{}, masks, scores, {threshold}, categories));
}

TEST_CASE("an overlap at the threshold suppresses nothing, thin and empty masks never do", "[proposal][picture]")
{
  grid<std::uint8_t, 3> cells(4, 3, 9);
  for (int x = 0; x < 8; ++x) cells(0, 0, x) = cells(1, 0, x) = 1;  // a line, twice
  for (int x = 0; x < 4; ++x) cells(2, 0, x) = 1;                   // half of it
  auto const masks = pack_masks(cpu{}, cells);
  std::vector<double> const scores{3, 2, 1, 1};
  CHECK(mask_nms(cpu{}, masks, scores, {0.5}) == std::vector<index_t>{0, 2, 3});
  CHECK(mask_nms(cpu{}, masks, scores, {0.49}) == std::vector<index_t>{0, 3});
  CHECK(box_nms(cpu{}, masks, scores, {0.1}) == std::vector<index_t>{0, 1, 2, 3});
  grid<std::uint8_t, 3> two(2, 1, 4);  // two of four cells in both, where the boxes allow three
  for (int x = 0; x < 4; ++x) two(0, 0, x) = x < 3, two(1, 0, x) = x != 2;
  std::vector<double> const of_two{2, 1};
  CHECK(mask_nms(cpu{}, pack_masks(cpu{}, two), of_two, {0.5}).size() == 2);
  CHECK(mask_nms(cpu{}, pack_masks(cpu{}, two), of_two, {0.49}).size() == 1);
}

TEST_CASE("the overlap of boxes is a float against a double", "[proposal][picture]")
{
  // 3 / 10 is 0.300000012 in float, which is above 0.3. 7 / 10 is 0.699999988.
  auto const boxes = [](int shared) {
    grid<std::uint8_t, 3> cells(2, 2, 12);
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 11; ++x) cells(0, y, x) = 1, cells(1, y, x) = x <= shared;
    return pack_masks(cpu{}, cells);
  };
  std::vector<double> const scores{2, 1};
  CHECK(box_nms(cpu{}, boxes(3), scores, {0.3}).size() == 1);
  CHECK(box_nms(cpu{}, boxes(7), scores, {0.7}).size() == 2);
}

TEST_CASE("5,000 masks are suppressed", "[proposal][property]")
{
  grid<std::int32_t, 2> labels(100, 200);
  for (index_t y = 0; y < 100; ++y)
    for (index_t x = 0; x < 200; ++x) labels(y, x) = static_cast<std::int32_t>(y / 4 * 100 + x / 2 + 1);
  auto const tiles = masks_of_labels(cpu{}, labels, 2500);
  std::vector<index_t> twice;
  for (index_t i = 0; i < 5000; ++i) twice.push_back(i % 2500);
  auto const masks = select_masks(tiles, twice);
  std::vector<double> scores(5000);
  for (int i = 0; i < 5000; ++i) scores[i] = i;  // of each pair the second is better
  auto const kept = mask_nms(cpu{}, masks, scores, {0.5});
  REQUIRE(kept.size() == 2500);
  CHECK(kept.front() == 4999);
  CHECK(kept.back() == 2500);
  CHECK(soft_nms(cpu{}, masks, scores, {.kernel = nms_kernel::linear, .min_score = 1}).size() == 2500);
  auto const decayed = matrix_nms(cpu{}, masks, scores, {.kernel = nms_kernel::linear, .filter_thr = 0.5});
  CHECK(decayed.size() == 2500);
}

TEST_CASE("soft suppression equals the loop over all masks", "[proposal][reference]")
{
  auto const kernel = GENERATE(nms_kernel::linear, nms_kernel::gaussian);
  auto const kinds = GENERATE(0, 2);
  auto const cells = random_masks(40, 24, 70, 19);
  auto const scores = random_scores(40, 23);
  auto const categories = kinds > 0 ? random_categories(40, kinds, 29) : std::vector<std::int32_t>{};
  soft_nms_options const o{.kernel = kernel, .sigma = 0.4, .threshold = 0.2, .min_score = 0.15};
  std::vector<double> s = scores;
  std::vector<bool> left(40, true);
  std::vector<scored_mask> want;
  for (;;) {
    int best = -1;
    for (int i = 0; i < 40; ++i)
      if (left[i] && s[i] >= o.min_score && (best < 0 || s[i] > s[best])) best = i;
    if (best < 0) break;
    want.push_back({best, s[best]});
    left[best] = false;
    for (int i = 0; i < 40; ++i) {
      if (!left[i] || (kinds > 0 && categories[i] != categories[best])) continue;
      double const u = support::plain_iou(cells, best, cells, i);
      if (kernel == nms_kernel::gaussian) s[i] *= std::exp(-u * u / 0.4);
      if (kernel == nms_kernel::linear && u > 0.2) s[i] *= 1 - u;
    }
  }
  for (int threads : {1, 3}) {
    auto const have = soft_nms(cpu{.threads = threads}, pack_masks(cpu{}, cells), scores, o, categories);
    REQUIRE(have.size() == want.size());
    for (std::size_t k = 0; k < want.size(); ++k) {
      CHECK(have[k].index == want[k].index);
      CHECK(have[k].score == Approx(want[k].score).epsilon(1e-12));
    }
  }
}

TEST_CASE("soft suppression of rectangles, by fractions", "[proposal][picture]")
{
  // Expected scores were computed outside of this project by exact fractions from the paper's formula, on sets of cells.
  box const rectangles[] = {{0, 0, 8, 10},   {0, 2, 8, 12}, {0, 0, 8, 5},    {4, 4, 12, 14},
                            {9, 15, 12, 19}, {1, 1, 9, 11}, {9, 15, 12, 18}, {0, 0, 4, 10}};
  grid<std::uint8_t, 3> cells(8, 12, 20);
  for (index_t i = 0; i < 8; ++i)
    for (index_t y = rectangles[i].top; y < rectangles[i].bottom; ++y)
      for (index_t x = rectangles[i].left; x < rectangles[i].right; ++x) cells(i, y, x) = 1;
  for (index_t x = 16; x < 19; ++x) cells(4, 0, x) = cells(4, 1, x) = 1;  // mask 4 has two parts; 6 is half of it
  std::vector<double> const scores{0.9, 0.8, 0.75, 0.7, 0.6, 0.95, 0.5, 0.3};
  auto const masks = pack_masks(cpu{}, cells);
  struct expected {
    soft_nms_options how;
    std::vector<index_t> order;
    std::vector<double> score;
  };
  for (auto const& [how, order, score] :
       {expected{{.kernel = nms_kernel::gaussian, .sigma = 0.5},
                 {5, 2, 4, 3, 6, 1, 7, 0},
                 {0.95, 0.62316916076761, 0.6, 0.5969911049851367, 0.3032653298563167, 0.2679904652486069,
                  0.1557921957707324, 0.055012575920243195}},
        expected{{.kernel = nms_kernel::gaussian, .sigma = 0.3, .min_score = 0.1},
                 {5, 4, 2, 3, 6, 7},
                 {0.95, 0.6, 0.5507684816635601, 0.5368847569853489, 0.2172991042535391, 0.15640593393895114}},
        expected{
            {.kernel = nms_kernel::linear, .threshold = 0.3},
            {5, 3, 4, 2, 1, 6, 7, 0},
            {0.95, 0.7, 0.6, 0.5217391304347826, 0.2804123711340206, 0.25, 0.1272727272727273, 0.026288659793814437}},
        expected{
            {.kernel = nms_kernel::linear, .threshold = 0.5},  // 1/2, of masks 0 and 2 and of 4 and 6, is not above
            {5, 2, 3, 4, 6, 0, 7, 1},
            {0.95, 0.75, 0.7, 0.6, 0.5, 0.3154639175257732, 0.3, 0.09347079037800689}}}) {
    auto const have = soft_nms(cpu{}, masks, scores, how);
    REQUIRE(have.size() == order.size());
    for (std::size_t k = 0; k < order.size(); ++k) {
      CHECK(have[k].index == order[k]);
      CHECK(std::abs(have[k].score - score[k]) <= 1e-15);
    }
  }
}

TEST_CASE("matrix suppression equals its matrices", "[proposal][reference]")
{
  auto const kernel = GENERATE(nms_kernel::linear, nms_kernel::gaussian);
  auto const kinds = GENERATE(0, 3);
  auto const N = GENERATE(1, 20, 150);
  auto cells = random_masks(N, 24, 70, 31);
  auto const scores = random_scores(N, 37, 1000);
  auto const categories = kinds > 0 ? random_categories(N, kinds, 41) : std::vector<std::int32_t>{};
  std::vector<int> order(N);
  for (int i = 0; i < N; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
  std::vector<std::vector<double>> u(N, std::vector<double>(N, 0));
  std::vector<double> c(N, 0);
  for (int i = 0; i < N; ++i)
    for (int j = i + 1; j < N; ++j)
      if (kinds == 0 || categories[order[i]] == categories[order[j]]) {
        u[i][j] = support::plain_iou(cells, order[i], cells, order[j]);
        c[j] = std::max(c[j], u[i][j]);
      }
  auto const f = [&](double v) { return kernel == nms_kernel::linear ? 1 - v : std::exp(-1.5 * v * v); };
  std::vector<double> want(N, 0);
  for (int j = 0; j < N; ++j) {
    double decay = 1;
    for (int i = 0; i < j; ++i) {
      double const ratio = f(u[i][j]) / f(c[i]);
      if (ratio < decay) decay = ratio;  // NaN and infinity are not
    }
    want[order[j]] = scores[order[j]] * decay;
  }
  for (int threads : {1, 3}) {
    auto const have = matrix_nms(cpu{.threads = threads}, pack_masks(cpu{}, cells), scores,
                                 {.kernel = kernel, .sigma = 1.5}, categories);
    REQUIRE(have.size() == static_cast<std::size_t>(N));
    for (std::size_t k = 0; k < have.size(); ++k) {
      CHECK(have[k].score == Approx(want[have[k].index]).margin(1e-12));
      if (k > 0) CHECK(have[k].score <= have[k - 1].score);
    }
    auto const few =
        matrix_nms(cpu{}, pack_masks(cpu{}, cells), scores, {.kernel = kernel, .sigma = 1.5, .max_num = 3}, categories);
    CHECK(few.size() == static_cast<std::size_t>(std::min(N, 3)));
    CHECK(std::equal(few.begin(), few.end(), have.begin()));
  }
}

TEST_CASE("three equal masks and two empty ones have finite scores", "[proposal][errors]")
{
  grid<std::uint8_t, 3> cells(5, 4, 4);
  for (int i = 0; i < 3; ++i) cells(i, 1, 1) = cells(i, 1, 2) = 1;
  std::vector<double> const scores{.9, .8, .7, .6, .5};
  auto const found = matrix_nms(cpu{}, pack_masks(cpu{}, cells), scores, {.kernel = nms_kernel::linear});
  std::vector<scored_mask> const want{{0, .9}, {3, .6}, {4, .5}, {1, 0}, {2, 0}};
  CHECK(found == want);
}

TEST_CASE("nms_pre, filter_thr and max_num cut", "[proposal][picture]")
{
  auto const masks = pack_masks(cpu{}, grid<std::uint8_t, 3>(4, 2, 2));  // no overlaps
  std::vector<double> const scores{.1, .4, .3, .2};
  auto const places = [](std::vector<scored_mask> const& all) {
    std::vector<index_t> out;
    for (auto const& m : all) out.push_back(m.index);
    return out;
  };
  CHECK(places(matrix_nms(cpu{}, masks, scores)) == std::vector<index_t>{1, 2, 3, 0});
  CHECK(places(matrix_nms(cpu{}, masks, scores, {.nms_pre = 3})) == std::vector<index_t>{1, 2, 3});
  CHECK(places(matrix_nms(cpu{}, masks, scores, {.nms_pre = 0})).empty());
  CHECK(places(matrix_nms(cpu{}, masks, scores, {.max_num = 1})) == std::vector<index_t>{1});
  CHECK(places(matrix_nms(cpu{}, masks, scores, {.filter_thr = .3})) == std::vector<index_t>{1, 2});
  CHECK(places(matrix_nms(cpu{}, masks, scores, {.filter_thr = 0})) == std::vector<index_t>{1, 2, 3, 0});
}

TEST_CASE("suppression rejects what it documents", "[proposal][errors]")
{
  auto const masks = pack_masks(cpu{}, random_masks(3, 5, 6, 1));
  std::vector<double> const two{1, 2}, three{1, 2, 3};
  std::vector<double> bad{1, std::nan(""), 2};
  std::vector<std::int32_t> const one{1};
  double const nan = std::nan("");
  CAMBIUM_THROWS_SAYING(mask_nms(cpu{}, masks, two), precondition_error, "mask_nms: 2 scores but 3 masks");
  CAMBIUM_THROWS_SAYING(box_nms(cpu{}, masks, three, {}, one), precondition_error, "box_nms: 1 categories but 3 masks");
  CAMBIUM_THROWS_SAYING(soft_nms(cpu{}, masks, bad), precondition_error, "soft_nms: scores(1) is nan");
  bad[1] = std::numeric_limits<double>::infinity();
  CAMBIUM_THROWS_SAYING(matrix_nms(cpu{}, masks, bad), precondition_error, "matrix_nms: scores(1) is inf");
  CAMBIUM_THROWS_SAYING(mask_nms(cpu{}, masks, three, {nan}), precondition_error, "threshold is nan");
  CAMBIUM_THROWS_SAYING(box_nms(cpu{}, masks, three, {nan}), precondition_error, "threshold is nan");
  CAMBIUM_THROWS_SAYING(soft_nms(cpu{}, masks, three, {.sigma = 0}), precondition_error, "sigma is 0");
  CAMBIUM_THROWS_SAYING(soft_nms(cpu{}, masks, three, {.min_score = nan}), precondition_error, "a threshold is nan");
  CAMBIUM_THROWS_SAYING(matrix_nms(cpu{}, masks, three, {.sigma = -1}), precondition_error, "sigma is -1");
  CAMBIUM_THROWS_SAYING(matrix_nms(cpu{}, masks, three, {.sigma = std::numeric_limits<double>::infinity()}),
                        precondition_error, "sigma is inf");
  CAMBIUM_THROWS_SAYING(matrix_nms(cpu{}, masks, three, {.nms_pre = -2}), precondition_error, "nms_pre is -2");
  CAMBIUM_THROWS_SAYING(matrix_nms(cpu{}, masks, three, {.max_num = -2}), precondition_error, "max_num is -2");
}
