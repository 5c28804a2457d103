#include <cambium/loss/hard_pixels.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/slopes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

struct batch {
  grid<double, 4> logits;
  grid<std::int32_t, 3> labels;

  batch(index_t B, index_t C, index_t H, index_t W, std::uint64_t seed)
      : logits(support::uniform<double, 4>({B, C, H, W}, -4, 4, seed)),
        labels(support::uniform<std::int32_t, 3>({B, H, W}, 0, static_cast<double>(C) + 0.999, seed + 1))
  {
    for (auto& l : labels.cells()) l = l == static_cast<std::int32_t>(C) ? label::ignore : l;
  }
};

/// The losses of all pixels, one by one.
std::vector<double> by_definition(batch const& d)
{
  auto const s = d.logits.shape();
  std::vector<double> out;
  for (index_t b = 0; b < s[0]; ++b)
    for (index_t y = 0; y < s[2]; ++y)
      for (index_t x = 0; x < s[3]; ++x) {
        auto const l = d.labels(b, y, x);
        double sum = 0;
        for (index_t c = 0; c < s[1]; ++c) sum += std::exp(d.logits(b, c, y, x));
        out.push_back(l == 255 ? 0 : -std::log(std::exp(d.logits(b, l, y, x)) / sum));
      }
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("cross entropies are their definitions", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>({{1, 3, 3, 3}, {2, 5, 13, 27}, {3, 2, 1, 30}}));
  double const fraction = GENERATE(0.2, 0.37, 1.0);
  CAPTURE(B, C, H, W, fraction);
  batch const d(B, C, H, W, 5);
  auto losses = by_definition(d);
  std::vector<double> labelled;
  for (std::size_t i = 0; i < losses.size(); ++i)
    if (d.labels.cells()[i] != 255) labelled.push_back(losses[i]);
  auto const mean_of_largest = [&](std::vector<double> v) {
    std::sort(v.rbegin(), v.rend());
    auto const k = std::max<std::size_t>(1, static_cast<std::size_t>(fraction * static_cast<double>(v.size())));
    double sum = 0;
    for (std::size_t i = 0; i < k; ++i) sum += v[i];
    return sum / static_cast<double>(k);
  };
  auto const& logits = to::there(d.logits);
  auto const& labels = to::there(d.labels);
  CHECK(hardest_pixels_cross_entropy(TestType{}, logits, labels, {.fraction = fraction}).value ==
        Approx(mean_of_largest(losses)));
  auto const of_labelled =
      hardest_pixels_cross_entropy(TestType{}, logits, labels, {.fraction = fraction, .of = pixel_pool::labelled});
  CHECK(of_labelled.value == Approx(mean_of_largest(labelled)));
  auto const plain = cross_entropy(TestType{}, logits, labels);
  double sum = 0;
  for (double const v : labelled) sum += v;
  CHECK(plain.value == Approx(sum / static_cast<double>(labelled.size())));
  CHECK(plain.pixels == static_cast<index_t>(labelled.size()));
  if (fraction == 1.0) {
    CHECK(of_labelled.value == plain.value);
    CHECK(to::back(of_labelled.gradient) == to::back(plain.gradient));
  }
}

TEST_CASE("gradients of cross entropies are slopes", "[loss][property]")
{
  batch d(2, 3, 4, 6, 9);
  auto const check = [&](auto const& loss) { support::check_slopes(d.logits, [&] { return loss(d); }, 1e-5); };
  check([](batch const& b) { return cross_entropy(cpu{}, b.logits, b.labels); });
  check([](batch const& b) { return hardest_pixels_cross_entropy(cpu{}, b.logits, b.labels); });
  check([](batch const& b) {
    return hardest_pixels_cross_entropy(cpu{}, b.logits, b.labels, {.fraction = 0.5, .of = pixel_pool::labelled});
  });
}

TEMPLATE_LIST_TEST_CASE("of equal losses the first pixels are taken", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 4> logits(1, 2, 2, 5);
  grid<std::int32_t, 3> labels(1, 2, 5);
  labels(0, 0, 0) = label::ignore;
  logits(0, 1, 1, 1) = 3;  // the hardest pixel; all others lose log 2
  auto const got = hardest_pixels_cross_entropy(TestType{}, to::there(logits), to::there(labels), {.fraction = 0.4});
  CHECK(got.pixels == 4);
  auto const gradient = to::back(got.gradient);
  std::string taken;
  for (index_t i = 0; i < 10; ++i) taken += gradient(0, 1, i / 5, i % 5) != 0 ? '#' : '.';
  CHECK(taken == ".###..#...");
}

