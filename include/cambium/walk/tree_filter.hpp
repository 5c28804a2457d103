#pragma once
// Averages along the paths of a spanning tree: two passes, whatever the number of pixels that count.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/walk/minimum_tree.hpp>
#include <cambium/walk/tree_blocks.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

namespace cambium {

struct tree_filter_options {
  double sigma = 0.02;  ///< > 0. The low tree's: 0.02 on VOC, 0.002 on Cityscapes; the original's high tree has 1
  int groups = 1;       ///< >= 1, divides the channels of the guide and of what is filtered
};

/// The affinities of a tree's edges, and what the sums along it are divided by, of each group.
template <class T>
struct tree_weights {
  grid<T, 2> affinity;         ///< [G,H*W] of the edge from each node to its parent, in [0,1]; 0 at the root
  grid<T, 2> inverse_divisor;  ///< [G,H*W] of each node, in (0,1]: 1 / the sum of its affinities to all nodes
};

/// Room for the filter. It grows to the largest call.
template <class T>
struct tree_filter_scratch {
  grid<T, 1> cells, others, slopes;
};

/// Throw unless a tree is one of this size. `name` begins the message.
inline void expects_tree(grid_tree const& tree, index_t H, index_t W, std::string const& name)
{
  expects(tree.height == H && tree.width == W, name, ": the tree is of an image [", tree.height, ",", tree.width,
          "], the map of one [", H, ",", W, "]");
  expects(H * W >= 1, name, ": the tree has no node");
  expects(tree.order.size() == H * W && tree.place.size() == H * W && tree.parent.size() == H * W, name,
          ": the tree's lists do not have one entry per pixel");
}

/// Throw unless sigma is above 0 and 2 / sigma a number of type T: 0 times an infinite factor would be NaN. `name` begins
/// the message.
template <class T>
void expects_sigma(double sigma, std::string const& name)
{
  expects(sigma > 0 && std::isfinite(sigma), name, ": sigma is ", sigma, "; expected a number above 0");
  expects(2 / sigma <= static_cast<double>(std::numeric_limits<T>::max()), name, ": sigma is ", sigma,
          "; its inverse is beyond the largest number");
}

/// Throw unless the weights belong to a tree of so many nodes. `name` begins the message.
template <class T>
void expects_weights(tree_weights<T> const& weights, grid_tree const& tree, index_t channels, std::string const& name)
{
  auto const [G, nodes] = weights.affinity.shape();
  expects(weights.affinity.shape() == weights.inverse_divisor.shape() && nodes == tree.nodes(), name,
          ": the weights are of ", nodes, " nodes, the tree has ", tree.nodes());
  expects(G >= 1 && channels % G == 0, name, ": ", channels, " channels cannot be divided into ", G, " groups");
}

/// Compute the affinities of a tree's edges and the divisors of the filter.
///
///   affinity(v) = exp(-sum over the group's channels of (guide(c,v) - guide(c,parent))^2 / sigma)
///   1 / inverse_divisor(v) = sum over all nodes j of S_vj,  S_vj = product of the affinities on the way from v to j
///
/// In float an affinity below e^-87 is 0.
///
/// @param where    cpu; see tree_filter
/// @param guide    [C,H,W] finite
/// @param tree     a tree of this size, usually minimum_tree of the guide
/// @param options  sigma = 0.02, groups = 1
/// @param out      its grids grow to [G,H*W]
///
/// @throws       precondition_error before anything is written: a guide that is not finite, a tree of another size, sigma
///               <= 0, groups that do not divide the channels
/// @complexity   Theta(C * H * W + G * H * W)
/// @determinism  the same bits on every run and for every number of threads
/// @source       as tree_filter
template <stack_like A>
void make_tree_weights_into(cpu const& where, A const& guide, grid_tree const& tree, tree_filter_options const& options,
                            tree_weights<value_of<A, 3>>& out)
{
  using T = value_of<A, 3>;
  auto const g = as_view<3>(guide, "make_tree_weights: guide");
  index_t const C = g.extent[0], W = g.extent[2], G = options.groups, V = g.extent[1] * W;
  expects_tree(tree, g.extent[1], W, "make_tree_weights");
  expects_sigma<T>(options.sigma, "make_tree_weights");
  expects(G >= 1 && C % G == 0, "make_tree_weights: ", C, " channels of the guide cannot be divided into ", G,
          " groups");
  expects_finite(where, g, "make_tree_weights: guide");
  if (out.affinity.shape() != std::array<index_t, 2>{G, V})
    out.affinity = make_grid<T>({G, V}), out.inverse_divisor = make_grid<T>({G, V});

  T const scale = static_cast<T>(-1 / options.sigma);
  for_each_share(where, g.extent[1], 1 + 8192 / (W * (C + 1)), [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        index_t const v = y * W + x, node = tree.place(v), step = tree.order(tree.parent(node)) - v;
        index_t const away = W > 1 && (step == 1 || step == -1) ? step : step < 0 ? -g.stride[1] : g.stride[1];
        for (index_t group = 0; group < G; ++group) {
          T squares = 0;
          for (index_t c = node == 0 ? C : group * (C / G); c < (group + 1) * (C / G); ++c) {
            T const* const here = &g(c, y, x);
            squares += (here[0] - here[away]) * (here[0] - here[away]);
          }
          out.affinity(group, node) = squares * scale;
        }
      }
  });
  isa const vectors = vectors_of(where);
  for_each_share(where, G, 1, [&](index_t begin, index_t end) {
    for (index_t group = begin; group < end; ++group) {
      T* const affinity = &out.affinity(group, 0);
      run_widest(vectors, rule::exponentiate<T>{V, affinity});
      affinity[0] = 0;
      T* const sum = &out.inverse_divisor(group, 0);
      std::fill_n(sum, V, T(1));
      run_widest(vectors, rule::sum_upwards<T, 1>{&tree, affinity, sum});
      run_widest(vectors, rule::sum_downwards<T, 1>{&tree, affinity, sum});
      for (index_t i = 0; i < V; ++i) sum[i] = 1 / sum[i];
    }
  });
}

