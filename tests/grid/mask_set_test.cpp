#include <cambium/grid/mask_set.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random_masks.hpp"

#include <cmath>
#include <utility>

using namespace cambium;
using support::picture;
using support::random_masks;

namespace {

grid<std::uint8_t, 3> stack(std::vector<support::rows> const& pictures)
{
  auto const first = picture<std::uint8_t>(pictures.at(0));
  grid<std::uint8_t, 3> out(pictures.size(), first.shape()[0], first.shape()[1]);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    auto const one = picture<std::uint8_t>(pictures[i]);
    std::copy(one.cells().begin(), one.cells().end(), &out(i, 0, 0));
  }
  return out;
}

/// Box and area by a look at every cell.
packed_mask measured(grid<std::uint8_t, 3> const& masks, int i)
{
  packed_mask out;
  for (int y = 0; y < masks.shape()[1]; ++y)
    for (int x = 0; x < masks.shape()[2]; ++x) {
      if (masks(i, y, x) == 0) continue;
      if (out.area++ == 0) out.bounds = {y, x, y + 1, x + 1};
      out.bounds.bottom = y + 1;
      if (x < out.bounds.left) out.bounds.left = x;
      if (x + 1 > out.bounds.right) out.bounds.right = x + 1;
    }
  return out;
}

}  // namespace

TEST_CASE("packed masks hold the cells, their boxes and areas", "[grid][reference]")
{
  auto const [H, W] =
      GENERATE(table<int, int>({{1, 1}, {1, 63}, {5, 64}, {7, 65}, {20, 31}, {33, 127}, {9, 128}, {64, 130}, {17, 1}}));
  auto const N = GENERATE(0, 1, 7, 41);
  CAPTURE(N, H, W);
  auto const cells = random_masks(N, H, W, 3);
  for (int threads : {1, 3}) {
    auto const packed = pack_masks(cpu{.threads = threads}, cells);
    REQUIRE(packed.size() == N);
    CHECK(packed.image == extent2{H, W});
    index_t words = 0;
    for (int i = 0; i < N; ++i) {
      CAPTURE(i);
      auto const want = measured(cells, i);
      CHECK(packed.masks(i).area == want.area);
      CHECK(packed.masks(i).bounds == want.bounds);
      CHECK(packed.masks(i).first == words);
      words += packed.masks(i).size();
    }
    CHECK(packed.words.size() == words);
    CHECK(unpack_masks(cpu{}, packed) == cells);
    masks_view<> const v(packed);
    for (int i = 0; i < N; ++i)
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) REQUIRE(v.inside(i, y, x) == (cells(i, y, x) != 0));
  }
}

TEST_CASE("masks of an image without cells", "[grid][errors]")
{
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 4}, {4, 0}}));
  auto const packed = pack_masks(cpu{}, grid<std::uint8_t, 3>(2, H, W));
  CHECK(packed.size() == 2);
  CHECK(packed.masks(1) == packed_mask{});
  CHECK(unpack_masks(cpu{}, packed).size() == 0);
}

TEST_CASE("masks by eye", "[grid][picture]")
{
  auto const packed = pack_masks(cpu{}, stack({{
                                                   "....",
                                                   ".#..",
                                                   "..#.",
                                               },
                                               {
                                                   "....",
                                                   "....",
                                                   "....",
                                               }}));
  CHECK(packed.masks(0).bounds == box{1, 1, 3, 3});
  CHECK(packed.masks(0).area == 2);
  REQUIRE(packed.words.size() == 2);
  CHECK(packed.words(0) == 2);
  CHECK(packed.words(1) == 4);
  CHECK(packed.masks(1) == packed_mask{{}, 0, 2});
}

TEST_CASE("cells of any type are packed", "[grid][reference]")
{
  auto const cells = random_masks(5, 9, 70, 5);
  auto const want = pack_masks(cpu{}, cells);
  auto const check = [&]<class T>(T value) {
    grid<T, 3> other(5, 9, 70);
    for (std::size_t i = 0; i < cells.cells().size(); ++i) other.cells()[i] = cells.cells()[i] ? value : T{};
    CHECK(pack_masks(cpu{}, other) == want);
  };
  check(std::uint8_t{255}), check(std::int32_t{-3}), check(std::int64_t{1} << 40), check(0.25f), check(std::nan(""));
  std::vector<char> truths(cells.cells().begin(), cells.cells().end());  // bool as NumPy has it
  CHECK(pack_masks(cpu{}, view<bool const, 3>(reinterpret_cast<bool const*>(truths.data()), {5, 9, 70})) == want);
}

