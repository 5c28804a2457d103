#include <cambium/crf/unary.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("unary energies", "[crf][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const from_labels = [&](grid<std::int32_t, 2> const& labels, index_t L, label_unary_options options = {}) {
    return grid<float, 3>(to::back(unary_from_labels(where, support::copied<TestType>(labels), L, options)));
  };
  auto const from_probabilities = [&](grid<float, 3> const& p, probability_unary_options options = {}) {
    return grid<float, 3>(to::back(unary_from_probabilities(where, support::copied<TestType>(p), options)));
  };
  auto const from_scores = [&](grid<float, 3> const& scores, double scale = 1) {
    return grid<float, 3>(to::back(unary_from_scores(where, support::copied<TestType>(scores), scale)));
  };
  grid<std::int32_t, 2> labels(1, 3);
  labels(0, 0) = 0, labels(0, 1) = 2, labels(0, 2) = 1;
  auto const u = from_labels(labels, 3, {.gt_prob = 0.5});
  CHECK(u(0, 0, 0) == Approx(std::log(2)));
  CHECK(u(1, 0, 0) == Approx(std::log(4)));
  CHECK(u(2, 0, 1) == Approx(std::log(2)));
  auto const unsure = from_labels(labels, 2, {.gt_prob = 0.5, .zero_unsure = true});
  CHECK(unsure(0, 0, 0) == Approx(std::log(2)));
  CHECK(unsure(1, 0, 1) == Approx(std::log(2)));
  CHECK(unsure(0, 0, 2) == Approx(std::log(2)));
  for (float const v : from_labels(grid<std::int32_t, 2>(2, 2), 1).cells()) CHECK(v == 0);
  if constexpr (std::is_same_v<TestType, cpu>)
    CAMBIUM_THROWS_SAYING(from_labels(labels, 2), precondition_error, "label(0,1) is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(from_labels(labels, 3, {.gt_prob = 1}), precondition_error, "gt_prob is 1");
  CAMBIUM_THROWS_SAYING(from_labels(labels, 0), precondition_error, "0 labels");

  grid<float, 3> p(2, 1, 2);
  p(0, 0, 0) = 0.25f, p(1, 0, 0) = 0.75f, p(1, 0, 1) = 1;
  auto const energy = from_probabilities(p);
  CHECK(energy(0, 0, 0) == Approx(std::log(4)));
  CHECK(energy(0, 0, 1) == Approx(-std::log(1e-5)));
  CHECK(energy(1, 0, 1) == 0);
  CHECK(from_probabilities(p, {.scale = 0.5})(0, 0, 0) == Approx(-std::log(0.375)));
  p(0, 0, 0) = 1.5f;
  if constexpr (std::is_same_v<TestType, cpu>)
    CAMBIUM_THROWS_SAYING(from_probabilities(p), precondition_error, "probabilities(0,0,0) is 1.5");
  float const one = 1;
  p(0, 0, 0) = std::nextafter(one, 2.f);  // as a softmax may leave it
  CHECK(from_probabilities(p)(0, 0, 0) == 0);
  p(0, 0, 0) = -1e-7f;
  CHECK(from_probabilities(p)(0, 0, 0) == Approx(-std::log(1e-5)));
  for (float const v : {1 + 6e-7f, -6e-7f}) {
    p(0, 0, 0) = v;
    if constexpr (std::is_same_v<TestType, cpu>)
      CAMBIUM_THROWS_SAYING(from_probabilities(p), precondition_error, "a value in [0,1]");
  }

  grid<float, 3> s(2, 1, 1);
  s(0, 0, 0) = 1000, s(1, 0, 0) = 998;
  auto const soft = from_scores(s, 0.5);
  CHECK(soft(1, 0, 0) - soft(0, 0, 0) == Approx(1));
  CHECK(std::exp(-soft(0, 0, 0)) + std::exp(-soft(1, 0, 0)) == Approx(1));
  CAMBIUM_THROWS_SAYING(from_scores(s, 0), precondition_error, "scale is 0");
}

TEMPLATE_LIST_TEST_CASE("unary energies of a device are those of cores", "[crf][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const [L, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 0, 4}, {21, 37, 45}, {2, 5, 130}}));
  CAPTURE(L, H, W);
  bool const zero_unsure = GENERATE(false, true);
  auto const labels = support::uniform<std::int32_t, 2>({H, W}, 0, L + (zero_unsure ? 0.999 : -0.001), 3);
  label_unary_options const unsure{.gt_prob = 0.6, .zero_unsure = zero_unsure};
  CHECK(to::back(unary_from_labels(where, support::copied<TestType>(labels), L, unsure)) ==
        unary_from_labels(cpu{}, labels, L, unsure));

  auto const close = [](grid<float, 3> const& have, grid<float, 3> const& want) {
    REQUIRE(have.shape() == want.shape());
    for (std::size_t i = 0; i < want.cells().size(); ++i)
      REQUIRE(have.cells()[i] == Approx(want.cells()[i]).epsilon(2e-7).margin(1e-30));
  };
  auto const p = support::uniform<double, 3>({L, H, W}, 0, 1, 4);
  probability_unary_options const trusting{.clip = 0.01, .scale = 0.8};
  close(to::back(unary_from_probabilities(where, support::copied<TestType>(p), trusting)),
        unary_from_probabilities(cpu{}, p, trusting));
  auto const s = support::uniform<float, 3>({L, H, W}, -30, 30, 5);
  close(to::back(unary_from_scores(where, support::copied<TestType>(s), 0.7)), unary_from_scores(cpu{}, s, 0.7));
}

TEMPLATE_LIST_TEST_CASE("unary energies of a device: strange values and errors", "[crf][errors]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<std::int32_t, 2> labels(1, 3);
  labels(0, 0) = -5, labels(0, 1) = 99, labels(0, 2) = 1;
  auto const there = support::copied<TestType>(labels);
  auto const u = to::back(unary_from_labels(where, there, 3));
  CHECK(u(1, 0, 0) == Approx(std::log(3.0)));
  for (int l = 0; l < 3; ++l) CHECK(u(l, 0, 1) == Approx(-std::log(0.15)));
  CHECK(u(1, 0, 2) == Approx(-std::log(0.7)));
  grid<float, 3> p(1, 1, 2);
  p(0, 0, 0) = 7, p(0, 0, 1) = std::numeric_limits<float>::quiet_NaN();
  auto const energy = to::back(unary_from_probabilities(where, support::copied<TestType>(p)));
  CHECK(energy(0, 0, 0) == 0);
  CHECK(std::isnan(energy(0, 0, 1)));
  auto const cells = support::copied<TestType>(p);
  CAMBIUM_THROWS_SAYING(unary_from_labels(where, there, 0), precondition_error, "0 labels");
  CAMBIUM_THROWS_SAYING(unary_from_labels(where, there, 3, {.gt_prob = 1}), precondition_error, "gt_prob is 1");
  CAMBIUM_THROWS_SAYING(unary_from_probabilities(where, cells, {.clip = 0}), precondition_error, "clip is 0");
  CAMBIUM_THROWS_SAYING(unary_from_scores(where, cells, -1), precondition_error, "scale is -1");
}
