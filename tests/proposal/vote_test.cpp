#include <cambium/proposal/vote.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"
#include "support/random_masks.hpp"

#include <cmath>

using namespace cambium;
using support::random_masks;
using support::random_scores;

TEST_CASE("means over masks equal sums over cells", "[proposal][reference]")
{
  auto const N = GENERATE(0, 1, 13);
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {4, 64}, {9, 65}, {23, 140}}));
  auto const cells = random_masks(N, H, W, 71);
  auto const maps = support::uniform<float, 3>({3, H, W}, -1, 1, 73);
  auto const masks = pack_masks(cpu{}, cells);
  auto const have = mask_means(cpu{.threads = 3}, masks, maps);
  auto const votes = vote_by_maps(cpu{}, masks, maps, {.background = 0.01});
  REQUIRE(have.shape()[0] == N);
  for (int i = 0; i < N; ++i) {
    double best = 0.01;
    int winner = -1;
    for (int c = 0; c < 3; ++c) {
      double sum = 0;
      long n = 0;
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x)
          if (cells(i, y, x)) sum += static_cast<double>(maps(c, y, x)), ++n;
      double const mean = n > 0 ? sum / static_cast<double>(n) : 0;
      CHECK(have(i, c) == Approx(mean).margin(1e-12));
      if (have(i, c) > best) best = have(i, c), winner = c;
    }
    CHECK(votes[i].category == winner);
    if (winner >= 0) CHECK(votes[i].score == best);
  }
  CHECK(mask_means(cpu{.threads = 1}, masks, maps) == have);
}

TEST_CASE("labels vote by shares", "[proposal][picture]")
{
  auto const labels = support::picture<std::uint8_t>({"1122", "1102"});
  grid<std::uint8_t, 3> cells(4, 2, 4);
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 4; ++x) cells(0, y, x) = 1, cells(1, y, x) = x >= 2;
  cells(2, 1, 2) = 1;  // background alone; mask 3 has no cell
  auto const votes = vote_by_labels(cpu{}, pack_masks(cpu{}, cells), labels, 2);
  std::vector<mask_vote> const want{{0, .5}, {1, .75}, {-1, 0}, {-1, 0}};
  CHECK(votes == want);
  auto const strict = vote_by_labels(cpu{}, pack_masks(cpu{}, cells), labels, 2, {.background = .5});
  CHECK(strict[0].category == -1);
  CHECK(strict[1].category == 1);
  // A background below every share is not a vote for a class that has no cell.
  CHECK(vote_by_labels(cpu{}, pack_masks(cpu{}, cells), labels, 2, {.background = -1})[2].category == -1);
}

TEST_CASE("points choose masks that hold them", "[proposal][picture]")
{
  grid<std::uint8_t, 3> cells(4, 4, 6);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 6; ++x) {
      cells(0, y, x) = 1;
      cells(1, y, x) = x < 3;
      cells(2, y, x) = x < 3 && y < 2;
    }
  auto const masks = pack_masks(cpu{}, cells);
  std::vector<double> const scores{.5, .9, .6, 2};
  points const at{{0.4, 1.49, 0, 1}, {3, 5, 1, 1}};
  CHECK(choose_by_points(masks, scores, at) == std::vector<index_t>{1, 0});
  CHECK(choose_by_points(masks, scores, at, {.choice = point_choice::smallest}) == std::vector<index_t>{2, 0});
  CHECK(choose_by_points(masks, scores, at, {.choice = point_choice::largest}) == std::vector<index_t>{0, 0});
  CHECK(choose_by_points(masks, scores, at, {.choice = point_choice::largest, .alone = true}) ==
        std::vector<index_t>{1, -1});
  std::vector<double> const equal{1, 1, 1, 1};  // the smallest of equal ones
  CHECK(choose_by_points(masks, equal, at) == std::vector<index_t>{2, 0});
  CHECK(choose_by_points(masks, scores, points{}).empty());
  auto const throws = [&](double y, double x) {
    points const one{{y, x, 0, 1}};
    CAMBIUM_THROWS_SAYING(choose_by_points(masks, scores, one), precondition_error, "point 0 is at y ");
  };
  throws(3.5, 0), throws(-0.51, 0), throws(0, 5.5), throws(std::nan(""), 0), throws(0, HUGE_VAL);
}

TEST_CASE("boxes choose the mask whose box is nearest", "[proposal][picture]")
{
  grid<std::uint8_t, 3> cells(3, 6, 6);
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 6; ++x)
      cells(0, y, x) = y < 3, cells(1, y, x) = x < 4 && y < 4, cells(2, y, x) = x < 4 && y < 4;
  auto const masks = pack_masks(cpu{}, cells);
  std::vector<double> const scores{1, .3, .4};
  std::vector<box> const boxes{{0, 0, 3, 5}, {0, 0, 4, 4}, {5, 5, 6, 6}, {2, 2, 2, 2}};
  CHECK(choose_by_boxes(masks, scores, boxes) == std::vector<index_t>{0, 2, -1, -1});
  CHECK(choose_by_boxes(masks, scores, boxes, {.min_iou = 1}) == std::vector<index_t>{-1, 2, -1, -1});
  CHECK(choose_by_boxes(masks, scores, boxes, {.min_iou = 0}) == std::vector<index_t>{0, 2, -1, -1});
  std::vector<box> const swapped{{3, 0, 2, 5}};
  CAMBIUM_THROWS_SAYING(choose_by_boxes(masks, scores, swapped), precondition_error, "box 0 is 3,0 to 2,5");
  CAMBIUM_THROWS_SAYING(choose_by_boxes(masks, scores, boxes, {.min_iou = 2}), precondition_error, "min_iou is 2");
}

TEST_CASE("votes reject what they document", "[proposal][errors]")
{
  auto const masks = pack_masks(cpu{}, random_masks(2, 3, 4, 1));
  grid<float, 3> maps(2, 3, 4);
  std::vector<double> const one{1};
  CAMBIUM_THROWS_SAYING(mask_means(cpu{}, masks, grid<float, 3>(2, 3, 5)), precondition_error,
                        "mask_means: the maps are [2,3,5] but the masks are of an image of 3 x 4");
  CAMBIUM_THROWS_SAYING(vote_by_maps(cpu{}, masks, maps, {.background = std::nan("")}), precondition_error,
                        "background is nan");
  maps(1, 2, 3) = std::nanf("");
  CAMBIUM_THROWS_SAYING(vote_by_maps(cpu{}, masks, maps), precondition_error, "maps(1,2,3) is nan");
  CAMBIUM_THROWS_SAYING(vote_by_labels(cpu{}, masks, grid<int, 2>(2, 4), 3), precondition_error,
                        "the labels are [2,4] but the masks are of an image of 3 x 4");
  CAMBIUM_THROWS_SAYING(vote_by_labels(cpu{}, masks, grid<int, 2>(3, 4), -1), precondition_error, "classes is -1");
  CAMBIUM_THROWS_SAYING(choose_by_points(masks, one, points{}), precondition_error, "1 scores but 2 masks");
}
