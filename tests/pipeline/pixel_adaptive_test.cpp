#include <cambium/pipeline/pixel_adaptive.hpp>

#include "support/adaptive.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

#include <limits>

using namespace cambium;

namespace {

grid<double, 3> expected(grid<float, 3> const& image, grid<float, 3> const& masks, bool squared, bool to_masks,
                         bool normalise, std::vector<int> const& dilations, int steps)
{
  auto const& size = to_masks ? masks.shape() : image.shape();
  int const H = static_cast<int>(size[1]), W = static_cast<int>(size[2]);
  auto const weight = oracle::adaptive_weights(oracle::with_corners(image, H, W), dilations,
                                               {squared, squared ? 0.3 : 0.1, squared ? 0.01 : 0, normalise});
  return oracle::adaptive_average(oracle::with_corners(masks, H, W), weight, dilations, steps);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("par and pamr equal the definition", "[pixel_adaptive][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W, h, w] = GENERATE(table<int, int, int, int>(
      {{16, 23, 16, 23}, {16, 23, 5, 9}, {9, 7, 20, 11}, {1, 1, 1, 1}, {1, 1, 3, 4}, {5, 6, 1, 1}}));
  CAPTURE(H, W, h, w);
  auto const image = support::uniform<float, 3>({3, H, W}, 0, 255, 1);
  auto const masks = support::uniform<float, 3>({4, h, w}, 0, 1, 2);
  std::vector<int> const dilations{1, 4, 30};
  for (auto const size : {adaptive_size::image, adaptive_size::masks})
    for (index_t const steps : {0, 1, 5})
      for (bool const normalise : {false, true}) {
        CAPTURE(static_cast<int>(size), steps, normalise);
        pixel_adaptive_options o;
        o.dilations = {1, 4, 30}, o.steps = steps, o.size = size, o.normalise = normalise;
        auto const i = to::there(image);
        auto const m = to::there(masks);
        bool const to_masks = size == adaptive_size::masks;
        CHECK(support::largest_gap(
                  to::back(par(TestType{}, i, m, o)).cells(),
                  expected(image, masks, true, to_masks, normalise, dilations, static_cast<int>(steps)).cells()) <
              1e-5);
        CHECK(support::largest_gap(
                  to::back(pamr(TestType{}, i, m, o)).cells(),
                  expected(image, masks, false, to_masks, false, dilations, static_cast<int>(steps)).cells()) < 1e-5);
      }
}

TEST_CASE("weights made row by row are the stored ones", "[pixel_adaptive][same]")
{
  dilated_neighbours const near;
  for (auto const& [H, W] : {std::pair<index_t, index_t>{41, 77}, {1, 1}, {3, 200}})
    for (index_t const C : {1, 35})
      for (auto const& colours : {colour_affinity_options::par(), colour_affinity_options::pamr()})
        for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
          cpu const where{.threads = 2, .vectors = set};
          auto const image = support::uniform<float, 3>({3, H, W}, 0, 255, 1),
                     masks = support::uniform<float, 3>({C, H, W}, 0, 1, 2);
          auto const want = neighbour_walk(where, masks, colour_affinity(where, image, near, colours), near, {3});
          colour_affinity_scratch<float, cpu> room(where, {3, H, W}, near);
          neighbour_walk_scratch<float> scratch(where, C, H, W, near, neighbour_rows_shape::most_by_rows);
          grid<float, 3> out(C, H, W);
          neighbour_walk_by_rows(where, masks, colour_affinity_by_rows(where, image, near, colours, room), near, {3},
                                 out, scratch);
          CHECK(support::largest_gap(out.cells(), want.cells()) < 1e-6);
        }
}

