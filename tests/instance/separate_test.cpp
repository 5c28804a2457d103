#include <cambium/instance/separate.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

TEMPLATE_LIST_TEST_CASE("every class and every instance gets a channel", "[instance][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int16_t, 3> scores(2, 2, 3);
  for (index_t i = 0; i < 12; ++i) scores(i / 6, i / 3 % 2, i % 3) = static_cast<std::int16_t>(i + 1);
  auto const split = to::back(separate(TestType{}, to::there(scores), to::there(picture({".22", "2.2"})), 3));
  std::array<index_t, 3> const shape{6, 2, 3};
  REQUIRE(split.shape() == shape);
  CHECK(drawn(split.view()[0]) == rows{"1..", ".5."});  // class 0, instance 0
  CHECK(drawn(split.view()[1]) == rows{"...", "..."});  // nobody is instance 1
  CHECK(drawn(split.view()[2]) == rows{".23", "4.6"});
  CHECK(drawn(split.view()[3]) == rows{"7..", ".b."});  // class 1, instance 0
  CHECK(drawn(split.view()[4]) == rows{"...", "..."});
  CHECK(drawn(split.view()[5]) == rows{".89", "a.c"});
}

namespace {

template <class P, class T>
void check_sums(int C, int H, int W, int K)
{
  using to = support::carry<P>;
  auto const scores = support::uniform<T, 3>({C, H, W}, -1, 1, 3);
  auto const ids = support::uniform<std::uint8_t, 2>({H, W}, 0, K, 5);
  auto const split = to::back(separate(P{}, to::there(scores), to::there(ids), K));
  REQUIRE(split.shape()[0] == C * K);
  for (int c = 0; c < C; ++c)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        T sum = 0;
        int set = 0;
        for (int k = 0; k < K; ++k) sum += split(c * K + k, y, x), set += split(c * K + k, y, x) != 0;
        REQUIRE(sum == scores(c, y, x));
        REQUIRE(set == 1);
        REQUIRE(split(c * K + ids(y, x), y, x) == scores(c, y, x));
      }
  for (int const threads : {1, 3}) CHECK(separate(cpu{.threads = threads}, scores, ids, K) == split);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the channels of a class sum to its scores", "[instance][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [C, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 1, 40}, {2, 90, 7}}));
  int const K = GENERATE(1, 2, 9);
  CAPTURE(C, H, W, K);
  check_sums<TestType, float>(C, H, W, K);
  check_sums<TestType, double>(C, H, W, K);
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

TEMPLATE_LIST_TEST_CASE("separate: nothing to part", "[instance][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const parted = [](grid<float, 3> const& scores, grid<std::int32_t, 2> const& ids, index_t K) {
    return to::back(separate(TestType{}, to::there(scores), to::there(ids), K));
  };
  CHECK(parted(grid<float, 3>(0, 2, 2), grid<std::int32_t, 2>(2, 2), 3).size() == 0);
  CHECK(parted(grid<float, 3>(2, 0, 2), grid<std::int32_t, 2>(0, 2), 0).size() == 0);
  CHECK(parted(grid<float, 3>(2, 2, 0), grid<std::int32_t, 2>(2, 0), 4).shape()[0] == 8);
}

TEMPLATE_LIST_TEST_CASE("an id out of range is in no channel", "[instance][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> scores(1, 1, 4);
  for (auto& v : scores.cells()) v = 5;
  grid<std::int32_t, 2> ids(1, 4);
  ids(0, 0) = -1, ids(0, 1) = 1, ids(0, 2) = 2, ids(0, 3) = 1'000'000;
  auto const split = to::back(separate(TestType{}, to::there(scores), to::there(ids), 2));
  CHECK(drawn(split.view()[0]) == rows{"...."});
  CHECK(drawn(split.view()[1]) == rows{".5.."});
}
