#include <cambium/io/rle_masks.hpp>

#include "support/catch.hpp"
#include "support/runs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;
using support::cells, support::cells_of, support::noise, support::padded, support::runs_of;

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
    auto const inside = decode_rle(mask);
    std::string out;
    for (index_t y = 0; y < mask.height; ++y) {
      for (index_t x = 0; x < mask.width; ++x) out += inside(y, x) ? '#' : '.';
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

TEST_CASE("masks and outlines that do not fit are refused", "[io][errors]")
{
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
