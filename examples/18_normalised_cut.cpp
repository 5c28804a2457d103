// 18  Normalised cut: objects without any label.
//
// A vision transformer gives each patch of an image a vector of features, its key. Patches of one thing have keys in
// similar directions. mask_cut divides the patches where they are least alike, takes the side that is an object, and
// starts again with the rest (MaskCut). Here the features are drawn: three things before a background, with noise.
//
//   $ ./18_normalised_cut
//
// Next: 20_gpu, or label --method cut for a folder of features.

#include <cambium/pipeline/mask_cut.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>

using namespace cambium;

int main()
{
  char const* const picture[] = {
      "....................",  //
      "..aaaa......bbbbbb..",  //
      "..aaaaa.....bbbbbb..",  //
      "..aaaaa.....bbbbbb..",  //
      "...aaa......bbbbbb..",  //
      "....................",  //
      "......ccccccc.......",  //
      "......ccccccc.......",  //
      "....................",  //
  };
  index_t const D = 16, H = 9, W = 20;
  std::uint32_t bits = 1;
  auto const noise = [&] { return static_cast<float>((bits = bits * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1; };
  grid<float, 2> direction(4, D);  // of the background and of each thing
  for (float& v : direction.cells()) v = noise();
  grid<float, 3> features(D, H, W);
  for (index_t k = 0; k < D; ++k)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        char const thing = picture[y][x];
        features(k, y, x) = direction(thing == '.' ? 0 : thing - 'a' + 1, k) + 0.5f * noise();
      }

  auto const found = mask_cut(cpu{}, features, {.tau = 0.4});

  auto const masks = unpack_masks(cpu{}, found.masks);
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x) {
      char cell = '.';
      for (index_t p = 0; p < found.masks.size(); ++p)
        if (masks(p, y, x) != 0) cell = static_cast<char>('1' + p);
      std::putchar(cell);
    }
    std::putchar('\n');
  }
  for (auto const& pass : found.passes)
    std::printf("lambda %.4f, cost of the cut %.4f, %s\n", pass.mode.value, pass.cost,
                !pass.mode.cuts ? "cuts nothing"
                : pass.accepted ? "accepted"
                                : "rejected");
}
