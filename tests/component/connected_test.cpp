#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>

#include "support/backends.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <memory>
#include <random>
#include <string>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

bool anyhow(index_t, index_t, index_t, index_t) { return true; }

/// Cells of any type, bool too, whose rows lie `gap` cells apart. The gaps are set: whoever reads them goes wrong.
template <class T>
struct spaced {
  std::unique_ptr<T[]> cells;
  view<T, 2> map;

  spaced(index_t H, index_t W, index_t gap) : cells(new T[static_cast<std::size_t>(H * (W + gap))])
  {
    std::fill_n(cells.get(), H * (W + gap), T(1));
    map = view<T, 2>(cells.get(), {H, W + gap});
    map.extent[1] = W;
  }
};

/// Where labels first differ from the wanted ones, -1 if nowhere.
template <class A>
index_t first_gap(A const& labels, std::vector<std::int64_t> const& want)
{
  auto const v = as_view<2>(labels);
  if (v.size() != static_cast<index_t>(want.size())) return v.size();
  for (index_t at = 0; at < v.size(); ++at)
    if (static_cast<std::int64_t>(v(at / v.extent[1], at % v.extent[1])) != want[at]) return at;
  return -1;
}

std::int64_t largest(std::vector<std::int64_t> const& labels)
{
  return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end());
}

grid<std::uint8_t, 2> large_mask(std::string const& kind, index_t H, index_t W)
{
  grid<std::uint8_t, 2> mask(H, W);
  std::mt19937 bits(5);
  unsigned const percent = kind == "sparse"  ? 30
                           : kind == "half"  ? 50
                           : kind == "dense" ? 62
                           : kind == "holes" ? 97
                                             : 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      mask(y, x) = kind == "full" || bits() % 100 < percent || (kind == "checkers" && (y + x) % 2 == 0) ||
                   (kind == "comb" && (x % 2 == 0 || y == H - 1)) ||  // teeth that meet in the last row only
                   (kind == "worm" && (y % 2 == 0 || x == (y % 4 == 1 ? W - 1 : 0)));  // one corridor, to and fro
  if (kind != "spiral") return mask;
  offset heading{0, 1};
  for (index_t y = 0, x = 0, turns = 0; turns < 2;) {
    mask(y, x) = 255;
    auto const free = [&](index_t steps) {
      index_t const fy = y + steps * heading.dy, fx = x + steps * heading.dx;
      return fy < 0 || fy >= H || fx < 0 || fx >= W ? steps == 2 : mask(fy, fx) == 0;
    };
    if (free(1) && free(2))
      y += heading.dy, x += heading.dx, turns = 0;
    else
      heading = {heading.dx, -heading.dy}, ++turns;
  }
  return mask;
}

}  // namespace

TEMPLATE_TEST_CASE("connected equals filling, for every mask type and width", "[component][reference]", bool,
                   std::uint8_t, std::int8_t, std::int16_t, std::int32_t, std::uint64_t, float, double)
{
  // A mask of bytes is read 64 cells at a time.
  auto const W = GENERATE(1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200);
  auto const H = GENERATE(1, 2, 11);
  auto const gap = GENERATE(0, 3);
  bool const corners = GENERATE(false, true);
  CAPTURE(W, H, gap, corners);
  // Not only 1: a set cell may have an empty low byte, or a sign.
  using limits = std::numeric_limits<TestType>;
  std::vector<TestType> set{TestType(1)};
  if constexpr (std::is_floating_point_v<TestType>)
    set = {TestType(0.25), TestType(-3), limits::quiet_NaN(), limits::min()};
  else if constexpr (!std::is_same_v<TestType, bool>)
    set = {TestType(1), limits::min() == 0 ? limits::max() : limits::min(), TestType(limits::max() / 4 + 1)};
  std::mt19937 bits(static_cast<unsigned>(W * 31 + H));
  for (int const percent : {0, 30, 55, 80, 100}) {
    CAPTURE(percent);
    spaced<TestType> mask(H, W, gap);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const some = set[bits() % set.size()];
        mask.map(y, x) = static_cast<int>(bits() % 100) < percent ? some : TestType(0);
      }
    view<TestType const, 2> const in = mask.map;
    auto const inside = [&](auto y, auto x) { return in(y, x) != TestType(0); };
    auto const want = oracle::flood_fill(H, W, corners, inside, anyhow);
    auto const have = connected(cpu{}, in, corners ? c8 : c4);
    REQUIRE(first_gap(have.label, want) == -1);
    REQUIRE(have.count == largest(want));
  }
}

