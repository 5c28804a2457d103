#include <cambium/loss/label_uncertainty.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

using namespace cambium;

namespace {

template <class T>
struct batch {
  grid<T, 4> mean, log_variance, target;
  grid<std::uint8_t, 4> trusted;

  /// Random; targets of boxed cells lean to 1.
  batch(index_t B, index_t C, index_t H, index_t W, std::uint64_t seed, index_t spreads = 0, index_t trusts = 0)
      : mean(support::uniform<T, 4>({B, C, H, W}, -6, 6, seed)),
        log_variance(support::uniform<T, 4>({B, spreads ? spreads : C, H, W}, -5, 5, seed + 1)),
        target(support::uniform<T, 4>({B, C, H, W}, 0, 1, seed + 2)),
        trusted(support::uniform<std::uint8_t, 4>({B, trusts ? trusts : C, H, W}, 0, 2.999, seed + 3))
  {
    for (auto& y : target.cells()) y = y < T(0.4) ? T(0) : y > T(0.5) ? T(1) : y;
  }
  auto loss(label_uncertainty_options const& o = {}, cpu const& where = {}) const
  {
    return label_uncertainty_loss(where, mean, log_variance, target, trusted, o);
  }
};

/// softplus and sigmoid from their definitions, in the widest type there is.
long double softplus(long double x) { return x > 60 ? x + std::exp(-x) : std::log1p(std::exp(x)); }

/// The binary loss by its definition: softplus(z) - y z with z = mean / sqrt(1 + pi sigma^2 / 8) in boxes.
double by_definition(batch<double> const& d, double cap, double box_weight)
{
  auto const shape = d.mean.shape();
  long double sum = 0, weights = 0;
  for (index_t b = 0; b < shape[0]; ++b)
    for (index_t c = 0; c < shape[1]; ++c)
      for (index_t y = 0; y < shape[2]; ++y)
        for (index_t x = 0; x < shape[3]; ++x) {
          int const t = d.trusted(b, d.trusted.shape()[1] == 1 ? 0 : c, y, x);
          if (t == 0) continue;
          long double sigma = std::exp(d.log_variance(b, d.log_variance.shape()[1] == 1 ? 0 : c, y, x) / 2.0L);
          sigma = std::min<long double>(sigma, cap);
          long double z = d.mean(b, c, y, x);
          if (t == 2) z /= std::sqrt(1 + std::numbers::pi_v<long double> * sigma * sigma / 8);
          long double const w = t == 2 ? box_weight : 1;
          sum += w * (softplus(z) - d.target(b, c, y, x) * z);
          weights += w;
        }
  return static_cast<double>(weights > 0 ? sum / weights : 0);
}

/// Central differences of a value by one cell.
double slope(double& cell, std::function<double()> const& value, double step = 1e-4)
{
  double const here = cell;
  cell = here + step;
  double const high = value();
  cell = here - step;
  double const low = value();
  cell = here;
  return (high - low) / (2 * step);
}

template <class T>
grid<T, 4> cell(double v)
{
  grid<T, 4> out(1, 1, 1, 1);
  out(0, 0, 0, 0) = static_cast<T>(v);
  return out;
}

/// The loss of a single cell.
template <class T>
auto single(double mean, double log_variance, double target, int trusted, label_uncertainty_options const& o = {})
{
  grid<std::uint8_t, 4> t(1, 1, 1, 1);
  t(0, 0, 0, 0) = static_cast<std::uint8_t>(trusted);
  return label_uncertainty_loss(cpu{}, cell<T>(mean), cell<T>(log_variance), cell<T>(target), t, o);
}

/// label_uncertainty_loss_into on cores.
template <class T>
label_uncertainty_value loss_into(view<T const, 4> mean, batch<T> const& d, label_uncertainty_options const& o,
                                  view<T, 4> by_mean, view<T, 4> by_log_variance)
{
  cpu const where{};
  grid<label_uncertainty_value, 1> value(1);
  label_uncertainty_scratch<cpu> scratch(where, mean.extent, o);
  label_uncertainty_loss_into(where, mean, d.log_variance, d.target, d.trusted, o, by_mean, by_log_variance, value,
                              scratch);
  return value(0);
}

}  // namespace

