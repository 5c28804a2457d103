// What is no whole PNG is refused with the file's name and a reason; nothing a file holds may crash the reader.
#include <cambium/io/png.hpp>

#include "support/catch.hpp"
#include "support/png_bytes.hpp"
#include "support/temporary.hpp"

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
  CHECK(reason(of_size(0, 5)) != "");
  CHECK(reason(of_size(5, 0)) != "");
  CHECK(reason(of_size(-1, 5)) != "");
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
