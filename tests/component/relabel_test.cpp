#include <cambium/component/relabel.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <random>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

components<> parts(rows const& text)
{
  components<> found{picture(text), 0};
  for (auto const label : found.label.cells()) found.count = std::max<index_t>(found.count, label);
  return found;
}

/// Components where P can reach them, and back.
template <class P, class Label>
auto carried(components<Label> const& found)
{
  return components<Label, typename P::memory>{support::copied<P>(found.label), found.count};
}
template <class P, class Label>
components<Label> brought_back(components<Label, typename P::memory> const& found)
{
  return {support::carry<P>::back(found.label), found.count};
}
template <class P>
P on_three()
{
  P where{};
  if constexpr (std::derived_from<P, cpu>) where.threads = 3;
  return where;
}
template <class P, class Label>
components<Label> dropped(components<Label> const& found, index_t area)
{
  return brought_back<P, Label>(drop_small(on_three<P>(), carried<P>(found), area));
}
template <class P>
components<> reordered(components<> const& found, label_order order)
{
  return brought_back<P, std::int32_t>(reorder(on_three<P>(), carried<P>(found), order));
}
template <class P>
components<> grown_from(components<> const& found, grid<std::int32_t, 2> const& regions, int background = 0)
{
  return brought_back<P, std::int32_t>(
      grow(on_three<P>(), carried<P>(found), support::copied<P>(regions), background));
}

/// Labels after growth: for every free cell of a region its distance to every label, by relaxing until nothing changes.
grid<std::int32_t, 2> nearest_label(components<> const& found, grid<std::int32_t, 2> const& regions, int background)
{
  int const H = static_cast<int>(regions.shape()[0]), W = static_cast<int>(regions.shape()[1]), far = H * W + 1;
  auto out = found.label;
  grid<int, 2> best(H, W);
  std::fill(best.cells().begin(), best.cells().end(), far);
  for (int label = 1; label <= found.count; ++label) {
    grid<int, 2> steps(H, W);
    for (int i = 0; i < H * W; ++i) steps(i / W, i % W) = found.label(i / W, i % W) == label ? 0 : far;
    for (bool moved = true; moved;) {
      moved = false;
      for (int i = 0; i < H * W; ++i)
        for (int j : {i - W, i + W, i % W == 0 ? -1 : i - 1, i % W == W - 1 ? -1 : i + 1}) {
          if (j < 0 || j >= H * W || found.label(i / W, i % W) != 0) continue;
          auto const here = regions(i / W, i % W);
          if (here == background || here != regions(j / W, j % W)) continue;
          if (steps(j / W, j % W) + 1 >= steps(i / W, i % W)) continue;
          steps(i / W, i % W) = steps(j / W, j % W) + 1;
          moved = true;
        }
    }
    for (int i = 0; i < H * W; ++i)
      if (steps(i / W, i % W) < best(i / W, i % W) && steps(i / W, i % W) > 0) {
        best(i / W, i % W) = steps(i / W, i % W);
        out(i / W, i % W) = label;
      }
  }
  return out;
}

template <class P, class Label>
void keeps_large()
{
  components<Label> found{support::uniform<Label, 2>({30, 40}, 0, 60, 3), 80};
  for (index_t y = 0; y < 30; ++y)
    for (index_t x = 0; x < 20; ++x) found.label(y, x) = 0;  // so that areas differ
  for (index_t const area : {-1, 0, 1, 8, 10, 12, 1000}) {
    CAPTURE(area);
    auto const kept = dropped<P>(found, area);
    std::vector<index_t> before(81), after(81);
    for (auto const l : found.label.cells()) ++before[l];
    for (auto const l : kept.label.cells()) ++after[l];
    std::vector<index_t> want{before[0]};
    for (std::size_t i = 1; i < before.size(); ++i)
      if (before[i] >= area)
        want.push_back(before[i]);
      else
        want[0] += before[i];
    REQUIRE(kept.count == static_cast<index_t>(want.size()) - 1);
    want.resize(81);
    CHECK(after == want);
    for (std::size_t i = 0; i < found.label.cells().size(); ++i)
      REQUIRE((kept.label.cells()[i] != 0) == (found.label.cells()[i] != 0 && before[found.label.cells()[i]] >= area));
  }
}

