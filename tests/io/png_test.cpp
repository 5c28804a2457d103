#include <cambium/io/png.hpp>

#include "support/catch.hpp"
#include "support/png_bytes.hpp"
#include "support/random.hpp"
#include "support/temporary.hpp"

#include <cstring>
#include <string>

using namespace cambium;
using oracle::png_file;
using oracle::png_recipe;

namespace {

/// Any value of that many bits, another one for every sample.
struct pattern {
  int depth;
  int operator()(int y, int x, int c) const { return (y * 7919 + x * 104729 + c * 1299709 + 13) % (1 << depth); }
};

int sample_of(png_image_data const& image, int y, int x, int c)
{
  auto const at = static_cast<std::size_t>((y * image.width + x) * image.channels + c);
  if (image.depth == 8) return image.samples.at(at);
  std::uint16_t v;
  REQUIRE(2 * at + 2 <= image.samples.size());
  std::memcpy(&v, image.samples.data() + 2 * at, 2);
  return v;
}

oracle::bytes colours(int n)
{
  oracle::bytes out;
  for (int i = 0; i < 3 * n; ++i) out.push_back(static_cast<unsigned char>(5 * i + 1));
  return out;
}

}  // namespace

TEST_CASE("samples of every kind are read as they are", "[io][reference]")
{
  int const type = GENERATE(0, 2, 3, 4, 6), depth = GENERATE(1, 2, 4, 8, 16);
  bool const interlaced = GENERATE(false, true);
  if (depth < 8 && type != 0 && type != 3) return;  // PNG knows no such images
  if (depth > 8 && type == 3) return;
  for (int height = 1; height <= 9; ++height)
    for (int width = 1; width <= 9; ++width) {
      png_recipe r{height, width, depth, type, interlaced, {}};
      if (type == 3) r.palette = colours(1 << depth);
      CAPTURE(type, depth, interlaced, height, width);
      auto const image = parse_png(png_file(r, pattern{depth}), "f");
      REQUIRE((image.height == height && image.width == width && image.channels == r.channels()));
      REQUIRE(image.depth == (depth == 16 ? 16 : 8));
      REQUIRE(image.indexed == (type == 3));
      REQUIRE(image.palette.size() == r.palette.size() / 3);
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
          for (int c = 0; c < r.channels(); ++c) REQUIRE(sample_of(image, y, x, c) == pattern{depth}(y, x, c));
    }
}

TEST_CASE("the palette is kept", "[io][reference]")
{
  auto const image = parse_png(png_file({1, 2, 4, 3, false, colours(3)}, [](int, int x, int) { return x; }), "f");
  REQUIRE(image.palette.size() == 3);
  CHECK(image.palette[0] == rgb{1, 6, 11});
  CHECK(image.palette[2] == rgb{31, 36, 41});
}

TEST_CASE("label maps are indices or grey values", "[io][reference]")
{
  for (auto const& [type, depth] : {std::pair{0, 1}, {0, 8}, {0, 16}, {3, 1}, {3, 2}, {3, 4}, {3, 8}}) {
    png_recipe r{5, 7, depth, type, true, {}};
    if (type == 3) r.palette = colours(1 << depth);
    auto const labels = to_labels(parse_png(png_file(r, pattern{depth}), "f"), "f");
    CHECK(labels.shape() == std::array<index_t, 2>{5, 7});
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 7; ++x) REQUIRE(labels(y, x) == pattern{depth}(y, x, 0));
  }
  for (int const type : {2, 4, 6})
    CAMBIUM_THROWS_SAYING(to_labels(parse_png(png_file({2, 2, 8, type, false, {}}, pattern{8}), "f"), "a/f"), io_error,
                          "a/f: is a colour image");
}

TEST_CASE("photographs are RGB, whatever the file", "[io][reference]")
{
  auto const read = [](png_recipe const& r) {
    return to_photograph(parse_png(png_file(r, pattern{r.depth}), "f"), "f");
  };
  for (int const depth : {8, 16})
    for (int const type : {0, 2, 4, 6}) {
      auto const image = read({3, 4, depth, type, false, {}});
      CHECK(image.shape() == std::array<index_t, 3>{3, 4, 3});
      for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 4; ++x)
          for (int c = 0; c < 3; ++c)  // grey is repeated, alpha dropped, of 16 bits the upper 8 stay
            REQUIRE(image(y, x, c) == pattern{depth}(y, x, type == 2 || type == 6 ? c : 0) >> (depth - 8));
    }
  auto const palette = colours(16);
  auto const image = read({3, 4, 4, 3, false, palette});
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 4; ++x)
      for (int c = 0; c < 3; ++c)
        REQUIRE(image(y, x, c) == palette[static_cast<std::size_t>(3 * pattern{4}(y, x, 0) + c)]);
}

TEST_CASE("white is white in a photograph of few greys", "[io][reference]")
{
  for (int const depth : {1, 2, 4}) {
    CAPTURE(depth);
    int const most = (1 << depth) - 1;
    auto const image = to_photograph(
        parse_png(png_file({1, 2, depth, 0, false, {}}, [&](int, int x, int) { return x * most; }), "f"), "f");
    CHECK(image(0, 0, 0) == 0);
    CHECK(image(0, 1, 0) == 255);
    CHECK(image(0, 1, 2) == 255);
  }
}

