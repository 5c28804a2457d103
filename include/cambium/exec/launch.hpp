#pragma once
// The programmes of the gpu's loops: the work of one thread of a launch. The kernels in exec/gpu.cuh call them with the
// hardware's indices and barriers. tests/exec/launch_test.cpp calls them on cores, with threads in any order.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/reduce.hpp>

namespace cambium {

/// Three numbers, as in a dim3.
struct launch_size {
  unsigned x = 1, y = 1, z = 1;
};

/// The number of blocks of a launch, and of threads per block.
struct launch_shape {
  launch_size blocks, threads;
};

/// The indices of a thread in its launch.
struct launch_place {
  launch_size blocks, block;    ///< the number of blocks, and this block's index
  launch_size threads, thread;  ///< the number of threads per block, and this thread's index
};

/// The largest number of blocks along y and z.
inline constexpr index_t most_blocks = 65535;

inline unsigned blocks_for(index_t count, index_t each, index_t most)
{
  index_t const blocks = (count + each - 1) / each;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

/// The launch of for_each_cell over [C,H,W]: one thread per column, with strides over rows and channels beyond the
/// launch.
inline launch_shape cell_launch(index_t const (&extent)[3])
{
  return {{blocks_for(extent[2], 32, index_t{0x7fffffff}), blocks_for(extent[1], 8, most_blocks),
           blocks_for(extent[0], 1, most_blocks)},
          {32, 8, 1}};
}

/// One thread of that launch.
template <class Rule>
CAMBIUM_HD void launch_cells(launch_place const& at, index_t channels, index_t height, index_t width, Rule const& rule)
{
  index_t const x = index_t{at.block.x} * at.threads.x + at.thread.x;
  if (x >= width) return;
  for (index_t c = at.block.z; c < channels; c += at.blocks.z)
    for (index_t y = index_t{at.block.y} * at.threads.y + at.thread.y; y < height;
         y += index_t{at.blocks.y} * at.threads.y)
      rule(c, y, x);
}

/// The launch of for_each_index over `count` indices, with strides beyond the launch.
inline launch_shape index_launch(index_t count)
{
  return {{blocks_for(count, 256, index_t{1} << 30), 1, 1}, {256, 1, 1}};
}

/// One thread of that launch.
template <class Rule>
CAMBIUM_HD void launch_indices(launch_place const& at, index_t count, Rule const& rule)
{
  for (index_t i = index_t{at.block.x} * at.threads.x + at.thread.x; i < count;
       i += index_t{at.blocks.x} * at.threads.x)
    rule(i);
}

/// The launch of one round of reduce_rows: one block per chunk, with strides over rows beyond the launch.
inline launch_shape reduce_launch(index_t rows, index_t length)
{
  return {{static_cast<unsigned>(chunks_of(length)), blocks_for(rows, 1, most_blocks), 1},
          {static_cast<unsigned>(reduce_lanes), 1, 1}};
}

/// One thread of that launch: chunk block.x of each row, in the order of reduce_one_chunk.
///
/// @param lane     [reduce_lanes] shared memory of the block
/// @param barrier  barrier() returns after every thread of the block has reached it
template <class A, class Value, class Op, class Barrier>
CAMBIUM_HD void launch_reduce(launch_place const& at, index_t rows, index_t length, Value const& value, A identity,
                              Op const& op, A* out, A* lane, Barrier const& barrier)
{
  unsigned const l = at.thread.x;
  index_t const begin = index_t{at.block.x} * reduce_chunk;
  index_t const end = begin + reduce_chunk < length ? begin + reduce_chunk : length;
  for (index_t row = at.block.y; row < rows; row += at.blocks.y) {
    A sum = identity;
    for (index_t i = begin + l; i < end; i += reduce_lanes) sum = op(sum, value(row, i));
    lane[l] = sum;
    barrier();
    for (unsigned half = reduce_lanes / 2; half > 0; half /= 2) {
      if (l < half) lane[l] = op(lane[l], lane[l + half]);
      barrier();
    }
    if (l == 0) out[row * at.blocks.x + at.block.x] = lane[0];  // only this thread writes lane[0] again
  }
}

}  // namespace cambium
