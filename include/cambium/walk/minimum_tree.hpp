#pragma once
// The minimum spanning tree of an image: the paths between pixels on it go around strong edges.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/run_band.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// A spanning tree of the pixels of an image with 4 neighbours each. Its nodes are numbered so that a node's parent
/// comes before it.
struct grid_tree {
  index_t height = 0;
  index_t width = 0;
  grid<std::int32_t, 1> order;   ///< [H*W] the pixel y*W+x of each node; the root, node 0, is pixel 0
  grid<std::int32_t, 1> place;   ///< [H*W] the node of each pixel
  grid<std::int32_t, 1> parent;  ///< [H*W] each node's parent, a node; the root's is itself

  index_t nodes() const { return height * width; }
};

/// Room for minimum_tree. It grows to the largest call.
struct tree_scratch {
  grid<float, 1> guide;           ///< [C*H*W] of a guide that is not of float
  grid<std::uint32_t, 1> weight;  ///< [E] the bits of the edges' weights
  grid<std::uint64_t, 1> edges, sorted;
  disjoint_sets<std::int32_t> sets;
  grid<std::uint8_t, 1> links;
};

namespace rule {

/// The weights of the edges between two rows of an image, or between the cells of a row.
struct edge_weights {
  stack_view<float const> guide;
  index_t y, dy, dx, count;
  std::uint32_t* out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    index_t x = 0;
    for (; x + lanes <= count; x += lanes) {
      pack<float, lanes> sum{};
      for (index_t c = 0; c < guide.extent[0]; ++c) {
        pack<float, lanes> const step =
            lanes_at<lanes>(&guide(c, y, 0) + x).v - lanes_at<lanes>(&guide(c, y + dy, dx) + x).v;
        pack<float, lanes> square = step * step;
        no_contract(square);
        sum += square;
      }
      sum += 1.f;
      lanes_at<lanes>(out + x).v = (pack<std::uint32_t, lanes>)sum;
    }
    for (; x < count; ++x) {
      float sum = 0;
      for (index_t c = 0; c < guide.extent[0]; ++c) {
        float const step = guide(c, y, x) - guide(c, y + dy, x + dx);
        float square = step * step;
        no_contract(square);
        sum += square;
      }
      sum += 1.f;
      out[x] = std::bit_cast<std::uint32_t>(sum);
    }
  }
};

}  // namespace rule

