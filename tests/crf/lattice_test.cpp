#include <cambium/crf/filter.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// The filter it stands in for, pair by pair.
grid<float, 2> exact_filter(grid<float, 2> const& features, grid<float, 2> const& values)
{
  index_t const D = features.shape()[0], N = features.shape()[1], C = values.shape()[1];
  grid<float, 2> out(N, C);
  for (index_t i = 0; i < N; ++i)
    for (index_t c = 0; c < C; ++c) {
      double sum = 0;
      for (index_t j = 0; j < N; ++j) {
        double distance = 0;
        for (index_t d = 0; d < D; ++d) distance += std::pow(features(d, i) - features(d, j), 2);
        sum += std::exp(-distance / 2) * static_cast<double>(values(j, c));
      }
      out(i, c) = static_cast<float>(sum);
    }
  return out;
}

double relative_gap(grid<float, 2> const& a, grid<float, 2> const& b)
{
  double gap = 0, size = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) {
    gap += std::pow(static_cast<double>(a.cells()[i]) - static_cast<double>(b.cells()[i]), 2);
    size += std::pow(static_cast<double>(b.cells()[i]), 2);
  }
  return std::sqrt(gap / size);
}

}  // namespace

/// The first slot of the point that a slot belongs to.
std::int32_t home_of(permutohedral<> const& lattice, std::int32_t slot)
{
  for (auto const& s : lattice.shared())
    if (s.slot == slot) return s.home;
  return slot;
}

TEST_CASE("every position lies in one simplex", "[crf][property]")
{
  int const D = GENERATE(1, 2, 3, 4, 5, 6, 7, 8);
  CAPTURE(D);
  auto const features = support::uniform<float, 2>({D, 333}, -9, 9, static_cast<unsigned>(D));
  permutohedral const lattice(cpu{}, features);
  CHECK(lattice.dimension() == D);
  for (index_t i = 0; i < 333; ++i) {
    double sum = 0;
    std::set<std::int32_t> corners;
    auto const simplex = lattice.simplex_of(0, i);
    for (int c = 0; c <= D; ++c) {
      REQUIRE(simplex.weight[c] >= -1e-5f);
      REQUIRE((1 <= simplex.slot[c] && simplex.slot[c] <= lattice.points()));
      sum += static_cast<double>(simplex.weight[c]);
      corners.insert(simplex.slot[c]);
    }
    REQUIRE(sum == Approx(1).margin(1e-5));
    REQUIRE(corners.size() == static_cast<std::size_t>(D + 1));
  }
}

TEST_CASE("positions are parted without gaps, whatever their number", "[crf][property]")
{
  index_t const N = GENERATE(0, 1, 63, 64, 73727, 73728, 100000, 187500, 1000001);
  CAPTURE(N);
  lattice_parts const parts{N};
  CHECK(parts.begin(0) == 0);
  CHECK(parts.begin(parts.count()) == N);
  for (index_t p = 0; p < parts.count(); ++p) {
    CHECK(parts.begin(p) % lattice_parts::granule == 0);
    CHECK((N == 0 || parts.begin(p) < parts.begin(p + 1)));
  }
}

TEST_CASE("a point that several parts touch has one home", "[crf][property]")
{
  // 200,000 positions in a small space: every part meets nearly every point
  auto const features = support::uniform<float, 2>({2, 200000}, 0, 9, 5);
  permutohedral const lattice(cpu{}, features);
  REQUIRE(lattice.parts().count() == 4);
  CHECK(lattice.shared().size() > 2 * static_cast<std::size_t>(lattice.points()));
  std::set<std::int32_t> foreign;
  std::int32_t before = 0;
  for (auto const& s : lattice.shared()) {
    REQUIRE(s.home < s.slot);
    REQUIRE(s.home >= before);
    REQUIRE(foreign.insert(s.slot).second);
    before = s.home;
  }
  for (auto const& s : lattice.shared()) REQUIRE(foreign.count(s.home) == 0);
}

