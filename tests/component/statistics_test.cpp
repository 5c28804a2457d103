#include <cambium/component/statistics.hpp>

#include "support/catch.hpp"
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

void check_same(component_statistics const& have, component_statistics const& want)
{
  CHECK(have.area == want.area);
  CHECK(have.bounds == want.bounds);
  CHECK(have.centroid_y == want.centroid_y);
  CHECK(have.centroid_x == want.centroid_x);
  CHECK(have.largest == want.largest);
}

}  // namespace

TEMPLATE_TEST_CASE("statistics equal a look at every component", "[component][reference]", std::uint8_t, std::int32_t,
                   std::int64_t)
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 20}, {20, 1}, {13, 31}}));
  CAPTURE(H, W);
  int const count = 9;  // the last one has no cell
  auto const labels = support::uniform<TestType, 2>({H, W}, 0, count, 3);
  auto scores = support::uniform<float, 2>({H, W}, -2, 1, 5);
  for (std::size_t i = 0; i < scores.cells().size(); i += 7) scores.cells()[i] = std::nanf("");
  grid<float, 2> const* const none = nullptr;
  auto const scored = statistics(cpu{}, labels, count, scores), plain = statistics(cpu{}, labels, count);
  REQUIRE(scored.size() == 10);
  REQUIRE(plain.size() == 10);
  for (int i = 0; i <= count; ++i) {
    CAPTURE(i);
    check_same(scored[i], measured(labels, &scores, i));
    check_same(plain[i], measured(labels, none, i));
  }
}

TEST_CASE("one component by eye", "[component][picture]")
{
  auto const labels = picture<std::uint8_t>({
      ".....",
      "..22.",
      "...2.",
  });
  grid<double, 2> score(3, 5);
  score(1, 2) = -3, score(1, 3) = -1, score(2, 3) = std::nan(""), score(0, 0) = 9;
  auto const found = statistics(cpu{}, labels, 2, score);
  check_same(found[0], {12, {0, 0, 3, 5}, 11.0 / 12, 22.0 / 12, 9});
  check_same(found[1], {});
  check_same(found[2], {3, {1, 2, 3, 4}, 4.0 / 3, 8.0 / 3, -1});
}

TEST_CASE("what has no cell or no number", "[component][errors]")
{
  double const nothing = -std::numeric_limits<double>::infinity();
  SECTION("an empty map")
  {
    auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 4}, {4, 0}}));
    grid<std::int32_t, 2> const labels(H, W);
    auto const found = statistics(cpu{}, labels, 1, grid<float, 2>(H, W));
    REQUIRE(found.size() == 2);
    for (auto const& c : found) check_same(c, {0, {}, 0, 0, nothing});
  }
  SECTION("scores that are all NaN")
  {
    grid<float, 2> score(1, 2);
    score(0, 0) = score(0, 1) = std::nanf("");
    CHECK(statistics(cpu{}, picture({"11"}), 1, score)[1].largest == nothing);
  }
}

TEST_CASE("statistics reject what they document", "[component][errors]")
{
  auto const labels = picture({".12", "..3"});
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, labels, 2), precondition_error, "label(1,2) is 3, outside 0..2");
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, labels, -1), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, labels, 3, grid<float, 2>(2, 2)), precondition_error,
                        "labels are [2,3] but scores are [2,2]");
  auto below = labels;
  below(0, 1) = -1;
  CAMBIUM_THROWS_SAYING(statistics(cpu{}, below, 3), precondition_error, "label(0,1) is -1");
}
