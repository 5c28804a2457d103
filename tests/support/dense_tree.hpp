#pragma once

#include <cambium/walk/tree_filter.hpp>

#include <cmath>
#include <functional>
#include <vector>

namespace support {

using cambium::grid;
using cambium::index_t;

/// The filter by walking every path of the tree. S is [G,V,V] by pixels.
struct dense_filter {
  index_t V, G;
  std::vector<double> S;

  double& at(index_t g, index_t i, index_t j) { return S[static_cast<std::size_t>((g * V + i) * V + j)]; }

  template <class T>
  dense_filter(grid<T, 3> const& guide, cambium::grid_tree const& tree, cambium::tree_filter_options const& o)
      : V(tree.nodes()), G(o.groups), S(static_cast<std::size_t>(G * V * V), 0)
  {
    index_t const W = tree.width, C = guide.shape()[0] / G;
    std::vector<std::vector<index_t>> near(static_cast<std::size_t>(V));
    for (index_t i = 1; i < V; ++i) {
      index_t const a = tree.order(i), b = tree.order(tree.parent(i));
      near[static_cast<std::size_t>(a)].push_back(b), near[static_cast<std::size_t>(b)].push_back(a);
    }
    for (index_t g = 0; g < G; ++g)
      for (index_t from = 0; from < V; ++from) {
        std::function<void(index_t, index_t, double)> const go = [&](index_t v, index_t before, double product) {
          at(g, from, v) = product;
          for (index_t const to : near[static_cast<std::size_t>(v)]) {
            if (to == before) continue;
            double squares = 0;
            for (index_t c = g * C; c < (g + 1) * C; ++c) {
              double const step =
                  static_cast<double>(guide(c, v / W, v % W)) - static_cast<double>(guide(c, to / W, to % W));
              squares += step * step;
            }
            go(to, v, product * std::exp(-squares / o.sigma));
          }
        };
        go(from, -1, 1);
      }
  }

  template <class T>
  grid<double, 3> operator()(grid<T, 3> const& feature)
  {
    auto const [C, H, W] = feature.shape();
    grid<double, 3> out(C, H, W);
    for (index_t c = 0; c < C; ++c)
      for (index_t v = 0; v < V; ++v) {
        double sum = 0, all = 0;
        for (index_t j = 0; j < V; ++j) {
          double const s = at(c / (C / G), v, j);
          sum += s * static_cast<double>(feature(c, j / W, j % W)), all += s;
        }
        out(c, v / W, v % W) = sum / all;
      }
    return out;
  }
};

}  // namespace support
