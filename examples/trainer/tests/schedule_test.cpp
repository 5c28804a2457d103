#include "run/schedule.hpp"
#include "run/optimizer.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include <cmath>
#include <vector>

#include "support/catch.hpp"

using namespace trainer;
using cambium::precondition_error;

TEST_CASE("poly: known values", "[picture]")
{
  poly_schedule const s{0.1, 100, 0.9};
  CHECK(rate_at(s, 0) == 0.1);
  CHECK(rate_at(s, 50) == Approx(0.1 * std::pow(0.5, 0.9)).epsilon(1e-14));
  CHECK(rate_at(s, 99) == Approx(0.1 * std::pow(0.01, 0.9)).epsilon(1e-12));
  CHECK(rate_at(s, 100) == rate_at(s, 99));  // as IRNet's
  CHECK(rate_at(s, 5000) == rate_at(s, 99));
  CHECK(rate_at(poly_schedule{0.2, 7, 0}, 6) == 0.2);
}

TEST_CASE("poly: the warm-up begins at its factor and meets the curve", "[property]")
{
  poly_schedule const warm{5e-5, 50000, 0.9, 2000, 0.001}, cold{5e-5, 50000, 0.9};
  CHECK(rate_at(warm, 0) == Approx(5e-8).epsilon(1e-14));
  CHECK(rate_at(warm, 1000) == Approx(0.5005 * rate_at(cold, 1000)).epsilon(1e-14));
  for (std::int64_t i = 1; i < 2000; ++i) {
    CHECK(rate_at(warm, i) > rate_at(warm, i - 1));
    CHECK(rate_at(warm, i) < rate_at(cold, i));
  }
  for (std::int64_t i = 2000; i < 50000; i += 97) CHECK(rate_at(warm, i) == rate_at(cold, i));
}

TEST_CASE("steps: known values", "[picture]")
{
  step_schedule const s{1, {10, 20}, 0.1};
  CHECK(rate_at(s, 0) == 1);
  CHECK(rate_at(s, 9) == 1);
  CHECK(rate_at(s, 10) == Approx(0.1));
  CHECK(rate_at(s, 19) == Approx(0.1));
  CHECK(rate_at(s, 20) == Approx(0.01));
  CHECK(rate_at(step_schedule{1, {}, 0.1, 4, 0}, 2) == 0.5);
}

TEST_CASE("schedules: what is wrong is named", "[errors]")
{
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{}, -1), precondition_error, "step -1");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{0.1, 0}, 0), precondition_error, "steps is 0");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{-1, 10}, 0), precondition_error, "base is -1");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{NAN, 10}, 0), precondition_error, "base is nan");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{1, 10, 0.9, 11}, 0), precondition_error, "only 10 steps");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{1, 10, 0.9, 2, 1.5}, 0), precondition_error, "warm_up_factor");
  CAMBIUM_THROWS_SAYING((void)rate_at(poly_schedule{1, 10, -0.9}, 0), precondition_error, "power");
  CAMBIUM_THROWS_SAYING((void)rate_at(step_schedule{1, {5, 3}}, 0), precondition_error, "do not ascend");
  CAMBIUM_THROWS_SAYING((void)rates_of(poly_schedule{0.1, 0}), precondition_error, "steps is 0");
}

namespace {

torch::Tensor weight(std::vector<double> const& v) { return torch::tensor(v, torch::kFloat64).set_requires_grad(true); }

}  // namespace

TEST_CASE("sgd: the original's momentum is its weight decay", "[reference]")
{
  for (bool const meant : {false, true}) {
    double const decay = 0.01, momentum = meant ? 0.9 : decay;
    auto p = weight({1, -2, 0.5}), q = weight({3});
    sgd_settings settings{decay, {}};
    if (meant) settings.momentum = 0.9;
    auto o = optimizer::sgd({{{p}, 1}, {{q}, 10}}, rates_of(poly_schedule{0.1, 5, 0.9}), settings);
    double w[4] = {1, -2, 0.5, 3}, v[4] = {};
    for (int i = 0; i < 8; ++i) {
      o.zero_grad();
      (0.5 * (p * p * p).sum() + torch::sin(q).sum()).backward();
      double const rate = 0.1 * std::pow(1 - std::min(i, 4) / 5.0, 0.9);
      for (int k = 0; k < 4; ++k) {
        double const g = (k < 3 ? 1.5 * w[k] * w[k] : std::cos(w[k])) + decay * w[k];
        v[k] = i == 0 ? g : momentum * v[k] + g;
        w[k] -= rate * (k < 3 ? 1 : 10) * v[k];
      }
      CHECK(o.rate() == Approx(rate));
      CHECK(o.step() == Approx(rate));
      for (int k = 0; k < 3; ++k) CHECK(p[k].item<double>() == Approx(w[k]).epsilon(1e-12));
      CHECK(q[0].item<double>() == Approx(w[3]).epsilon(1e-12));
    }
    CHECK(o.steps() == 8);
  }
}

TEST_CASE("sgd: Nesterov's momentum", "[reference]")
{
  auto p = weight({2});
  auto o = optimizer::sgd({{{p}}}, rates_of(step_schedule{0.1, {3}}), {0.01, 0.9, true});
  double w = 2, v = 0;
  for (int i = 0; i < 6; ++i) {
    o.zero_grad();
    torch::exp(p).sum().backward();
    double const g = std::exp(w) + 0.01 * w;
    v = i == 0 ? g : 0.9 * v + g;
    w -= (i < 3 ? 0.1 : 0.01) * (g + 0.9 * v);
    o.step();
    CHECK(p[0].item<double>() == Approx(w).epsilon(1e-12));
  }
}

TEST_CASE("optimizer: a parameter that the loss does not reach stays", "[property]")
{
  auto p = weight({1}), q = weight({2});
  auto o = optimizer::sgd({{{p, q}}}, rates_of(poly_schedule{0.1, 5}));
  o.zero_grad();
  (p * p).sum().backward();
  o.step();
  CHECK(p[0].item<double>() != 1);
  CHECK(q[0].item<double>() == 2);  // not even weight decay, as torch's for gradients that are None
}

TEST_CASE("optimizer: what is wrong is named", "[errors]")
{
  auto const rates = rates_of(poly_schedule{0.1, 5});
  auto p = weight({1});
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({}, rates), precondition_error, "no parameter");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{p}}, {{p}}}, rates), precondition_error, "group 1: parameter 0 occurs");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{torch::ones(2)}}}, rates), precondition_error, "wants no gradient");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{p}, -1}}, rates), precondition_error, "times is -1");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{p}}}, rates, {1.5, {}}), precondition_error, "momentum is 1.5");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{p}}}, rates, {-1, 0.5}), precondition_error, "weight_decay is -1");
  CAMBIUM_THROWS_SAYING((void)optimizer::sgd({{{p}}}, rates, {0, 0, true}), precondition_error, "nesterov");
  CAMBIUM_THROWS_SAYING((void)optimizer::adam({{{p}}}, rates, {1, 0.9}), precondition_error, "betas are 1");
  CAMBIUM_THROWS_SAYING((void)optimizer::adam({{{p}}}, {}, {}), precondition_error, "no function of rates");
}
