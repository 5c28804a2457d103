#include <cambium/component/statistics.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;
using support::picture;

namespace {

/// One component at a time, by looking at every cell.
template <class L, class S>
component_statistics measured(L const& labels, S const* scores, int of)
{
  component_statistics want;
  double y_sum = 0, x_sum = 0;
  for (int y = 0; y < labels.shape()[0]; ++y)
    for (int x = 0; x < labels.shape()[1]; ++x) {
      if (static_cast<int>(labels(y, x)) != of) continue;
      if (want.area == 0) want.bounds = {y, x, y, x};
      want.area += 1;
      y_sum += y, x_sum += x;
      if (y < want.bounds.top) want.bounds.top = y;
      if (x < want.bounds.left) want.bounds.left = x;
      if (y + 1 > want.bounds.bottom) want.bounds.bottom = y + 1;
      if (x + 1 > want.bounds.right) want.bounds.right = x + 1;
      if (scores != nullptr) want.largest = std::fmax(want.largest, static_cast<double>((*scores)(y, x)));
    }
  if (want.area > 0) want.centroid_y = y_sum / static_cast<double>(want.area);
  if (want.area > 0) want.centroid_x = x_sum / static_cast<double>(want.area);
  return want;
}

/// What P measures of a map of the host.
template <class P, class L, class S = float>
grid<component_statistics, 1> measure(grid<L, 2> const& labels, index_t count, grid<S, 2> const* scores = nullptr)
{
  using to = support::carry<P>;
  P where{};
  if constexpr (std::derived_from<P, cpu>) where.threads = 3;
  if (scores == nullptr) return to::back(statistics(where, to::there(labels), count));
  return to::back(statistics(where, to::there(labels), count, to::there(*scores)));
}

void check_same(component_statistics const& have, component_statistics const& want)
{
  CHECK(have.area == want.area);
  CHECK(have.bounds == want.bounds);
  CHECK(have.centroid_y == want.centroid_y);
  CHECK(have.centroid_x == want.centroid_x);
  CHECK(have.largest == want.largest);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("statistics equal a look at every component", "[component][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const extents =
      GENERATE(table<int, int>({{1, 1}, {1, 20}, {20, 1}, {13, 31}, {1, 70}, {70, 1}, {32, 40}, {199, 33}}));
  int const H = std::get<0>(extents), W = std::get<1>(extents);
  auto const count = GENERATE(0, 1, 9, 120);
  CAPTURE(H, W, count);
  auto const drawn = support::uniform<std::uint8_t, 2>({H, W}, 0, count < 9 ? count + 1 : count, 3);
  auto const check = [&]<class L>(L) {
    grid<L, 2> labels(H, W);
    for (index_t i = 0; i < labels.size(); ++i)  // runs, and not all labels
      labels.data()[i] = static_cast<L>(std::min<int>(count, drawn.data()[i / 3 * 3]));
    auto scores = support::uniform<float, 2>({H, W}, -2, count == 9 ? -1 : 1, 5);
    for (std::size_t i = 0; i < scores.cells().size(); i += 7) scores.cells()[i] = std::nanf("");
    if (H > 30) scores(1, 0) = HUGE_VALF, scores(20, 0) = -HUGE_VALF;
    grid<float, 2> const* const none = nullptr;
    auto const scored = measure<TestType>(labels, count, &scores), plain = measure<TestType>(labels, count);
    REQUIRE(scored.size() == count + 1);
    REQUIRE(plain.size() == count + 1);
    for (int i = 0; i <= count; ++i) {
      CAPTURE(i);
      check_same(scored(i), measured(labels, &scores, i));
      check_same(plain(i), measured(labels, none, i));
    }
  };
  check(std::uint8_t{}), check(std::int32_t{}), check(std::int64_t{});
}

TEMPLATE_LIST_TEST_CASE("one component by eye", "[component][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const labels = picture<std::uint8_t>({
      ".....",
      "..22.",
      "...2.",
  });
  grid<double, 2> score(3, 5);
  score(1, 2) = -3, score(1, 3) = -1, score(2, 3) = std::nan(""), score(0, 0) = 9;
  auto const found = measure<TestType>(labels, 2, &score);
  check_same(found(0), {12, {0, 0, 3, 5}, 11.0 / 12, 22.0 / 12, 9});
  check_same(found(1), {});
  check_same(found(2), {3, {1, 2, 3, 4}, 4.0 / 3, 8.0 / 3, -1});
}

TEMPLATE_LIST_TEST_CASE("what has no cell or no number", "[component][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  double const nothing = -std::numeric_limits<double>::infinity();
  SECTION("an empty map")
  {
    auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 4}, {4, 0}}));
    grid<float, 2> const scores(H, W);
    auto const found = measure<TestType>(grid<std::int32_t, 2>(H, W), 1, &scores);
    REQUIRE(found.size() == 2);
    for (auto const& c : found.cells()) check_same(c, {0, {}, 0, 0, nothing});
  }
  SECTION("scores that are all NaN")
  {
    grid<float, 2> score(1, 2);
    score(0, 0) = score(0, 1) = std::nanf("");
    CHECK(measure<TestType>(picture({"11"}), 1, &score)(1).largest == nothing);
  }
}

TEST_CASE("statistics reject what they document", "[component][errors]")
{
  auto const labels = picture({".12", "..3"});
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, labels, 2), precondition_error, "label(1,2) is 3, outside 0..2");
  auto below = labels;
  below(0, 1) = -1;
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, below, 3), precondition_error, "label(0,1) is -1");
}

TEMPLATE_LIST_TEST_CASE("statistics reject shapes and counts", "[component][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const there = support::copied<TestType>(picture({".12", "..3"}));
  auto const narrow = support::copied<TestType>(grid<float, 2>(2, 2));
  CAMBIUM_THROWS_SAYING(statistics(where, there, -1), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(statistics(where, there, 3, narrow), precondition_error,
                        "labels are [2,3] but scores are [2,2]");
  auto out = make_grid<component_statistics>(where, {0});
  statistics_scratch<TestType> scratch;
  image_view<float const, typename TestType::memory> const none;
  CAMBIUM_THROWS_SAYING(statistics_into(where, there, none, out, scratch), precondition_error, "count is -1");
}

TEMPLATE_LIST_TEST_CASE("a device leaves labels beyond the count out", "[component][errors]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<std::int64_t, 2> labels(3, 4);
  labels(0, 1) = 3, labels(1, 1) = -1, labels(2, 2) = std::int64_t{1} << 40, labels(2, 3) = 2;
  auto const have = measure<TestType>(labels, 2);
  CHECK(have(0).area == 8);
  CHECK(have(1).area == 0);
  CHECK(have(2).area == 1);
  CHECK(have(2).bounds == box{2, 3, 3, 4});
}
