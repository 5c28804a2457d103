#include <cambium/proposal/merge.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random_masks.hpp"

using namespace cambium;
using support::random_masks;

namespace {

/// The three forms, cell by cell.
grid<std::int32_t, 2> plain_merge(support::byte_masks const& masks, grid<std::uint8_t, 2> const& map,
                                  merge_options const& o)
{
  int const N = static_cast<int>(masks.shape()[0]), H = static_cast<int>(map.shape()[0]),
            W = static_cast<int>(map.shape()[1]);
  grid<std::int32_t, 2> out(H, W);
  std::vector<bool> used(N, false);
  for (int c = 1; c <= o.classes; ++c) {
    double of_class = 0;
    for (auto const v : map.cells()) of_class += v == c;
    if (of_class == 0) continue;
    std::vector<int> taken, seen;
    for (int k = 0; k < N; ++k) {
      if (used[k]) continue;
      seen.push_back(k);
      double both = 0, mine = 0;
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) mine += masks(k, y, x), both += masks(k, y, x) != 0 && map(y, x) == c;
      if (mine > 0 && (both > o.inside * mine || (o.form == merge_form::max_iou_imp2 && both >= o.holds * of_class)))
        taken.push_back(k);
    }
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        bool in_taken = false, in_seen = false;
        for (int k : taken) in_taken = in_taken || masks(k, y, x) != 0;
        for (int k : seen) in_seen = in_seen || masks(k, y, x) != 0;
        if (in_taken || (o.form != merge_form::max_iou && map(y, x) == c && !in_seen)) out(y, x) = c;
      }
    for (int k : taken) used[k] = true;
  }
  if (o.keep_ignore)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x)
        if (out(y, x) == 0 && map(y, x) == 255) out(y, x) = 255;
  return out;
}

}  // namespace

TEST_CASE("merging equals the forms cell by cell", "[proposal][reference]")
{
  auto const form = GENERATE(merge_form::max_iou, merge_form::max_iou_imp, merge_form::max_iou_imp2);
  auto const keep = GENERATE(false, true);
  auto const N = GENERATE(0, 1, 9, 40);
  auto const inside = GENERATE(0.25, 0.5);
  auto const cells = random_masks(N, 21, 70, 67);
  grid<std::uint8_t, 2> map(21, 70);
  for (int y = 0; y < 21; ++y)
    for (int x = 0; x < 70; ++x) map(y, x) = static_cast<std::uint8_t>(y / 8 == 1 ? x / 12 % 5 : x < 30 ? y / 14 : 0);
  for (int x = 0; x < 9; ++x) map(2, x) = 255;
  merge_options const o{.classes = 4, .form = form, .inside = inside, .keep_ignore = keep};
  auto const masks = pack_masks(cpu{}, cells);
  auto const want = plain_merge(cells, map, o);
  CHECK(merge_masks(cpu{.threads = 3}, masks, map, o) == want);
  std::vector<index_t> backwards;
  for (index_t i = N; i-- > 0;) backwards.push_back(i);
  CHECK(merge_masks(cpu{}, select_masks(masks, backwards), map, o) == want);
  if (N == 0 && form != merge_form::max_iou && keep) {
    for (std::size_t i = 0; i < map.cells().size(); ++i) CHECK(want.cells()[i] == map.cells()[i]);
  }
}

TEST_CASE("half of a mask is not enough, and a class loses what an earlier one took", "[proposal][picture]")
{
  auto const map = support::picture<std::uint8_t>({
      "1122",
      "1122",
  });
  grid<std::uint8_t, 3> cells(2, 2, 4);
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 4; ++x) cells(0, y, x) = 1;      // half in each
  cells(1, 0, 0) = cells(1, 0, 1) = cells(1, 0, 2) = 1;  // two thirds in class 1
  auto const drawn = [&](merge_form form) {
    return support::drawn(merge_masks(cpu{}, pack_masks(cpu{}, cells), map, {.classes = 2, .form = form, .holds = 2}));
  };
  CHECK(drawn(merge_form::max_iou) == support::rows{"111.", "...."});
  // Mask 0 is seen by both classes and taken by none, so that no cell of a class stays.
  CHECK(drawn(merge_form::max_iou_imp) == support::rows{"111.", "...."});
  // Without it class 2 gets back the cell that lies under the mask of class 1.
  cells = grid<std::uint8_t, 3>(1, 2, 4);
  cells(0, 0, 0) = cells(0, 0, 1) = cells(0, 0, 2) = 1;
  CHECK(drawn(merge_form::max_iou_imp) == support::rows{"1122", "1122"});
}

TEST_CASE("merging rejects what it documents", "[proposal][errors]")
{
  auto const masks = pack_masks(cpu{}, random_masks(2, 3, 4, 1));
  grid<std::uint8_t, 2> map(3, 4);
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, grid<std::uint8_t, 2>(3, 5)), precondition_error,
                        "merge_masks: the map is [3,5] but the masks are of an image of 3 x 4");
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, map, {.classes = 255}), precondition_error, "classes is 255");
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, map, {.classes = -1}), precondition_error, "classes is -1");
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, map, {.inside = -.1}), precondition_error, "inside is -0.1");
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, map, {.holds = 0}), precondition_error, "holds is 0");
  map(1, 2) = 9;
  CAMBIUM_THROWS_SAYING(merge_masks(cpu{}, masks, map, {.classes = 8}), precondition_error,
                        "map(1,2) is 9, outside 0..8 and not 255");
}
