#pragma once
// The gpu policy's loops, sums, scans and sorts, and device memory. A .cu file includes this header once, and then the same
// stages as everybody:
//
//   #include <cambium/exec/gpu.cuh>
//   #include <cambium/affinity/path_affinity.hpp>   // path_affinity(gpu{}, ...) compiles now

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/exec/workspace.hpp>
#include <cambium/grid/device.hpp>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include <concepts>
#include <cstddef>
#include <utility>

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

template <>
class workspace<gpu> {
 public:
  /// At least so many bytes, for work enqueued on where.stream from now on.
  void* bytes(gpu const& where, std::size_t size)
  {
    bytes_.reserve(where, size);
    return bytes_.data();
  }

 private:
  device_bytes bytes_;
};

/// Runs a call of CUB's, which is asked for its need first: call(memory, bytes) -> cudaError_t.
template <class Call>
void with_workspace(gpu const& where, workspace<gpu>& space, char const* what, Call const& call)
{
  std::size_t need = 0;
  throw_if_failed(call(static_cast<void*>(nullptr), need), what);
  void* const memory = space.bytes(where, need > 0 ? need : 1);
  throw_if_failed(call(memory, need), what);
}

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

namespace kernel {
template <class U>
struct sum_as {
  CAMBIUM_HD U operator()(U a, U b) const { return a + b; }
};
}  // namespace kernel

/// As exclusive_scan on the host; enqueues and returns.
template <std::integral T, std::integral U>
void exclusive_scan(gpu const& where, index_t count, T const* in, U* out, workspace<gpu>& space)
{
  if (count <= 0) return;
  with_workspace(where, space, "exclusive_scan", [&](void* memory, std::size_t& bytes) {
    return cub::DeviceScan::ExclusiveScan(memory, bytes, in, out, kernel::sum_as<U>{}, U(0), count, where.stream);
  });
}

/// As sort_by_key on the host; enqueues and returns.
template <std::unsigned_integral K, class V>
void sort_by_key(gpu const& where, index_t count, K const* keys, V const* values, K* sorted_keys, V* sorted_values,
                 int bits, workspace<gpu>& space)
{
  if (count <= 0) return;
  with_workspace(where, space, "sort_by_key", [&](void* memory, std::size_t& need) {
    return cub::DeviceRadixSort::SortPairs(memory, need, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                           where.stream);
  });
}

}  // namespace cambium
