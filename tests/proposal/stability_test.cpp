#include <cambium/proposal/stability.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("stability equals a look at every cell", "[proposal][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const extents = GENERATE(table<int, int, int>({{0, 4, 4}, {2, 0, 3}, {1, 1, 1}, {5, 7, 33}, {3, 40, 130}}));
  int const N = std::get<0>(extents), H = std::get<1>(extents), W = std::get<2>(extents);
  auto const check = [&]<class T>(T) {
    auto maps = support::uniform<T, 3>({N, H, W}, -3, 3, 5);
    for (std::size_t i = 0; i < maps.cells().size(); i += 5)
      maps.cells()[i] = i % 2 == 0 ? T(1.5) : T(-0.5);  // on a limit
    for (std::size_t i = 3; i < maps.cells().size(); i += 17) maps.cells()[i] = std::numeric_limits<T>::quiet_NaN();
    auto const have =
        to::back(stability(support::with_threads<TestType>(3), to::there(maps), {.threshold = 0.5, .offset = 1}));
    REQUIRE(have.size() == N);
    for (int i = 0; i < N; ++i) {
      long high = 0, low = 0;
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) high += maps(i, y, x) > T(1.5), low += maps(i, y, x) > T(-0.5);
      CHECK(have(i).high == high);
      CHECK(have(i).low == low);
      CHECK(have(i).score == (low > 0 ? static_cast<double>(high) / static_cast<double>(low) : 0.));
    }
  };
  check(float{}), check(double{});
}

TEST_CASE("limits are rounded to the type of the maps", "[proposal][picture]")
{
  grid<float, 3> maps(1, 1, 1);
  maps(0, 0, 0) = 0.1f;  // above 0.1 as a double, and not above it as a float
  CHECK(stability(cpu{}, maps, {.threshold = 0.1, .offset = 0})(0).high == 0);
}

TEST_CASE("rows longer than 32,767 set pixels do not overflow", "[proposal][errors]")
{
  grid<float, 3> maps(1, 2, 40000);
  for (auto& v : maps.cells()) v = 2;
  auto const found = stability(cpu{}, maps);
  CHECK(found(0).high == 80000);
  CHECK(found(0).score == 1);
}

TEMPLATE_LIST_TEST_CASE("stability rejects what it documents", "[proposal][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  auto const maps = support::copied<TestType>(grid<float, 3>(2, 3, 4));
  CAMBIUM_THROWS_SAYING(stability(where, maps, {.offset = -1}), precondition_error, "stability: offset is -1");
  CAMBIUM_THROWS_SAYING(stability(where, maps, {.threshold = std::nan("")}), precondition_error, "threshold is nan");
  auto out = make_grid<mask_stability>(where, {3});
  stability_scratch<TestType> scratch;
  CAMBIUM_THROWS_SAYING(stability_into(where, maps, {}, out, scratch), precondition_error,
                        "out is [3] but the maps are [2,3,4]");
}
