#include <cambium/walk/random_walk.hpp>

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>

#include "support/backends.hpp"
#include "support/dense_walk.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

using namespace cambium;

namespace {

struct scene {
  stencil edges;
  grid<double, 3> affinity;
  grid<double, 3> seeds;

  scene(index_t C, index_t H, index_t W, int radius, unsigned seed)
      : edges(stencil::disc(radius)),
        affinity(support::uniform<double, 3>({edges.size, H, W}, 0, 1, seed)),
        seeds(support::uniform<double, 3>({C, H, W}, -1, 1, seed + 1))
  {
  }

  /// Of the edge between two cells, from either end.
  double weight(int y0, int x0, int y1, int x1, double beta) const
  {
    for (int k = 0; k < edges.size; ++k) {
      if (edges.at[k] == offset{y1 - y0, x1 - x0}) return std::pow(affinity(k, y0, x0), beta);
      if (edges.at[k] == offset{y0 - y1, x0 - x1}) return std::pow(affinity(k, y1, x1), beta);
    }
    return 0;
  }
};

template <class T>
grid<T, 3> walk_by_rule(grid<T, 3> const& seeds, transition<T> const& t, int steps)
{
  grid<T, 3> from = seeds, to = seeds;
  for (int i = 0; i < steps; ++i) {
    for_each_cell(cpu{.threads = 1}, from.view().extent, rule::walk_step<T, host>{t.view(), from, to});
    std::swap(from, to);
  }
  return from;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("random_walk equals IRNet's squared dense matrix", "[walk][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {1, 1, 7}, {2, 6, 5}, {3, 9, 8}, {1, 3, 20}}));
  auto const radius = GENERATE(1, 2, 5, 11, 12, 15);
  auto const times = GENERATE(0, 1, 3);  // 1, 2 and 8 steps
  CAPTURE(C, H, W, radius, times);
  scene const s(C, H, W, radius, 17);
  auto const t = make_transition(cpu{}, s.edges, s.affinity, {.beta = 10});
  auto const have = to::back(
      random_walk(TestType{}, to::there(s.seeds), support::carried<TestType>(t), walk_options::squarings(times)));

  oracle::matrix rows(static_cast<std::size_t>(C));
  for (int c = 0; c < C; ++c) rows[c].assign(&s.seeds(c, 0, 0), &s.seeds(c, 0, 0) + H * W);
  auto const want = oracle::dense_walk(
      rows, H, W, radius, [&](int y0, int x0, int y1, int x1) { return s.weight(y0, x0, y1, x1, 10); }, times);
  for (int c = 0; c < C; ++c)
    for (int v = 0; v < H * W; ++v) REQUIRE(have.cells()[c * H * W + v] == Approx(want[c][v]).margin(1e-12));
}

TEMPLATE_TEST_CASE("the lane schedule equals the rule on every shape", "[walk][same]", float, double)
{
  auto const C = GENERATE(1, 2, 3, 4, 5, 9);
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {2, 3}, {5, 16}, {9, 17}, {23, 70}, {70, 5}, {33, 129}}));
  auto const radius = GENERATE(1, 2, 5, 10, 12, 17);
  CAPTURE(C, H, W, radius);
  auto const edges = stencil::disc(radius);
  auto const seeds = support::uniform<TestType, 3>({C, H, W}, 0, 1, 23);
  auto const affinity = support::uniform<TestType, 3>({edges.size, H, W}, 0, 1, 29);
  auto const t = make_transition(cpu{}, edges, affinity, {.beta = 4});
  auto const want = walk_by_rule(seeds, t, 3);
  double const margin = std::is_same_v<TestType, float> ? 2e-6 : 4e-15;
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    CAPTURE(static_cast<int>(set));
    auto const have = random_walk(cpu{.threads = 2, .vectors = set}, seeds, t, {.steps = 3});
    CHECK(support::largest_gap(have.cells(), want.cells()) <= margin);
  }
}

