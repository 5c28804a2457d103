#include <cambium/activation/boundary.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("a boundary is the sigmoid of two means", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [h, w] = GENERATE(table<int, int>({{1, 1}, {6, 9}, {3, 9}, {6, 4}}));
  CAPTURE(h, w);
  auto const check = [&, h = h, w = w](auto zero, double rounding) {
    using T = decltype(zero);
    auto const straight = support::uniform<T, 2>({6, 9}, -8, 8, 3);
    auto const mirrored = support::uniform<T, 2>({6, 9}, -8, 8, 5);
    auto const have = to::back(boundary_from_logits(TestType{}, to::there(straight), to::there(mirrored), {h, w}));
    REQUIRE(have.shape() == std::array<index_t, 2>{h, w});
    for (int y = 0; y < h; ++y)
      for (int x = 0; x < w; ++x) {
        // the mirror image is cut first, then turned: its last kept column comes first
        double const mean = (static_cast<double>(straight(y, x)) + static_cast<double>(mirrored(y, w - 1 - x))) / 2;
        REQUIRE(have(y, x) == Approx((1 + std::tanh(mean / 2)) / 2).epsilon(rounding));
      }
  };
  check(0.f, 2e-6);
  check(0., 1e-13);
}

TEMPLATE_LIST_TEST_CASE("an image and its mirror image agree on a boundary", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<double, 2> straight(1, 4), mirrored(1, 4);
  straight(0, 0) = 6, straight(0, 1) = 2;
  mirrored(0, 1) = 2, mirrored(0, 2) = 6;  // of 3 columns the last one is the image's first
  auto const out = to::back(boundary_from_logits(TestType{}, to::there(straight), to::there(mirrored), {1, 3}));
  CHECK(out(0, 0) == Approx(1 / (1 + std::exp(-6.))));
  CHECK(out(0, 1) == Approx(1 / (1 + std::exp(-2.))));
  CHECK(out(0, 2) == 0.5);
}

TEMPLATE_LIST_TEST_CASE("boundaries of the largest logits are still in [0,1]", "[activation][property]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const check = [](auto zero) {
    using limits = std::numeric_limits<decltype(zero)>;
    grid<decltype(zero), 2> logits(1, 2), mirrored(1, 2);
    logits(0, 0) = mirrored(0, 1) = limits::max();
    logits(0, 1) = mirrored(0, 0) = limits::lowest();
    auto const out = to::back(boundary_from_logits(TestType{}, to::there(logits), to::there(mirrored), {1, 2}));
    CHECK(out(0, 0) == 1);
    CHECK(out(0, 1) == 0);
  };
  check(0.f);
  check(0.);
}

TEST_CASE("boundary_from_logits rejects what it documents", "[activation][errors]")
{
  grid<float, 2> logits(3, 4), mirrored(3, 4);
  CAMBIUM_THROWS_SAYING(boundary_from_logits(cpu{}, logits, grid<float, 2>(3, 3), {1, 1}), precondition_error,
                        "logits are [3,4] but mirrored are [3,3]");
  for (extent2 const size : {extent2{4, 4}, extent2{3, 5}, extent2{-1, 4}, extent2{3, -1}})
    CAMBIUM_THROWS_SAYING(boundary_from_logits(cpu{}, logits, mirrored, size), precondition_error,
                          "cells are wanted of [3,4]");
  for (float const bad : {std::nanf(""), HUGE_VALF}) {
    logits(2, 3) = bad;  // outside what is kept, all the same
    CAMBIUM_THROWS_SAYING(boundary_from_logits(cpu{}, logits, mirrored, {1, 1}), precondition_error, "logits(2,3) is");
    logits(2, 3) = 0;
    mirrored(0, 1) = bad;
    CAMBIUM_THROWS_SAYING(boundary_from_logits(cpu{}, logits, mirrored, {1, 1}), precondition_error,
                          "mirrored(0,1) is");
    mirrored(0, 1) = 0;
  }
  CHECK(boundary_from_logits(cpu{}, logits, mirrored, {0, 4}).size() == 0);
  CHECK(boundary_from_logits(cpu{}, logits, mirrored, {3, 0}).size() == 0);
}
