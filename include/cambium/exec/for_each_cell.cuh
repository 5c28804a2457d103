#pragma once
// The GPU loop over cells. Its CPU sibling is for_each_cell.hpp.

#include <cambium/exec/for_each_cell.hpp>
#include <cambium/exec/gpu.hpp>

namespace cambium {

namespace kernel {

template <class Rule>
__global__ void each_cell(index_t height, index_t width, Rule rule)
{
  index_t const x = index_t{blockIdx.x} * blockDim.x + threadIdx.x;
  // y walks in strides of the grid, so that a map of any height needs no more blocks than there may be
  for (index_t y = index_t{blockIdx.y} * blockDim.y + threadIdx.y; y < height; y += index_t{gridDim.y} * blockDim.y)
    if (x < width) rule(index_t{blockIdx.z}, y, x);
}

}  // namespace kernel

/// As for_each_cell on the CPU; enqueues on where.stream and returns. At most 65,535 channels.
template <class Rule>
void for_each_cell(gpu const& where, index_t const (&extent)[3], Rule const& rule)
{
  static_assert(sizeof(Rule) <= 4000, "a rule travels to the kernel by value; 4 KB is the limit");
  if (extent[0] <= 0 || extent[1] <= 0 || extent[2] <= 0) return;
  expects(extent[0] <= 65535, "for_each_cell: ", extent[0], " channels; a launch takes at most 65535");
  index_t const rows = (extent[1] + 7) / 8;
  dim3 const block(32, 8);
  dim3 const blocks(static_cast<unsigned>((extent[2] + 31) / 32), static_cast<unsigned>(rows < 65535 ? rows : 65535),
                    static_cast<unsigned>(extent[0]));
  kernel::each_cell<<<blocks, block, 0, where.stream>>>(extent[1], extent[2], rule);
  throw_if_failed(cudaGetLastError(), "for_each_cell: launch");
}

}  // namespace cambium
