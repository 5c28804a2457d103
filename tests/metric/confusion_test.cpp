#include <cambium/metric/confusion.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

/// A row of labels.
grid<int, 2> row(std::vector<int> const& labels)
{
  grid<int, 2> g(1, static_cast<index_t>(labels.size()));
  for (std::size_t i = 0; i < labels.size(); ++i) g.cells()[i] = labels[i];
  return g;
}

confusion_matrix counted(int classes, std::vector<int> const& predicted, std::vector<int> const& truth,
                         confusion_options options = {})
{
  confusion_matrix m(classes);
  accumulate(m, row(predicted), row(truth), options);
  return m;
}

bool same(double a, double b) { return (std::isnan(a) && std::isnan(b)) || a == Approx(b); }

}  // namespace

TEST_CASE("a truth of 0 and 255 has no class", "[metric][picture]")
{
  CHECK(!has_class(counted(4, {0, 1, 2}, {0, 0, 255})));
  CHECK(has_class(counted(4, {0, 0, 0}, {0, 0, 3})));
  CHECK(has_class(counted(4, {0, 255}, {0, 3}, {.predicted = unsure::missed})));
}

TEST_CASE("counts and overlaps, by hand", "[metric][picture]")
{
  //   truth      0 0 1 1 1 2 void
  //   predicted  0 1 1 1 0 2 2
  auto const m = counted(4, {0, 1, 1, 1, 0, 2, 2}, {0, 0, 1, 1, 1, 2, 255});
  int const want[4][4] = {{1, 1, 0, 0}, {1, 2, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 0}};
  for (int t = 0; t < 4; ++t)
    for (int p = 0; p < 4; ++p) CHECK(m.at(t, p) == want[t][p]);
  auto const iou = class_iou(m);
  REQUIRE(iou.size() == 4);
  CHECK(iou[0] == Approx(1.0 / 3));
  CHECK(iou[1] == Approx(0.5));
  CHECK(iou[2] == 1);
  CHECK(std::isnan(iou[3]));  // in neither map
  CHECK(mean_iou(m) == Approx((1.0 / 3 + 0.5 + 1) / 3));
}

TEST_CASE("overlap is intersection over union of the pixels that count", "[metric][reference]")
{
  auto const predicted_as = GENERATE(unsure::background, unsure::missed, unsure::dropped);
  auto const seed = GENERATE(range(1u, 9u));
  int const classes = 5;
  auto truth = support::uniform<int, 2>({9, 14}, -1.99, 5.99, seed);
  auto predicted = support::uniform<int, 2>({9, 14}, 0, 5.99, seed + 50);
  for (auto& v : truth.cells())
    if (v == 5) v = 255;
  for (auto& v : predicted.cells())
    if (v == 5) v = 255;
  confusion_matrix m(classes);
  // in two pieces: counts add up over images
  image_view<int const> const p = predicted.view(), t = truth.view();
  image_view<int const> p1 = p, t1 = t, p2 = p, t2 = t;
  p1.extent[0] = t1.extent[0] = 4, p2.extent[0] = t2.extent[0] = 5;
  p2.data += 4 * 14, t2.data += 4 * 14;
  accumulate(m, p1, t1, {.predicted = predicted_as});
  accumulate(m, p2, t2, {.predicted = predicted_as});

  // Oracle: the definition on the pixels themselves.
  auto const iou = class_iou(m);
  double sum = 0;
  int defined = 0;
  for (int c = 0; c < classes; ++c) {
    int both = 0, either = 0;
    for (std::size_t i = 0; i < truth.cells().size(); ++i) {
      int const want = truth.cells()[i];
      int have = predicted.cells()[i];
      if (want < 0 || want == 255) continue;
      if (have == 255 && predicted_as == unsure::dropped) continue;
      if (have == 255 && predicted_as == unsure::background) have = 0;
      both += want == c && have == c;
      either += want == c || have == c;
    }
    REQUIRE(same(iou[static_cast<std::size_t>(c)], either == 0 ? std::nan("") : static_cast<double>(both) / either));
    if (either > 0) sum += static_cast<double>(both) / either, ++defined;
  }
  CHECK(mean_iou(m) == Approx(sum / defined));
}

TEST_CASE("what an unsure prediction counts as", "[metric][picture]")
{
  std::vector<int> const predicted = {255, 1}, truth = {1, 1};
  auto const background = counted(2, predicted, truth);
  CHECK(background.at(1, 0) == 1);
  CHECK(class_iou(background)[1] == 0.5);
  CHECK(class_iou(background)[0] == 0);  // a wrong background pixel
  auto const missed = counted(2, predicted, truth, {.predicted = unsure::missed});
  CHECK(missed.at(1, 2) == 1);
  CHECK(class_iou(missed)[1] == 0.5);
  CHECK(std::isnan(class_iou(missed)[0]));  // nobody's pixel
  auto const dropped = counted(2, predicted, truth, {.predicted = unsure::dropped});
  CHECK(class_iou(dropped)[1] == 1);
}

TEST_CASE("another number may mean ignore", "[metric][reference]")
{
  auto const m = counted(300, {255, 9, 9}, {255, 9, 10}, {.ignore = 9});
  CHECK(m.at(255, 255) == 1);  // 255 is a class like any other now
  CHECK(m.at(10, 0) == 1);     // a predicted 9 is unsure
  index_t sum = 0;
  for (index_t const n : m.count) sum += n;
  CHECK(sum == 2);
}

