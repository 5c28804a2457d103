// Compiled, never linked: a policy and views of CUDA tensors.
#include <cambium/interop/torch_cuda.hpp>

cambium::gpu policy_and_view(at::Tensor const& logits, cambium::view<float const, 4, cambium::device>& cells)
{
  cells = cambium::tensor_view<float const, 4, cambium::device>(logits, "logits");
  return cambium::gpu_of(logits, "logits");
}
