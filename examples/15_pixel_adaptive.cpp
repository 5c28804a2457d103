// 15  Pixel-adaptive refinement: masks spread over pixels of similar colour, and stop where the colour changes.
//
// The image has a bright square on a dark ground. A mask marks a corner of the square, as a CAM does, and leaks beside
// it; another mask marks the ground. Ten times every pixel of a mask becomes the weighted sum of its neighbours, in
// eight directions at several distances. Neighbours of similar colour weigh most. PAR's weights sum to 1.01, PAMR's to
// 1. The masks may be smaller than the image.
//
//   $ ./15_pixel_adaptive
//
// Next: 20_gpu, or the pages in docs/.

#include <cambium/pipeline/pixel_adaptive.hpp>

#include <cstdio>

using namespace cambium;

static void draw(char const* title, grid<float, 3> const& masks)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < masks.shape()[1]; ++y) {
    for (index_t x = 0; x < masks.shape()[2]; ++x) std::putchar(masks(1, y, x) > masks(0, y, x) ? '#' : '.');
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 16, W = 32;
  grid<float, 3> image(3, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const square = 4 <= y && y < 12 && 10 <= x && x < 24;
      for (index_t c = 0; c < 3; ++c) image(c, y, x) = square ? 180.f : 40.f;
    }
  grid<float, 3> masks(2, 8, 16);  // ground, object; at half the size of the image
  for (index_t y = 0; y < 8; ++y)
    for (index_t x = 0; x < 16; ++x) {
      masks(1, y, x) = 1 <= y && y < 5 && 4 <= x && x < 9 ? 1.f : 0.f;
      masks(0, y, x) = 0.4f;
    }

  draw("a mask, resized", par(cpu{}, image, masks, {.steps = 0}));
  draw("after ten steps of PAR", par(cpu{}, image, masks));
  draw("after ten steps of PAMR", pamr(cpu{}, image, masks));

  auto const grown = par(cpu{}, image, masks), kept = par(cpu{}, image, masks, {.normalise = true});
  std::printf("the ground of 0.400 is %.3f after PAR, and %.3f if weights are normalised\n",
              static_cast<double>(grown(0, 8, 8)), static_cast<double>(kept(0, 8, 8)));
}