TEST_CASE("the colour map of VOC", "[io][reference]")
{
  auto const map = voc_palette();
  REQUIRE(map.size() == 256);
  CHECK(map[0] == rgb{0, 0, 0});
  CHECK(map[1] == rgb{128, 0, 0});        // aeroplane
  CHECK(map[2] == rgb{0, 128, 0});        // bicycle
  CHECK(map[7] == rgb{128, 128, 128});    // car
  CHECK(map[8] == rgb{64, 0, 0});         // cat
  CHECK(map[15] == rgb{192, 128, 128});   // person
  CHECK(map[20] == rgb{0, 64, 128});      // tv monitor
  CHECK(map[255] == rgb{224, 224, 192});  // void
}

TEST_CASE("label maps are written as indices", "[io][property]")
{
  auto const wide = support::uniform<std::int32_t, 2>({9, 20}, 0, 255.99, 5);
  auto labels = wide.view();
  labels.extent[1] = 13;  // rows with a gap behind them
  auto const file = format_labels(labels, voc_palette());
  auto const image = parse_png(file, "f");
  CHECK((image.indexed && image.depth == 8 && image.palette == voc_palette()));
  auto const back = to_labels(image, "f");
  CHECK(back.shape() == std::array<index_t, 2>{9, 13});
  for (index_t y = 0; y < 9; ++y)
    for (index_t x = 0; x < 13; ++x) REQUIRE(back(y, x) == wide(y, x));
  CHECK(file[24] == 8);  // IHDR: bits, colour type
  CHECK(file[25] == 3);
  grid<std::uint8_t, 2> const bytes_too(2, 2);
  CHECK(to_labels(parse_png(format_labels(bytes_too, {{1, 2, 3}}), "f"), "f") == grid<std::int32_t, 2>(2, 2));
}

TEST_CASE("instance numbers are written with 16 bits", "[io][property]")
{
  auto ids = support::uniform<std::int32_t, 2>({7, 11}, 0, 65535.99, 6);
  ids(0, 0) = 65535, ids(0, 1) = 256, ids(0, 2) = 1, ids(0, 3) = 0;
  CHECK(to_labels(parse_png(format_ids(ids), "f"), "f") == ids);
}

TEST_CASE("regions of labels take few bytes and come back", "[io][property]")
{
  index_t const H = 300, W = 400;
  grid<std::int32_t, 2> regions(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      index_t const dy = y - 140, dx = x - 170;
      if (dy * dy + dx * dx < 90 * 90) regions(y, x) = 15;
      if (y > x) regions(y, x) += 3;
      if (x > 380 - y / 3) regions(y, x) = 200;
    }
  auto const labels = format_labels(regions, voc_palette()), ids = format_ids(regions);
  CHECK(to_labels(parse_png(labels, "f"), "f") == regions);
  CHECK(to_labels(parse_png(ids, "f"), "f") == regions);
  CHECK(labels.size() < 3000);  // the palette is 768 of them
  CHECK(ids.size() < 3000);
}

TEST_CASE("photographs are written as they are", "[io][property]")
{
  auto const image = support::uniform<std::uint8_t, 3>({6, 5, 3}, 0, 255.99, 7);
  CHECK(to_photograph(parse_png(format_photograph_png(image), "f"), "f") == image);
}

TEST_CASE("PNG files are read by name", "[io][reference]")
{
  support::temporary_folder const folder;
  grid<std::int32_t, 2> labels(2, 3);
  labels(1, 2) = 20;
  replace_file(folder / "a.png", format_labels(labels, voc_palette()));
  CHECK(read_labels(folder / "a.png") == labels);
  CHECK(read_png(folder / "a.png").indexed);
  replace_file(folder / "b.png", "no image");
  CAMBIUM_THROWS_SAYING(read_labels(folder / "b.png"), io_error, (folder / "b.png").string() + ": is not a PNG file");
  CAMBIUM_THROWS_SAYING(read_png(folder / "c.png"), io_error, (folder / "c.png").string() + ": ");
}

TEST_CASE("PNG writing rejects what it documents", "[io][errors]")
{
  grid<std::int32_t, 2> labels(2, 3);
  labels(1, 0) = 256;
  CAMBIUM_THROWS_SAYING(format_labels(labels, voc_palette()), precondition_error, "(1,0) is 256");
  labels(1, 0) = -1;
  CAMBIUM_THROWS_SAYING(format_labels(labels, voc_palette()), precondition_error, "(1,0) is -1");
  CAMBIUM_THROWS_SAYING(format_ids(labels), precondition_error, "(1,0) is -1, outside 0..65535");
  labels(1, 0) = 65536;
  CAMBIUM_THROWS_SAYING(format_ids(labels), precondition_error, "is 65536");
  labels(1, 0) = 2;
  CAMBIUM_THROWS_SAYING(format_labels(labels, {{0, 0, 0}, {1, 1, 1}}), precondition_error, "the palette has 2 colours");
  CAMBIUM_THROWS_SAYING(format_labels(labels, {}), precondition_error, "label(0,0) is 0 but the palette has 0 colours");
  labels(1, 0) = 0;
  CAMBIUM_THROWS_SAYING(format_labels(labels, std::vector<rgb>(257)), precondition_error, "a palette of 257 colours");
  CAMBIUM_THROWS_SAYING(format_labels(grid<int, 2>(0, 3), voc_palette()), precondition_error, "an image of 0 x 3");
  CAMBIUM_THROWS_SAYING(format_ids(grid<int, 2>(3, 0)), precondition_error, "an image of 3 x 0");
  grid<std::uint8_t, 3> const planes(3, 4, 5);
  CAMBIUM_THROWS_SAYING(format_photograph_png(planes), precondition_error, "[3,4,5] instead of [H,W,3]");
  grid<std::uint8_t, 3> image(4, 5, 3);
  auto window = image.view();
  window.extent[1] = 4;
  CAMBIUM_THROWS_SAYING(format_photograph_png(window), precondition_error, "without gaps");
}
