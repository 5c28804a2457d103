#include "geodesic_boost.hpp"

#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace bench {

using cambium::index_t;

namespace {

struct toll {
  float cost;
};
using graph_type = boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, toll>;

/// A cell takes the label of the cell that it is reached from.
struct take_label : boost::dijkstra_visitor<> {
  std::int32_t* label;
  template <class Edge>
  void edge_relaxed(Edge e, graph_type const& g) const
  {
    label[target(e, g)] = label[source(e, g)];
  }
};

}  // namespace

struct boost_geodesic::graph {
  graph_type g;
};

boost_geodesic::boost_geodesic(cambium::grid<float, 3> const& cost) : graph_(new graph)
{
  index_t const H = cost.shape()[1], W = cost.shape()[2];
  int const dy[] = {0, 1, 1, 1}, dx[] = {1, -1, 0, 1};
  std::vector<std::pair<std::size_t, std::size_t>> edges;
  std::vector<toll> tolls;
  for (index_t k = 0; k < 4; ++k)
    for (index_t y = 0; y + dy[k] < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        if (x + dx[k] < 0 || x + dx[k] >= W) continue;
        auto const a = static_cast<std::size_t>(y * W + x), b = static_cast<std::size_t>((y + dy[k]) * W + x + dx[k]);
        edges.emplace_back(a, b), edges.emplace_back(b, a);
        tolls.insert(tolls.end(), 2, toll{cost(k, y, x)});
      }
  graph_->g = graph_type(boost::edges_are_unsorted_multi_pass, edges.begin(), edges.end(), tolls.begin(),
                         static_cast<std::size_t>(H * W));
}
boost_geodesic::~boost_geodesic() = default;

void boost_geodesic::run(cambium::grid<std::int32_t, 2> const& seeds, cambium::grid<float, 2>& distance,
                         cambium::grid<std::int32_t, 2>& label) const
{
  auto const& g = graph_->g;
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < seeds.cells().size(); ++i)
    if (seeds.cells()[i] != 0) starts.push_back(i);
  label.cells() = seeds.cells();
  take_label visitor;
  visitor.label = label.data();
  boost::dijkstra_shortest_paths(g, starts.begin(), starts.end(), boost::dummy_property_map(),
                                 boost::make_iterator_property_map(distance.data(), get(boost::vertex_index, g)),
                                 get(&toll::cost, g), get(boost::vertex_index, g), std::less<float>(),
                                 std::plus<float>(), std::numeric_limits<float>::infinity(), 0.0F, visitor);
}

}  // namespace bench
