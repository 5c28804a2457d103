#include <cambium/interop/boost_graph.hpp>

#include <cambium/component/connected.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/connected_components.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/graph_concepts.hpp>
#include <boost/graph/kruskal_min_spanning_tree.hpp>
#include <boost/graph/lookup_edge.hpp>
#include <boost/graph/prim_minimum_spanning_tree.hpp>

#include <functional>
#include <limits>
#include <set>
#include <tuple>
#include <vector>

using namespace cambium;
using support::picture;

namespace {

template <class G>
struct models_the_concepts {
  BOOST_CONCEPT_ASSERT((boost::VertexListGraphConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::EdgeListGraphConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::IncidenceGraphConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::BidirectionalGraphConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::AdjacencyGraphConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::AdjacencyMatrixConcept<G>));
  BOOST_CONCEPT_ASSERT((boost::ReadablePropertyGraphConcept<G, index_t, boost::vertex_index_t>));
};
template struct models_the_concepts<cell_graph<>>;
template struct models_the_concepts<cell_graph<below_boundary<float>>>;
template struct models_the_concepts<cell_graph<weight_above<double>>>;
BOOST_CONCEPT_ASSERT((boost::LvaluePropertyMapConcept<edge_values<float const>, cell_edge>));
BOOST_CONCEPT_ASSERT((boost::ReadWritePropertyMapConcept<edge_values<float>, cell_edge>));
BOOST_CONCEPT_ASSERT((boost::ReadablePropertyMapConcept<place_map<every_edge>, index_t>));

using pairs = std::multiset<std::pair<index_t, index_t>>;

/// All pairs of cells that lie an offset apart, by looking at every pair.
template <class Join>
pairs expected_pairs(int H, int W, stencil const& edges, Join const& join)
{
  pairs out;
  for (int a = 0; a < H * W; ++a)
    for (int b = 0; b < H * W; ++b)
      for (int k = 0; k < edges.size; ++k)
        if (b / W - a / W == edges.at[k].dy && b % W - a % W == edges.at[k].dx && join(a / W, a % W, b / W, b % W))
          out.emplace(a, b);
  return out;
}

template <class G>
void check_against(G const& g, pairs const& want)
{
  pairs listed;
  auto const n = static_cast<index_t>(num_vertices(g));
  for (auto [e, end] = edges(g); e != end; ++e) {
    CHECK(e->forward);
    listed.emplace(source(*e, g), target(*e, g));
  }
  CHECK(listed == want);
  CHECK(num_edges(g) == want.size());
  pairs out, in, beside, looked_up;
  for (auto [v, last] = vertices(g); v != last; ++v) {
    std::size_t degrees = 0;
    for (auto [e, end] = out_edges(*v, g); e != end; ++e, ++degrees) {
      REQUIRE(source(*e, g) == *v);
      out.emplace(std::min(*v, target(*e, g)), std::max(*v, target(*e, g)));
      auto const [same, found] = edge(*v, target(*e, g), g);
      REQUIRE((found && same == *e && source(same, g) == *v));
      REQUIRE(boost::lookup_edge(target(*e, g), *v, g).second);
    }
    CHECK((out_degree(*v, g) == degrees && in_degree(*v, g) == degrees && degree(*v, g) == degrees));
    for (auto [e, end] = in_edges(*v, g); e != end; ++e) {
      REQUIRE(target(*e, g) == *v);
      in.emplace(std::min(*v, source(*e, g)), std::max(*v, source(*e, g)));
    }
    for (auto [u, end] = adjacent_vertices(*v, g); u != end; ++u) beside.emplace(std::min(*v, *u), std::max(*v, *u));
    for (index_t u = 0; u < n; ++u)
      if (edge(*v, u, g).second) looked_up.emplace(std::min(*v, u), std::max(*v, u));
  }
  pairs twice = want;
  twice.insert(want.begin(), want.end());
  CHECK(out == twice);
  CHECK(in == twice);
  CHECK(beside == twice);
  CHECK(looked_up == twice);
}

/// Distances by relaxing all edges until nothing changes.
std::vector<double> relaxed(int H, int W, stencil const& edges, grid<double, 3> const& weight, index_t from)
{
  std::vector<double> d(static_cast<std::size_t>(H * W), 1e300);
  d[static_cast<std::size_t>(from)] = 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (int k = 0; k < edges.size; ++k)
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
          int const fy = y + edges.at[k].dy, fx = x + edges.at[k].dx;
          if (fy >= H || fx < 0 || fx >= W) continue;
          double &a = d[static_cast<std::size_t>(y * W + x)], &b = d[static_cast<std::size_t>(fy * W + fx)];
          double const w = weight(k, y, x);
          if (a + w < b) b = a + w, changed = true;
          if (b + w < a) a = b + w, changed = true;
        }
  }
  return d;
}

}  // namespace

