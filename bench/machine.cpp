// What this machine can do at most: fp32 multiply-adds in registers, and memory bandwidth.

#include "measure.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>

#include <atomic>

namespace bench {

using namespace cambium;

namespace {

/// Independent multiply-adds a round: enough to hide their latency in two pipes, few enough for 16 registers.
constexpr int chains = 12;

struct multiply_add {
  std::int64_t rounds;
  double* result;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    pack<float, lanes> sum[chains], factor{}, term{};
    for (int l = 0; l < lanes; ++l) factor[l] = 0.9999f, term[l] = 0.0001f;
    for (int i = 0; i < chains; ++i) sum[i] = term * static_cast<float>(i);
    for (std::int64_t r = 0; r < rounds; ++r) {
      CAMBIUM_UNROLL
      for (int i = 0; i < chains; ++i) sum[i] = sum[i] * factor + term;
    }
    double total = 0;
    for (int i = 0; i < chains; ++i)
      for (int l = 0; l < lanes; ++l) total += static_cast<double>(sum[i][l]);
    *result = total;
  }
};

}  // namespace

double sample_peak()
{
  static isa const set = widest_isa();
  constexpr std::int64_t rounds = 60000;  // a fraction of a millisecond
  int const threads = thread_count(all_cores);
  constexpr index_t pieces = 8;  // of a thread's rounds: a helper that begins late leaves some to others
  std::vector<double> sink(static_cast<std::size_t>(threads * pieces) * 8);
  double const start = seconds();
  as_team(threads, threads * pieces, claims::near, [&](index_t piece) {
    run_widest(set, multiply_add{rounds / pieces, &sink[static_cast<std::size_t>(piece) * 8]});
  });
  double const time = seconds() - start;
  for (double& v : sink) benchmark::DoNotOptimize(v);
  return 2.0 * chains * (register_bytes(set) / 4) * static_cast<double>(rounds) * threads / time;
}

double sample_triad()
{
  constexpr std::size_t n = std::size_t{1} << 24;  // three arrays of 64 MB
  static cells_t<float> a(n), b, c;
  if (b.empty()) {
    b.assign(n, 1.f), c.assign(n, 2.f);
    std::fill(a.begin(), a.end(), 0.f);
  }
  double const start = seconds();
  for_each_share(all_cores, static_cast<index_t>(n), 4096, [&](index_t first, index_t last) {
    float *const to = a.data(), *const x = b.data(), *const y = c.data();
    for (index_t i = first; i + 4 <= last; i += 4)
      lanes_at<4>(to + i).v = lanes_at<4>(x + i).v + 3.f * lanes_at<4>(y + i).v;
  });
  double const time = seconds() - start;
  benchmark::DoNotOptimize(a.data());
  return 3.0 * sizeof(float) * static_cast<double>(n) / time;
}

void add_machine()
{
  benchmark::RegisterBenchmark("machine/fma_peak", [](benchmark::State& state) {
    std::vector<double> rate;
    for (auto _ : state) rate.push_back(sample_peak());
    state.counters["flop_per_second"] = median(rate);
    state.counters["fraction_of_peak"] = 1;
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("machine/triad", [](benchmark::State& state) {
    std::vector<double> rate;
    for (auto _ : state) rate.push_back(sample_triad());
    state.counters["bytes_per_second"] = median(rate);
    state.counters["fraction_of_triad"] = 1;
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
