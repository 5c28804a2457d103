// 14  Mask proposals: masks without classes, and CAMs that know them.
//
// A model such as SAM proposes masks of everything: objects, their parts, the background. A CAM knows the class, but
// only marks a part of the object. Each mask takes the class whose mean score over it is largest. Of masks of one class
// that nearly agree the best one stays. Then the masks are painted into one map.
//
//   $ ./14_proposals
//
// Next: docs/label.md, "--method proposals".

#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/paint.hpp>
#include <cambium/proposal/pairwise.hpp>
#include <cambium/proposal/small_regions.hpp>
#include <cambium/proposal/vote.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace cambium;

static void draw(grid<std::int32_t, 2> const& map)
{
  for (index_t y = 0; y < map.shape()[0]; ++y) {
    for (index_t x = 0; x < map.shape()[1]; ++x)
      std::putchar(map(y, x) == 0 ? '.' : static_cast<char>('0' + map(y, x)));
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 14, W = 40;
  grid<std::uint8_t, 3> cells(5, H, W);
  grid<float, 3> cams(2, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const disc = [&](double cy, double cx, double r) {
        return std::hypot(static_cast<double>(y) - cy, (static_cast<double>(x) - cx) / 2) < r;
      };
      cells(0, y, x) = disc(7, 11, 5) && !disc(6, 9, 1);       // an object with a hole
      cells(1, y, x) = disc(7, 11, 4.5);                       // nearly the same
      cells(2, y, x) = disc(5, 17, 1.8);                       // a part of it
      cells(3, y, x) = disc(7, 30, 4) || (y == 0 && x == 39);  // another object, with a speck
      cells(4, y, x) = !disc(7, 11, 5) && !disc(7, 30, 4);     // what is left: the background
      cams(0, y, x) = disc(5, 10, 2.5) ? 0.9f : 0.f;           // class 1 sees the upper half
      cams(1, y, x) = disc(6, 31, 3) ? 0.8f : 0.f;
    }
  std::vector<double> const quality{0.9, 0.8, 0.7, 0.9, 0.95};

  cpu const where{};
  auto masks = pack_masks(where, cells);
  masks = remove_small_regions(where, masks, {.area = 6, .mode = small_regions::holes}).masks;
  masks = remove_small_regions(where, masks, {.area = 6, .mode = small_regions::islands}).masks;
  auto const iou = pairwise_iou(where, masks), inside = pairwise_containment(where, masks);
  std::printf("masks 0 and 1: IoU %.2f; %.0f %% of mask 2 lie in mask 0\n", iou(0, 1), 100 * inside(2, 0));

  auto const votes = vote_by_maps(where, masks, cams, {.background = 0.1});
  std::vector<std::int32_t> categories(5, -1);
  std::vector<double> scores(5, 0);
  for (std::size_t i = 0; i < 5; ++i) {
    categories[i] = votes[i].category, scores[i] = votes[i].score * quality[i];
    if (votes[i].category < 0)
      std::printf("mask %zu: background\n", i);
    else
      std::printf("mask %zu: class %d, score %.2f\n", i, votes[i].category + 1, scores[i]);
  }
  std::printf("kept:");
  std::vector<std::int32_t> painted(5, -1);
  for (index_t const i : mask_nms(where, masks, scores, {.threshold = 0.7}, categories)) {
    painted[static_cast<std::size_t>(i)] = categories[static_cast<std::size_t>(i)];
    if (painted[static_cast<std::size_t>(i)] >= 0) std::printf(" %lld", static_cast<long long>(i));
  }
  auto const found = paint_instances(where, masks, painted, scores);
  std::printf("\n%zu instances\n", found.found.size());
  draw(found.label);
}