TEST_CASE("the expected sigmoid is within 0.016 of the integral", "[loss][reference]")
{
  double worst = 0, worst_plain = 0;
  for (double mean = -10; mean <= 10; mean += 0.5)
    for (double sigma = 0.125; sigma <= 10; sigma += 0.125) {
      double sum = 0;
      int const n = 2000;  // the trapezoidal rule over 10 sigma either way: exact to 1e-12 for such integrands
      for (int i = -n; i <= n; ++i) {
        double const u = 10.0 * i / n;
        sum += std::exp(-u * u / 2) / (1 + std::exp(-(mean + sigma * u)));
      }
      double const truth = sum * 10 / n / std::sqrt(2 * std::numbers::pi);
      gaussian_logit const z{mean, 2 * std::log(sigma)};
      worst = std::max(worst, std::abs(1 / (1 + std::exp(-z.expected_logit())) - truth));
      worst_plain = std::max(worst_plain, std::abs(1 / (1 + std::exp(-mean)) - truth));
    }
  CHECK(worst <= 0.0165);
  CHECK(worst > 0.012);
  CHECK(worst_plain > 0.3);  // what the softening is for
}

TEST_CASE("kappa is its definition where that can be formed, and goes on to either end", "[loss][reference]")
{
  for (double s = -40; s <= 40; s += 0.25) {
    double const want = 1 / std::sqrt(1 + std::numbers::pi * std::exp(s) / 8);
    CHECK(gaussian_logit{0, s}.kappa() == Approx(want).epsilon(1e-13));
  }
  CHECK(gaussian_logit{0, -1e300}.kappa() == 1);
  CHECK(gaussian_logit{1, 1e300}.kappa() == 0);
  CHECK(gaussian_logit{0, 1400}.kappa() > 0);
}

TEST_CASE("the binary loss is its definition", "[loss][reference]")
{
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 3, 5, 7}, {1, 2, 40, 130}}));
  double const cap = GENERATE(1e15, 2.0), weight = GENERATE(1.0, 0.25);
  index_t const spreads = GENERATE(0, 1), trusts = GENERATE(0, 1);
  CAPTURE(B, C, H, W, cap, weight, spreads, trusts);
  batch<double> const d(B, C, H, W, 3, spreads, trusts);
  label_uncertainty_options const o{.largest_sigma = cap, .box_weight = weight};
  double const want = by_definition(d, cap, weight);
  CHECK(d.loss(o).value == Approx(want).epsilon(1e-12).margin(1e-14));

  batch<float> f(B, C, H, W, 3, spreads, trusts);
  batch<double> rounded = d;
  for (std::size_t i = 0; i < f.mean.cells().size(); ++i) {
    rounded.mean.cells()[i] = static_cast<double>(f.mean.cells()[i]);
    rounded.target.cells()[i] = static_cast<double>(f.target.cells()[i]);
  }
  for (std::size_t i = 0; i < f.log_variance.cells().size(); ++i)
    rounded.log_variance.cells()[i] = static_cast<double>(f.log_variance.cells()[i]);
  auto const truth = rounded.loss(o);
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    auto const have = f.loss(o, cpu{.vectors = set});
    double const cells = static_cast<double>(have.certain) + weight * static_cast<double>(have.boxed);
    CHECK(have.certain == truth.certain);
    CHECK(have.boxed == truth.boxed);
    CHECK(have.value == Approx(truth.value).epsilon(1e-6).margin(1e-7));
    double gap = 0;
    for (std::size_t i = 0; i < f.mean.cells().size(); ++i)
      gap = std::max(gap, std::abs(static_cast<double>(have.by_mean.cells()[i]) - truth.by_mean.cells()[i]));
    for (std::size_t i = 0; i < f.log_variance.cells().size(); ++i)
      gap = std::max(gap,
                     std::abs(static_cast<double>(have.by_log_variance.cells()[i]) - truth.by_log_variance.cells()[i]));
    CHECK(gap * std::max(1.0, cells) <= 5e-6);
  }
}

