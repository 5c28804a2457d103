#include <cambium/io/rle.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
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

namespace {

using cells = std::vector<char>;

cells noise(index_t H, index_t W, int tenths, std::mt19937& bits)
{
  cells out(static_cast<std::size_t>(H * W));
  for (char& c : out) c = static_cast<int>(bits() % 10) < tenths;
  return out;
}

/// Anything that is not 0 is inside.
grid<std::uint8_t, 2> bytes_of(index_t H, index_t W, cells const& mask)
{
  grid<std::uint8_t, 2> out(H, W);
  for (index_t i = 0; i < H * W; ++i)
    out.data()[i] = mask[static_cast<std::size_t>(i)] ? static_cast<std::uint8_t>(1 + 37 * i % 255) : 0;
  return out;
}

cells cells_of(grid<std::uint8_t, 2> const& g) { return {g.cells().begin(), g.cells().end()}; }

rle runs_of(index_t H, index_t W, cells const& mask) { return {H, W, count_runs(H, W, mask)}; }

/// The same mask with empty runs put in.
rle padded(rle mask, std::mt19937& bits)
{
  std::vector<index_t> out;
  for (index_t const c : mask.counts) {
    out.push_back(c);
    if (bits() % 3 == 0 && c > 0) {
      index_t const part = bits() % (c + 1);
      out.back() = part;
      out.push_back(0);
      out.push_back(c - part);
    }
  }
  mask.counts = out;
  return mask;
}

}  // namespace

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

TEST_CASE("overlaps, cell by cell", "[io][reference]")
{
  std::mt19937 bits(6);
  for (int trial = 0; trial < 300; ++trial) {
    index_t const H = 1 + bits() % 8, W = 1 + bits() % 8;
    std::vector<cells> masks;
    std::vector<rle> first, second;
    for (int i = 0; i < 7; ++i) {
      masks.push_back(noise(H, W, static_cast<int>(bits() % 11), bits));
      (i < 4 ? first : second).push_back(padded(runs_of(H, W, masks.back()), bits));
    }
    std::vector<std::uint8_t> const crowd{0, 1, 0};
    auto const got = rle_iou(first, second, crowd);
    auto const plain = rle_iou(first, second);
    for (std::size_t d = 0; d < 4; ++d)
      for (std::size_t g = 0; g < 3; ++g) {
        double both = 0, either = 0, mine = 0;
        for (std::size_t i = 0; i < masks[0].size(); ++i) {
          both += masks[d][i] && masks[4 + g][i];
          either += masks[d][i] || masks[4 + g][i];
          mine += masks[d][i];
        }
        REQUIRE(plain(d, g) == (both == 0 ? 0 : both / either));
        REQUIRE(got(d, g) == (both == 0 ? 0 : both / (crowd[g] ? mine : either)));
      }
  }
}

TEST_CASE("unions and intersections, cell by cell", "[io][reference]")
{
  std::mt19937 bits(8);
  for (int trial = 0; trial < 600; ++trial) {
    index_t const H = 1 + bits() % 8, W = 1 + bits() % 8;
    std::size_t const n = 2 + bits() % 4;
    cells any(static_cast<std::size_t>(H * W), 0), all(any.size(), 1);
    std::vector<rle> masks;
    for (std::size_t i = 0; i < n; ++i) {
      auto const m = noise(H, W, static_cast<int>(bits() % 11), bits);
      for (std::size_t k = 0; k < m.size(); ++k) any[k] |= m[k], all[k] &= m[k];
      masks.push_back(padded(runs_of(H, W, m), bits));
    }
    REQUIRE(merge_rle(masks) == runs_of(H, W, any));
    REQUIRE(merge_rle(masks, merge::both) == runs_of(H, W, all));
    REQUIRE(merge_rle(std::span(masks).first(1)) == masks[0]);
  }
}

