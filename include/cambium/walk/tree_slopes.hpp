#pragma once
// Slopes of a loss by a tree filter's affinities and by its guide.

#include <cambium/walk/tree_filter.hpp>

namespace cambium {

/// Go back through tree_filter, to the feature and to the affinities.
///
///   d loss / d affinity(v) = sum over i below v, j elsewhere of (a_i b_j + a_j b_i) S_ij / affinity(v),
///   with a = slope / divisor, b = feature, over the group's channels, and with a = -sum of slope * filtered / divisor,
///   b = 1, from the divisor
///
/// @param where        cpu
/// @param feature      [C,H,W] what was filtered, finite
/// @param filtered     [C,H,W] the filter's result
/// @param slope        [C,H,W] d loss / d filtered, finite
/// @param tree         the filter's
/// @param weights      the filter's
/// @param by_feature   [C,H,W] d loss / d feature
/// @param by_affinity  [G,H*W] d loss / d affinity of each node; 0 at the root
/// @param scratch      one call at a time; twice that of tree_filter
///
/// @throws       precondition_error before anything is written: shapes that differ, values that are not finite, a tree or
///               weights of another size, an output that overlaps an input or the other output
/// @complexity   Theta(C * H * W)
/// @determinism  the same bits on every run and for every number of threads
/// @source       as tree_filter. The original's low tree passes no gradient to its guide, its high tree does
template <stack_like A, stack_like F, stack_like B, stack_like O, gridded<2> E>
void tree_filter_slopes_into(cpu const& where, A const& feature, F const& filtered, B const& slope,
                             grid_tree const& tree, tree_weights<value_of<A, 3>> const& weights, O&& by_feature,
                             E&& by_affinity, tree_filter_scratch<value_of<A, 3>>& scratch)
{
  using T = value_of<A, 3>;
  stack_view<T const> const from = as_view<3>(feature, "tree_filter_slopes: feature");
  stack_view<T const> const done = as_view<3>(filtered, "tree_filter_slopes: filtered");
  stack_view<T const> const by = as_view<3>(slope, "tree_filter_slopes: slope");
  stack_view<T> const to = as_view<3>(by_feature, "tree_filter_slopes: by_feature");
  view<T, 2> const edges = as_view<2>(by_affinity, "tree_filter_slopes: by_affinity");
  index_t const C = from.extent[0], H = from.extent[1], W = from.extent[2];
  expects_tree(tree, H, W, "tree_filter_slopes");
  expects_weights(weights, tree, C, "tree_filter_slopes");
  expects(same_shape(from, done) && same_shape(from, by) && same_shape(from, to), "tree_filter_slopes: the feature is ",
          from, " but filtered is ", done, ", the slope is ", by, " and by_feature is ", to);
  expects(same_shape(edges, weights.affinity.view()), "tree_filter_slopes: by_affinity is ", edges,
          " but the affinities are ", weights.affinity.view());
  for (auto const& in : {from, done, by})
    expects(!overlap(in, to) && !overlap(in, edges), "tree_filter_slopes: an output overlaps an input");
  expects(!overlap(to, edges), "tree_filter_slopes: the outputs overlap");
  expects_finite(where, from, "tree_filter_slopes: feature");
  expects_finite(where, done, "tree_filter_slopes: filtered");
  expects_finite(where, by, "tree_filter_slopes: slope");

  index_t const G = weights.affinity.shape()[0], V = tree.nodes();
  constexpr int lanes = tree_lanes<T>;
  tree_blocks const blocks{C / G, G, lanes};
  index_t const items = blocks.count() + G;  // the last ones are the divisors'
  T* const cells = reserve(where, scratch.cells, blocks.count() * V * lanes + G * V);
  T* const others = reserve(where, scratch.others, blocks.count() * V * lanes + G * V);
  T* const slopes = reserve(where, scratch.slopes, items * V);
  isa const vectors = vectors_of(where);
  for_each_share(where, items, 1, [&](index_t begin, index_t end) {
    for (index_t item = begin; item < end; ++item) {
      std::fill_n(slopes + item * V, V, T(0));
      bool const divisor = item >= blocks.count();
      index_t const group = divisor ? item - blocks.count() : blocks.group(item);
      T const *const affinity = &weights.affinity(group, 0), *const inverse = &weights.inverse_divisor(group, 0);
      index_t const at = divisor ? blocks.count() * V * lanes + group * V : item * V * lanes;
      T *const a = cells + at, *const b = others + at;
      if (divisor) {
        std::fill_n(a, V, T(0)), std::fill_n(b, V, T(1));
        for (index_t c = group * (C / G); c < (group + 1) * (C / G); ++c)
          for (index_t y = 0; y < H; ++y)
            for (index_t x = 0; x < W; ++x) a[tree.place(y * W + x)] -= by(c, y, x) * done(c, y, x);
        for (index_t i = 0; i < V; ++i) a[i] *= inverse[i];
        for (T* const map : {a, b}) run_widest(vectors, rule::sum_upwards<T, 1>{&tree, affinity, map});
        run_widest(vectors, rule::slope_downwards<T, 1>{&tree, affinity, a, b, slopes + item * V});
        continue;
      }
      index_t const first = blocks.first(item);
      int const count = blocks.channels(item);
      run_widest(vectors, rule::take_block<T>{&tree, by, first, count, inverse, a});
      run_widest(vectors, rule::take_block<T>{&tree, from, first, count, nullptr, b});
      for (T* const map : {a, b}) run_widest(vectors, rule::sum_upwards<T, lanes>{&tree, affinity, map});
      run_widest(vectors, rule::slope_downwards<T, lanes>{&tree, affinity, a, b, slopes + item * V});
      run_widest(vectors, rule::give_block<T>{&tree, to, first, count, nullptr, a});
    }
  });
  for_each_share(where, G * V, 8192, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const group = at / V, node = at % V;
      T sum = slopes[(blocks.count() + group) * V + node];
      for (index_t b = group * blocks.per_group(); b < (group + 1) * blocks.per_group(); ++b)
        sum += slopes[b * V + node];
      edges(group, node) = sum;
    }
  });
}

