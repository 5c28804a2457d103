// The same tests, compiled by nvcc: label_uncertainty.cuh adds gpu to the backends under test.
#include <cambium/loss/label_uncertainty.cuh>

#include "label_uncertainty_test.cpp"

TEMPLATE_LIST_TEST_CASE("the loss of uncertain labels on a device is that of cores", "[loss][reference]",
                        support::backends)
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

TEMPLATE_LIST_TEST_CASE("floats, many draws, and strange trust on a device", "[loss][property]", support::backends)
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
  auto const strange = label_uncertainty_loss(TestType{}, mean, log_variance, target, trusted);
  CHECK(strange.value == plain.value);
  CHECK(to::back(strange.by_mean) == to::back(plain.by_mean));
}

TEMPLATE_LIST_TEST_CASE("expected_sigmoid on a device, and what its loss rejects", "[loss][errors]", support::backends)
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