components<> some_components(index_t H, index_t W, int count, unsigned seed)
{
  std::mt19937 bits(seed);
  components<> out{grid<std::int32_t, 2>(H, W), count};
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      out.label(y, x) = y > 0 && bits() % 3 != 0 ? out.label(y - 1, x)
                                                 : static_cast<std::int32_t>(bits() % static_cast<unsigned>(count + 1));
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("relabel looks every label up", "[component][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const labels = support::copied<TestType>(picture<std::uint8_t>({"012", "210"}));
  auto const out = to::back(relabel(where, labels, std::vector<std::int64_t>{7, 0, -1}));
  CHECK(out.cells() == cells_t<std::int64_t>{7, 0, -1, -1, 0, 7});
  auto const none = support::copied<TestType>(grid<std::int32_t, 2>(0, 3));
  CHECK(relabel(where, none, std::vector<int>{}).size() == 0);
  grid<float, 1> entries(3);
  entries(0) = 0.5f, entries(1) = 3, entries(2) = -1;
  auto const there = support::copied<TestType>(entries);
  CHECK(to::back(relabel(where, labels, there)).cells() == cells_t<float>{0.5f, 3, -1, -1, 3, 0.5f});
  auto own = support::copied<TestType>(picture({"012", "210"}));
  grid<std::int32_t, 1> other(3);
  other(0) = 9, other(1) = 8, other(2) = 7;
  relabel_into(where, own, support::copied<TestType>(other), own);
  CHECK(to::back(own).cells() == cells_t<std::int32_t>{9, 8, 7, 7, 8, 9});
  auto narrow = make_grid<std::int32_t>(where, {2, 2});
  CAMBIUM_THROWS_SAYING(relabel_into(where, own, support::copied<TestType>(other), narrow), precondition_error,
                        "out is [2,2]");
}

TEST_CASE("relabel rejects what it documents", "[component][errors]")
{
  auto labels = picture({".1", "2."});
  CAMBIUM_THROWS_SAYING(relabel(cpu{}, labels, std::vector<int>{0, 1}), precondition_error,
                        "label(1,0) is 2, outside 0..1");
  labels(0, 1) = -1;
  CAMBIUM_THROWS_SAYING(relabel(cpu{}, labels, std::vector<int>{0, 1, 2}), precondition_error, "label(0,1) is -1");
}

TEMPLATE_LIST_TEST_CASE("drop_small closes the gaps it makes", "[component][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const found = parts({
      "11.2",
      "3..2",
      "44.2",
  });
  CHECK(drawn(dropped<TestType>(found, 1).label) == drawn(found.label));
  auto const two = dropped<TestType>(found, 2);  // an area of 2 is not less than 2
  CHECK(two.count == 3);
  rows const from_2{
      "11.2",
      "...2",
      "33.2",
  };
  CHECK(drawn(two.label) == from_2);
  auto const three = dropped<TestType>(found, 3);
  CHECK(three.count == 1);
  rows const from_3{
      "...1",
      "...1",
      "...1",
  };
  CHECK(drawn(three.label) == from_3);
  auto const none = dropped<TestType>(found, 4);
  CHECK(none.count == 0);
  CHECK(drawn(none.label) == rows{"....", "....", "...."});
}

TEMPLATE_LIST_TEST_CASE("drop_small keeps exactly the large components", "[component][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  keeps_large<TestType, std::uint8_t>();
  keeps_large<TestType, std::int32_t>();
  keeps_large<TestType, std::uint32_t>();
}


TEST_CASE("drop_small rejects what it documents", "[component][errors]")
{
  auto found = parts({".1", "2."});
  found.count = 1;
  CAMBIUM_THROWS_SAYING(drop_small(cpu{}, found, 1), precondition_error, "label(1,0) is 2, outside 0..1");
  found = parts({".1", "2."});
  found.label(0, 0) = -1;
  CAMBIUM_THROWS_SAYING(drop_small(cpu{}, found, 1), precondition_error, "label(0,0) is -1, outside 0..2");
}