/// Slopes of a loss through a tree filter.
template <class T>
struct tree_slopes {
  grid<T, 3> by_feature;   ///< [C,H,W]
  grid<T, 2> by_affinity;  ///< [G,H*W]
};

/// As tree_filter_slopes_into, and allocates the results.
template <stack_like A, stack_like F, stack_like B>
[[nodiscard]] auto tree_filter_slopes(cpu const& where, A const& feature, F const& filtered, B const& slope,
                                      grid_tree const& tree, tree_weights<value_of<A, 3>> const& weights)
{
  using T = value_of<A, 3>;
  tree_slopes<T> out{grid_like<T, host>(as_view<3>(feature, "tree_filter_slopes: feature")),
                     grid_like<T, host>(weights.affinity.view())};
  tree_filter_scratch<T> scratch;
  tree_filter_slopes_into(where, feature, filtered, slope, tree, weights, out.by_feature, out.by_affinity, scratch);
  return out;
}

/// Turn slopes by a tree's affinities into slopes by the guide that they were made of. The tree itself has no slope.
///
///   d affinity(v) / d guide(c,v) = -2 (guide(c,v) - guide(c,parent)) affinity(v) / sigma = -d affinity / d guide(c,parent)
///
/// @param where        cpu; channels run in parallel
/// @param guide        [C,H,W] that of make_tree_weights
/// @param tree         its tree
/// @param weights      what it made
/// @param options      what it made them with
/// @param by_affinity  [G,H*W] finite
/// @param out          [C,H,W] d loss / d guide
///
/// @throws       precondition_error before anything is written: shapes that differ, options out of range, an output that
///               overlaps an input
/// @complexity   Theta(C * H * W)
/// @determinism  the same bits on every run and for every number of threads
template <stack_like A, gridded<2> E, stack_like O>
void tree_guide_slopes_into(cpu const& where, A const& guide, grid_tree const& tree,
                            tree_weights<value_of<A, 3>> const& weights, tree_filter_options const& options,
                            E const& by_affinity, O&& out)
{
  using T = value_of<A, 3>;
  stack_view<T const> const g = as_view<3>(guide, "tree_guide_slopes: guide");
  view<T const, 2> const edges = as_view<2>(by_affinity, "tree_guide_slopes: by_affinity");
  stack_view<T> const to = as_view<3>(out, "tree_guide_slopes: out");
  index_t const C = g.extent[0], W = g.extent[2], G = weights.affinity.shape()[0];
  expects_tree(tree, g.extent[1], W, "tree_guide_slopes");
  expects_weights(weights, tree, C, "tree_guide_slopes");
  expects(options.groups == G, "tree_guide_slopes: groups is ", options.groups, " but the weights have ", G);
  expects_sigma<T>(options.sigma, "tree_guide_slopes");
  expects(same_shape(edges, weights.affinity.view()), "tree_guide_slopes: by_affinity is ", edges,
          " but the affinities are ", weights.affinity.view());
  expects(same_shape(g, to), "tree_guide_slopes: out is ", to, " but the guide is ", g);
  expects(!overlap(to, g) && !overlap(to, edges), "tree_guide_slopes: out overlaps an input");
  T const scale = static_cast<T>(-2 / options.sigma);
  for_each_share(where, C, 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      index_t const group = c / (C / G);
      for (index_t y = 0; y < g.extent[1]; ++y)
        for (index_t x = 0; x < W; ++x) to(c, y, x) = 0;
      for (index_t i = 1; i < tree.nodes(); ++i) {
        index_t const v = tree.order(i), p = tree.order(tree.parent(i));
        T const step = g(c, v / W, v % W) - g(c, p / W, p % W);
        T const part = scale * edges(group, i) * weights.affinity(group, i) * step;
        to(c, v / W, v % W) += part;
        to(c, p / W, p % W) -= part;
      }
    }
  });
}

/// As tree_guide_slopes_into, and allocates the result.
/// @return grid<T, 3> [C,H,W]
template <stack_like A, gridded<2> E>
[[nodiscard]] auto tree_guide_slopes(cpu const& where, A const& guide, grid_tree const& tree,
                                     tree_weights<value_of<A, 3>> const& weights, tree_filter_options const& options,
                                     E const& by_affinity)
{
  auto const g = as_view<3>(guide, "tree_guide_slopes: guide");
  auto out = grid_like<value_of<A, 3>, host>(g);
  tree_guide_slopes_into(where, g, tree, weights, options, by_affinity, out);
  return out;
}

}  // namespace cambium
