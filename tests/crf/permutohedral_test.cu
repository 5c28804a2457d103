// The lattice of a device against that of cores, whose properties permutohedral_test.cpp checks.
#include <cambium/crf/permutohedral.cuh>

#include "permutohedral_test.cpp"

#include "support/backends.hpp"

TEMPLATE_LIST_TEST_CASE("a device's lattice filters as that of cores, bit by bit", "[crf][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [D, N, wide] = GENERATE(table<int, int, double>({{1, 1, 1},
                                                              {1, 333, 20},
                                                              {2, 0, 1},
                                                              {2, 200000, 9},  // several parts
                                                              {3, 901, 6},
                                                              {4, 1001, 5},
                                                              {5, 40003, 12},
                                                              {6, 999, 3},
                                                              {7, 333, 2},
                                                              {8, 200, 1000}}));  // wide keys
  bool const pad = GENERATE(false, true);
  CAPTURE(D, N, pad);
  TestType const where{};
  auto const features = support::uniform<float, 2>({D, N}, -wide, wide / 2, 11);
  index_t const C = N > 50000 ? 2 : 5;
  auto const values = support::uniform<float, 2>({N, C}, -1, 1, 12);
  permutohedral const cores(cpu{}, features, {pad});
  auto const there = support::copied<TestType>(features);
  permutohedral_on<TestType> const lattice(where, there, {pad});
  CHECK(lattice.points() == cores.points());
  CHECK(lattice.gain() == cores.gain());
  CHECK(lattice.positions() == N);
  auto const on = support::copied<TestType>(values);
  for (bool const reverse : {false, true})
    CHECK(to::back(filter(where, lattice, on, {reverse})) == filter(cpu{}, cores, values, {reverse}));
}

TEMPLATE_LIST_TEST_CASE("many positions at one place, and repeated ones", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<float, 2> features(3, 160001);  // four parts share the only points
  auto const values = support::uniform<float, 2>({160001, 1}, 0, 1, 2);
  permutohedral_on<TestType> const lattice(where, support::copied<TestType>(features));
  CHECK(lattice.points() == 4);
  CHECK(to::back(filter(where, lattice, support::copied<TestType>(values))) ==
        filter(cpu{}, permutohedral(cpu{}, features), values));
}

TEMPLATE_LIST_TEST_CASE("a device's lattice rejects what it documents", "[crf][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const made = [&](grid<float, 2> const& f) {
    permutohedral_on<TestType> const lattice(where, support::copied<TestType>(f));
  };
  CAMBIUM_THROWS_SAYING(made(grid<float, 2>(0, 5)), precondition_error, "must be 1..8");
  CAMBIUM_THROWS_SAYING(made(grid<float, 2>(9, 5)), precondition_error, "must be 1..8");
  grid<float, 2> features(2, 5);
  features(1, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(made(features), precondition_error, "features(1,3) is nan; expected a finite number");
  features(1, 3) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(made(features), precondition_error, "features(1,3) is inf");
  features(1, 3) = 1e9f;
  CAMBIUM_THROWS_SAYING(made(features), precondition_error, "standard deviations");
  permutohedral_on<TestType> const lattice(where, support::copied<TestType>(grid<float, 2>(2, 5)));
  auto const few = support::copied<TestType>(grid<float, 2>(4, 1)),
             five = support::copied<TestType>(grid<float, 2>(5, 2));
  CAMBIUM_THROWS_SAYING(filter(where, lattice, few), precondition_error, "the lattice holds 5");
  lattice_scratch<TestType> scratch(where, lattice, 1);
  auto out = make_grid<float>(where, {5, 2});
  auto const into = [&] { filter_into(where, lattice, five.view(), {}, out.view(), scratch); };
  CAMBIUM_THROWS_SAYING(into(), precondition_error, "fewer channels");
}

TEMPLATE_LIST_TEST_CASE("a lattice is rebuilt in its room, and says when that is too small", "[crf][property]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  index_t const N = 1001, C = 3, most = 3000;
  lattice_options const options{.pad = true};
  auto const needed = [&](auto const& lattice) { return read_cell(where, lattice.needed().data); };
  permutohedral_on<TestType> lattice(where, 3, N, most, options);
  lattice_build_scratch<TestType> scratch(where, 3, N, options);
  lattice_scratch<TestType> room(where, lattice, C);
  auto out = make_grid<float>(where, {N, C});
  auto const values = support::uniform<float, 2>({N, C}, -1, 1, 12);
  auto const on = support::copied<TestType>(values);
  for (double const wide : {1.0, 6.0, 3.0, 200.0, 2.0}) {
    CAPTURE(wide);
    auto const features = support::uniform<float, 2>({3, N}, -wide, wide, 4);
    permutohedral const cores(cpu{}, features, options);
    lattice.rebuild(where, support::copied<TestType>(features), scratch);
    filter_into(where, lattice, on.view(), {}, out.view(), room);
    CHECK(needed(lattice) == cores.points());
    CHECK((cores.points() <= most) == (wide < 100));
    if (cores.points() <= most) CHECK(to::back(out) == filter(cpu{}, cores, values));
  }
  for (float const odd : {std::numeric_limits<float>::quiet_NaN(), 1e30f, -std::numeric_limits<float>::infinity()}) {
    auto strange = support::uniform<float, 2>({3, N}, 0, 3, 4);
    strange(1, 77) = odd;
    lattice.rebuild(where, support::copied<TestType>(strange), scratch);
    filter_into(where, lattice, on.view(), {}, out.view(), room);
    CHECK(needed(lattice) == -1);
    CHECK(to::back(out) == grid<float, 2>(N, C));
  }
  auto const other = support::copied<TestType>(grid<float, 2>(3, 7));
  CAMBIUM_THROWS_SAYING(lattice.rebuild(where, other, scratch), precondition_error, "but the room is for [3,1001]");
  auto const cramped = [&] { permutohedral_on<TestType> const none(where, 3, N, 3); };
  CAMBIUM_THROWS_SAYING(cramped(), precondition_error, "a simplex alone has 4");
}
