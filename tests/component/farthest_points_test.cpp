#include <cambium/component/farthest_points.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"

#include <cmath>
#include <cstdlib>
#include <random>
#include <set>
#include <vector>

using namespace cambium;
using support::picture;

namespace {

/// Oracle: by the definition, with all pairs of cells.
std::vector<place> chosen(grid<std::int32_t, 2> const& labels, std::int32_t l, index_t most)
{
  index_t const H = labels.shape()[0], W = labels.shape()[1];
  std::vector<place> own, out;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      if (labels(y, x) == l) own.push_back({y, x});
  while (static_cast<index_t>(out.size()) < most && out.size() < own.size()) {
    place best{};
    index_t largest = -1;
    for (place const& p : own) {
      index_t gap = 1 << 30;
      if (out.empty()) {
        for (index_t y = -1; y <= H; ++y)
          for (index_t x = -1; x <= W; ++x) {
            bool const outside = y < 0 || x < 0 || y == H || x == W || labels(y, x) != l;
            if (outside) gap = std::min<index_t>(gap, std::abs(y - p.y) + std::abs(x - p.x));
          }
      } else {
        for (place const& q : out) gap = std::min(gap, (p.y - q.y) * (p.y - q.y) + (p.x - q.x) * (p.x - q.x));
      }
      if (gap > largest) largest = gap, best = p;
    }
    out.push_back(best);
  }
  return out;
}

}  // namespace

TEST_CASE("farthest points by the definition", "[component][reference]")
{
  std::mt19937 bits(1);
  for (int round = 0; round < 20; ++round) {
    index_t const H = 1 + bits() % 18, W = 1 + bits() % 18, coarse = 1 + bits() % 5;
    std::vector<int> square(400);
    for (int& v : square) v = static_cast<int>(bits() % 4);
    grid<std::int32_t, 2> labels(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) labels(y, x) = square[static_cast<std::size_t>(y / coarse * 20 + x / coarse)];
    index_t const most = bits() % 7;
    CAPTURE(H, W, most);
    auto const have = farthest_points(cpu{}, labels, 4, most);
    REQUIRE(have.first.size() == 5);
    for (std::int32_t l = 1; l <= 4; ++l) {
      auto const want = chosen(labels, l, most);
      std::vector<place> const own(have.at.begin() + have.first[l - 1], have.at.begin() + have.first[l]);
      CHECK(own == want);
    }
    for (int const threads : {1, 3, 8}) {
      auto const again = farthest_points(cpu{.threads = threads}, labels, 4, most);
      CHECK((again.at == have.at && again.first == have.first));
    }
  }
}

TEST_CASE("the first point is deep inside, the next ones at the ends", "[component][picture]")
{
  auto const labels = picture({
      "1111111....",  //
      "1111111....",  //
      "11111112222",  //
      "1111111....",  //
      "1111111....",
  });
  auto const have = farthest_points(cpu{}, labels, 2, 3);
  REQUIRE(have.first == std::vector<index_t>{0, 3, 6});
  CHECK(have.at[0] == place{2, 2});
  CHECK(have.at[1] == place{0, 6});
  CHECK(have.at[2] == place{4, 6});
  CHECK(have.at[3] == place{2, 7});  // a line: all cells are as deep, the first counts
  CHECK(have.at[4] == place{2, 10});
}

TEST_CASE("what farthest_points refuses", "[component][errors]")
{
  auto const labels = picture({"12"});
  CHECK_THROWS_WITH(farthest_points(cpu{}, labels, 1, 3), "farthest_points: label(0,1) is 2, outside 0..1");
  CHECK_THROWS_WITH(farthest_points(cpu{}, labels, -1, 3), "farthest_points: count is -1");
  CHECK_THROWS_WITH(farthest_points(cpu{}, labels, 2, -3), "farthest_points: most is -3; expected a number >= 0");
  CHECK(farthest_points(cpu{}, grid<std::int32_t, 2>(0, 0), 2, 3).first == std::vector<index_t>{0, 0, 0});
}
