#include <cambium/io/mask_runs.hpp>

#include "support/catch.hpp"
#include "support/random_masks.hpp"

using namespace cambium;

TEST_CASE("run lengths become the masks of their cells, and back", "[io][reference]")
{
  auto const [H, W] =
      GENERATE(table<int, int>({{1, 1}, {1, 63}, {5, 64}, {7, 65}, {20, 31}, {33, 130}, {17, 1}, {0, 3}, {3, 0}}));
  auto const N = GENERATE(0, 1, 25);
  CAPTURE(N, H, W);
  auto const cells = support::random_masks(N, H, W, 79);
  std::vector<rle> runs;
  for (int i = 0; i < N; ++i) runs.push_back(encode_rle(cells.view()[i]));
  auto const packed = pack_masks(cpu{}, cells);
  for (int threads : {1, 3}) {
    CHECK(pack_masks(cpu{.threads = threads}, runs, {H, W}) == packed);
    CHECK(encode_rle(cpu{.threads = threads}, packed) == runs);
  }
  for (int i = 0; i < N; ++i) CHECK(encode_rle(packed, i) == runs[i]);
}

TEST_CASE("run lengths with empty runs become the same masks", "[io][property]")
{
  rle const plain{2, 3, {1, 2, 3}}, odd{2, 3, {0, 0, 1, 1, 0, 1, 0, 0, 3, 0}};
  std::vector<rle> const runs{plain, odd};
  auto const masks = pack_masks(cpu{}, runs, {2, 3});
  CHECK(masks.masks(0).area == 2);
  CHECK(masks.masks(0).bounds == masks.masks(1).bounds);
  CHECK(encode_rle(masks, 1) == plain);
}

TEST_CASE("runs of another image are told by their place", "[io][errors]")
{
  std::vector<rle> runs{{2, 3, {6}}, {3, 2, {6}}};
  CAMBIUM_THROWS_SAYING(pack_masks(cpu{}, runs, {2, 3}), precondition_error,
                        "pack_masks: mask 1 is 3 x 2, but the image 2 x 3");
  runs[1] = {2, 3, {5}};
  CAMBIUM_THROWS_SAYING(pack_masks(cpu{}, runs, {2, 3}), precondition_error,
                        "pack_masks: mask 1: the counts end 1 pixels before the end");
  auto const none = pack_masks(cpu{}, std::vector<rle>{}, {2, 3});
  CAMBIUM_THROWS_SAYING(encode_rle(none, 0), precondition_error, "encode_rle: mask 0 of 0");
  CAMBIUM_THROWS_SAYING(pack_masks(cpu{}, runs, {-1, 3}), precondition_error, "an image of -1 x 3");
}
