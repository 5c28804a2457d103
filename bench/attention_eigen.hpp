#pragma once
// CLIP-ES' affinity from attention as its authors formulated it, with Eigen: whole matrices, each step writes one.

#include <cambium/grid/grid.hpp>

namespace bench {

/// Columns, then rows, are divided by their sums `rounds` times; the mean with the transpose is squared.
void eigen_attention_affinity(cambium::grid<float, 2> const& weight, int rounds, cambium::grid<float, 2>& out);

}  // namespace bench
