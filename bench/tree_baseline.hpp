#pragma once
// A tree filter as it is usually written: Boruvka's algorithm over a list of edges, then channel by channel along the
// tree.

#include <cambium/grid/grid.hpp>

#include <utility>
#include <vector>

namespace bench {

/// The edges of the minimum spanning tree of [C,H,W], as pairs of pixels.
std::vector<std::pair<int, int>> boruvka_tree(cambium::grid<float, 3> const& guide);

/// A tree in the order of its levels, the affinities of its edges, and the divisors.
struct plain_tree {
  std::vector<int> order, parent;  ///< pixels; the parent of each pixel
  std::vector<float> affinity, divisor;

  plain_tree(cambium::grid<float, 3> const& guide, float sigma);
  void filter(cambium::grid<float, 3> const& feature, cambium::grid<float, 3>& out) const;
  void back(cambium::grid<float, 3> const& slope, cambium::grid<float, 3>& out) const;

 private:
  void sums(std::vector<float>& values, std::vector<float>& room) const;
};

}  // namespace bench