TEST_CASE("the gradient is the slope, for every model of the classes", "[loss][property]")
{
  auto const model = GENERATE(class_model::one_vs_rest, class_model::mean_field, class_model::sampled);
  index_t const spreads = GENERATE(0, 1);
  double const cap = GENERATE(1e15, 3.0);
  CAPTURE(static_cast<int>(model), spreads, cap);
  batch<double> d(2, 3, 4, 5, 11, spreads, model == class_model::one_vs_rest ? 0 : 1);
  label_uncertainty_options const o{.classes = model, .largest_sigma = cap, .box_weight = 0.7, .samples = 7, .seed = 5};
  auto const have = d.loss(o);
  auto const value = [&] { return d.loss(o).value; };
  for (index_t i = 0; i < d.mean.size(); ++i)
    CHECK(have.by_mean.data()[i] == Approx(slope(d.mean.data()[i], value)).margin(1e-8).epsilon(1e-5));
  double largest = 0;
  for (index_t i = 0; i < d.log_variance.size(); ++i) {
    CHECK(have.by_log_variance.data()[i] == Approx(slope(d.log_variance.data()[i], value)).margin(1e-8).epsilon(1e-5));
    largest = std::max(largest, std::abs(have.by_log_variance.data()[i]));
  }
  CHECK(largest > 1e-4);
}

TEST_CASE("single cells at the extremes", "[loss][reference]")
{
  double const inf = std::numeric_limits<double>::infinity();
  for (double const mean : {-1e4, -300.0, -20.0, -1e-3, 0.0, 1e-3, 20.0, 300.0, 1e4})
    for (double const s : {-1e300, -700.0, -80.0, -1.0, 0.0, 1.0, 30.0, 60.0, 80.0, 700.0, 1e300})
      for (double const y : {0.0, 0.25, 1.0})
        for (int const t : {1, 2}) {
          CAPTURE(mean, s, y, t);
          long double const sigma =
              std::min(std::exp(static_cast<long double>(std::clamp(s, -700.0, 700.0)) / 2), 1e15L);
          long double const kappa = t == 1 ? 1 : 1 / std::sqrt(1 + std::numbers::pi_v<long double> * sigma * sigma / 8);
          long double const z = kappa * mean, want = y * softplus(-z) + (1 - y) * softplus(z);
          long double const p = 1 / (1 + std::exp(-z));
          auto const d = single<double>(mean, s, y, t);
          CHECK(d.value == Approx(static_cast<double>(want)).epsilon(1e-13).margin(1e-300));
          CHECK(d.by_mean(0, 0, 0, 0) == Approx(static_cast<double>((p - y) * kappa)).epsilon(1e-12).margin(1e-16));
          long double const v = sigma * sigma;
          long double by =
              t == 1 || s > 2 * std::log(1e15) ? 0 : -(p - y) * mean * std::numbers::pi_v<long double> / 16;
          by *= kappa * kappa * kappa * v;
          CHECK(d.by_log_variance(0, 0, 0, 0) == Approx(static_cast<double>(by)).epsilon(1e-9).margin(1e-15));
          auto const clipped = std::clamp(s, -3e38, 3e38);
          auto const f = single<float>(mean, clipped, y, t);
          CHECK(f.value == Approx(static_cast<double>(want)).epsilon(2e-6).margin(1e-7));
          CHECK(static_cast<double>(f.by_mean(0, 0, 0, 0)) ==
                Approx(static_cast<double>((p - y) * kappa)).epsilon(1e-5).margin(2e-7));
          CHECK(static_cast<double>(f.by_log_variance(0, 0, 0, 0)) ==
                Approx(static_cast<double>(by)).epsilon(1e-5).margin(1e-5));
        }
  // the widest floats there are
  float const most = std::numeric_limits<float>::max();
  auto const wrong = single<float>(static_cast<double>(most), 0, 0, 1);
  CHECK(wrong.value == Approx(static_cast<double>(most)));
  CHECK(wrong.by_mean(0, 0, 0, 0) == 1);
  CHECK(single<float>(static_cast<double>(-most), 0, 0, 1).value == Approx(0).margin(1e-37));
  CHECK(std::isfinite(single<float>(static_cast<double>(most), static_cast<double>(most), 0, 2).value));
  CHECK(std::isfinite(single<double>(1e300, 1e300, 1, 2).value));
  CHECK(single<double>(1e300, 0, 0, 1).value < inf);
}

