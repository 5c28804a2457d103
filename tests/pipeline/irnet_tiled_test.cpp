#include <cambium/pipeline/irnet_tiled.hpp>

#include "support/catch.hpp"
#include "support/irnet_scene.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::irnet_scene;

namespace {

irnet_options const quick{.radius = 3, .beta = 4, .exp_times = 2};
constexpr index_t reach = 4 * (4 * 2 + 1);  // pixels: steps * (radius - 1) cells, and one for the enlargement

void check_equal(irnet_labels<> const& have, irnet_labels<> const& want, double rounding = 0)
{
  REQUIRE(have.semantic == want.semantic);
  REQUIRE(have.objects.label == want.objects.label);
  REQUIRE(have.objects.found.size() == want.objects.found.size());
  for (std::size_t i = 0; i < want.objects.found.size(); ++i) {
    auto const &h = have.objects.found[i], &w = want.objects.found[i];
    REQUIRE((h.category == w.category && std::abs(h.score - w.score) <= rounding && h.area == w.area &&
             h.bounds == w.bounds));
  }
}

/// Two squares that join over every seam.
irnet_input<float> cross(grid<float, 3>& cams, grid<float, 2>& boundary, grid<float, 3>& field)
{
  cams = grid<float, 3>(1, 20, 20), boundary = grid<float, 2>(20, 20), field = grid<float, 3>(2, 20, 20);
  for (index_t i = 2; i < 18; ++i) {
    cams(0, 10, i) = cams(0, i, 10) = 1;
    for (index_t k = 2; k < 18; ++k)
      field(0, i, k) = static_cast<float>(10 - i), field(1, i, k) = static_cast<float>(10 - k);
  }
  return {cams.view(), {4}, boundary.view(), field.view(), {79, 78}};
}

}  // namespace

TEST_CASE("tiles that see far enough give the labels of the whole", "[pipeline][same]")
{
  auto const [H, W] = GENERATE(table<int, int>({{121, 97}, {40, 203}, {75, 75}}));
  index_t const tile = GENERATE(4, 33, 64, 1000);
  auto const scale = GENERATE(score_scale::image, score_scale::group);  // by channel many pixels tie at 1
  CAPTURE(H, W, tile, static_cast<int>(scale));
  irnet_scene const s(2, H, W, static_cast<unsigned>(H + tile));
  auto options = quick;
  options.scale = scale;
  if (tile == 4 && (H != W || scale != score_scale::image)) return;  // hundreds of tiles
  for (auto const& in : {s.with_displacement(), s.without_displacement()}) {
    auto const want = irnet(cpu{}, in, options);
    check_equal(irnet_tiled(cpu{}, in, options, {.tile = tile, .overlap = reach}), want, 1e-14);
    CHECK(want.objects.found.size() > 3);
  }
}

TEST_CASE("tiles that see too little give other labels", "[pipeline][property]")
{
  irnet_scene const s(2, 121, 97, 3);
  auto const want = irnet(cpu{}, s.with_displacement(), quick);
  auto const have = irnet_tiled(cpu{}, s.with_displacement(), quick, {.tile = 20, .overlap = 4});
  CHECK(!(have.semantic == want.semantic));
}

TEST_CASE("an object across all seams is one object", "[pipeline][picture]")
{
  grid<float, 3> cams, field;
  grid<float, 2> boundary;
  auto in = cross(cams, boundary, field);
  for (bool const with_field : {true, false}) {
    if (!with_field) in.displacement = {};
    auto const out = irnet_tiled(cpu{}, in, {.radius = 3, .exp_times = 3}, {.tile = 16, .overlap = 8});
    REQUIRE(out.objects.found.size() == 1);
    CHECK(out.objects.found[0].category == 4);
    CHECK(out.objects.found[0].bounds.bottom - out.objects.found[0].bounds.top > 48);
  }
}

TEST_CASE("the number of threads changes nothing about tiles", "[pipeline][property]")
{
  irnet_scene const s(3, 121, 97, 5);
  auto const want = irnet_tiled(cpu{.threads = 1}, s.with_displacement(), quick, {.tile = 48, .overlap = 12});
  for (int const threads : {2, 5})
    check_equal(irnet_tiled(cpu{.threads = threads}, s.with_displacement(), quick, {.tile = 48, .overlap = 12}), want);
}

TEST_CASE("where nothing scores tiles are background, or the first channel on request", "[pipeline][property]")
{
  irnet_scene s(2, 41, 37, 5);
  for (auto& v : s.cams.cells()) v = 0;
  auto options = quick;
  for (auto const empty : {no_score::background, no_score::first_channel}) {
    options.empty = empty;
    for (auto const& in : {s.with_displacement(), s.without_displacement()})
      check_equal(irnet_tiled(cpu{}, in, options, {.tile = 16, .overlap = 8}), irnet(cpu{}, in, options));
  }
}

TEST_CASE("tiles check what they are given", "[pipeline][errors]")
{
  irnet_scene s(1, 21, 17, 5);
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.without_displacement(), quick, {.tile = 3}), precondition_error,
                        "a tile of 3 pixels");
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.without_displacement(), quick, {.overlap = 0}), precondition_error,
                        "an overlap of 0 pixels");
  s.cams(0, 1, 2) = std::numeric_limits<double>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.without_displacement(), quick), precondition_error, "cams(0,1,2) is nan");
  s.cams(0, 1, 2) = 0;
  auto options = quick;
  options.ins_seg_bg_thres = std::numeric_limits<double>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.with_displacement(), options), precondition_error,
                        "ins_seg_bg_thres is nan");
  for (auto& v : s.cams.cells()) v = 0;  // tiles that are not walked are looked at all the same
  s.boundary(3, 2) = 7;
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.without_displacement(), quick, {.tile = 8, .overlap = 4}),
                        precondition_error, "boundary(3,2) is 7");
  s.keys = {1, 2};
  CAMBIUM_THROWS_SAYING(irnet_tiled(cpu{}, s.without_displacement(), quick), precondition_error, "2 keys");
}
