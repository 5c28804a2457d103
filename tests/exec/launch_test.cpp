// The gpu's loops, played on cores: blocks in any order, threads of a block in any order between barriers. What a card
// alone can show beside this is in docs/gpu.md.
#include <cambium/exec/launch.hpp>

#include "support/catch.hpp"
#include "support/launch.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

using namespace cambium;
using support::played_launch;

namespace {

constexpr std::int32_t poison = -7777;

/// Counts visits of [C,H,W]; every index outside is poison around the map, or is told.
struct visits {
  index_t C, H, W;
  std::vector<std::int32_t> cells;
  index_t astray = 0;

  visits(index_t c, index_t h, index_t w) : C(c), H(h), W(w), cells(static_cast<std::size_t>(c * h * w), 0) {}
  void operator()(index_t c, index_t y, index_t x)
  {
    if (c < 0 || c >= C || y < 0 || y >= H || x < 0 || x >= W)
      ++astray;
    else
      ++cells[static_cast<std::size_t>((c * H + y) * W + x)];
  }
  bool once() const
  {
    for (auto const n : cells)
      if (n != 1) return false;
    return astray == 0;
  }
};

}  // namespace

TEST_CASE("a launch over cells visits each cell once and none outside, in any order of its threads", "[exec][property]")
{
  auto const extents = GENERATE(table<index_t, index_t, index_t>({{1, 1, 1}, {2, 9, 33}, {3, 8, 32}, {1, 17, 5}}));
  index_t const C = std::get<0>(extents), H = std::get<1>(extents), W = std::get<2>(extents);
  auto const seed = GENERATE(1u, 2u);
  CAPTURE(C, H, W, seed);
  visits seen(C, H, W);
  played_launch(seed).play(cell_launch({C, H, W}), [&](launch_place const& at, auto const&) {
    launch_cells(at, C, H, W, [&](index_t c, index_t y, index_t x) { seen(c, y, x); });
  });
  CHECK(seen.once());
}

TEST_CASE("a launch with fewer blocks than rows and channels strides over them", "[exec][property]")
{
  visits seen(5, 19, 40);
  played_launch(3).play({{2, 1, 2}, {32, 2, 1}}, [&](launch_place const& at, auto const&) {
    launch_cells(at, 5, 19, 40, [&](index_t c, index_t y, index_t x) { seen(c, y, x); });
  });
  CHECK(seen.once());
  visits line(1, 1, 1000);
  played_launch(4).play({{3, 1, 1}, {16, 1, 1}}, [&](launch_place const& at, auto const&) {
    launch_indices(at, 1000, [&](index_t i) { line(0, 0, i); });
  });
  CHECK(line.once());
}

TEST_CASE("a launch over indices visits each once", "[exec][property]")
{
  auto const count = GENERATE(as<index_t>(), 1, 255, 256, 257, 700);
  visits seen(1, 1, count);
  played_launch(5).play(index_launch(count), [&](launch_place const& at, auto const&) {
    launch_indices(at, count, [&](index_t i) { seen(0, 0, i); });
  });
  CHECK(seen.once());
}

TEST_CASE("launches are shaped to what a card takes", "[exec][property]")
{
  for (index_t const n : {index_t{1}, index_t{31}, index_t{70000}, index_t{1} << 40}) {
    CAPTURE(n);
    for (auto const& shape : {cell_launch({n, n, 1000}), index_launch(n), reduce_launch(n, 5000)}) {
      CHECK(shape.blocks.x >= 1);
      CHECK(shape.blocks.x <= 0x7fffffffu);
      CHECK((shape.blocks.y >= 1 && shape.blocks.y <= 65535));
      CHECK((shape.blocks.z >= 1 && shape.blocks.z <= 65535));
      CHECK(shape.threads.x * shape.threads.y * shape.threads.z <= 1024);
    }
  }
}

TEST_CASE("a launch that reduces sums in the cores' order, whatever order its threads run in", "[exec][property]")
{
  auto const extents = GENERATE(table<index_t, index_t>({{1, 1}, {3, 300}, {2, 4096}, {1, 4097}, {1, 9000}}));
  index_t const rows = std::get<0>(extents), length = std::get<1>(extents);
  auto const seed = GENERATE(1u, 2u, 3u);
  CAPTURE(rows, length, seed);
  auto const value = [](index_t row, index_t i) { return std::sin(static_cast<double>(row * 7919 + i)) * 1e3; };
  plus const add;
  auto const shape = reduce_launch(rows, length);
  index_t const chunks = chunks_of(length);
  std::vector<double> out(static_cast<std::size_t>(rows * chunks) + 2, poison);  // poison on either side
  // Each block has memory of its own, which begins as poison.
  std::vector<std::vector<double>> lanes(static_cast<std::size_t>(chunks * rows),
                                         std::vector<double>(reduce_lanes, poison));
  played_launch(seed).play(shape, [&](launch_place const& at, played_launch::waits const& wait) {
    launch_reduce(at, rows, length, value, 0.0, add, out.data() + 1,
                  lanes[at.block.y * at.blocks.x + at.block.x].data(), [&] { wait.block(); });
  });
  CHECK(out.front() == poison);
  CHECK(out.back() == poison);
  for (index_t r = 0; r < rows; ++r)
    for (index_t c = 0; c < chunks; ++c)
      CHECK(out[static_cast<std::size_t>(1 + r * chunks + c)] ==
            reduce_one_chunk(r, c * reduce_chunk, std::min(length, (c + 1) * reduce_chunk), value, 0.0, add));
}

TEST_CASE("fewer blocks than rows: a block's memory is not written before all have read it", "[exec][property]")
{
  auto const seed = GENERATE(1u, 2u, 3u, 4u);
  auto const value = [](index_t row, index_t i) { return static_cast<double>(row * 1000 + i); };
  std::vector<double> out(5, poison), lane(reduce_lanes, poison);
  played_launch(seed).play({{1, 1, 1}, {static_cast<unsigned>(reduce_lanes), 1, 1}},
                           [&](launch_place const& at, played_launch::waits const& wait) {
                             launch_reduce(at, 5, 600, value, 0.0, plus{}, out.data(), lane.data(),
                                           [&] { wait.block(); });
                           });
  for (index_t r = 0; r < 5; ++r)
    CHECK(out[static_cast<std::size_t>(r)] == reduce_one_chunk(r, 0, 600, value, 0.0, plus{}));
}

TEST_CASE("a played launch shows a race and a barrier that not all reach", "[exec][errors]")
{
  // A programme that lacks the barrier between writing and reading: its sum depends on the order.
  std::set<int> sums;
  for (unsigned seed = 0; seed < 8; ++seed) {
    int cell[8] = {};
    int sum = 0;
    played_launch(seed).play({{1, 1, 1}, {8, 1, 1}}, [&](launch_place const& at, auto const&) {
      cell[at.thread.x] = 1;
      sum += cell[(at.thread.x + 1) % 8];
    });
    sums.insert(sum);
  }
  CHECK(sums.size() > 1);
  auto const half = [](launch_place const& at, played_launch::waits const& wait) {
    if (at.thread.x < 2) wait.block();
  };
  CHECK_THROWS_AS(played_launch(1).play({{2, 1, 1}, {4, 1, 1}}, half), std::logic_error);
}
