#include <cambium/loss/guided.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/slopes.hpp"

#include <cmath>
#include <limits>

using namespace cambium;

namespace {

template <class T>
struct batch {
  grid<T, 4> output, target, weight;

  batch(index_t B, index_t C, index_t H, index_t W, std::uint64_t seed)
      : output(support::uniform<T, 4>({B, C, H, W}, 0.05, 0.95, seed)),
        target(support::uniform<T, 4>({B, C, H, W}, 0, 1.2, seed + 1)),
        weight(support::uniform<T, 4>({B, 1, H, W}, -1, 1, seed + 2))
  {
    for (T& v : target.cells()) v = std::min(v, T(1));  // some are 1 exactly
    for (T& v : weight.cells()) v = std::max(v, T(0));  // half of the pixels are not guided
  }
};

/// The sum of any term over the batch and the number of guided pixels, in the order a reader would write them.
template <class Term>
std::pair<double, index_t> by_definition(batch<double> const& d, Term const& term)
{
  auto const s = d.output.shape();
  double sum = 0;
  index_t guided = 0;
  for (index_t b = 0; b < s[0]; ++b)
    for (index_t y = 0; y < s[2]; ++y)
      for (index_t x = 0; x < s[3]; ++x) {
        guided += d.weight(b, 0, y, x) > 0;
        for (index_t c = 0; c < s[1]; ++c)
          sum += d.weight(b, 0, y, x) * term(d.output(b, c, y, x), d.target(b, c, y, x));
      }
  return {sum, guided};
}

double square(double a, double b) { return (a - b) * (a - b); }
double absolute(double a, double b) { return std::abs(a - b); }
double focal(double p, double t)
{
  return t == 1 ? -std::log(p) * std::pow(1 - p, 2) : -std::log(1 - p) * p * p * std::pow(1 - t, 4);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("guided errors are their definition", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 3, 7, 5}, {1, 2, 40, 33}}));
  CAPTURE(B, C, H, W);
  batch<double> d(B, C, H, W, 4);
  d.weight(0, 0, 0, 0) = 0.5;
  auto const [squares, guided] = by_definition(d, square);
  auto const [sizes, n] = by_definition(d, absolute);
  double const pixels = static_cast<double>(guided), values = pixels * C;
  CHECK(guided_square_error(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight)).value ==
        Approx(squares / pixels));
  CHECK(guided_absolute_error(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight)).value ==
        Approx(sizes / pixels));
  guided_options const mean{.over = guided_mean::values};
  CHECK(guided_square_error(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight), mean).value ==
        Approx(squares / values));
  CHECK(guided_absolute_error(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight), mean).value ==
        Approx(sizes / values));
  static_cast<void>(n);

  std::fill(d.weight.cells().begin(), d.weight.cells().end(), 1);
  double const all = static_cast<double>(B * C * H * W);
  CHECK(mean_square_error(TestType{}, to::there(d.output), to::there(d.target)).value ==
        Approx(by_definition(d, square).first / all));
  CHECK(mean_absolute_error(TestType{}, to::there(d.output), to::there(d.target)).value ==
        Approx(by_definition(d, absolute).first / all));
}

TEMPLATE_LIST_TEST_CASE("the focal loss is its definition", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  batch<double> d(2, 3, 6, 5, 7);
  auto const [sum, guided] = by_definition(d, focal);
  index_t positives = 0;
  for (double const t : d.target.cells()) positives += t == 1;
  REQUIRE(positives > 3);
  CHECK(focal_loss(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight)).value ==
        Approx(sum / static_cast<double>(positives)));
  for (double& t : d.target.cells()) t = std::min(t, 0.9);
  CHECK(focal_loss(TestType{}, to::there(d.output), to::there(d.target), to::there(d.weight)).value ==
        Approx(by_definition(d, focal).first));
  static_cast<void>(guided);
}

