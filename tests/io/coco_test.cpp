#include <cambium/io/coco.hpp>

#include "support/catch.hpp"

#include <numeric>
#include <random>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// Oracle: the mask written down column by column, then counted.
std::vector<index_t> count_runs(index_t H, index_t W, std::vector<char> const& mask)
{
  std::string columns;
  for (index_t x = 0; x < W; ++x)
    for (index_t y = 0; y < H; ++y) columns += mask[static_cast<std::size_t>(y * W + x)] ? '1' : '0';
  std::vector<index_t> counts{0};
  char expected = '0';
  for (char const c : columns) {
    if (c != expected) counts.push_back(0), expected = c;
    ++counts.back();
  }
  return counts;
}

/// Oracle: the counts of a text, by the format's description: characters from '0' carry five bits each, lowest first,
/// the sixth says that more follow, the fifth of the last one is the sign; from the fourth count on differences.
std::vector<index_t> decode(std::string const& text)
{
  std::vector<index_t> counts;
  for (std::size_t at = 0; at < text.size();) {
    index_t value = 0, weight = 1;
    int six;
    do {
      six = text.at(at++) - '0';
      REQUIRE((0 <= six && six < 64));
      value += (six % 32) * weight;
      weight *= 32;
    } while (six >= 32);
    if (six % 32 >= 16) value -= weight;
    if (counts.size() > 2) value += counts[counts.size() - 2];
    counts.push_back(value);
  }
  return counts;
}

rle encode(index_t H, index_t W, box bounds, std::vector<char> const& mask)
{
  return encode_rle({H, W}, bounds,
                    [&](index_t y, index_t x) { return mask[static_cast<std::size_t>(y * W + x)] != 0; });
}

}  // namespace

TEST_CASE("encode_rle counts columns", "[io][reference]")
{
  std::mt19937 bits(7);
  int const density = GENERATE(0, 1, 5, 9, 10);  // tenths
  for (int trial = 0; trial < 600; ++trial) {
    index_t const H = 1 + bits() % 9, W = 1 + bits() % 9;
    box b;
    b.top = bits() % (H + 1), b.bottom = b.top + bits() % (H - b.top + 1);
    b.left = bits() % (W + 1), b.right = b.left + bits() % (W - b.left + 1);
    std::vector<char> mask(static_cast<std::size_t>(H * W), 0);
    index_t area = 0;
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x) {
        bool const inside = static_cast<int>(bits() % 10) < density;
        mask[static_cast<std::size_t>(y * W + x)] = inside;
        area += inside;
      }
    CAPTURE(H, W, b.top, b.left, b.bottom, b.right);
    auto const tight = encode(H, W, b, mask), wide = encode(H, W, {0, 0, H, W}, mask);
    REQUIRE(tight.counts == count_runs(H, W, mask));
    REQUIRE(wide.counts == tight.counts);  // how close the box lies does not matter
    REQUIRE(tight.area() == area);
    REQUIRE((tight.height == H && tight.width == W));
    REQUIRE(decode(compressed_counts(tight)) == tight.counts);
  }
}

TEST_CASE("encode_rle asks for no cell outside the box", "[io][property]")
{
  box const b{2, 3, 5, 7};
  index_t asked = 0;
  auto const mask = encode_rle({9, 8}, b, [&](index_t y, index_t x) {
    CHECK((2 <= y && y < 5 && 3 <= x && x < 7));
    return ++asked > 0;
  });
  CHECK(asked == 12);
  CHECK(mask.area() == 12);
}

TEST_CASE("runs, drawn", "[io][picture]")
{
  // . # #
  // # . #
  auto const mask = encode(2, 3, {0, 0, 2, 3}, {0, 1, 1, 1, 0, 1});
  CHECK(mask.counts == std::vector<index_t>{1, 2, 1, 2});
  CHECK(encode(2, 2, {0, 0, 2, 2}, {1, 1, 1, 1}).counts == std::vector<index_t>{0, 4});
  CHECK(encode(2, 2, {0, 0, 2, 2}, {0, 0, 0, 0}).counts == std::vector<index_t>{4});
  CHECK(encode(2, 2, {}, {0, 0, 0, 0}).counts == std::vector<index_t>{4});
  CHECK(encode(2, 2, {0, 0, 2, 1}, {1, 0, 1, 0}).counts == std::vector<index_t>{0, 2, 2});
  CHECK(encode(2, 2, {0, 1, 2, 2}, {0, 1, 0, 1}).counts == std::vector<index_t>{2, 2});
  CHECK(encode(0, 0, {}, {}).area() == 0);
  CHECK(rle{2, 2, {}}.area() == 0);
}

TEST_CASE("compressed counts, by hand", "[io][reference]")
{
  auto const text = [](std::vector<index_t> const& counts) { return compressed_counts({0, 0, counts}); };
  CHECK(text({}) == "");
  CHECK(text({0}) == "0");
  CHECK(text({15}) == "?");   // the largest that leaves the sign bit alone
  CHECK(text({16}) == "`0");  // 16 would read as -16: a second character follows
  CHECK(text({31}) == "o0");
  CHECK(text({32}) == "P1");
  CHECK(text({1000}) == "Xo0");
  CHECK(text({4}) == "4");
  CHECK(text({0, 4}) == "04");
  CHECK(text({1, 2, 1, 2}) == "1210");                           // the fourth count as its difference to the second
  CHECK(text({6, 1, 40, 4, 5, 4, 5, 4, 21}) == "61X13mN000`0");  // a mask of 9 x 10, as the COCO API writes it
  CHECK(text({5, 9, 7, 3}) == "597J");                           // 3 - 9 = -6
}

TEST_CASE("compressed counts come back, whatever their size", "[io][property]")
{
  std::mt19937_64 bits(11);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<index_t> counts(1 + bits() % 12);
    for (auto& c : counts) c = static_cast<index_t>(bits() >> (20 + bits() % 44));
    auto const text = compressed_counts({0, 0, counts});
    for (char const c : text) REQUIRE(('0' <= c && c < '0' + 64));
    REQUIRE(decode(text) == counts);
  }
}

TEST_CASE("a box outside its image is refused", "[io][errors]")
{
  auto const all = [](index_t, index_t) { return true; };
  for (box const b :
       {box{0, 0, 4, 3}, box{0, 0, 3, 5}, box{-1, 0, 3, 3}, box{0, -1, 3, 3}, box{2, 0, 1, 3}, box{0, 3, 3, 2}})
    CAMBIUM_THROWS_SAYING(encode_rle({3, 4}, b, all), precondition_error, "leaves the image of 3 x 4");
}
