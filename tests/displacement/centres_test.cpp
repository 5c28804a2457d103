#include <cambium/displacement/disc_centres.hpp>
#include <cambium/displacement/find_centres.hpp>
#include <cambium/displacement/group_pixels.hpp>
#include <cambium/displacement/join_centres.hpp>
#include <cambium/displacement/offsets.hpp>

#include "support/backends.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;
using support::uniform;

namespace {

grid<std::int32_t, 2> whole_map(index_t H, index_t W)
{
  grid<std::int32_t, 2> out(H, W);
  std::fill(out.cells().begin(), out.cells().end(), 1);
  return out;
}

/// Regions 0..3 as blobs, and whatever else a test needs over them.
grid<std::int32_t, 2> some_regions(index_t H, index_t W, unsigned seed)
{
  auto const at = uniform<float, 2>({4, 2}, 0, 1, seed);
  grid<std::int32_t, 2> out(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      float least = 1e9f;
      for (int k = 0; k < 4; ++k) {
        float const dy = static_cast<float>(y) - at(k, 0) * static_cast<float>(H);
        float const dx = static_cast<float>(x) - at(k, 1) * static_cast<float>(W);
        if (dy * dy + dx * dx < least) least = dy * dy + dx * dx, out(y, x) = k;
      }
    }
  return out;
}

/// Offsets in eighths of a cell, where every rounding agrees and true ties occur.
grid<float, 3> eighths(index_t H, index_t W, unsigned seed)
{
  auto out = uniform<float, 3>({2, H, W}, -6, 6, seed);
  for (auto& v : out.cells()) v = std::round(8 * v) / 8;
  return out;
}

/// Centres of regions, as a test writes them.
struct listed {
  points at;
  std::vector<index_t> first;

  template <class P>
  region_centres<typename P::memory> in(P const& where) const
  {
    return {to_memory(where, at), to_memory(where, first)};
  }
};

/// What P makes of maps of the host.
template <class P>
struct on {
  using to = support::carry<P>;

  static listed back(region_centres<typename P::memory> const& found)
  {
    return {to_vector(P{}, found.at), to_vector(P{}, found.first)};
  }