TEST_CASE("gradients of guided losses are slopes", "[loss][property]")
{
  batch<double> d(2, 2, 4, 5, 9);
  auto const check = [&](auto const& loss) { support::check_slopes(d.output, [&] { return loss(d); }, 1e-6, 3); };
  check([](auto const& b) { return guided_square_error(cpu{}, b.output, b.target, b.weight); });
  check([](auto const& b) { return guided_absolute_error(cpu{}, b.output, b.target, b.weight); });
  check([](auto const& b) {
    return guided_square_error(cpu{}, b.output, b.target, b.weight, {.over = guided_mean::values});
  });
  check([](auto const& b) { return mean_square_error(cpu{}, b.output, b.target); });
  check([](auto const& b) { return mean_absolute_error(cpu{}, b.output, b.target); });
  check([](auto const& b) { return focal_loss(cpu{}, b.output, b.target, b.weight); });
}

TEMPLATE_LIST_TEST_CASE("channels do not count in the divisor, unless asked", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 4> output(1, 2, 1, 3), target(1, 2, 1, 3), weight(1, 1, 1, 3);
  output(0, 0, 0, 0) = 2, output(0, 1, 0, 0) = 4, output(0, 0, 0, 2) = 100;
  weight(0, 0, 0, 0) = 1, weight(0, 0, 0, 1) = 0.5f;  // two guided pixels; the third is not
  auto const &o = to::there(output), &t = to::there(target), &w = to::there(weight);
  CHECK(guided_square_error(TestType{}, o, t, w).value == 10);
  CHECK(guided_absolute_error(TestType{}, o, t, w).value == 3);
  CHECK(guided_absolute_error(TestType{}, o, t, w, {.over = guided_mean::values}).value == 1.5);
  auto const loss = guided_absolute_error(TestType{}, o, t, w);
  auto const gradient = to::back(loss.gradient);
  CHECK(gradient(0, 0, 0, 0) == 0.5f);
  CHECK(gradient(0, 0, 0, 1) == 0);  // equal: slope 0
  CHECK(gradient(0, 0, 0, 2) == 0);
}

TEMPLATE_LIST_TEST_CASE("no guided pixel, no pixel, certainty", "[loss][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  batch<float> d(1, 2, 3, 4, 1);
  std::fill(d.weight.cells().begin(), d.weight.cells().end(), 0.f);
  auto const zero = [&](auto const& loss) {
    CHECK(loss.value == 0);
    for (float const g : to::back(loss.gradient).cells()) CHECK(g == 0);
  };
  TestType const where{};
  zero(guided_square_error(where, to::there(d.output), to::there(d.target), to::there(d.weight)));
  zero(guided_absolute_error(where, to::there(d.output), to::there(d.target), to::there(d.weight)));
  zero(focal_loss(where, to::there(d.output), to::there(d.target), to::there(d.weight)));
  grid<float, 4> const none(0, 2, 3, 4), unweighted(0, 1, 3, 4);
  CHECK(mean_square_error(where, to::there(none), to::there(none)).value == 0);
  CHECK(guided_square_error(where, to::there(none), to::there(none), to::there(unweighted)).value == 0);

  grid<double, 4> p(1, 1, 1, 1), t(1, 1, 1, 1), w(1, 1, 1, 1);
  w(0, 0, 0, 0) = 1;
  auto const focal = [&](focal_options const& o = {}) {
    return focal_loss(where, to::there(p), to::there(t), to::there(w), o);
  };
  CHECK(focal().value == 0);  // right
  t(0, 0, 0, 0) = 1;
  CHECK(std::isinf(focal().value));  // wrong and sure of it
  CHECK(focal({.clip = 1e-4}).value == Approx(-std::log(1e-4)).epsilon(1e-3));
  CHECK(to::back(focal({.clip = 1e-4}).gradient)(0, 0, 0, 0) == 0);
  p(0, 0, 0, 0) = 1;
  CHECK(focal().value == 0);
  CHECK(to::back(focal().gradient)(0, 0, 0, 0) == 0);

  // A share that rounds to 0 is 0, though the logarithm beside it is infinite.
  t(0, 0, 0, 0) = 1 - 1.2e-16, w(0, 0, 0, 0) = 1e-290;
  REQUIRE(t(0, 0, 0, 0) < 1);
  CHECK(focal().value == 0);
  CHECK(to::back(focal().gradient)(0, 0, 0, 0) == 0);
}