TEST_CASE("means leave out what is not defined", "[metric][reference]")
{
  double const nan = std::nan("");
  CHECK(mean_defined({1, nan, 0.5}) == 0.75);
  CHECK(std::isnan(mean_defined({nan, nan})));
  CHECK(std::isnan(mean_defined({})));
  CHECK(std::isnan(mean_iou(confusion_matrix(3))));
  CHECK(std::isnan(mean_iou(counted(3, {}, {}))));
  CHECK(std::isnan(mean_iou(counted(3, {1, 2}, {255, -1}))));
}

TEST_CASE("one class is enough", "[metric][reference]")
{
  CHECK(mean_iou(counted(1, {0, 0}, {0, 0})) == 1);
  CHECK(counted(1, {0, 255}, {0, 0}).at(0, 0) == 2);
}

TEST_CASE("accumulate rejects what it documents, and adds nothing", "[metric][errors]")
{
  confusion_matrix m(3);
  accumulate(m, row({0, 1}), row({0, 2}));
  auto const before = m.count;
  CAMBIUM_THROWS_SAYING(accumulate(m, row({0, 1, 3}), row({0, 1, 2})), precondition_error,
                        "predicted(0,2) is 3 but there are 3 classes");
  CAMBIUM_THROWS_SAYING(accumulate(m, row({0, -1}), row({0, 1})), precondition_error, "predicted(0,1) is -1");
  CAMBIUM_THROWS_SAYING(accumulate(m, row({0, 1}), row({0, 3})), precondition_error,
                        "truth(0,1) is 3 but there are 3 classes");
  CAMBIUM_THROWS_SAYING(accumulate(m, row({0}), row({0, 1})), precondition_error,
                        "predicted is [1,1] but truth is [1,2]");
  CHECK(m.count == before);
}

TEST_CASE("confusion_matrix rejects what it documents", "[metric][errors]")
{
  for (int const n : {0, -1, -7, std::numeric_limits<int>::min()})
    CAMBIUM_THROWS_SAYING(confusion_matrix(n), precondition_error, std::to_string(n) + " classes");
}

TEMPLATE_LIST_TEST_CASE("counts in the memory of a policy are those of a matrix", "[metric][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType where{};
  if constexpr (std::derived_from<TestType, cpu>) where.threads = 3;
  auto const [H, W] = GENERATE(table<int, int>({{0, 3}, {3, 0}, {1, 1}, {33, 20}, {32, 7}, {100, 55}}));
  auto const classes = GENERATE(1, 2, 21);
  auto const what = GENERATE(unsure::background, unsure::missed, unsure::dropped);
  int const ignore = GENERATE(255, 0);
  CAPTURE(H, W, classes, static_cast<int>(what), ignore);
  confusion_options const options{ignore, what};
  confusion_matrix want(classes);
  confusion_counts<TestType> counts(where, classes);
  for (std::uint64_t image = 0; image < 3; ++image) {
    auto truth = support::uniform<std::int32_t, 2>({H, W}, -2, classes, 2 * image);
    auto predicted = support::uniform<std::uint8_t, 2>({H, W}, 0, classes, 2 * image + 1);
    for (index_t i = 0; i < truth.size(); ++i) {
      if (i % 11 < 3) truth.data()[i] = ignore;
      if (i % 13 < 4) predicted.data()[i] = static_cast<std::uint8_t>(ignore);
      if (i % 3 != 0 && i >= W) truth.data()[i] = truth.data()[i - W];
    }
    accumulate(want, predicted, truth, options);
    accumulate(where, counts, support::copied<TestType>(predicted), support::copied<TestType>(truth), options);
  }
  auto const have = confusion_of(where, counts);
  REQUIRE(have.classes == want.classes);
  REQUIRE(have.count == want.count);
}

TEMPLATE_LIST_TEST_CASE("counts in the memory of a policy refuse what is no class", "[metric][errors]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<std::int64_t, 2> truth(2, 3), predicted(2, 3);
  truth(0, 0) = 4, truth(0, 1) = std::int64_t{1} << 40, predicted(0, 2) = -1, predicted(1, 1) = 9;
  truth(1, 2) = -3, predicted(1, 2) = 77;  // left out, whatever was predicted
  confusion_counts<TestType> counts(where, 4);
  auto const p = support::copied<TestType>(predicted), t = support::copied<TestType>(truth);
  accumulate(where, counts, p, t);
  CHECK(to::back(counts.refused)(0) == 4);
  CHECK(to::back(counts.count)(0, 0) == 1);
  CAMBIUM_THROWS_SAYING(confusion_of(where, counts), precondition_error, "4 pixels are neither one of 4 classes");
  auto const narrow = support::copied<TestType>(grid<std::int64_t, 2>(2, 2));
  CAMBIUM_THROWS_SAYING(accumulate(where, counts, p, narrow), precondition_error,
                        "predicted is [2,3] but truth is [2,2]");
  CAMBIUM_THROWS_SAYING(confusion_counts<TestType>(where, 0), precondition_error, "0 classes");
}