TEST_CASE("bands of rows meet at their borders", "[component][reference]")
{
  auto const kind =
      GENERATE(values<std::string>({"sparse", "half", "dense", "spiral", "comb", "checkers", "worm", "full"}));
  bool const corners = GENERATE(false, true);
  CAPTURE(kind, corners);
  index_t const H = 690, W = 701;  // more than 65536 cells for each of 7 threads
  auto const mask = large_mask(kind, H, W);
  auto const want = oracle::flood_fill(H, W, corners, [&](auto y, auto x) { return mask(y, x) != 0; }, anyhow);
  connected_scratch<cpu> scratch;  // one for all: a smaller team must not see what a larger one left
  grid<index_t, 1> count(1);
  for (int const threads : {7, 1, 2, 3}) {
    CAPTURE(threads);
    cpu const where{.threads = threads};
    spaced<std::int32_t> out(H, W, 2);
    connected_into(where, mask, corners ? c8 : c4, out.map, count, scratch);
    REQUIRE(count(0) == largest(want));
    REQUIRE(first_gap(out.map, want) == -1);
    if (threads == 7) REQUIRE(static_cast<int>(scratch.bands.size()) == thread_count(where));
    bool kept = true;  // what lies between the rows is not ours
    for (index_t y = 0; y < H; ++y)
      kept = kept && out.cells[y * (W + 2) + W] == 1 && out.cells[y * (W + 2) + W + 1] == 1;
    REQUIRE(kept);
  }
}

TEST_CASE("fewer rows than threads", "[component][reference]")
{
  auto const H = GENERATE(1, 2, 3, 5);
  index_t const W = 460000 / H + 1;
  bool const corners = GENERATE(false, true);
  CAPTURE(H, corners);
  grid<std::uint8_t, 2> mask(H, W);
  std::mt19937 bits(3);
  for (auto& v : mask.cells()) v = bits() % 100 < 55;
  auto const want = oracle::flood_fill(H, W, corners, [&](auto y, auto x) { return mask(y, x) != 0; }, anyhow);
  for (int const threads : {1, 2, 7}) {
    CAPTURE(threads);
    auto const have = connected(cpu{.threads = threads}, mask, corners ? c8 : c4);
    CHECK(first_gap(have.label, want) == -1);
    CHECK(have.count == largest(want));
  }
}

TEST_CASE("numbers follow the first cell of each component", "[component][picture]")
{
  auto const mask = picture({
      "#..#.#",
      "##.#.#",
      "..#..#",
      "#.####",
  });
  rows const by_edges{
      "1..2.3",
      "11.2.3",
      "..3..3",
      "4.3333",
  };
  CHECK(drawn(connected(cpu{}, mask).label) == by_edges);
  auto const touching = connected(cpu{}, mask, c8);
  CHECK(touching.count == 2);
  rows const by_corners{
      "1..1.1",
      "11.1.1",
      "..1..1",
      "2.1111",
  };
  CHECK(drawn(touching.label) == by_corners);
}

TEST_CASE("labels of every type", "[component][property]")
{
  grid<std::uint8_t, 2> mask(9, 54);  // 5 rows of 27 lone cells, less in the last one
  for (index_t i = 0; i < 120; ++i) mask(i / 27 * 2, i % 27 * 2) = 1;
  auto const want = connected(cpu{}, mask);
  REQUIRE(want.count == 120);
  auto const check = [&]<class Label>(Label) {
    auto const have = connected<Label>(cpu{}, mask);
    CHECK(have.count == 120);
    CHECK(std::equal(want.label.cells().begin(), want.label.cells().end(), have.label.cells().begin()));
  };
  check(std::int8_t{}), check(std::uint8_t{}), check(std::int16_t{}), check(std::uint16_t{}), check(std::uint32_t{});
  check(std::int64_t{});
}