TEST_CASE("every pair at an offset is an edge", "[interop][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 6}, {6, 1}, {2, 2}, {4, 5}}));
  int const radius = GENERATE(1, 2, 4);
  CAPTURE(H, W, radius);
  auto const edges = stencil::disc(radius);
  auto const all = [](int, int, int, int) { return true; };
  check_against(cell_graph({H, W}, edges), expected_pairs(H, W, edges, all));

  auto const boundary = support::uniform<float, 2>({H, W}, 0, 1, 3);
  below_boundary<float> const open{boundary.view(), 0.7f};
  check_against(cell_graph({H, W}, edges, open), expected_pairs(H, W, edges, open));

  auto weight = support::uniform<float, 3>({edges.size, H, W}, -1, 1, 4);
  weight_above<float> const positive{weight.view()};
  auto const kept = [&](int y, int x, int fy, int fx) {
    for (int k = 0; k < edges.size; ++k)
      if (fy - y == edges.at[k].dy && fx - x == edges.at[k].dx) return weight(k, y, x) > 0;
    return false;
  };
  check_against(cell_graph({H, W}, edges, positive), expected_pairs(H, W, edges, kept));
}

TEST_CASE("the neighbourhoods are stencils", "[interop][property]")
{
  stencil const four{2, {{0, 1}, {1, 0}}};
  CHECK(cell_graph({3, 4}, c4).offsets() == four);
  auto const all = [](int, int, int, int) { return true; };
  check_against(cell_graph({3, 4}, c4), expected_pairs(3, 4, four, all));
  check_against(cell_graph({3, 4}, c8), expected_pairs(3, 4, stencil::disc(2), all));
}

TEST_CASE("property maps read and write where the values are", "[interop][property]")
{
  cell_graph const g({2, 3}, c8);
  auto weight = support::uniform<float, 3>({4, 2, 3}, 0, 1, 5);
  auto const map = edge_map(g, weight);
  for (auto [e, end] = edges(g); e != end; ++e) {
    auto const at = g.place(source(*e, g));
    CHECK(&map[*e] == &weight(e->k, at.y, at.x));
    cell_edge back = *e;
    back.forward = false;
    CHECK((back == *e && &map[back] == &map[*e] && source(back, g) == target(*e, g)));
  }
  put(map, *edges(g).first, 7.0f);
  CHECK(get(map, *edges(g).first) == 7);
  auto const& readable = weight;
  CHECK(get(edge_map(g, readable), *edges(g).first) == 7);

  grid<int, 2> labels(2, 3);
  put(vertex_map(g, labels), 4, 9);
  CHECK(labels(1, 1) == 9);
  CHECK(get(places(g), index_t{5}) == place{1, 2});
  CHECK(get(boost::vertex_index, g, index_t{5}) == 5);
  CHECK(g.number(1, 2) == 5);
}