TEMPLATE_LIST_TEST_CASE("cores grow inside their region", "[component][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const cores = parts({
      "1....2",
      "......",
      "..3...",
      "......",
  });
  auto const regions = picture({
      "aaaaaa",
      "aaaaaa",
      "..bbbb",
      "..bb.c",
  });
  // 3 stays in b, 1 and 2 stay in a, and c has no core.
  auto const grown = grown_from<TestType>(cores, regions);
  CHECK(grown.count == 3);
  rows const grown_in_regions{
      "111222",
      "111222",
      "..3333",
      "..33..",
  };
  CHECK(drawn(grown.label) == grown_in_regions);
  // With b as the background 3 stays alone, and 0 is a region like any other.
  rows const alone{
      "111222",
      "111222",
      "..3...",
      "......",
  };
  CHECK(drawn(grown_from<TestType>(cores, regions, 11).label) == alone);
}

TEMPLATE_LIST_TEST_CASE("equally near cores: the smaller label wins", "[component][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const cores = parts({
      "2...1",
      ".....",
      "..3..",
  });
  rows const tied{
      "22111",
      "22311",
      "23331",
  };
  CHECK(drawn(grown_from<TestType>(cores, picture({"aaaaa", "aaaaa", "aaaaa"})).label) == tied);
}

TEMPLATE_LIST_TEST_CASE("growth equals the nearest label", "[component][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 17}, {17, 1}, {12, 15}}));
  auto const seed = GENERATE(1u, 2u, 3u);
  CAPTURE(H, W, seed);
  std::mt19937 bits(seed);
  components<> found{grid<std::int32_t, 2>(H, W), 6};
  for (auto& label : found.label.cells()) label = bits() % 10 == 0 ? static_cast<std::int32_t>(bits() % 6 + 1) : 0;
  grid<std::int32_t, 2> regions(H, W);
  for (auto& region : regions.cells()) region = bits() % 8 == 0 ? static_cast<std::int32_t>(bits() % 3) : 1;
  for (int const background : {0, 1, 9}) {
    CAPTURE(background);
    auto const grown = grown_from<TestType>(found, regions, background);
    CHECK(grown.count == 6);
    CHECK(drawn(grown.label) == drawn(nearest_label(found, regions, background)));
  }
}

TEST_CASE("grow rejects what it documents", "[component][errors]")
{
  CAMBIUM_THROWS_SAYING(grow(cpu{}, parts({".1"}), grid<std::int32_t, 2>(2, 2)), precondition_error,
                        "labels are [1,2] but regions are [2,2]");
  CHECK(grow(cpu{}, components<>{grid<std::int32_t, 2>(0, 4), 0}, grid<std::int32_t, 2>(0, 4)).label.size() == 0);
}

TEMPLATE_LIST_TEST_CASE("components in the order of rows or of blocks", "[component][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const found = parts({
      "..1.2",
      ".3...",
      "3..4.",
      "...44",
  });
  CHECK(reordered<TestType>(found, label_order::raster).label == found.label);
  rows const blocks{
      "..2.3",
      ".1...",
      "1..4.",
      "...44",
  };
  CHECK(drawn(reordered<TestType>(found, label_order::blocks).label) == blocks);
  CHECK(reordered<TestType>(found, label_order::blocks).count == 4);
  // Empty ones come last.
  CHECK(reordered<TestType>(components<>{picture({"2"}), 3}, label_order::blocks).label(0, 0) == 1);
  CHECK(reordered<TestType>(components<>{grid<std::int32_t, 2>(0, 3), 0}, label_order::blocks).count == 0);
  for (index_t const height : {0, 1})
    CAMBIUM_THROWS_SAYING(reordered<TestType>(components<>{grid<std::int32_t, 2>(height, 1), -1}, label_order::raster),
                          precondition_error, "reorder: count is -1");
  CAMBIUM_THROWS_SAYING(dropped<TestType>(components<>{picture({"."}), -2}, 1), precondition_error,
                        "drop_small: count is -2");
  CAMBIUM_THROWS_SAYING(reorder(cpu{}, components<>{picture({"2"}), 1}, label_order::raster), precondition_error,
                        "label(0,0) is 2, outside 0..1");
}

