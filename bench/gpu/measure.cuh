#pragma once
// Timing on a device: medians of event times, beside the card's own limits.

#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace bench {

using cambium::throw_if_failed;

/// What the card could do at best.
struct card {
  std::string name;
  double gflops = 0;       ///< single precision: 2 * 128 lanes * multiprocessors * clock
  double copy_gbytes = 0;  ///< [GB/s] read and written by a copy of 1 GB, measured

  static card current();
};

/// The median time of `call`, which enqueues on where.stream, over `repeats` runs after one that is not counted. [ms]
template <class Call>
double median_ms(cambium::gpu const& where, Call const& call, int repeats = 20)
{
  cudaEvent_t begin, end;
  throw_if_failed(cudaEventCreate(&begin), "event");
  throw_if_failed(cudaEventCreate(&end), "event");
  call();
  std::vector<float> times;
  for (int i = 0; i < repeats; ++i) {
    throw_if_failed(cudaEventRecord(begin, where.stream), "event");
    call();
    throw_if_failed(cudaEventRecord(end, where.stream), "event");
    throw_if_failed(cudaEventSynchronize(end), "event");
    float ms = 0;
    throw_if_failed(cudaEventElapsedTime(&ms, begin, end), "event");
    times.push_back(ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[static_cast<std::size_t>(repeats / 2)];
}

/// A line of the table. `gflop` and `gbytes` of one call; 0: not said.
inline void report(card const& c, char const* name, double ms, double images, double gflop, double gbytes)
{
  std::printf("%-44s %9.3f ms  %9.4f ms an image", name, ms, ms / images);
  if (gflop > 0) std::printf("  %8.0f GFLOP/s (%4.1f %% of peak)", gflop / ms * 1e3, 100 * gflop / ms * 1e3 / c.gflops);
  if (gbytes > 0)
    std::printf("  %7.0f GB/s (%4.1f %% of a copy)", gbytes / ms * 1e3, 100 * gbytes / ms * 1e3 / c.copy_gbytes);
  std::printf("\n");
  std::fflush(stdout);
}

/// What one value and gradient of the affinity and displacement loss takes in LibTorch.
struct torch_loss_cost {
  double ms = 0, megabytes = 0, total = 0;
};

/// All of them device memory: logits [batch,height,width], field [batch,2,height,width], labels as the logits.
torch_loss_cost affinity_loss_in_torch(float const* logits, float const* field, std::int32_t const* labels,
                                       cambium::index_t batch, cambium::index_t height, cambium::index_t width);

// The parts.
void walk(card const& c);
void components(card const& c);
void losses(card const& c);
void crf(card const& c);
void pipelines(card const& c);

}  // namespace bench
