#include <cambium/grid/align_corners.hpp>
#include <cambium/grid/dilated.hpp>

#include "support/adaptive.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("resize_with_corners equals its definition", "[grid][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [h, w, H, W] = GENERATE(table<int, int, int, int>(
      {{5, 7, 13, 20}, {13, 20, 5, 7}, {1, 9, 4, 3}, {6, 1, 1, 5}, {3, 4, 1, 1}, {1, 1, 3, 2}, {56, 56, 448, 32}}));
  CAPTURE(h, w, H, W);
  auto const maps = support::uniform<float, 3>({2, h, w}, -1, 1, 3);
  auto there = support::copied<TestType>(grid<float, 3>(2, H, W));
  resize_with_corners(TestType{}, to::there(maps).view(), there.view());
  auto const have = to::back(there);
  auto const want = oracle::with_corners(maps, H, W);
  CHECK(support::largest_gap(have.cells(), want.cells()) < 1e-6);
  CHECK(std::fabs(have(1, H - 1, W - 1) - maps(1, H == 1 ? 0 : h - 1, W == 1 ? 0 : w - 1)) == 0);
}

TEST_CASE("maps of the same size are copied, constants stay, ends meet", "[grid][property]")
{
  auto const maps = support::uniform<float, 3>({2, 37, 53}, 0, 1, 5);
  grid<float, 3> out(2, 37, 53);
  resize_with_corners(cpu{}, maps.view(), out.view());
  CHECK(out == maps);
  grid<float, 3> plain(1, 3, 5), large(1, 101, 77);
  for (float& v : plain.cells()) v = 0.1f;
  resize_with_corners(cpu{}, plain.view(), large.view());
  for (float const v : large.cells()) CHECK(v == 0.1f);
  for (index_t const count : {2, 3, 7, 50, 448, 1021})
    for (index_t const cells : {2, 3, 11, 449}) {
      auto const end = corner_tap<float>(count - 1, count, cells);
      CHECK(static_cast<double>(end.low) + static_cast<double>(end.fraction) == static_cast<double>(cells - 1));
    }
}

TEST_CASE("resize_with_corners rejects what it documents", "[grid][errors]")
{
  grid<float, 3> none(2, 0, 4), some(2, 3, 4), other(1, 3, 4);
  CAMBIUM_THROWS_SAYING(resize_with_corners(cpu{}, none.view(), some.view()), precondition_error,
                        "from [2,0,4] to [2,3,4]; an empty map");
  CAMBIUM_THROWS_SAYING(resize_with_corners(cpu{}, other.view(), some.view()), precondition_error,
                        "from [1,3,4] to [2,3,4]");
  CAMBIUM_THROWS_SAYING(resize_with_corners(cpu{}, some.view(), some.view()), precondition_error, "overlap");
  resize_with_corners(cpu{}, some.view(), none.view());
  resize_with_corners(cpu{}, grid<float, 3>(0, 0, 0).view(), grid<float, 3>(0, 3, 4).view());
}

TEST_CASE("neighbours are listed dilation by dilation, row by row", "[grid][picture]")
{
  dilated_neighbours const near{3, 1};
  REQUIRE(near.size() == 16);
  CHECK(near.reach() == 3);
  std::vector<std::pair<int, int>> const want{{-3, -3}, {-3, 0}, {-3, 3}, {0, -3}, {0, 3}, {3, -3}, {3, 0}, {3, 3},
                                              {-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 1}, {1, -1}, {1, 0}, {1, 1}};
  for (int k = 0; k < 16; ++k) {
    CHECK(near.at(k).dy == want[k].first);
    CHECK(near.at(k).dx == want[k].second);
  }
  CHECK(dilated_neighbours{} == dilated_neighbours{1, 2, 4, 8, 12, 24});
  CHECK_FALSE(dilated_neighbours{1, 2} == dilated_neighbours{2, 1});
  CHECK_FALSE(dilated_neighbours{1, 2} == dilated_neighbours{1});
}

TEST_CASE("dilations are checked", "[grid][errors]")
{
  CAMBIUM_THROWS_SAYING((dilated_neighbours{2, 0}), precondition_error, "dilation 1 is 0");
  CAMBIUM_THROWS_SAYING((dilated_neighbours{-4}), precondition_error, "dilation 0 is -4");
  CAMBIUM_THROWS_SAYING(dilated_neighbours(std::span<int const>{}), precondition_error, "0 dilations");
  CAMBIUM_THROWS_SAYING(dilated_neighbours(std::vector<int>(33, 1)), precondition_error, "33 dilations");
}