TEMPLATE_LIST_TEST_CASE("ignored pixels count, unless asked", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<double, 4> const logits(1, 2, 1, 10);
  grid<std::int32_t, 3> labels(1, 1, 10);
  for (index_t x = 2; x < 10; ++x) labels(0, 0, x) = label::ignore;
  auto const& there = to::there(logits);
  auto const& known = to::there(labels);
  double const one = std::log(2.0);
  // half of ten pixels: two of them are labelled, three zeros fill up
  CHECK(hardest_pixels_cross_entropy(TestType{}, there, known, {.fraction = 0.5}).value == Approx(2 * one / 5));
  hard_pixel_options const labelled{.fraction = 0.5, .of = pixel_pool::labelled};
  auto const own = hardest_pixels_cross_entropy(TestType{}, there, known, labelled);
  CHECK(own.value == Approx(one));
  CHECK(own.pixels == 1);
}

TEMPLATE_LIST_TEST_CASE("few pixels, none, and none with a label", "[loss][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  batch const d(1, 3, 2, 2, 1);  // the original: k = 0, NaN
  TestType const where{};
  auto losses = by_definition(d);
  auto const few = hardest_pixels_cross_entropy(where, to::there(d.logits), to::there(d.labels));
  CHECK(few.pixels == 1);
  CHECK(few.value == Approx(*std::max_element(losses.begin(), losses.end())));
  grid<std::int32_t, 3> nothing(1, 2, 2);
  std::fill(nothing.cells().begin(), nothing.cells().end(), label::ignore);
  CHECK(cross_entropy(where, to::there(d.logits), to::there(nothing)).value == 0);
  CHECK(hardest_pixels_cross_entropy(where, to::there(d.logits), to::there(nothing)).value == 0);
  hard_pixel_options const labelled{.of = pixel_pool::labelled};
  auto const none = hardest_pixels_cross_entropy(where, to::there(d.logits), to::there(nothing), labelled);
  CHECK((none.value == 0 && none.pixels == 0));
  for (double const g : to::back(none.gradient).cells()) CHECK(g == 0);
  auto const of_shape = [&](index_t B, index_t C, index_t H, index_t W, auto const& loss) {
    grid<float, 4> const logits(B, C, H, W);
    grid<std::uint8_t, 3> const labels(B, H, W);
    return loss(to::there(logits), to::there(labels)).value;
  };
  auto const plain = [&](auto const& z, auto const& l) { return cross_entropy(where, z, l); };
  auto const hardest = [&](auto const& z, auto const& l) { return hardest_pixels_cross_entropy(where, z, l); };
  CHECK(of_shape(2, 3, 0, 4, plain) == 0);
  CHECK(of_shape(0, 3, 4, 4, hardest) == 0);
  CHECK(of_shape(1, 1, 2, 2, plain) == 0);  // one class
}

TEMPLATE_LIST_TEST_CASE("huge logits stay numbers", "[loss][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 4> logits(1, 2, 1, 1);
  logits(0, 0, 0, 0) = std::numeric_limits<float>::max();
  logits(0, 1, 0, 0) = -std::numeric_limits<float>::max();
  grid<std::int32_t, 3> labels(1, 1, 1);
  labels(0, 0, 0) = 1;
  auto const wrong = cross_entropy(TestType{}, to::there(logits), to::there(labels));
  CHECK(wrong.value == Approx(2 * static_cast<double>(std::numeric_limits<float>::max())));
  CHECK(to::back(wrong.gradient)(0, 0, 0, 0) == 1);
  CHECK(to::back(wrong.gradient)(0, 1, 0, 0) == -1);

  // The loss and the logit of the label cancel; the gradient must not come from their sum.
  logits(0, 0, 0, 0) = 3, logits(0, 1, 0, 0) = -1e20f;
  auto const certain = [](auto const& loss) {
    auto const gradient = to::back(loss.gradient);
    CHECK(gradient(0, 0, 0, 0) == 1);
    CHECK(gradient(0, 1, 0, 0) == -1);
  };
  certain(cross_entropy(TestType{}, to::there(logits), to::there(labels)));
  certain(hardest_pixels_cross_entropy(TestType{}, to::there(logits), to::there(labels)));
  grid<double, 4> wide(1, 2, 1, 1);
  wide(0, 0, 0, 0) = 1e308, wide(0, 1, 0, 0) = -1e308;
  certain(cross_entropy(TestType{}, to::there(wide), to::there(labels)));
}

TEST_CASE("threads change nothing in cross entropies", "[loss][property]")
{
  batch const d(2, 4, 60, 37, 2);
  auto const want = hardest_pixels_cross_entropy(cpu{.threads = 1}, d.logits, d.labels);
  for (int const threads : {2, 3, 7}) {
    auto const have = hardest_pixels_cross_entropy(cpu{.threads = threads}, d.logits, d.labels);
    CHECK(have.value == want.value);
    CHECK(have.gradient == want.gradient);
  }
}