TEST_CASE("certain cells see the mean alone, ignored cells nothing", "[loss][property]")
{
  batch<float> d(1, 1, 20, 33, 2);
  auto const have = d.loss();
  for (std::size_t i = 0; i < d.mean.cells().size(); ++i) {
    if (d.trusted.cells()[i] != trust::boxed) CHECK(have.by_log_variance.cells()[i] == 0);
    if (d.trusted.cells()[i] == trust::ignored) CHECK(have.by_mean.cells()[i] == 0);
    if (d.trusted.cells()[i] == trust::certain) d.log_variance.cells()[i] = 3;  // any other number
    if (d.trusted.cells()[i] == trust::ignored) d.mean.cells()[i] = 5, d.target.cells()[i] = 1;
  }
  CHECK(d.loss().value == have.value);
  CHECK(d.loss().by_mean == have.by_mean);
}

TEST_CASE("where all of a batch is certain, the models are plain cross entropy", "[loss][reference]")
{
  batch<double> d(1, 4, 3, 3, 8, 0, 1);
  std::fill(d.trusted.cells().begin(), d.trusted.cells().end(), trust::certain);
  for (index_t i = 0; i < 9; ++i)
    for (index_t c = 0; c < 4; ++c) d.target.data()[c * 9 + i] = c == i % 4;
  double want = 0;
  for (index_t i = 0; i < 9; ++i) {
    double sum = 0;
    for (index_t c = 0; c < 4; ++c) sum += std::exp(d.mean.data()[c * 9 + i]);
    want += std::log(sum) - d.mean.data()[i % 4 * 9 + i];
  }
  CHECK(d.loss({.classes = class_model::mean_field}).value == Approx(want / 9));
  CHECK(d.loss({.classes = class_model::sampled}).value == Approx(want / 9));
}

TEST_CASE("draws: the mean over many is the expectation, and a seed repeats them", "[loss][property]")
{
  double sum = 0, square = 0, cube = 0;
  int const n = 200000;
  for (int i = 0; i < n; ++i) {
    double const v = normal_at(1, static_cast<std::uint64_t>(i));
    sum += v, square += v * v, cube += v * v * v;
  }
  CHECK(std::abs(sum / n) < 0.01);
  CHECK(square / n == Approx(1).epsilon(0.02));
  CHECK(std::abs(cube / n) < 0.05);
  CHECK(normal_at(1, 0) != normal_at(2, 0));

  // two classes, all spread in their difference: E[softmax] = E[sigmoid], which the mean field approximates
  batch<double> d(1, 2, 1, 1, 1, 0, 1);
  d.mean.data()[0] = 0.7, d.mean.data()[1] = -0.4;
  d.log_variance.data()[0] = d.log_variance.data()[1] = std::log(2.0);  // their difference has variance 4
  d.target.data()[0] = 1, d.target.data()[1] = 0;
  d.trusted.data()[0] = trust::boxed;
  double truth = 0;
  for (int i = -4000; i <= 4000; ++i) {
    double const u = i / 400.0;
    truth += std::exp(-u * u / 2) / (1 + std::exp(-(1.1 + 2 * u))) / 400 / std::sqrt(2 * std::numbers::pi);
  }
  auto const at = [&](int samples, std::uint64_t seed) {
    return d.loss({.classes = class_model::sampled, .samples = samples, .seed = seed});
  };
  CHECK(std::exp(-at(100000, 3).value) == Approx(truth).margin(0.005));
  CHECK(at(8, 3).value == at(8, 3).value);
  CHECK(at(8, 3).by_mean == at(8, 3).by_mean);
  CHECK(at(8, 3).value != at(8, 4).value);
}

TEST_CASE("threads change nothing, and neither do strides", "[loss][property]")
{
  auto const model = GENERATE(class_model::one_vs_rest, class_model::mean_field, class_model::sampled);
  bool const binary = model == class_model::one_vs_rest;
  batch<float> const d(3, 3, 61, 77, 9, 0, binary ? 0 : 1);
  label_uncertainty_options const o{.classes = model, .samples = 3};
  auto const want = d.loss(o, cpu{.threads = 1});
  for (int const threads : {2, 3, 5}) {
    auto const have = d.loss(o, cpu{.threads = threads});
    CHECK(have.value == want.value);
    CHECK(have.by_mean == want.by_mean);
    CHECK(have.by_log_variance == want.by_log_variance);
  }
  // the same maps with a gap after every row
  grid<float, 4> wide(3, 3, 61, 80), out(3, 3, 61, 77), spread(3, 3, 61, 77);
  for (index_t i = 0; i < d.mean.size(); ++i) wide.data()[i / 77 * 80 + i % 77] = d.mean.data()[i];
  auto gap = wide.view();
  gap.extent[3] = 77;
  auto const have = loss_into<float>(gap, d, o, out.view(), spread.view());
  CHECK(have.value == Approx(want.value).epsilon(1e-6));
  CHECK(support::largest_gap(out.cells(), want.by_mean.cells()) <= 1e-9);
}

