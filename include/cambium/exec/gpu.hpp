#pragma once
// Plain C++: a .cpp may hold a gpu policy; only the algorithms behind *.cuh need nvcc.

#include <cambium/core/error.hpp>
#include <cambium/core/memory.hpp>

#include <cuda_runtime_api.h>

#include <string>

namespace cambium {

/// Run on the current CUDA device, ordered after prior work on `stream`.
struct gpu {
  using memory = device;
  cudaStream_t stream = nullptr;  ///< not owned; must outlive the enqueued work
};

template <>
inline constexpr bool reaches_v<gpu, device> = true;

/// Throws gpu_error("what: the runtime's text") unless the call succeeded.
inline void throw_if_failed(cudaError_t code, char const* what)
{
  if (code != cudaSuccess) throw gpu_error(std::string(what) + ": " + cudaGetErrorString(code));
}

/// How many CUDA devices are usable. 0 without a driver (cudaErrorInsufficientDriver) or without a card.
inline int device_count() noexcept
{
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace cambium
