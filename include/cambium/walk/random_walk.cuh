#pragma once
// random_walk on a GPU: resident on the chip if the map fits, otherwise the rule of random_walk.hpp with one launch per
// step.

#include <cambium/exec/gpu.cuh>
#include <cambium/walk/random_walk.hpp>
#include <cambium/walk/resident.hpp>

#include <cooperative_groups.h>

#include <type_traits>

namespace cambium {

namespace kernel {

/// The barriers of a block and of all blocks that share a map.
template <bool Cluster>
__device__ void wait_for_neighbours()
{
  if constexpr (Cluster) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#else
    __trap();  // clusters need compute capability 9.0; older devices never launch them
#endif
  } else {
    cooperative_groups::this_grid().sync();
  }
}

template <bool Cluster>
struct resident_waits {
  __device__ void block() const { __syncthreads(); }
  __device__ void neighbours() const { wait_for_neighbours<Cluster>(); }
};

/// All steps of many walks: block (band, problem).
template <int Radius, bool Cluster, class Program>
__global__ void __launch_bounds__(walk_bands<Radius>::most_threads, 1)
    resident_walk(walk_bands<Radius> cut, walk_problems all, edge_places<Radius> places,
                  view<float const, 4, device> weights, view<float const, 3, device> degrees, quad* even, quad* odd,
                  __grid_constant__ Program const program)
{
  extern __shared__ float4 shared_cells[];
  walk_resident(cut, all, places, weights, degrees, even, odd, program, here(), reinterpret_cast<quad*>(shared_cells),
                resident_waits<Cluster>{});
}

}  // namespace kernel

