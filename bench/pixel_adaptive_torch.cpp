// PAR and PAMR in LibTorch on the same cores, as their authors formulated them: a convolution by one-hot kernels gathers
// all neighbours of all channels, [1,C,48,H,W], and so in each step. Slices of padded maps gather them, too, and faster;
// they are measured beside. Ours in the same run.

#include <torch/torch.h>  // first: it defines macros with common names

#include "measure.hpp"
#include "peak_memory.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/pipeline/pixel_adaptive.hpp>

#include <cmath>

namespace bench {

using namespace cambium;
using torch::Tensor;

namespace {

constexpr index_t N = 448, C = 21;
int const dilations[] = {1, 2, 4, 8, 12, 24};

/// Maps [1,c,H,W] become [1,c,P,H,W]; with the centre P is 9 a dilation instead of 8.
Tensor neighbours(Tensor const& maps, bool convolve, bool centre = false)
{
  std::vector<Tensor> all;
  for (int const d : dilations) {
    auto const padded =
        torch::nn::functional::pad(maps, torch::nn::functional::PadFuncOptions({d, d, d, d}).mode(torch::kReplicate));
    if (convolve) {
      auto kernels = torch::eye(9).view({9, 1, 3, 3});
      if (!centre) kernels = torch::cat({kernels.slice(0, 0, 4), kernels.slice(0, 5, 9)});
      auto const gathered = torch::nn::functional::conv2d(padded.transpose(0, 1), kernels,
                                                          torch::nn::functional::Conv2dFuncOptions().dilation(d));
      all.push_back(gathered.unsqueeze(0));
    } else {
      std::vector<Tensor> some;
      for (int k = 0; k < 9; ++k)
        if (k != 4 || centre)
          some.push_back(
              padded.slice(2, k / 3 * d, k / 3 * d + maps.size(2)).slice(3, k % 3 * d, k % 3 * d + maps.size(3)));
      all.push_back(torch::stack(some, 2));
    }
  }
  return torch::cat(all, 2);
}

Tensor positions()
{
  std::vector<float> r;
  for (int const d : dilations)
    for (int k = 0; k < 9; ++k)
      if (k != 4) r.push_back(static_cast<float>(k % 2 == 0 ? d * std::sqrt(2.0) : d));
  auto const t = torch::tensor(r);
  return torch::softmax(-torch::pow(t / (t.std() + 1e-8) / 0.3, 2), 0).view({1, 1, -1, 1, 1});
}

Tensor refined(Tensor const& image, Tensor masks, bool par, bool convolve)
{
  Tensor weight;
  {
    auto const around = neighbours(image, convolve);
    auto const s = (par ? around : neighbours(image, convolve, true)).std(2, true, true);
    auto const off = torch::abs(around - image.unsqueeze(2));
    auto const energy = par ? -torch::pow(off / (s + 1e-8) / 0.3, 2) : -off / (1e-8 + 0.1 * s);
    weight = torch::softmax(energy.mean(1, true), 2);
    if (par) weight = weight + 0.01 * positions();
  }
  Tensor around;  // lives until the next step has made its own, as a variable of Python does
  for (int step = 0; step < 10; ++step) {
    around = neighbours(masks, convolve);
    masks = (around * weight).sum(2);
  }
  return masks;
}

void adaptive(benchmark::State& state, bool par)
{
  torch::NoGradGuard const guard;
  torch::set_num_threads(thread_count(all_cores));  // left alone it takes half of them
  auto const image = uniform<float, 3>({3, N, N}, 0, 255, 3);
  auto const masks = blobs(C, N, N);
  auto const tensor = [](grid<float, 3> const& g) {
    return torch::from_blob(const_cast<float*>(g.data()), {1, g.shape()[0], g.shape()[1], g.shape()[2]}).clone();
  };
  auto const their_image = tensor(image), their_masks = tensor(masks);
  auto const ours = [&] { return par ? cambium::par(all_cores, image, masks) : pamr(all_cores, image, masks); };
  auto const theirs = [&](bool convolve) { return refined(their_image, their_masks, par, convolve); };

  std::vector<double> times, slices, our_times;
  auto const timed = [](std::vector<double>& to, auto const& work) {
    double const start = seconds();
    work();
    to.push_back(seconds() - start);
  };
  double difference = 0, peak = 0, slices_peak = 0, our_peak = 0;
  {
    auto const want = ours();  // the code is resident from here on
    Tensor have;
    peak = peak_of([&] { timed(times, [&] { have = theirs(true); }); });
    difference = (have - tensor(want)).abs().max().item<double>();
    if (!(difference < 1e-4)) return state.SkipWithError("LibTorch's result is not ours");
    slices_peak = peak_of([&] { timed(slices, [&] { have = theirs(false); }); });
    double const other = (have - tensor(want)).abs().max().item<double>();
    if (!(other < 1e-4)) return state.SkipWithError("LibTorch's result by slices is not ours");
  }
  our_peak = peak_of([&] { benchmark::DoNotOptimize(ours().data()); });

  for (auto _ : state)
    for (int round = 0; round < 2; ++round) {  // and one of each above
      timed(times, [&] { benchmark::DoNotOptimize(theirs(true)); });
      timed(slices, [&] { benchmark::DoNotOptimize(theirs(false)); });
      for (int i = 0; i < 5; ++i) timed(our_times, [&] { benchmark::DoNotOptimize(ours().data()); });
    }
  state.counters["median_ms"] = 1e3 * median(times);
  state.counters["slices_median_ms"] = 1e3 * median(slices);
  state.counters["ours_median_ms"] = 1e3 * median(our_times);
  state.counters["times_as_long"] = median(times) / median(our_times);
  state.counters["slices_times_as_long"] = median(slices) / median(our_times);
  state.counters["peak_MB"] = 1e-6 * peak;
  state.counters["slices_peak_MB"] = 1e-6 * slices_peak;
  state.counters["ours_peak_MB"] = 1e-6 * our_peak;
  state.counters["times_the_memory"] = peak / our_peak;
  state.counters["difference"] = difference;
}

}  // namespace

void add_pixel_adaptive_torch()
{
  for (bool const par : {true, false})
    benchmark::RegisterBenchmark(par ? "pixel_adaptive/par_torch/448x448/21" : "pixel_adaptive/pamr_torch/448x448/21",
                                 [par](benchmark::State& state) { adaptive(state, par); })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}

}  // namespace bench