TEST_CASE("the parts' sums are joined", "[crf][same]")
{
  // the same positions again and again: each copy reads what all copies spread
  index_t const copies = 2000, N = 100;
  auto const few = support::uniform<float, 2>({3, N}, 0, 4, 5);
  auto const few_values = support::uniform<float, 2>({N, 3}, 0, 1, 6);
  grid<float, 2> features(3, copies * N), values(copies * N, 3);
  for (index_t i = 0; i < copies * N; ++i)
    for (index_t k = 0; k < 3; ++k) features(k, i) = few(k, i % N), values(i, k) = few_values(i % N, k);
  permutohedral const lattice(cpu{}, features);
  REQUIRE(lattice.parts().count() > 2);
  auto const have = filter(cpu{}, lattice, values);
  auto const want = filter(cpu{}, permutohedral(cpu{}, few), few_values);
  for (index_t i = 0; i < copies * N; i += 777)
    for (index_t k = 0; k < 3; ++k)
      REQUIRE(have(i, k) == Approx(static_cast<double>(copies) * static_cast<double>(want(i % N, k))).epsilon(1e-3));
}

TEST_CASE("chains follow one another along an axis, and each point is in one at most", "[crf][property]")
{
  auto const features = support::uniform<float, 2>({4, 500}, 0, 3, 8);
  permutohedral const lattice(cpu{}, features);
  std::size_t met = 0;
  for (int axis = 0; axis <= 4; ++axis) {
    auto const& chain = lattice.chains(axis);
    REQUIRE((chain.front() == 0 && chain.back() == 0));
    std::set<std::int32_t> seen;
    for (std::size_t i = 1; i < chain.size(); ++i) {
      if (chain[i] == 0) {
        REQUIRE((chain[i - 1] != 0 && chain[i - 2] != 0));  // at least two
        continue;
      }
      REQUIRE((1 <= chain[i] && chain[i] <= lattice.slots()));
      REQUIRE(home_of(lattice, chain[i]) == chain[i]);
      REQUIRE(seen.insert(chain[i]).second);
    }
    met += seen.size();
  }
  CHECK(met > 100);
}

TEST_CASE("consecutive corners of a simplex are neighbours along an axis", "[crf][property]")
{
  // the steps from a corner to the next are the lattice's axes, so such pairs must stand side by side in a chain
  auto const features = support::uniform<float, 2>({3, 400}, 0, 6, 9);
  permutohedral const lattice(cpu{}, features);
  std::set<std::pair<std::int32_t, std::int32_t>> pairs;
  for (int axis = 0; axis <= 3; ++axis)
    for (std::size_t i = 1; i < lattice.chains(axis).size(); ++i)
      pairs.insert({lattice.chains(axis)[i - 1], lattice.chains(axis)[i]});
  for (index_t i = 0; i < 400; ++i) {
    auto const simplex = lattice.simplex_of(0, i);
    for (int c = 0; c <= 3; ++c) REQUIRE(pairs.count({simplex.slot[c], simplex.slot[(c + 1) % 4]}) == 1);
  }
}

TEMPLATE_LIST_TEST_CASE("the lattice filters nearly as the Gaussian does", "[crf][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const [D, N, wide] = GENERATE(table<int, int, double>({{1, 300, 20}, {2, 900, 12}, {3, 900, 6}, {5, 900, 3}}));
  CAPTURE(D, N);
  auto const features = support::uniform<float, 2>({D, N}, 0, wide, 11);
  auto const values = support::uniform<float, 2>({N, 3}, 0, 1, 12);
  permutohedral const lattice(where, support::copied<TestType>(features));
  grid<float, 2> have = to::back(filter(where, lattice, support::copied<TestType>(values)));
  auto want = exact_filter(features, values);
  // The lattice is right up to a factor that every normalisation takes out.
  double a = 0, b = 0;
  for (std::size_t i = 0; i < have.cells().size(); ++i) {
    a += static_cast<double>(have.cells()[i]) * static_cast<double>(want.cells()[i]);
    b += static_cast<double>(have.cells()[i]) * static_cast<double>(have.cells()[i]);
  }
  for (float& v : have.cells()) v *= static_cast<float>(a / b);
  CHECK(relative_gap(have, want) < 0.1);
}

TEMPLATE_LIST_TEST_CASE("the reversed filter is the transposed one", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const features = support::uniform<float, 2>({3, 250}, 0, 3, 3);
  permutohedral const lattice(where, support::copied<TestType>(features));
  auto const filtered = [&](grid<float, 2> const& values, filter_options options) {
    return grid<float, 2>(to::back(filter(where, lattice, support::copied<TestType>(values), options)));
  };
  auto const u = support::uniform<float, 2>({250, 1}, -1, 1, 1), v = support::uniform<float, 2>({250, 1}, -1, 1, 2);
  auto const dot = [](grid<float, 2> const& p, grid<float, 2> const& q) {
    double sum = 0;
    for (std::size_t i = 0; i < p.cells().size(); ++i)
      sum += static_cast<double>(p.cells()[i]) * static_cast<double>(q.cells()[i]);
    return sum;
  };
  CHECK(dot(u, filtered(v, {})) == Approx(dot(filtered(u, {.reverse = true}), v)).epsilon(1e-5));
}

