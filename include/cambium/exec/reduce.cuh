#pragma once
// Many sums at once on a device. The host's sibling is reduce.hpp; both sum in the same order.

#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/workspace.cuh>

namespace cambium {

namespace kernel {

/// Chunk blockIdx.x of each row, as reduce_one_chunk.
template <class A, class Value, class Op>
__global__ void __launch_bounds__(reduce_lanes)
    reduce_chunks(index_t rows, index_t length, Value value, A identity, Op op, A* out)
{
  __shared__ alignas(A) unsigned char memory[reduce_lanes * sizeof(A)];
  A* const lane = reinterpret_cast<A*>(memory);
  int const l = static_cast<int>(threadIdx.x);
  index_t const begin = index_t{blockIdx.x} * reduce_chunk;
  index_t const end = begin + reduce_chunk < length ? begin + reduce_chunk : length;
  for (index_t row = blockIdx.y; row < rows; row += gridDim.y) {
    A sum = identity;
    for (index_t i = begin + l; i < end; i += reduce_lanes) sum = op(sum, value(row, i));
    lane[l] = sum;
    __syncthreads();
    for (int half = static_cast<int>(reduce_lanes) / 2; half > 0; half /= 2) {
      if (l < half) lane[l] = op(lane[l], lane[l + half]);
      __syncthreads();
    }
    if (l == 0) out[row * gridDim.x + blockIdx.x] = lane[0];
    __syncthreads();
  }
}

/// Results of an earlier round, as values of the next.
template <class A>
struct partial_sums {
  A const* at;
  index_t per_row;
  CAMBIUM_HD A operator()(index_t row, index_t i) const { return at[row * per_row + i]; }
};

template <class A, class Value, class Op>
void launch_reduce(gpu const& where, index_t rows, index_t length, Value const& value, A identity, Op const& op, A* out)
{
  index_t const chunks = chunks_of(length);
  dim3 const blocks(static_cast<unsigned>(chunks), static_cast<unsigned>(rows < 65535 ? rows : 65535));
  reduce_chunks<<<blocks, static_cast<unsigned>(reduce_lanes), 0, where.stream>>>(rows, length, value, identity, op,
                                                                                  out);
  throw_if_failed(cudaGetLastError(), "reduce_rows: launch");
}

}  // namespace kernel

/// As reduce_rows on the host. `out` is device memory; enqueues and returns.
template <class A, class Value, class Op>
void reduce_rows(gpu const& where, index_t rows, index_t length, Value const& value, A identity, Op const& op, A* out,
                 workspace<gpu>& space)
{
  if (rows <= 0) return;
  index_t chunks = chunks_of(length);
  if (chunks == 1) return kernel::launch_reduce(where, rows, length, value, identity, op, out);
  auto* from = static_cast<A*>(space.bytes(where, static_cast<std::size_t>(reduce_room(rows, length)) * sizeof(A)));
  A* to = from + rows * chunks;
  kernel::launch_reduce(where, rows, length, value, identity, op, from);
  while (chunks > 1) {
    index_t const fewer = chunks_of(chunks);
    kernel::launch_reduce(where, rows, chunks, kernel::partial_sums<A>{from, chunks}, identity, op,
                          fewer == 1 ? out : to);
    std::swap(from, to);
    chunks = fewer;
  }
}

}  // namespace cambium
