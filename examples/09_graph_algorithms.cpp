// 09  Graph algorithms: Boost.Graph runs on a map.
//
// Nothing is copied. cell_graph knows the neighbours of a cell. Boost.Graph reads weights from a map and writes
// results into another one. Three classics run on a boundary map: components, a minimum spanning tree cut into
// segments, and the nearest seed by path length.
//
//   $ ./09_graph_algorithms
//
// Next: 10_graph_cut.

#include <cambium/component/connected.hpp>
#include <cambium/interop/boost_graph.hpp>

#include <boost/graph/connected_components.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/kruskal_min_spanning_tree.hpp>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <vector>

using namespace cambium;

static void draw(char const* title, grid<std::int32_t, 2> const& label)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < label.shape()[0]; ++y) {
    for (index_t x = 0; x < label.shape()[1]; ++x)
      std::putchar(label(y, x) < 0 ? ' ' : static_cast<char>('a' + label(y, x)));
    std::putchar('\n');
  }
}

/// A vertex filter; Boost.Graph wants one that can be made from nothing.
struct off_boundary {
  image_view<float const> boundary;
  bool operator()(index_t v) const { return boundary.data[v] < 0.5f; }
};

int main()
{
  char const* const picture[] = {
      "......9..........",  // the strength of the boundary, in tenths
      "......9..........",  //
      "......9....33333.",  //
      "......3...3.....3",  // a door, half open; to its right a weak ring
      "......9...3.....3",  //
      "9999999....33333.",  //
      "......9..........",  //
      "......9..........",  //
  };
  index_t const H = 8, W = 17;
  grid<float, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      boundary(y, x) = picture[y][x] == '.' ? 0 : 0.1f * static_cast<float>(picture[y][x] - '0');

  // 1. Components of the cells off the strong boundaries: the door joins two rooms.
  cell_graph const graph({H, W}, c4);
  boost::filtered_graph const open(graph, boost::keep_all{}, off_boundary{boundary.view()});
  grid<std::int32_t, 2> label(H, W);
  std::fill(label.cells().begin(), label.cells().end(), -1);
  boost::connected_components(open, vertex_map(graph, label));
  draw("components off the boundary", label);

  // 2. Segments: the edges of the minimum spanning tree that are lighter than 0.2. An edge has the larger boundary of
  // its two ends as weight.
  grid<float, 3> weight(graph.offsets().size, H, W);
  auto const weights = edge_map(graph, weight);
  for (auto [e, end] = edges(graph); e != end; ++e)
    weights[*e] = std::max(boundary.data()[source(*e, graph)], boundary.data()[target(*e, graph)]);
  std::vector<cell_edge> tree;
  boost::kruskal_minimum_spanning_tree(graph, std::back_inserter(tree), boost::weight_map(weights));
  disjoint_sets<std::int32_t> segment;
  for (index_t v = 0; v < H * W; ++v) segment.add();
  for (cell_edge const& e : tree)
    if (weights[e] < 0.2f)
      segment.join(static_cast<std::int32_t>(source(e, graph)), static_cast<std::int32_t>(target(e, graph)));
  std::int32_t count = 0;
  for (index_t v = 0; v < H * W; ++v) {
    std::int32_t const root = segment.find(static_cast<std::int32_t>(v));
    bool const alone = boundary.data()[v] >= 0.2f;
    label.data()[v] = alone ? -1 : root == v ? count++ : label.data()[root];
  }
  draw("segments of the cheapest tree", label);

  // 3. Two points. Each cell joins the one with the shorter path. A step costs 1, plus 50 times the strength of a
  // boundary.
  for (auto& w : weight.cells()) w = 1 + 50 * w;
  index_t const point[] = {graph.number(3, 1), graph.number(1, 14)};
  grid<float, 2> distance[] = {grid<float, 2>(H, W), grid<float, 2>(H, W)};
  for (int i = 0; i < 2; ++i)
    boost::dijkstra_shortest_paths(graph, point[i],
                                   boost::weight_map(weights).distance_map(vertex_map(graph, distance[i])));
  for (index_t v = 0; v < H * W; ++v) label.data()[v] = distance[0].data()[v] <= distance[1].data()[v] ? 0 : 1;
  draw("the nearer of two points", label);
  std::printf("from point to point: %.0f\n", static_cast<double>(distance[0](1, 14)));
}
