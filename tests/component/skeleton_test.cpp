#include <cambium/component/skeleton.hpp>

#include "support/backends.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"

#include <algorithm>
#include <random>
#include <vector>

using namespace cambium;
using support::carry;
using support::drawn;
using support::picture;
using support::rows;

namespace {

/// Oracle: Guo and Hall's A1 on one mask, with the eight neighbours as a ring and whole sets that are deleted at once.
std::vector<std::vector<int>> thinned(std::vector<std::vector<int>> mask)
{
  int const H = static_cast<int>(mask.size()), W = static_cast<int>(mask[0].size());
  int const dy[] = {-1, -1, 0, 1, 1, 1, 0, -1}, dx[] = {0, 1, 1, 1, 0, -1, -1, -1};
  for (int unchanged = 0, half = 0; unchanged < 2; half = 1 - half) {
    std::vector<std::pair<int, int>> gone;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        if (!mask[y][x]) continue;
        int ring[8];
        for (int i = 0; i < 8; ++i) {
          int const ny = y + dy[i], nx = x + dx[i];
          ring[i] = ny >= 0 && nx >= 0 && ny < H && nx < W ? mask[ny][nx] : 0;
        }
        auto const p = [&](int i) { return ring[((i % 8) + 8) % 8]; };
        int c = 0, n1 = 0, n2 = 0;
        for (int i = 0; i < 8; i += 2) {
          c += !p(i) && (p(i + 1) || p(i + 2));
          n1 += p(i - 1) || p(i);
          n2 += p(i) || p(i + 1);
        }
        int const o = half == 0 ? 0 : 4;  // the second half is the first one turned by 180 degrees
        bool const m = (p(o) || p(o + 1) || !p(o + 3)) && p(o + 2);
        if (c == 1 && std::min(n1, n2) >= 2 && std::min(n1, n2) <= 3 && !m) gone.emplace_back(y, x);
      }
    for (auto const& [y, x] : gone) mask[y][x] = 0;
    unchanged = gone.empty() ? unchanged + 1 : 0;
  }
  return mask;
}

template <class P, class L>
grid<L, 2> run(grid<L, 2> const& labels)
{
  auto const there = skeleton(P{}, carry<P>::there(labels));
  return carry<P>::back(there);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a skeleton is Guo and Hall's, label by label", "[component][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  std::mt19937 bits(3);
  index_t const sizes[][2] = {{1, 1}, {1, 9}, {8, 1}, {2, 2}, {23, 31}, {40, 25}};
  for (auto const& size : sizes)
    for (int const coarse : {1, 4, 7})
      for (unsigned const percent : {40u, 75u, 100u}) {
        index_t const H = size[0], W = size[1];  // clang 14 captures no structured bindings
        CAPTURE(H, W, coarse, percent);
        grid<std::uint8_t, 2> labels(H, W);  // squares of three labels, touching each other
        std::vector<std::vector<std::uint8_t>> square(64, std::vector<std::uint8_t>(64));
        for (auto& row : square)
          for (auto& v : row) v = bits() % 100 < percent ? static_cast<std::uint8_t>(1 + bits() % 3) : std::uint8_t{0};
        for (index_t y = 0; y < H; ++y)
          for (index_t x = 0; x < W; ++x) labels(y, x) = square[y / coarse][x / coarse];
        auto const have = run<TestType>(labels);
        index_t wrong = 0;
        for (std::uint8_t l = 1; l <= 3; ++l) {
          std::vector<std::vector<int>> mask(H, std::vector<int>(W));
          for (index_t y = 0; y < H; ++y)
            for (index_t x = 0; x < W; ++x) mask[y][x] = labels(y, x) == l;
          auto const want = thinned(mask);
          for (index_t y = 0; y < H; ++y)
            for (index_t x = 0; x < W; ++x) wrong += (have(y, x) == l) != (want[y][x] != 0);
          // One component stays one, and no cell is added.
          auto const count = [&](auto const& map) {
            auto const of = oracle::flood_fill(
                H, W, true, [&](auto y, auto x) { return map(y, x) == l; }, [](auto...) { return true; });
            return *std::max_element(of.begin(), of.end());
          };
          CHECK(count(have) == count(labels));
        }
        CHECK(wrong == 0);
        CHECK(run<TestType>(have) == have);
      }
}

TEST_CASE("skeletons of letters", "[component][picture]")
{
  auto const have = skeleton(cpu{}, picture({
                                        "111111111....",  //
                                        "111111111....",  //
                                        "111111111....",  //
                                        "...111.......",  //
                                        "...111..22222",  //
                                        "...111..22222",  //
                                        "...111..22222",
                                    }));
  CHECK(drawn(have) == rows{
                           ".............",  //
                           ".11..111.....",  //
                           "...11........",  //
                           "....1........",  //
                           "....1........",  //
                           "....1....222.",  //
                           ".............",
                       });
}

TEST_CASE("what skeleton refuses", "[component][errors]")
{
  grid<std::int32_t, 2> labels(3, 4), out(3, 5);
  skeleton_scratch<cpu> scratch;
  CHECK_THROWS_WITH(skeleton_into(cpu{}, labels, out, scratch), "skeleton: labels are [3,4] but out is [3,5]");
  CHECK_THROWS_WITH(skeleton_into(cpu{}, labels, labels, scratch), "skeleton: labels and out overlap");
  CHECK(skeleton(cpu{}, grid<std::int32_t, 2>(0, 4)).size() == 0);
}