TEST_CASE("masks above a limit", "[grid][reference]")
{
  grid<float, 3> maps(2, 3, 66);
  for (std::size_t i = 0; i < maps.cells().size(); ++i) maps.cells()[i] = static_cast<float>(i % 11) - 5;
  maps(1, 2, 65) = std::nanf("");
  maps(1, 2, 64) = HUGE_VALF;
  auto const packed = pack_masks_above(cpu{}, maps, 1.);
  auto const cells = unpack_masks(cpu{}, packed);
  for (std::size_t i = 0; i < maps.cells().size(); ++i) REQUIRE((cells.cells()[i] != 0) == (maps.cells()[i] > 1));
  CHECK(cells(1, 2, 65) == 0);
  CHECK(cells(1, 2, 64) == 1);
}

TEST_CASE("labels become masks, other values are in none", "[grid][reference]")
{
  auto const check = [&]<class L>(L) {
    grid<L, 2> labels(7, 90);
    for (std::size_t i = 0; i < labels.cells().size(); ++i) labels.cells()[i] = static_cast<L>(i * 7 / 3 % 6);
    labels(3, 3) = static_cast<L>(255);
    auto const cells = unpack_masks(cpu{}, masks_of_labels(cpu{}, labels, 4));
    for (int c = 1; c <= 4; ++c)
      for (int y = 0; y < 7; ++y)
        for (int x = 0; x < 90; ++x) REQUIRE(cells(c - 1, y, x) == (static_cast<int>(labels(y, x)) == c));
  };
  check(std::uint8_t{}), check(std::int32_t{}), check(std::int64_t{});
  // A byte cannot hold label 300: its mask is empty, and no other label takes its place.
  grid<std::uint8_t, 2> bytes(1, 3);
  bytes(0, 1) = 44;  // 300 modulo 256
  auto const many = masks_of_labels(cpu{}, bytes, 300);
  CHECK(many.masks(43).area == 1);
  CHECK(many.masks(299).area == 0);
  CAMBIUM_THROWS_SAYING(masks_of_labels(cpu{}, bytes, -1), precondition_error, "count is -1");
}

TEST_CASE("masks are chosen", "[grid][reference]")
{
  auto const cells = random_masks(6, 11, 77, 8);
  auto const packed = pack_masks(cpu{}, cells);
  std::vector<index_t> const which{4, 0, 4, 5};
  auto const chosen = unpack_masks(cpu{}, select_masks(packed, which));
  REQUIRE(chosen.shape()[0] == 4);
  for (int k = 0; k < 4; ++k)
    for (int y = 0; y < 11; ++y)
      for (int x = 0; x < 77; ++x) REQUIRE(chosen(k, y, x) == cells(which[k], y, x));
  CHECK(select_masks(packed, {}).size() == 0);
  std::vector<index_t> const beyond{0, 6}, below{-1};
  CAMBIUM_THROWS_SAYING(select_masks(packed, beyond), precondition_error, "which(1) is 6, but there are 6 masks");
  CAMBIUM_THROWS_SAYING(select_masks(packed, below), precondition_error, "which(0) is -1");
}

TEST_CASE("damaged sets are told", "[grid][errors]")
{
  auto const good = pack_masks(cpu{}, random_masks(3, 9, 20, 9));
  auto bad = good;
  bad.masks(1).bounds.bottom = 10;
  CAMBIUM_THROWS_SAYING(unpack_masks(cpu{}, bad), precondition_error, "the box of mask 1 is");
  bad = good;
  bad.masks(2).bounds = {0, 0, 9, 20}, bad.masks(2).first = good.words.size() - 8;
  CAMBIUM_THROWS_SAYING(unpack_masks(cpu{}, bad), precondition_error, "the words of mask 2 are beyond");
  grid<std::uint8_t, 3> narrow(3, 9, 19);
  CAMBIUM_THROWS_SAYING(unpack_masks_into(cpu{}, good, narrow), precondition_error,
                        "out is [3,9,19] but there are 3 masks of 9 x 20");
}

TEST_CASE("200 masks of 640 x 640 take less than 10 MB", "[grid][property]")
{
  grid<std::uint8_t, 3> one(1, 640, 640);  // a large disc, for all of them
  for (int y = 0; y < 640; ++y)
    for (int x = 0; x < 640; ++x) one(0, y, x) = (y - 320) * (y - 320) + (x - 320) * (x - 320) < 290 * 290;
  std::vector<index_t> const again(200, 0);
  auto const set = select_masks(pack_masks(cpu{}, one), again);
  auto const bytes = set.words.size() * 8 + set.size() * static_cast<index_t>(sizeof(packed_mask));
  CHECK(bytes < 10'000'000);
  CHECK(bytes > 200 * 580 * 9 * 8);
}

TEMPLATE_LIST_TEST_CASE("masks travel to a policy's memory and are unpacked there", "[grid][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const cells = random_masks(5, 13, 70, 4);
  auto const there = masks_to(where, pack_masks(cpu{}, cells));
  CHECK(to::back(unpack_masks(where, there)) == cells);
}

TEST_CASE("packing can be stopped", "[grid][errors]")
{
  cpu where{};
  where.stop = [] { return true; };
  CHECK_THROWS_AS(pack_masks(where, random_masks(3, 5, 5, 1)), stopped);
}