TEMPLATE_LIST_TEST_CASE("rules number components anew as the cpu", "[component][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] =
      GENERATE(table<int, int>({{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 33}, {64, 1}, {13, 31}, {100, 77}}));
  auto const count = GENERATE(0, 1, 7, 200);
  CAPTURE(H, W, count);
  TestType where{};
  if constexpr (std::derived_from<TestType, cpu>) where.threads = 3;
  auto const found = some_components(H, W, count, 7);
  auto const there = carried<TestType>(found);
  for (index_t const area : {-1, 0, 1, 2, 5, 40, 100000}) {
    CAPTURE(area);
    auto const want = drop_small(cpu{}, found, area);
    auto const have = drop_small(where, there, area);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
  for (auto const order : {label_order::raster, label_order::blocks}) {
    auto const want = reorder(cpu{}, found, order);
    auto const have = reorder(where, there, order);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
}

TEMPLATE_LIST_TEST_CASE("rules let cores grow as the cpu", "[component][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 3}, {1, 1}, {1, 200}, {300, 1}, {37, 52}}));
  auto const seed = GENERATE(1u, 2u, 3u);
  CAPTURE(H, W, seed);
  std::mt19937 bits(seed);
  unsigned const rare = seed == 1 ? 500 : 20;
  components<> found{grid<std::int32_t, 2>(H, W), 6};
  for (auto& label : found.label.cells()) label = bits() % rare == 0 ? static_cast<std::int32_t>(bits() % 6 + 1) : 0;
  if (found.label.size() > 0) found.label.cells()[0] = 3;
  grid<std::int32_t, 2> regions(H, W);
  for (auto& region : regions.cells()) region = bits() % (4 * seed) == 0 ? static_cast<std::int32_t>(bits() % 3) : 1;
  auto const there = carried<TestType>(found);
  auto const r = support::copied<TestType>(regions);
  for (int const background : {0, 1, 9}) {
    CAPTURE(background);
    auto const have = grow(TestType{}, there, r, background);
    REQUIRE(have.count == 6);
    REQUIRE(to::back(have.label) == grow(cpu{}, found, regions, background).label);
  }
}

TEMPLATE_LIST_TEST_CASE("labels beyond the count become 0 on a device", "[component][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const wrong = carried<TestType>(components<>{grid<std::int32_t, 2>(1, 1), -2});
  CAMBIUM_THROWS_SAYING(drop_small(where, wrong, 1), precondition_error, "drop_small: count is -2");
  CAMBIUM_THROWS_SAYING(reorder(where, wrong, label_order::raster), precondition_error, "count is -2");
  auto const square = support::copied<TestType>(grid<std::int32_t, 2>(2, 2));
  CAMBIUM_THROWS_SAYING(grow(where, wrong, square), precondition_error, "labels are [1,1] but regions are [2,2]");
  components<> beyond{grid<std::int32_t, 2>(1, 3), 1};
  beyond.label(0, 0) = -5, beyond.label(0, 1) = 2, beyond.label(0, 2) = 1;
  auto const there = carried<TestType>(beyond);
  CHECK(to::back(drop_small(where, there, 1).label).cells() == cells_t<std::int32_t>{0, 0, 1});
  CHECK(to::back(reorder(where, there, label_order::blocks).label).cells() == cells_t<std::int32_t>{0, 0, 1});
  grid<std::int64_t, 2> wild(1, 4);
  wild(0, 0) = -1, wild(0, 1) = 5, wild(0, 2) = 4, wild(0, 3) = std::int64_t{1} << 60;
  auto const w = support::copied<TestType>(wild);
  CHECK(to::back(relabel(where, w, std::vector<float>{0.5f, 3, -1, 7, 2})).cells() == cells_t<float>{0, 0, 2, 0});
}
