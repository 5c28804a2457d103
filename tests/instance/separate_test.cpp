#include <cambium/instance/separate.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

TEST_CASE("every class and every instance gets a channel", "[instance][picture]")
{
  grid<std::int16_t, 3> scores(2, 2, 3);
  for (index_t i = 0; i < 12; ++i) scores(i / 6, i / 3 % 2, i % 3) = static_cast<std::int16_t>(i + 1);
  auto const split = separate(cpu{}, scores, picture({".22", "2.2"}), 3);
  std::array<index_t, 3> const shape{6, 2, 3};
  REQUIRE(split.shape() == shape);
  CHECK(drawn(split.view()[0]) == rows{"1..", ".5."});  // class 0, instance 0
  CHECK(drawn(split.view()[1]) == rows{"...", "..."});  // nobody is instance 1
  CHECK(drawn(split.view()[2]) == rows{".23", "4.6"});
  CHECK(drawn(split.view()[3]) == rows{"7..", ".b."});  // class 1, instance 0
  CHECK(drawn(split.view()[4]) == rows{"...", "..."});
  CHECK(drawn(split.view()[5]) == rows{".89", "a.c"});
}

TEMPLATE_TEST_CASE("the channels of a class sum to its scores", "[instance][property]", float, double)
{
  auto const [C, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 1, 40}, {2, 90, 7}}));
  int const K = GENERATE(1, 2, 9);
  CAPTURE(C, H, W, K);
  auto const scores = support::uniform<TestType, 3>({C, H, W}, -1, 1, 3);
  auto const ids = support::uniform<std::uint8_t, 2>({H, W}, 0, K, 5);
  auto const split = separate(cpu{}, scores, ids, K);
  REQUIRE(split.shape()[0] == C * K);
  for (int c = 0; c < C; ++c)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        TestType sum = 0;
        int set = 0;
        for (int k = 0; k < K; ++k) sum += split(c * K + k, y, x), set += split(c * K + k, y, x) != 0;
        REQUIRE(sum == scores(c, y, x));
        REQUIRE(set == 1);
        REQUIRE(split(c * K + ids(y, x), y, x) == scores(c, y, x));
      }
  for (int const threads : {1, 3}) CHECK(separate(cpu{.threads = threads}, scores, ids, K) == split);
}

TEST_CASE("separate rejects what it documents", "[instance][errors]")
{
  grid<float, 3> const scores(1, 2, 3);
  auto ids = picture({".12", "..1"});
  CAMBIUM_THROWS_SAYING(separate(cpu{}, scores, picture({"..", ".."}), 1), precondition_error,
                        "scores are [1,2,3] but ids are [2,2]");
  CAMBIUM_THROWS_SAYING(separate(cpu{}, scores, ids, 2), precondition_error, "id(0,2) is 2, outside 0..1");
  ids(1, 0) = -1;
  CAMBIUM_THROWS_SAYING(separate(cpu{}, scores, ids, 3), precondition_error, "id(1,0) is -1");
  CAMBIUM_THROWS_SAYING(separate(cpu{}, scores, ids, 0), precondition_error, "id(0,0) is 0, outside 0..-1");
  CAMBIUM_THROWS_SAYING(separate(cpu{}, grid<float, 3>(1, 0, 3), grid<std::int32_t, 2>(0, 3), -1), precondition_error,
                        "separate: -1 ids");
}

TEST_CASE("separate: nothing to part", "[instance][errors]")
{
  CHECK(separate(cpu{}, grid<float, 3>(0, 2, 2), grid<std::int32_t, 2>(2, 2), 3).size() == 0);
  CHECK(separate(cpu{}, grid<float, 3>(2, 0, 2), grid<std::int32_t, 2>(0, 2), 0).size() == 0);
  CHECK(separate(cpu{}, grid<float, 3>(2, 2, 0), grid<std::int32_t, 2>(2, 0), 4).shape()[0] == 8);
}
