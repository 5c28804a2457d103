#include <cambium/component/geodesic.hpp>
#include <cambium/component/geodesic_costs.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#if !defined(__CUDACC__)
#include <cambium/interop/boost_graph.hpp>

#include <boost/graph/dijkstra_shortest_paths.hpp>
#endif

using namespace cambium;
using support::carry;
using support::drawn;
using support::picture;
using support::rows;

namespace {

template <class T>
constexpr T far = std::numeric_limits<T>::infinity();

/// Oracle: one map of distances for each label, by looking at all edges until nothing changes; the labels by the
/// definition. Shares no line with the library.
template <class T>
struct by_relaxation {
  int H, W;
  std::vector<T> distance, confidence;
  std::vector<std::int64_t> label;

  struct edge {
    int a, b;
    T cost;
  };

  template <class Label>
  by_relaxation(grid<T, 3> const& cost, grid<Label, 2> const& seeds, Label unmarked, bool corners, T limit)
      : H(static_cast<int>(seeds.shape()[0])), W(static_cast<int>(seeds.shape()[1]))
  {
    std::vector<std::pair<int, int>> const after =
        corners ? std::vector<std::pair<int, int>>{{0, 1}, {1, -1}, {1, 0}, {1, 1}}
                : std::vector<std::pair<int, int>>{{0, 1}, {1, 0}};
    std::vector<edge> edges;
    for (int k = 0; k < static_cast<int>(after.size()); ++k)
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
          int const ny = y + after[k].first, nx = x + after[k].second;
          if (ny < 0 || ny >= H || nx < 0 || nx >= W) continue;
          edges.push_back({y * W + x, ny * W + nx, cost(k, y, x)});
          edges.push_back({ny * W + nx, y * W + x, cost(k, y, x)});
        }
    std::size_t const n = static_cast<std::size_t>(H) * static_cast<std::size_t>(W);
    std::vector<std::int64_t> mark(n);
    std::set<std::int64_t> labels;
    for (int i = 0; i < H * W; ++i) {
      mark[i] = seeds(i / W, i % W);
      if (mark[i] != unmarked) labels.insert(mark[i]);
    }
    std::map<std::int64_t, std::vector<T>> each;
    distance.assign(n, far<T>);
    for (std::int64_t const l : labels) {
      std::vector<T> d(n, far<T>);
      for (std::size_t i = 0; i < n; ++i)
        if (mark[i] == l) d[i] = 0;
      for (bool again = true; again;) {
        again = false;
        for (edge const& e : edges) {
          T const there = d[e.a] + e.cost;
          if (there < d[e.b] && there <= limit) d[e.b] = there, again = true;
        }
      }
      for (std::size_t i = 0; i < n; ++i) distance[i] = std::min(distance[i], d[i]);
      each[l] = d;
    }
    std::int64_t const none = std::numeric_limits<std::int64_t>::max();
    label.assign(n, none);
    for (std::size_t i = 0; i < n; ++i)
      if (mark[i] != unmarked) label[i] = mark[i];
    for (bool again = true; again;) {
      again = false;
      for (edge const& e : edges)
        if (mark[e.b] == unmarked && distance[e.b] < far<T> && distance[e.a] + e.cost == distance[e.b] &&
            label[e.a] < label[e.b])
          label[e.b] = label[e.a], again = true;
    }
    for (std::size_t i = 0; i < n; ++i) {
      T second = far<T>;
      for (auto const& [l, d] : each)
        if (l != label[i]) second = std::min(second, d[i]);
      double const a = static_cast<double>(distance[i]), b = static_cast<double>(second);
      confidence.push_back(static_cast<T>(label[i] == none   ? 0
                                          : second == far<T> ? 1
                                          : a + b > 0        ? (b - a) / (b + a)
                                                             : 0));
      if (label[i] == none) label[i] = unmarked;
    }
  }
};

/// Costs of a kind that searches find hard.
grid<float, 3> costs_of(std::string const& kind, index_t K, index_t H, index_t W, std::uint64_t seed)
{
  grid<float, 3> out(K, H, W);
  std::mt19937_64 bits(seed);
  for (auto& v : out.cells()) {
    double const u = static_cast<double>(bits() >> 11) * 0x1p-53;
    v = kind == "random"    ? static_cast<float>(u)
        : kind == "whole"   ? static_cast<float>(1 + bits() % 3)
        : kind == "free"    ? static_cast<float>(bits() % 3 == 0 ? bits() % 4 : 0)
        : kind == "equal"   ? 1.0F
        : kind == "nothing" ? 0.0F
        : kind == "walls"   ? (bits() % 3 == 0 ? far<float> : static_cast<float>(bits() % 3))
        : kind == "wide"    ? static_cast<float>(std::pow(10.0, 60 * u - 30))  // many are absorbed
                            : (bits() % 2 == 0 ? 1e7F : static_cast<float>(bits() % 3));
  }
  return out;
}

