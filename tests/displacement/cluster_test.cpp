#include <cambium/displacement/cluster.hpp>

#include "support/backends.hpp"
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

namespace {

template <class P>
grid<std::uint8_t, 2> weak_on(grid<float, 3> const& D, double threshold = 2.5)
{
  using to = support::carry<P>;
  return to::back(weak_field(P{}, to::there(D), threshold));
}

template <class P>
instance_map<> cluster_on(grid<std::int32_t, 2> const& regions, grid<std::int32_t, 3> const& ends)
{
  using to = support::carry<P>;
  auto const map = cluster(P{}, to::there(regions), to::there(ends));
  return {to::back(map.id), map.count};
}

template <class P, class T>
void check_weak_field(int H, int W, double threshold)
{
  using to = support::carry<P>;
  auto D = support::uniform<T, 3>({2, H, W}, -4, 4, 3);
  for (std::size_t i = 0; i < D.cells().size(); ++i)  // and some that lie on a threshold exactly
    if (i % 5 == 0) D.cells()[i] = T(0.5) * std::round(2 * D.cells()[i]);
  auto const weak = to::back(weak_field(P{}, to::there(D), threshold));
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      T volatile dy2 = D(0, y, x) * D(0, y, x), dx2 = D(1, y, x) * D(1, y, x);
      T volatile sum = dy2 + dx2;
      REQUIRE(weak(y, x) == (std::sqrt(T(sum)) < static_cast<T>(threshold) ? 1 : 0));
    }
  for (int const threads : {1, 3}) CHECK(weak_field(cpu{.threads = threads}, D, threshold) == weak);
}

