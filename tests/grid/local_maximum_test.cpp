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

TEST_CASE("of cells equally near to the mean of a plateau the first in raster order stands for it", "[grid][picture]")
{
  // 7 cells with the mean (3/7, 16/7): (0,3) and (1,2) are both 25/49 away.
  auto const map = picture<float>({"55.55", "..555"});
  CHECK(marked({map, {}, 1}, map, true) == rows{"...#.", "....."});
  // All four are equally near.
  CHECK(marked({picture<float>({"55", "55"}), {}, 1}, picture<float>({"55", "55"}), true) == rows{"#.", ".."});
}

namespace {

/// A number of whole numerator and denominator > 0.
struct fraction {
  long long over, under;
  friend bool operator<(fraction a, fraction b) { return a.over * b.under < b.over * a.under; }
  friend fraction operator+(fraction a, fraction b) { return {a.over * b.under + b.over * a.under, a.under * b.under}; }
};
fraction squared(fraction a) { return {a.over * a.over, a.under * a.under}; }

/// Oracle: the cells that stand for the plateaus of a mask, by spreading numbers until nothing changes and by fractions.
rows one_of_each(grid<float, 2> const& mask)
{
  auto const H = static_cast<int>(mask.shape()[0]), W = static_cast<int>(mask.shape()[1]);
  grid<int, 2> number(H, W);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) number(y, x) = mask(y, x) > 0 ? y * W + x + 1 : 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x)
        for (int v = std::max(0, y - 1); v <= std::min(H - 1, y + 1); ++v)
          for (int u = std::max(0, x - 1); u <= std::min(W - 1, x + 1); ++u)
            if (number(y, x) > 0 && number(v, u) > 0 && number(v, u) < number(y, x))
              number(y, x) = number(v, u), changed = true;
  }
  rows out(static_cast<std::size_t>(H), std::string(static_cast<std::size_t>(W), '.'));
  for (int k = 1; k <= H * W; ++k) {
    long long n = 0, ys = 0, xs = 0;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x)
        if (number(y, x) == k) ++n, ys += y, xs += x;
    if (n == 0) continue;
    fraction least{1000000, 1};
    place best;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        if (number(y, x) != k) continue;
        fraction const away = squared(fraction{y, 1} + fraction{-ys, n}) + squared(fraction{x, 1} + fraction{-xs, n});
        if (away < least) least = away, best = {y, x};
      }
    out[static_cast<std::size_t>(best.y)][static_cast<std::size_t>(best.x)] = '#';
  }
  return out;
}

}  // namespace

TEST_CASE("plateau::one_cell equals a search in fractions", "[grid][reference]")
{
  std::uint64_t seed = 0;
  for (auto const [H, W] : {extent2{2, 5}, extent2{3, 4}, extent2{5, 5}, extent2{4, 9}, extent2{7, 7}})
    for (int i = 0; i < 400; ++i) {
      auto mask = support::uniform<float, 2>({H, W}, 0, 1, ++seed);
      for (auto& v : mask.cells()) v = v < 0.55f ? 1.f : 0.f;
      CAPTURE(H, W, seed);
      REQUIRE(marked({mask, {}, 0}, mask, true) == one_of_each(mask));
    }
}

TEST_CASE("plateaus of any size are measured in whole numbers", "[grid][property]")
{
  // Rows and columns of up to 2^32 cells, a square of 2^40: the squares of their distances do not fit 64 bits.
  auto const triangle = [](index_t n) { return n % 2 == 0 ? n / 2 * (n - 1) : (n - 1) / 2 * n; };
  index_t const S = index_t{1} << 20;
  for (index_t const n : {index_t{1} << 32, (index_t{1} << 32) - 1, index_t{3000001}}) {
    plateau_sums const row{n, 0, triangle(n)}, column{n, triangle(n), 0};
    index_t const middle = (n - 1) / 2;
    CHECK(row.distance(0, middle) < row.distance(0, middle - 1));
    CHECK(row.distance(0, middle) < row.distance(0, middle + 2));
    CHECK((row.distance(0, middle) == row.distance(0, middle + 1)) == (n % 2 == 0));
    CHECK(row.distance(0, 0) == row.distance(0, n - 1));
    CHECK(column.distance(0, 0) == column.distance(n - 1, 0));
    CHECK(column.distance(middle, 0) < column.distance(n - 1, 0));
  }
  plateau_sums const square{S * S, S * triangle(S), S * triangle(S)};
  CHECK(square.distance(0, 0) == square.distance(S - 1, S - 1));
  CHECK(square.distance(0, S - 1) == square.distance(S - 1, 0));
  CHECK(square.distance(S / 2, S / 2) == square.distance(S / 2 - 1, S / 2));
  CHECK(square.distance(S / 2, S / 2) < square.distance(S / 2 + 1, S / 2));
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