template <class Label>
grid<Label, 2> seeds_of(index_t H, index_t W, int count, Label unmarked, std::uint64_t seed)
{
  grid<Label, 2> out(H, W);
  for (auto& v : out.cells()) v = unmarked;
  std::mt19937_64 bits(seed);
  for (int i = 0; i < count; ++i) {
    auto label = static_cast<Label>(bits() % 7);
    if (label == unmarked) ++label;
    out.cells()[bits() % out.cells().size()] = label;
  }
  return out;
}

template <class P, class T, class Label>
auto run(grid<T, 3> const& cost, grid<Label, 2> const& seeds, geodesic_options<Label> const& options)
{
  auto const there = geodesic(P{}, carry<P>::there(cost), carry<P>::there(seeds), options);
  return geodesic_map<T, Label>{carry<P>::back(there.distance), carry<P>::back(there.label),
                                carry<P>::back(there.confidence)};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("geodesic is the nearest label's cheapest path", "[component][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  auto const kind =
      GENERATE(values<std::string>({"random", "whole", "free", "equal", "nothing", "walls", "wide", "absorbed"}));
  bool const corners = GENERATE(false, true);
  auto const limit = GENERATE(1e300, 3.5);
  CAPTURE(kind, corners, limit);
  index_t const sizes[][2] = {{1, 1}, {1, 13}, {17, 1}, {2, 2}, {15, 19}, {33, 20}};
  std::uint64_t draw = 1;
  for (auto const& [H, W] : sizes)
    for (int const count : {1, 2, 9}) {
      CAPTURE(H, W, count);
      auto const cost = costs_of(kind, corners ? 4 : 2, H, W, ++draw);
      auto const seeds = seeds_of<std::int32_t>(H, W, count, 0, ++draw);
      auto const have = run<TestType>(cost, seeds, {.near = corners ? c8 : c4, .limit = limit});
      float const most = limit < 1e38 ? static_cast<float>(limit) : std::numeric_limits<float>::max();
      by_relaxation<float> const want(cost, seeds, 0, corners, most);
      double gap = 0;
      index_t wrong_distance = 0, wrong_label = 0;
      for (index_t i = 0; i < H * W; ++i) {
        wrong_distance += have.distance.cells()[i] != want.distance[i];
        wrong_label += have.label.cells()[i] != want.label[i];
        gap = std::max(
            gap, std::abs(static_cast<double>(have.confidence.cells()[i]) - static_cast<double>(want.confidence[i])));
      }
      CHECK(wrong_distance == 0);
      CHECK(wrong_label == 0);
      CHECK(gap <= 1e-6);
    }
}

TEMPLATE_LIST_TEST_CASE("labels of any type, and scribbles of 255", "[component][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  auto const check = [](auto label, auto unmarked) {
    using Label = decltype(label);
    auto const cost = costs_of("whole", 4, 21, 18, 4);
    auto const seeds = seeds_of<Label>(21, 18, 12, static_cast<Label>(unmarked), 6);
    auto const have = run<TestType>(cost, seeds, geodesic_options<Label>{.unmarked = static_cast<Label>(unmarked)});
    by_relaxation<float> const want(cost, seeds, static_cast<Label>(unmarked), true, std::numeric_limits<float>::max());
    for (index_t i = 0; i < 21 * 18; ++i) {
      CHECK(static_cast<std::int64_t>(have.label.cells()[i]) == want.label[i]);
      CHECK(have.distance.cells()[i] == want.distance[i]);
    }
  };
  check(std::uint8_t{}, 255);
  check(std::int8_t{}, -1);
  check(std::uint32_t{}, 0);
}

