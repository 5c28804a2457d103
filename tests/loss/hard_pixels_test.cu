// The same tests, compiled by nvcc: hard_pixels.cuh adds gpu to the backends under test.
#include <cambium/loss/hard_pixels.cuh>

#include "hard_pixels_test.cpp"

TEMPLATE_LIST_TEST_CASE("cross entropies of a device are those of cores", "[loss][reference]", support::backends)
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
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  batch good(1, 3, 5, 6, 1), strange = good;
  for (index_t i = 0; i < good.labels.size(); i += 3)
    good.labels.data()[i] = label::ignore, strange.labels.data()[i] = i % 2 == 0 ? -7 : 3;
  auto const logits = support::copied<TestType>(good.logits);
  auto const labels = support::copied<TestType>(good.labels), odd = support::copied<TestType>(strange.labels);
  auto const want = hardest_pixels_cross_entropy(cpu{}, good.logits, good.labels, {.of = pixel_pool::labelled});
  auto const have = hardest_pixels_cross_entropy(where, logits, odd, {.of = pixel_pool::labelled});
  CHECK(have.value == Approx(want.value));
  CHECK(have.pixels == want.pixels);
  auto const few = support::copied<TestType>(grid<std::int32_t, 3>(1, 5, 5));
  CAMBIUM_THROWS_SAYING(cross_entropy(where, logits, few), precondition_error, "but labels are [1,5,5]");
  CAMBIUM_THROWS_SAYING(hardest_pixels_cross_entropy(where, logits, labels, {.fraction = 0}), precondition_error,
                        "fraction is 0, outside (0,1]");
}
