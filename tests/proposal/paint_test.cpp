#include <cambium/proposal/paint.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random_masks.hpp"

#include <algorithm>
#include <cmath>

using namespace cambium;
using support::random_masks;
using support::random_scores;

namespace {

/// Three squares that overlap: 4 x 4, 3 x 3, 2 x 2 cells.
mask_set<> squares()
{
  grid<std::uint8_t, 3> cells(3, 5, 5);
  for (int i = 0; i < 3; ++i)
    for (int y = 0; y < 4 - i; ++y)
      for (int x = 0; x < 4 - i; ++x) cells(i, y + i, x + i) = 1;
  return pack_masks(cpu{}, cells);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("painting equals masks drawn one after another", "[proposal][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const extents = GENERATE(table<int, int>({{1, 1}, {3, 63}, {5, 64}, {9, 65}, {30, 200}, {0, 5}, {5, 0}}));
  int const H = std::get<0>(extents), W = std::get<1>(extents);
  auto const N = GENERATE(0, 1, 17);
  CAPTURE(N, H, W);
  auto const cells = random_masks(N, H, W, 47);
  auto const masks = pack_masks(cpu{}, cells);
  auto order = order_to_paint(masks, paint_order::by_score, random_scores(N, 53));
  if (N > 4) order.erase(order.begin() + 2);
  grid<std::int32_t, 2> want(H, W), count(H, W);
  for (index_t const i : order)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x)
        if (cells(i, y, x)) want(y, x) = static_cast<std::int32_t>(i + 1);
  for (int i = 0; i < N; ++i)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) count(y, x) += cells(i, y, x);
  auto const where = support::with_threads<TestType>(3);
  auto const there = masks_to(where, masks);
  CHECK(to::back(paint_masks(where, there, order)) == want);
  CHECK(to::back(mask_coverage(where, there)) == count);
}

TEST_CASE("the three orders by eye", "[proposal][picture]")
{
  auto const masks = squares();
  std::vector<double> const scores{.5, .9, .9};
  auto const painted = [&](paint_order how) {
    return support::drawn(paint_masks(cpu{}, masks, order_to_paint(masks, how, scores)));
  };
  CHECK(painted(paint_order::by_score) == support::rows{"1111.", "1222.", "1222.", "1222.", "....."});
  CHECK(painted(paint_order::largest_first) == support::rows{"1111.", "1222.", "1233.", "1233.", "....."});
  CHECK(painted(paint_order::smallest_first) == support::rows{"1111.", "1111.", "1111.", "1111.", "....."});
  CHECK(order_to_paint(masks, paint_order::by_score, scores) == std::vector<index_t>{0, 2, 1});
}

TEST_CASE("instances of painted masks", "[proposal][picture]")
{
  auto const masks = squares();
  std::vector<double> const scores{.5, .9, .7};
  std::vector<std::int32_t> const categories{4, 2, 0};
  auto const found = paint_instances(cpu{}, masks, categories, scores);
  CHECK(support::drawn(found.label) == support::rows{"1111.", "1222.", "1222.", "1222.", "....."});
  REQUIRE(found.found.size() == 2);  // nothing is seen of the third
  CHECK(found.found[0].category == 4);
  CHECK(found.found[0].score == .5);
  CHECK(found.found[0].area == 7);
  CHECK(found.found[0].bounds == box{0, 0, 4, 4});
  CHECK(found.found[1].area == 9);
  CHECK(found.found[1].bounds == box{1, 1, 4, 4});
  // Of the largest 7 of 16 cells are seen: it goes if half must be.
  auto const few = paint_instances(cpu{}, masks, categories, scores, {.visible = .5});
  CHECK(support::drawn(few.label) == support::rows{".....", ".111.", ".111.", ".111.", "....."});
  REQUIRE(few.found.size() == 1);
  CHECK(few.found[0].category == 2);
  // A mask that goes hides nothing: by size the middle one is hidden to 5 of 9 and lets the largest be seen.
  auto const by_size = paint_instances(cpu{}, masks, {}, scores, {.order = paint_order::largest_first, .visible = .6});
  CHECK(support::drawn(by_size.label) == support::rows{"1111.", "1111.", "1122.", "1122.", "....."});
  // A negative category is not painted.
  std::vector<std::int32_t> const none{-1, 2, -1};
  CHECK(paint_instances(cpu{}, masks, none, scores).found.size() == 1);
  CHECK(paint_instances(cpu{}, pack_masks(cpu{}, support::byte_masks(0, 2, 2)), {}, {}).found.empty());
}

TEST_CASE("the areas of instances sum to the painted cells", "[proposal][property]")
{
  auto const masks = pack_masks(cpu{}, random_masks(60, 50, 90, 59));
  auto const how = GENERATE(paint_order::by_score, paint_order::largest_first, paint_order::smallest_first);
  auto const visible = GENERATE(0., .3, 1.);
  auto const found = paint_instances(cpu{.threads = 3}, masks, {}, random_scores(60, 61), {how, visible});
  std::vector<index_t> seen(found.found.size() + 1);
  for (auto const at : found.label.cells()) ++seen.at(static_cast<std::size_t>(at));
  for (std::size_t i = 0; i < found.found.size(); ++i) CHECK(found.found[i].area == seen[i + 1]);
  if (visible == 0) {
    auto const coverage = mask_coverage(cpu{}, masks);
    CHECK(seen[0] == std::count(coverage.cells().begin(), coverage.cells().end(), 0));
  }
}

TEST_CASE("painting rejects what it documents", "[proposal][errors]")
{
  auto const masks = squares();
  std::vector<index_t> const beyond{0, 3};
  std::vector<double> const two{1, 2}, three{1, 2, 3};
  CAMBIUM_THROWS_SAYING(paint_masks(cpu{}, masks, beyond), precondition_error,
                        "paint_masks: order(1) is 3, but there are 3 masks");
  CAMBIUM_THROWS_SAYING(order_to_paint(masks, paint_order::by_score), precondition_error, "0 scores but 3 masks");
  CAMBIUM_THROWS_SAYING(paint_instances(cpu{}, masks, {}, two), precondition_error, "2 scores but 3 masks");
  CAMBIUM_THROWS_SAYING(paint_instances(cpu{}, masks, {}, three, {.visible = 2}), precondition_error, "visible is 2");
  grid<std::int32_t, 2> narrow(5, 4);
  std::vector<index_t> const order{0};
  CAMBIUM_THROWS_SAYING(paint_masks_into(cpu{}, masks, order, narrow), precondition_error,
                        "the map is [5,4] but the masks are of an image of 5 x 5");
  CAMBIUM_THROWS_SAYING(mask_coverage_into(cpu{}, masks, narrow), precondition_error,
                        "mask_coverage: the map is [5,4]");
  grid<std::int8_t, 2> bytes(5, 5);
  auto const many = select_masks(masks, std::vector<index_t>(128, 0));
  CAMBIUM_THROWS_SAYING(paint_masks_into(cpu{}, many, order, bytes), precondition_error,
                        "128 masks do not fit the type of the map, whose largest value is 127");
}
