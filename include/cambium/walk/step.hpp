#pragma once
// One step of a walk.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/transition.hpp>
#include <cambium/grid/view.hpp>

namespace cambium {

namespace rule {

/// The rule of all backends: a cell takes the weighted mean of itself and its neighbours. It is a gather, so it needs
/// no atomics and has a fixed order of sums.
template <class T, class S>
struct walk_step {
  transition_view<T, S> t;
  stack_view<T const, S> from;
  stack_view<T, S> to;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { to(c, y, x) = mean(c, y, x); }

  CAMBIUM_HD T mean(index_t c, index_t y, index_t x) const
  {
    index_t const height = from.extent[1], width = from.extent[2];
    T sum = 0;
    for (int k = 0; k < t.edges.size; ++k) {
      index_t const dy = t.edges.at[k].dy, dx = t.edges.at[k].dx;
      index_t const ay = y + dy, ax = x + dx;  // far end of the edge that this cell owns
      index_t const by = y - dy, bx = x - dx;  // owner of the edge that ends here
      if (ay < height && ax >= 0 && ax < width) sum += t.weight(k, y, x) * from(c, ay, ax);
      if (by >= 0 && bx >= 0 && bx < width) sum += t.weight(k, by, bx) * from(c, by, bx);
    }
    return (sum + from(c, y, x)) * t.inverse_degree(y, x);  // the self edge, of weight 1, comes last
  }
};

}  // namespace rule

/// The result of a step: mean * (weighted mean of the neighbourhood) + self * scores + before * out + seed * seeds.
/// The plain walk is {1, 0, 0, 0}.
template <class T>
struct step_form {
  T mean = 1;
  T self = 0;
  T before = 0;
  T seed = 0;
  bool plain = true;  ///< the other members are those of the plain walk
};

}  // namespace cambium