TEST_CASE("how much of a box may be wrong before an appearance gets the wrong sign", "[loss][property]")
{
  // One appearance: a share q of its cells lies in boxes and is called foreground, the rest is certain background. Its
  // logit is what minimises the loss. Weights stand for the shares: one certain cell, one boxed one.
  auto const minimum = [](double q, double cap, bool soft, double start) {
    grid<double, 4> mean(1, 1, 1, 2), s(1, 1, 1, 2), target(1, 1, 1, 2);
    grid<std::uint8_t, 4> trusted(1, 1, 1, 2);
    target(0, 0, 0, 1) = 1;
    trusted(0, 0, 0, 0) = trust::certain, trusted(0, 0, 0, 1) = trust::boxed;
    if (!soft) {  // plain cross entropy of a share q of ones is that of a target q
      trusted(0, 0, 0, 1) = trust::certain;
      target(0, 0, 0, 0) = target(0, 0, 0, 1) = q;
    }
    label_uncertainty_options const o{.largest_sigma = cap, .box_weight = q / (1 - q)};
    double at[2] = {start, 0}, step[2] = {0.5, 0.5}, before[2] = {0, 0}, best = 1e300;
    for (int i = 0; i < 400; ++i) {  // every coordinate by the sign of its slope
      for (auto& v : mean.cells()) v = at[0];
      for (auto& v : s.cells()) v = at[1];
      auto const loss = label_uncertainty_loss(cpu{.threads = 1}, mean, s, target, trusted, o);
      best = std::min(best, loss.value);
      double const by[2] = {loss.by_mean(0, 0, 0, 0) + loss.by_mean(0, 0, 0, 1),
                            loss.by_log_variance(0, 0, 0, 0) + loss.by_log_variance(0, 0, 0, 1)};
      for (int k = 0; k < 2; ++k) {
        step[k] *= by[k] * before[k] > 0 ? 1.2 : by[k] * before[k] < 0 ? 0.5 : 1;
        step[k] = std::min(step[k], 2.0);
        if (by[k] != 0) at[k] -= by[k] > 0 ? step[k] : -step[k];
        before[k] = by[k];
      }
      if (start < 0) at[0] = std::min(at[0], -1e-9);  // either branch by itself
      if (start > 0) at[0] = std::max(at[0], 1e-9);
    }
    return best;
  };
  auto const turning_point = [&](double cap, bool soft) {
    double right = 0.3, wrong = 0.95;
    for (int i = 0; i < 14; ++i) {
      double const q = (right + wrong) / 2;
      (minimum(q, cap, soft, -1) < minimum(q, cap, soft, 1) ? right : wrong) = q;
    }
    return (right + wrong) / 2;
  };
  CHECK(turning_point(1, false) == Approx(0.5).margin(0.0015));
  CHECK(turning_point(1e15, true) == Approx(0.773).margin(0.0015));
  CHECK(turning_point(50, true) == Approx(0.746).margin(0.0015));
  CHECK(turning_point(10, true) == Approx(0.684).margin(0.0015));
  CHECK(turning_point(5, true) == Approx(0.634).margin(0.0015));
}