TEST_CASE("the widest unsigned label holds any count", "[component][property]")
{
  CHECK(connected<std::uint64_t>(cpu{}, picture({"#.#"})).count == 2);
  CHECK(connected_if<std::uint64_t>(cpu{}, {1, 2}, c4, [](auto...) { return true; }, anyhow).count == 1);
}

TEST_CASE("a count that does not fit its label is refused, and nothing is written", "[component][errors]")
{
  auto const lone = [](index_t n) {
    grid<std::uint8_t, 2> mask(1, 2 * n);
    for (index_t i = 0; i < n; ++i) mask(0, 2 * i) = 1;
    return mask;
  };
  auto const set = [](index_t, index_t x) { return x % 2 == 0; };
  CHECK(connected<std::uint8_t>(cpu{}, lone(255)).count == 255);
  CHECK(connected<std::int8_t>(cpu{}, lone(127)).count == 127);
  CHECK(connected_equal<std::uint8_t>(cpu{}, lone(255)).count == 255);
  CHECK(connected_if<std::uint8_t>(cpu{}, {1, 510}, c4, set, anyhow).count == 255);
  CAMBIUM_THROWS_SAYING(connected<std::uint8_t>(cpu{}, lone(256)), precondition_error,
                        "256 components do not fit the label type, whose largest value is 255");
  CAMBIUM_THROWS_SAYING(connected<std::int8_t>(cpu{}, lone(128)), precondition_error, "whose largest value is 127");
  CAMBIUM_THROWS_SAYING(connected_equal<std::uint8_t>(cpu{}, lone(256)), precondition_error,
                        "256 components do not fit");
  CAMBIUM_THROWS_SAYING(connected_if<std::uint8_t>(cpu{}, {1, 512}, c4, set, anyhow), precondition_error,
                        "256 components do not fit");
  grid<std::uint8_t, 2> out(1, 512), before = out;
  connected_scratch<cpu> scratch;
  grid<index_t, 1> count(1);
  CAMBIUM_THROWS_SAYING(connected_into(cpu{}, lone(256), c4, out, count, scratch), precondition_error,
                        "256 components");
  CHECK(out == before);
}

TEMPLATE_LIST_TEST_CASE("connected rejects what it documents", "[component][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  connected_scratch<TestType> scratch;
  auto count = make_grid<index_t>(where, {1}), two = make_grid<index_t>(where, {2});
  auto mask = support::copied<TestType>(grid<std::int32_t, 2>(3, 4));
  auto narrow = make_grid<std::int32_t>(where, {3, 3}), out = make_grid<std::int32_t>(where, {3, 4});
  CAMBIUM_THROWS_SAYING(connected_into(where, mask, c4, narrow, count, scratch), precondition_error,
                        "mask is [1,3,4] but out is [1,3,3]");
  CAMBIUM_THROWS_SAYING(connected_into(where, mask, c4, mask, count, scratch), precondition_error, "overlap");
  CAMBIUM_THROWS_SAYING(connected_into(where, mask, c4, out, two, scratch), precondition_error,
                        "1 maps but count is [2]");
#if !defined(__CUDACC__)                          // a device has no atomic steps of bytes
  connected_scratch<TestType, std::int8_t> tiny;  // counts in bytes
  auto wide = make_grid<std::int32_t>(where, {1, 127}), labels = make_grid<std::int32_t>(where, {1, 127});
  CAMBIUM_THROWS_SAYING(connected_into(where, wide, c4, labels, count, tiny), precondition_error,
                        "too large for this scratch");
#endif
  auto const endless = make_grid<std::uint8_t>(where, {0, index_t{1} << 31});
  CAMBIUM_THROWS_SAYING(connected(where, endless), precondition_error, "too l");
  CAMBIUM_THROWS_SAYING(connected(where, mask, neighbourhood{1, {{-1, 0}}}), precondition_error, "neither c4 nor c8");
}