/// As make_tree_weights_into, and allocates the result.
template <stack_like A>
[[nodiscard]] auto make_tree_weights(cpu const& where, A const& guide, grid_tree const& tree,
                                     tree_filter_options const& options = {})
{
  tree_weights<value_of<A, 3>> out;
  make_tree_weights_into(where, guide, tree, options, out);
  return out;
}

/// The channels of a map in blocks: which group a block is in, where it begins, how many channels it has.
struct tree_blocks {
  index_t group_channels, groups, lanes;

  index_t per_group() const { return (group_channels + lanes - 1) / lanes; }
  index_t count() const { return per_group() * groups; }
  index_t group(index_t block) const { return block / per_group(); }
  index_t first(index_t block) const { return group(block) * group_channels + block % per_group() * lanes; }
  int channels(index_t block) const
  {
    return static_cast<int>(std::min(lanes, group_channels - block % per_group() * lanes));
  }
};

/// Filter a map along a tree, or go back through the filter: the factor comes after the sums, or before them.
template <class T>
void filter_blocks(cpu const& where, stack_view<T const> from, grid_tree const& tree, tree_weights<T> const& weights,
                   bool back, stack_view<T> to, tree_filter_scratch<T>& scratch)
{
  index_t const G = weights.affinity.shape()[0], V = tree.nodes();
  constexpr index_t lanes = tree_lanes<T>;
  tree_blocks const blocks{from.extent[0] / G, G, lanes};
  T* const cells = reserve(where, scratch.cells, blocks.count() * V * lanes);
  isa const vectors = vectors_of(where);
  for_each_share(where, blocks.count(), 1, [&](index_t begin, index_t end) {
    for (index_t b = begin; b < end; ++b) {
      T const *const affinity = &weights.affinity(blocks.group(b), 0), *const inverse =
                                                                           &weights.inverse_divisor(blocks.group(b), 0);
      T* const block = cells + begin * V * lanes;  // one room for all blocks of a thread, so that it stays in cache
      index_t const first = blocks.first(b);
      int const count = blocks.channels(b);
      run_widest(vectors, rule::take_block<T>{&tree, from, first, count, back ? inverse : nullptr, block});
      run_widest(vectors, rule::sum_upwards<T, tree_lanes<T>>{&tree, affinity, block});
      run_widest(vectors, rule::sum_downwards<T, tree_lanes<T>>{&tree, affinity, block});
      run_widest(vectors, rule::give_block<T>{&tree, to, first, count, back ? nullptr : inverse, block});
    }
  });
}

/// What tree_filter_into and tree_filter_back_into share: the checks, then filter_blocks. `what` names the map in messages.
template <class T>
void filter_checked(cpu const& where, stack_view<T const> from, grid_tree const& tree, tree_weights<T> const& weights,
                    bool back, stack_view<T> to, tree_filter_scratch<T>& scratch, char const* who, char const* what)
{
  expects_tree(tree, from.extent[1], from.extent[2], who);
  expects_weights(weights, tree, from.extent[0], who);
  expects(same_shape(from, to), who, ": out is ", to, " but the ", what, " is ", from);
  expects(!overlap(from, to), who, ": ", what, " and out overlap");
  expects_finite(where, from, (std::string(who) + ": " + what).c_str());
  filter_blocks(where, from, tree, weights, back, to, scratch);
}