namespace {
/// A term of a caller's own: m * (a - b)^4.
struct fourth_power {
  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    double const far = a - b, square = far * far;
    return {m * square * square, 4 * m * square * far};
  }
};
}  // namespace

TEMPLATE_LIST_TEST_CASE("a term of the caller's, weighted or not, and its divisor", "[loss][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  batch<double> d(2, 3, 6, 5, 12);
  auto const fourth = [](double a, double b) { return std::pow(a - b, 4); };
  auto const [sum, guided] = by_definition(d, fourth);
  auto const& output = to::there(d.output);
  auto const& target = to::there(d.target);
  CHECK(guided_loss(where, fourth_power{}, output, target, to::there(d.weight)).value ==
        Approx(sum / static_cast<double>(guided)));
  std::fill(d.weight.cells().begin(), d.weight.cells().end(), 1);
  double const all = by_definition(d, fourth).first;
  auto const plain = [&](guided_mean over) {
    return guided_loss(where, fourth_power{}, output, target, every_pixel{}, {over}).value;
  };
  CHECK(plain(guided_mean::pixels) == Approx(all / (2 * 6 * 5)));
  CHECK(plain(guided_mean::values) == Approx(all / (2 * 3 * 6 * 5)));
  index_t ones = 0;
  for (double const t : d.target.cells()) ones += t == 1;
  CHECK(plain(guided_mean::ones) == Approx(all / static_cast<double>(ones)));
}

TEST_CASE("threads change nothing in guided losses", "[loss][property]")
{
  batch<float> const d(3, 4, 50, 37, 2);
  auto const want = guided_square_error(cpu{.threads = 1}, d.output, d.target, d.weight);
  for (int const threads : {2, 3, 7}) {
    auto const have = guided_square_error(cpu{.threads = threads}, d.output, d.target, d.weight);
    CHECK(have.value == want.value);
    CHECK(have.gradient == want.gradient);
  }
}

TEST_CASE("guided losses reject what they document", "[loss][errors]")
{
  batch<float> const good(1, 2, 3, 4, 1);
  auto const says = [](batch<float> const& d, char const* words) {
    CAMBIUM_THROWS_SAYING(guided_square_error(cpu{}, d.output, d.target, d.weight), precondition_error, words);
    CAMBIUM_THROWS_SAYING(guided_absolute_error(cpu{}, d.output, d.target, d.weight), precondition_error, words);
    CAMBIUM_THROWS_SAYING(focal_loss(cpu{}, d.output, d.target, d.weight), precondition_error, words);
  };
  float const nan = std::numeric_limits<float>::quiet_NaN();
  auto bad = good;
  bad.output(0, 1, 2, 3) = nan, says(bad, "output(0,1,2,3) is nan");
  bad = good, bad.target(0, 0, 2, 3) = -std::numeric_limits<float>::infinity(), says(bad, "target(0,0,2,3) is -inf");
  bad = good, bad.weight(0, 0, 1, 1) = -1, says(bad, "weight(0,0,1,1) is -1; expected a finite number >= 0");
  bad = good, bad.weight(0, 0, 1, 1) = nan, says(bad, "weight(0,0,1,1) is nan");
  bad = good, bad.target = grid<float, 4>(1, 2, 3, 5), says(bad, "output is [1,2,3,4] but target is [1,2,3,5]");
  bad = good, bad.weight = grid<float, 4>(1, 2, 3, 4), says(bad, "weight is [1,2,3,4]; it is one a pixel");
  bad = good, bad.weight = grid<float, 4>(), says(bad, "weight is [0,0,0,0]; it is one a pixel");
  bad = good, bad.output(0, 0, 0, 0) = 1.25f;
  CAMBIUM_THROWS_SAYING(focal_loss(cpu{}, bad.output, bad.target, bad.weight), precondition_error,
                        "output(0,0,0,0) is 1.25; expected a value in [0,1]");
  CAMBIUM_THROWS_SAYING(focal_loss(cpu{}, good.output, good.target, good.weight, {.clip = 0.5}), precondition_error,
                        "clip is 0.5");
  CAMBIUM_THROWS_SAYING(mean_square_error(cpu{}, good.output, grid<float, 4>(1, 2, 3, 5)), precondition_error,
                        "mean_square_error: output is [1,2,3,4]");
  CAMBIUM_THROWS_SAYING(mean_absolute_error(cpu{}, good.output, grid<float, 4>(1, 2, 3, 5)), precondition_error,
                        "mean_absolute_error: output is [1,2,3,4]");
}