TEST_CASE("weights of 16 bits give the bits of the same weights as floats", "[walk][same]")
{
  auto const C = GENERATE(1, 2, 3, 4, 7);
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {2, 3}, {5, 16}, {23, 70}, {70, 5}, {33, 300}}));
  auto const radius = GENERATE(1, 5, 10);
  double const tolerance = GENERATE(0.0, 1e-3);
  CAPTURE(C, H, W, radius, tolerance);
  auto const edges = stencil::disc(radius);
  auto const seeds = support::uniform<float, 3>({C, H, W}, 0, 1, 23);
  auto const affinity = support::uniform<float, 3>({edges.size, H, W}, 0, 1, 29);
  auto const t = make_transition(cpu{}, edges, affinity, {.beta = 4, .weights = weight_format::bfloat16});
  walk_options const options{.steps = 9, .tolerance = tolerance};
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    CAPTURE(static_cast<int>(set));
    cpu const where{.threads = 1, .vectors = set};
    walk_scratch<float> full(where, C, H, W, edges, tolerance), half(where, C, H, W, edges, tolerance, t.format);
    CHECK((half.weights.size() < full.weights.size() || W < 300 || edges.size == 0));
    grid<float, 3> want(C, H, W);
    random_walk_into(where, seeds, t, options, want, full);
    for (int const threads : {1, 2, 5})
      CHECK(random_walk(cpu{.threads = threads, .vectors = set}, seeds, t, options) == want);
    random_walk_into(where, seeds, t, options, want, half);
    CHECK(random_walk(where, seeds, t, options) == want);
  }
}

TEST_CASE("rounded weights change scores by no more than the documentation states", "[walk][property]")
{
  // Strong walls in a quiet ground, weak random edges, and no walls at all.
  auto const kind = GENERATE(0, 1, 2);
  index_t const H = 61, W = 90;
  auto const edges = stencil::disc(5);
  auto boundary = support::uniform<float, 2>({H, W}, 0, kind == 1 ? 1 : 0.08, 41);
  for (index_t i = 0; kind == 0 && i < H; ++i)
    for (index_t x : {index_t{20}, 20 + i / 2}) boundary(i, x) = 0.5f + 0.008f * static_cast<float>(i);
  auto const affinity = path_affinity(cpu{}, boundary, edges);
  grid<double, 3> exact_affinity(edges.size, H, W), exact_seeds(3, H, W);
  std::copy(affinity.cells().begin(), affinity.cells().end(), exact_affinity.data());
  auto seeds = support::uniform<float, 3>({3, H, W}, 0, 1, 43);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      seeds(0, y, x) = x < 20, seeds(1, y, x) = (y - 30) * (y - 30) + (x - 60) * (x - 60) < 90;
  std::copy(seeds.cells().begin(), seeds.cells().end(), exact_seeds.data());
  auto const truth = random_walk(cpu{}, exact_seeds, make_transition(cpu{}, edges, exact_affinity));
  auto const t = make_transition(cpu{}, edges, affinity, {.weights = weight_format::bfloat16});
  double const off = support::largest_gap(random_walk(cpu{}, seeds, t).cells(), truth.cells());
  CAPTURE(kind, off);
  CHECK(off < 8e-4);
  CHECK(off > 1e-7);  // the weights are rounded indeed
}

TEST_CASE("visits of several steps by several threads give the steps' result", "[walk][same]")
{
  auto const [H, W] = GENERATE(table<int, int>({{203, 6}, {64, 40}, {31, 9}}));
  auto const radius = GENERATE(2, 5, 10);
  auto const steps = GENERATE(1, 16, 45);
  isa const set = GENERATE(isa::baseline, isa::avx512);
  CAPTURE(H, W, radius, steps, static_cast<int>(set));
  auto const edges = stencil::disc(radius);
  auto const seeds = support::uniform<double, 3>({2, H, W}, 0, 1, 31);
  auto const t = make_transition(cpu{}, edges, support::uniform<double, 3>({edges.size, H, W}, 0, 1, 37), {.beta = 2});
  auto const want = walk_by_rule(seeds, t, steps);
  auto const one = random_walk(cpu{.threads = 1, .vectors = set}, seeds, t, {.steps = steps});
  CHECK(support::largest_gap(one.cells(), want.cells()) <= 2e-13);
  for (int const threads : {2, 3, 7})
    CHECK(random_walk(cpu{.threads = threads, .vectors = set}, seeds, t, {.steps = steps}) == one);
}