TEST_CASE("threads, instruction sets and channels change nothing", "[crf][property]")
{
  index_t const N = 40000;
  auto const features = support::uniform<float, 2>({5, N}, 0, 12, 21);
  auto const values = support::uniform<float, 2>({N, 7}, -1, 1, 22);
  auto const want = filter(cpu{.threads = 1}, permutohedral(cpu{.threads = 1}, features), values);
  for (int const threads : {2, 3, 7})
    for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
      cpu const where{.threads = threads, .vectors = set};
      CHECK(filter(where, permutohedral(where, features), values) == want);
    }
  grid<float, 2> alone(N, 1);
  for (index_t i = 0; i < N; ++i) alone(i, 0) = values(i, 5);
  auto const one = filter(cpu{}, permutohedral(cpu{}, features), alone);
  for (index_t i = 0; i < N; ++i) REQUIRE(one(i, 0) == want(i, 5));
}

TEMPLATE_LIST_TEST_CASE("padding adds the lattice points of the origin, and only where the package does",
                        "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const far = support::uniform<float, 2>({2, 5}, 20, 21, 2), four = support::uniform<float, 2>({2, 4}, 20, 21, 2);
  auto const points = [&](grid<float, 2> const& features, bool pad) {
    return permutohedral(where, support::copied<TestType>(features), {.pad = pad}).points();
  };
  CHECK(points(far, true) == points(far, false) + 3);
  CHECK(points(four, true) == points(four, false));
  CHECK(points(grid<float, 2>(2, 3), true) == 3);
}

TEMPLATE_LIST_TEST_CASE("a wide space takes wide keys", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto features = support::uniform<float, 2>({8, 200}, -1000, 1000, 5);
  for (index_t d = 0; d < 8; ++d) features(d, 1) = features(d, 0);  // the only neighbours
  auto const values = support::uniform<float, 2>({200, 1}, 1, 2, 6);
  permutohedral const lattice(where, support::copied<TestType>(features));
  CHECK(lattice.points() == 199 * 9);
  grid<float, 2> const out = to::back(filter(where, lattice, support::copied<TestType>(values)));
  CHECK(out(0, 0) == out(1, 0));
  CHECK(out(0, 0) > 1.5f * out(2, 0) / values(2, 0));
}

TEST_CASE("permutohedral rejects what it documents", "[crf][errors]")
{
  CAMBIUM_THROWS_SAYING(permutohedral(cpu{}, grid<float, 2>(0, 5)), precondition_error, "must be 1..8");
  CAMBIUM_THROWS_SAYING(permutohedral(cpu{}, grid<float, 2>(9, 5)), precondition_error, "must be 1..8");
  grid<float, 2> features(2, 5);
  features(1, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(permutohedral(cpu{}, features), precondition_error, "features(1,3) is nan");
  features(1, 3) = 1e9f;
  CAMBIUM_THROWS_SAYING(permutohedral(cpu{}, features), precondition_error, "standard deviations");
  permutohedral const lattice(cpu{}, grid<float, 2>(2, 5));
  CAMBIUM_THROWS_SAYING(filter(cpu{}, lattice, grid<float, 2>(4, 1)), precondition_error, "the lattice holds 5");
  grid<float, 2> values(5, 1);
  values(2, 0) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(filter(cpu{}, lattice, values), precondition_error, "values(2,0) is inf");
}

TEMPLATE_LIST_TEST_CASE("no position, one position", "[crf][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  permutohedral const none(where, support::copied<TestType>(grid<float, 2>(3, 0)));
  CHECK(none.points() == 0);
  CHECK(filter(where, none, support::copied<TestType>(grid<float, 2>(0, 2))).size() == 0);
  permutohedral const one(where, support::copied<TestType>(grid<float, 2>(3, 1)));
  CHECK(one.points() == 4);
  CHECK(filter(where, one, support::copied<TestType>(grid<float, 2>(1, 0))).size() == 0);
}

TEMPLATE_LIST_TEST_CASE("a device's lattice filters as that of cores, bit by bit", "[crf][same]",
                        support::rule_backends)
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
  permutohedral<TestType> const lattice(where, there, {pad});
  CHECK(lattice.points() == cores.points());
  CHECK(lattice.gain() == cores.gain());
  CHECK(lattice.positions() == N);
  auto const on = support::copied<TestType>(values);
  for (bool const reverse : {false, true})
    CHECK(to::back(filter(where, lattice, on, {reverse})) == filter(cpu{}, cores, values, {reverse}));
}