TEST_CASE("PAR's masks grow by a hundredth a step", "[pixel_adaptive][property]")
{
  auto const image = support::uniform<float, 3>({3, 21, 33}, 0, 255, 1);
  grid<float, 3> ones(1, 21, 33);
  for (float& v : ones.cells()) v = 1;
  pixel_adaptive_options options;
  for (float const v : par(cpu{}, image, ones, options).cells()) CHECK(v == Approx(std::pow(1.01, 10)).epsilon(1e-4));
  for (float const v : pamr(cpu{}, image, ones, options).cells()) CHECK(v == Approx(1).epsilon(1e-4));
  options.normalise = true;
  for (float const v : par(cpu{}, image, ones, options).cells()) CHECK(v == Approx(1).epsilon(1e-4));
}

TEST_CASE("a mask spreads over its colour and stops at the edge", "[pixel_adaptive][picture]")
{
  // dark | bright; the mask has one cell of three of the dark side
  grid<float, 3> image(1, 12, 24), mask(1, 12, 24);
  for (int y = 0; y < 12; ++y)
    for (int x = 0; x < 24; ++x) {
      image(0, y, x) = x < 12 ? 40.f : 200.f;
      mask(0, y, x) = x < 12 && (x + y) % 3 == 0 ? 1.f : 0.f;
    }
  pixel_adaptive_options near;
  near.dilations = {1, 2};
  for (bool const squared : {true, false}) {
    auto const out = squared ? par(cpu{}, image, mask, near) : pamr(cpu{}, image, mask, near);
    double dark = 1, bright = 0;
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < 9; ++x) dark = std::min<double>(dark, out(0, y, x));
      for (int x = 15; x < 24; ++x) bright = std::max<double>(bright, out(0, y, x));
    }
    CHECK(dark > 0.2);
    CHECK(bright < 0.05);
  }
}

TEST_CASE("a batch is its images, one by one", "[pixel_adaptive][property]")
{
  auto const images = support::uniform<float, 4>({3, 3, 13, 17}, 0, 255, 1);
  auto const masks = support::uniform<float, 4>({3, 2, 7, 8}, 0, 1, 2);
  for (auto const size : {adaptive_size::image, adaptive_size::masks}) {
    pixel_adaptive_options o;
    o.size = size;
    auto const all = par_batch(cpu{}, images, masks, o), all_of_pamr = pamr_batch(cpu{}, images, masks, o);
    for (index_t b = 0; b < 3; ++b) {
      auto const one = par(cpu{}, images.view()[b], masks.view()[b], o);
      CHECK(std::equal(one.cells().begin(), one.cells().end(), &all(b, 0, 0, 0)));
      auto const other = pamr(cpu{}, images.view()[b], masks.view()[b], o);
      CHECK(std::equal(other.cells().begin(), other.cells().end(), &all_of_pamr(b, 0, 0, 0)));
    }
  }
  CHECK(par_batch(cpu{}, grid<float, 4>(0, 3, 5, 5), grid<float, 4>(0, 2, 5, 5)).size() == 0);
}