TEST_CASE("expected_sigmoid softens, keeps the sign, and knows its ends", "[loss][property]")
{
  auto const mean = support::uniform<double, 3>({3, 4, 5}, -8, 8, 1);
  auto const s = support::uniform<double, 3>({3, 4, 5}, -4, 6, 2);
  auto const p = expected_sigmoid(cpu{}, mean, s);
  for (std::size_t i = 0; i < p.cells().size(); ++i) {
    double const plain = 1 / (1 + std::exp(-mean.cells()[i]));
    CHECK((p.cells()[i] > 0.5) == (mean.cells()[i] > 0));
    CHECK(std::abs(p.cells()[i] - 0.5) <= std::abs(plain - 0.5));
  }
  auto const shared = expected_sigmoid(cpu{}, mean, support::uniform<double, 3>({1, 4, 5}, 1e9, 2e9, 2), 1e-6);
  for (std::size_t i = 0; i < p.cells().size(); ++i)
    CHECK(shared.cells()[i] == Approx(1 / (1 + std::exp(-mean.cells()[i]))));
  CHECK(expected_sigmoid(cpu{}, grid<float, 3>(2, 0, 4), grid<float, 3>(1, 0, 4)).size() == 0);
  CAMBIUM_THROWS_SAYING(expected_sigmoid(cpu{}, mean, grid<double, 3>(2, 4, 5)), precondition_error,
                        "mean is [3,4,5] but log_variance is [2,4,5]");
  CAMBIUM_THROWS_SAYING(expected_sigmoid(cpu{}, mean, s, 0), precondition_error, "largest_sigma is 0");
}

TEST_CASE("nothing to learn from gives 0", "[loss][errors]")
{
  batch<float> d(2, 1, 5, 6, 1);
  std::fill(d.trusted.cells().begin(), d.trusted.cells().end(), trust::ignored);
  auto const none = d.loss();
  CHECK((none.value == 0 && none.certain == 0 && none.boxed == 0));
  for (float const g : none.by_mean.cells()) CHECK(g == 0);
  CHECK(batch<float>(0, 1, 5, 6, 1).loss().value == 0);
  CHECK(batch<double>(2, 0, 5, 6, 1).loss().value == 0);
  CHECK(batch<float>(2, 3, 0, 6, 1).loss({.classes = class_model::one_vs_rest}).by_mean.size() == 0);

  // Without a class a spread that all classes share has a gradient of its own: 0.
  auto const model = GENERATE(class_model::one_vs_rest, class_model::mean_field, class_model::sampled);
  batch<float> const empty(2, 0, 5, 6, 1, 1, 1);
  grid<float, 4> by_mean(2, 0, 5, 6), by_spread(2, 1, 5, 6);
  std::fill(by_spread.cells().begin(), by_spread.cells().end(), 7.f);
  CHECK(loss_into<float>(empty.mean.view(), empty, {.classes = model}, by_mean.view(), by_spread.view()).value == 0);
  for (float const g : by_spread.cells()) CHECK(g == 0);
}

