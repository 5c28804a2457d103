#pragma once
// The part of the program that a CUDA device does. on_gpu.cu where nvcc is, on_gpu_none.cpp elsewhere.

#include <cambium/pipeline/irnet.hpp>

#include <string>

namespace labelling {

/// Why nothing can be done on a device; "" where it can.
std::string why_no_gpu();

/// As cambium::irnet, on the current device: maps go there, labels come back. Each thread has a stream of its own.
/// @throws cambium::gpu_error
cambium::irnet_labels irnet_on_gpu(cambium::irnet_input<float> const& maps, cambium::irnet_options const& options);

}  // namespace labelling
