#pragma once

#include <cambium/grid/grid.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/grid/view.hpp>

namespace cambium {

/// The numbers that weights may be.
enum class weight_format {
  full,      ///< any number of their type
  bfloat16,  ///< numbers with 8 significant bits. Walks in float on a cpu then hold weights in 16 bits
};

/// One step of a random walk on an [H,W] grid whose edges are `edges`.
///
///   weight(k, y, x)       >= 0   weight of the edge from (y,x) to (y,x) + edges.at[k],
///                                0 where that edge leaves the grid
///   inverse_degree(y, x)  >  0   1 / (1 + sum of the weights of all edges at (y,x))
///
/// The self edge has weight 1 and is not stored.
template <class T, class Space = host>
struct transition_view {
  stencil edges;                              ///< K offsets
  stack_view<T const, Space> weight;          ///< [K,H,W]
  image_view<T const, Space> inverse_degree;  ///< [H,W]
  weight_format format = weight_format::full;
};

/// Owning counterpart of transition_view.
template <class T, class Space = host>
struct transition {
  using value_type = T;

  stencil edges;
  grid<T, 3, Space> weight;
  grid<T, 2, Space> inverse_degree;
  weight_format format = weight_format::full;

  transition_view<T, Space> view() const { return {edges, weight.view(), inverse_degree.view(), format}; }
};

template <class T, class Space>
transition_view<T, Space> as_transition(transition_view<T, Space> const& t)
{
  return t;
}
template <class T, class Space>
transition_view<T, Space> as_transition(transition<T, Space> const& t)
{
  return t.view();
}

/// A transition or a transition_view.
template <class A>
concept transition_like = requires(A const& a) { as_transition(a); };

}  // namespace cambium
