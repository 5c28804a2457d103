#include <cambium/instance/transfer.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

transfer_options const tiny{.sigma = 1, .smallest = 1};

/// Where a heat map is 1.
points ones(grid<float, 3> const& centre)
{
  points out;
  for (index_t c = 0; c < centre.shape()[0]; ++c)
    for (index_t y = 0; y < centre.shape()[1]; ++y)
      for (index_t x = 0; x < centre.shape()[2]; ++x)
        if (centre(c, y, x) == 1) out.push_back({static_cast<double>(y), static_cast<double>(x), static_cast<int>(c)});
  return out;
}

}  // namespace

TEST_CASE("the kernel is a Gaussian", "[instance][reference]")
{
  int const sigma = GENERATE(1, 6, 8);
  auto const g = heat_kernel(sigma);
  int const side = 6 * sigma + 3, middle = 3 * sigma + 1;
  REQUIRE(g.size() == side * side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      CHECK(std::abs(g(y, x) - std::exp(-((y - middle) * (y - middle) + (x - middle) * (x - middle)) /
                                        (2. * sigma * sigma))) < 1e-15);
}

TEST_CASE("heat maps are the largest Gaussian of their class", "[instance][reference]")
{
  auto const rounding = GENERATE(stamping::original, stamping::exact);
  points const centres{{5, 7, 0}, {0, 0, 0}, {11, 15, 0}, {-1, 4, 0}, {3, 16, 0}, {8, 2, 1}, {5, 7, 0}};
  auto const map = centre_map(cpu{}, centres, 3, {12, 16}, {.sigma = 2, .rounding = rounding});
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 16; ++x) {
        double want = 0;
        for (auto const& p : centres) {
          bool const on = p.y >= 0 && p.x >= 0 && p.y < 12 && p.x < 16 && p.category == c;
          if (on && std::abs(p.y - y) <= 7 && std::abs(p.x - x) <= 7)
            want = std::max(want, std::exp(-(std::pow(p.y - y, 2) + std::pow(p.x - x, 2)) / 8));
        }
        CHECK(map(c, y, x) == static_cast<float>(want));
      }
}

TEST_CASE("between cells the original rounds, and exact does not", "[instance][picture]")
{
  auto const at = [](double x, stamping rounding) {
    return ones(centre_map(cpu{}, {{10, x}}, 1, {21, 60}, {.sigma = 1, .rounding = rounding}));
  };
  CHECK(at(20.3, stamping::original) == points{{10, 20}});
  CHECK(at(20.7, stamping::original) == points{{10, 21}});
  CHECK(at(20.3, stamping::exact).empty());
  auto const exact = centre_map(cpu{}, {{10.25, 20.5}}, 1, {21, 60}, {.sigma = 1, .rounding = stamping::exact});
  CHECK(exact(0, 10, 20) == static_cast<float>(std::exp(-(0.0625 + 0.25) / 2)));
  CHECK(exact(0, 10, 20) == exact(0, 10, 21));

  // 3 sigma + 1 = 4: exact halves of one parity lose the last column of the kernel, of the other they are refused.
  auto const narrow = centre_map(cpu{}, {{10, 21.5}}, 1, {21, 60}, {.sigma = 1});
  CHECK(narrow(0, 10, 22) == 1);
  CHECK(narrow(0, 10, 18) > 0);
  CHECK(narrow(0, 10, 26) == 0);
  CAMBIUM_THROWS_SAYING(centre_map(cpu{}, {{10, 20.5}}, 1, {21, 60}, {.sigma = 1}), precondition_error,
                        "half cell (10,20.5), which the original refuses");
  CHECK_NOTHROW(centre_map(cpu{}, {{10, 58.5}}, 1, {21, 60}, {.sigma = 1}));  // the border cuts the patch to the kernel
}

