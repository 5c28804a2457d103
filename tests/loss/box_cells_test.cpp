#include <cambium/loss/box_cells.hpp>
#include <cambium/loss/lab.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

using namespace cambium;

TEST_CASE("a box's cells are those whose samples it holds", "[loss][reference]")
{
  index_t const H = 6, W = 9;
  for (index_t const stride : {1, 2, 3, 4})
    for (double const y1 : {-7.5, -0.4, 0.0, 2.9, 5.0, 40.0})
      for (double const y2 : {-3.0, -0.9, 0.0, 4.0, 4.99, 11.0, 1e30})
        for (double const x1 : {-1e30, 0.6, 3.0})
          for (double const x2 : {1.5, 8.0, 13.2}) {
            box const got = sampled_box({x1, y1, x2, y2}, stride, H, W);
            CAPTURE(stride, y1, y2, x1, x2);
            auto const in = [](double v, double first, double last) {
              return v >= std::trunc(first) && v <= std::trunc(last);
            };
            for (index_t i = 0; i < H; ++i)
              for (index_t j = 0; j < W; ++j) {
                auto const y = static_cast<double>(stride / 2 + stride * i);
                auto const x = static_cast<double>(stride / 2 + stride * j);
                CHECK(holds_cell(got, i, j) == (in(y, y1, y2) && in(x, x1, x2)));
              }
            CHECK(got.bottom <= H);
            CHECK(got.right <= W);
          }
  CHECK_THROWS_WITH(sampled_box({0, 0, std::nan(""), 1}, 4, 3, 3),
                    "sampled_box: a corner is nan; expected a finite number");
  CHECK_THROWS_WITH(sampled_box({0, 0, 1, 1}, 0, 3, 3), "sampled_box: the stride is 0; expected 1 or more");
}

TEMPLATE_LIST_TEST_CASE("masks are sampled in the middle of blocks", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 2> mask(7, 9);
  mask(1, 1) = 0.5f, mask(4, 7) = -1, mask(3, 4) = 1;  // samples of stride 3: rows 1, 4, columns 1, 4, 7
  auto const got = to::back(sampled_mask(TestType{}, to::there(mask), 3));
  REQUIRE(got.shape() == std::array<index_t, 2>{2, 3});
  for (index_t y = 0; y < 2; ++y)
    for (index_t x = 0; x < 3; ++x) CHECK(int{got(y, x)} == ((y == 0 && x == 0) || (y == 1 && x == 2) ? 1 : 0));
}

TEMPLATE_LIST_TEST_CASE("a small photograph has truncated means", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::uint8_t, 3> photograph(2, 5, 3);
  photograph(0, 0, 0) = 1, photograph(0, 1, 0) = 2, photograph(1, 0, 0) = 2, photograph(1, 1, 0) = 2;  // 1.75
  for (index_t y = 0; y < 2; ++y)
    for (index_t x = 2; x < 4; ++x) photograph(y, x, 2) = 255;
  photograph(0, 4, 1) = 200;  // beyond the last whole block
  auto const got = to::back(small_photograph(TestType{}, to::there(photograph), 2));
  REQUIRE(got.shape() == std::array<index_t, 3>{1, 2, 3});
  std::uint8_t const want[] = {1, 0, 0, 0, 0, 255};
  for (std::size_t i = 0; i < 6; ++i) CHECK(int{got.cells()[i]} == int{want[i]});

  grid<float, 3> floats(1, 2, 3);
  floats(0, 0, 0) = 5.5f, floats(0, 1, 0) = 6.4f, floats(0, 0, 1) = 300, floats(0, 0, 2) = -4;
  auto const one = to::back(small_photograph(TestType{}, to::there(floats), 1));
  std::uint8_t const bytes[] = {5, 255, 0, 6, 0, 0};
  for (std::size_t i = 0; i < 6; ++i) CHECK(int{one.cells()[i]} == int{bytes[i]});
}

TEMPLATE_LIST_TEST_CASE("colours have their published L*a*b* values", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  struct known {
    int r, g, b;
    double L, A, B;
  };
  // Lindbloom's calculator: sRGB, D65, to two digits
  known const colours[] = {{0, 0, 0, 0, 0, 0},
                           {255, 255, 255, 100, 0, 0},
                           {255, 0, 0, 53.24, 80.09, 67.20},
                           {0, 255, 0, 87.73, -86.18, 83.18},
                           {0, 0, 255, 32.30, 79.19, -107.86},
                           {128, 128, 128, 53.59, 0, 0}};
  grid<std::uint8_t, 3> photograph(2, 3, 3);
  for (index_t i = 0; i < 6; ++i) {
    photograph(i / 3, i % 3, 0) = static_cast<std::uint8_t>(colours[i].r);
    photograph(i / 3, i % 3, 1) = static_cast<std::uint8_t>(colours[i].g);
    photograph(i / 3, i % 3, 2) = static_cast<std::uint8_t>(colours[i].b);
  }
  auto const got = to::back(lab_colours(TestType{}, to::there(photograph)));
  for (index_t i = 0; i < 6; ++i) {
    CHECK(got(0, i / 3, i % 3) == Approx(colours[i].L).margin(0.02));
    CHECK(got(1, i / 3, i % 3) == Approx(colours[i].A).margin(0.03));
    CHECK(got(2, i / 3, i % 3) == Approx(colours[i].B).margin(0.03));
  }
  // dark colours are linear: L of 1/255 is 116 * 7.787 * 1/255/12.92
  grid<std::uint8_t, 3> dark(1, 1, 3);
  std::fill(dark.cells().begin(), dark.cells().end(), std::uint8_t{1});
  CHECK(to::back(lab_colours(TestType{}, to::there(dark)))(0, 0, 0) == Approx(116 * 7.787 / 255 / 12.92));
}

TEST_CASE("samples and colours refuse other shapes", "[loss][errors]")
{
  grid<std::uint8_t, 3> photograph(4, 4, 3), grey(4, 4, 1), out(2, 2, 3);
  grid<std::uint8_t, 2> mask(4, 4), small(2, 1);
  CHECK_THROWS_WITH(small_photograph(cpu{}, grey, 2), "small_photograph: the photograph is [4,4,1]; expected [H,W,3]");
  CHECK_THROWS_WITH(small_photograph(cpu{}, photograph, 0), "small_photograph: the stride is 0; expected 1 or more");
  CHECK_THROWS_WITH(small_photograph_into(cpu{}, photograph, 4, out),
                    "small_photograph: out is [2,2,3] but the photograph is [4,4,3] and the stride is 4");
  CHECK_THROWS_WITH(small_photograph_into(cpu{}, photograph, 1, photograph),
                    "small_photograph: photograph and out overlap");
  CHECK_THROWS_WITH(lab_colours(cpu{}, grey), "lab_colours: the photograph is [4,4,1]; expected [H,W,3]");
  grid<float, 3> lab(3, 4, 5);
  lab_scratch<cpu> scratch;
  CHECK_THROWS_WITH(lab_colours_into(cpu{}, photograph, lab, scratch),
                    "lab_colours: out is [3,4,5] but the photograph is [4,4,3]");
  CHECK_THROWS_WITH(sampled_mask(cpu{}, mask, 0), "sampled_mask: the stride is 0; expected 1 or more");
  CHECK_THROWS_WITH(sampled_mask_into(cpu{}, mask, 2, small),
                    "sampled_mask: out is [2,1] but the mask is [4,4] and the stride is 2");
  CHECK_THROWS_WITH(sampled_mask_into(cpu{}, mask, 1, mask), "sampled_mask: mask and out overlap");
}