TEST_CASE("connected knows c4 and c8, connected_if any neighbourhood", "[component][errors]")
{
  neighbourhood const diagonal{2, {{-1, -1}, {-1, 1}}};
  auto const mask = picture({"#.", ".#"});
  CAMBIUM_THROWS_SAYING(connected(cpu{}, mask, diagonal), precondition_error, "neither c4 nor c8");
  CAMBIUM_THROWS_SAYING(connected_equal(cpu{}, mask, diagonal), precondition_error, "neither c4 nor c8");
  auto const inside = [&](index_t y, index_t x) { return mask(y, x) != 0; };
  CHECK(connected_if(cpu{}, {2, 2}, diagonal, inside, [](auto...) { return true; }).count == 1);
}

TEST_CASE("nothing has no components", "[component][errors]")
{
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}}));
  cpu const where{.threads = GENERATE(1, 3)};
  grid<std::uint8_t, 2> const none(H, W);
  auto const found = connected(where, none, c8);
  CHECK(found.count == 0);
  CHECK(found.label.shape() == none.shape());
}

TEMPLATE_LIST_TEST_CASE("masks of every kind are labelled as filling does", "[component][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const kind =
      GENERATE(values<std::string>({"none", "sparse", "half", "dense", "holes", "comb", "checkers", "worm", "full"}));
  auto const [H, W] =
      GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 65}, {65, 1}, {13, 17}, {151, 222}}));
  bool const corners = GENERATE(false, true);
  CAPTURE(kind, H, W, corners);
  auto const mask = large_mask(kind, H, W);
  auto const want =
      oracle::flood_fill(H, W, corners, [&](auto y, auto x) { return mask(y, x) != 0; }, [](auto...) { return true; });
  auto const found = connected(TestType{}, to::there(mask), corners ? c8 : c4);
  CHECK(first_gap(to::back(found.label), want) == -1);
  CHECK(found.count == largest(want));
}