TEMPLATE_LIST_TEST_CASE("many positions at one place, and repeated ones", "[crf][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<float, 2> features(3, 160001);  // four parts share the only points
  auto const values = support::uniform<float, 2>({160001, 1}, 0, 1, 2);
  permutohedral<TestType> const lattice(where, support::copied<TestType>(features));
  CHECK(lattice.points() == 4);
  CHECK(to::back(filter(where, lattice, support::copied<TestType>(values))) ==
        filter(cpu{}, permutohedral(cpu{}, features), values));
}

TEST_CASE("a part of more points than 16 bits count", "[crf][same]")
{
  // scattered positions: the part's slots pass 65,535 on the way, and what was written before is written again
  index_t const N = GENERATE(12000, 60000);
  int const D = GENERATE(4, 5);
  CAPTURE(N, D);
  auto const features = support::uniform<float, 2>({D, N}, -30, 30, 11);
  auto const values = support::uniform<float, 2>({N, 3}, -1, 1, 12);
  permutohedral const lattice(cpu{}, features);
  CHECK(lattice.wide(0) == (lattice.first_slot(1) > 65535));
  REQUIRE((N < 60000 || lattice.wide(0)));
  support::by_rules const rules{};
  auto const want = filter(rules, permutohedral<support::by_rules>(rules, features), values);
  CHECK(filter(cpu{}, lattice, values).cells() == want.cells());
}

TEMPLATE_LIST_TEST_CASE("a device's lattice rejects what it documents", "[crf][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const made = [&](grid<float, 2> const& f) {
    permutohedral<TestType> const lattice(where, support::copied<TestType>(f));
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
  permutohedral<TestType> const lattice(where, support::copied<TestType>(grid<float, 2>(2, 5)));
  auto const few = support::copied<TestType>(grid<float, 2>(4, 1)),
             five = support::copied<TestType>(grid<float, 2>(5, 2));
  CAMBIUM_THROWS_SAYING(filter(where, lattice, few), precondition_error, "the lattice holds 5");
  lattice_scratch<TestType> scratch(where, lattice, 1);
  auto out = make_grid<float>(where, {5, 2});
  auto const into = [&] { filter_into(where, lattice, five.view(), {}, out.view(), scratch); };
  CAMBIUM_THROWS_SAYING(into(), precondition_error, "fewer channels");
}

TEMPLATE_LIST_TEST_CASE("filter_into writes what filter returns", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const C = GENERATE(1, 3, 21);
  auto const features = support::uniform<float, 2>({3, 500}, 0, 3, 8);
  auto const values = support::copied<TestType>(support::uniform<float, 2>({500, C}, -1, 1, 9));
  permutohedral const lattice(where, support::copied<TestType>(features));
  lattice_scratch<TestType> scratch(where, lattice, C);
  auto out = make_grid<float>(where, {500, C});
  for (bool const reverse : {true, false}) {
    filter_into(where, lattice, values, {reverse}, out, scratch);
    CHECK(to::back(out) == to::back(filter(where, lattice, values, {reverse})));
  }
  auto short_out = make_grid<float>(where, {499, C});
  auto const into_short = [&] { filter_into(where, lattice, values, {}, short_out, scratch); };
  CAMBIUM_THROWS_SAYING(into_short(), precondition_error, "but out is [499,");
  lattice_scratch<TestType> none;
  auto const into_none = [&] { filter_into(where, lattice, values, {}, out, none); };
  CAMBIUM_THROWS_SAYING(into_none(), precondition_error, "fewer channels");
}

TEMPLATE_LIST_TEST_CASE("a lattice is rebuilt in its room, and says when that is too small", "[crf][property]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  index_t const N = 1001, C = 3, most = 3000;
  lattice_options const options{.pad = true};
  auto const needed = [&](auto const& lattice) { return read_cell(where, lattice.needed().data); };
  permutohedral<TestType> lattice(where, 3, N, most, options);
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
  auto const cramped = [&] { permutohedral<TestType> const none(where, 3, N, 3); };
  CAMBIUM_THROWS_SAYING(cramped(), precondition_error, "a simplex alone has 4");
}