  static listed find(grid<float, 2> const& heat, grid<std::int32_t, 2> const& regions, index_t count,
                     centre_options options = {})
  {
    return back(find_centres(P{}, to::there(heat), to::there(regions), count, options));
  }
  static grid<std::int32_t, 2> weak(grid<std::int32_t, 2> const& regions, grid<float, 3> const& offset)
  {
    return to::back(weak_cells(P{}, to::there(regions), to::there(offset)));
  }
  static listed discs(grid<std::int32_t, 2> const& weak, index_t N, grid<std::int32_t, 2> const& regions, index_t count,
                      disc_options options = {})
  {
    return back(disc_centres(P{}, to::there(weak), N, to::there(regions), count, options));
  }
  static listed join(listed const& found, listed const& further, grid<std::int32_t, 2> const& regions,
                     join_options options, grid<float, 2>& heat)
  {
    auto marked = support::copied<P>(heat);
    auto const out = join_centres(P{}, found.in(P{}), further.in(P{}), to::there(regions), options, marked);
    heat = to::back(marked);
    return back(out);
  }
  static grid<std::int32_t, 2> group(grid<float, 3> const& offset, grid<std::int32_t, 2> const& regions,
                                     listed const& centres)
  {
    return to::back(group_pixels(P{}, to::there(offset), to::there(regions), centres.in(P{})));
  }
  static grid<std::int32_t, 2> group(grid<float, 3> const& offset, points const& centres)
  {
    return to::back(group_pixels(P{}, to::there(offset), centres));
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("centres of each region by itself", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const heat = picture<float>({
      "1.5...1..",
      ".....9...",
      "..4......",
      "........1",
  });
  auto const regions = picture({
      "1111.2222",
      "1111.2222",
      "1111.2222",
      "......222",
  });
  auto const found = on<TestType>::find(heat, regions, 3, {.threshold = 0.5, .kernel = 5});
  CHECK(found.at == points{{0, 2, 0, 5}, {1, 5, 0, 9}, {3, 8, 0, 1}});
  CHECK(found.first == std::vector<index_t>{0, 1, 3, 3});
  CHECK(on<TestType>::find(heat, regions, 2, {.threshold = 1, .kernel = 1}).at.size() == 3);   // strictly above
  CHECK(on<TestType>::find(heat, regions, 2, {.threshold = -5, .kernel = 5}).at.size() == 3);  // and above 0
}

TEMPLATE_LIST_TEST_CASE("a threshold is rounded to the type of the map", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 2> heat(1, 1);
  heat(0, 0) = 0.3f;  // 0.30000001 exceeds 0.3 in double
  CHECK(on<TestType>::find(heat, whole_map(1, 1), 1, {.threshold = 0.3}).at.empty());
  CHECK(on<TestType>::find(heat, whole_map(1, 1), 1, {.threshold = 0.29999}).at.size() == 1);
}

TEMPLATE_LIST_TEST_CASE("centres equal a look at every window of every region", "[displacement][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  int const kernel = GENERATE(1, 3, 7, 41);
  auto heat = uniform<float, 2>({22, 31}, -0.5, 1, 8);
  for (auto& v : heat.cells()) v = std::round(16 * v) / 16;
  auto const regions = some_regions(22, 31, 5);
  auto const found = on<TestType>::find(heat, regions, 3, {.threshold = 0.2, .kernel = kernel});
  points want;
  std::vector<index_t> first{0};
  for (int r = 1; r <= 3; ++r) {
    for (int i = 0; i < 22 * 31; ++i) {
      float const v = heat(i / 31, i % 31);
      bool is = regions(i / 31, i % 31) == r && v > 0.2f;
      for (int j = 0; j < 22 * 31 && is; ++j)
        if (std::abs(i / 31 - j / 31) <= kernel / 2 && std::abs(i % 31 - j % 31) <= kernel / 2)
          is = regions(j / 31, j % 31) != r || heat(j / 31, j % 31) <= v;
      if (is) want.push_back({static_cast<double>(i / 31), static_cast<double>(i % 31), 0, static_cast<double>(v)});
    }
    first.push_back(static_cast<index_t>(want.size()));
  }
  CHECK(found.at == want);
  CHECK(found.first == first);
}

TEMPLATE_LIST_TEST_CASE("a plateau may be one centre", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const heat = picture<float>({"555.", "555.", "555."});
  CHECK(on<TestType>::find(heat, whole_map(3, 4), 1).at.size() == 9);
  CHECK(on<TestType>::find(heat, whole_map(3, 4), 1, {.plateaus = plateau::one_cell}).at == points{{1, 1, 0, 5}});
  // (0,3) and (1,2) are equally near to the mean of 7 cells, (3/7, 16/7): the first one.
  auto const seven = picture<float>({"11.11", "..111"});
  CHECK(on<TestType>::find(seven, whole_map(2, 5), 1, {.plateaus = plateau::one_cell}).at == points{{0, 3, 0, 1}});
}

TEST_CASE("areas of discs", "[displacement][picture]")
{
  CHECK(disc_area(2.5) == 21);
  CHECK(disc_area(1) == 1);
  CHECK(disc_area(1.1) == 5);
  CHECK(disc_area(1.5) == 9);
  CHECK(disc_area(2) == 9);
  CHECK(disc_area(2.2) == 13);
  CHECK(disc_area(1e-200) == 0);  // its square is 0
  for (double const radius : {0.3, 1.4142135623730951, 5., 12.7, 25., 65.}) {
    index_t area = 0;
    for (int y = -70; y <= 70; ++y)
      for (int x = -70; x <= 70; ++x) area += y * y + x * x < radius * radius;
    CHECK(disc_area(radius) == area);
  }
  CHECK(static_cast<double>(disc_area(999999)) == Approx(3.14158637e12).epsilon(1e-6));  // row by row
}

TEMPLATE_LIST_TEST_CASE("weak cells by definition, and regions part them", "[displacement][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const offset = eighths(20, 25, 3);
  auto const regions = some_regions(20, 25, 7);
  auto const weak = on<TestType>::weak(regions, offset);
  int count = 0;
  for (int i = 0; i < 500; ++i) {
    double const dy = static_cast<double>(offset(0, i / 25, i % 25)),
                 dx = static_cast<double>(offset(1, i / 25, i % 25));
    bool const is = dy * dy + dx * dx < 6.25;
    count += is;
    CHECK(weak(i / 25, i % 25) == (is ? regions(i / 25, i % 25) : 0));
  }
  CHECK(count > 20);
}

TEMPLATE_LIST_TEST_CASE("components of the size of a disc are centres", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // Region 1 is everything; components of 21, 20 and 24 cells.
  auto const weak = picture({
      ".111...22222...333333",
      "11111..22222...333333",
      "11111..22222...333333",
      "11111..22222...333333",
      ".111.................",
  });
  auto const regions = whole_map(5, 21);
  CHECK(on<TestType>::discs(weak, 3, regions, 1).at == points{{2, 2}, {1, 9}});
  CHECK(on<TestType>::discs(weak, 3, regions, 1, {.tolerance = 1}).at == points{{2, 2}});
  CHECK(on<TestType>::discs(weak, 3, regions, 1, {.tolerance = 3.5}).at.size() == 3);
  CHECK(on<TestType>::discs(weak, 3, regions, 1, {.tolerance = 0}).at.empty());
}

TEMPLATE_LIST_TEST_CASE("the rest of the map counts as a disc, unless told", "[displacement][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // 44 cells, 22 of them weak, 22 not: both fit. The rest comes first.
  auto const weak = picture({"11111111111", "11111111111", "...........", "..........."});
  auto const regions = whole_map(4, 11);
  CHECK(on<TestType>::discs(weak, 1, regions, 1).at == points{{2, 5}, {0, 5}});
  CHECK(on<TestType>::discs(weak, 1, regions, 1, {.outside = false}).at == points{{0, 5}});
}

TEMPLATE_LIST_TEST_CASE("further centres join where they are far from the others", "[displacement][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  index_t const W = 330;
  auto const regions = whole_map(1, W);
  grid<float, 2> heat(1, W);
  std::fill(heat.cells().begin(), heat.cells().end(), 0.06f);
  heat(0, 202) = 0.05f;
  listed const found{{{0, 100, 0, 0.5}}, {0, 1}};
  listed const further{{{0, 0}, {0, 200}, {0, 201}, {0, 202}, {0, 203}}, {0, 5}};
  auto const joined = on<TestType>::join(found, further, regions, {}, heat);
  // exactly 100 stays out, so does a weak response; the others are not compared with each other
  CHECK(joined.at == points{{0, 100, 0, 0.5}, {0, 201, 0, 1}, {0, 203, 0, 1}});
  CHECK(joined.first == std::vector<index_t>{0, 3});
  CHECK(heat(0, 201) == 1);
  CHECK(heat(0, 203) == 1);
  CHECK(heat(0, 200) == 0.06f);
  CHECK(heat(0, 202) == 0.05f);

  listed const none{{}, {0, 0}};
  CHECK(on<TestType>::join(none, further, regions, {}, heat).at.size() == 4);  // nothing found before: all of them
  // A tenth of 330 cells is enough instead of 100.
  std::fill(heat.cells().begin(), heat.cells().end(), 0.06f);
  CHECK(on<TestType>::join(found, {{{0, 132}, {0, 134}}, {0, 2}}, regions, {.relative = 0.1}, heat).at.size() == 2);
}

TEMPLATE_LIST_TEST_CASE("a further centre outside its region does not join", "[displacement][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const regions = picture({"11.22"});
  grid<float, 2> heat(1, 5);
  std::fill(heat.cells().begin(), heat.cells().end(), 0.5f);
  listed const none{{}, {0, 0, 0}};
  listed const further{{{0, 2}, {0, 3}, {0, 4}}, {0, 2, 3}};
  CHECK(on<TestType>::join(none, further, regions, {}, heat).at == points{{0, 4, 0, 1}});
}

TEMPLATE_LIST_TEST_CASE("regions without a centre may get one", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const regions = picture({"111.222.333"});
  auto heat = picture<float>({"121.5..    "});
  heat(0, 8) = heat(0, 9) = heat(0, 10) = -2;
  listed const found{{{0, 4, 0, 5}}, {0, 0, 1, 1}}, none{{}, {0, 0, 0, 0}};
  auto const joined = on<TestType>::join(found, none, regions, {.whole_regions = true}, heat);
  CHECK(joined.at == points{{0, 1, 0, 2}, {0, 4, 0, 5}, {0, 8, 0, -2}});
  CHECK(joined.first == std::vector<index_t>{0, 1, 2, 3});
  CHECK(heat(0, 1) == 2);  // no mark
}

TEMPLATE_LIST_TEST_CASE("cells vote for the nearest centre of their region", "[displacement][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const offset = eighths(24, 33, 4);
  auto const regions = some_regions(24, 33, 11);
  listed centres{{}, {0, 4, 4, 5}};
  auto const at = uniform<float, 2>({5, 2}, 0, 24, 6);
  for (int k = 0; k < 5; ++k)
    centres.at.push_back({std::floor(static_cast<double>(at(k, 0))), std::floor(static_cast<double>(at(k, 1)))});
  centres.at[3] = centres.at[1];  // a centre twice: the first wins
  for (auto const set : {isa::baseline, isa::avx2, isa::avx512}) {
    auto const ids = std::is_same_v<TestType, cpu>
                         ? group_pixels(cpu{.threads = 2, .vectors = set}, offset, regions, centres.in(cpu{}))
                         : on<TestType>::group(offset, regions, centres);
    bool seen[6] = {};
    for (int i = 0; i < 24 * 33; ++i) {
      int const y = i / 33, x = i % 33, r = regions(y, x);
      int want = 0;
      double least = 1e300;
      for (index_t k = r == 0 ? 0 : centres.first[static_cast<std::size_t>(r - 1)];
           r != 0 && k < centres.first[static_cast<std::size_t>(r)]; ++k) {
        double const dy = centres.at[static_cast<std::size_t>(k)].y - (y + static_cast<double>(offset(0, y, x)));
        double const dx = centres.at[static_cast<std::size_t>(k)].x - (x + static_cast<double>(offset(1, y, x)));
        if (std::sqrt(dy * dy + dx * dx) < least) least = std::sqrt(dy * dy + dx * dx), want = static_cast<int>(k + 1);
      }
      REQUIRE(ids(y, x) == want);
      seen[want] = true;
    }
    CHECK((seen[0] && seen[1] && seen[2] && seen[3] && !seen[4] && seen[5]));
  }
}

TEMPLATE_LIST_TEST_CASE("distances are rounded as the original's", "[displacement][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const offset = uniform<float, 3>({2, 40, 50}, -20, 20, 77);
  points centres;
  auto const at = uniform<float, 2>({30, 2}, 0, 50, 78);
  for (int k = 0; k < 30; ++k) centres.push_back({static_cast<double>(at(k, 0)), static_cast<double>(at(k, 1))});
  auto const wide = on<TestType>::group(offset, centres);
  CHECK(group_pixels(cpu{.threads = 1, .vectors = isa::baseline}, offset, centres) == wide);
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 50; ++x) {
      float const volatile ly = static_cast<float>(y) + offset(0, y, x), lx = static_cast<float>(x) + offset(1, y, x);
      int want = 0;
      float least = 1e30f;
      for (int k = 0; k < 30; ++k) {
        float const volatile dy = at(k, 0) - ly, dx = at(k, 1) - lx, square = dy * dy;
        // one rounding: exact product and sum in long double
        auto const d = std::sqrt(static_cast<float>(static_cast<long double>(dx) * static_cast<long double>(dx) +
                                                    static_cast<long double>(square)));
        if (d < least) least = d, want = k + 1;
      }
      REQUIRE(wide(y, x) == want);
    }
}

TEMPLATE_LIST_TEST_CASE("which of two equally far centres is nearer is the rounding's choice",
                        "[displacement][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // (a,b) and (b,a) are as far from the cell (0,0); one product of each sum is rounded, the other is not.
  auto const at = uniform<float, 2>({4000, 2}, 1, 9, 31);
  grid<float, 3> const still(2, 1, 1);
  int second = 0, differ = 0;
  for (int k = 0; k < 4000; ++k) {
    auto const square = [](float dy, float dx) {
      float const volatile down = dy * dy;
      return static_cast<float>(static_cast<long double>(dx) * static_cast<long double>(dx) +
                                static_cast<long double>(down));
    };
    float const a = at(k, 0), b = at(k, 1);
    int const want = std::sqrt(square(b, a)) < std::sqrt(square(a, b)) ? 2 : 1;
    second += want == 2;
    differ += (square(b, a) < square(a, b) ? 2 : 1) != want;
    points const both{{static_cast<double>(a), static_cast<double>(b)},
                      {static_cast<double>(b), static_cast<double>(a)}};
    REQUIRE(on<TestType>::group(still, both)(0, 0) == want);
  }
  CHECK(second > 10);
  CHECK(differ > 10);
}

TEMPLATE_LIST_TEST_CASE("offsets of another size and of the mirror image", "[displacement][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> offset(2, 1, 3);
  for (int i = 0; i < 6; ++i) offset.data()[i] = static_cast<float>(i + 1);
  using to = support::carry<TestType>;
  auto const there = support::copied<TestType>(offset);
  CHECK(to::back(scale_offsets(TestType{}, there, 2, 0.5)).cells() == cells_t<float>{2, 4, 6, 2, 2.5f, 3});
  CHECK(to::back(mean_with_mirrored_offsets(TestType{}, there, there)).cells() == cells_t<float>{2, 2, 2, -1, 0, 1});
  // Halves are taken before the sum where it would overflow, of the smallest numbers after it.
  grid<float, 3> huge(2, 1, 1), opposite(2, 1, 1);
  huge(0, 0, 0) = huge(1, 0, 0) = opposite(0, 0, 0) = 3e38f, opposite(1, 0, 0) = -3e38f;
  auto const middle = to::back(mean_with_mirrored_offsets(TestType{}, to::there(huge), to::there(opposite)));
  CHECK(middle(0, 0, 0) == 3e38f);
  CHECK(middle(1, 0, 0) == 3e38f);
}

TEMPLATE_LIST_TEST_CASE("grouping of nothing", "[displacement][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<index_t, index_t>({{0, 4}, {4, 0}, {1, 1}}));
  grid<std::int32_t, 2> const regions(H, W);
  grid<float, 2> heat(H, W);
  grid<float, 3> const offset(2, H, W);
  auto const found = on<TestType>::find(heat, regions, 2);
  CHECK(found.at.empty());
  CHECK(found.first.size() == 3);
  CHECK(on<TestType>::discs(on<TestType>::weak(regions, offset), 0, regions, 2).at.empty());
  CHECK(on<TestType>::join(found, found, regions, {.whole_regions = true}, heat).at.empty());
  for (auto const v : on<TestType>::group(offset, regions, found).cells()) CHECK(v == 0);
  for (auto const v : on<TestType>::group(offset, points{}).cells()) CHECK(v == 0);
}

TEST_CASE("grouping refuses what it documents", "[displacement][errors]")
{
  using side = on<cpu>;
  double const nan = std::nan("");
  auto regions = picture({"12", ".2"});
  grid<float, 2> heat(2, 2);
  grid<float, 3> offset(2, 2, 2);
  listed const none{{}, {0, 0, 0}};
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, regions, 1), precondition_error, "region(0,1) is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, regions, -1), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, picture({"1"}), 1), precondition_error, "regions are [1,1]");
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, regions, 2, {.kernel = 2}), precondition_error, "kernel is 2");
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, regions, 2, {.threshold = nan}), precondition_error,
                        "threshold is nan");
  CAMBIUM_THROWS_SAYING(weak_cells(cpu{}, regions, offset, 0), precondition_error, "radius is 0");
  CAMBIUM_THROWS_SAYING(weak_cells(cpu{}, regions, grid<float, 3>(2, 2, 3)), precondition_error,
                        "[2,2,3] over a map of [2,2]");
  CAMBIUM_THROWS_SAYING(disc_area(nan), precondition_error, "disc_area: radius is nan");
  CAMBIUM_THROWS_SAYING(disc_centres(cpu{}, picture({"12", ".3"}), 2, regions, 2), precondition_error,
                        "weak(1,1) is 3, outside 0..2");
  CAMBIUM_THROWS_SAYING(disc_centres(cpu{}, picture({"1"}), 1, regions, 2), precondition_error, "weak is [1,1]");
  CAMBIUM_THROWS_SAYING(disc_centres(cpu{}, regions, 2, regions, 2, {.tolerance = nan}), precondition_error,
                        "tolerance");
  CAMBIUM_THROWS_SAYING(disc_centres(cpu{}, regions, -1, regions, 2), precondition_error, "N is -1");
  CAMBIUM_THROWS_SAYING(side::join(none, {{}, {0, 0}}, regions, {}, heat), precondition_error,
                        "centres of 2 and of 1 regions");
  CAMBIUM_THROWS_SAYING(side::join({{{0, 5}}, {0, 1, 1}}, none, regions, {}, heat), precondition_error,
                        "(0,5) is outside a map of [2,2]");
  CAMBIUM_THROWS_SAYING(side::join(none, none, regions, {.apart = -1}, heat), precondition_error, "apart is -1");
  CAMBIUM_THROWS_SAYING(side::join(none, none, regions, {.relative = nan}, heat), precondition_error, "nan");
  grid<float, 2> other(1, 2);
  CAMBIUM_THROWS_SAYING(side::join(none, none, regions, {}, other), precondition_error, "response is [1,2]");
  CAMBIUM_THROWS_SAYING(side::group(offset, regions, {{}, {0, 0}}), precondition_error, "region(0,1) is 2");
  auto const undivided =
      GENERATE(listed{{}, {0, 0, 500}}, listed{{}, {}}, listed{{}, {1, 0, 0}}, listed{{{0, 0}}, {0, 0, 0}},
               listed{{{0, 0}}, {1, 1, 1}}, listed{{{0, 0}}, {0, 7, 1}}, listed{{{0, 0}}, {0, -7, 1}});
  CAMBIUM_THROWS_SAYING(side::group(offset, regions, undivided), precondition_error,
                        "group_pixels: centres: first does not divide");
  CAMBIUM_THROWS_SAYING(side::join(undivided, none, regions, {}, heat), precondition_error,
                        "join_centres: found: first does not divide");
  CAMBIUM_THROWS_SAYING(side::join(none, undivided, regions, {}, heat), precondition_error,
                        "join_centres: further: first does not divide");
  CAMBIUM_THROWS_SAYING(by_region({}, -1), precondition_error, "by_region: -1 regions");
  CAMBIUM_THROWS_SAYING(by_region({{3, {}}}, 2), precondition_error, "by_region: region 3 is outside 1..2");
  CAMBIUM_THROWS_SAYING(by_region({{0, {}}}, 2), precondition_error, "by_region: region 0 is outside 1..2");
  CAMBIUM_THROWS_SAYING(side::group(offset, points{{nan, 0}}), precondition_error, "a centre is at (nan,0)");
  CAMBIUM_THROWS_SAYING(scale_offsets(cpu{}, offset, nan, 1), precondition_error, "factors are nan");
  CAMBIUM_THROWS_SAYING(scale_offsets(cpu{}, grid<float, 3>(3, 1, 1), 1, 1), precondition_error, "instead of [2,H,W]");
  CAMBIUM_THROWS_SAYING(mean_with_mirrored_offsets(cpu{}, offset, grid<float, 3>(2, 1, 1)), precondition_error,
                        "[2,1,1]");
  offset(1, 1, 0) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(side::group(offset, regions, none), precondition_error, "offset(1,1,0) is inf");
  CAMBIUM_THROWS_SAYING(weak_cells(cpu{}, regions, offset), precondition_error, "offset(1,1,0) is inf");
  heat(1, 1) = std::nanf("");
  CAMBIUM_THROWS_SAYING(find_centres(cpu{}, heat, regions, 2), precondition_error, "response(1,1) is nan");
  regions(1, 0) = -3;
  CAMBIUM_THROWS_SAYING(side::group(grid<float, 3>(2, 2, 2), regions, none), precondition_error, "region(1,0) is -3");
}

