#include <cambium/component/relabel.hpp>

#include "support/catch.hpp"
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

}  // namespace

TEST_CASE("relabel looks every label up", "[component][picture]")
{
  auto const out = relabel(cpu{}, picture<std::uint8_t>({"012", "210"}), std::vector<std::int64_t>{7, 0, -1});
  CHECK(out(0, 0) == 7);
  CHECK(out(0, 1) == 0);
  CHECK(out(0, 2) == -1);
  CHECK(out(1, 0) == -1);
  CHECK(out(1, 1) == 0);
  CHECK(out(1, 2) == 7);
  CHECK(relabel(cpu{}, grid<std::int32_t, 2>(0, 3), std::vector<int>{}).size() == 0);
}

TEST_CASE("relabel rejects what it documents", "[component][errors]")
{
  auto labels = picture({".1", "2."});
  CAMBIUM_THROWS_SAYING(relabel(cpu{}, labels, std::vector<int>{0, 1}), precondition_error,
                        "label(1,0) is 2 but the table ends at 1");
  labels(0, 1) = -1;
  CAMBIUM_THROWS_SAYING(relabel(cpu{}, labels, std::vector<int>{0, 1, 2}), precondition_error, "label(0,1) is -1");
}

TEST_CASE("drop_small closes the gaps it makes", "[component][picture]")
{
  auto const found = parts({
      "11.2",
      "3..2",
      "44.2",
  });
  CHECK(drawn(drop_small(cpu{}, found, 1).label) == drawn(found.label));
  auto const two = drop_small(cpu{}, found, 2);  // an area of 2 is not less than 2
  CHECK(two.count == 3);
  rows const from_2{
      "11.2",
      "...2",
      "33.2",
  };
  CHECK(drawn(two.label) == from_2);
  auto const three = drop_small(cpu{}, found, 3);
  CHECK(three.count == 1);
  rows const from_3{
      "...1",
      "...1",
      "...1",
  };
  CHECK(drawn(three.label) == from_3);
  auto const none = drop_small(cpu{}, found, 4);
  CHECK(none.count == 0);
  CHECK(drawn(none.label) == rows{"....", "....", "...."});
}

TEMPLATE_TEST_CASE("drop_small keeps exactly the large components", "[component][property]", std::uint8_t, std::int32_t,
                   std::uint32_t)
{
  components<TestType> found{support::uniform<TestType, 2>({30, 40}, 0, 60, 3), 80};
  for (index_t y = 0; y < 30; ++y)
    for (index_t x = 0; x < 20; ++x) found.label(y, x) = 0;  // so that areas differ
  auto const area = GENERATE(1, 8, 10, 12, 1000);
  CAPTURE(area);
  auto const kept = drop_small(cpu{}, found, area);
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

TEST_CASE("drop_small rejects what it documents", "[component][errors]")
{
  auto found = parts({".1", "2."});
  found.count = 1;
  CAMBIUM_THROWS_SAYING(drop_small(cpu{}, found, 1), precondition_error, "label(1,0) is 2, outside 0..1");
  found = parts({".1", "2."});
  found.label(0, 0) = -1;
  CAMBIUM_THROWS_SAYING(drop_small(cpu{}, found, 1), precondition_error, "label(0,0) is -1, outside 0..2");
}

TEST_CASE("cores grow inside their region", "[component][picture]")
{
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
  auto const grown = grow(cpu{}, cores, regions);
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
  CHECK(drawn(grow(cpu{}, cores, regions, 11).label) == alone);
}

TEST_CASE("equally near cores: the smaller label wins", "[component][picture]")
{
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
  CHECK(drawn(grow(cpu{}, cores, picture({"aaaaa", "aaaaa", "aaaaa"})).label) == tied);
}

TEST_CASE("growth equals the nearest label", "[component][reference]")
{
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
    auto const grown = grow(cpu{}, found, regions, background);
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

TEST_CASE("components in the order of rows or of blocks", "[component][picture]")
{
  auto const found = parts({
      "..1.2",
      ".3...",
      "3..4.",
      "...44",
  });
  CHECK(reorder(cpu{}, found, label_order::raster).label == found.label);
  rows const blocks{
      "..2.3",
      ".1...",
      "1..4.",
      "...44",
  };
  CHECK(drawn(reorder(cpu{}, found, label_order::blocks).label) == blocks);
  CHECK(reorder(cpu{}, found, label_order::blocks).count == 4);
  CHECK(reorder(cpu{}, components<>{picture({"2"}), 3}, label_order::blocks).label(0, 0) == 1);  // empty ones come last
  CHECK(reorder(cpu{}, components<>{grid<std::int32_t, 2>(0, 3), 0}, label_order::blocks).count == 0);
  for (index_t const height : {0, 1})
    CAMBIUM_THROWS_SAYING(reorder(cpu{}, components<>{grid<std::int32_t, 2>(height, 1), -1}, label_order::raster),
                          precondition_error, "order_keys: count is -1");
  CAMBIUM_THROWS_SAYING(drop_small(cpu{}, components<>{picture({"."}), -2}, 1), precondition_error,
                        "drop_small: count is -2");
  CAMBIUM_THROWS_SAYING(reorder(cpu{}, components<>{picture({"2"}), 1}, label_order::raster), precondition_error,
                        "label(0,0) is 2, outside 0..1");
}
