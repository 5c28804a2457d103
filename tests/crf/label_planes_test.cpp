#include <cambium/crf/label_planes.hpp>
#include <cambium/crf/spread_positions.hpp>
#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

using namespace cambium;

namespace {

/// Pixels in squares of 32x32, by walking through them.
template <class Body>
void walk_squares(index_t H, index_t W, Body const& body)
{
  index_t at = 0;
  for (index_t top = 0; top < H; top += 32)
    for (index_t left = 0; left < W; left += 32)
      for (index_t y = top; y < std::min(H, top + 32); ++y)
        for (index_t x = left; x < std::min(W, left + 32); ++x) body(y, x, at++);
}

}  // namespace

TEST_CASE("planes of labels become rows and come back", "[crf][reference]")
{
  struct shape {
    index_t H, W, all;
    std::vector<std::int32_t> id;
  };
  for (auto const& [H, W, all, id] : std::vector<shape>{{35, 38, 7, {4, 0, 2, 6, 5}},
                                                        {1, 1, 3, {2, 0, 1}},
                                                        {40, 67, 4, {0, 1, 2, 3}},
                                                        {33, 2, 30, {29, 3, 17, 8, 9, 11, 12, 1, 0}},
                                                        {37, 39, 8, {3, 4, 1, 0, 7, 2}},
                                                        {31, 33, 9, {1, 2, 3, 4, 8, 7, 0}},
                                                        {31, 33, 2, {1}},
                                                        {31, 33, 3, {2, 0}}})
    for (int threads : {1, 3}) {
      cpu const where{.threads = threads};
      auto const L = static_cast<index_t>(id.size());
      auto planes = support::uniform<float, 3>({all, H, W}, -3, 3, 5);
      planes(0, 0, 0) = 0.f;
      std::vector<float> rows(static_cast<std::size_t>(H * W * L), 7.f);
      planes_to_rows(where, {{H, W}}, planes.view(), id.data(), L, rows.data());
      index_t wrong = 0;
      walk_squares(H, W, [&](index_t y, index_t x, index_t at) {
        for (index_t l = 0; l < L; ++l) {
          float const got = rows[static_cast<std::size_t>(at * L + l)];
          float const want = -planes(id[static_cast<std::size_t>(l)], y, x);
          wrong += got != want || std::signbit(got) != std::signbit(want);
        }
      });
      CHECK(wrong == 0);

      std::vector<std::int32_t> place(static_cast<std::size_t>(all), -1);
      for (std::size_t l = 0; l < id.size(); ++l) place[static_cast<std::size_t>(id[l])] = static_cast<std::int32_t>(l);
      grid<float, 3> back(all, H, W);
      fill(where, back.size(), back.data(), 9.f);
      rows_to_planes(where, {{H, W}}, rows.data(), id.data(), L, place.data(), back.view());
      for (index_t l = 0; l < all; ++l)
        for (index_t y = 0; y < H; ++y)
          for (index_t x = 0; x < W; ++x)
            wrong += back(l, y, x) != (std::count(id.begin(), id.end(), l) > 0 ? -planes(l, y, x) : 0.f);
      CHECK(wrong == 0);
    }
}

TEST_CASE("rows of labels are widened to whole registers and narrowed again", "[crf][reference]")
{
  auto const [n, L] = GENERATE(table<index_t, index_t>({{0, 3}, {1, 3}, {2, 5}, {64, 3}, {63, 21}, {5, 6}, {4, 7}}));
  index_t const stride = (L + 3) / 4 * 4;
  std::vector<float> rows(static_cast<std::size_t>(n * L)), wide(static_cast<std::size_t>(n * stride), -1e30f);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i) + 0.5f;
  widen_rows(rows.data(), n, L, wide.data(), stride);
  index_t wrong = 0;
  for (index_t i = 0; i < n; ++i)
    for (index_t l = 0; l < stride; ++l) {
      float const got = wide[static_cast<std::size_t>(i * stride + l)];
      wrong += l < L ? got != static_cast<float>(i * L + l) + 0.5f : got < 0;  // behind: 0 or values of the next row
    }
  CHECK(wrong == 0);
  std::vector<float> back(rows.size() + 4, -7.f);
  narrow_rows(wide.data(), n, stride, back.data(), L);
  CHECK(std::equal(rows.begin(), rows.end(), back.begin()));
  CHECK(std::count(back.end() - 4, back.end(), -7.f) == 4);  // nothing is written behind
}

TEST_CASE("pieces of channels that are taken together are those taken alone", "[crf][property]")
{
  for (index_t channels = 0; channels <= 130; ++channels) {
    std::vector<index_t> alone, together;  // where pieces begin
    for_each_piece(channels, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
      alone.push_back(c);
      alone.push_back(Width);
    });
    for_each_two_pieces(channels, [&]<int Width, int More>(std::integral_constant<int, Width>,
                                                           std::integral_constant<int, More>, index_t c) {
      together.insert(together.end(), {c, Width});
      if (More > 0) together.insert(together.end(), {c + Width, More});
    });
    CHECK(alone == together);
  }
}
