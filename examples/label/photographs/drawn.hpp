#pragma once
// Weak labels that are drawn from the truth by a rule, in place of a person.

#include "truth.hpp"

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/points.hpp>

#include <cstdint>
#include <vector>

namespace labelling {

/// An object of the truth.
struct true_object {
  std::int32_t id = 0;        ///< in the map of instances
  std::int32_t category = 0;  ///< 0-based class of most of its pixels
  cambium::box bounds;
  double y = 0, x = 0;  ///< centroid
};

/// The objects that have a class, by id.
[[nodiscard]] std::vector<true_object> objects_of(truth const& is);

/// One point an object: its pixel nearest to its centroid, of equal ones the first in raster order.
[[nodiscard]] cambium::points centre_points(truth const& is, std::vector<true_object> const& objects);

/// A scribble an object, and one of the background: the pixels that lie at least half as deep in their region as its
/// deepest pixel, and at least as deep as their eight neighbours in it. Depth is the chessboard distance to the next
/// pixel that is not of the region; beyond the image there is none. Void is no region.
/// @return [H,W] place of the object + 1, their number + 1 for the background, 0 unmarked
[[nodiscard]] cambium::grid<std::int32_t, 2> scribbles(truth const& is, std::vector<true_object> const& objects);

/// The same by another rule: the skeletons of the components of these regions, with all their branches.
[[nodiscard]] cambium::grid<std::int32_t, 2> skeletons(cambium::cpu const& where, truth const& is,
                                                       std::vector<true_object> const& objects);

}  // namespace labelling
