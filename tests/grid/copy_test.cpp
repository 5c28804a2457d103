#include <cambium/grid/copy.hpp>

#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <vector>

using namespace cambium;

namespace {

/// A block in which a window with gaps lies.
struct framed {
  grid<float, 4> block;
  view<float, 4> window;

  framed(index_t const (&extents)[4], index_t gap, unsigned seed)
      : block(support::uniform<float, 4>({extents[0] + gap, extents[1] + gap, extents[2] + gap, extents[3] + gap}, 0, 1,
                                         seed)),
        window(block)
  {
    for (int r = 0; r < 4; ++r) window.extent[r] = extents[r];
  }
};

}  // namespace

TEST_CASE("copy takes every cell and no other", "[grid][reference]")
{
  index_t const from_gap = GENERATE(0, 1, 3), to_gap = GENERATE(0, 2);
  int const threads = GENERATE(1, 3);
  framed const from({2, 3, 4, 5}, from_gap, 1);
  framed to({2, 3, 4, 5}, to_gap, 2);
  auto const before = to.block;
  copy(cpu{.threads = threads}, view<float const, 4>(from.window), to.window);
  // Oracle: the block cell by cell, inside the window or beside it.
  index_t const g = to_gap;
  for (index_t a = 0; a < 2 + g; ++a)
    for (index_t b = 0; b < 3 + g; ++b)
      for (index_t c = 0; c < 4 + g; ++c)
        for (index_t d = 0; d < 5 + g; ++d)
          REQUIRE(to.block(a, b, c, d) ==
                  (a < 2 && b < 3 && c < 4 && d < 5 ? from.block(a, b, c, d) : before(a, b, c, d)));
}

TEST_CASE("copy of a large map is the same for every number of threads", "[grid][property]")
{
  auto const from = support::uniform<double, 2>({700, 301}, -1, 1, 3);
  for (int const threads : {0, 1, 2, 5}) {
    grid<double, 2> to(700, 301);
    copy(cpu{.threads = threads}, from.view(), to.view());
    CHECK(to == from);
  }
}

TEST_CASE("copy of rank 1, of one cell, of nothing", "[grid][reference]")
{
  std::vector<int> const from = {4, 5, 6};
  std::vector<int> to(4, -1);
  copy(cpu{}, view<int const, 1>(from.data(), {3}), view<int, 1>(to.data(), {3}));
  CHECK(to == std::vector<int>{4, 5, 6, -1});
  copy(cpu{}, view<int const, 3>(from.data(), {1, 1, 1}), view<int, 3>(to.data() + 3, {1, 1, 1}));
  CHECK(to[3] == 4);
  for (auto const& extents : {std::array<index_t, 2>{0, 3}, {3, 0}, {0, 0}}) {
    index_t const none[2] = {extents[0], extents[1]};
    copy(cpu{}, view<int const, 2>(nullptr, none), view<int, 2>(nullptr, none));
    copy(cpu{}, view<int const, 2>(from.data(), none), view<int, 2>(to.data(), none));
  }
  CHECK(to == std::vector<int>{4, 5, 6, 4});
}

TEST_CASE("copy rejects what it documents, and writes nothing", "[grid][errors]")
{
  grid<int, 2> from(2, 3), to(3, 2);
  for (auto& v : from.cells()) v = 1;
  CAMBIUM_THROWS_SAYING(copy(cpu{}, from.view(), to.view()), precondition_error, "copy: from [2,3] to [3,2]");
  CHECK(to == grid<int, 2>(3, 2));
  std::vector<int> block(20, 7);
  view<int, 2> const a(block.data(), {2, 5}), b(block.data() + 9, {2, 5});
  CAMBIUM_THROWS_SAYING(copy(cpu{}, a, b), precondition_error, "copy: the two ranges overlap");
  CAMBIUM_THROWS_SAYING(copy(cpu{}, a, a), precondition_error, "overlap");
  CHECK(block == std::vector<int>(20, 7));
}
