// 16  Box losses: a mask from a box, by gradient descent alone.
//
// A dark disc lies on a light ground. Nothing is known but its box. Two losses of BoxInst see the logits of a mask. The
// projection asks that the mask touches all four sides of the box and nothing outside. The pairwise loss asks
// neighbours of similar colour for equal labels. The logits begin as the box, surest in its middle. Steps against the
// gradient turn it into the disc.
//
// The same photograph's minimum spanning tree then smooths a wrong mask: a filter along the tree averages cells that no
// edge separates.
//
//   $ ./16_box_losses

#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/lab.hpp>
#include <cambium/loss/pairwise.hpp>
#include <cambium/walk/minimum_tree.hpp>
#include <cambium/walk/tree_filter.hpp>

#include <cmath>
#include <cstdio>

using namespace cambium;

template <class Inside>
static void draw(char const* title, index_t H, index_t W, Inside const& inside)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x) std::putchar(inside(y, x) ? '#' : '.');
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 14, W = 26;
  grid<std::uint8_t, 3> photograph(H, W, 3);
  auto const on_disc = [](index_t y, index_t x) {
    return std::hypot(static_cast<double>(y) - 6.5, (static_cast<double>(x) - 12.5) / 1.8) < 5;
  };
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (index_t c = 0; c < 3; ++c)
        photograph(y, x, c) = static_cast<std::uint8_t>((on_disc(y, x) ? 60 : 190) + (y * 7 + x * 5 + c) % 4);

  grid<boxed_instance, 1> boxes(1);
  boxes(0).cells = sampled_box({4, 2, 21, 11}, 1, H, W);  // x1, y1, x2, y2 of the disc; one pixel per cell
  grid<std::uint8_t, 2> counts(H, W);
  std::fill(counts.cells().begin(), counts.cells().end(), std::uint8_t{1});
  pairwise_options options{.dilation = 1};
  auto const pairs = similar_pairs(cpu{}, lab_colours(cpu{}, photograph), counts, options);

  grid<double, 3> logits(1, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)  // the box, surest in its middle
      logits(0, y, x) = holds_cell(boxes(0).cells, y, x)
                            ? 0.5 - 0.06 * std::hypot(static_cast<double>(y) - 6.5, static_cast<double>(x) - 12.5)
                            : -1;
  draw("the beginning", H, W, [&](index_t y, index_t x) { return logits(0, y, x) > 0; });
  for (index_t step = 1; step <= 400; ++step) {
    options.warm = pairwise_warm_up(step, 100);
    auto const projection = box_projection_loss(cpu{}, logits, boxes);
    auto const pairwise = pairwise_loss(cpu{}, logits, boxes, as_batch(pairs.view()), options);
    if (step == 1 || step % 100 == 0)
      std::printf("step %3d: projection %.3f, pairwise %.3f\n", static_cast<int>(step), projection.value,
                  pairwise.value);
    for (index_t i = 0; i < logits.size(); ++i)
      logits.data()[i] -= 20 * (projection.gradient.data()[i] + pairwise.gradient.data()[i]);
  }
  draw("the mask", H, W, [&](index_t y, index_t x) { return logits(0, y, x) > 0; });

  grid<float, 3> guide(3, H, W), wrong(1, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      wrong(0, y, x) = (on_disc(y, x) && x < 14) || (y < 3 && x > 22) ? 1.f : 0.f;  // half of the disc, and a corner
      for (index_t c = 0; c < 3; ++c) guide(c, y, x) = static_cast<float>(photograph(y, x, c)) / 255;
    }
  draw("a wrong mask", H, W, [&](index_t y, index_t x) { return wrong(0, y, x) > 0.5f; });
  auto const tree = minimum_tree(cpu{}, guide);
  auto const smooth = tree_filter(cpu{}, wrong, tree, make_tree_weights(cpu{}, guide, tree));
  draw("filtered along the tree", H, W, [&](index_t y, index_t x) { return smooth(0, y, x) > 0.5f; });
}
