#include <cambium/proposal/clean.hpp>
#include <cambium/proposal/small_regions.hpp>

#include "support/catch.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random_masks.hpp"

#include <cmath>
#include <map>

using namespace cambium;
using support::random_masks;

namespace {

/// One mask by filling: areas of the components, then a look at every cell. Of equal largest islands the first in the
/// order of blocks of 2 x 2 cells stays.
struct plain_result {
  grid<std::uint8_t, 2> mask;
  bool changed = false;
};
plain_result plain_clean(support::byte_masks const& masks, int i, double area, bool holes)
{
  int const H = static_cast<int>(masks.shape()[1]), W = static_cast<int>(masks.shape()[2]);
  auto const inside = [&](long y, long x) { return (masks(i, y, x) != 0) != holes; };
  auto const label = oracle::flood_fill(H, W, true, inside, [](auto...) { return true; });
  std::map<std::int64_t, long> areas;
  std::map<std::int64_t, std::pair<int, int>> first_block;
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      auto const at = label[y * W + x];
      if (at == 0) continue;
      ++areas[at];
      std::pair const block{y / 2, x / 2};
      auto const [known, fresh] = first_block.emplace(at, block);
      if (!fresh) known->second = std::min(known->second, block);
    }
  std::int64_t largest = 0;
  bool any = false, all = true;
  for (auto const& [at, n] : areas) {
    static_cast<double>(n) < area ? any = true : all = false;
    if (largest == 0 || n > areas[largest] || (n == areas[largest] && first_block[at] < first_block[largest]))
      largest = at;
  }
  plain_result out{grid<std::uint8_t, 2>(H, W), any};
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      auto const at = label[y * W + x];
      bool const small = at != 0 && static_cast<double>(areas[at]) < area;
      out.mask(y, x) = holes ? masks(i, y, x) != 0 || small : at != 0 && (!small || (all && at == largest));
    }
  return out;
}

void check_same(cleaned_masks const& have, support::byte_masks const& masks, double area, bool holes)
{
  auto const cells = unpack_masks(cpu{}, have.masks);
  for (int i = 0; i < masks.shape()[0]; ++i) {
    CAPTURE(i, area, holes);
    auto const want = plain_clean(masks, i, area, holes);
    REQUIRE(static_cast<bool>(have.changed[i]) == want.changed);
    for (int y = 0; y < masks.shape()[1]; ++y)
      for (int x = 0; x < masks.shape()[2]; ++x) REQUIRE(cells(i, y, x) == want.mask(y, x));
  }
}

}  // namespace

TEST_CASE("small regions equal a filling of each mask", "[proposal][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 70}, {9, 64}, {7, 65}, {30, 31}, {25, 130}, {20, 1}}));
  auto const area = GENERATE(0., 1., 2., 2.5, 9., 1e9);
  auto const mode = GENERATE(small_regions::holes, small_regions::islands);
  CAPTURE(H, W, area);
  auto cells = random_masks(12, H, W, 43);
  for (std::size_t i = 0; i < cells.cells().size(); i += 11) cells.cells()[i] ^= 1;  // holes and islands
  auto const masks = pack_masks(cpu{}, cells);
  for (auto const& where : {cpu{.threads = 1}, cpu{.threads = 3}, cpu{.vectors = isa::baseline}}) {
    auto const once = remove_small_regions(where, masks, {area, mode});
    check_same(once, cells, area, mode == small_regions::holes);
    CHECK(remove_small_regions(where, once.masks, {area, mode}).masks == once.masks);
  }
}

TEST_CASE("holes and islands by eye", "[proposal][picture]")
{
  auto const clean = [](support::rows const& from, double area, small_regions mode) {
    auto const one = support::picture<std::uint8_t>(from);
    grid<std::uint8_t, 3> cells(1, one.shape()[0], one.shape()[1]);
    std::copy(one.cells().begin(), one.cells().end(), cells.data());
    return support::drawn(
        unpack_masks(cpu{}, remove_small_regions(cpu{}, pack_masks(cpu{}, cells), {area, mode}).masks).view()[0]);
  };
  // The gap at the corner lets the background in; the other hole is closed.
  support::rows const ring{
      "######...", "#.##.#...", "######.#.", "#.#......", "##.......",
  };
  CHECK(clean(ring, 2, small_regions::holes) == support::rows{
                                                    "111111...",
                                                    "111111...",
                                                    "111111.1.",
                                                    "1.1......",
                                                    "11.......",
                                                });
  CHECK(clean(ring, 2, small_regions::islands) == support::rows{
                                                      "111111...",
                                                      "1.11.1...",
                                                      "111111...",
                                                      "1.1......",
                                                      "11.......",
                                                  });
  // All are small: the largest stays. Of two largest that of the first block of 2 x 2 stays, though not first in raster
  // order.
  CHECK(clean({"....#.", "##..#."}, 9, small_regions::islands) == support::rows{"......", "11...."});
}

TEST_CASE("small regions reject what they document", "[proposal][errors]")
{
  auto const masks = pack_masks(cpu{}, random_masks(2, 5, 6, 1));
  CAMBIUM_THROWS_SAYING(remove_small_regions(cpu{}, masks, {std::nan(""), small_regions::holes}), precondition_error,
                        "remove_small_regions: area is nan");
  CAMBIUM_THROWS_SAYING(clean_masks(cpu{}, masks, {.min_area = std::nan("")}), precondition_error,
                        "clean_masks: area is nan");
  mask_set<> const huge{{index_t{1} << 20, index_t{1} << 20}, {}, {}};
  CAMBIUM_THROWS_SAYING(remove_small_regions(cpu{}, huge, {1, small_regions::holes}), precondition_error,
                        "remove_small_regions: an image of 1048576 x 1048576");
  CHECK(remove_small_regions(cpu{}, pack_masks(cpu{}, support::byte_masks(0, 4, 4)), {3, small_regions::holes})
            .masks.size() == 0);
}

TEST_CASE("masks are cleaned, and doubles of their boxes go", "[proposal][picture]")
{
  grid<std::uint8_t, 3> cells(4, 6, 8);
  auto const fill = [&](int i, int y0, int x0, int y1, int x1) {
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) cells(i, y, x) = 1;
  };
  fill(0, 0, 0, 5, 5), cells(0, 2, 2) = 0;  // a hole: it loses against the clean one
  fill(1, 0, 0, 5, 5);
  fill(2, 1, 5, 5, 8), cells(2, 2, 6) = 0;  // a hole, alone
  fill(3, 0, 0, 5, 5);                      // a double
  auto const found = clean_masks(cpu{}, pack_masks(cpu{}, cells), {.min_area = 2, .nms_threshold = 0.7});
  CHECK(found.kept == std::vector<index_t>{1, 2});
  CHECK(found.masks.masks(0).area == 25);
  CHECK(found.masks.masks(1).area == 12);
  CHECK(clean_masks(cpu{}, pack_masks(cpu{}, support::byte_masks(0, 6, 8))).kept.empty());
  // With no limit nothing is cleaned, and the first of equal ones is kept.
  CHECK(clean_masks(cpu{}, pack_masks(cpu{}, cells)).kept == std::vector<index_t>{0, 2});
}
