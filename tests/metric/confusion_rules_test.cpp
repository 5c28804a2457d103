// Confusion counted by rules and on a device: the cpu's counts.
#include <cambium/metric/confusion.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("rules count what the cpu counts", "[metric][reference]", support::rule_backends)
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

TEMPLATE_LIST_TEST_CASE("rules refuse what is no class", "[metric][errors]", support::rule_backends)
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