#if !defined(__CUDACC__)
TEST_CASE("geodesic has the distances of Boost.Graph's Dijkstra", "[component][reference]")
{
  bool const corners = GENERATE(false, true);
  auto const image = support::uniform<double, 3>({40, 61, 3}, 0, 255, 5);
  auto const boundary = support::uniform<float, 2>({40, 61}, 0, 1, 6);
  neighbourhood const near = corners ? c8 : c4;
  auto const cost = geodesic_costs<double>(cpu{}, image, boundary, near, {.boundary = 300});
  grid<std::int32_t, 2> seeds(40, 61);
  std::vector<index_t> const places = {0, 61 * 20 + 30, 61 * 39 + 60, 61 * 5 + 50, 61 * 33 + 2};
  for (std::size_t i = 0; i < places.size(); ++i) seeds.cells()[places[i]] = static_cast<std::int32_t>(i) + 1;
  auto const have = geodesic(cpu{}, cost, seeds, {.near = near});

  cell_graph<> const graph({40, 61}, near);
  auto const from = [&](std::vector<index_t> const& starts) {
    grid<double, 2> distance(40, 61);
    boost::dijkstra_shortest_paths(graph, starts.begin(), starts.end(), boost::dummy_property_map(),
                                   vertex_map(graph, distance), edge_map(graph, cost), get(boost::vertex_index, graph),
                                   std::less<double>(), std::plus<double>(), far<double>, 0.0,
                                   boost::dijkstra_visitor<>());
    return distance;
  };
  CHECK(have.distance == from(places));
  std::vector<grid<double, 2>> each;
  for (index_t const place : places) each.push_back(from({place}));
  for (std::size_t i = 0; i < have.label.cells().size(); ++i) {
    std::vector<std::pair<double, int>> sorted;
    for (std::size_t l = 0; l < each.size(); ++l) sorted.emplace_back(each[l].cells()[i], static_cast<int>(l) + 1);
    std::sort(sorted.begin(), sorted.end());
    REQUIRE(have.label.cells()[i] == sorted[0].second);
    double const a = sorted[0].first, b = sorted[1].first;
    REQUIRE(std::abs(have.confidence.cells()[i] - (b - a) / (b + a)) <= 1e-12);
  }
}
#endif

TEMPLATE_LIST_TEST_CASE("costs are length, colours' difference and boundary", "[component][reference]",
                        support::backends)
{
  if (!carry<TestType>::usable()) return;
  bool const corners = GENERATE(false, true);
  neighbourhood const near = corners ? c8 : c4;
  index_t const H = 7, W = 9, K = near.size;
  auto const image = support::uniform<float, 3>({H, W, 2}, -50, 50, 1);
  auto const boundary = support::uniform<float, 2>({H, W}, 0, 1, 2);
  int const dy[] = {0, 1, 1, 1}, dx[] = {1, -1, 0, 1}, dy4[] = {0, 1}, dx4[] = {1, 0};
  auto const there = geodesic_costs(TestType{}, carry<TestType>::there(image), carry<TestType>::there(boundary), near,
                                    {.step = 2, .image = 0.5, .boundary = 7});
  auto const have = carry<TestType>::back(there);
  for (index_t k = 0; k < K; ++k)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        index_t const ny = y + (corners ? dy : dy4)[k], nx = x + (corners ? dx : dx4)[k];
        if (ny >= H || nx < 0 || nx >= W) {
          CHECK(have(k, y, x) == 0);
          continue;
        }
        double const length = std::hypot(static_cast<double>(ny - y), static_cast<double>(nx - x));
        double const red = static_cast<double>(image(y, x, 0)) - static_cast<double>(image(ny, nx, 0));
        double const green = static_cast<double>(image(y, x, 1)) - static_cast<double>(image(ny, nx, 1));
        double const line = static_cast<double>(boundary(y, x)) + static_cast<double>(boundary(ny, nx));
        double const want = std::hypot(2 * length, 0.5 * red, 0.5 * green) + 7 * length * line / 2;
        CHECK(std::abs(static_cast<double>(have(k, y, x)) - want) <= 1e-5 * want);
      }
}

TEST_CASE("a wall turns the border of two labels", "[component][picture]")
{
  // Steps onto or out of the wall cost 100.
  auto const wall = picture<float>({
      ".........",
      "...#.....",
      "...#.....",
      "...#.....",
      ".........",
  });
  auto const seeds = picture({
      ".........",
      ".........",
      ".1.....2.",
      ".........",
      ".........",
  });
  auto const cost = geodesic_costs(cpu{}, stack_view<std::uint8_t const>{}, wall, c4, {.step = 1, .boundary = 198});
  auto const have = geodesic(cpu{}, cost, seeds, {.near = c4});
  CHECK(drawn(have.label) == rows{"111112222", "111122222", "111122222", "111122222", "111112222"});
  CHECK(have.distance(2, 2) == 1);
  CHECK(have.distance(2, 3) == 101);
}