namespace {

void check_same(listed const& have, listed const& want)
{
  CHECK(have.at == want.at);
  CHECK(have.first == want.first);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a device finds and joins the centres that the cpu does", "[displacement][same]",
                        support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  using device_side = on<TestType>;
  using cpu_side = on<cpu>;
  auto const [H, W] = GENERATE(table<int, int>({{70, 90}, {1, 300}, {41, 1}}));
  auto const kernel = GENERATE(1, 5, 41);
  auto const plateaus = GENERATE(plateau::every_cell, plateau::one_cell);
  CAPTURE(H, W, kernel);
  auto heat = uniform<float, 2>({H, W}, -0.3, 1, 8);
  for (auto& v : heat.cells()) v = std::round(3 * v) / 3;  // wide plateaus
  auto const regions = some_regions(H, W, 5);
  centre_options const options{.threshold = 0.2, .kernel = kernel, .plateaus = plateaus};
  auto const found = cpu_side::find(heat, regions, 3, options);
  check_same(device_side::find(heat, regions, 3, options), found);

  auto const offset = eighths(H, W, 6);
  auto const weak = cpu_side::weak(regions, offset);
  CHECK(device_side::weak(regions, offset) == weak);
  // Labels that are no components are labels all the same: many sizes, some of them a disc's.
  auto label = uniform<std::int32_t, 2>({H, W}, 0, 60, 12);
  index_t const N = 60;
  disc_options const discs{.radius = 5, .tolerance = 20};
  auto one_region = label;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) one_region(y, x) = 1 + label(y, x) % 3;
  auto const further = cpu_side::discs(label, N, one_region, 3, discs);
  check_same(device_side::discs(label, N, one_region, 3, discs), further);

