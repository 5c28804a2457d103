#include <cambium/grid/aligned_bilinear.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cambium;

namespace {

/// A map as a function of real coordinates, constant beyond its last row and column.
double surface(grid<double, 3> const& maps, index_t c, double y, double x)
{
  auto const H = static_cast<double>(maps.shape()[1]), W = static_cast<double>(maps.shape()[2]);
  y = std::min(y, H - 1), x = std::min(x, W - 1);
  double sum = 0;  // hats around each cell
  for (index_t i = 0; i < maps.shape()[1]; ++i)
    for (index_t j = 0; j < maps.shape()[2]; ++j) {
      double const down = 1 - std::abs(y - static_cast<double>(i)), across = 1 - std::abs(x - static_cast<double>(j));
      if (down > 0 && across > 0) sum += down * across * maps(c, i, j);
    }
  return sum;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an aligned enlargement is its definition", "[grid][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W, f] =
      GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 3, 5, 1}, {1, 1, 4, 3}, {2, 4, 3, 2}, {1, 5, 2, 8}}));
  CAPTURE(C, H, W, f);
  auto const maps = support::uniform<double, 3>({C, H, W}, -3, 3, 5);
  auto const made = aligned_bilinear(TestType{}, to::there(maps), f);
  auto const out = to::back(made);
  REQUIRE(out.shape() == std::array<index_t, 3>{C, f * H, f * W});
  for (index_t c = 0; c < C; ++c)
    for (index_t y = 0; y < f * H; ++y)
      for (index_t x = 0; x < f * W; ++x) {
        double const sy = static_cast<double>(y - f / 2) / f, sx = static_cast<double>(x - f / 2) / f;
        CHECK(out(c, y, x) == Approx(surface(maps, c, std::max(sy, 0.0), std::max(sx, 0.0))).margin(1e-12));
      }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) CHECK(out(0, f / 2 + f * y, f / 2 + f * x) == maps(0, y, x));
}

TEMPLATE_LIST_TEST_CASE("an aligned enlargement by two", "[grid][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> map(1, 1, 3);
  map(0, 0, 0) = 0, map(0, 0, 1) = 8, map(0, 0, 2) = 2;
  auto const out = to::back(aligned_bilinear(TestType{}, to::there(map), 2));
  float const want[] = {0, 0, 4, 8, 5, 2};
  for (index_t y = 0; y < 2; ++y)
    for (index_t x = 0; x < 6; ++x) CHECK(out(0, y, x) == want[x]);
}

TEST_CASE("an aligned enlargement refuses what it cannot do", "[grid][errors]")
{
  grid<float, 3> maps(2, 3, 4), out(2, 6, 7);
  CHECK_THROWS_WITH(aligned_bilinear(cpu{}, maps, 0), "aligned_bilinear: the factor is 0; expected 1 or more");
  CHECK_THROWS_WITH(aligned_bilinear_into(cpu{}, maps, 2, out),
                    "aligned_bilinear: out is [2,6,7] but the maps are [2,3,4] and the factor is 2");
  CHECK_THROWS_WITH(aligned_bilinear_into(cpu{}, maps, 1, maps), "aligned_bilinear: maps and out overlap");
  CHECK_THROWS_AS(aligned_bilinear(cpu{}, maps, std::numeric_limits<index_t>::max() / 2), precondition_error);
  CHECK(aligned_bilinear(cpu{}, grid<float, 3>(0, 3, 4), 2).size() == 0);
  CHECK(aligned_bilinear(cpu{}, grid<float, 3>(2, 0, 4), 2).size() == 0);
}
