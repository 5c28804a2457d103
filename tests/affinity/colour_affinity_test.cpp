#include <cambium/affinity/colour_affinity.hpp>

#include "support/adaptive.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

#include <limits>

using namespace cambium;

namespace {

std::vector<std::vector<int>> const dilation_lists{{1}, {1, 2, 4, 8, 12, 24}, {5, 1, 90, 1}};

colour_affinity_options options_of(oracle::adaptive_rule const& r)
{
  return {r.squared ? colour_contrast::squared : colour_contrast::absolute, r.w1, r.w2, r.normalise};
}

/// Smooth colours, an edge and noise, in 0..255.
template <class T>
grid<T, 3> photograph(int K, int H, int W)
{
  auto out = support::uniform<T, 3>({K, H, W}, 0, 20, 11);
  for (int c = 0; c < K; ++c)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) out(c, y, x) += static_cast<T>((2 * x > W ? 120 : 30) + 2 * y + 5 * c);
  return out;
}

template <class P, class T>
double gap(grid<T, 3> const& image, std::vector<int> const& dilations, oracle::adaptive_rule const& rule)
{
  using to = support::carry<P>;
  auto const have = to::back(
      colour_affinity(P{}, to::there(image), dilated_neighbours(std::span<int const>(dilations)), options_of(rule)));
  auto const want = oracle::adaptive_weights(image, dilations, rule);
  CHECK(std::equal(have.shape().begin(), have.shape().end(), want.shape().begin()));
  return support::largest_gap(have.cells(), want.cells());
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("colour_affinity equals the definition", "[affinity][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const dilations = GENERATE(from_range(dilation_lists));
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 9}, {12, 1}, {7, 6}, {13, 40}}));
  int const K = GENERATE(1, 3, 4);
  CAPTURE(dilations, H, W, K);
  for (oracle::adaptive_rule const& rule :
       {oracle::adaptive_rule{}, oracle::adaptive_rule{false, 0.1, 0}, oracle::adaptive_rule{true, 0.5, 0.3, true},
        oracle::adaptive_rule{false, 0.2, 0.1, false}}) {
    CAPTURE(rule.squared, rule.w2, rule.normalise);
    CHECK(gap<TestType>(photograph<float>(K, H, W), dilations, rule) < 3e-6);
    CHECK(gap<TestType>(photograph<double>(K, H, W), dilations, rule) < 1e-12);
  }
}

TEMPLATE_LIST_TEST_CASE("weights on a plain image are equal but for positions", "[affinity][picture]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> plain(3, 9, 21);
  for (float& v : plain.cells()) v = 77.7f;
  auto const absolute = to::back(
      colour_affinity(TestType{}, to::there(plain), dilated_neighbours{1, 2}, colour_affinity_options::pamr()));
  for (float const v : absolute.cells()) CHECK(v == Approx(1. / 16));
  // one dilation: distances 1 and sqrt 2 deviate by 0.2214; the softmax of their squares over (0.3 * 0.2214)^2
  auto const a = to::back(colour_affinity(TestType{}, to::there(plain), dilated_neighbours{1}));
  CHECK(a(1, 4, 4) == Approx(0.125 + 0.01 * 0.25));
  CHECK(a(0, 4, 4) == Approx(0.125));
}

TEMPLATE_LIST_TEST_CASE("nearly plain surroundings keep their contrast", "[affinity][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // One step of float in colours of 200: the mean of squares less the square of the mean would be noise.
  grid<float, 3> image(1, 9, 17);
  for (float& v : image.cells()) v = 200;
  for (int y = 0; y < 9; ++y)
    for (int x = 5; x < 17; x += 3) image(0, y, x) = std::nextafter(200.f, 300.f);
  for (bool const squared : {true, false})
    CHECK(gap<TestType>(image, {1, 2}, {squared, squared ? 0.3 : 0.1, squared ? 0.01 : 0}) < 3e-6);
}