TEST_CASE("seeds keep their label, also where steps are free", "[component][picture]")
{
  auto const have = geodesic(cpu{}, grid<float, 3>(2, 3, 5), picture({"2....", ".....", "....1"}), {.near = c4});
  CHECK(drawn(have.label) == rows{"21111", "11111", "11111"});
  for (float const d : have.distance.cells()) CHECK(d == 0);
  for (float const c : have.confidence.cells()) CHECK(c == 0);
}

TEST_CASE("geodesic is the same for any number of threads and with used scratch", "[component][property]")
{
  auto const cost = costs_of("random", 4, 90, 120, 3);
  auto const seeds = seeds_of<std::int32_t>(90, 120, 20, 0, 4);
  auto const want = geodesic(cpu{.threads = 1}, cost, seeds);
  geodesic_scratch<cpu> scratch;
  for (int const threads : {7, 2})
    for (index_t const H : {90, 30}) {
      auto const part = costs_of("random", 4, H, 120, 3);
      geodesic_map<float, std::int32_t> out{grid<float, 2>(90, 120), grid<std::int32_t, 2>(90, 120),
                                            grid<float, 2>(90, 120)};
      auto const rows_of = [&](auto& g) {
        auto v = g.view();
        v.extent[0] = H;
        return v;
      };
      auto seeded = seeds;
      geodesic_into(cpu{.threads = threads}, part, rows_of(seeded), {}, rows_of(out.distance), rows_of(out.label),
                    rows_of(out.confidence), scratch);
      if (H < 90) continue;
      CHECK(out.distance == want.distance);
      CHECK(out.label == want.label);
      CHECK(out.confidence == want.confidence);
      geodesic_into(cpu{}, part, seeded, {}, out.distance, out.label, image_view<float>{}, scratch);
      CHECK(out.distance == want.distance);
      CHECK(out.label == want.label);
    }
}

TEST_CASE("rows of a larger map", "[component][property]")
{
  auto const cost = costs_of("random", 4, 12, 15, 8);
  auto const seeds = seeds_of<std::int32_t>(12, 15, 5, 0, 9);
  auto const want = geodesic(cpu{}, cost, seeds);
  grid<float, 3> wide_cost(4, 12, 20);
  grid<std::int32_t, 2> wide_seeds(12, 20), wide_label(12, 20);
  grid<float, 2> wide_distance(12, 20), wide_confidence(12, 20);
  for (auto& v : wide_cost.cells()) v = -1;
  for (index_t y = 0; y < 12; ++y)
    for (index_t x = 0; x < 15; ++x) {
      for (index_t k = 0; k < 4; ++k) wide_cost(k, y, x) = cost(k, y, x);
      wide_seeds(y, x) = seeds(y, x);
    }
  auto const cut = [](auto v) {
    v.extent[v.extent[1] == 12 ? 2 : 1] = 15;
    return v;
  };
  geodesic_scratch<cpu> scratch;
  geodesic_into(cpu{}, cut(wide_cost.view()), cut(wide_seeds.view()), {}, cut(wide_distance.view()),
                cut(wide_label.view()), cut(wide_confidence.view()), scratch);
  for (index_t y = 0; y < 12; ++y) {
    for (index_t x = 0; x < 15; ++x) {
      CHECK(wide_distance(y, x) == want.distance(y, x));
      CHECK(wide_label(y, x) == want.label(y, x));
      CHECK(wide_confidence(y, x) == want.confidence(y, x));
    }
    CHECK(wide_label(y, 16) == 0);
  }
}

