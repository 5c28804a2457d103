// IRNet's loss in LibTorch on the same cores, as its authors formulated it. Beside it, in the same run, ours.

#include "affinity_loss_torch.hpp"  // first: LibTorch defines macros with common names

#include "measure.hpp"
#include "peak_memory.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/loss/affinity_displacement.hpp>

#include <cmath>

namespace bench {

using namespace cambium;

namespace {

Tensor tensor_of(void const* data, torch::IntArrayRef shape, torch::Dtype type)
{
  return torch::from_blob(const_cast<void*>(data), shape, type).clone();
}

/// |a - b| by |b|, of numbers and (Euclidean) of gradients.
double apart(Tensor const& a, double b) { return std::abs(a.item<double>() - b) / std::abs(b); }
double apart(Tensor const& a, float const* b)
{
  auto const other = tensor_of(b, a.sizes(), torch::kFloat).to(torch::kDouble);
  return ((a.to(torch::kDouble) - other).norm() / other.norm()).item<double>();
}

void affinity_loss(benchmark::State& state)
{
  torch::set_num_threads(thread_count(all_cores));  // left alone it takes half of them
  auto const batch = training_batch();
  auto const [B, H, W] = batch.logits.shape();
  auto const logits = tensor_of(batch.logits.data(), {B, H, W}, torch::kFloat).requires_grad_();
  auto const field = tensor_of(batch.field.data(), {B, 2, H, W}, torch::kFloat).requires_grad_();
  auto const labels = tensor_of(batch.labels.data(), {B, H, W}, torch::kInt);
  auto const ours = [&] {
    return affinity_displacement_loss<float>(all_cores, batch.logits, batch.field, batch.labels, {.radius = radius});
  };
  auto const theirs = [&](path_tables const& of) {
    return affinity_loss_of(of, logits, field, pair_masks(of, labels));
  };

  double difference = 0;
  {
    auto const want = ours();
    auto const have = theirs({H, W});
    auto const& v = want.value;
    for (double const d : {apart(have.background, v.background), apart(have.foreground, v.foreground),
                           apart(have.negative, v.negative), apart(have.field_foreground, v.field_foreground),
                           apart(have.field_background, v.field_background), apart(have.total, v.total()),
                           apart(have.by_logits, want.boundary.data()), apart(have.by_field, want.field.data())}) {
      if (!(d < 1e-4)) return state.SkipWithError("LibTorch's loss is not ours");
      difference = std::max(difference, d);
    }
  }
  double const our_peak = peak_of([&] { benchmark::DoNotOptimize(ours().value); });
  double const peak = peak_of([&] { benchmark::DoNotOptimize(theirs({H, W}).total); });

  path_tables const tables(H, W);
  std::vector<double> times, mask_times, our_times;
  for (auto _ : state)
    for (int round = 0; round < 7; ++round) {  // only one would fit the least time of a benchmark
      double const start = seconds();
      pair_masks const pairs(tables, labels);
      mask_times.push_back(seconds() - start);
      benchmark::DoNotOptimize(affinity_loss_of(tables, logits, field, pairs).total);
      times.push_back(seconds() - start);
      for (int i = 0; i < 5; ++i) {
        double const begin = seconds();
        benchmark::DoNotOptimize(ours().value);
        our_times.push_back(seconds() - begin);
      }
    }
  auto const least = [](std::vector<double> const& v) { return *std::min_element(v.begin(), v.end()); };
  state.counters["median_ms"] = 1e3 * median(times);
  state.counters["min_ms"] = 1e3 * least(times);
  state.counters["masks_ms"] = 1e3 * median(mask_times);  // part of the two above
  state.counters["ours_median_ms"] = 1e3 * median(our_times);
  state.counters["ours_min_ms"] = 1e3 * least(our_times);
  state.counters["times_as_long"] = median(times) / median(our_times);
  state.counters["peak_MB"] = 1e-6 * peak;
  state.counters["tables_MB"] = 1e-6 * tables.bytes();  // part of the peak
  state.counters["ours_peak_MB"] = 1e-6 * our_peak;
  state.counters["times_the_memory"] = peak / our_peak;
  state.counters["difference"] = difference;
}

}  // namespace

void add_affinity_loss_torch()
{
  benchmark::RegisterBenchmark("loss/affinity_r10_torch/128x128/4", affinity_loss)->Unit(benchmark::kMillisecond);
}

}  // namespace bench
