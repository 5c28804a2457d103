#pragma once
// What BoxInst's losses are measured on: 64 instances of one photograph at a quarter of 800 x 1216.

#include "measure.hpp"

#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/pairwise.hpp>

namespace bench {

struct box_batch {
  grid<float, 3> logits{64, 200, 304};
  grid<float, 3> lab{3, 200, 304};
  grid<std::uint8_t, 2> counts{200, 304};
  grid<cambium::boxed_instance, 1> instances{64};
};

/// @param whole  every box is the whole map; otherwise boxes are of all sizes, a fifth of the map on average
box_batch boxed_batch(bool whole);

}  // namespace bench
