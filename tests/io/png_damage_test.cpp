// What is no whole PNG is refused with the file's name and a reason; nothing a file holds may crash the reader.
#include <cambium/io/png.hpp>

#include "support/catch.hpp"
#include "support/png_bytes.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <string>

using namespace cambium;
using oracle::png_chunk;
using oracle::png_file;
using oracle::png_header;
using oracle::png_recipe;

namespace {

int shade(int y, int x, int c) { return (3 * y + 5 * x + c) % 2; }

/// Why a file is refused; "" if it is read.
std::string reason(bytes const& file)
{
  std::string const text = support::refusal([&] { static_cast<void>(parse_png(file, "folder/a.png")); });
  if (text.empty()) return "";
  REQUIRE(text.rfind("folder/a.png: ", 0) == 0);
  REQUIRE(text.size() > 16);
  return text.substr(14);
}

/// Small files of every kind.
std::vector<bytes> files()
{
  std::vector<bytes> all;
  for (bool const interlaced : {false, true}) {
    all.push_back(png_file({5, 6, 1, 3, interlaced, {0, 0, 0, 255, 0, 0}}, shade));
    all.push_back(png_file({5, 6, 4, 0, interlaced, {}}, shade));
    all.push_back(png_file({4, 3, 16, 6, interlaced, {}}, shade));
  }
  grid<std::int32_t, 2> labels(12, 9);
  labels(3, 4) = 1;
  all.push_back(format_labels(labels, {{0, 0, 0}, {128, 0, 0}}));
  return all;
}

/// A PNG packed as well as deflate can. Rows are read from the samples, as often as there are rows.
bytes packed_png(bytes const& samples, int height, int width, int depth, int colour, bool interlaced)
{
  bytes out;
  auto* png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  auto* info = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep data, png_size_t n) {
        auto* const to = static_cast<bytes*>(png_get_io_ptr(p));
        to->insert(to->end(), data, data + n);
      },
      nullptr);
  png_set_compression_level(png, 9);
  png_set_filter(png, 0, PNG_FILTER_NONE);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, colour,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int pass = png_set_interlace_handling(png); pass > 0; --pass)
    for (int y = 0; y < height; ++y) png_write_row(png, samples.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

bytes joined(std::vector<bytes> const& parts)
{
  bytes out;
  for (auto const& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

}  // namespace

TEST_CASE("a PNG cut anywhere is refused", "[io][errors]")
{
  for (auto const& file : files()) {
    REQUIRE(reason(file) == "");
    for (std::size_t n = 0; n < file.size(); ++n) {
      CAPTURE(n, file.size());
      REQUIRE(reason(bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n))) != "");
    }
    CHECK(reason(bytes(file.begin(), file.end() - 14)) == "truncated");
  }
  CHECK(reason({}) == "is empty");
}

TEST_CASE("a PNG with bytes flipped never crashes", "[io][errors]")
{
  std::mt19937 bits(9);
  int refused = 0, trials = 0;
  for (auto const& sound : files())
    for (int trial = 0; trial < 700; ++trial, ++trials) {
      auto file = sound;
      for (auto flips = 1 + bits() % 4; flips > 0; --flips)
        file[bits() % file.size()] = static_cast<unsigned char>(bits());
      refused += reason(file) != "";
    }
  CHECK(refused > trials / 2);  // check sums see most of it
}

TEST_CASE("damage behind the check sums never crashes", "[io][errors]")
{
  // Chunks whose sums are right around content that is not.
  std::mt19937 bits(10);
  for (int trial = 0; trial < 4000; ++trial) {
    auto const random = [&](std::size_t n) {
      bytes out(n);
      for (auto& b : out) b = static_cast<unsigned char>(bits() % 7 == 0 ? bits() : bits() % 9);
      return out;
    };
    bytes ihdr = random(13);
    ihdr[0] = ihdr[1] = ihdr[2] = ihdr[4] = ihdr[5] = ihdr[6] = 0;
    auto stream = oracle::zlib_stored(random(bits() % 300));
    if (bits() % 2 == 0) stream[bits() % stream.size()] = static_cast<unsigned char>(bits());
    auto const header = png_header({});
    static_cast<void>(reason(joined({bytes(header.begin(), header.begin() + 8), png_chunk("IHDR", ihdr),
                                     png_chunk("PLTE", random(bits() % 10)), png_chunk("tRNS", random(bits() % 8)),
                                     png_chunk("IDAT", stream), png_chunk("IEND", {})})));
  }
  SUCCEED("still here");
}

