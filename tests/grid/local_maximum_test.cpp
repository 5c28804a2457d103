#include <cambium/grid/copy.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/grid/nonzero.hpp>
#include <cambium/grid/plateau.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/runs.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

using namespace cambium;
using support::picture;
using support::rows;

namespace {

/// The maxima above 0 that rule::mark_maxima marks under P, drawn; only one of each plateau if asked.
template <class P>
rows marked(grid<float, 2> const& map, grid<std::int32_t, 2> const& regions, index_t reach, bool one, P const& where)
{
  using S = typename P::memory;
  auto const there = support::copied<P>(map);
  auto const regions_there = support::copied<P>(regions);
  stack_view<float const, S> const maps = as_batch(there.view());
  image_view<std::int32_t const, S> region{};
  if (regions.size() > 0) region = regions_there.view();
  auto marks = make_grid<std::uint8_t>(where, {map.size()});
  std::uint8_t* const mark = marks.view().data;
  for_each_cell(where, maps.extent, rule::mark_maxima<float, S>{maps, region, 9, reach, 0, {mark, maps.extent}});
  nonzero_cells<P> listed;
  plateau_scratch<P> scratch;
  index_t const limit = list_nonzero(where, map.size(), static_cast<std::uint8_t const*>(mark), listed);
  if (one) thin_plateaus(where, maps, region, mark, listed, limit, scratch);
  auto const back = to_vector(where, marks);
  rows out(static_cast<std::size_t>(map.shape()[0]), std::string(static_cast<std::size_t>(map.shape()[1]), '.'));
  for (std::size_t k = 0; k < back.size(); ++k)
    if (back[k] != 0) out[k / out[0].size()][k % out[0].size()] = '#';
  return out;
}

/// The same under the policy of a test, and on the cpu with each instruction set.
template <class P>
rows marked_on(grid<float, 2> const& map, index_t reach, bool one = false, grid<std::int32_t, 2> const& regions = {})
{
  auto const out = marked(map, regions, reach, one, P{});
  for (auto const set : {isa::baseline, isa::avx2, isa::avx512})
    if (marked(map, regions, reach, one, cpu{.vectors = set}) != out) return {"differs between instruction sets"};
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a maximum dominates its window", "[grid][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const map = picture<float>({
      "1.......2",
      "..3......",
      ".......55",
      "4........",
  });
  CHECK(marked_on<TestType>(map, 1) == rows{"#.......#", "..#......", ".......##", "#........"});
  CHECK(marked_on<TestType>(map, 2) == rows{".........", ".........", ".......##", "#........"});
  CHECK(marked_on<TestType>(map, 7) == rows{".........", ".........", ".......##", "........."});
  CHECK(marked_on<TestType>(map, 0) == rows{"#.......#", "..#......", ".......##", "#........"});

  auto const regions = picture({
      "11111.222",
      "11111.222",
      "33333.222",
      "33333.222",
  });
  CHECK(marked_on<TestType>(map, 7, false, regions) == rows{".........", "..#......", ".......##", "#........"});
}

TEMPLATE_LIST_TEST_CASE("one cell of a plateau stands for it", "[grid][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const map = picture<float>({
      "555..2",
      "555...",
      "555..7",
      ".....7",
      "3.3..7",
  });
  CHECK(marked_on<TestType>(map, 1, true) == rows{".....#", ".#....", "......", ".....#", "#.#..."});
  // Regions part what is equal.
  auto const regions = picture({"112222", "112222", "112222", "111111", "111112"});
  CHECK(marked_on<TestType>(map, 1, true, regions) == rows{".....#", "#.#...", ".....#", ".....#", "#.#..#"});
}

TEMPLATE_LIST_TEST_CASE("of cells equally near to the mean of a plateau the first in raster order stands for it",
                        "[grid][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // 7 cells with the mean (3/7, 16/7): (0,3) and (1,2) are both 25/49 away.
  auto const map = picture<float>({"55.55", "..555"});
  CHECK(marked_on<TestType>(map, 1, true) == rows{"...#.", "....."});
  // All four are equally near.
  CHECK(marked_on<TestType>(picture<float>({"55", "55"}), 1, true) == rows{"#.", ".."});
}

