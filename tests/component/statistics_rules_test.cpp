// Statistics by rules and on a device: the numbers of the cpu.
#include <cambium/component/statistics.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;

namespace {

void check_equal(grid<component_statistics, 1> const& have, std::vector<component_statistics> const& want)
{
  REQUIRE(have.size() == static_cast<index_t>(want.size()));
  for (std::size_t i = 0; i < want.size(); ++i) {
    auto const& h = have(i);
    CAPTURE(i);
    REQUIRE(h.area == want[i].area);
    REQUIRE(h.bounds == want[i].bounds);
    REQUIRE(h.centroid_y == want[i].centroid_y);
    REQUIRE(h.centroid_x == want[i].centroid_x);
    REQUIRE(h.largest == want[i].largest);
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("statistics of rules are those of the cpu", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] =
      GENERATE(table<int, int>({{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 70}, {70, 1}, {31, 13}, {32, 40}, {199, 33}}));
  auto const count = GENERATE(0, 1, 9, 300);
  CAPTURE(H, W, count);
  auto const drawn = support::uniform<float, 2>({H, W}, 0, count < 9 ? count + 1 : count, 3);
  grid<std::int32_t, 2> labels(H, W);
  for (index_t i = 0; i < labels.size(); ++i)  // runs, and not all labels
    labels.data()[i] = std::min(count, static_cast<int>(drawn.data()[i / 3 * 3]));
  auto scores = support::uniform<float, 2>({H, W}, -2, count == 9 ? -1 : 1, 5);
  for (std::size_t i = 0; i < scores.cells().size(); i += 7) scores.cells()[i] = std::nanf("");
  if (H > 30) scores(1, 2) = HUGE_VALF, scores(20, 5) = -HUGE_VALF;
  TestType where{};
  if constexpr (std::derived_from<TestType, cpu>) where.threads = 3;
  auto const l = support::copied<TestType>(labels);
  auto const s = support::copied<TestType>(scores);
  check_equal(to::back(statistics(where, l, count, s)), statistics(cpu{}, labels, count, scores));
  check_equal(to::back(statistics(where, l, count)), statistics(cpu{}, labels, count));
}

TEMPLATE_LIST_TEST_CASE("labels beyond the count are counted nowhere", "[component][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int64_t, 2> labels(3, 4);
  labels(0, 1) = 3, labels(1, 1) = -1, labels(2, 2) = std::int64_t{1} << 40, labels(2, 3) = 2;
  auto const there = support::copied<TestType>(labels);
  auto const have = to::back(statistics(TestType{}, there, 2));
  CHECK(have(0).area == 8);
  CHECK(have(1).area == 0);
  CHECK(have(2).area == 1);
  CHECK(have(2).bounds == box{2, 3, 3, 4});
  CAMBIUM_THROWS_SAYING(statistics(TestType{}, there, -1), precondition_error, "count is -1");
  auto const narrow = support::copied<TestType>(grid<float, 2>(3, 3));
  CAMBIUM_THROWS_SAYING(statistics(TestType{}, there, 2, narrow), precondition_error,
                        "labels are [3,4] but scores are [3,3]");
}
