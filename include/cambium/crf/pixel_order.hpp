#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>

#include <algorithm>

namespace cambium {

/// The order in which a CRF holds pixels: squares of 32x32, row by row inside and outside. Neighbours in it are
/// neighbours in the image both ways, so that they share lattice points, which stay in a cache.
struct pixel_order {
  static constexpr index_t side = 32;
  extent2 size;

  /// Where pixel (y,x) stands.
  CAMBIUM_HD index_t operator()(index_t y, index_t x) const
  {
    index_t const top = y / side * side, left = x / side * side;
    index_t const height = size.height - top < side ? size.height - top : side;
    index_t const width = size.width - left < side ? size.width - left : side;
    return top * size.width + left * height + (y - top) * width + x - left;
  }
  /// Where pixel i stands, counted row by row.
  CAMBIUM_HD index_t operator()(index_t i) const { return (*this)(i / size.width, i % size.width); }
};

namespace rule {

/// A rule of ordered pixels as one of cells.
template <class Rule>
struct order_cells {
  pixel_order order;
  Rule rule;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { rule(c, y, x, order(y, x)); }
};

}  // namespace rule

/// Call rule(c, y, x, order(y, x)) for `layers` values c of all pixels, in unspecified order.
template <class P, class Rule>
void for_each_pixel(P const& where, pixel_order order, index_t layers, Rule const& rule)
{
  for_each_cell(where, {layers, order.size.height, order.size.width}, rule::order_cells<Rule>{order, rule});
}
/// Call body(top, left, bottom, right, the place of its first pixel) for every square, on the cpu.
template <class Body>
void for_each_square(cpu const& where, pixel_order order, index_t layers, Body const& body)
{
  constexpr index_t side = pixel_order::side;
  auto const [height, width] = order.size;
  index_t const columns = (width + side - 1) / side, squares = columns * ((height + side - 1) / side);
  for_each_share(where, squares,
                 std::max<index_t>(1, cells_worth_a_thread / (side * side * std::max<index_t>(layers, 1))),
                 [&, height = height, width = width](index_t begin, index_t end) {
                   Body const own = body;
                   for (index_t s = begin; s < end; ++s) {
                     index_t const top = s / columns * side, left = s % columns * side;
                     own(top, left, std::min(height, top + side), std::min(width, left + side), order(top, left));
                   }
                 });
}

/// The cpu's goes square by square.
template <class Rule>
void for_each_pixel(cpu const& where, pixel_order order, index_t layers, Rule const& rule)
{
  for_each_square(where, order, layers,
                  [rule, layers](index_t top, index_t left, index_t bottom, index_t right, index_t first) {
                    for (index_t c = 0; c < layers; ++c)
                      for (index_t y = top, at = first; y < bottom; ++y)
                        for (index_t x = left; x < right; ++x, ++at) rule(c, y, x, at);
                  });
}

}  // namespace cambium
