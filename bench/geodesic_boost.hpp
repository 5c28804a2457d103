#pragma once
// Geodesic labels as others compute them: Boost.Graph's Dijkstra on a compressed graph, with every flag in its favour.

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <memory>

namespace bench {

class boost_geodesic {
 public:
  /// @param cost  [4,H,W] of geodesic_costs
  explicit boost_geodesic(cambium::grid<float, 3> const& cost);
  ~boost_geodesic();
  /// Distance and label of every cell; seeds are not 0.
  void run(cambium::grid<std::int32_t, 2> const& seeds, cambium::grid<float, 2>& distance,
           cambium::grid<std::int32_t, 2>& label) const;

 private:
  struct graph;
  std::unique_ptr<graph> graph_;
};

}  // namespace bench
