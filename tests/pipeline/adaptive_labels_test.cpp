#include <cambium/pipeline/adaptive_labels.hpp>

#include "support/adaptive.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

using namespace cambium;

namespace {

/// Two squares on a ground, with noise.
grid<std::uint8_t, 3> photograph(int H, int W)
{
  auto const noise = support::uniform<float, 3>({H, W, 3}, 0, 6, 4);
  grid<std::uint8_t, 3> out(H, W, 3);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x)
      for (int c = 0; c < 3; ++c) {
        bool const inside = y > H / 4 && y < 3 * H / 4 && x % (W / 2) > W / 8;
        out(y, x, c) = static_cast<std::uint8_t>(
            static_cast<float>(inside ? x < W / 2 ? 90 + 40 * c : 220 - 50 * c : 30) + noise(y, x, c));
      }
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("adapt_labels equals masks averaged one by one", "[pixel_adaptive][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  int const H = 24, W = 37, L = 4;
  auto const picture = photograph(H, W);
  auto const random = support::uniform<float, 2>({H, W}, 0, 2.999, 8);  // label 3 does not occur
  grid<std::int32_t, 2> labels(H, W);
  grid<double, 3> image(3, H, W), masks(L, H, W);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      labels(y, x) = y > 6 && x > 5 ? static_cast<std::int32_t>(random(y, x)) : 0;
      masks(labels(y, x), y, x) = 1;
      for (int c = 0; c < 3; ++c) image(c, y, x) = picture(y, x, c);
    }
  auto const there = to::there(labels);
  for (bool const squared : {true, false}) {
    std::vector<int> const dilations{1, 2, 6};
    auto const colours = squared ? colour_affinity_options::par() : colour_affinity_options::pamr();
    auto const pixels = to::there(picture);
    pixel_adaptive_options options;
    options.dilations = {1, 2, 6}, options.steps = 4;
    auto const want = oracle::adaptive_average(
        masks, oracle::adaptive_weights(image, dilations, {squared, squared ? 0.3 : 0.1, squared ? 0.01 : 0}),
        dilations, 4);
    auto const have = to::back(adapt_labels(TestType{}, pixels, there, L, colours, options));
    int changed = 0, close = 0;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        double most = -1, next = -1;
        int best = 0;
        for (int l = 0; l < L; ++l)
          if (want(l, y, x) > most)
            next = most, most = want(l, y, x), best = l;
          else
            next = std::max(next, want(l, y, x));
        changed += best != labels(y, x);
        if (most - next < 1e-4)
          ++close;
        else
          CHECK(have(y, x) == best);
      }
    CHECK(changed > 100);
    CHECK(close < 10);
    options.steps = 0;
    CHECK(to::back(adapt_labels(TestType{}, pixels, there, L, colours, options)) == labels);
  }
}

TEST_CASE("a ragged label follows its square, a map of one label stays", "[pixel_adaptive][picture]")
{
  int const H = 40, W = 64;
  auto const picture = photograph(H, W);
  auto const noise = support::uniform<float, 2>({H, W}, 0, 1, 3);
  grid<std::int32_t, 2> truth(H, W), ragged(H, W);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      bool const inside = y > H / 4 && y < 3 * H / 4 && x % (W / 2) > W / 8;
      truth(y, x) = inside ? 1 + (x >= W / 2) : 0;
      ragged(y, x) = noise(y, x) < 0.3 ? 0 : truth(y, x);
    }
  auto const wrong = [&](grid<std::int32_t, 2> const& map) {
    int n = 0;
    for (std::size_t i = 0; i < map.cells().size(); ++i) n += map.cells()[i] != truth.cells()[i];
    return n;
  };
  for (auto const& colours : {colour_affinity_options::par(), colour_affinity_options::pamr()}) {
    CHECK(wrong(ragged) > 200);
    CHECK(wrong(adapt_labels(cpu{}, picture, ragged, 3, colours)) < 40);
    grid<std::int32_t, 2> ones(H, W);
    for (auto& v : ones.cells()) v = 1;
    CHECK(adapt_labels(cpu{}, picture, ones, 3, colours) == ones);
  }
}

TEMPLATE_LIST_TEST_CASE("of equal masks the smallest label wins", "[pixel_adaptive][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::uint8_t, 3> const plain(1, 3, 3);
  grid<std::int32_t, 2> labels(1, 3);
  labels(0, 0) = 2, labels(0, 2) = 1;  // three of eight neighbours of the middle are 2, three are 1, two are itself
  pixel_adaptive_options options;
  options.dilations = {1}, options.steps = 1;
  auto const out = to::back(
      adapt_labels(TestType{}, to::there(plain), to::there(labels), 3, colour_affinity_options::pamr(), options));
  CHECK(out(0, 0) == 2);
  CHECK(out(0, 1) == 1);
  CHECK(out(0, 2) == 1);
}

TEST_CASE("adapt_labels rejects what it documents", "[pixel_adaptive][errors]")
{
  grid<std::uint8_t, 3> const picture(5, 6, 3);
  grid<std::int32_t, 2> labels(5, 6);
  labels(4, 2) = 3;
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, picture, labels, 3), precondition_error, "labels(4,2) is 3, outside 0..2");
  labels(4, 2) = -1;
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, picture, labels, 3), precondition_error, "labels(4,2) is -1");
  labels(4, 2) = 0;
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, picture, labels, 0), precondition_error, "L is 0");
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, picture, labels, 1, {}, {.steps = -1}), precondition_error,
                        "adapt_labels: steps is -1");
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, picture, grid<std::int32_t, 2>(6, 5), 1), precondition_error,
                        "labels are [6,5]");
  CAMBIUM_THROWS_SAYING(adapt_labels(cpu{}, grid<std::uint8_t, 3>(5, 6, 0), labels, 1), precondition_error,
                        "it needs a channel");
  CHECK(adapt_labels(cpu{}, grid<std::uint8_t, 3>(0, 6, 3), grid<std::int32_t, 2>(0, 6), 2).size() == 0);
}