/// The limits of the current device. @throws gpu_error
inline walk_device current_walk_device()
{
  int id = 0, value = 0;
  throw_if_failed(cudaGetDevice(&id), "random_walk: device");
  auto const ask = [&](cudaDeviceAttr what) {
    throw_if_failed(cudaDeviceGetAttribute(&value, what, id), "random_walk: device attribute");
    return value;
  };
  walk_device out;
  out.multiprocessors = ask(cudaDevAttrMultiProcessorCount);
  out.capability = ask(cudaDevAttrComputeCapabilityMajor);
  out.shared_memory = static_cast<std::size_t>(ask(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  out.cooperative = ask(cudaDevAttrCooperativeLaunch) != 0;
  return out;
}

/// The steps of a batch of images of one size. The views are not owned.
template <class T, class Space = device>
struct transition_batch {
  stencil edges;                             ///< K offsets
  cambium::view<T const, 4, Space> weight;   ///< [B,K,H,W]
  cambium::view<T const, 3, Space> inverse;  ///< [B,H,W] inverse degrees
};

namespace kernel {

/// The configuration of a resident launch, and the attributes that the runtime must allow first.
template <bool Cluster, class Program>
struct resident_launch {
  cudaLaunchConfig_t config{};
  cudaLaunchAttribute how{};

  resident_launch(walk_plan const& plan, walk_problems const& all, cudaStream_t stream)
  {
    config.gridDim = dim3(static_cast<unsigned>(plan.cut.bands()), static_cast<unsigned>(all.count()));
    config.blockDim = dim3(static_cast<unsigned>(plan.cut.threads()));
    config.dynamicSmemBytes = plan.cut.shared_bytes();
    config.stream = stream;
    if constexpr (Cluster) {
      how.id = cudaLaunchAttributeClusterDimension;
      how.val.clusterDim.x = config.gridDim.x;
      how.val.clusterDim.y = how.val.clusterDim.z = 1;
    } else {
      how.id = cudaLaunchAttributeCooperative;
      how.val.cooperative = 1;
    }
    config.attrs = &how;
    config.numAttrs = 1;
  }
  resident_launch(resident_launch const&) = delete;  // config points at how

  static constexpr auto body = resident_walk<resident_radius, Cluster, Program>;

  [[nodiscard]] cudaError_t allow() const
  {
    auto const shared = cudaFuncSetAttribute(body, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             static_cast<int>(config.dynamicSmemBytes));
    if constexpr (Cluster)
      if (shared == cudaSuccess) return cudaFuncSetAttribute(body, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    return shared;
  }

  /// Whether all blocks of a barrier fit onto the device together, and the code was built for the device.
  [[nodiscard]] bool fits(walk_device const& has) const
  {
    cudaFuncAttributes code{};
    int held = 0;
    bool good = allow() == cudaSuccess && cudaFuncGetAttributes(&code, body) == cudaSuccess;
    if constexpr (Cluster)
      good = good && code.ptxVersion >= 90 && cudaOccupancyMaxActiveClusters(&held, body, &config) == cudaSuccess &&
             held >= 1;
    else
      good = good &&
             cudaOccupancyMaxActiveBlocksPerMultiprocessor(&held, body, static_cast<int>(config.blockDim.x),
                                                           config.dynamicSmemBytes) == cudaSuccess &&
             index_t{held} * has.multiprocessors >= index_t{config.gridDim.x} * config.gridDim.y;
    if (!good) static_cast<void>(cudaGetLastError());
    return good;
  }
};

}  // namespace kernel

/// Whether a device can run a plan.
template <class Program>
bool holds(walk_device const& has, walk_plan const& plan, walk_problems const& all)
{
  if (plan.schedule == walk_schedule::grid) return kernel::resident_launch<false, Program>(plan, all, {}).fits(has);
  if (plan.schedule == walk_schedule::cluster) return kernel::resident_launch<true, Program>(plan, all, {}).fits(has);
  return true;
}

/// Buffers for walks of B images of [C,H,W] on one device. The constructor chooses the schedule.
template <class T>
class walk_scratch<T, gpu> {
 public:
  /// @param tolerance  of walk_options, or 0. Walks with a tolerance need more memory
  /// @throws precondition_error as walk_plan::of; gpu_error
  walk_scratch(gpu const& where, index_t B, index_t C, index_t H, index_t W, stencil const& graph, double tolerance = 0,
               walk_schedule wanted = walk_schedule::automatic)
      : edges(graph), all{B, C, H, W}
  {
    // Without a resident form there is nothing to ask the device.
    if (wanted != walk_schedule::each_step && std::is_same_v<T, float>) {
      auto const has = current_walk_device();
      plan = walk_plan::of(wanted, has, all, graph, true, where.alone);
      bool const held = holds<walk_powers>(has, plan, all) && (tolerance == 0 || holds<walk_series>(has, plan, all));
      expects(
          held || wanted == walk_schedule::automatic,
          "random_walk: this device, or what this program was built for, cannot run the schedule that is asked for");
      if (!held) plan = {};
    } else {
      plan = walk_plan::of(wanted, {}, all, graph, std::is_same_v<T, float>);
    }
    if (plan.schedule == walk_schedule::each_step)
      scores = make_grid<T>(where, {B, C, H, W});
    else
      quads = device_bytes(where, (tolerance > 0 ? 3 : 2) * static_cast<std::size_t>(cells()) * sizeof(quad));
    if (tolerance > 0) {
      reserve(where, channel, B * C);
      measuring.bytes(where, static_cast<std::size_t>(reduce_room(B * C, H * W)) * sizeof(value_range<T>));
    }
  }
  walk_scratch(gpu const& where, index_t C, index_t H, index_t W, stencil const& graph, double tolerance = 0,
               walk_schedule wanted = walk_schedule::automatic)
      : walk_scratch(where, 1, C, H, W, graph, tolerance, wanted)
  {
  }

  index_t cells() const { return all.count() * all.height * all.width; }
  /// Quads of even steps, of odd steps, and with a tolerance the seeds.
  quad* even() const { return static_cast<quad*>(quads.data()); }
  quad* odd() const { return even() + cells(); }
  quad* seeds() const { return odd() + cells(); }

  stencil edges;
  walk_problems all;
  walk_plan plan;
  grid<T, 4, device> scores;                ///< each_step: scores of every other step
  device_bytes quads;                       ///< grid, cluster: two or three maps of quads per problem
  grid<value_range<T>, 1, device> channel;  ///< [B * C] with a tolerance, otherwise empty
  workspace<gpu> measuring;
};

namespace kernel {

template <class Program>
void launch_resident(gpu const& where, walk_scratch<float, gpu>& scratch, transition_batch<float> const& t,
                     Program const& program)
{
  auto const go = [&](auto const& launch) {
    throw_if_failed(launch.allow(), "random_walk: attributes");
    throw_if_failed(cudaLaunchKernelEx(&launch.config, launch.body, scratch.plan.cut, scratch.all,
                                       edge_places<resident_radius>::of(t.edges), t.weight, t.inverse, scratch.even(),
                                       scratch.odd(), program),
                    "random_walk: launch");
  };
  if (scratch.plan.schedule == walk_schedule::cluster)
    go(resident_launch<true, Program>(scratch.plan, scratch.all, where.stream));
  else
    go(resident_launch<false, Program>(scratch.plan, scratch.all, where.stream));
}

}  // namespace kernel

/// Walk on a batch of images of one size, each with its own boundaries, in one call. The result is that of
/// random_walk_into for each image.
///
/// @param seeds    [B,C,H,W] finite; not modified
/// @param t        [B,K,H,W] weights and [B,H,W] inverse degrees
/// @param out      [B,C,H,W]
/// @param scratch  scratch for these images, edges, schedule and tolerance
///
/// @throws       precondition_error before anything is enqueued: shapes, steps, overlap; gpu_error
/// @complexity   Theta(steps * B * C * H * W * K) time; each_step reads (2 K + C) * H * W numbers per image and step
///               from the L2 cache or memory, grid and cluster only rows at the bands' borders
/// @determinism  the same bits on every run for one schedule; schedules differ by rounding, see docs/determinism.md
/// @asynchrony   enqueues on where.stream and returns; allocates nothing; cannot check values
template <class T>
void random_walk_into(gpu const& where, view<T const, 4, device> const& seeds, transition_batch<T> const& t,
                      walk_options options, view<T, 4, device> const& out, walk_scratch<T, gpu>& scratch)
{
  auto const& all = scratch.all;
  expects(options.steps >= 0, "random_walk: steps is ", options.steps);
  expects_half_plane(t.edges, "random_walk");
  expects(same_shape(seeds, out), "random_walk: seeds are ", seeds, " but out is ", out);
  expects(t.weight.extent[0] == seeds.extent[0] && t.inverse.extent[0] == seeds.extent[0] &&
              t.weight.extent[1] == t.edges.size,
          "random_walk: seeds are ", seeds, " but weights are ", t.weight, " for ", t.edges.size, " edges");
  for (int r : {2, 3})
    expects(t.weight.extent[r] == seeds.extent[r] && t.inverse.extent[r - 1] == seeds.extent[r],
            "random_walk: seeds are ", seeds, " but weights are ", t.weight, " and inverse degrees ", t.inverse);
  expects(!overlap(seeds, out), "random_walk: seeds and out overlap");
  expects(all.images == seeds.extent[0] && all.channels == seeds.extent[1] && all.height == seeds.extent[2] &&
              all.width == seeds.extent[3] && scratch.edges == t.edges,
          "random_walk: the scratch was made for another shape or stencil");
  expects(options.tolerance >= 0 && options.tolerance < 1, "random_walk: tolerance is ", options.tolerance,
          ", outside [0,1)");
  expects(options.tolerance == 0 || scratch.channel.size() == all.images * all.channels,
          "random_walk: the scratch was made for walks without a tolerance");
  if (seeds.size() == 0) return;
  chebyshev_power p;
  value_range<T>* channel = nullptr;  // null: an exact walk
  bool keep = false;                  // the tolerance requires every step: an exact walk, then a clamp to the range
  if (options.tolerance > 0) {
    measure_channels(where, seeds, scratch.channel.view().data, scratch.measuring);
    p = plan_walk_unseen(t.edges, all.height * all.width, options.steps, options.tolerance);
    keep = p.degree() >= options.steps;
    if (!keep) channel = scratch.channel.view().data;
  }
  auto const keep_in_ranges = [&] {
    for (index_t b = 0; keep && b < all.images; ++b)
      for_each_cell(where, out[b].extent,
                    rule::keep_in_range<T, device>{scratch.channel.view().data + b * all.channels, out[b]});
  };
  if constexpr (std::is_same_v<T, float>)
    if (scratch.plan.schedule != walk_schedule::each_step) {
      index_t const problems[3] = {all.count(), all.height, all.width};
      index_t const steps = channel == nullptr ? options.steps : p.degree();
      rule::gather_quads<device> gather{all, seeds, scratch.even()};
      if (channel != nullptr)
        gather = {
            all,          seeds, scratch.even(), channel, static_cast<float>(p.coefficient.back()), scratch.seeds(),
            scratch.odd()};
      for_each_cell(where, problems, gather);
      if (channel == nullptr)
        kernel::launch_resident(where, scratch, t, walk_powers{steps});
      else
        for (index_t first = 0; first < steps; first += walk_series::most)
          kernel::launch_resident(where, scratch, t, walk_series::of(p, first, scratch.seeds()));
      for_each_cell(where, problems,
                    rule::scatter_quads<device>{all, steps % 2 ? scratch.odd() : scratch.even(), out, channel});
      return keep_in_ranges();
    }
  for (index_t b = 0; b < all.images; ++b) {
    transition_view<T, device> const of{t.edges, t.weight[b], t.inverse[b]};
    auto const spare = scratch.scores.view()[b];
    if (channel != nullptr)
      walk_by_rule(where, seeds[b], of, p, channel + b * all.channels, out[b], spare);
    else
      walk_by_rule(where, seeds[b], of, options.steps, out[b], spare);
  }
  keep_in_ranges();
}

/// The GPU schedules of one image. random_walk.hpp calls them.
template <class T>
void random_walk_on(gpu const& where, stack_view<T const, device> seeds, transition_view<T, device> const& t,
                    walk_options options, stack_view<T, device> out, walk_scratch<T, gpu>& scratch)
{
  random_walk_into<T>(where, as_batch(seeds), {t.edges, as_batch(t.weight), as_batch(t.inverse_degree)}, options,
                      as_batch(out), scratch);
}

}  // namespace cambium
