#pragma once
// The part of the program that a CUDA device does. on_gpu.cu where nvcc is, on_gpu_none.cpp elsewhere.

#include <cambium/crf/dense_crf.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

/// Why nothing can be done on a device; "" where it can.
std::string why_no_gpu();

/// As cambium::irnet, on the current device: maps go there, labels come back. Each thread has a stream of its own.
/// @throws cambium::gpu_error
cambium::irnet_labels irnet_on_gpu(cambium::irnet_input<float> const& maps, cambium::irnet_options const& options);

/// As cambium::refine_labels with these kernels, on the current device.
/// @param photograph  [H,W,3]
/// @param labels      [H,W] 0..L-1
/// @throws cambium::gpu_error, cambium::precondition_error
cambium::grid<std::int32_t, 2> refine_on_gpu(cambium::grid<std::uint8_t, 3> const& photograph,
                                             std::vector<cambium::pairwise> const& kernels,
                                             cambium::grid<std::int32_t, 2> const& labels, cambium::index_t L);

}  // namespace labelling
