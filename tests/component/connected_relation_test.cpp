// Components of label maps and of any relation: connected_equal, connected_if, below_boundary.
#include <cambium/component/connected.hpp>

#include "support/backends.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <random>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

template <class Label>
void check_labels(components<Label> const& have, std::vector<std::int64_t> const& want)
{
  REQUIRE(have.label.cells().size() == want.size());
  REQUIRE(std::equal(want.begin(), want.end(), have.label.cells().begin()));
  REQUIRE(have.count == (want.empty() ? 0 : *std::max_element(want.begin(), want.end())));
}

template <class T>
std::vector<std::int64_t> fill_equal(view<T const, 2> map, bool corners, T background)
{
  return oracle::flood_fill(
      map.extent[0], map.extent[1], corners, [&](auto y, auto x) { return map(y, x) != background; },
      [&](auto y, auto x, auto ny, auto nx) { return map(y, x) == map(ny, nx); });
}

struct inside_pattern {
  CAMBIUM_HD bool operator()(index_t y, index_t x) const { return (y * 7 + x * 13) % 11 != 0; }
};
struct some_edges {
  unsigned percent;
  CAMBIUM_HD bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    auto const a = static_cast<std::uint64_t>(y * 1000 + x), b = static_cast<std::uint64_t>(ny * 1000 + nx);
    return ((a + b) * 2654435761u ^ a * b * 40503u) % 100 < percent;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("connected_equal equals filling", "[component][reference]", std::uint8_t, std::int8_t, std::int32_t,
                   std::int64_t)
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 64}, {65, 1}, {2, 2}, {13, 17}, {40, 129}}));
  auto const values = GENERATE(1, 2, 3, 6);
  bool const corners = GENERATE(false, true);
  CAPTURE(H, W, values, corners);
  std::mt19937 bits(static_cast<unsigned>(H * W));
  grid<TestType, 2> map(H, W);
  for (auto& v : map.cells()) v = static_cast<TestType>(bits() % static_cast<unsigned>(values) + 1);
  for (TestType const background : {TestType(0), TestType(2), std::numeric_limits<TestType>::max()}) {
    CAPTURE(static_cast<int>(background));
    check_labels(connected_equal(cpu{}, map, corners ? c8 : c4, background),
                 fill_equal<TestType>(map.view(), corners, background));
  }
}

TEST_CASE("connected_equal: bands, rows with gaps, masks of bool", "[component][reference]")
{
  bool const corners = GENERATE(false, true);
  neighbourhood const near = corners ? c8 : c4;
  CAPTURE(corners);
  SECTION("bands of rows meet at their borders")
  {
    auto const [H, W] = GENERATE(table<int, int>({{690, 701}, {2, 240000}, {3, 160000}}));
    std::mt19937 bits(11);
    grid<std::int16_t, 2> map(H, W);
    for (index_t y = 0; y < H; ++y)  // blocks, so that regions are large enough to cross borders
      for (index_t x = 0; x < W; ++x)
        map(y, x) = x % 5 != 0 && x > 0 ? map(y, x - 1) : static_cast<std::int16_t>(bits() % 3);
    auto const want = fill_equal<std::int16_t>(std::as_const(map).view(), corners, 0);
    for (int const threads : {1, 2, 3, 7}) {
      CAPTURE(threads);
      check_labels(connected_equal(cpu{.threads = threads}, map, near), want);
    }
  }
  SECTION("rows with gaps")
  {
    auto const wide = support::uniform<std::int32_t, 2>({20, 90}, 0, 3, 13);
    auto window = wide.view();
    window.extent[1] = 70;
    check_labels(connected_equal(cpu{}, window, near), fill_equal<std::int32_t>(window, corners, 0));
  }
  SECTION("masks of bool")
  {
    bool cells[30 * 65];
    std::mt19937 bits(17);
    for (bool& b : cells) b = bits() % 2 == 0;
    view<bool const, 2> const mask(cells, {30, 65});
    check_labels(connected_equal(cpu{}, mask, near), fill_equal<bool>(mask, corners, false));
    CHECK(connected_equal(cpu{}, mask, near).label == connected(cpu{}, mask, near).label);
  }
}

TEST_CASE("equal labels meet over corners", "[component][picture]")
{
  auto const map = picture({
      "1221",
      "2112",
      ".33.",
  });
  rows const by_edges{
      "1223",
      "4556",
      ".77.",
  };
  CHECK(drawn(connected_equal(cpu{}, map).label) == by_edges);
  rows const by_corners{
      "1221",
      "2112",
      ".33.",
  };
  CHECK(drawn(connected_equal(cpu{}, map, c8).label) == by_corners);
  rows const without_2{
      "1..2",
      ".33.",
      "4556",
  };
  CHECK(drawn(connected_equal(cpu{}, map, c4, 2).label) == without_2);
}

TEST_CASE("connected_if equals filling for any symmetric relation", "[component][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 40}, {40, 1}, {23, 31}, {90, 70}}));
  bool const corners = GENERATE(false, true);
  auto const percent = GENERATE(10u, 45u, 60u, 100u);
  CAPTURE(H, W, corners, percent);
  auto const inside = [](index_t y, index_t x) { return (y * 7 + x * 13) % 11 != 0; };
  auto const join = [&](index_t y, index_t x, index_t ny, index_t nx) {  // some edges, whichever end asks
    auto const a = static_cast<std::uint64_t>(y * 1000 + x), b = static_cast<std::uint64_t>(ny * 1000 + nx);
    return ((a + b) * 2654435761u ^ a * b * 40503u) % 100 < percent;
  };
  check_labels(connected_if(cpu{}, {H, W}, corners ? c8 : c4, inside, join),
               oracle::flood_fill(H, W, corners, inside, join));
}