namespace {

/// Oracle: walk every fifth of a pixel along the outline; each time the walk passes the middle of a column, flip all
/// cells of that column from there down.
cells flood_below(index_t H, index_t W, std::vector<double> const& xy)
{
  cells out(static_cast<std::size_t>(H * W), 0);
  auto const n = xy.size() / 2;
  for (std::size_t i = 0; i < n; ++i) {
    int const x0 = static_cast<int>(5 * xy[2 * i] + .5), y0 = static_cast<int>(5 * xy[2 * i + 1] + .5);
    int const x1 = static_cast<int>(5 * xy[2 * ((i + 1) % n)] + .5),
              y1 = static_cast<int>(5 * xy[2 * ((i + 1) % n) + 1] + .5);
    int const dx = std::abs(x1 - x0), dy = std::abs(y1 - y0), steps = std::max(dx, dy);
    std::vector<std::pair<int, int>> path;
    for (int s = 0; s <= steps && steps > 0; ++s) {
      // counted from the end that is smaller along the longer axis
      if (dx >= dy) {
        bool const back = x0 > x1;
        double const slope = (back ? y0 - y1 : y1 - y0) / static_cast<double>(dx);
        path.emplace_back(std::min(x0, x1) + s, static_cast<int>((back ? y1 : y0) + slope * s + .5));
      } else {
        bool const back = y0 > y1;
        double const slope = (back ? x0 - x1 : x1 - x0) / static_cast<double>(dy);
        path.emplace_back(static_cast<int>((back ? x1 : x0) + slope * s + .5), std::min(y0, y1) + s);
      }
    }
    for (std::size_t s = 1; s < path.size(); ++s) {
      int const left = std::min(path[s].first, path[s - 1].first), right = std::max(path[s].first, path[s - 1].first);
      if (left == right) continue;
      double const column = (left + .5) / 5 - .5;
      if (column != std::floor(column) || column < 0 || column > static_cast<double>(W - 1)) continue;
      double const row = (std::min(path[s].second, path[s - 1].second) + .5) / 5 - .5;
      for (index_t y = 0; y < H; ++y)
        if (static_cast<double>(y) >= row) out[static_cast<std::size_t>(y * W + static_cast<index_t>(column))] ^= 1;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("outlines, fifth by fifth", "[io][reference]")
{
  std::mt19937 bits(9);
  index_t cells_inside = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    index_t const H = 1 + bits() % 20, W = 1 + bits() % 20;
    std::vector<double> xy;
    double const grid_of = trial % 3 == 0 ? 1 : 1 << 20;  // whole pixels, or anything
    for (std::size_t corner = 0, n = 3 + bits() % 8; corner < n; ++corner)
      for (index_t const size : {W, H}) {
        double const at = (static_cast<double>(bits() % 1000) / 600 - 0.3) * static_cast<double>(size);
        xy.push_back(std::round(at * grid_of) / grid_of);
      }
    CAPTURE(H, W, xy);
    auto const got = rle_of_polygon({H, W}, xy);
    REQUIRE(cells_of(decode_rle(got)) == flood_below(H, W, xy));
    REQUIRE(got == encode_rle(decode_rle(got)));  // no empty runs
    cells_inside += got.area();
  }
  CHECK(cells_inside > 50000);
}

TEST_CASE("turns of a mask, drawn", "[io][picture]")
{
  auto const draw = [](rle const& mask) {
    auto const cells = decode_rle(mask);
    std::string out;
    for (index_t y = 0; y < mask.height; ++y) {
      for (index_t x = 0; x < mask.width; ++x) out += cells(y, x) ? '#' : '.';
      out += '\n';
    }
    return out;
  };
  CHECK(draw(rle_of_box({4, 6}, 1, 1, 3, 2)) ==
        "......\n"
        ".###..\n"
        ".###..\n"
        "......\n");
  CHECK(draw(rle_of_box({3, 3}, -5, -5, 50, 50)) == "###\n###\n###\n");
  CHECK(draw(rle_of_box({3, 3}, 1, 1, 0, 0)) == "...\n...\n...\n");
  CHECK(draw(rle_of_polygon({5, 5}, std::vector<double>{0, 0, 5, 0, 0, 5})) ==
        "####.\n"
        "###..\n"
        "##...\n"
        "#....\n"
        ".....\n");
  // far corners cost nothing and draw the same
  CHECK(rle_of_polygon({3, 4}, std::vector<double>{-4e8, -4e8, 4e8, -4e8, 4e8, 4e8, -4e8, 4e8}).area() == 12);
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
  CAMBIUM_THROWS_SAYING(rle_iou({{2, 2, {4}}}, {{2, 3, {6}}}), precondition_error,
                        "a mask is 2 x 3 but another one 2 x 2");
  CAMBIUM_THROWS_SAYING(rle_iou({}, {{2, 2, {5}}}), precondition_error, "rle_iou: count 0 runs past");
  CAMBIUM_THROWS_SAYING(rle_iou({}, {{2, 2, {4}}}, {1, 0}), precondition_error, "2 flags of crowds but 1 true masks");
  CAMBIUM_THROWS_SAYING(merge_rle({}), precondition_error, "merge_rle: no mask");
  std::vector<rle> const unlike{{2, 2, {4}}, {4, 1, {4}}};
  CAMBIUM_THROWS_SAYING(merge_rle(unlike), precondition_error, "a mask is 2 x 2 but another one 4 x 1");
  auto const outline = [](std::vector<double> const& xy) { return rle_of_polygon({4, 4}, xy); };
  CAMBIUM_THROWS_SAYING(outline({1, 1, 2, 2}), precondition_error, "4 numbers; an outline");
  CAMBIUM_THROWS_SAYING(outline({1, 1, 2, 2, 3, 3, 4}), precondition_error, "7 numbers; an outline");
  CAMBIUM_THROWS_SAYING(outline({1, 1, 2, std::nan(""), 3, 3}), precondition_error, "number 3 is nan");
  CAMBIUM_THROWS_SAYING(outline({1, 1, 2, 2, 3, 5e8}), precondition_error, "number 5 is 5e+08");
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