TEST_CASE("connected_components agrees with connected_if", "[interop][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 30}, {13, 17}}));
  float const threshold = GENERATE(0.3f, 0.6f, 2.0f);
  auto const near = GENERATE(false, true) ? c8 : c4;
  auto const boundary = support::uniform<float, 2>({H, W}, 0, 1, 11);
  below_boundary<float> const open{boundary.view(), threshold};
  auto const want = connected_if(cpu{}, {H, W}, near, [](index_t, index_t) { return true; }, open);
  cell_graph const g({H, W}, near, open);
  grid<std::int32_t, 2> have(H, W);
  auto const count = boost::connected_components(g, vertex_map(g, have));
  CHECK(count == want.count);
  for (auto& v : have.cells()) ++v;  // numbered from 0, in raster order as well
  CHECK(have == want.label);
}

TEST_CASE("connected_components of a filtered graph agrees with connected", "[interop][reference]")
{
  auto const mask = support::uniform<std::uint8_t, 2>({15, 11}, 0, 1.99, 12);
  auto const near = GENERATE(false, true) ? c8 : c4;
  cell_graph const g({15, 11}, near);
  std::function<bool(index_t)> const inside = [&](index_t v) { return mask(g.place(v).y, g.place(v).x) != 0; };
  boost::filtered_graph const part(g, boost::keep_all(), inside);
  grid<std::int32_t, 2> have(15, 11);
  for (auto& v : have.cells()) v = -1;
  CHECK(boost::connected_components(part, vertex_map(g, have)) == connected(cpu{}, mask, near).count);
  for (auto& v : have.cells()) ++v;
  CHECK(have == connected(cpu{}, mask, near).label);
}

TEST_CASE("dijkstra_shortest_paths agrees with relaxing every edge", "[interop][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 9}, {9, 1}, {8, 7}}));
  auto const edges = stencil::disc(GENERATE(2, 3));
  auto const weight = support::uniform<double, 3>({edges.size, H, W}, 0, 1, 13);
  cell_graph const g({H, W}, edges);
  index_t const from = H * W / 3;
  grid<double, 2> distance(H, W);
  grid<index_t, 2> before(H, W);
  boost::dijkstra_shortest_paths(g, from,
                                 boost::weight_map(edge_map(g, weight))
                                     .distance_map(vertex_map(g, distance))
                                     .predecessor_map(vertex_map(g, before)));
  auto const want = relaxed(H, W, edges, weight, from);
  for (index_t v = 0; v < H * W; ++v) {
    REQUIRE(distance.cells()[v] == Approx(want[v]).margin(1e-12));
    if (v == from) continue;
    auto const [e, found] = edge(before.cells()[v], v, g);
    REQUIRE(found);
    REQUIRE(distance.cells()[before.cells()[v]] + get(edge_map(g, weight), e) == distance.cells()[v]);
  }
}

TEST_CASE("kruskal and prim agree with the cheapest tree", "[interop][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 9}, {6, 7}}));
  auto const edges = stencil::disc(2);
  auto const weight = support::uniform<double, 3>({edges.size, H, W}, 0, 1, 14);
  cell_graph const g({H, W}, edges);
  std::vector<cell_edge> tree;
  boost::kruskal_minimum_spanning_tree(g, std::back_inserter(tree), boost::weight_map(edge_map(g, weight)));
  REQUIRE(tree.size() == static_cast<std::size_t>(H * W - 1));
  double have = 0, want = 0;
  for (auto const& e : tree) have += get(edge_map(g, weight), e);

  // The oracle grows a tree from cell 0 and looks at every edge for the cheapest way out.
  std::vector<char> reached(static_cast<std::size_t>(H * W), 0);
  reached[0] = 1;
  for (int n = 1; n < H * W; ++n) {
    double best = 1e300;
    int next = -1;
    for (int k = 0; k < edges.size; ++k)
      for (int a = 0; a < H * W; ++a) {
        int const y = a / W + edges.at[k].dy, x = a % W + edges.at[k].dx;
        if (y >= H || x < 0 || x >= W || reached[a] == reached[y * W + x]) continue;
        if (weight(k, a / W, a % W) < best) best = weight(k, a / W, a % W), next = reached[a] ? y * W + x : a;
      }
    want += best, reached[static_cast<std::size_t>(next)] = 1;
  }
  CHECK(have == Approx(want).margin(1e-12));

  grid<index_t, 2> before(H, W);
  boost::prim_minimum_spanning_tree(g, vertex_map(g, before), boost::weight_map(edge_map(g, weight)));
  double prim = 0;
  for (index_t v = 1; v < H * W; ++v) prim += get(edge_map(g, weight), edge(before.cells()[v], v, g).first);
  CHECK(prim == Approx(want).margin(1e-12));
}