TEST_CASE("what geodesic refuses", "[component][errors]")
{
  auto cost = costs_of("random", 4, 5, 6, 1);
  auto seeds = picture({"......", "......", "..1...", "......", "......"});
  cost(0, 2, 5) = -1;  // leaves the map
  cost(1, 4, 2) = std::nanf("");
  CHECK(geodesic(cpu{}, cost, seeds).label(0, 0) == 1);
  cost(2, 3, 4) = -0.5F;
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, seeds), "geodesic: cost(2,3,4) is -0.5; expected a number >= 0");
  cost(2, 3, 4) = std::nanf("");
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, seeds), "geodesic: cost(2,3,4) is nan; expected a number >= 0");
  for (float const bad : {-1.F, -1e-45F, -std::numeric_limits<float>::infinity(), std::nanf("")}) {  // in a register
    grid<float, 3> wide(4, 1, 40);
    grid<std::int32_t, 2> const all(support::uniform<std::int32_t, 2>({1, 40}, 1, 2, 1));
    wide(0, 0, 5) = bad;
    CAMBIUM_THROWS_SAYING(geodesic(cpu{}, wide, all), precondition_error, "geodesic: cost(0,0,5) is ");
    wide(0, 0, 5) = 0;
    CHECK(geodesic(cpu{}, wide, all).distance(0, 5) == 0);
  }
  cost(2, 3, 4) = -0.0F;
  CHECK(geodesic(cpu{}, cost, seeds).label(4, 5) == 1);
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, grid<std::int32_t, 2>(5, 6)),
                    "geodesic: no cell of the seeds has a label; all are 0");
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, seeds, {.near = c4}),
                    "geodesic: cost is [4,5,6] but seeds are [5,6] and a cell has 2 neighbours after it");
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, grid<std::int32_t, 2>(5, 7)),
                    "geodesic: cost is [4,5,6] but seeds are [5,7] and a cell has 4 neighbours after it");
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, seeds, {.near = {1, {{0, -1}}}}),
                    "geodesic: the neighbourhood is neither c4 nor c8");
  CHECK_THROWS_WITH(geodesic(cpu{}, cost, seeds, {.limit = std::nan("")}),
                    "geodesic: limit is nan; expected a number >= 0");
  grid<float, 2> distance(5, 6);
  geodesic_scratch<cpu> scratch;
  CHECK_THROWS_WITH(geodesic_into(cpu{}, cost, seeds, {}, distance, seeds, image_view<float>{}, scratch),
                    "geodesic: seeds and a result overlap");
  grid<std::int32_t, 2> label(5, 6);
  CHECK_THROWS_WITH(geodesic_into(cpu{}, cost, seeds, {}, distance, label, distance, scratch),
                    "geodesic: two of the results overlap");
  CHECK(geodesic(cpu{}, grid<float, 3>(4, 0, 6), grid<std::int32_t, 2>(0, 6)).label.size() == 0);

  using seed = geodesic_seed<>;
  std::vector<seed> list = {{1, 2, 3}, {4, 5, 1}, {1, 2, 3}};
  CHECK(drawn(mark_seeds(std::span<seed const>(list), {5, 6})) ==
        rows{"......", "..3...", "......", "......", ".....1"});
  list.push_back({5, 0, 1});
  CHECK_THROWS_WITH(mark_seeds(std::span<seed const>(list), {5, 6}), "mark_seeds: seed 3 is at (5,0), outside [5,6]");
  list[3] = {1, 2, 4};
  CHECK_THROWS_WITH(mark_seeds(std::span<seed const>(list), {5, 6}),
                    "mark_seeds: seed 3 gives the cell (1,2) the label 4, which has 3 already");
  list[3] = {1, 1, 0};
  CHECK_THROWS_WITH(mark_seeds(std::span<seed const>(list), {5, 6}),
                    "mark_seeds: seed 3 at (1,1) has the label 0 of unmarked cells");
}

TEST_CASE("what geodesic_costs refuses", "[component][errors]")
{
  auto image = support::uniform<float, 3>({5, 6, 3}, 0, 1, 1);
  auto boundary = support::uniform<float, 2>({5, 6}, 0, 1, 1);
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image, boundary, c8, {.step = -1}),
                    "geodesic_costs: step is -1; expected a finite number >= 0");
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image, boundary, c8, {.image = far<double>}),
                    "geodesic_costs: image is inf; expected a finite number >= 0");
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image, boundary, neighbourhood{}),
                    "geodesic_costs: the neighbourhood is neither c4 nor c8");
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image, grid<float, 2>(6, 5)),
                    "geodesic_costs: boundary is [6,5] but out is [4,5,6]");
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, stack_view<float const>{}, image_view<float const>{}),
                    "geodesic_costs: neither an image nor a boundary");
  boundary(3, 2) = 1.5F;
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image, boundary),
                    "geodesic_costs: boundary(3,2) is 1.5; expected a value in [0,1]");
  image(1, 2, 0) = far<float>;
  CHECK_THROWS_WITH(geodesic_costs(cpu{}, image), "geodesic_costs: image(1,2,0) is inf; expected a finite number");
}