TEST_CASE("one cue makes an instance", "[instance][picture]")
{
  auto const components = picture({
      "111..22",
      "111..22",
      "1......",
      "...3333",
      "444....",
  });
  // 1 has one cue; 2 has one of another class; 3 has two; 4 has none.
  points const cues{{0, 1, 0}, {0, 5, 0}, {3, 3, 1}, {3, 6, 1}, {2, 4, 2}};
  auto const out = transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, tiny);
  CHECK(drawn(out.weight) == rows{"111....", "111....", "1......", ".......", "......."});
  // the mean (5/7, 6/7) becomes the cell (0,0)
  CHECK(ones(out.centre) == points{{0, 0, 0}});
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 7; ++x) {
      CHECK(out.offset(0, y, x) == (components(y, x) == 1 ? static_cast<float>(-y) : 0.f));
      CHECK(out.offset(1, y, x) == (components(y, x) == 1 ? static_cast<float>(-x) : 0.f));
    }

  SECTION("the exact mean")
  {
    auto const exact =
        transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 1, .centre = centroid::exact});
    CHECK(exact.offset(0, 2, 0) == static_cast<float>(5. / 7 - 2));
    CHECK(exact.offset(1, 2, 0) == static_cast<float>(6. / 7));
    CHECK(exact.centre(0, 1, 1) == static_cast<float>(std::exp(-(4. / 49 + 1. / 49) / 2)));
  }
  SECTION("clicks stand where they are, the offsets do not")
  {
    auto const clicked =
        transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, {.sup = supervision::point, .sigma = 1, .smallest = 1});
    CHECK(ones(clicked.centre) == points{{0, 1, 0}, {0, 5, 0}, {3, 3, 1}, {3, 6, 1}, {2, 4, 2}});
    CHECK(clicked.offset == out.offset);
    CHECK(clicked.weight == out.weight);
  }
  SECTION("several cues split a component")
  {
    auto const split =
        transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 1, .several = several_cues::split});
    CHECK(drawn(split.weight) == rows{"111....", "111....", "1......", "...1111", "......."});
    CHECK(ones(split.centre) == points{{0, 0, 0}, {3, 3, 1}, {3, 5, 1}});
    CHECK(split.offset(1, 3, 4) == -1);
    CHECK(split.offset(1, 3, 6) == -1);
  }
  SECTION("of cues equally near the first takes a cell, whatever the compiler fuses")
  {
    // Mirror images of each other at the diagonal, whose cells are equally far from both.
    auto const square = picture({"111111", "111111", "111111", "111111", "111111", "111111"});
    for (double const a : {0.1, 0.7, 1.3, 2.9})
      for (double const b : {3.1, 3.7, 4.3, 5.9}) {
        points const pair{{a, b, 0}, {b, a, 0}};
        auto const parted =
            transfer(cpu{}, square, {0}, pair, 1,
                     {.sigma = 1, .smallest = 1, .centre = centroid::exact, .several = several_cues::split});
        for (index_t i = 0; i < 6; ++i)
          CHECK(parted.offset(1, i, i) + static_cast<float>(i) == Approx(parted.offset(1, 0, 5) + 5));  // of the first
      }
  }
  SECTION("small components are dropped")
  {
    CHECK(drawn(transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 7}).weight) ==
          drawn(out.weight));
    auto const none = transfer(cpu{}, components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 8});
    CHECK(ones(none.centre).empty());
    for (float const v : none.weight.cells()) CHECK(v == 0);
  }
  SECTION("a component of no class is nothing")
  {
    CHECK(ones(transfer(cpu{}, components, {-1, 1, 1, 2}, cues, 3, tiny).centre).empty());
  }
}