TEST_CASE("all visits of a walk have about the same number of steps", "[walk][property]")
{
  int const side = GENERATE(40, 400, 3000);
  index_t const channels = GENERATE(1, 21), threads = GENERATE(1, 2, 16), steps = GENERATE(0, 1, 7, 79, 256);
  lane_map const map(isa::avx512, sizeof(float), side, side, stencil::disc(5));
  index_t const deep = steps_of_visit<float>(map, channels, 1, steps, threads);
  CAPTURE(side, channels, threads, steps, deep);
  CHECK(1 <= deep);
  CHECK(deep <= most_steps_of_visit);
  index_t const visits = (steps + deep - 1) / deep, turns = (visits + threads - 1) / threads;
  CHECK(turns * deep <= steps / threads + deep);
  CHECK((side > 40 || threads < 16 || deep == 1));  // ten bands are no work for sixteen threads, so no visit is deep
}

TEST_CASE("random_walk does not cross a wall", "[walk][picture]")
{
  // 1 seed left of the wall, a wall of affinity 0 between columns 2 and 3.
  //   1 . . | . .
  //   . . . | . .
  auto const edges = stencil::disc(2);
  grid<double, 3> affinity(edges.size, 2, 5), seeds(1, 2, 5);
  for (int k = 0; k < edges.size; ++k)
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 5; ++x) affinity(k, y, x) = (x <= 2) == (x + edges.at[k].dx <= 2) ? 1.0 : 0.0;
  seeds(0, 0, 0) = 1;
  auto const out = random_walk(cpu{}, seeds, make_transition(cpu{}, edges, affinity), {.steps = 500});
  for (int y = 0; y < 2; ++y) {
    CHECK(out(0, y, 0) > 0.1);
    CHECK(out(0, y, 2) > 0.1);
    CHECK(out(0, y, 3) == 0.0);
    CHECK(out(0, y, 4) == 0.0);
  }
}