namespace {

/// A number of whole numerator and denominator > 0.
struct fraction {
  long long over, under;
  friend bool operator<(fraction a, fraction b) { return a.over * b.under < b.over * a.under; }
  friend fraction operator+(fraction a, fraction b) { return {a.over * b.under + b.over * a.under, a.under * b.under}; }
};
fraction squared(fraction a) { return {a.over * a.over, a.under * a.under}; }

/// Oracle: the cells that stand for the plateaus of a mask, by spreading numbers until nothing changes and by
/// fractions.
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

TEMPLATE_LIST_TEST_CASE("plateau::one_cell equals a search in fractions", "[grid][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  std::uint64_t seed = 0;
  for (auto const [H, W] : {extent2{2, 5}, extent2{3, 4}, extent2{5, 5}, extent2{4, 9}, extent2{7, 7}})
    for (int i = 0; i < 400; ++i) {
      auto mask = support::uniform<float, 2>({H, W}, 0, 1, ++seed);
      for (auto& v : mask.cells()) v = v < 0.55f ? 1.f : 0.f;
      CAPTURE(H, W, seed);
      REQUIRE(marked_on<TestType>(mask, 0, true) == one_of_each(mask));
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

TEMPLATE_LIST_TEST_CASE("maxima of a row are those of its cells", "[grid][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const reach = GENERATE(0, 1, 2, 7);
  auto const W = GENERATE(1, 2, 17, 70);
  auto map = support::uniform<float, 2>({9, W}, -2, 8, 5);
  for (auto& v : map.cells()) v = std::floor(v);
  auto const random = support::uniform<float, 2>({9, W}, 0, 3, 6);
  grid<std::int32_t, 2> regions(9, W);
  for (index_t i = 0; i < 9 * W; ++i) regions.data()[i] = static_cast<int>(random.data()[i]);
  for (bool const parted : {false, true}) {
    rows want(9, std::string(static_cast<std::size_t>(W), '.'));
    for (int y = 0; y < 9; ++y)
      for (int x = 0; x < W; ++x) {
        bool is = map(y, x) > 0 && (!parted || regions(y, x) > 0);
        for (int v = 0; v < 9; ++v)
          for (int u = 0; u < W; ++u)
            if (std::abs(v - y) <= reach && std::abs(u - x) <= reach && (!parted || regions(v, u) == regions(y, x)))
              is = is && map(v, u) <= map(y, x);
        if (is) want[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)] = '#';
      }
    CHECK(marked_on<TestType>(map, reach, false, parted ? regions : grid<std::int32_t, 2>{}) == want);
  }
}

TEMPLATE_LIST_TEST_CASE("a plateau of any shape is one", "[grid][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // A spiral and a comb, whose parts meet late, and a map that is one plateau.
  auto const count = [](rows const& drawn) {
    std::size_t n = 0;
    for (auto const& row : drawn) n += static_cast<std::size_t>(std::count(row.begin(), row.end(), '#'));
    return n;
  };
  CHECK(count(marked_on<TestType>(picture<float>({"1.111", "1...1", "1.1.1", "1.1.1", "11111"}), 0, true)) == 1);
  CHECK(count(marked_on<TestType>(picture<float>({"1.1.1.1", "1.1.1.1", "1111111"}), 0, true)) == 1);
  grid<float, 2> whole(120, 301);
  std::fill(whole.cells().begin(), whole.cells().end(), 1.f);
  auto const middle = marked_on<TestType>(whole, 1, true);
  CHECK(count(middle) == 1);
  CHECK(middle[59][150] == '#');
}

TEMPLATE_LIST_TEST_CASE("cells that are not 0 are listed", "[grid][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  nonzero_cells<TestType> listed;
  for (index_t const count : {1000, 0, 1, 127, 128, 129, 300}) {
    auto cells = make_grid<std::int32_t>({count});
    std::vector<index_t> want;
    for (index_t i = 0; i < count; ++i) {
      bool const is = i % 97 == 5 || i + 1 == count || (i > 130 && i < 140);
      cells(i) = is ? static_cast<std::int32_t>(1) << i % 31 : 0;
      if (is) want.push_back(i);
    }
    auto const there = support::copied<TestType>(cells);
    index_t const limit = list_nonzero(where, count, static_cast<std::int32_t const*>(there.view().data), listed);
    REQUIRE(to_vector(where, listed.number)[0] == static_cast<index_t>(want.size()));
    REQUIRE(limit >= static_cast<index_t>(want.size()));
    auto const list = to_vector(where, listed.list);
    for (std::size_t k = 0; k < static_cast<std::size_t>(limit); ++k)
      REQUIRE(list[k] == (k < want.size() ? want[k] : -1));
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
