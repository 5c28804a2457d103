#include <cambium/activation/background.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;
using support::drawn;
using support::rows;

TEMPLATE_LIST_TEST_CASE("the background comes first", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int32_t, 3> maps(2, 2, 2);
  for (std::size_t i = 0; i < 8; ++i) maps.cells()[i] = static_cast<std::int32_t>(i);
  auto const all = to::back(with_background(TestType{}, to::there(maps), 9));
  REQUIRE(all.shape() == std::array<index_t, 3>{3, 2, 2});
  CHECK(drawn(all.view()[0]) == rows{"99", "99"});
  CHECK(drawn(all.view()[1]) == rows{".1", "23"});
  CHECK(drawn(all.view()[2]) == rows{"45", "67"});
}

TEMPLATE_LIST_TEST_CASE("with_background moves every channel by one", "[activation][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W] = GENERATE(table<int, int, int>({{0, 3, 4}, {1, 1, 1}, {2, 70, 9}, {3, 0, 4}, {3, 4, 0}}));
  auto const score = GENERATE(0.25, 0.0, -1.5);
  auto const check = [&, C = C, H = H, W = W](auto zero) {
    using T = decltype(zero);
    auto const maps = support::uniform<T, 3>({C, H + 1, W + 3}, -1, 1, 3);
    auto const there = support::copied<TestType>(maps);
    auto window = there.view();  // rows and channels with gaps
    window.extent[1] = H, window.extent[2] = W;
    CAPTURE(C, H, W, score);
    auto const all = to::back(with_background(support::with_threads<TestType>(3), window, score));
    REQUIRE(all.shape() == std::array<index_t, 3>{C + 1, H, W});
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        REQUIRE(all(0, y, x) == static_cast<T>(score));
        for (int c = 0; c < C; ++c) REQUIRE(all(c + 1, y, x) == maps(c, y, x));
      }
  };
  check(0.f);
  check(0.);
}

TEST_CASE("a background's score is a number", "[activation][errors]")
{
  grid<float, 3> const maps(1, 2, 2);
  for (double const bad : {std::nan(""), HUGE_VAL, -HUGE_VAL})
    CAMBIUM_THROWS_SAYING(with_background(cpu{}, maps, bad), precondition_error, "with_background: score is");
}