TEST_CASE("breadth_first_search walks around walls", "[interop][picture]")
{
  auto const wall = picture<float>({
      ".....",
      ".###.",
      ".#...",
      ".#.#.",
  });
  cell_graph const g({4, 5}, c4, below_boundary<float>{wall.view(), 0.5f});
  grid<std::int32_t, 2> steps(4, 5);
  boost::breadth_first_search(
      g, g.number(3, 0),
      boost::visitor(boost::make_bfs_visitor(boost::record_distances(vertex_map(g, steps), boost::on_tree_edge()))));
  support::rows const want{
      "34567",
      "2...8",
      "1.ba9",
      "..c.a",
  };
  CHECK(support::drawn(steps) == want);
}

TEST_CASE("a graph larger than 2^31 costs nothing", "[interop][property]")
{
  index_t const H = 70001, W = 90001;
  cell_graph const g({H, W}, stencil::disc(2));
  CHECK(num_vertices(g) == static_cast<std::size_t>(H * W));
  CHECK(num_edges(g) == static_cast<std::size_t>(H * (W - 1) + (H - 1) * W + 2 * (H - 1) * (W - 1)));
  index_t const corner = H * W - 1;
  CHECK(g.place(corner) == place{H - 1, W - 1});
  CHECK(out_degree(corner, g) == 3);
  std::set<index_t> around;
  for (auto [e, end] = out_edges(corner, g); e != end; ++e) around.insert(target(*e, g));
  CHECK(around == std::set<index_t>{corner - 1, corner - W, corner - W - 1});
  auto const far = edges(g).second;
  CHECK(std::next(edges(g).first)->k == 1);
  CHECK(far == far);
}

TEST_CASE("cell_graph and its maps reject what they document", "[interop][errors]")
{
  CAMBIUM_THROWS_SAYING(cell_graph({-1, 3}, c4), precondition_error, "extent -1 is negative");
  CAMBIUM_THROWS_SAYING(cell_graph({index_t{1} << 40, index_t{1} << 40}, c4), precondition_error, "too many cells");
  CAMBIUM_THROWS_SAYING(cell_graph({3, 3}, stencil{1, {{0, -1}}}), precondition_error, "outside the half plane");
  CAMBIUM_THROWS_SAYING(cell_graph({3, 3}, stencil{3, {{0, 1}, {1, 0}, {0, 1}}}), precondition_error,
                        "offsets 0 and 2 of the stencil are both (0,1)");
  cell_graph const g({3, 4}, c4);
  grid<float, 3> weight(2, 4, 3), wide(2, 3, 5);
  grid<int, 2> labels(4, 3);
  CAMBIUM_THROWS_SAYING(edge_map(g, weight), precondition_error,
                        "values are [2,4,3] but the graph has 2 offsets on 3 x 4 cells");
  CAMBIUM_THROWS_SAYING(vertex_map(g, labels), precondition_error, "values are [4,3] but the graph has 3 x 4 cells");
  auto window = wide.view();
  window.extent[2] = 4;
  CAMBIUM_THROWS_SAYING(edge_map(g, window), precondition_error, "edge_map: the view [2,3,4] has gaps");
  auto const plane = window[0];
  CAMBIUM_THROWS_SAYING(vertex_map(g, plane), precondition_error, "vertex_map: the view [3,4] has gaps");
}
