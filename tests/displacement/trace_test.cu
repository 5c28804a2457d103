// The same tests, compiled by nvcc: trace.cuh adds the device's rules and gpu to the backends under test.
#include <cambium/displacement/trace.cuh>

#include "trace_test.cpp"

TEMPLATE_LIST_TEST_CASE("what leads nowhere stays on the map", "[displacement][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto D = support::uniform<float, 3>({2, 7, 6}, -2, 2, 5);
  for (std::size_t i = 0; i < D.cells().size(); i += 3)
    D.cells()[i] = i % 2 == 0 ? std::nanf("") : i % 4 == 1 ? HUGE_VALF : -HUGE_VALF;
  for (auto const precision : {trace_precision::mixed, trace_precision::single}) {
    auto const ends = ends_of<TestType>(D, {.precision = precision});
    for (index_t y = 0; y < 7; ++y)
      for (index_t x = 0; x < 6; ++x) {
        CHECK((ends(0, y, x) >= 0 && ends(0, y, x) <= 6));
        CHECK((ends(1, y, x) >= 0 && ends(1, y, x) <= 5));
      }
  }
}

TEMPLATE_LIST_TEST_CASE("trace on a device writes between gaps, and takes the cpu's paths", "[displacement][property]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const H = 37, W = 61;
  auto const D = field_of<float>("random", H, W);
  auto const want = trace(cpu{}, D);
  grid<float, 3> const none(2, H + 1, W + 3);
  grid<float, 3> wide(2, H + 2, W + 5);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) wide(0, y, x) = D(0, y, x), wide(1, y, x) = D(1, y, x);
  auto const there = support::copied<TestType>(wide);
  auto out = support::copied<TestType>(none);
  auto field = there.view();
  auto result = out.view();
  field.extent[1] = result.extent[1] = H, field.extent[2] = result.extent[2] = W;
  trace_scratch<float, typename TestType::memory> scratch;
  for (int i = 0; i < 2; ++i) trace_into(TestType{}, field, {}, result, scratch);
  auto const have = to::back(out);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) REQUIRE((have(0, y, x) == want(0, y, x) && have(1, y, x) == want(1, y, x)));
  for (index_t x = 0; x < W + 3; ++x) REQUIRE((have(0, H, x) == 0 && have(1, H, x) == 0));
}
