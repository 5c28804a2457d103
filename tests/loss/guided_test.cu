// The same tests, compiled by nvcc: guided.cuh adds gpu to the backends under test.
#include <cambium/loss/guided.cuh>

#include "guided_test.cpp"

TEMPLATE_LIST_TEST_CASE("guided losses of a device are those of cores", "[loss][reference]", support::backends)
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

TEMPLATE_LIST_TEST_CASE("guided losses of a device repeat their bits and check shapes", "[loss][errors]",
                        support::backends)
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
    mean_square_error_into(where, output, t.view(), o.view(), value.view(), scratch);
  };
  CAMBIUM_THROWS_SAYING(into_input(), precondition_error, "mean_square_error: the gradient overlaps an input");
}