TEST_CASE("what was there before is overwritten, also in pieces of larger maps", "[instance][property]")
{
  auto const components = picture({"11..", "11.."});
  grid<float, 3> centre(2, 2, 9), offset(2, 2, 9);
  grid<float, 2> weight(2, 9);
  for (auto* const cells : {&centre.cells(), &offset.cells(), &weight.cells()})
    std::fill(cells->begin(), cells->end(), 7.f);
  auto const left = [](auto v) {
    v.extent[std::size(v.extent) - 1] = 4;
    return v;
  };
  transfer_into(cpu{.threads = 2}, components, {1}, {{1, 1, 1}}, tiny,
                {left(centre.view()), left(offset.view()), left(weight.view())});
  auto const want = transfer(cpu{}, components, {1}, {{1, 1, 1}}, 2, tiny);
  for (index_t y = 0; y < 2; ++y)
    for (index_t x = 0; x < 9; ++x)
      for (index_t c = 0; c < 2; ++c) {
        CHECK(centre(c, y, x) == (x < 4 ? want.centre(c, y, x) : 7.f));
        CHECK(offset(c, y, x) == (x < 4 ? want.offset(c, y, x) : 7.f));
        CHECK(weight(y, x) == (x < 4 ? want.weight(y, x) : 7.f));
      }
}

TEST_CASE("transfer of nothing", "[instance][errors]")
{
  auto const [H, W, C] = GENERATE(table<index_t, index_t, index_t>({{0, 5, 2}, {5, 0, 2}, {3, 4, 0}, {1, 1, 1}}));
  auto const out = transfer(cpu{}, grid<std::int32_t, 2>(H, W), {}, {}, C);
  CHECK(out.centre.size() == C * H * W);
  for (float const v : out.offset.cells()) CHECK(v == 0);
}

TEST_CASE("transfer refuses what it documents, before it writes", "[instance][errors]")
{
  auto components = picture({"1.", ".2"});
  centre_targets<> out{grid<float, 3>(2, 2, 2), grid<float, 3>(2, 2, 2), grid<float, 2>(2, 2)};
  std::fill(out.weight.cells().begin(), out.weight.cells().end(), 7.f);
  auto const call = [&](std::vector<std::int32_t> const& categories, points const& cues, transfer_options options) {
    transfer_into(cpu{}, components, categories, cues, options, {out.centre, out.offset, out.weight});
  };
  CAMBIUM_THROWS_SAYING(call({0}, {}, tiny), precondition_error, "component(1,1) is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(call({0, 2}, {}, tiny), precondition_error, "category 2 is outside -1..1");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{0, 0, 2}}, tiny), precondition_error, "category 2 of a cue");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{0, 2, 1}}, tiny), precondition_error, "a cue at (0,2) is off the map of [2,2]");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{-1, 0, 1}}, tiny), precondition_error, "a cue at (-1,0)");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{std::nan(""), 0, 1}}, tiny), precondition_error, "a cue at (nan,0)");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.sigma = 0}), precondition_error, "sigma is 0, outside 1..200");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.smallest = -1}), precondition_error, "smallest is -1");
  CAMBIUM_THROWS_SAYING(
      transfer_into(cpu{}, components, {0, 1}, {}, tiny, {out.centre, out.offset, grid<float, 2>(2, 3).view()}),
      precondition_error, "a map of 2 x 2 but targets of [2,2,2], [2,2,2] and [2,3]");
  CAMBIUM_THROWS_SAYING(centre_map(cpu{}, {{0, 0, 1}}, 1, {3, 3}), precondition_error, "category 1 is outside 0..0");
  CAMBIUM_THROWS_SAYING(centre_map(cpu{}, {{std::nan(""), 0}}, 1, {3, 3}), precondition_error,
                        "a centre is at (nan,0)");
  CAMBIUM_THROWS_SAYING(centre_map(cpu{}, {}, 1, {3, -3}), precondition_error, "1 classes of 3 x -3");
  CAMBIUM_THROWS_SAYING(heat_kernel(201), precondition_error, "sigma is 201");
  grid<std::uint64_t, 2> large(2, 2);  // a sign would turn it into a small number
  large(1, 0) = (std::uint64_t{1} << 63) + 1;
  CAMBIUM_THROWS_SAYING(transfer_into(cpu{}, large, {0, 1}, {}, tiny, {out.centre, out.offset, out.weight}),
                        precondition_error, "transfer: component(1,0) is 9223372036854775809, outside 0..2");
  for (float const v : out.weight.cells()) CHECK(v == 7);
}
