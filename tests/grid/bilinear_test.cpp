#include <cambium/grid/bilinear.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace cambium;

namespace {

/// Oracle: how much input cell j adds to output cell i, as the height of a tent of width 2 over the sampling point.
/// Centres are aligned; beyond the outermost centres the map goes on as it ends.
double share(int i, int j, double scale, int cells)
{
  double const point = std::clamp((i + 0.5) * scale - 0.5, 0.0, cells - 1.0);
  return std::max(0.0, 1 - std::abs(point - j));
}

}  // namespace

TEMPLATE_TEST_CASE("a tap reads at the aligned centre", "[grid][reference]", float, double)
{
  int const cells = GENERATE(1, 2, 3, 7, 40);
  double const scale = GENERATE(0.25, 0.5, 1.0, 2.0, 3.0 / 7, 16.0 / 5);
  CAPTURE(cells, scale);
  double const margin = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  // up to where the map ends, and half as far again: crops ask for cells beyond an enlarged map
  int const last = static_cast<int>(1.5 * cells / scale) + 3;
  for (int i = 0; i < last; ++i) {
    auto const t = tap(i, static_cast<TestType>(scale), cells);
    REQUIRE((0 <= t.low && t.low <= t.high && t.high < cells && t.high <= t.low + 1));
    REQUIRE((t.fraction >= 0 && t.fraction < 1));
    for (int j = 0; j < cells; ++j) {
      double const fraction = static_cast<double>(t.fraction);
      double const have = (j == t.low ? 1 - fraction : 0) + (j == t.high ? fraction : 0);
      REQUIRE(have == Approx(share(i, j, scale, cells)).margin(margin));
    }
  }
}

TEST_CASE("an enlargement by 4, by hand", "[grid][picture]")
{
  // cells      0       1
  // pixels  0 1 2 3 4 5 6 7      centres of pixels at -3/8, -1/8, 1/8, 3/8, 5/8, 7/8, 9/8, 11/8
  double const fraction[8] = {0, 0, 0.125, 0.375, 0.625, 0.875, 0, 0};
  for (int i = 0; i < 8; ++i) {
    auto const t = tap(i, 0.25, 2);
    CHECK(t.low == (i < 6 ? 0 : 1));
    CHECK(t.high == 1);
    CHECK(t.fraction == fraction[i]);
  }
}

TEST_CASE("a scale of 1 changes nothing", "[grid][property]")
{
  for (int i = 0; i < 9; ++i) {
    auto const t = tap(i, 1.0f, 9);
    CHECK(t.low == i);
    CHECK(t.fraction == 0);
  }
}

TEST_CASE("taps lists the tap of every cell", "[grid][reference]")
{
  CHECK(taps(0, 0.25, 3).empty());
  auto const all = taps(14, 0.25, 3);
  REQUIRE(all.size() == 14);
  for (int i = 0; i < 14; ++i) {
    auto const one = tap(i, 0.25, 3);
    auto const& t = all[static_cast<std::size_t>(i)];
    CHECK((t.low == one.low && t.high == one.high && t.fraction == one.fraction));
  }
}

TEMPLATE_TEST_CASE("bilinear_row weighs the cells around", "[grid][reference]", float, double)
{
  auto const [h, w] = GENERATE(table<int, int>({{1, 1}, {1, 6}, {5, 1}, {4, 7}}));
  TestType const scale = GENERATE(TestType(0.25), TestType(0.7), TestType(2));
  CAPTURE(h, w, scale);
  auto const wide = support::uniform<TestType, 2>({h, w + 3}, -2, 3, 7);
  image_view<TestType const> map = wide.view();
  map.extent[1] = w;  // rows with a gap behind them
  double const step = static_cast<double>(scale);
  int const H = static_cast<int>(h / step) + 1, W = static_cast<int>(w / step) + 1;
  auto const across = taps<TestType>(W, scale, w);
  std::vector<TestType> mixed(static_cast<std::size_t>(w)), out(static_cast<std::size_t>(W));
  double const margin = std::is_same_v<TestType, float> ? 2e-5 : 1e-13;
  for (int y = 0; y < H; ++y) {
    bilinear_row(map, tap<TestType>(y, scale, h), across, mixed.data(), out.data());
    for (int x = 0; x < W; ++x) {
      double want = 0;
      for (int j = 0; j < h; ++j)
        for (int i = 0; i < w; ++i)
          want += share(y, j, step, h) * share(x, i, step, w) * static_cast<double>(map(j, i));
      REQUIRE(static_cast<double>(out[static_cast<std::size_t>(x)]) == Approx(want).margin(margin));
    }
  }
}
