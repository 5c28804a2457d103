#pragma once
// The gpu policy's loops, sums, scans and sorts, and device memory. A .cu file includes this header once, and then the
// same headers of stages as a .cpp file:
//
//   #include <cambium/exec/gpu.cuh>
//   #include <cambium/affinity/path_affinity.hpp>   // path_affinity(gpu{}, ...) compiles now

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>
#include <cambium/exec/launch.hpp>
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

/// The indices of this thread.
__device__ inline launch_place here()
{
  return {{gridDim.x, gridDim.y, gridDim.z},
          {blockIdx.x, blockIdx.y, blockIdx.z},
          {blockDim.x, blockDim.y, blockDim.z},
          {threadIdx.x, threadIdx.y, threadIdx.z}};
}

inline dim3 size_of(launch_size const& n) { return {n.x, n.y, n.z}; }

struct block_barrier {
  __device__ void operator()() const { __syncthreads(); }
};

template <class Rule>
__global__ void each_cell(index_t channels, index_t height, index_t width, Rule rule)
{
  launch_cells(here(), channels, height, width, rule);
}

template <class Rule>
__global__ void each_index(index_t count, Rule rule)
{
  launch_indices(here(), count, rule);
}

}  // namespace kernel

/// As for_each_cell on the cpu; enqueues on where.stream and returns.
template <class Rule>
void for_each_cell(gpu const& where, index_t const (&extent)[3], Rule const& rule)
{
  static_assert(sizeof(Rule) <= 4000, "a rule travels to the kernel by value; 4 KB is the limit");
  if (extent[0] <= 0 || extent[1] <= 0 || extent[2] <= 0) return;
  auto const [blocks, threads] = cell_launch(extent);
  kernel::each_cell<<<kernel::size_of(blocks), kernel::size_of(threads), 0, where.stream>>>(extent[0], extent[1],
                                                                                            extent[2], rule);
  throw_if_failed(cudaGetLastError(), "for_each_cell: launch");
}

/// As for_each_index on the cpu; enqueues on where.stream and returns.
template <class Rule>
void for_each_index(gpu const& where, index_t count, Rule const& rule)
{
  static_assert(sizeof(Rule) <= 4000, "a rule travels to the kernel by value; 4 KB is the limit");
  if (count <= 0) return;
  auto const [blocks, threads] = index_launch(count);
  kernel::each_index<<<kernel::size_of(blocks), kernel::size_of(threads), 0, where.stream>>>(count, rule);
  throw_if_failed(cudaGetLastError(), "for_each_index: launch");
}

template <>
class workspace<gpu> {
 public:
  /// At least this many bytes, for work that is enqueued on where.stream from now on.
  void* bytes(gpu const& where, std::size_t size)
  {
    bytes_.reserve(where, size);
    return bytes_.data();
  }

 private:
  device_bytes bytes_;
};

/// Run a call of CUB: once for the size of its workspace, then with the workspace. call(memory, bytes) -> cudaError_t.
template <class Call>
void with_workspace(gpu const& where, workspace<gpu>& space, char const* what, Call const& call)
{
  std::size_t need = 0;
  throw_if_failed(call(static_cast<void*>(nullptr), need), what);
  void* const memory = space.bytes(where, need > 0 ? need : 1);
  throw_if_failed(call(memory, need), what);
}

namespace kernel {

template <class A, class Value, class Op>
__global__ void __launch_bounds__(reduce_lanes)
    reduce_chunks(index_t rows, index_t length, Value value, A identity, Op op, A* out)
{
  __shared__ alignas(A) unsigned char memory[reduce_lanes * sizeof(A)];
  launch_reduce(here(), rows, length, value, identity, op, out, reinterpret_cast<A*>(memory), block_barrier{});
}

/// The results of a round, as values of the next one.
template <class A>
struct partial_sums {
  A const* at;
  index_t per_row;
  CAMBIUM_HD A operator()(index_t row, index_t i) const { return at[row * per_row + i]; }
};

template <class A, class Value, class Op>
void reduce_round(gpu const& where, index_t rows, index_t length, Value const& value, A identity, Op const& op, A* out)
{
  auto const [blocks, threads] = reduce_launch(rows, length);
  reduce_chunks<<<size_of(blocks), size_of(threads), 0, where.stream>>>(rows, length, value, identity, op, out);
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
  if (chunks == 1) return kernel::reduce_round(where, rows, length, value, identity, op, out);
  auto* from = static_cast<A*>(space.bytes(where, static_cast<std::size_t>(reduce_room(rows, length)) * sizeof(A)));
  A* to = from + rows * chunks;
  kernel::reduce_round(where, rows, length, value, identity, op, from);
  while (chunks > 1) {
    index_t const fewer = chunks_of(chunks);
    kernel::reduce_round(where, rows, chunks, kernel::partial_sums<A>{from, chunks}, identity, op,
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