TEMPLATE_LIST_TEST_CASE("a large mask, whatever threads do", "[component][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const kind = GENERATE(values<std::string>({"half", "dense", "comb", "worm"}));
  bool const corners = GENERATE(false, true);
  CAPTURE(kind, corners);
  auto const mask = large_mask(kind, 690, 701);
  auto const want = connected(cpu{}, mask, corners ? c8 : c4);
  auto const there = support::copied<TestType>(mask);
  for (int threads = 1; threads <= 4; ++threads) {
    TestType where{};
    if constexpr (std::derived_from<TestType, cpu>) where.threads = threads;
    auto const have = connected(where, there, corners ? c8 : c4);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
}

TEMPLATE_TEST_CASE("rows in words give the labels that runs one by one give", "[component][same]", bool, std::uint8_t,
                   std::int16_t, std::int32_t, std::uint64_t)
{
  using V = std::conditional_t<std::is_same_v<TestType, bool>, std::uint8_t, TestType>;
  int const kinds = std::is_same_v<TestType, bool> ? 2 : GENERATE(2, 3, 5);
  index_t const H = 70, W = GENERATE(1, 2, 63, 64, 65, 127, 128, 129, 200);
  CAPTURE(kinds, W);
  auto const noise = support::uniform<float, 2>({H, W}, 0, 1, static_cast<unsigned>(W + kinds));
  grid<V, 2> map(H, W);
  for (index_t i = 0; i < map.size(); ++i)  // rows from plain to noisy
    map.data()[i] = noise.data()[i] * static_cast<float>(H) < static_cast<float>(i / W)
                        ? static_cast<V>(static_cast<int>(noise.data()[i] * 1000) % kinds)
                        : V(1);
  for (auto const& near : {c4, c8}) {
    cpu const narrow{.threads = 1, .vectors = isa::baseline};
    auto const want = connected_equal(narrow, map, near);
    REQUIRE(connected_equal(cpu{1}, map, near).label == want.label);
    REQUIRE(connected_equal(cpu{3}, map, near).label == want.label);
    REQUIRE(connected(cpu{1}, map, near).label == connected(narrow, map, near).label);
  }
}

TEST_CASE("linked runs are numbered by blocks as reorder does", "[component][same]")
{
  index_t const H = GENERATE(1, 2, 65, 600), W = GENERATE(1, 64, 333);
  int const percent = GENERATE(10, 40, 60), threads = GENERATE(1, 2, 3);
  CAPTURE(H, W, percent, threads);
  auto const noise = support::uniform<float, 2>({H, W}, 0, 100, 7);
  grid<std::uint8_t, 2> mask(H, W);
  for (index_t i = 0; i < mask.size(); ++i) mask.data()[i] = noise.data()[i] < static_cast<float>(percent);
  auto const want = reorder(cpu{}, connected(cpu{}, mask, c8), label_order::blocks);
  std::vector<run_band<std::int32_t>> bands;
  auto const linked = link_runs(cpu{threads}, c8, mask_runs<std::uint8_t const>{mask.view()}, extent2{H, W}, bands,
                                label_order::blocks);
  REQUIRE(linked.count == want.count);
  grid<std::int32_t, 2> label(H, W);
  write_runs(cpu{threads}, linked, bands, label.view());
  CHECK(label == want.label);
}

TEMPLATE_LIST_TEST_CASE("maps of a batch are labelled each for itself", "[component][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  bool const corners = GENERATE(false, true);
  index_t const B = 5;
  connected_scratch<TestType> scratch;
  for (auto const& [H, W] : {extent2{31, 44}, extent2{7, 3}, extent2{50, 60}, extent2{0, 3}}) {
    CAPTURE(corners, H, W);
    auto const masks = support::uniform<float, 3>({B, H, W}, -1, 1.5, 23);
    grid<std::int16_t, 3> mask(B, H, W);
    for (index_t i = 0; i < mask.size(); ++i) mask.data()[i] = masks.data()[i] > 0;
    auto const there = support::copied<TestType>(mask);
    auto out = make_grid<std::uint16_t>(TestType{}, {B, H, W});
    auto equal = make_grid<std::uint16_t>(TestType{}, {B, H, W});
    auto count = make_grid<index_t>(TestType{}, {B});
    connected_into(TestType{}, there, corners ? c8 : c4, out, count, scratch);
    auto const have = to::back(out);
    auto const counts = to::back(count);
    connected_equal_into(TestType{}, there, corners ? c8 : c4, std::int16_t(0), equal, count, scratch);
    REQUIRE(to::back(equal) == have);
    REQUIRE(to::back(count) == counts);
    for (index_t b = 0; b < B; ++b) {
      auto const want = connected<std::uint16_t>(cpu{}, std::as_const(mask).view()[b], corners ? c8 : c4);
      REQUIRE(counts(b) == want.count);
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) REQUIRE(have(b, y, x) == want.label(y, x));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a device counts what does not fit its label", "[component][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<std::uint8_t, 2> mask(1, 512);
  for (index_t i = 0; i < 256; ++i) mask(0, 2 * i) = 1;
  auto const there = support::copied<TestType>(mask);
  CAMBIUM_THROWS_SAYING(connected<std::uint8_t>(where, there), precondition_error,
                        "256 components do not fit the label type, whose largest value is 255");
  auto out = make_grid<std::int8_t>(where, {1, 512});
  auto count = make_grid<index_t>(where, {1});
  connected_scratch<TestType, index_t> scratch;
  connected_into(where, there, c4, out, count, scratch);
  CHECK(to::back(count)(0) == 256);
  auto const labels = to::back(out);
  for (int i = 0; i < 256; ++i) REQUIRE(labels(0, 2 * i) == (i < 127 ? i + 1 : 127));
}