/// Smooth maps along a tree: every cell becomes the mean of all cells, weighted by the product of the affinities on the
/// way to them.
///
///   out(c,v) = sum over j of S_vj feature(c,j) / sum over j of S_vj
///
/// Two passes compute it: from the leaves to the root a node collects its subtree, from the root to the leaves it gets
/// the rest of the tree.
///
/// @param where    cpu: blocks of 8 channels (4 of double) run in parallel. The passes follow the tree node by node, so
///                 a device has no form of it
/// @param feature  [C,H,W] finite
/// @param tree     minimum_tree of the guide
/// @param weights  make_tree_weights of the guide and the tree; its groups divide C, and channels belong to groups in
///                 order
/// @param out      [C,H,W]
/// @param scratch  one call at a time; C rounded up to whole blocks times H*W cells
///
/// @throws       precondition_error before anything is written: shapes that differ, a feature that is not finite, a tree
///               or weights of another size, an output that overlaps the feature
/// @invariant    a constant map stays constant within rounding; every cell is between the smallest and the largest of its
///               map, within rounding
/// @complexity   Theta(C * H * W), whatever sigma is
/// @determinism  the same bits on every run and for every number of threads. Sums are in T: errors grow with the number
///               of cells that a cell averages, about 1e-6 of the largest value in float
/// @source       Song, Li, Li, Qi, Sun, Chen, Zheng, "Learnable Tree Filter for Structure-preserving Feature Transform",
///               NeurIPS 2019; Yang, "Stereo Matching Using Tree Filtering", PAMI 2015; kernels/lib_tree_filter of
///               megvii-research/TreeEnergyLoss, whose sums run on a device only
template <stack_like A, stack_like O>
void tree_filter_into(cpu const& where, A const& feature, grid_tree const& tree,
                      tree_weights<value_of<A, 3>> const& weights, O&& out,
                      tree_filter_scratch<value_of<A, 3>>& scratch)
{
  using T = value_of<A, 3>;
  filter_checked<T>(where, as_view<3>(feature, "tree_filter: feature"), tree, weights, false,
                    as_view<3>(out, "tree_filter: out"), scratch, "tree_filter", "feature");
}

/// As tree_filter_into, and allocates the result.
/// @return grid<T, 3> [C,H,W]
template <stack_like A>
[[nodiscard]] auto tree_filter(cpu const& where, A const& feature, grid_tree const& tree,
                               tree_weights<value_of<A, 3>> const& weights)
{
  using T = value_of<A, 3>;
  auto const from = as_view<3>(feature, "tree_filter: feature");
  auto out = grid_like<T, host>(from);
  tree_filter_scratch<T> scratch;
  tree_filter_into(where, from, tree, weights, out, scratch);
  return out;
}

/// Go back through tree_filter: from the slope of a loss by the filtered map to its slope by the feature.
///
///   out(c,j) = sum over v of S_vj * slope(c,v) / divisor(v)
///
/// @param where    cpu
/// @param slope    [C,H,W] d loss / d filtered, finite
/// @param tree     the filter's
/// @param weights  the filter's
/// @param out      [C,H,W] d loss / d feature
/// @param scratch  one call at a time
///
/// @throws       as tree_filter_into
/// @complexity   as tree_filter_into
/// @determinism  as tree_filter_into
template <stack_like A, stack_like O>
void tree_filter_back_into(cpu const& where, A const& slope, grid_tree const& tree,
                           tree_weights<value_of<A, 3>> const& weights, O&& out,
                           tree_filter_scratch<value_of<A, 3>>& scratch)
{
  using T = value_of<A, 3>;
  filter_checked<T>(where, as_view<3>(slope, "tree_filter_back: slope"), tree, weights, true,
                    as_view<3>(out, "tree_filter_back: out"), scratch, "tree_filter_back", "slope");
}

/// As tree_filter_back_into, and allocates the result.
/// @return grid<T, 3> [C,H,W]
template <stack_like A>
[[nodiscard]] auto tree_filter_back(cpu const& where, A const& slope, grid_tree const& tree,
                                    tree_weights<value_of<A, 3>> const& weights)
{
  using T = value_of<A, 3>;
  auto const from = as_view<3>(slope, "tree_filter_back: slope");
  auto out = grid_like<T, host>(from);
  tree_filter_scratch<T> scratch;
  tree_filter_back_into(where, from, tree, weights, out, scratch);
  return out;
}

}  // namespace cambium