TEST_CASE("the loss of uncertain labels rejects what it documents", "[loss][errors]")
{
  float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  auto const says = [](batch<float> const& d, char const* words, label_uncertainty_options const& o = {}) {
    CAMBIUM_THROWS_SAYING(d.loss(o), precondition_error, words);
  };
  for (index_t const W : {index_t{3}, index_t{40}}) {
    batch<float> const good(1, 2, 3, W, 1);
    auto bad = good;
    bad.mean(0, 1, 2, 1) = nan, says(bad, "mean(0,1,2,1) is nan; expected a finite number");
    bad = good, bad.mean(0, 1, 0, 2) = -inf, says(bad, "mean(0,1,0,2) is -inf");
    bad = good, bad.log_variance(0, 0, 2, 1) = inf, says(bad, "log_variance(0,0,2,1) is inf");
    bad = good, bad.log_variance(0, 0, 2, 1) = -inf, says(bad, "log_variance(0,0,2,1) is -inf");
    bad = good, bad.log_variance(0, 0, 2, 1) = nan, says(bad, "log_variance(0,0,2,1) is nan");
    bad = good, bad.target(0, 1, 1, 1) = 1.5f, says(bad, "target(0,1,1,1) is 1.5; expected a value in [0,1]");
    bad = good, bad.target(0, 1, 1, 1) = -1, says(bad, "target(0,1,1,1) is -1");
    bad = good, bad.target(0, 1, 1, 1) = nan, says(bad, "target(0,1,1,1) is nan");
    bad = good, bad.trusted(0, 1, 1, 1) = 3,
    says(bad, "label_uncertainty_loss: trusted(0,1,1,1) is 3; expected 0 ignored");
    bad = good, bad.target(0, 1, 1, 1) = -0.f;  // a false alarm
    CHECK(std::isfinite(bad.loss().value));
    // even where the cell is ignored
    bad = good, bad.mean(0, 1, 2, 1) = nan, bad.trusted(0, 1, 2, 1) = 0, says(bad, "mean(0,1,2,1) is nan");
  }
  batch<float> const good(1, 2, 3, 4, 1);
  says(good, "with a softmax it is one a pixel", {.classes = class_model::mean_field});
  says(good, "largest_sigma is 0", {.largest_sigma = 0});
  says(good, "largest_sigma is inf", {.largest_sigma = std::numeric_limits<double>::infinity()});
  says(good, "box_weight is 0, outside [1e-30,1e30]", {.box_weight = 0});
  says(good, "box_weight is 5e-324", {.box_weight = 5e-324});
  says(good, "box_weight is 1e+31", {.box_weight = 1e31});
  says(good, "box_weight is nan", {.box_weight = nan});
  for (double const weight : {1e-30, 1e30}) {
    auto const loss = good.loss({.box_weight = weight});
    CHECK(std::isfinite(loss.value));
    for (float const g : loss.by_mean.cells()) CHECK(std::isfinite(g));
  }
  says(good, "0 samples", {.samples = 0});
  auto bad = good;
  bad.log_variance = grid<float, 4>(1, 3, 3, 4), says(bad, "mean is [1,2,3,4] but log_variance is [1,3,3,4]");
  bad = good, bad.target = grid<float, 4>(1, 1, 3, 4), says(bad, "but target is [1,1,3,4]");
  bad = good, bad.trusted = grid<std::uint8_t, 4>(1, 2, 3, 5), says(bad, "but trusted is [1,2,3,5]");

  grid<float, 4> by_mean(1, 2, 3, 4), by_s(1, 2, 3, 4);
  auto const into = [&](batch<float> const& d, view<float, 4> m, view<float, 4> s) {
    return loss_into<float>(d.mean.view(), d, {}, m, s);
  };
  CAMBIUM_THROWS_SAYING(into(good, by_mean.view(), by_mean.view()), precondition_error, "the gradients overlap");
  label_uncertainty_scratch<cpu> other(cpu{}, {1, 2, 3, 5}, {.classes = class_model::mean_field});
  grid<label_uncertainty_value, 1> value(1);
  batch<float> const pixels(1, 2, 3, 4, 1, 0, 1);
  auto const elsewhere = [&] {
    label_uncertainty_loss_into(cpu{}, pixels.mean, pixels.log_variance, pixels.target, pixels.trusted,
                                {.classes = class_model::mean_field}, by_mean, by_s, value, other);
  };
  CAMBIUM_THROWS_SAYING(elsewhere(), precondition_error, "the scratch is for another shape or other options");
  auto mine = good;
  CAMBIUM_THROWS_SAYING(into(mine, mine.mean.view(), by_s.view()), precondition_error, "overlaps an input");
  std::fill(by_mean.cells().begin(), by_mean.cells().end(), 7.f);
  mine = good, mine.mean(0, 0, 0, 0) = nan;
  CAMBIUM_THROWS_SAYING(into(mine, by_mean.view(), by_s.view()), precondition_error, "mean(0,0,0,0) is nan");
  for (float const g : by_mean.cells()) CHECK(g == 0);
}