template <class P, class T>
void check_nearest_cells()
{
  using to = support::carry<P>;
  auto positions = support::uniform<T, 3>({2, 9, 31}, 0, 40, 3);
  for (std::size_t i = 0; i < positions.cells().size(); i += 2)  // many halves
    positions.cells()[i] = T(0.5) * std::floor(positions.cells()[i]);
  T const one = std::nextafter(T(0.5), T(1)), zero = std::nextafter(T(0.5), T(0));
  positions(0, 0, 0) = one, positions(0, 0, 1) = zero, positions(0, 0, 2) = T(1 << 24);
  auto const cells = to::back(nearest_cells(P{}, to::there(positions)));
  for (std::size_t i = 0; i < positions.cells().size(); ++i) {
    double const p = static_cast<double>(positions.cells()[i]), below = std::floor(p), over = p - below;
    double const want = over > 0.5 || (over == 0.5 && std::fmod(below, 2) == 1) ? below + 1 : below;
    REQUIRE(cells.cells()[i] == static_cast<std::int32_t>(want));
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("weak_field equals the length of the displacement", "[displacement][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 30}, {30, 1}, {90, 33}}));
  double const threshold = GENERATE(0.1, 2.5, 4.0);
  CAPTURE(H, W, threshold);
  check_weak_field<TestType, float>(H, W, threshold);
  check_weak_field<TestType, double>(H, W, threshold);
}

TEMPLATE_LIST_TEST_CASE("a displacement as long as the threshold is not weak", "[displacement][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> D(2, 1, 5);
  float const dy[] = {1.5f, 1.5f, 0, 3e38f, -1.5f}, dx[] = {2, 1.99f, 0, -3e38f, -2};  // 1.5, 2, 2.5: a right angle
  for (int x = 0; x < 5; ++x) D(0, 0, x) = dy[x], D(1, 0, x) = dx[x];
  CHECK(drawn(weak_on<TestType>(D)) == rows{".11.."});
  CHECK(drawn(weak_on<TestType>(D, 2.6)) == rows{"111.1"});
  // Shorter by the last bit, and only as long as both products are rounded before they are summed.
  grid<float, 3> close(2, 1, 2);
  close(0, 0, 0) = close(1, 0, 1) = 0x1.81756p+0f, close(1, 0, 0) = close(0, 0, 1) = 0x1.fee72p+0f;
  CHECK(drawn(weak_on<TestType>(close)) == rows{"11"});
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

TEMPLATE_LIST_TEST_CASE("nearest_cells rounds halves to even", "[displacement][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  check_nearest_cells<TestType, float>();
  check_nearest_cells<TestType, double>();
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

TEMPLATE_LIST_TEST_CASE("cluster equals a set of the regions in use", "[displacement][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 23}, {23, 1}, {17, 12}}));
  auto const regions_there = GENERATE(1, 3, 40, 100000);
  CAPTURE(H, W, regions_there);
  // A device has room for as many regions as there are cells.
  bool const any = std::is_same_v<TestType, cpu>;
  auto const regions =
      support::uniform<std::int32_t, 2>({H, W}, 0, any ? regions_there : std::min(regions_there, H * W + 1), 3);
  grid<std::int32_t, 3> ends(2, H, W);
  auto const random = support::uniform<double, 3>({2, H, W}, 0, 0.8, 5);  // nobody ends in the last rows and columns
  for (int i = 0; i < H * W; ++i) {
    ends(0, i / W, i % W) = static_cast<std::int32_t>(random(0, i / W, i % W) * H);
    ends(1, i / W, i % W) = static_cast<std::int32_t>(random(1, i / W, i % W) * W);
  }
  std::set<std::int32_t> used;
  for (int i = 0; i < H * W; ++i) used.insert(regions(ends(0, i / W, i % W), ends(1, i / W, i % W)));
  auto const map = cluster_on<TestType>(regions, ends);
  REQUIRE(map.count == static_cast<index_t>(used.size()));
  for (int i = 0; i < H * W; ++i) {
    auto const place = used.find(regions(ends(0, i / W, i % W), ends(1, i / W, i % W)));
    REQUIRE(map.id(i / W, i % W) == std::distance(used.begin(), place));
  }
}

TEMPLATE_LIST_TEST_CASE("cells gather in the region they end in", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const regions = picture({
      "1...3",
      "1.2.3",
  });
  // Columns 0 and 1 end in region 1, column 2 outside all, columns 3 and 4 in region 3; nobody in 2.
  grid<std::int32_t, 3> ends(2, 2, 5);
  int const column[] = {0, 0, 1, 4, 4};
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 5; ++x) ends(0, y, x) = 1 - y, ends(1, y, x) = column[x];
  auto const map = cluster_on<TestType>(regions, ends);
  CHECK(map.count == 3);
  rows const three{
      "11.22",  // outside is a group like any other: the first
      "11.22",
  };
  CHECK(drawn(map.id) == three);
  for (int y = 0; y < 2; ++y) ends(1, y, 2) = 0;
  auto const without = cluster_on<TestType>(regions, ends);
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
}

TEMPLATE_LIST_TEST_CASE("an empty map has no clusters", "[displacement][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const none = cluster_on<TestType>(grid<std::int32_t, 2>(0, 3), grid<std::int32_t, 3>(2, 0, 3));
  CHECK(none.count == 0);
  CHECK(none.id.size() == 0);
}

TEMPLATE_LIST_TEST_CASE("what lies nowhere counts as no region", "[displacement][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto regions = picture({"12", "34"});
  grid<std::int32_t, 3> ends(2, 2, 2);
  for (index_t i = 0; i < 4; ++i)
    ends(0, i / 2, i % 2) = static_cast<std::int32_t>(i / 2), ends(1, i / 2, i % 2) = static_cast<std::int32_t>(i % 2);
  CHECK(drawn(cluster_on<TestType>(regions, ends).id) == rows{".1", "23"});
  regions(0, 0) = -7, regions(0, 1) = 5;
  ends(0, 1, 0) = -1, ends(1, 1, 1) = 2'000'000'000;
  auto const none = cluster_on<TestType>(regions, ends);
  CHECK(drawn(none.id) == rows{"..", ".."});
  CHECK(none.count == 1);
  grid<float, 3> positions(2, 1, 2);
  positions(0, 0, 0) = std::nanf(""), positions(0, 0, 1) = -3, positions(1, 0, 0) = HUGE_VALF;
  auto const cells = to::back(nearest_cells(TestType{}, to::there(positions)));
  CHECK((cells(0, 0, 0) == 0 && cells(0, 0, 1) == 0 && cells(1, 0, 0) == 1 << 24));
  positions(1, 0, 1) = -HUGE_VALF;
  CHECK(drawn(weak_on<TestType>(positions)) == rows{".."});
}

TEMPLATE_LIST_TEST_CASE("clusters of a large map, in scratch that is used again", "[displacement][same]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  cluster_scratch<TestType> scratch;
  for (int const side : {301, 40, 77}) {
    auto const regions = support::uniform<std::int32_t, 2>({side, side}, 0, side, 3);
    auto const ends = support::uniform<std::int32_t, 3>({2, side, side}, 0, side / 2, 5);
    auto const want = cluster(cpu{}, regions, ends);
    auto id = support::copied<TestType>(regions);
    auto count = make_grid<std::int32_t>(TestType{}, {1});
    auto const region = support::copied<TestType>(regions);
    auto const end = support::copied<TestType>(ends);
    cluster_into(TestType{}, region, end, id, count, scratch);
    CHECK(to::back(id) == want.id);
    CHECK(to::back(count)(0) == want.count);
  }
}
