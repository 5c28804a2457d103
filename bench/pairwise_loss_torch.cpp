// BoxInst's pairwise loss in LibTorch on the same cores, as its authors formulated it: neighbours are gathered into
// tensors [N,8,H,W], and autograd goes back through all of it. Beside it, in the same run, ours. Both begin with the
// colours of the photograph.

#include <torch/torch.h>  // first: it defines macros with common names

#include "box_losses.hpp"
#include "peak_memory.hpp"

#include <cambium/exec/parallel.hpp>

#include <cmath>

namespace bench {

using namespace cambium;
using torch::Tensor;

namespace {

/// The eight neighbours of maps [N,C,H,W], two cells apart, 0 outside: [N,C,8,H,W].
Tensor neighbours(Tensor const& maps)
{
  auto const all =
      torch::nn::functional::unfold(maps, torch::nn::functional::UnfoldFuncOptions(3).dilation(2).padding(2));
  auto const nine = all.view({maps.size(0), maps.size(1), 9, maps.size(2), maps.size(3)});
  return torch::cat({nine.slice(2, 0, 4), nine.slice(2, 5, 9)}, 2);
}

struct torch_pairwise {
  Tensor value, gradient;
};

torch_pairwise loss_of(Tensor const& logits, Tensor const& lab, Tensor const& counts, Tensor const& masks)
{
  Tensor weights;
  {
    torch::NoGradGuard const guard;
    auto const apart = torch::norm(lab.unsqueeze(2) - neighbours(lab), 2, {1});
    auto const similarity = torch::exp(-0.5 * apart) * neighbours(counts)[0];  // [1,8,H,W]
    auto const of_instances = torch::cat(std::vector<Tensor>(static_cast<std::size_t>(logits.size(0)), similarity));
    weights = (of_instances >= 0.3).to(torch::kFloat) * masks;  // [N,8,H,W]
  }
  auto const is = torch::log_sigmoid(logits), is_not = torch::log_sigmoid(-logits);
  auto const both = is.unsqueeze(2) + neighbours(is), neither = is_not.unsqueeze(2) + neighbours(is_not);
  auto const most = torch::max(both, neither);
  auto const equal = torch::log(torch::exp(both - most) + torch::exp(neither - most)) + most;
  torch_pairwise out;
  out.value = (-equal.squeeze(1) * weights).sum() / weights.sum().clamp_min(1.0);
  out.gradient = torch::autograd::grad({out.value}, {logits})[0];
  return out;
}

void pairwise(benchmark::State& state, bool whole)
{
  torch::set_num_threads(thread_count(all_cores));  // left alone it takes half of them
  auto const batch = boxed_batch(whole);
  auto const [N, H, W] = batch.logits.shape();
  auto const tensor = [](float const* data, torch::IntArrayRef shape) {
    return torch::from_blob(const_cast<float*>(data), shape, torch::kFloat).clone();
  };
  auto const logits = tensor(batch.logits.data(), {N, 1, H, W}).requires_grad_();
  auto const lab = tensor(batch.lab.data(), {1, 3, H, W});
  auto const counts = torch::ones({1, 1, H, W});
  auto masks = torch::zeros({N, 1, H, W});
  for (index_t n = 0; n < N; ++n) {
    box const b = batch.instances(n).cells;
    masks[n][0].slice(0, b.top, b.bottom).slice(1, b.left, b.right) = 1;
  }
  auto const ours = [&] {
    auto const pairs = similar_pairs(all_cores, batch.lab, batch.counts);
    return pairwise_loss(all_cores, batch.logits, batch.instances, as_batch(pairs.view()));
  };
  auto const theirs = [&] { return loss_of(logits, lab, counts, masks); };

  double difference = 0, peak = 0;
  {
    auto const want = ours();
    torch_pairwise have;
    peak = peak_of([&] { have = theirs(); });
    auto const gradient = tensor(want.gradient.data(), {N, 1, H, W}).to(torch::kDouble);
    difference = std::max(std::abs(have.value.item<double>() - want.value) / want.value,
                          ((have.gradient.to(torch::kDouble) - gradient).norm() / gradient.norm()).item<double>());
    if (!(difference < 1e-4)) return state.SkipWithError("LibTorch's loss is not ours");
  }
  double const our_peak = peak_of([&] { benchmark::DoNotOptimize(ours().value); });
  auto const pairs = similar_pairs(all_cores, batch.lab, batch.counts);
  double similar = 0;
  for (auto const p : pairs.cells()) similar += static_cast<double>(rule::ones_of(p)) / 8;

  std::vector<double> times, our_times;
  for (auto _ : state)
    for (int round = 0; round < 5; ++round) {
      double const start = seconds();
      benchmark::DoNotOptimize(theirs().value);
      times.push_back(seconds() - start);
      for (int i = 0; i < 5; ++i) {
        double const begin = seconds();
        benchmark::DoNotOptimize(ours().value);
        our_times.push_back(seconds() - begin);
      }
    }
  state.counters["median_ms"] = 1e3 * median(times);
  state.counters["ours_median_ms"] = 1e3 * median(our_times);
  state.counters["times_as_long"] = median(times) / median(our_times);
  state.counters["peak_MB"] = 1e-6 * peak;
  state.counters["ours_peak_MB"] = 1e-6 * our_peak;
  state.counters["times_the_memory"] = peak / our_peak;
  state.counters["difference"] = difference;
  state.counters["similar"] = similar / static_cast<double>(pairs.size());
}

}  // namespace

void add_pairwise_loss_torch()
{
  for (bool const whole : {true, false})
    benchmark::RegisterBenchmark(
        whole ? "loss/pairwise_torch/whole_maps/200x304/64" : "loss/pairwise_torch/boxes/200x304/64",
        [whole](benchmark::State& state) { pairwise(state, whole); })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}

}  // namespace bench