TEST_CASE("random_walk is an average", "[walk][property]")
{
  auto const seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  scene const s(2, 37, 29, 5, seed);
  auto const t = make_transition(cpu{}, s.edges, s.affinity, {.beta = 4});

  SECTION("it stays between the smallest and the largest seed")
  {
    auto const out = random_walk(cpu{}, s.seeds, t, {.steps = 40});
    auto const [lo, hi] = std::minmax_element(s.seeds.cells().begin(), s.seeds.cells().end());
    for (double v : out.cells()) CHECK((v >= *lo - 1e-12 && v <= *hi + 1e-12));
  }
  SECTION("constants are fixed points")
  {
    grid<double, 3> ones(1, 37, 29);
    std::fill(ones.cells().begin(), ones.cells().end(), 3.0);
    CHECK(support::largest_gap(random_walk(cpu{}, ones, t, {.steps = 40}).cells(), ones.cells()) < 1e-12);
    CHECK(random_walk(cpu{}, ones, t, {.steps = 40, .tolerance = 1e-6}) == ones);
  }
  SECTION("a + b steps are a steps, then b steps, to the last bit")
  {
    auto const once = random_walk(cpu{}, s.seeds, t, {.steps = 11});
    CHECK(random_walk(cpu{}, s.seeds, t, {.steps = 17}) == random_walk(cpu{}, once, t, {.steps = 6}));
  }
  SECTION("neither an offset nor the scale of the seeds weakens the tolerance")
  {
    for (double const offset : {0.0, 1e9, -1e9})
      for (double const scale : {1.0, 1e-200, 1e200}) {
        auto seeds = s.seeds;
        for (double& v : seeds.cells()) v = (v + offset) * scale;
        auto const exact = random_walk(cpu{}, seeds, t, {.steps = 256});
        auto const near = random_walk(cpu{}, seeds, t, {.steps = 256, .tolerance = 1e-4});
        auto const [lo, hi] = std::minmax_element(seeds.cells().begin(), seeds.cells().end());
        CHECK(support::largest_gap(exact.cells(), near.cells()) <= 1.1e-4 * (*hi - *lo));
      }
  }
  SECTION("no step changes nothing")
  {
    CHECK(random_walk(cpu{}, s.seeds, t, {.steps = 0}) == s.seeds);
    CHECK(random_walk(cpu{}, s.seeds, t, {.steps = 0, .tolerance = 1e-3}) == s.seeds);
  }
  SECTION("the number of threads does not change a bit")
  {
    auto const one = random_walk(cpu{.threads = 1}, s.seeds, t, {.steps = 19});
    auto const quick = random_walk(cpu{.threads = 1}, s.seeds, t, {.steps = 64, .tolerance = 1e-4});
    for (int const threads : {0, 2, 3, 5, 16}) {
      CHECK(random_walk(cpu{.threads = threads}, s.seeds, t, {.steps = 19}) == one);
      CHECK(random_walk(cpu{.threads = threads}, s.seeds, t, {.steps = 64, .tolerance = 1e-4}) == quick);
    }
  }
  SECTION("channels do not see each other")
  {
    auto const both = random_walk(cpu{}, s.seeds, t, {.steps = 9});
    for (index_t c = 0; c < 2; ++c) {
      grid<double, 3> one(1, 37, 29);
      std::copy_n(&s.seeds(c, 0, 0), 37 * 29, one.data());
      auto const alone = random_walk(cpu{}, one, t, {.steps = 9});
      // another number of channels takes another block shape, and with it the same sums
      CHECK(support::largest_gap(cells_t<double>(&both(c, 0, 0), &both(c, 0, 0) + 37 * 29), alone.cells()) == 0);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("the accelerated walk keeps its promise", "[walk][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // Worst cases of the bound: a single bright cell, walls of every strength, isolated cells.
  auto const kind = GENERATE(0, 1, 2, 3);
  auto const steps = GENERATE(1, 7, 64, 256, 1000);
  double const tolerance = GENERATE(1e-1, 1e-3, 2e-5, 1e-9);
  CAPTURE(kind, steps, tolerance);
  index_t const H = 19, W = 34;
  auto const edges = stencil::disc(5);
  auto affinity = support::uniform<double, 3>({edges.size, H, W}, 0, 1, 31);
  auto seeds = support::uniform<double, 3>({3, H, W}, -2, 5, 37);
  if (kind == 1) std::fill(affinity.cells().begin(), affinity.cells().end(), 1.0);
  if (kind == 2) std::fill(affinity.cells().begin(), affinity.cells().end(), 0.0);
  if (kind == 3) {
    std::fill(seeds.cells().begin(), seeds.cells().end(), 0.0);
    seeds(0, 9, 17) = 1, seeds(1, 0, 0) = -1;  // channel 2 stays constant
  }
  auto const t = make_transition(cpu{}, edges, affinity, {.beta = kind == 0 ? 12.0 : 1.0});
  auto const exact = random_walk(cpu{}, seeds, t, {.steps = steps});
  auto const quick = to::back(random_walk(TestType{}, to::there(seeds), support::carried<TestType>(t),
                                          {.steps = steps, .tolerance = tolerance}));
  for (index_t c = 0; c < 3; ++c) {
    auto const [lo, hi] = std::minmax_element(&seeds(c, 0, 0), &seeds(c, 0, 0) + H * W);
    for (index_t i = 0; i < H * W; ++i) {
      double const q = quick.cells()[c * H * W + i];
      REQUIRE(std::abs(q - exact.cells()[c * H * W + i]) <= tolerance * (*hi - *lo) + 1e-12);
      REQUIRE((q >= *lo && q <= *hi));
    }
  }
}

TEST_CASE("floats stay within the rounding the documentation states", "[walk][property]")
{
  // Weakly connected cells are where errors add up: 256 steps without a neighbour to average with.
  index_t const H = 40, W = 60;
  auto const edges = stencil::disc(5);
  auto const wide = support::uniform<double, 3>({edges.size, H, W}, 0, 0.6, 41);
  auto affinity = grid_like<float, host>(wide.view());
  std::copy(wide.cells().begin(), wide.cells().end(), affinity.data());
  auto const seeds = support::uniform<float, 3>({2, H, W}, 0, 1, 43);
  auto const t = make_transition(cpu{}, edges, affinity);
  // the truth: the same float weights, walked in double
  transition<double> d{edges, grid_like<double, host>(t.weight.view()),
                       grid_like<double, host>(t.inverse_degree.view())};
  std::copy(t.weight.cells().begin(), t.weight.cells().end(), d.weight.data());
  index_t const cells[3] = {1, H, W};
  for_each_cell(cpu{}, cells, rule::invert_degree<double, host>{edges, d.weight.view(), d.inverse_degree});
  grid<double, 3> seeds_d(2, H, W);
  std::copy(seeds.cells().begin(), seeds.cells().end(), seeds_d.data());
  auto const truth = random_walk(cpu{}, seeds_d, d, {.steps = 256});
  CHECK(support::largest_gap(random_walk(cpu{}, seeds, t, {.steps = 256}).cells(), truth.cells()) < 2e-5);
  CHECK(support::largest_gap(random_walk(cpu{}, seeds, t, {.steps = 256, .tolerance = 1e-5}).cells(), truth.cells()) <
        3e-5);
}

TEMPLATE_LIST_TEST_CASE("a walk with a tolerance stays in its seeds' range where it takes every step",
                        "[walk][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const H = 21, W = 34;
  auto const edges = stencil::disc(3);
  auto const affinity = support::uniform<float, 3>({edges.size, H, W}, 0, 0.6, 31);
  auto const t = make_transition(cpu{}, edges, affinity, {.beta = 3});
  auto seeds = support::uniform<float, 3>({4, H, W}, 0.2, 0.9, 37);
  for (index_t c = 1; c < 4; ++c) std::fill_n(&seeds(c, 0, 0), H * W, c == 1 ? 0.1f : c == 2 ? 0.7f : -17.3f);
  for (index_t const steps : {1, 3, 40}) {
    auto const out = to::back(
        random_walk(TestType{}, to::there(seeds), support::carried<TestType>(t), {.steps = steps, .tolerance = 1e-30}));
    auto const exact = random_walk(cpu{}, seeds, t, {.steps = steps});
    CHECK(support::largest_gap(out.cells(), exact.cells()) < 1e-4);
    for (index_t c = 0; c < 4; ++c) {
      auto const [lo, hi] = std::minmax_element(&seeds(c, 0, 0), &seeds(c, 0, 0) + H * W);
      CAPTURE(steps, c);
      for (index_t i = 0; i < H * W; ++i)
        REQUIRE((out.cells()[c * H * W + i] >= *lo && out.cells()[c * H * W + i] <= *hi));
    }
  }
}

TEMPLATE_TEST_CASE("an exact walk loses constants by no more than the documentation states", "[walk][property]", float,
                   double)
{
  auto const radius = GENERATE(2, 5, 10);
  auto const kind = GENERATE(0, 1, 2);  // affinities that are all 1, random, weak
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  CAPTURE(radius, kind, static_cast<int>(set));
  index_t const H = 60, W = 70;
  auto const edges = stencil::disc(radius);
  auto affinity = support::uniform<TestType, 3>({edges.size, H, W}, 0, kind == 2 ? 0.6 : 1, 41);
  if (kind == 0) std::fill(affinity.cells().begin(), affinity.cells().end(), TestType(1));
  auto const format = GENERATE(weight_format::full, weight_format::bfloat16);
  auto const t = make_transition(cpu{}, edges, affinity, {.weights = format});
  grid<TestType, 3> seeds(4, H, W);
  TestType const constant[4] = {1, TestType(0.1), TestType(0.7), TestType(-17.77)};
  for (index_t c = 0; c < 4; ++c) std::fill_n(&seeds(c, 0, 0), H * W, constant[c]);
  auto const out = random_walk(cpu{.vectors = set}, seeds, t, {.steps = 256});
  double off = 0;
  for (index_t c = 0; c < 4; ++c)
    for (index_t i = 0; i < H * W; ++i) {
      double const wanted = static_cast<double>(constant[c]);
      off = std::max(off,
                     std::abs(static_cast<double>(out.cells()[static_cast<std::size_t>(c * H * W + i)]) / wanted - 1));
    }
  CHECK(off <= (std::is_same_v<TestType, float> ? 3.5e-5 : 2e-12));
  CHECK(random_walk(cpu{.vectors = set}, seeds, t, {.steps = 256, .tolerance = 1e-5}) == seeds);
}

TEST_CASE("expand_power meets its remainder", "[walk][reference]")
{
  auto const steps = GENERATE(0, 1, 2, 5, 256, 4096);
  double const lower = GENERATE(-1.0, -0.97, -0.4, 0.0);
  double const allowed = GENERATE(1e-2, 2e-5, 1e-10);
  CAPTURE(steps, lower, allowed);
  auto const p = expand_power(steps, lower, allowed);
  CHECK(p.remainder <= allowed);
  CHECK(p.degree() <= steps);
  CHECK(p.degree() <= std::sqrt(2.0 * steps * std::log(2 / allowed)) + 2);
  for (int i = 0; i <= 200; ++i) {
    double const x = lower + (1 - lower) * i / 200,
                 s = std::min(1.0, std::max(-1.0, (2 * x - 1 - lower) / (1 - lower)));
    double sum = 0;
    for (int k = 0; k <= p.degree(); ++k) sum += p.coefficient[k] * std::cos(k * std::acos(s));
    REQUIRE(std::abs(sum - std::pow(x, steps)) <= p.remainder + 1e-11);
  }
}

TEST_CASE("random_walk rejects what it documents", "[walk][errors]")
{
  scene const s(1, 4, 4, 2, 1);
  auto const t = make_transition(cpu{}, s.edges, s.affinity);
  grid<double, 3> const narrow(1, 4, 3);
  grid<double, 3> out(1, 4, 4);
  walk_scratch<double> scratch(cpu{}, 1, 4, 4, s.edges);

  CAMBIUM_THROWS_SAYING(random_walk(cpu{}, narrow, t), precondition_error, "[1,4,3]");
  CAMBIUM_THROWS_SAYING(random_walk(cpu{}, s.seeds, t, {.steps = -1}), precondition_error, "steps is -1");
  CAMBIUM_THROWS_SAYING(random_walk(cpu{}, s.seeds, t, {.tolerance = -1}), precondition_error, "tolerance");
  CAMBIUM_THROWS_SAYING(random_walk(cpu{}, s.seeds, t, {.tolerance = std::nan("")}), precondition_error, "tolerance");
  CAMBIUM_THROWS_SAYING(walk_options::squarings(256), precondition_error, "2^exp_times");
  grid<double, 3> mutable_seeds = s.seeds;
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, mutable_seeds, t, {}, mutable_seeds, scratch), precondition_error,
                        "overlap");
  walk_scratch<double> other(cpu{}, 2, 4, 4, s.edges);
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, s.seeds, t, {}, out, other), precondition_error, "scratch");
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, s.seeds, t, {.tolerance = 0.1}, out, scratch), precondition_error,
                        "scratch");
  for (double const bad : {std::nan(""), HUGE_VAL}) {
    auto seeds = s.seeds;
    seeds(0, 3, 1) = bad;
    CAMBIUM_THROWS_SAYING(random_walk(cpu{}, seeds, t), precondition_error, "seeds(0,3,1)");
    auto worse = make_transition(cpu{}, s.edges, s.affinity);
    worse.weight(2, 1, 0) = bad;
    CAMBIUM_THROWS_SAYING(random_walk(cpu{}, s.seeds, worse), precondition_error, "weight(2,1,0)");
    worse = make_transition(cpu{}, s.edges, s.affinity);
    worse.inverse_degree(1, 1) = bad;
    CAMBIUM_THROWS_SAYING(random_walk(cpu{}, s.seeds, worse), precondition_error, "inverse_degree(1,1)");
  }
}

