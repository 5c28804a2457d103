#include "tree_baseline.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace bench {

namespace {

struct edge {
  int from, to;
  float weight;
};

int root_of(std::vector<int>& set, int v)
{
  auto const at = [&](int i) -> int& { return set[static_cast<std::size_t>(i)]; };
  if (at(v) != v) at(v) = root_of(set, at(v));
  return at(v);
}

float squares_between(cambium::grid<float, 3> const& guide, int a, int b)
{
  auto const [C, H, W] = guide.shape();
  float sum = 0;
  for (cambium::index_t c = 0; c < C; ++c) {
    float const step = guide(c, a / W, a % W) - guide(c, b / W, b % W);
    sum += step * step;
  }
  return sum;
}

}  // namespace

std::vector<std::pair<int, int>> boruvka_tree(cambium::grid<float, 3> const& guide)
{
  int const H = static_cast<int>(guide.shape()[1]), W = static_cast<int>(guide.shape()[2]), V = H * W;
  std::vector<edge> edges;
  edges.reserve(static_cast<std::size_t>(2 * V));
  for (int y = 0; y + 1 < H; ++y)
    for (int x = 0; x < W; ++x)
      edges.push_back({y * W + x, y * W + x + W, squares_between(guide, y * W + x, y * W + x + W) + 1});
  for (int y = 0; y < H; ++y)
    for (int x = 0; x + 1 < W; ++x)
      edges.push_back({y * W + x, y * W + x + 1, squares_between(guide, y * W + x, y * W + x + 1) + 1});

  std::vector<int> set(static_cast<std::size_t>(V)), rank(static_cast<std::size_t>(V), 0),
      cheapest(static_cast<std::size_t>(V));
  for (int v = 0; v < V; ++v) set[static_cast<std::size_t>(v)] = v;
  std::vector<std::pair<int, int>> tree;
  for (int sets = V; sets > 1;) {
    std::fill(cheapest.begin(), cheapest.end(), -1);
    for (std::size_t i = 0; i < edges.size(); ++i) {
      int const a = root_of(set, edges[i].from), b = root_of(set, edges[i].to);
      if (a == b) continue;
      for (int const s : {a, b}) {
        int& best = cheapest[static_cast<std::size_t>(s)];
        if (best < 0 || edges[i].weight < edges[static_cast<std::size_t>(best)].weight) best = static_cast<int>(i);
      }
    }
    for (int v = 0; v < V; ++v) {
      if (cheapest[static_cast<std::size_t>(v)] < 0) continue;
      edge const& e = edges[static_cast<std::size_t>(cheapest[static_cast<std::size_t>(v)])];
      int a = root_of(set, e.from), b = root_of(set, e.to);
      if (a == b) continue;
      tree.push_back({e.from, e.to});
      if (rank[static_cast<std::size_t>(a)] < rank[static_cast<std::size_t>(b)]) std::swap(a, b);
      set[static_cast<std::size_t>(b)] = a;
      if (rank[static_cast<std::size_t>(a)] == rank[static_cast<std::size_t>(b)]) ++rank[static_cast<std::size_t>(a)];
      --sets;
    }
  }
  return tree;
}

plain_tree::plain_tree(cambium::grid<float, 3> const& guide, float sigma)
{
  auto const V = static_cast<std::size_t>(guide.shape()[1] * guide.shape()[2]);
  std::vector<std::vector<int>> near(V);
  for (auto const& [a, b] : boruvka_tree(guide)) {
    near[static_cast<std::size_t>(a)].push_back(b);
    near[static_cast<std::size_t>(b)].push_back(a);
  }
  parent.assign(V, -1), affinity.assign(V, 0);
  order.reserve(V);
  order.push_back(0);
  for (std::size_t i = 0; i < order.size(); ++i)
    for (int const to : near[static_cast<std::size_t>(order[i])]) {
      if (to == parent[static_cast<std::size_t>(order[i])]) continue;
      parent[static_cast<std::size_t>(to)] = order[i];
      affinity[static_cast<std::size_t>(to)] = std::exp(-squares_between(guide, to, order[i]) / sigma);
      order.push_back(to);
    }
  divisor.assign(V, 1);
  std::vector<float> room(V);
  sums(divisor, room);
}

void plain_tree::sums(std::vector<float>& values, std::vector<float>& room) const
{
  room = values;
  for (std::size_t i = order.size() - 1; i > 0; --i) {
    auto const v = static_cast<std::size_t>(order[i]);
    room[static_cast<std::size_t>(parent[v])] += affinity[v] * room[v];
  }
  values[0] = room[0];
  for (std::size_t i = 1; i < order.size(); ++i) {
    auto const v = static_cast<std::size_t>(order[i]);
    values[v] = room[v] * (1 - affinity[v] * affinity[v]) + affinity[v] * values[static_cast<std::size_t>(parent[v])];
  }
}

void plain_tree::filter(cambium::grid<float, 3> const& feature, cambium::grid<float, 3>& out) const
{
  std::vector<float> values(order.size()), room(order.size());
  auto const V = static_cast<cambium::index_t>(order.size());
  for (cambium::index_t c = 0; c < feature.shape()[0]; ++c) {
    std::copy_n(feature.data() + c * V, V, values.begin());
    sums(values, room);
    for (std::size_t v = 0; v < order.size(); ++v)
      out.data()[c * V + static_cast<cambium::index_t>(v)] = values[v] / divisor[v];
  }
}

void plain_tree::back(cambium::grid<float, 3> const& slope, cambium::grid<float, 3>& out) const
{
  std::vector<float> values(order.size()), room(order.size());
  auto const V = static_cast<cambium::index_t>(order.size());
  for (cambium::index_t c = 0; c < slope.shape()[0]; ++c) {
    for (std::size_t v = 0; v < order.size(); ++v)
      values[v] = slope.data()[c * V + static_cast<cambium::index_t>(v)] / divisor[v];
    sums(values, room);
    std::copy_n(values.begin(), V, out.data() + c * V);
  }
}

}  // namespace bench
