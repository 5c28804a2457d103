// The same tests, compiled by nvcc: affinity_displacement.cuh adds gpu to the backends under test.
#include <cambium/loss/affinity_displacement.cuh>

#include "affinity_displacement_test.cpp"

TEMPLATE_LIST_TEST_CASE("IRNet's loss of a device is that of cores", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const [B, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 37, 61}, {2, 5, 60}, {0, 4, 5}, {2, 23, 19}}));
  int const radius = GENERATE(1, 2, 5, 10, 17);
  auto const sources = GENERATE(pair_sources::inner, pair_sources::all);
  bool const with_field = GENERATE(true, false);
  CAPTURE(B, H, W, radius, with_field);
  batch const d(B, H, W, 13);
  affinity_loss_options const options{radius, sources};
  view<float const, 4> const field = with_field ? d.field.view() : view<float const, 4>{};
  auto const want = affinity_displacement_loss<float>(cpu{}, d.logits, field, d.labels, options);
  auto const logits = support::copied<TestType>(d.logits);
  auto const displacement = support::copied<TestType>(d.field);
  auto const labels = support::copied<TestType>(d.labels);
  view<float const, 4, S> there;
  if (with_field) there = displacement.view();
  auto const run = [&] {
    return affinity_displacement_loss<float>(TestType{}, logits.view(), there, labels.view(), options);
  };
  auto const have = run(), again = run();
  for (int i = 0; i < 3; ++i) CHECK(have.value.pairs[i] == want.value.pairs[i]);
  CHECK(have.value.background == Approx(want.value.background).epsilon(1e-12));
  CHECK(have.value.foreground == Approx(want.value.foreground).epsilon(1e-12));
  CHECK(have.value.negative == Approx(want.value.negative).epsilon(1e-12));
  CHECK(have.value.field_background == Approx(want.value.field_background).epsilon(1e-12));
  CHECK(have.value.field_foreground == Approx(want.value.field_foreground).epsilon(1e-12));
  CHECK(have.value.total() == again.value.total());
  auto const boundary = to::back(have.boundary);
  CHECK(boundary == to::back(again.boundary));
  REQUIRE(boundary.shape() == want.boundary.shape());
  for (std::size_t i = 0; i < boundary.cells().size(); ++i)
    REQUIRE(boundary.cells()[i] == Approx(want.boundary.cells()[i]).epsilon(1e-6).margin(1e-12));
  if (!with_field) return;
  auto const by_field = to::back(have.field);
  REQUIRE(by_field.shape() == want.field.shape());
  for (std::size_t i = 0; i < by_field.cells().size(); ++i)
    REQUIRE(by_field.cells()[i] == Approx(want.field.cells()[i]).epsilon(1e-6).margin(1e-12));
}

TEMPLATE_LIST_TEST_CASE("of equal maxima a device takes the first on the path, too", "[loss][picture]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // plateaus everywhere: three heights, so that nearly all maxima are ties
  batch d(1, 30, 33, 5);
  for (auto& v : d.logits.cells()) v = static_cast<float>(static_cast<int>(v / 2));
  auto const want = d.loss({7, pair_sources::all});
  auto const logits = support::copied<TestType>(d.logits);
  auto const labels = support::copied<TestType>(d.labels);
  auto const have =
      affinity_displacement_loss<float>(TestType{}, logits.view(), {}, labels.view(), {7, pair_sources::all});
  auto const boundary = to::back(have.boundary);
  for (std::size_t i = 0; i < boundary.cells().size(); ++i)
    REQUIRE(boundary.cells()[i] == Approx(want.boundary.cells()[i]).epsilon(1e-6).margin(1e-12));
}

TEMPLATE_LIST_TEST_CASE("quarters and errors of a device's loss", "[loss][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const pixels = support::uniform<std::int32_t, 2>({24, 36}, 0, 99, 3);
  CHECK(to::back(quarter_labels(where, support::copied<TestType>(pixels))) == quarter_labels(cpu{}, pixels));
  CAMBIUM_THROWS_SAYING(quarter_labels(where, support::copied<TestType>(grid<std::int32_t, 2>(8, 10))),
                        precondition_error, "multiples of 4");
  batch const d(1, 8, 9, 1), other(1, 8, 8, 1);
  auto const logits = support::copied<TestType>(d.logits), few = support::copied<TestType>(other.logits);
  auto const labels = support::copied<TestType>(d.labels);
  CAMBIUM_THROWS_SAYING(affinity_displacement_loss<float>(where, logits.view(), {}, labels.view(), {.radius = 18}),
                        precondition_error, "radius 18");
  CAMBIUM_THROWS_SAYING(affinity_displacement_loss<float>(where, few.view(), {}, labels.view()), precondition_error,
                        "[1,8,8] but labels are [1,8,9]");
}