TEST_CASE("the weights of a pixel sum to 1.01, or to 1", "[affinity][property]")
{
  auto const image = support::uniform<float, 3>({3, 19, 23}, 0, 255, 7);
  for (bool const normalise : {false, true}) {
    auto options = colour_affinity_options::par();
    options.normalise = normalise;
    auto const a = colour_affinity(cpu{}, image, {}, options);
    for (int y = 0; y < 19; ++y)
      for (int x = 0; x < 23; ++x) {
        double sum = 0;
        for (int k = 0; k < 48; ++k) sum += a(k, y, x);
        CHECK(sum == Approx(normalise ? 1 : 1.01).epsilon(1e-5));
      }
  }
}

TEST_CASE("colour_affinity: threads, instruction sets, strides and huge contrasts", "[affinity][property]")
{
  auto const image = support::uniform<float, 3>({3, 45, 61}, 0, 255, 5);
  auto const want = colour_affinity(cpu{.threads = 1}, image);
  CHECK(colour_affinity(cpu{.threads = 3}, image) == want);
  for (isa const set : {isa::baseline, isa::avx2})
    CHECK(support::largest_gap(colour_affinity(cpu{.vectors = set}, image).cells(), want.cells()) < 1e-5);
  grid<float, 3> wide(3, 50, 70);
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 45; ++y)
      for (int x = 0; x < 61; ++x) wide(c, y, x) = image(c, y, x);
  auto window = wide.view();
  window.extent[1] = 45, window.extent[2] = 61;
  CHECK(colour_affinity(cpu{}, window) == want);

  grid<float, 3> spot(1, 9, 9);  // a pixel on a plain ground: its contrast is 2e6 / 1e-8
  for (float& v : spot.cells()) v = -1e6f;
  spot(0, 4, 4) = 1e6f;
  for (auto const& options : {colour_affinity_options::par(), colour_affinity_options::pamr()})
    for (float const v : colour_affinity(cpu{}, spot, {1}, options).cells()) CHECK((v >= 0 && v <= 1.01f));
}

TEST_CASE("colour_affinity rejects what it documents", "[affinity][errors]")
{
  grid<float, 3> image(3, 4, 5);
  image(2, 3, 1) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image), precondition_error, "colour_affinity: image(2,3,1) is nan");
  image(2, 3, 1) = 2e6f;
  CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image), precondition_error, "expected a colour of at most 1e6");
  image(2, 3, 1) = 0;
  CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, grid<float, 3>(0, 4, 5)), precondition_error, "it needs a channel");
  for (double const w1 : {0., -1., 1001., std::nan("")})
    CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image, {}, {.w1 = w1}), precondition_error, "w1 is");
  for (double const w2 : {-0.1, 1e7, std::nan("")})
    CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image, {}, {.w2 = w2}), precondition_error, "w2 is");
  dilated_neighbours broken;
  broken.dilation[3] = 0;
  CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image, broken), precondition_error, "dilation 3 is 0");
  broken.count = 33;
  CAMBIUM_THROWS_SAYING(colour_affinity(cpu{}, image, broken), precondition_error, "33 dilations");
  dilated_neighbours const near{1};
  colour_affinity_scratch<float, cpu> scratch(cpu{}, {3, 4, 5}, near), small(cpu{}, {3, 3, 5}, near);
  grid<float, 3> out(8, 4, 5), wrong(8, 5, 4);
  colour_affinity_into(cpu{}, image, near, {}, out, scratch);
  CAMBIUM_THROWS_SAYING(colour_affinity_into(cpu{}, image, near, {}, wrong, scratch), precondition_error, "[8,5,4]");
  CAMBIUM_THROWS_SAYING(colour_affinity_into(cpu{}, image, near, {}, out, small), precondition_error, "the scratch");
  CAMBIUM_THROWS_SAYING(colour_affinity_into(cpu{}, image, {1, 2}, {}, grid<float, 3>(16, 4, 5), scratch),
                        precondition_error, "the scratch");
  CHECK(colour_affinity(cpu{}, grid<float, 3>(3, 0, 5)).size() == 0);
  CHECK(colour_affinity(cpu{}, grid<float, 3>(3, 5, 0)).size() == 0);
}
