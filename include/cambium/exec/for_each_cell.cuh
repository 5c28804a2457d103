#pragma once
// The GPU loops over cells. Their CPU siblings are in for_each_cell.hpp.

#include <cambium/core/index.hpp>
#include <cambium/exec/for_each_cell.hpp>
#include <cambium/exec/gpu.hpp>

namespace cambium {

namespace kernel {

// What may be larger than a launch walks in strides of it: rows, channels, indices.
template <class Rule>
__global__ void each_cell(index_t channels, index_t height, index_t width, Rule rule)
{
  index_t const x = index_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (x >= width) return;
  for (index_t c = blockIdx.z; c < channels; c += gridDim.z)
    for (index_t y = index_t{blockIdx.y} * blockDim.y + threadIdx.y; y < height; y += index_t{gridDim.y} * blockDim.y)
      rule(c, y, x);
}

template <class Rule>
__global__ void each_index(index_t count, Rule rule)
{
  for (index_t i = index_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += index_t{gridDim.x} * blockDim.x)
    rule(i);
}

}  // namespace kernel

/// As for_each_cell on the CPU; enqueues on where.stream and returns.
template <class Rule>
void for_each_cell(gpu const& where, index_t const (&extent)[3], Rule const& rule)
{
  static_assert(sizeof(Rule) <= 4000, "a rule travels to the kernel by value; 4 KB is the limit");
  if (extent[0] <= 0 || extent[1] <= 0 || extent[2] <= 0) return;
  auto const at_most = [](index_t n) { return static_cast<unsigned>(n < 65535 ? n : 65535); };
  dim3 const block(32, 8);
  dim3 const blocks(static_cast<unsigned>((extent[2] + 31) / 32), at_most((extent[1] + 7) / 8), at_most(extent[0]));
  kernel::each_cell<<<blocks, block, 0, where.stream>>>(extent[0], extent[1], extent[2], rule);
  throw_if_failed(cudaGetLastError(), "for_each_cell: launch");
}

/// As for_each_index on the CPU; enqueues on where.stream and returns.
template <class Rule>
void for_each_index(gpu const& where, index_t count, Rule const& rule)
{
  static_assert(sizeof(Rule) <= 4000, "a rule travels to the kernel by value; 4 KB is the limit");
  if (count <= 0) return;
  index_t const blocks = (count + 255) / 256;
  kernel::each_index<<<static_cast<unsigned>(blocks < 1 << 30 ? blocks : 1 << 30), 256, 0, where.stream>>>(count, rule);
  throw_if_failed(cudaGetLastError(), "for_each_index: launch");
}

}  // namespace cambium
