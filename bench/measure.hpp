#pragma once
// How everything is measured: the median of single runs, with the machine's own figures taken in between, since
// the speed of a shared machine drifts by more than what we want to see.

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace bench {

using cambium::grid;
using cambium::index_t;

inline cambium::cpu const all_cores{};
inline cambium::cpu const one_core{.threads = 1};

inline double seconds()
{
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> v)
{
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

/// One short sample of the fp32 multiply-add peak of all cores. [flop/s]
double sample_peak();
/// One short sample of a[i] = b[i] + s * c[i] over arrays beyond every cache, all cores. [bytes/s]
double sample_triad();

/// What one run of the work amounts to; 0 leaves the counter out.
struct amount {
  double flop = 0;
  double bytes = 0;  ///< that must move at least once
};

/// The loop of a benchmark. Sets the counters median_ms, flop_per_second and fraction_of_peak,
/// bytes_per_second and fraction_of_triad.
template <class Work>
void measure(benchmark::State& state, amount const& each, Work const& work)
{
  std::vector<double> times, peak, triad;
  double sampled = 0;
  for (auto _ : state) {
    double const start = seconds();
    work();
    times.push_back(seconds() - start);
    if (seconds() - sampled < 0.05 && !peak.empty()) continue;
    state.PauseTiming();
    if (each.flop > 0) peak.push_back(sample_peak());
    if (each.bytes > 0) triad.push_back(sample_triad());
    sampled = seconds();
    state.ResumeTiming();
  }
  double const time = median(times);
  state.counters["median_ms"] = 1e3 * time;
  if (each.flop > 0) {
    state.counters["flop_per_second"] = each.flop / time;
    state.counters["fraction_of_peak"] = each.flop / time / median(peak);
  }
  if (each.bytes > 0) {
    state.counters["bytes_per_second"] = each.bytes / time;
    state.counters["fraction_of_triad"] = each.bytes / time / median(triad);
  }
}

inline std::string size_name(index_t H, index_t W) { return std::to_string(H) + "x" + std::to_string(W); }

template <class T, int Rank>
grid<T, Rank> uniform(index_t const (&extents)[Rank], double low, double high, std::uint64_t seed)
{
  auto out = cambium::make_grid<T>(extents);
  std::mt19937_64 bits(seed);
  for (auto& v : out.cells()) v = static_cast<T>(low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53);
  return out;
}

/// A boundary map as networks give it: thin closed curves of varying strength on a quiet ground.
grid<float, 2> boundary_map(index_t H, index_t W);
/// CAM-like scores: a few soft blobs a channel.
grid<float, 3> blobs(index_t C, index_t H, index_t W);
/// A displacement field that points to the nearest of `objects` centres, or nowhere. [cells]
grid<float, 3> centre_field(index_t H, index_t W, int objects);

/// What the affinity and displacement loss is measured on: a batch of crops of 512x512 at a quarter of their size.
struct loss_batch {
  grid<float, 3> logits;         ///< [B,H,W] boundary
  grid<float, 4> field;          ///< [B,2,H,W] displacement
  grid<std::int32_t, 3> labels;  ///< [B,H,W]
};
loss_batch training_batch();

/// The map sizes every stage is measured at.
inline constexpr index_t sizes[][2] = {{94, 125}, {128, 128}, {256, 256}, {512, 512}, {1024, 1024}};

void add_machine();
void add_activation();
void add_affinity();
void add_attention();
void add_mask_cut();
void add_walk();
void add_displacement();
void add_component();
void add_geodesic();
void add_instance();
void add_crf();
void add_metric();
void add_proposal();
void add_label_uncertainty();
void add_box_losses();
void add_tree_filter();
void add_bestie();
void add_pipeline();
void add_pixel_adaptive();
#if defined(CAMBIUM_BENCH_TORCH)
void add_affinity_loss_torch();
void add_pairwise_loss_torch();
void add_pixel_adaptive_torch();
#endif

}  // namespace bench
