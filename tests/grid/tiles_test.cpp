#include <cambium/grid/grid.hpp>
#include <cambium/grid/tiles.hpp>

#include "support/catch.hpp"

#include <limits>

using namespace cambium;

TEST_CASE("kept boxes part the map, worked boxes surround them", "[grid][property]")
{
  index_t const H = GENERATE(1, 7, 12, 25), W = GENERATE(1, 8, 31), size = GENERATE(1, 4, 12, 100),
                overlap = GENERATE(0, 1, 9);
  CAPTURE(H, W, size, overlap);
  grid<int, 2> seen(H, W);
  for (auto const& [kept, worked] : tiles_of({H, W}, size, overlap)) {
    for (index_t y = kept.top; y < kept.bottom; ++y)
      for (index_t x = kept.left; x < kept.right; ++x) ++seen(y, x);
    CHECK(worked == box{std::max<index_t>(0, kept.top - overlap), std::max<index_t>(0, kept.left - overlap),
                        std::min(H, kept.bottom + overlap), std::min(W, kept.right + overlap)});
  }
  for (int const n : seen.cells()) REQUIRE(n == 1);
}

TEST_CASE("maps of nothing have no tiles, huge tiles are one", "[grid][picture]")
{
  constexpr index_t most = std::numeric_limits<index_t>::max();
  CHECK(tiles_of({0, 5}, 3, 1).empty());
  CHECK(tiles_of({5, 0}, 3, 1).empty());
  auto const one = tiles_of({5, 6}, most, most);
  REQUIRE(one.size() == 1);
  CHECK((one[0].kept == box{0, 0, 5, 6} && one[0].worked == box{0, 0, 5, 6}));
}

TEST_CASE("a crop is a window on the same cells", "[grid][picture]")
{
  grid<int, 3> g(2, 4, 5);
  for (std::size_t i = 0; i < g.cells().size(); ++i) g.cells()[i] = static_cast<int>(i);
  auto const window = crop(g.view(), {1, 2, 3, 5});
  CHECK((window.extent[0] == 2 && window.extent[1] == 2 && window.extent[2] == 3));
  for (index_t c = 0; c < 2; ++c)
    for (index_t y = 0; y < 2; ++y)
      for (index_t x = 0; x < 3; ++x) CHECK(&window(c, y, x) == &g(c, y + 1, x + 2));
  CHECK(crop(g.view(), {4, 5, 4, 5}).size() == 0);
}

TEST_CASE("tiles and crops check what they are given", "[grid][errors]")
{
  CAMBIUM_THROWS_SAYING(tiles_of({-1, 5}, 3, 1), precondition_error, "-1 x 5");
  CAMBIUM_THROWS_SAYING(tiles_of({4, 5}, 0, 1), precondition_error, "tiles of 0 cells");
  CAMBIUM_THROWS_SAYING(tiles_of({4, 5}, 3, -1), precondition_error, "overlap is -1");
  grid<int, 2> const g(4, 5);
  for (box const bad : {box{-1, 0, 2, 2}, box{0, 0, 5, 2}, box{0, 3, 2, 2}, box{0, 0, 2, 6}})
    CAMBIUM_THROWS_SAYING(crop(g.view(), bad), precondition_error, "leaves the map [4,5]");
}
