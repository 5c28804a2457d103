#include <cambium/grid/stencil.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;

static_assert(path::to({1, 1}).size == 4);  // a corner step reads its whole square
static_assert(on_path({3, 3}, {0, 0}) && on_path({3, 3}, {3, 3}) && on_path({3, 3}, {1, 2}));
static_assert(!on_path({3, 3}, {0, 2}) && !on_path({3, 3}, {4, 4}) && !on_path({3, 3}, {-1, -1}));

namespace {

using cell = std::pair<int, int>;

/// Oracle, in real numbers: the cells of the box between (0,0) and (dy,dx) closer than 1 to the line, farthest from
/// the source first.
std::vector<cell> thick_line(int dy, int dx)
{
  std::vector<cell> cells;
  double const length_squared = dy * dy + dx * dx;
  for (int y = std::min(0, dy); y <= std::max(0, dy); ++y)
    for (int x = std::min(0, dx); x <= std::max(0, dx); ++x)
      if ((dy * x - dx * y) * (dy * x - dx * y) / length_squared < 1) cells.emplace_back(y, x);
  std::stable_sort(cells.begin(), cells.end(), [](cell a, cell b) {
    return std::abs(a.first) + std::abs(a.second) > std::abs(b.first) + std::abs(b.second);
  });
  return cells;
}

/// Oracle: first the row of the cell, then the rows below, sorted into bins by the length of the path.
std::vector<cell> half_disc(int radius)
{
  std::map<std::size_t, std::vector<cell>> bins;
  for (int x = 1; x < radius; ++x) bins[thick_line(0, x).size()].emplace_back(0, x);
  for (int y = 1; y < radius; ++y)
    for (int x = 1 - radius; x < radius; ++x)
      if (y * y + x * x < radius * radius) bins[thick_line(y, x).size()].emplace_back(y, x);
  std::vector<cell> all;
  for (auto const& bin : bins) all.insert(all.end(), bin.second.begin(), bin.second.end());
  return all;
}

std::vector<cell> list(offset const* at, int size)
{
  std::vector<cell> cells;
  for (int i = 0; i < size; ++i) cells.emplace_back(at[i].dy, at[i].dx);
  return cells;
}

}  // namespace

TEST_CASE("a disc holds the offsets of the original in its order", "[grid][reference]")
{
  int const radius = GENERATE(range(1, 18));
  CAPTURE(radius);
  auto const s = stencil::disc(radius);
  CHECK(list(s.at, s.size) == half_disc(radius));
  CHECK(s.reach() == radius - 1);
  CHECK(s.size <= stencil::capacity);
}

TEST_CASE("the sizes the documentation states", "[grid][reference]")
{
  auto const cells_on_all_paths = [](int radius) {
    auto const s = stencil::disc(radius);
    int n = 0;
    for (int k = 0; k < s.size; ++k) n += path::to(s.at[k]).size;
    return n;
  };
  CHECK(stencil::disc(1).size == 0);
  CHECK(stencil::disc(2).size == 4);
  CHECK(stencil::disc(5).size == 34);
  CHECK(stencil::disc(10).size == 152);
  CHECK(cells_on_all_paths(5) == 242);
  CHECK(cells_on_all_paths(10) == 2134);
  CHECK(stencil::disc(12).size == 218);
  CHECK(stencil::disc(17).size == 444);
}

TEST_CASE("a disc owns every edge once", "[grid][property]")
{
  int const radius = GENERATE(range(1, 18));
  auto const s = stencil::disc(radius);
  std::set<cell> both;
  for (int k = 0; k < s.size; ++k) {
    CHECK((s.at[k].dy > 0 || (s.at[k].dy == 0 && s.at[k].dx > 0)));  // the half plane after the cell
    both.emplace(s.at[k].dy, s.at[k].dx);
    both.emplace(-s.at[k].dy, -s.at[k].dx);
  }
  int inside = 0;
  for (int y = -radius; y <= radius; ++y)
    for (int x = -radius; x <= radius; ++x) inside += y * y + x * x < radius * radius;
  CHECK(both.size() == static_cast<std::size_t>(2 * s.size));
  CHECK(static_cast<int>(both.size()) == inside - 1);  // the whole disc but its centre
}

TEST_CASE("a path holds the cells of the thick line, destination first", "[grid][reference]")
{
  int longest = 0;
  for (int dy = -16; dy <= 16; ++dy)
    for (int dx = -16; dx <= 16; ++dx) {
      if (dy * dy + dx * dx >= 17 * 17 || (dy == 0 && dx == 0)) continue;
      auto const p = path::to({dy, dx});
      CAPTURE(dy, dx);
      REQUIRE(list(p.at, p.size) == thick_line(dy, dx));
      REQUIRE(p.at[0] == offset{dy, dx});
      REQUIRE(p.at[p.size - 1] == offset{0, 0});
      longest = std::max(longest, p.size);
    }
  CHECK(longest == 37);
  CHECK(longest <= path::capacity);
}

TEST_CASE("a line is the same from either end and in every mirror", "[grid][property]")
{
  for (int dy = -9; dy <= 9; ++dy)
    for (int dx = -9; dx <= 9; ++dx)
      for (int y = -10; y <= 10; ++y)
        for (int x = -10; x <= 10; ++x) {
          bool const on = on_path({dy, dx}, {y, x});
          REQUIRE(on == on_path({-dy, -dx}, {y - dy, x - dx}));  // read from the other end
          REQUIRE(on == on_path({-dy, dx}, {-y, x}));
          REQUIRE(on == on_path({dy, -dx}, {y, -x}));
          REQUIRE(on == on_path({dx, dy}, {x, y}));
        }
}

TEST_CASE("paths, drawn", "[grid][picture]")
{
  auto const draw = [](offset to) {
    std::string rows;
    for (int y = 0; y <= to.dy; ++y, rows += "/")
      for (int x = 0; x <= to.dx; ++x) rows += on_path(to, {y, x}) ? '#' : '.';
    return rows;
  };
  CHECK(draw({0, 3}) == "####/");
  CHECK(draw({1, 1}) == "##/##/");
  CHECK(draw({1, 3}) == "####/####/");
  CHECK(draw({2, 4}) == "###../#####/..###/");
  CHECK(draw({3, 3}) == "##../###./.###/..##/");
}

TEST_CASE("stencils are equal when their offsets are", "[grid][property]")
{
  CHECK(stencil::disc(5) == stencil::disc(5));
  CHECK(!(stencil::disc(5) == stencil::disc(4)));
  auto other = stencil::disc(5);
  std::swap(other.at[3], other.at[4]);
  CHECK(!(other == stencil::disc(5)));
  other = stencil::disc(5);
  other.at[100] = {7, 7};  // beyond its size
  CHECK(other == stencil::disc(5));
  stencil back;
  back.size = 2;
  back.at[0] = {1, -6}, back.at[1] = {2, 3};
  CHECK(back.reach() == 6);
  CHECK(stencil{}.reach() == 0);
}

TEST_CASE("stencil::disc rejects what it documents", "[grid][errors]")
{
  for (int const radius : {0, -1, 18, 1000})
    CAMBIUM_THROWS_SAYING(stencil::disc(radius), precondition_error,
                          "radius " + std::to_string(radius) + " is not in 1..17; a stencil holds 444 offsets");
}
