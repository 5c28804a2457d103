#pragma once

#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"

namespace support {

/// Check a gradient against central differences.
///
/// @param at     what the loss depends on; the same afterwards
/// @param loss   loss() of `at` as it stands, with value and gradient
/// @param every  look at every so many cells
template <class Loss>
void check_slopes(cambium::grid<double, 4>& at, Loss const& loss, double relative, cambium::index_t every = 1)
{
  auto const have = loss();
  for (cambium::index_t i = 0; i < at.size(); i += every) {
    double& v = at.data()[i];
    double const here = v, step = 1e-5;
    v = here + step;
    double const high = loss().value;
    v = here - step;
    double const low = loss().value;
    v = here;
    CHECK(have.gradient.data()[i] == Approx((high - low) / (2 * step)).margin(1e-8).epsilon(relative));
  }
}

}  // namespace support
