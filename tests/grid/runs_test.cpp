#include <cambium/grid/runs.hpp>

#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <cstdint>
#include <vector>

using namespace cambium;

TEMPLATE_TEST_CASE("runs end where values change", "[grid][reference]", std::uint8_t, std::int32_t, std::uint64_t,
                   float)
{
  index_t const W = GENERATE(0, 1, 7, 33, 200), longest = GENERATE(1, 3, 90);
  auto const length = support::uniform<std::int32_t, 2>({3, 200}, 1, static_cast<double>(longest) + 0.99, 3);
  grid<TestType, 2> map(3, W);
  for (index_t y = 0; y < 3; ++y)
    for (index_t x = 0, k = 0; x < W; ++k)
      for (index_t i = 0; i < length(y, k) && x < W; ++i, ++x) map(y, x) = static_cast<TestType>(k % 2);
  index_t cells = 0, last_y = 0, last_end = 0;
  for_each_run(map.view(), [&](index_t y, index_t begin, index_t end, TestType value) {
    CHECK(begin < end);
    if (y != last_y) {
      CHECK((y == last_y + 1 && last_end == W));
      last_end = 0;
    }
    CHECK(begin == last_end);
    if (begin > 0) CHECK(map(y, begin - 1) != value);
    for (index_t x = begin; x < end; ++x) CHECK(map(y, x) == value);
    cells += end - begin, last_y = y, last_end = end;
  });
  CHECK(cells == 3 * W);
}
