#include <cambium/affinity/path_affinity.hpp>

#include "support/backends.hpp"
#include "support/dense_walk.hpp"
#include "support/random.hpp"

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("path_affinity equals the definition", "[affinity][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  int const radius = GENERATE(1, 2, 3, 5, 7, 10, 11, 12, 15, 17);
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 9}, {12, 1}, {6, 7}, {13, 40}, {19, 35}}));
  CAPTURE(radius, H, W);
  auto const boundary = support::uniform<float, 2>({H, W}, 0, 1, 3);
  auto const edges = stencil::disc(radius);
  auto const have = to::back(path_affinity(TestType{}, to::there(boundary), edges));
  REQUIRE(have.shape()[0] == edges.size);
  for (int k = 0; k < edges.size; ++k)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        int const fy = y + edges.at[k].dy, fx = x + edges.at[k].dx;
        bool const inside = fy < H && fx >= 0 && fx < W;
        auto const want = inside ? static_cast<float>(oracle::affinity(boundary, y, x, fy, fx)) : 0.f;
        REQUIRE(have(k, y, x) == want);
      }
}

TEST_CASE("path_affinity is the same on every instruction set, number of threads and stride", "[affinity][property]")
{
  auto const boundary = support::uniform<double, 2>({37, 61}, 0, 1, 5);
  auto const edges = stencil::disc(5);
  auto const want = path_affinity(cpu{.threads = 1}, boundary, edges);
  CHECK(path_affinity(cpu{.threads = 3}, boundary, edges) == want);
  CHECK(path_affinity(cpu{.vectors = isa::baseline}, boundary, edges) == want);
  CHECK(path_affinity(cpu{.vectors = isa::avx2}, boundary, edges) == want);
  grid<double, 2> wide(37, 70);
  for (index_t y = 0; y < 37; ++y)
    for (index_t x = 0; x < 61; ++x) wide(y, x) = boundary(y, x);
  auto window = wide.view();
  window.extent[1] = 61;
  CHECK(path_affinity(cpu{}, window, edges) == want);
}

TEST_CASE("raising a boundary never raises an affinity", "[affinity][property]")
{
  auto boundary = support::uniform<float, 2>({9, 11}, 0, 0.9, 7);
  auto const edges = stencil::disc(4);
  auto const before = path_affinity(cpu{}, boundary, edges);
  boundary(4, 5) = 1;
  auto const after = path_affinity(cpu{}, boundary, edges);
  int lowered = 0;
  for (std::size_t i = 0; i < before.cells().size(); ++i) {
    CHECK(after.cells()[i] <= before.cells()[i]);
    lowered += after.cells()[i] < before.cells()[i];
  }
  CHECK(lowered > edges.size);  // every edge at that cell, and some that pass by
}

TEST_CASE("a wall stops every edge that crosses it", "[affinity][picture]")
{
  //   . . # . .
  //   . . # . .
  grid<float, 2> boundary(2, 5);
  boundary(0, 2) = boundary(1, 2) = 1;
  auto const edges = stencil::disc(4);
  auto const a = path_affinity(cpu{}, boundary, edges);
  for (int k = 0; k < edges.size; ++k)
    for (int y = 0; y + edges.at[k].dy < 2; ++y)
      for (int x = 0; x < 5; ++x) {
        int const fx = x + edges.at[k].dx;
        if (fx < 0 || fx > 4) continue;
        bool const free = (x < 2 && fx < 2) || (x > 2 && fx > 2);
        CHECK(a(k, y, x) == (free ? 1.f : 0.f));
      }
}

TEST_CASE("path_affinity rejects what it documents", "[affinity][errors]")
{
  grid<float, 2> boundary(4, 5);
  auto const edges = stencil::disc(3);
  CAMBIUM_THROWS_SAYING(stencil::disc(0), precondition_error, "radius 0");
  CAMBIUM_THROWS_SAYING(stencil::disc(18), precondition_error, "radius 18");
  boundary(2, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, edges), precondition_error, "boundary(2,3) is nan");
  boundary(2, 3) = 1.5f;
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, edges), precondition_error, "boundary(2,3) is 1.5");
  boundary(2, 3) = 0;
  grid<float, 3> small(edges.size, 4, 4);
  CAMBIUM_THROWS_SAYING(path_affinity_into(cpu{}, boundary, edges, small), precondition_error, "[12,4,4]");
  stencil far;
  far.size = 1;
  far.at[0] = {0, 17};
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, far), precondition_error, "17 cells");
  far.at[0] = {46341, 46341};  // whose square passes 2^32
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, far), precondition_error, "17 cells");
}

TEST_CASE("an edge has one owner: stencils outside the half plane are refused", "[affinity][errors]")
{
  grid<float, 2> const boundary(4, 5);
  for (offset const o : {offset{-1, 0}, offset{0, 0}, offset{0, -1}, offset{-2, 3}}) {
    stencil s;
    s.size = 1, s.at[0] = o;
    CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, s), precondition_error, "outside the half plane");
  }
  stencil s;
  s.size = stencil::capacity + 1;
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, boundary, s), precondition_error, "a stencil of 445 offsets");
}

TEST_CASE("path_affinity of an empty map is empty", "[affinity][errors]")
{
  grid<float, 2> const none(0, 7);
  CHECK(path_affinity(cpu{}, none, stencil::disc(5)).size() == 0);
}
