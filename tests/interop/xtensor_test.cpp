#include <cambium/interop/xtensor.hpp>

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/walk/random_walk.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/xtensor.hpp"

#include <algorithm>

using namespace cambium;

TEST_CASE("into_xtensor takes the cells along", "[interop][property]")
{
  auto g = support::uniform<float, 3>({2, 3, 4}, -1, 1, 1);
  auto const before = g;
  auto const* const at = g.data();
  auto x = into_xtensor(std::move(g));
  CHECK(x.data() == at);  // nothing was copied
  CHECK(x.dimension() == 3);
  for (std::size_t c = 0; c < 2; ++c)
    for (std::size_t y = 0; y < 3; ++y)
      for (std::size_t i = 0; i < 4; ++i) REQUIRE(x(c, y, i) == before(c, y, i));
  CHECK(g.size() == 0);  // the grid is empty afterwards, and says so
  CHECK(g.shape() == std::array<index_t, 3>{0, 0, 0});
  CHECK(g.view().size() == 0);

  auto const moved = std::move(x);  // the container owns its cells
  CHECK(moved.data() == at);
  auto const copied = moved;
  CHECK(copied.data() != at);
  CHECK(copied(1, 2, 3) == before(1, 2, 3));
}

TEST_CASE("into_xtensor of a result", "[interop][picture]")
{
  auto const mask = support::uniform<std::uint8_t, 2>({5, 6}, 0, 1.99, 3);
  auto const labels = into_xtensor(connected(cpu{}, mask).label);
  CHECK(xt::amax(labels)() == connected(cpu{}, mask).count);
  CHECK(into_xtensor(grid<int, 3>(2, 0, 4)).size() == 0);
  xt::xtensor<int, 2> const kept = into_xtensor(grid<int, 2>(2, 3));  // into the everyday type, by a copy
  CHECK(kept.shape(1) == 3);
}

TEST_CASE("as_xtensor looks at the same cells", "[interop][property]")
{
  grid<double, 2> g(3, 4);
  auto const x = as_xtensor<2>(g);
  CHECK(x.data() == g.data());
  g(1, 2) = 5;
  CHECK(x(1, 2) == 5);
  auto y = as_xtensor<2>(g);
  y(2, 3) = 7;  // writes through
  CHECK(g(2, 3) == 7);
  y *= 2;
  CHECK(g(1, 2) == 10);
  CHECK(xt::sum(x)() == 24);

  grid<double, 2> const& readable = g;
  CHECK(as_xtensor<2>(readable).data() == g.data());
  auto const plane = g.view();
  CHECK(as_xtensor<2>(plane).data() == g.data());
  grid<double, 2> none(0, 4);
  CHECK(as_xtensor<2>(none).size() == 0);
}

TEST_CASE("as_xtensor lives as long as the cells, not as long as the view", "[interop][property]")
{
  grid<int, 3> g(2, 3, 4);
  for (int i = 0; i < 24; ++i) g.cells()[static_cast<std::size_t>(i)] = i;
  auto const channel = [&](index_t c) {
    auto const plane = g.view()[c];
    return as_xtensor<2>(plane);
  };
  auto const first = channel(0), second = channel(1);
  CHECK(first(2, 3) == 11);
  CHECK(second(0, 0) == 12);
  CHECK(second(2, 3) == 23);
}

TEST_CASE("as_xtensor rejects what it documents", "[interop][errors]")
{
  grid<double, 2> g(3, 4);
  auto window = g.view();
  window.extent[1] = 2;
  CAMBIUM_THROWS_SAYING(as_xtensor<2>(window), precondition_error, "the view [3,2] has gaps");
  xt::xarray<double> const cube = xt::zeros<double>({2, 3, 4});
  CAMBIUM_THROWS_SAYING(as_xtensor<2>(cube), precondition_error, "as_xtensor: array has 3 axes instead of 2");
}

TEMPLATE_TEST_CASE("xtensor's containers go into the stages as they are", "[interop][property]", float, double)
{
  using T = TestType;
  auto const boundary = support::uniform<T, 2>({9, 12}, 0, 1, 5);
  auto const seeds = support::uniform<T, 3>({2, 9, 12}, 0, 1, 6);
  auto const edges = stencil::disc(3);
  auto const affinity = path_affinity(cpu{}, boundary, edges);
  auto const step = make_transition(cpu{}, edges, affinity);
  auto const scores = random_walk(cpu{}, seeds, step, {.steps = 9});

  xt::xtensor<T, 2> const b = as_xtensor<2>(boundary);
  xt::xarray<T> const dynamic = b;
  CHECK(path_affinity(cpu{}, b, edges) == affinity);
  CHECK(path_affinity(cpu{}, dynamic, edges) == affinity);

  xt::xtensor<T, 3> out = xt::zeros<T>({edges.size, 9, 12});
  path_affinity_into(cpu{}, b, edges, out);  // and results come out in place
  CHECK(std::equal(out.begin(), out.end(), affinity.cells().begin()));
  CHECK(make_transition(cpu{}, edges, out).weight == step.weight);

  xt::xtensor<T, 3> const s = as_xtensor<3>(seeds);
  CHECK(random_walk(cpu{}, s, step, {.steps = 9}) == scores);
  xt::xarray<T> walked = xt::zeros<T>({2, 9, 12});
  walk_scratch<T> scratch(cpu{}, 2, 9, 12, edges);
  random_walk_into(cpu{}, xt::xarray<T>(s), step, {.steps = 9}, walked, scratch);
  CHECK(std::equal(walked.begin(), walked.end(), scores.cells().begin()));

  xt::xtensor<bool, 2> const mask = b < T(0.5);
  grid<std::uint8_t, 2> bytes(9, 12);
  for (std::size_t i = 0; i < mask.size(); ++i) bytes.cells()[i] = mask.data()[i];
  CHECK(connected(cpu{}, mask, c8).label == connected(cpu{}, bytes, c8).label);
  CHECK(random_walk(cpu{}, into_xtensor(grid<T, 3>(seeds)), step, {.steps = 9}) == scores);  // there and back
}

TEST_CASE("what xtensor holds otherwise is refused by name", "[interop][errors]")
{
  xt::xtensor<float, 2, xt::layout_type::column_major> const b = xt::zeros<float>({4, 5});
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, b, stencil::disc(2)), precondition_error,
                        "path_affinity: boundary is not row-major without gaps; copy it into a row-major array first");
  xt::xarray<float> const cube = xt::zeros<float>({2, 4, 5});
  CAMBIUM_THROWS_SAYING(path_affinity(cpu{}, cube, stencil::disc(2)), precondition_error,
                        "path_affinity: boundary has 3 axes instead of 2");
  CAMBIUM_THROWS_SAYING(connected(cpu{}, cube), precondition_error, "connected: mask has 3 axes instead of 2");
}
