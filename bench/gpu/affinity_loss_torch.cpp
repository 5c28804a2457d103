// IRNet's loss in LibTorch on the card, as its authors formulated it.

#include "../affinity_loss_torch.hpp"  // first: LibTorch defines macros with common names

#include "measure.cuh"

#include <stdexcept>

namespace bench {

torch_loss_cost affinity_loss_in_torch(float const* logits, float const* field, std::int32_t const* labels,
                                       index_t batch, index_t height, index_t width)
{
  if (!torch::cuda::is_available()) throw std::runtime_error("this LibTorch has no CUDA");
  auto const there = torch::Device(torch::kCUDA, 0);
  auto const on_card = [&](void const* data, torch::IntArrayRef shape, torch::Dtype type) {
    return torch::from_blob(const_cast<void*>(data), shape, torch::TensorOptions(type).device(there));
  };
  auto const b = on_card(logits, {batch, height, width}, torch::kFloat).requires_grad_();
  auto const f = on_card(field, {batch, 2, height, width}, torch::kFloat).requires_grad_();
  auto const l = on_card(labels, {batch, height, width}, torch::kInt);
  auto const free_bytes = [] {
    std::size_t free = 0, all = 0;
    throw_if_failed(cudaDeviceSynchronize(), "device");
    throw_if_failed(cudaMemGetInfo(&free, &all), "memory");
    return static_cast<double>(free);
  };

  torch_loss_cost out;
  double const before = free_bytes();
  path_tables const tables(height, width, there);
  auto const once = [&] { return affinity_loss_of(tables, b, f, pair_masks(tables, l)); };
  out.total = once().total.item<double>();
  out.megabytes = 1e-6 * (before - free_bytes());  // its allocator keeps what it took
  cambium::gpu const where;                        // LibTorch's current stream is the same one
  out.ms = median_ms(where, [&] { (void)once(); }, 5);
  return out;
}

}  // namespace bench