/// Find the minimum spanning tree of a guide image.
///
///   weight of an edge = 1 + sum over channels of (guide(c,u) - guide(c,v))^2, in float, rounded after every operation
///
/// Of equal weights the edge with the lower number is lighter. First come the vertical edges (y,x)-(y+1,x) row by row,
/// then the horizontal edges (y,x)-(y,x+1) row by row. So the tree is unique. The addition of 1 makes weights equal that
/// differ by less than about 6e-8.
///
/// @param where    cpu: edges are weighed in parallel, the tree is grown on one thread. A device has no form of it
/// @param guide    [C,H,W] finite, C >= 0, H*W >= 1; of double it is rounded to float
/// @param out      its grids grow to H*W
/// @param scratch  one call at a time
///
/// @throws       precondition_error before anything is written: a guide that is not finite, or beyond the range of float,
///               without a cell, or with 2^30 cells and more
/// @invariant    every node but the root has one parent, which is its neighbour on the image; no path between two cells
///               has a smaller largest weight than the tree's
/// @complexity   Theta(C * H * W) for the weights, Theta(H * W) for the sort, about Theta(H * W) for the tree; 45 bytes a
///               cell
/// @determinism  exact: the same tree on every run, for every number of threads and every instruction set
/// @source       Kruskal 1956, with a radix sort. The tree is that of Boruvka's algorithm in kernels/lib_tree_filter of
///               megvii-research/TreeEnergyLoss, whose ties go to the lower number too
template <stack_like A>
void minimum_tree_into(cpu const& where, A const& guide, grid_tree& out, tree_scratch& scratch)
{
  using T = value_of<A, 3>;
  auto g = as_view<3>(guide, "minimum_tree: guide");
  index_t const C = g.extent[0], H = g.extent[1], W = g.extent[2];
  expects(H * W >= 1, "minimum_tree: the guide is ", g, ", without a cell");
  expects(H < (index_t{1} << 30) && W < (index_t{1} << 30) && H * W < (index_t{1} << 30), "minimum_tree: the guide is ",
          g, "; at most 2^30 - 1 cells have numbers");
  expects_finite(where, g, "minimum_tree: guide");
  if constexpr (!std::is_same_v<T, float>) {
    T const most = static_cast<T>(std::numeric_limits<float>::max());
    expects_inside(where, g, -most, most, "minimum_tree: guide", "a number in the range of float");
  }
  stack_view<float const> of;
  if constexpr (std::is_same_v<T, float>) {
    of = g;
  } else {
    float* const single = reserve(where, scratch.guide, C * H * W);
    for (index_t c = 0; c < C; ++c)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) single[(c * H + y) * W + x] = static_cast<float>(g(c, y, x));
    of = {single, {C, H, W}};
  }

  index_t const V = H * W, down = (H - 1) * W, E = down + H * (W - 1);
  std::uint32_t* const weight = reserve(where, scratch.weight, E);
  isa const vectors = vectors_of(where);
  for_each_share(where, H, 1 + 16384 / (W * (C + 1)), [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y) {
      if (y + 1 < H) run_widest(vectors, rule::edge_weights{of, y, 1, 0, W, weight + y * W});
      run_widest(vectors, rule::edge_weights{of, y, 0, 1, W - 1, weight + down + y * (W - 1)});
    }
  });

  // Sort by weight. An entry is the weight above one, the pixel, and whether the edge goes to the right.
  constexpr std::uint32_t one = 0x3f800000;
  std::uint64_t* edges = reserve(where, scratch.edges, E);
  std::uint64_t* sorted = reserve(where, scratch.sorted, E);
  std::uint32_t all = 0;
  for (index_t i = 0; i < down; ++i) {
    std::uint32_t const key = weight[i] - one;
    all |= key;
    edges[i] = std::uint64_t{key} << 32 | static_cast<std::uint64_t>(i) << 1;
  }
  for (index_t y = 0, i = down; y < H; ++y)
    for (index_t x = 0; x < W - 1; ++x, ++i) {
      std::uint32_t const key = weight[i] - one;
      all |= key;
      edges[i] = std::uint64_t{key} << 32 | static_cast<std::uint64_t>(y * W + x) << 1 | 1u;
    }
  int const key_bits = static_cast<int>(std::bit_width(all)), passes = (key_bits + 10) / 11;
  int const digit = passes > 0 ? (key_bits + passes - 1) / passes : 0;
  std::int32_t next[1 << 11];
  for (int pass = 0; pass < passes; ++pass) {
    ask_to_stop(where);
    int const shift = 32 + pass * digit;
    std::uint64_t const mask = (std::uint64_t{1} << digit) - 1;
    std::fill_n(next, std::size_t{1} << digit, 0);
    for (index_t i = 0; i < E; ++i) ++next[edges[i] >> shift & mask];
    std::int32_t before = 0;
    for (std::uint64_t d = 0; d <= mask; ++d) {
      std::int32_t const here = next[d];
      next[d] = before, before += here;
    }
    for (index_t i = 0; i < E; ++i) sorted[next[edges[i] >> shift & mask]++] = edges[i];
    std::swap(edges, sorted);
  }

  // Join. A pixel's links are bits: up, left, right, down.
  ask_to_stop(where);
  auto& sets = scratch.sets;
  std::int32_t* const first = sets.extend(V);
  std::uint8_t* const links = reserve(where, scratch.links, V);
  for (index_t v = 0; v < V; ++v) first[v] = static_cast<std::int32_t>(v), links[v] = 0;
  for (index_t i = 0, joined = 1; joined < V; ++i) {
    auto const entry = static_cast<std::uint32_t>(edges[i]);
    auto const u = static_cast<std::int32_t>(entry >> 1);
    bool const right = (entry & 1u) != 0;
    std::int32_t const v = u + (right ? 1 : static_cast<std::int32_t>(W));
    std::int32_t const a = sets.find(u), b = sets.find(v);
    if (a == b) continue;
    first[std::max(a, b)] = std::min(a, b);
    links[u] |= right ? 4 : 8, links[v] |= right ? 2 : 1;
    ++joined;
  }

  // Number the nodes in the order of their distance from the root.
  ask_to_stop(where);
  out.height = H, out.width = W;
  for (auto* const list : {&out.order, &out.place, &out.parent})
    if (list->size() != V) *list = make_grid<std::int32_t>({V});
  std::int32_t *const order = out.order.data(), *const place = out.place.data(), *const parent = out.parent.data();
  std::int32_t const step[] = {-static_cast<std::int32_t>(W), -1, 1, static_cast<std::int32_t>(W)};
  order[0] = 0, place[0] = 0, parent[0] = 0;
  for (std::int32_t at = 0, known = 1; at < static_cast<std::int32_t>(V); ++at) {
    std::int32_t const v = order[at];
    for (unsigned left = links[v]; left != 0; left &= left - 1) {
      int const way = std::countr_zero(left);
      std::int32_t const to = v + step[way];
      links[to] = static_cast<std::uint8_t>(links[to] & ~(8u >> way));
      order[known] = to, place[to] = known, parent[known] = at;
      ++known;
    }
  }
}

/// As minimum_tree_into, and allocates the result.
template <stack_like A>
[[nodiscard]] grid_tree minimum_tree(cpu const& where, A const& guide)
{
  grid_tree out;
  tree_scratch scratch;
  minimum_tree_into(where, guide, out, scratch);
  return out;
}

}  // namespace cambium