  for (bool const whole : {false, true})
    for (double const relative : {0.0, 0.1}) {
      join_options const join{.least = -0.2, .apart = 9, .relative = relative, .whole_regions = whole};
      auto marked = heat, marked_there = heat;
      auto const sparse = cpu_side::find(heat, regions, 3, {.threshold = 0.9, .kernel = 99});
      listed const some = whole ? listed{{}, {0, 0, 0, 0}} : sparse;
      auto const want = cpu_side::join(some, further, regions, join, marked);
      check_same(device_side::join(some, further, regions, join, marked_there), want);
      CHECK(marked_there == marked);
    }
  CHECK(device_side::group(offset, regions, found) == cpu_side::group(offset, regions, found));
}

TEMPLATE_LIST_TEST_CASE("what a device cannot refuse does no harm", "[displacement][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  using side = on<TestType>;
  auto const regions = picture({"17", "21"});
  auto negative = regions;
  negative(0, 1) = -4;
  auto heat = picture<float>({"12", "34"});
  CHECK(side::find(heat, negative, 2, {.kernel = 1}).at.size() == 3);
  CHECK(side::find(heat, regions, 2, {.kernel = 1}).at.size() == 3);
  CHECK(side::discs(negative, 2, negative, 2, {.tolerance = 100, .outside = false}).at.size() == 2);
  grid<float, 3> offset(2, 2, 2);
  offset(0, 0, 0) = std::nanf(""), offset(1, 1, 1) = HUGE_VALF;
  listed const two{{{0, 0}, {0, 1}}, {0, 2, 2}};
  CHECK(drawn(side::group(offset, negative, two)) == rows{"1.", ".1"});
  // Lists that are not divided, and places off the map.
  auto broken = two.in(TestType{});
  grid<index_t, 1> wrong(3);
  wrong(0) = -5, wrong(1) = 100, wrong(2) = 1;
  broken.first = support::copied<TestType>(wrong);
  auto const there = support::copied<TestType>(negative);
  auto const field = support::copied<TestType>(offset);
  CHECK(to::back(group_pixels(TestType{}, field, there, broken)).size() == 4);
  auto marked = support::copied<TestType>(heat);
  auto const joined = join_centres(TestType{}, broken, broken, there, {.whole_regions = true}, marked);
  CHECK(to_host(TestType{}, joined).regions() == 2);
  listed const outside{{{-1, 0}, {0, 1e300}, {std::nan(""), 0}}, {0, 3, 3}};
  listed const none{{}, {0, 0, 0}};
  CHECK(side::join(none, outside, negative, {}, heat).at.empty());
}

TEMPLATE_LIST_TEST_CASE("a device's doors for centres look first", "[displacement][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  using side = on<TestType>;
  auto const regions = picture({"12", ".2"});
  grid<float, 2> heat(2, 2);
  listed const none{{}, {0, 0, 0}};
  CAMBIUM_THROWS_SAYING(side::find(heat, regions, -1), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(side::find(heat, picture({"1"}), 1), precondition_error, "regions are [1,1]");
  CAMBIUM_THROWS_SAYING(side::find(heat, regions, 2, {.kernel = 2}), precondition_error, "kernel is 2");
  CAMBIUM_THROWS_SAYING(side::weak(regions, grid<float, 3>(2, 2, 3)), precondition_error,
                        "[2,2,3] over a map of [2,2]");
  CAMBIUM_THROWS_SAYING(side::discs(regions, -1, regions, 2), precondition_error, "N is -1");
  CAMBIUM_THROWS_SAYING(side::join(none, {{}, {0, 0}}, regions, {}, heat), precondition_error,
                        "centres of 2 and of 1 regions");
  CAMBIUM_THROWS_SAYING(side::group(grid<float, 3>(2, 2, 2), points{{std::nan(""), 0}}), precondition_error,
                        "a centre is at (nan,0)");
}
