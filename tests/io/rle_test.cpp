#include <cambium/io/rle.hpp>

#include "support/catch.hpp"
#include "support/runs.hpp"
#include "support/temporary.hpp"

#include <cambium/io/rle_masks.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;
using support::cells, support::cells_of, support::count_runs, support::noise, support::padded, support::runs_of;

namespace {

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

/// Anything that is not 0 is inside.
grid<std::uint8_t, 2> bytes_of(index_t H, index_t W, support::cells const& mask)
{
  grid<std::uint8_t, 2> out(H, W);
  for (index_t i = 0; i < H * W; ++i)
    out.data()[i] = mask[static_cast<std::size_t>(i)] ? static_cast<std::uint8_t>(1 + 37 * i % 255) : 0;
  return out;
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

TEST_CASE("masks of every width are encoded and come back", "[io][reference]")
{
  std::mt19937 bits(3);
  for (index_t const W : {1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200})
    for (index_t const H : {1, 2, 5, 17})
      for (int const tenths : {0, 1, 5, 9, 10}) {
        CAPTURE(H, W, tenths);
        auto const mask = noise(H, W, tenths, bits);
        auto const got = encode_rle(bytes_of(H, W, mask));
        REQUIRE(got == runs_of(H, W, mask));
        REQUIRE(cells_of(decode_rle(got)) == mask);
        REQUIRE(cells_of(decode_rle(padded(got, bits))) == mask);
        REQUIRE(parse_counts(compressed_counts(got), {H, W}, "m") == got);
      }
}

TEST_CASE("a mask of another type and with gaps between its rows", "[io][reference]")
{
  std::mt19937 bits(4);
  index_t const H = 9, W = 70;
  auto const mask = noise(H, W, 5, bits);
  grid<float, 2> wide(H, W + 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) wide(y, x) = mask[static_cast<std::size_t>(y * W + x)] ? 0.25f : -0.f;
  view<float const, 2> part = wide.view();
  part.extent[1] = W;
  CHECK(encode_rle(part) == runs_of(H, W, mask));
}

TEST_CASE("masks without cells", "[io][reference]")
{
  for (auto const& [H, W] : {std::pair<index_t, index_t>{0, 0}, {0, 5}, {5, 0}}) {
    auto const none = encode_rle(grid<std::uint8_t, 2>(H, W));
    CHECK(none.counts == std::vector<index_t>{0});
    CHECK(decode_rle(none).size() == 0);
    CHECK(bounds_of(none) == box{});
    CHECK(rle_iou({none}, {none})(0, 0) == 0);
    CHECK(rle_of_box({H, W}, 0, 0, 3, 3).area() == 0);
  }
  CHECK(decode_rle({0, 3, {}}).size() == 0);
}

TEST_CASE("runs of columns, areas and boxes", "[io][reference]")
{
  std::mt19937 bits(5);
  for (int trial = 0; trial < 1500; ++trial) {
    index_t const H = 1 + bits() % 7, W = 1 + bits() % 7;
    auto const mask = noise(H, W, static_cast<int>(bits() % 11), bits);
    auto const runs = padded(runs_of(H, W, mask), bits);
    cells drawn(mask.size(), 0);
    index_t last = -1;
    for_each_column_run(runs, [&](index_t x, index_t top, index_t bottom) {
      REQUIRE((0 <= top && top < bottom && bottom <= H && 0 <= x && x < W && x * H + top > last));
      last = x * H + bottom - 1;
      for (index_t y = top; y < bottom; ++y) drawn[static_cast<std::size_t>(y * W + x)] = 1;
    });
    REQUIRE(drawn == mask);
    box want{};
    index_t area = 0;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        if (mask[static_cast<std::size_t>(y * W + x)]) {
          if (area++ == 0) want = {y, x, y + 1, x + 1};
          want = {std::min(want.top, y), std::min(want.left, x), std::max(want.bottom, y + 1),
                  std::max(want.right, x + 1)};
        }
    REQUIRE(bounds_of(runs) == want);
    REQUIRE(runs.area() == area);
  }
}

TEST_CASE("damaged texts are refused", "[io][errors]")
{
  auto const parse = [](std::string const& text) { return parse_counts(text, {2, 2}, "a.json: counts"); };
  CHECK(parse("121").counts == std::vector<index_t>{1, 2, 1});
  CAMBIUM_THROWS_SAYING(parse("12~"), io_error, "a.json: counts: character 2 is not one of '0' to 'o'");
  CAMBIUM_THROWS_SAYING(parse("1 2"), io_error, "character 1 is not one of");
  CAMBIUM_THROWS_SAYING(parse("12P"), io_error, "ends inside a count");
  CAMBIUM_THROWS_SAYING(parse("J4"), io_error, "count 0 is -6");
  CAMBIUM_THROWS_SAYING(parse("14"), io_error, "count 1 runs past the end of an image of 2 x 2");
  CAMBIUM_THROWS_SAYING(parse("12"), io_error, "the counts end 1 pixels before the end");
  CAMBIUM_THROWS_SAYING(parse(""), io_error, "the counts end 4 pixels before the end");
  CAMBIUM_THROWS_SAYING(parse("oooooooooooooo0"), io_error, "is too long");
  std::mt19937 bits(12);
  int read = 0;
  for (int trial = 0; trial < 100000; ++trial) {  // never anything but an answer or an io_error
    std::string text;
    for (std::size_t n = bits() % 6; n > 0; --n) text += static_cast<char>('/' + bits() % 66);
    std::string const why = support::refusal([&] {
      auto const mask = parse(text);
      REQUIRE(mask.area() <= 4);
    });
    read += why.empty();
  }
  CHECK(read > 100);
}

TEST_CASE("run lengths that do not fit are refused", "[io][errors]")
{
  CAMBIUM_THROWS_SAYING(decode_rle({2, 2, {1, -1, 4}}), precondition_error, "decode_rle: count 1 is -1");
  CAMBIUM_THROWS_SAYING(decode_rle({2, 2, {1, 2}}), precondition_error,
                        "the counts end 1 pixels before the end of an image of 2 x 2");
  CAMBIUM_THROWS_SAYING(decode_rle({2, 2, {1, 4}}), precondition_error,
                        "count 1 runs past the end of an image of 2 x 2");
  index_t const huge = std::numeric_limits<index_t>::max();
  CAMBIUM_THROWS_SAYING(bounds_of({2, 2, {huge, huge}}), precondition_error, "bounds_of: count 0 runs past the end");
  CAMBIUM_THROWS_SAYING(bounds_of({huge, 3, {3}}), precondition_error, "bounds_of: an image of");
  CAMBIUM_THROWS_SAYING(decode_rle({-1, 3, {3}}), precondition_error, "an image of -1 x 3");
}

TEST_CASE("counts that are Python's bytes as text are named", "[io][errors]")
{
  for (auto const text : {"b'06'", "b\"06\""})
    CAMBIUM_THROWS_SAYING(parse_counts(text, {2, 3}, "m"), io_error,
                          "m: character 1 is not one of '0' to 'o'; these are Python's bytes written with str(): write "
                          "counts.decode()");
  CHECK(support::refusal([] { static_cast<void>(parse_counts("0!", {2, 3}, "m")); }) ==
        "m: character 1 is not one of '0' to 'o'");
}