TEST_CASE("par and pamr reject what they document", "[pixel_adaptive][errors]")
{
  grid<float, 3> image(3, 4, 5), masks(2, 2, 3);
  auto const nan = std::numeric_limits<float>::quiet_NaN();
  image(1, 2, 3) = nan;
  CAMBIUM_THROWS_SAYING(par(cpu{}, image, masks), precondition_error, "par: image(1,2,3) is nan");
  CAMBIUM_THROWS_SAYING(pamr(cpu{}, image, masks), precondition_error, "pamr: image(1,2,3) is nan");
  image(1, 2, 3) = -1e7f;
  CAMBIUM_THROWS_SAYING(par(cpu{}, image, masks), precondition_error, "at most 1e6");
  image(1, 2, 3) = 0;
  masks(0, 1, 2) = nan;
  CAMBIUM_THROWS_SAYING(par(cpu{}, image, masks), precondition_error, "par: masks(0,1,2) is nan");
  masks(0, 1, 2) = 0;
  CAMBIUM_THROWS_SAYING(par(cpu{}, image, masks, {.steps = -1}), precondition_error, "par: steps is -1");
  CAMBIUM_THROWS_SAYING(par(cpu{}, grid<float, 3>(0, 4, 5), masks), precondition_error, "it needs a channel");
  CAMBIUM_THROWS_SAYING(par(cpu{}, image, grid<float, 3>(2, 0, 3)), precondition_error, "no pixels to resize");
  CAMBIUM_THROWS_SAYING(par(cpu{}, grid<float, 3>(3, 4, 0), masks, {.size = adaptive_size::masks}), precondition_error,
                        "no pixels to resize");
  CAMBIUM_THROWS_SAYING(par_batch(cpu{}, grid<float, 4>(2, 3, 4, 5), grid<float, 4>(1, 2, 4, 5)), precondition_error,
                        "par_batch: image is [2,3,4,5] but masks are [1,2,4,5]");
  CHECK(par(cpu{}, grid<float, 3>(3, 4, 0), masks).size() == 0);
  CHECK(par(cpu{}, image, grid<float, 3>(0, 2, 3)).size() == 0);
  CHECK(par(cpu{}, image, grid<float, 3>(0, 2, 3)).shape()[2] == 5);

  pixel_adaptive_options const options;
  pixel_adaptive_scratch<float, cpu> scratch(cpu{}, image.view().extent, masks.view().extent, options),
      wrong(cpu{}, masks.view().extent, masks.view().extent, options);
  grid<float, 3> out(2, 4, 5);
  auto const into = [&](auto&& to, auto& with) {
    pixel_adaptive_into(cpu{}, image, masks, colour_affinity_options::par(), options, to, with, "par");
  };
  into(out, scratch);
  CAMBIUM_THROWS_SAYING(into(out, wrong), precondition_error, "par: the scratch");
  CAMBIUM_THROWS_SAYING(into(grid<float, 3>(2, 4, 4), scratch), precondition_error, "out is [2,4,4]");
  // A scratch for another number of channels or other dilations is refused before anything is written, as are bad weights.
  for (float& cell : out.cells()) cell = -7;
  auto const rejects = [&](index_t channels, index_t maps, dilated_neighbours const& near, double w1,
                           char const* what) {
    pixel_adaptive_options const made_for{.dilations = near};
    index_t const of_image[3] = {channels, 4, 5}, of_masks[3] = {maps, 2, 3};
    pixel_adaptive_scratch<float, cpu> with(cpu{}, of_image, of_masks, made_for);
    CAMBIUM_THROWS_SAYING(pixel_adaptive_into(cpu{}, image, masks, {.w1 = w1}, options, out, with, "par"),
                          precondition_error, what);
  };
  rejects(2, 2, {}, 0.3, "par: the scratch");
  rejects(3, 3, {}, 0.3, "par: the scratch");
  rejects(3, 2, {1, 1, 1, 1, 1, 1}, 0.3, "par: the scratch");
  rejects(3, 2, {}, 0, "par: w1 is 0");
  for (float const cell : out.cells()) CHECK(cell == -7);
  grid<float, 3> small(2, 2, 3);
  small(0, 0, 0) = -7;
  index_t const of_image[3] = {3, 2, 3}, of_masks[3] = {2, 2, 3};
  pixel_adaptive_scratch<float, cpu> of_image_size(cpu{}, of_image, of_masks, {});  // has no room for a resized image
  CAMBIUM_THROWS_SAYING(pixel_adaptive_into(cpu{}, image, masks, colour_affinity_options::par(),
                                            {.size = adaptive_size::masks}, small, of_image_size, "par"),
                        precondition_error, "par: the scratch");
  CHECK(small(0, 0, 0) == -7);
  auto window = image.view();
  window.extent[0] = 2;
  CAMBIUM_THROWS_SAYING(into(window, scratch), precondition_error, "the output overlaps an input");
}