TEMPLATE_LIST_TEST_CASE("the loss of uncertain labels on a device is that of cores", "[loss][same]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, C, H, W] =
      GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 3, 19, 31}, {0, 2, 3, 4}, {2, 0, 3, 4}, {1, 5, 70, 67}}));
  auto const model = GENERATE(class_model::one_vs_rest, class_model::mean_field, class_model::sampled);
  index_t const spreads = GENERATE(0, 1);
  index_t const trusts = model == class_model::one_vs_rest ? GENERATE(0, 1) : 1;
  double const cap = GENERATE(1e15, 2.0);
  CAPTURE(B, C, H, W, static_cast<int>(model), spreads, trusts, cap);
  batch<double> d(B, C, H, W, 17, spreads, trusts);
  for (auto& y : d.target.cells()) y = y < 0.2 ? 0 : y;
  label_uncertainty_options const o{.classes = model, .largest_sigma = cap, .box_weight = 0.3, .samples = 5, .seed = 3};
  auto const want = d.loss(o);
  auto const mean = support::copied<TestType>(d.mean), log_variance = support::copied<TestType>(d.log_variance),
             target = support::copied<TestType>(d.target);
  auto const trusted = support::copied<TestType>(d.trusted);
  auto const have = label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted, o);
  CHECK(have.certain == want.certain);
  CHECK(have.boxed == want.boxed);
  CHECK(have.value == Approx(want.value).epsilon(1e-12));
  auto const by_mean = to::back(have.by_mean), by_log_variance = to::back(have.by_log_variance);
  REQUIRE(by_mean.shape() == want.by_mean.shape());
  REQUIRE(by_log_variance.shape() == want.by_log_variance.shape());
  double const cells = std::max<double>(1, static_cast<double>(have.certain + have.boxed));
  CHECK(support::largest_gap(by_mean.cells(), want.by_mean.cells()) <= 1e-12 / cells);
  CHECK(support::largest_gap(by_log_variance.cells(), want.by_log_variance.cells()) <= 1e-12 / cells);
}

TEMPLATE_LIST_TEST_CASE("floats, many draws, and invalid trust on a device", "[loss][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  batch<float> d(2, 3, 33, 40, 5, 0, 1);
  auto const mean = support::copied<TestType>(d.mean), log_variance = support::copied<TestType>(d.log_variance),
             target = support::copied<TestType>(d.target);
  auto trusted = support::copied<TestType>(d.trusted);
  auto const close = [&](auto const& have, auto const& want, double gap) {
    CHECK(have.value == Approx(want.value).epsilon(2e-6));
    double const cells = static_cast<double>(want.certain + want.boxed);
    CHECK(support::largest_gap(to::back(have.by_mean).cells(), want.by_mean.cells()) <= gap / cells);
    CHECK(support::largest_gap(to::back(have.by_log_variance).cells(), want.by_log_variance.cells()) <= gap / cells);
  };
  auto const plain = label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted);
  close(plain, d.loss(), 5e-6);
  CHECK(plain.value == label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted).value);
  // so many draws that pixels come in several launches
  label_uncertainty_options const many{.classes = class_model::sampled, .samples = 600, .seed = 9};
  label_uncertainty_scratch<TestType> const scratch(TestType{}, d.mean.view().extent, many);
  REQUIRE(scratch.many < 2 * 33 * 40);
  close(label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted, many), d.loss(many), 1e-6);
  // trust beyond 2 says nothing
  for (auto& t : d.trusted.cells()) t = t == trust::ignored ? 77 : t;
  trusted = support::copied<TestType>(d.trusted);
  auto const invalid = label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted);
  CHECK(invalid.value == plain.value);
  CHECK(to::back(invalid.by_mean) == to::back(plain.by_mean));
}

TEMPLATE_LIST_TEST_CASE("expected_sigmoid on a device, and what its loss rejects", "[loss][errors]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const mean = support::uniform<float, 3>({3, 14, 15}, -8, 8, 1),
             s = support::uniform<float, 3>({1, 14, 15}, -4, 6, 2);
  auto const want = expected_sigmoid(cpu{}, mean, s, 4);
  auto const there = support::copied<TestType>(mean), spread = support::copied<TestType>(s);
  CHECK(support::largest_gap(to::back(expected_sigmoid(TestType{}, there, spread, 4)).cells(), want.cells()) <= 1e-7);
  CAMBIUM_THROWS_SAYING(expected_sigmoid(TestType{}, there, spread, 0), precondition_error, "largest_sigma is 0");
  batch<float> const d(1, 2, 3, 4, 1);
  auto const m = support::copied<TestType>(d.mean), v = support::copied<TestType>(d.log_variance),
             t = support::copied<TestType>(d.target);
  auto const r = support::copied<TestType>(d.trusted);
  CAMBIUM_THROWS_SAYING(label_uncertainty_loss(TestType{}, m, v, t, r, {.classes = class_model::mean_field}),
                        precondition_error, "with a softmax it is one a pixel");
  CAMBIUM_THROWS_SAYING(label_uncertainty_loss(TestType{}, m, v, t, r, {.box_weight = 0}), precondition_error,
                        "box_weight is 0");
}
