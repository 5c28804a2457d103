#pragma once
// LibTorch's CUDA tensors: a policy for work on them. Plain C++. It needs a LibTorch that was built with CUDA.
//
//   gpu const where = gpu_of(logits);                                     // the current stream, LibTorch's memory
//   at::Tensor by_logits = at::empty_like(logits), value = at::empty({}, logits.options().dtype(at::kDouble));
//   some_loss_into(where, tensor_view<float const, 4, device>(logits), ..., tensor_view<float, 4, device>(by_logits));
//
// The stream orders this work with LibTorch's own. Nothing waits, nothing is copied.

#include <cambium/core/error.hpp>
#include <cambium/exec/gpu.hpp>
#include <cambium/interop/torch.hpp>

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstddef>
#include <string>

namespace cambium {

/// Device memory from LibTorch's caching allocator. So cambium and LibTorch do not keep two pools.
class torch_resource final : public device_resource {
 public:
  void* allocate(std::size_t bytes, cudaStream_t stream) override
  {
    try {
      return c10::cuda::CUDACachingAllocator::raw_alloc_with_stream(bytes, stream);
    } catch (c10::Error const& e) {
      throw gpu_error(std::string("LibTorch\'s allocator: ") + e.what_without_backtrace());
    }
  }
  void release(void* memory, std::size_t, cudaStream_t) noexcept override
  {
    c10::cuda::CUDACachingAllocator::raw_delete(memory);
  }
};

/// LibTorch's allocator, used by all policies of gpu_of.
inline device_resource& libtorch_memory()
{
  static torch_resource resource;
  return resource;
}

/// The policy for work on a tensor: its device's current stream, and LibTorch's memory.
/// @throws precondition_error: an undefined tensor, a tensor that is not on the current CUDA device
[[nodiscard]] inline gpu gpu_of(at::Tensor const& tensor, std::string const& what = "tensor")
{
  expects(tensor.defined() && tensor.is_cuda(), what, " is ", described(tensor),
          "; expected a tensor on a CUDA device");
  auto const on = tensor.device().index(), current = c10::cuda::current_device();
  expects(on == current, what, " is ", described(tensor), " but the current device is ", static_cast<int>(current),
          "; set c10::cuda::CUDAGuard");
  return gpu{c10::cuda::getCurrentCUDAStream(on).stream(), &libtorch_memory()};
}

}  // namespace cambium