TEST_CASE("cross entropies reject what they document", "[loss][errors]")
{
  batch const good(1, 3, 3, 4, 1);
  auto const says = [](batch const& d, char const* words) {
    CAMBIUM_THROWS_SAYING(cross_entropy(cpu{}, d.logits, d.labels), precondition_error, words);
    CAMBIUM_THROWS_SAYING(hardest_pixels_cross_entropy(cpu{}, d.logits, d.labels), precondition_error, words);
  };
  auto bad = good;
  bad.logits(0, 1, 2, 3) = std::numeric_limits<double>::quiet_NaN(), says(bad, "logits(0,1,2,3) is nan");
  bad = good, bad.labels(0, 1, 2) = 3, says(bad, "label(0,1,2) is 3, outside 0..2 and not 255");
  bad = good, bad.labels(0, 1, 2) = -1, says(bad, "label(0,1,2) is -1");
  bad = good, bad.labels = grid<std::int32_t, 3>(1, 3, 5), says(bad, "logits are [1,3,3,4] but labels are [1,3,5]");
  for (double const fraction : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()})
    CAMBIUM_THROWS_SAYING(hardest_pixels_cross_entropy(cpu{}, good.logits, good.labels, {.fraction = fraction}),
                          precondition_error, "outside (0,1]");
}

TEMPLATE_LIST_TEST_CASE("cross entropies of a device are those of cores", "[loss][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, C, H, W] =
      GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 5, 13, 27}, {0, 3, 4, 4}, {2, 3, 0, 4}, {2, 4, 60, 37}}));
  double const fraction = GENERATE(0.001, 0.2, 0.37, 1.0);
  auto const of = GENERATE(pixel_pool::all, pixel_pool::labelled);
  bool const tied = GENERATE(false, true);
  CAPTURE(B, C, H, W, fraction, tied);
  batch d(B, C, H, W, 5);
  if (tied)
    for (auto& v : d.logits.cells()) v = v < 0 ? 0.0 : 1.0;
  TestType const where{};
  auto const logits = support::copied<TestType>(d.logits);
  auto const labels = support::copied<TestType>(d.labels);
  auto const same = [](auto const& have, auto const& want) {
    CHECK(have.value == Approx(want.value).epsilon(1e-12).margin(1e-300));
    CHECK(have.pixels == want.pixels);
    auto const gradient = to::back(have.gradient);
    REQUIRE(gradient.shape() == want.gradient.shape());
    for (std::size_t i = 0; i < want.gradient.cells().size(); ++i)
      REQUIRE(gradient.cells()[i] == Approx(want.gradient.cells()[i]).epsilon(1e-13).margin(1e-300));
  };
  same(cross_entropy(where, logits, labels), cross_entropy(cpu{}, d.logits, d.labels));
  hard_pixel_options const options{.fraction = fraction, .of = of};
  auto const have = hardest_pixels_cross_entropy(where, logits, labels, options);
  same(have, hardest_pixels_cross_entropy(cpu{}, d.logits, d.labels, options));
  CHECK(have.value == hardest_pixels_cross_entropy(where, logits, labels, options).value);
}

TEMPLATE_LIST_TEST_CASE("labels that are no class, and what cross entropies of a device reject", "[loss][errors]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  batch good(1, 3, 5, 6, 1), invalid = good;
  for (index_t i = 0; i < good.labels.size(); i += 3)
    good.labels.data()[i] = label::ignore, invalid.labels.data()[i] = i % 2 == 0 ? -7 : 3;
  auto const logits = support::copied<TestType>(good.logits);
  auto const labels = support::copied<TestType>(good.labels), unknown = support::copied<TestType>(invalid.labels);
  auto const want = hardest_pixels_cross_entropy(cpu{}, good.logits, good.labels, {.of = pixel_pool::labelled});
  auto const have = hardest_pixels_cross_entropy(where, logits, unknown, {.of = pixel_pool::labelled});
  CHECK(have.value == Approx(want.value));
  CHECK(have.pixels == want.pixels);
  // a NaN is harder than any number, whatever its sign
  for (double const sign : {1.0, -1.0}) {
    auto broken = good;
    broken.labels(0, 3, 4) = 1;
    broken.logits(0, 1, 3, 4) = std::copysign(std::numeric_limits<double>::quiet_NaN(), sign);
    auto const lost = hardest_pixels_cross_entropy(where, support::copied<TestType>(broken.logits),
                                                   support::copied<TestType>(broken.labels), {.fraction = 0.01});
    CHECK(lost.pixels == 1);
    CHECK(std::isnan(lost.value));
  }
  auto const few = support::copied<TestType>(grid<std::int32_t, 3>(1, 5, 5));
  CAMBIUM_THROWS_SAYING(cross_entropy(where, logits, few), precondition_error, "but labels are [1,5,5]");
  CAMBIUM_THROWS_SAYING(hardest_pixels_cross_entropy(where, logits, labels, {.fraction = 0}), precondition_error,
                        "fraction is 0, outside (0,1]");
}
