#include <cambium/exec/bits.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

using namespace cambium;

namespace {

template <class T>
void same_as_one_by_one(T other)
{
  auto const dice = support::uniform<double, 2>({66, 65}, 0, 1, 5);
  for (index_t n = 0; n <= 64; ++n)
    for (index_t from : {0, 1}) {  // vectors need no alignment
      std::array<T, 66> cells;
      cells.fill(T{1});
      std::bitset<64> expected;
      for (index_t i = 0; i < n; ++i) {
        bool const set = dice(n, i) < 0.5;
        cells[static_cast<std::size_t>(from + i)] = set ? other : T{};
        expected[static_cast<std::size_t>(i)] = set;
      }
      REQUIRE(nonzero_bits(cells.data() + from, n) == expected.to_ullong());
    }
}

}  // namespace

TEST_CASE("nonzero_bits has a bit for every cell that is not 0, and no other", "[bits][reference]")
{
  same_as_one_by_one<std::uint8_t>(1);
  same_as_one_by_one<std::uint8_t>(128);
  same_as_one_by_one<std::int8_t>(-1);
  same_as_one_by_one<bool>(true);
  same_as_one_by_one<std::int32_t>(256);  // whose lowest byte is 0
  same_as_one_by_one<float>(1e-40f);
}

TEST_CASE("nonzero_bits of 64 cells at each place", "[bits][picture]")
{
  for (std::size_t i = 0; i < 64; ++i) {
    std::vector<std::uint8_t> cells(64, 0);
    cells[i] = 255;
    CHECK(nonzero_bits(cells.data(), 64) == std::uint64_t{1} << i);
  }
}