TEST_CASE("weights of 16 bits must be rounded weights", "[walk][errors]")
{
  auto const edges = stencil::disc(2);
  auto const affinity = support::uniform<float, 3>({edges.size, 6, 40}, 0, 1, 3);
  auto const seeds = support::uniform<float, 3>({1, 6, 40}, 0, 1, 4);
  grid<float, 3> out(1, 6, 40);
  auto const before = out;
  auto t = make_transition(cpu{}, edges, affinity);
  walk_scratch<float> half(cpu{}, 1, 6, 40, edges, 0, weight_format::bfloat16);
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, seeds, t, {}, out, half), precondition_error, "scratch holds weights");
  t.format = weight_format::bfloat16;
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, seeds, t, {}, out, half), precondition_error, "8 significant bits");
  t = make_transition(cpu{}, edges, affinity, {.weights = weight_format::bfloat16});
  t.weight(3, 2, 20) = 0.3f;  // one weight is enough
  CAMBIUM_THROWS_SAYING(random_walk_into(cpu{}, seeds, t, {}, out, half), precondition_error, "8 significant bits");
  CHECK(out == before);
}

TEST_CASE("seeds that a step's sum could not hold are refused, the largest others walk", "[walk][errors]")
{
  stencil const edges = stencil::disc(2);
  grid<float, 3> affinity(edges.size, 6, 7), seeds(2, 6, 7);
  std::fill(affinity.cells().begin(), affinity.cells().end(), 1.f);
  auto const t = make_transition(cpu{}, edges, affinity);
  float largest = 0;
  for (double const tolerance : {1e-3, 0.0}) {
    double const room = (2 * edges.size + 2) * (tolerance > 0 ? 8 * 65 : 1);
    largest = static_cast<float>(0.9999 * static_cast<double>(std::numeric_limits<float>::max()) / room);
    for (index_t y = 0; y < 6; ++y)
      for (index_t x = 0; x < 7; ++x) seeds(0, y, x) = largest, seeds(1, y, x) = x + y > 0 ? -largest : largest;
    auto const out = random_walk(cpu{}, seeds, t, {.steps = 64, .tolerance = tolerance});
    for (index_t y = 0; y < 6; ++y)
      for (index_t x = 0; x < 7; ++x) {
        CHECK(out(0, y, x) == Approx(largest));
        CHECK(out(1, y, x) < -0.8f * largest);
        CHECK(out(1, y, x) >= -largest);
      }
  }
  seeds(1, 2, 3) = 2 * largest;
  CAMBIUM_THROWS_SAYING(random_walk(cpu{}, seeds, t), precondition_error,
                        "expected a finite number that a sum of cells can hold");
}