TEMPLATE_LIST_TEST_CASE("guided losses of a device are those of cores", "[loss][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, C, H, W] =
      GENERATE(table<int, int, int, int>({{0, 2, 3, 4}, {1, 1, 1, 1}, {2, 3, 7, 5}, {3, 4, 50, 37}, {1, 2, 0, 3}}));
  auto const over = GENERATE(guided_mean::pixels, guided_mean::values);
  CAPTURE(B, C, H, W);
  batch<float> const d(B, C, H, W, 21);
  TestType const where{};
  auto const o = support::copied<TestType>(d.output), t = support::copied<TestType>(d.target),
             w = support::copied<TestType>(d.weight);
  auto const same = [](auto const& have, auto const& want) {
    CHECK(have.value == Approx(want.value).epsilon(1e-12));
    auto const gradient = to::back(have.gradient);
    REQUIRE(gradient.shape() == want.gradient.shape());
    for (std::size_t i = 0; i < want.gradient.cells().size(); ++i)
      REQUIRE(gradient.cells()[i] == Approx(want.gradient.cells()[i]).epsilon(1e-6).margin(1e-30));
  };
  guided_options const options{.over = over};
  same(guided_square_error(where, o, t, w, options), guided_square_error(cpu{}, d.output, d.target, d.weight, options));
  same(guided_absolute_error(where, o, t, w, options),
       guided_absolute_error(cpu{}, d.output, d.target, d.weight, options));
  same(focal_loss(where, o, t, w), focal_loss(cpu{}, d.output, d.target, d.weight));
  same(mean_square_error(where, o, t), mean_square_error(cpu{}, d.output, d.target));
  same(mean_absolute_error(where, o, t), mean_absolute_error(cpu{}, d.output, d.target));
}

TEMPLATE_LIST_TEST_CASE("guided losses repeat their bits and check shapes", "[loss][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  batch<float> const d(2, 3, 40, 61, 4), other(2, 3, 40, 60, 4);
  auto o = support::copied<TestType>(d.output);
  auto const t = support::copied<TestType>(d.target), w = support::copied<TestType>(d.weight),
             narrow = support::copied<TestType>(other.target);
  auto const once = guided_square_error(where, o, t, w), again = guided_square_error(where, o, t, w);
  CHECK(once.value == again.value);
  CHECK(to::back(once.gradient) == to::back(again.gradient));
  CAMBIUM_THROWS_SAYING(guided_square_error(where, o, narrow, w), precondition_error, "but target is [2,3,40,60]");
  CAMBIUM_THROWS_SAYING(guided_absolute_error(where, o, t, t), precondition_error, "it is one a pixel");
  CAMBIUM_THROWS_SAYING(focal_loss(where, o, t, w, {.clip = 0.5}), precondition_error, "clip is 0.5");
  auto value = make_grid<double>(where, {1});
  guided_scratch<TestType> scratch(where);
  auto const into_input = [&] {
    view<float const, 4, typename TestType::memory> const output = o.view();
    guided_loss_into(where, rule::square_error{}, output, t.view(), every_pixel{}, {.over = guided_mean::values},
                     o.view(), value.view(), scratch, "mean_square_error");
  };
  CAMBIUM_THROWS_SAYING(into_input(), precondition_error, "mean_square_error: the gradient overlaps an input");
}