TEST_CASE("other files are no PNG", "[io][errors]")
{
  CHECK(reason({0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F'}) == "is not a PNG file");
  CHECK(reason(bytes(3, 0x89)) == "is not a PNG file");
  CHECK(reason(bytes(1000, 0)) == "is not a PNG file");
}

TEST_CASE("a header that claims more than the file can hold is refused", "[io][errors]")
{
  auto const of_size = [](int height, int width) {
    return joined({png_header({height, width, 8, 6, false, {}}), png_chunk("IDAT", oracle::zlib_stored({0, 0})),
                   png_chunk("IEND", {})});
  };
  CHECK(reason(of_size(46341, 46341)).find("2^31 pixels") != std::string::npos);
  CHECK(reason(of_size(0x7fffffff, 0x7fffffff)).find("2^31 pixels") != std::string::npos);
  CHECK(reason(of_size(40000, 40000)).find("too small for the size it claims") != std::string::npos);
  auto large = joined(
      {png_header({40000, 30000, 8, 6, false, {}}), png_chunk("IDAT", bytes(4700000, 0)), png_chunk("IEND", {})});
  CHECK(reason(large) == "an image of 40000 x 30000 would take 4.8 GB of memory; 4 GB are allowed");
  large.resize(4000000);
  CHECK(reason(large) == "too small for the size it claims");
  png_image_data flat;  // as if it had been read
  flat.height = 1 << 16, flat.width = 1 << 15, flat.channels = 1;
  CAMBIUM_THROWS_SAYING(to_labels(flat, "a/f"), io_error,
                        "a/f: a label map of 65536 x 32768 would take more than 4 GB");
  CHECK(reason(of_size(0, 5)) != "");
  CHECK(reason(of_size(5, 0)) != "");
  CHECK(reason(of_size(-1, 5)) != "");
}

TEST_CASE("maps that are blank are read, however well they are packed", "[io][property]")
{
  bytes const zeros(4 * 3000 * 3000, 0);
  auto const blank = [&](int depth, int channels, bool interlaced) {
    return packed_png(zeros, 3000, 3000, depth, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGBA, interlaced);
  };
  for (bool const interlaced : {false, true})
    for (int const depth : {1, 2, 4, 8}) {
      CAPTURE(depth, interlaced);
      auto const map = to_labels(parse_png(blank(depth, 1, interlaced), "f"), "f");
      CHECK(map.shape() == std::array<index_t, 2>{3000, 3000});
      CHECK(std::count(map.cells().begin(), map.cells().end(), 0) == 9000000);
    }
  CHECK(parse_png(blank(8, 4, false), "f").samples == zeros);
  auto const large = packed_png(bytes(1500, 0), 12000, 12000, 1, PNG_COLOR_TYPE_GRAY, false);
  CHECK(large.size() < 12000 * 12000 / 8192 + 100);  // 8192 pixels a byte
  CHECK(parse_png(large, "f").samples.size() == 144000000);
}

TEST_CASE("missing and misplaced chunks are refused", "[io][errors]")
{
  auto const header = png_header({1, 1, 8, 3, false, {}});
  auto const data = png_chunk("IDAT", oracle::zlib_stored({0, 0})), end = png_chunk("IEND", {});
  auto const palette = png_chunk("PLTE", {1, 2, 3});
  CHECK(reason(joined({header, palette, data, end})) == "");
  CHECK(reason(joined({header, data, end})) != "");               // indices without a palette
  CHECK(reason(joined({header, palette, end})) != "");            // no cells
  CHECK(reason(joined({header, palette, data})) == "truncated");  // no end
  auto wrong_sum = data;
  wrong_sum.back() = static_cast<unsigned char>(wrong_sum.back() ^ 1);
  CHECK(reason(joined({header, palette, wrong_sum, end})) != "");
}

TEST_CASE("an index beyond the palette is a label, but no colour", "[io][errors]")
{
  auto const image = parse_png(png_file({1, 3, 8, 3, false, {9, 9, 9}}, [](int, int x, int) { return x; }), "f");
  CHECK(to_labels(image, "f")(0, 2) == 2);
  CAMBIUM_THROWS_SAYING(to_photograph(image, "a/f"), io_error, "a/f: an index lies outside its palette");
}