namespace {

std::atomic<int> steps_until_stop = 0;
bool counts_down() { return --steps_until_stop < 0; }

}  // namespace

TEST_CASE("a walk that is asked to stop ends between two steps, on every team", "[walk][errors]")
{
  auto const boundary = grid<float, 2>(40, 30);
  auto const edges = stencil::disc(5);
  auto const transition = make_transition(cpu{}, edges, path_affinity(cpu{}, boundary, edges));
  grid<float, 3> const seeds(2, 40, 30);
  cpu const where{.threads = GENERATE(1, 2, 3), .stop = counts_down};
  steps_until_stop = GENERATE(0, 5, 100);
  CAMBIUM_THROWS_SAYING(random_walk(where, seeds, transition, {.steps = 100000}), stopped, "asked to stop");
  steps_until_stop = 1000000;
  CHECK(random_walk(where, seeds, transition, {.steps = 40}) == seeds);
}

TEST_CASE("nothing to walk on is not an error", "[walk][errors]")
{
  auto const edges = stencil::disc(5);
  auto const [C, H, W] = GENERATE(table<int, int, int>({{0, 4, 4}, {2, 0, 4}, {2, 4, 0}}));
  double const tolerance = GENERATE(0.0, 1e-3);
  grid<float, 3> const seeds(C, H, W), affinity(edges.size, H, W);
  auto const out = random_walk(cpu{}, seeds, make_transition(cpu{}, edges, affinity), {.tolerance = tolerance});
  CHECK(out.shape() == seeds.shape());
}

// A host view never reaches a GPU policy, and this is settled before run time.
struct fake_gpu {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<fake_gpu, device> = true;
static_assert(reaches<cpu, host> && !reaches<cpu, device> && !reaches<fake_gpu, host>);
static_assert(std::is_trivially_copyable_v<transition_view<float, device>>);
