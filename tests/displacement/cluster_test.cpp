#include <cambium/displacement/cluster.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

TEMPLATE_TEST_CASE("weak_field equals the length of the displacement", "[displacement][reference]", float, double)
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 30}, {30, 1}, {90, 33}}));
  double const threshold = GENERATE(0.1, 2.5, 4.0);
  CAPTURE(H, W, threshold);
  auto D = support::uniform<TestType, 3>({2, H, W}, -4, 4, 3);
  for (std::size_t i = 0; i < D.cells().size(); ++i)  // and some that lie on a threshold exactly
    if (i % 5 == 0) D.cells()[i] = TestType(0.5) * std::round(2 * D.cells()[i]);
  auto const weak = weak_field(cpu{}, D, threshold);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      TestType volatile dy2 = D(0, y, x) * D(0, y, x), dx2 = D(1, y, x) * D(1, y, x);
      TestType volatile sum = dy2 + dx2;
      REQUIRE(weak(y, x) == (std::sqrt(TestType(sum)) < static_cast<TestType>(threshold) ? 1 : 0));
    }
  CHECK(weak_field(cpu{.threads = 1}, D, threshold) == weak);
  CHECK(weak_field(cpu{.threads = 3}, D, threshold) == weak);
}

TEST_CASE("a displacement as long as the threshold is not weak", "[displacement][picture]")
{
  grid<float, 3> D(2, 1, 5);
  float const dy[] = {1.5f, 1.5f, 0, 3e38f, -1.5f}, dx[] = {2, 1.99f, 0, -3e38f, -2};  // 1.5, 2, 2.5: a right angle
  for (int x = 0; x < 5; ++x) D(0, 0, x) = dy[x], D(1, 0, x) = dx[x];
  CHECK(drawn(weak_field(cpu{}, D)) == rows{".11.."});
  CHECK(drawn(weak_field(cpu{}, D, 2.6)) == rows{"111.1"});
  // Shorter by the last bit, and only as long as both products are rounded before they are summed.
  grid<float, 3> close(2, 1, 2);
  close(0, 0, 0) = close(1, 0, 1) = 0x1.81756p+0f, close(1, 0, 0) = close(0, 0, 1) = 0x1.fee72p+0f;
  CHECK(drawn(weak_field(cpu{}, close)) == rows{"11"});
}

TEST_CASE("weak_field rejects what it documents", "[displacement][errors]")
{
  grid<float, 3> D(2, 2, 3);
  CAMBIUM_THROWS_SAYING(weak_field(cpu{}, grid<float, 3>(1, 2, 3)), precondition_error, "[1,2,3] instead of [2,H,W]");
  for (double const threshold : {0.0, -1.0, std::nan("")})
    CAMBIUM_THROWS_SAYING(weak_field(cpu{}, D, threshold), precondition_error, "threshold is");
  for (float const bad : {std::nanf(""), HUGE_VALF}) {
    D(1, 1, 2) = bad;
    CAMBIUM_THROWS_SAYING(weak_field(cpu{}, D), precondition_error, "displacement(1,1,2) is");
  }
  CHECK(weak_field(cpu{}, grid<float, 3>(2, 0, 3)).size() == 0);
  CHECK(weak_field(cpu{}, grid<float, 3>(2, 3, 0)).size() == 0);
}

TEMPLATE_TEST_CASE("nearest_cells rounds halves to even", "[displacement][reference]", float, double)
{
  auto positions = support::uniform<TestType, 3>({2, 9, 31}, 0, 40, 3);
  for (std::size_t i = 0; i < positions.cells().size(); i += 2)  // many halves
    positions.cells()[i] = TestType(0.5) * std::floor(positions.cells()[i]);
  TestType const one = std::nextafter(TestType(0.5), TestType(1)), zero = std::nextafter(TestType(0.5), TestType(0));
  positions(0, 0, 0) = one, positions(0, 0, 1) = zero, positions(0, 0, 2) = TestType(1 << 24);
  auto const cells = nearest_cells(cpu{}, positions);
  for (std::size_t i = 0; i < positions.cells().size(); ++i) {
    double const p = static_cast<double>(positions.cells()[i]), below = std::floor(p), over = p - below;
    double const want = over > 0.5 || (over == 0.5 && std::fmod(below, 2) == 1) ? below + 1 : below;
    REQUIRE(cells.cells()[i] == static_cast<std::int32_t>(want));
  }
}

