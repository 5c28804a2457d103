#pragma once
// The part of the program that runs on a CUDA device. on_gpu.cu is built with nvcc, on_gpu_none.cpp without it.

#include <cambium/affinity/colour_affinity.hpp>
#include <cambium/crf/dense_crf.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

/// Why no device can be used; "" if one can.
std::string why_no_gpu();

/// As cambium::irnet, on the current device. Maps are uploaded, labels are downloaded. Each thread has its own stream.
/// @throws cambium::gpu_error
cambium::irnet_labels<> irnet_on_gpu(cambium::irnet_input<float> const& maps, cambium::irnet_options const& options);

/// As cambium::refine_labels with these kernels, on the current device.
/// @param photograph  [H,W,3]
/// @param labels      [H,W] 0..L-1
/// @throws cambium::gpu_error, cambium::precondition_error
cambium::grid<std::int32_t, 2> refine_on_gpu(cambium::grid<std::uint8_t, 3> const& photograph,
                                             std::vector<cambium::pairwise> const& kernels,
                                             cambium::grid<std::int32_t, 2> const& labels, cambium::index_t L);

/// As cambium::adapt_labels with PAR's neighbours and steps, on the current device.
/// @param photograph  [H,W,3]
/// @param labels      [H,W] 0..L-1
/// @throws cambium::gpu_error, cambium::precondition_error
cambium::grid<std::int32_t, 2> adapt_on_gpu(cambium::grid<std::uint8_t, 3> const& photograph,
                                            cambium::colour_affinity_options const& colours,
                                            cambium::grid<std::int32_t, 2> const& labels, cambium::index_t L);

}  // namespace labelling
