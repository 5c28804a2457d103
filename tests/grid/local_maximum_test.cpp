#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/runs.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <tuple>

using namespace cambium;
using support::picture;
using support::rows;

namespace {

rows marked(local_maximum<float> const& of, grid<float, 2> const& map, bool one = false)
{
  rows out;
  std::vector<place> cells;
  for (index_t y = 0; y < map.shape()[0]; ++y) {
    out.emplace_back(static_cast<std::size_t>(map.shape()[1]), '.');
    for (index_t x = 0; x < map.shape()[1]; ++x)
      if (map(y, x) > 0 && of(y, x)) cells.push_back({y, x});
  }
  if (one) cells = one_of_each_plateau(of, cells);
  for (place const p : cells) out[static_cast<std::size_t>(p.y)][static_cast<std::size_t>(p.x)] = '#';
  return out;
}

}  // namespace

TEST_CASE("a maximum dominates its window", "[grid][picture]")
{
  auto const map = picture<float>({
      "1.......2",
      "..3......",
      ".......55",
      "4........",
  });
  CHECK(marked({map, {}, 1}, map) == rows{"#.......#", "..#......", ".......##", "#........"});
  CHECK(marked({map, {}, 2}, map) == rows{".........", ".........", ".......##", "#........"});
  CHECK(marked({map, {}, 7}, map) == rows{".........", ".........", ".......##", "........."});
  CHECK(marked({map, {}, 0}, map) == rows{"#.......#", "..#......", ".......##", "#........"});

  auto const regions = picture({
      "11111.222",
      "11111.222",
      "33333.222",
      "33333.222",
  });
  CHECK(marked({map, regions.view(), 7}, map) == rows{".........", "..#......", ".......##", "#........"});
}

TEST_CASE("one cell of a plateau stands for it", "[grid][picture]")
{
  auto const map = picture<float>({
      "555..2",
      "555...",
      "555..7",
      ".....7",
      "3.3..7",
  });
  CHECK(marked({map, {}, 1}, map, true) == rows{".....#", ".#....", "......", ".....#", "#.#..."});
  // Regions part what is equal.
  auto const regions = picture({"112222", "112222", "112222", "111111", "111112"});
  CHECK(marked({map, regions.view(), 1}, map, true) == rows{".....#", "#.#...", ".....#", ".....#", "#.#..#"});
}

TEST_CASE("local maxima equal a look at the whole window", "[grid][reference]")
{
  auto const reach = GENERATE(0, 1, 2, 5, 30);
  auto map = support::uniform<float, 2>({13, 17}, 0, 6, 4);
  for (auto& v : map.cells()) v = std::floor(v);  // plateaus
  auto regions = support::uniform<float, 2>({13, 17}, 0, 3, 9);
  grid<std::int32_t, 2> region(13, 17);
  for (index_t i = 0; i < 13 * 17; ++i) region.data()[i] = static_cast<int>(regions.data()[i]);
  for (bool const parted : {false, true}) {
    local_maximum<float> const here{map.view(), parted ? region.view() : view<std::int32_t, 2>{}, reach};
    for (int y = 0; y < 13; ++y)
      for (int x = 0; x < 17; ++x) {
        float most = -1;
        for (int v = 0; v < 13; ++v)
          for (int u = 0; u < 17; ++u)
            if (std::abs(v - y) <= reach && std::abs(u - x) <= reach && (!parted || region(v, u) == region(y, x)))
              most = std::max(most, map(v, u));
        CHECK(here(y, x) == (most == map(y, x)));
      }
  }
}

TEST_CASE("a window has a centre", "[grid][errors]")
{
  for (int const bad : {0, 2, -3, 40})
    CAMBIUM_THROWS_SAYING(expects_window(bad, "someone"), precondition_error, "someone: kernel is");
  CHECK_NOTHROW(expects_window(41, "someone"));
}

TEST_CASE("runs cover every cell once, in order", "[grid][property]")
{
  auto const map = picture({"1122.", "....3", "33333"});
  std::vector<std::tuple<index_t, index_t, index_t, int>> seen;
  for_each_run(map.view(), [&](index_t y, index_t begin, index_t end, int v) { seen.emplace_back(y, begin, end, v); });
  std::vector<std::tuple<index_t, index_t, index_t, int>> const want{{0, 0, 2, 1}, {0, 2, 4, 2}, {0, 4, 5, 0},
                                                                     {1, 0, 4, 0}, {1, 4, 5, 3}, {2, 0, 5, 3}};
  CHECK(seen == want);
  for_each_run(grid<int, 2>(0, 4).view(), [](index_t, index_t, index_t, int) { FAIL(); });
  for_each_run(grid<int, 2>(4, 0).view(), [](index_t, index_t, index_t, int) { FAIL(); });
}