TEST_CASE("nearest_cells refuses what is no position", "[displacement][errors]")
{
  for (float const bad : {std::nanf(""), HUGE_VALF, -0.5f, 0x1p25f}) {
    grid<float, 3> positions(2, 3, 4);
    positions(1, 2, 3) = bad;
    CAMBIUM_THROWS_SAYING(nearest_cells(cpu{}, positions), precondition_error, "positions(1,2,3) is");
  }
  CHECK(nearest_cells(cpu{}, grid<float, 3>(2, 0, 3)).size() == 0);
}

TEST_CASE("cluster equals a set of the regions in use", "[displacement][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 23}, {23, 1}, {17, 12}}));
  auto const regions_there = GENERATE(1, 3, 40, 100000);
  CAPTURE(H, W, regions_there);
  auto const regions = support::uniform<std::int32_t, 2>({H, W}, 0, regions_there, 3);
  grid<std::int32_t, 3> ends(2, H, W);
  auto const random = support::uniform<double, 3>({2, H, W}, 0, 0.8, 5);  // nobody ends in the last rows and columns
  for (int i = 0; i < H * W; ++i) {
    ends(0, i / W, i % W) = static_cast<std::int32_t>(random(0, i / W, i % W) * H);
    ends(1, i / W, i % W) = static_cast<std::int32_t>(random(1, i / W, i % W) * W);
  }
  std::set<std::int32_t> used;
  for (int i = 0; i < H * W; ++i) used.insert(regions(ends(0, i / W, i % W), ends(1, i / W, i % W)));
  auto const map = cluster(cpu{}, regions, ends);
  REQUIRE(map.count == static_cast<index_t>(used.size()));
  for (int i = 0; i < H * W; ++i) {
    auto const place = used.find(regions(ends(0, i / W, i % W), ends(1, i / W, i % W)));
    REQUIRE(map.id(i / W, i % W) == std::distance(used.begin(), place));
  }
}

TEST_CASE("cells gather in the region they end in", "[displacement][picture]")
{
  auto const regions = picture({
      "1...3",
      "1.2.3",
  });
  // Columns 0 and 1 end in region 1, column 2 outside all, columns 3 and 4 in region 3; nobody in 2.
  grid<std::int32_t, 3> ends(2, 2, 5);
  int const column[] = {0, 0, 1, 4, 4};
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 5; ++x) ends(0, y, x) = 1 - y, ends(1, y, x) = column[x];
  auto const map = cluster(cpu{}, regions, ends);
  CHECK(map.count == 3);
  rows const three{
      "11.22",  // outside is a group like any other: the first
      "11.22",
  };
  CHECK(drawn(map.id) == three);
  for (int y = 0; y < 2; ++y) ends(1, y, 2) = 0;
  auto const without = cluster(cpu{}, regions, ends);
  CHECK(without.count == 2);
  rows const two{
      "...11",
      "...11",
  };
  CHECK(drawn(without.id) == two);
}

TEST_CASE("cluster rejects what it documents", "[displacement][errors]")
{
  auto regions = picture({".12", "..3"});
  grid<std::int32_t, 3> ends(2, 2, 3);
  CAMBIUM_THROWS_SAYING(cluster(cpu{}, regions, grid<std::int32_t, 3>(2, 2, 2)), precondition_error,
                        "regions are [2,3] but centroids are [2,2,2]");
  CAMBIUM_THROWS_SAYING(cluster(cpu{}, regions, grid<std::int32_t, 3>(3, 2, 3)), precondition_error, "[3,2,3]");
  struct bad {
    int axis, value;
    char const* words;
  };
  for (auto const& b : {bad{0, 2, "(2,0)"}, bad{0, -1, "(-1,0)"}, bad{1, 3, "(0,3)"}, bad{1, -1, "(0,-1)"}}) {
    ends(b.axis, 1, 2) = b.value;
    CAMBIUM_THROWS_SAYING(cluster(cpu{}, regions, ends), precondition_error,
                          "centroid of (1,2) is " + std::string(b.words));
    ends(b.axis, 1, 2) = 0;
  }
  regions(1, 0) = -2;
  CAMBIUM_THROWS_SAYING(cluster(cpu{}, regions, ends), precondition_error, "region(1,0) is -2");
  auto const none = cluster(cpu{}, grid<std::int32_t, 2>(0, 3), grid<std::int32_t, 3>(2, 0, 3));
  CHECK(none.count == 0);
  CHECK(none.id.size() == 0);
}
