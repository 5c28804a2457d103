#pragma once

#include <cambium/grid/grid.hpp>

#include <cstdint>

namespace bench {

/// The second smallest eigenvalue of a normalised cut by a dense matrix and all of its eigenvectors, in double.
/// @param alike  [N,H,W] 1 where patches are alike
double eigen_normalised_cut(cambium::grid<std::uint8_t, 3> const& alike, double eps);

}  // namespace bench