TEST_CASE("boundaries part components", "[component][picture]")
{
  auto const height = picture<float>({
      "..5..",
      "..9..",
      "4.5..",
      "..6.5",
  });
  auto const everywhere = [](index_t, index_t) { return true; };
  // 5 is not below 5: every boundary cell is a component of its own, and what it parts stays parted.
  auto const found = connected_if(cpu{}, {4, 5}, c4, everywhere, below_boundary<float>{height, 5});
  CHECK(found.count == 7);
  rows const parted{
      "11233",
      "11433",
      "11533",
      "11637",
  };
  CHECK(drawn(found.label) == parted);
  auto const higher = connected_if(cpu{}, {4, 5}, c4, everywhere, below_boundary<float>{height, 10});
  CHECK(higher.count == 1);
}

TEST_CASE("components of relations reject what they document", "[component][errors]")
{
  auto const yes = [](auto...) { return true; };
  CAMBIUM_THROWS_SAYING(connected_if(cpu{}, {-1, 3}, c4, yes, yes), precondition_error, "size is -1 x 3");
  CAMBIUM_THROWS_SAYING(connected_if(cpu{}, {3, -1}, c4, yes, yes), precondition_error, "size is 3 x -1");
  for (offset const after : {offset{0, 1}, offset{1, 0}, offset{1, -1}, offset{0, 0}})
    CAMBIUM_THROWS_SAYING(connected_if(cpu{}, {3, 3}, neighbourhood{1, {after}}, yes, yes), precondition_error,
                          "does not come before its cell");
  CAMBIUM_THROWS_SAYING(connected_if(cpu{}, {3, 3}, neighbourhood{5, {}}, yes, yes), precondition_error,
                        "a neighbourhood of 5 cells");
  grid<std::int32_t, 2> const endless(0, index_t{1} << 31);
  CAMBIUM_THROWS_SAYING(connected_equal(cpu{}, endless), precondition_error, "too long");
}

TEMPLATE_LIST_TEST_CASE("no backend takes a wrong neighbourhood or size", "[component][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  CAMBIUM_THROWS_SAYING(connected_if(where, {2, 2}, neighbourhood{1, {{0, 1}}}, inside_pattern{}, some_edges{50}),
                        precondition_error, "(0,1) does not come before its cell");
  CAMBIUM_THROWS_SAYING(connected_if(where, {-1, 2}, c4, inside_pattern{}, some_edges{50}), precondition_error,
                        "size is -1 x 2");
}

TEST_CASE("relations on nothing have no components", "[component][errors]")
{
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}}));
  auto const yes = [](auto...) { return true; };
  grid<std::int32_t, 2> const none(H, W);
  CHECK(connected_equal(cpu{}, none, c8).count == 0);
  auto const found = connected_if(cpu{}, {H, W}, c8, yes, yes);
  CHECK(found.count == 0);
  CHECK(found.label.shape() == none.shape());
}

TEMPLATE_LIST_TEST_CASE("equal labels are labelled as filling does", "[component][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {2, 2}, {13, 17}, {40, 129}}));
  auto const labels = GENERATE(2, 3, 6);
  bool const corners = GENERATE(false, true);
  CAPTURE(H, W, labels, corners);
  auto const map = support::uniform<std::int32_t, 2>({H, W}, 0, labels, 11);
  auto const there = support::copied<TestType>(map);
  for (int const background : {0, 2, -7}) {
    auto const have = connected_equal(TestType{}, there, corners ? c8 : c4, background);
    check_labels(components<>{to::back(have.label), have.count},
                 fill_equal<std::int32_t>(map.view(), corners, background));
  }
}

TEMPLATE_LIST_TEST_CASE("every backend labels any symmetric relation", "[component][same]", support::backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{0, 4}, {1, 1}, {1, 40}, {40, 1}, {23, 31}, {90, 70}}));
  auto const percent = GENERATE(10u, 45u, 60u, 85u, 100u);
  auto const shape = GENERATE(0, 1, 2, 3, 4);
  neighbourhood const near = shape == 0   ? c4
                             : shape == 1 ? c8
                             : shape == 2 ? neighbourhood{0, {}}
                             : shape == 3 ? neighbourhood{3, {{0, -3}, {-2, 1}, {-1, 0}}}
                                          : neighbourhood{2, {{-1, -1}, {-1, 1}}};
  CAPTURE(H, W, percent, shape);
  auto const want = connected_if(cpu{}, {H, W}, near, inside_pattern{}, some_edges{percent});
  auto const have = connected_if(TestType{}, {H, W}, near, inside_pattern{}, some_edges{percent});
  REQUIRE(have.count == want.count);
  REQUIRE(to::back(have.label) == want.label);
  connected_scratch<TestType> scratch;
  auto out = make_grid<std::int64_t>(TestType{}, {H, W});
  auto count = make_grid<index_t>(TestType{}, {1});
  connected_if_into(TestType{}, near, inside_pattern{}, some_edges{percent}, out, count, scratch);
  REQUIRE(to::back(count)(0) == want.count);
  auto const labels = to::back(out);
  REQUIRE(std::equal(want.label.cells().begin(), want.label.cells().end(), labels.cells().begin()));
  auto const height = support::uniform<float, 2>({H, W}, 0, 1, 3);
  auto const there = support::copied<TestType>(height);
  auto const low =
      connected_if(TestType{}, {H, W}, near, inside_pattern{}, below_boundary<float, S>{there.view(), 0.6f});
  REQUIRE(to::back(low.label) ==
          connected_if(cpu{}, {H, W}, near, inside_pattern{}, below_boundary<float>{height, 0.6f}).label);
}
