// The affinity and displacement loss as its authors formulated it, in LibTorch on the same cores: every cell of every
// path is gathered through index tensors, and autograd goes back through all of it. Beside it, in the same run, ours.
//
// Memory is what the resident set grows by at its highest (VmHWM, reset through /proc/self/clear_refs) over what was
// resident before: freed memory is handed back first, inputs are not counted, nor is the code, which has run before.

#include <torch/torch.h>  // first: it defines macros with common names

#include "measure.hpp"

#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/loss/affinity_displacement.hpp>

#include <malloc.h>
#include <cmath>
#include <fstream>

namespace bench {

using namespace cambium;
using torch::Tensor;

namespace {

constexpr int radius = 10;

Tensor tensor_of(void const* data, torch::IntArrayRef shape, torch::Dtype type)
{
  return torch::from_blob(const_cast<void*>(data), shape, type).clone();
}

/// The geometry of one map size, made once and kept.
struct path_tables {
  stencil edges = stencil::disc(radius);
  index_t H, W, reach = edges.reach();
  std::vector<Tensor> paths;  ///< for each length of paths: [offsets, cells, sources] places on the flattened map
  Tensor target;              ///< [1,2,offsets,1] the steps

  path_tables(index_t height, index_t width) : H(height), W(width)
  {
    auto const source = torch::arange(H - reach).view({-1, 1}) * W + torch::arange(reach, W - reach);
    std::vector<Tensor> same_length;
    index_t length = 0;
    auto const close = [&] {
      if (!same_length.empty()) paths.push_back(torch::stack(same_length));
      same_length.clear();
    };
    for (int k = 0; k < edges.size; ++k) {
      auto const cells = path::to(edges.at[k]);
      if (cells.size != length) close();
      length = cells.size;
      std::vector<Tensor> along;
      for (int c = 0; c < cells.size; ++c) along.push_back((source + (cells.at[c].dy * W + cells.at[c].dx)).view(-1));
      same_length.push_back(torch::stack(along));
    }
    close();
    target = torch::empty({1, 2, edges.size, 1});
    for (int k = 0; k < edges.size; ++k) target[0][0][k][0] = edges.at[k].dy, target[0][1][k][0] = edges.at[k].dx;
  }

  /// The sources of a map [...,H,W], and where edge k takes them: [...,sources].
  Tensor sources(Tensor const& map) const { return crop(map, {0, 0}); }
  Tensor ends(Tensor const& map, int k) const { return crop(map, edges.at[k]); }
  Tensor crop(Tensor const& map, offset by) const
  {
    return map.slice(-2, by.dy, by.dy + H - reach).slice(-1, reach + by.dx, W - reach + by.dx).flatten(-2);
  }

  /// All ends, [...,offsets,sources].
  Tensor ends(Tensor const& map) const
  {
    std::vector<Tensor> all;
    for (int k = 0; k < edges.size; ++k) all.push_back(ends(map, k));
    return torch::stack(all, -2);
  }

  double bytes() const
  {
    double all = 0;
    for (auto const& p : paths) all += static_cast<double>(p.nbytes());
    return all;
  }
};

/// Which pairs are of background, of one class, of different labels: [B,offsets,sources] 0 or 1.
struct pair_masks {
  Tensor background, foreground, negative;

  pair_masks(path_tables const& of, Tensor const& labels)
  {
    auto const from = of.sources(labels).unsqueeze(1), to = of.ends(labels);
    auto const known = (from != label::ignore) & (to != label::ignore), same = (from == to) & known;
    background = (same & (from == label::background)).to(torch::kFloat);
    foreground = (same & (from != label::background)).to(torch::kFloat);
    negative = (known & (from != to)).to(torch::kFloat);
  }
};

struct torch_loss {
  Tensor background, foreground, negative, field_foreground, field_background, total;
  Tensor by_logits, by_field;
};

torch_loss affinity_loss_of(path_tables const& of, Tensor const& logits, Tensor const& field, pair_masks const& pairs)
{
  auto const boundary = torch::sigmoid(logits).flatten(1);
  std::vector<Tensor> of_length;
  for (auto const& p : of.paths) {
    auto const cells = boundary.index_select(1, p.view(-1)).view({boundary.size(0), p.size(0), p.size(1), p.size(2)});
    of_length.push_back((1 - torch::max_pool2d(cells, {p.size(1), 1})).squeeze(2));
  }
  auto const affinity = torch::cat(of_length, 1);
  auto const positive = -torch::log(affinity + 1e-5), negative = -torch::log(1 + 1e-5 - affinity);
  auto const step = of.sources(field).unsqueeze(2) - of.ends(field);
  auto const off_foreground = torch::abs(step - of.target), off_background = torch::abs(step);

  auto const mean = [](Tensor const& loss, Tensor const& mask) {
    return torch::sum(loss * mask) / (torch::sum(mask) + 1e-5);
  };
  auto const field_mean = [](Tensor const& loss, Tensor const& mask) {
    return torch::sum(loss * mask.unsqueeze(1)) / (2 * torch::sum(mask) + 1e-5);
  };
  torch_loss out;
  out.background = mean(positive, pairs.background);
  out.foreground = mean(positive, pairs.foreground);
  out.negative = mean(negative, pairs.negative);
  out.field_foreground = field_mean(off_foreground, pairs.foreground);
  out.field_background = field_mean(off_background, pairs.background);
  out.total =
      ((out.background + out.foreground) / 2 + out.negative) / 2 + (out.field_foreground + out.field_background) / 2;
  auto const slopes = torch::autograd::grad({out.total}, {logits, field});
  out.by_logits = slopes[0], out.by_field = slopes[1];
  return out;
}

/// |a - b| by |b|, of numbers and (Euclidean) of gradients.
double apart(Tensor const& a, double b) { return std::abs(a.item<double>() - b) / std::abs(b); }
double apart(Tensor const& a, float const* b)
{
  auto const other = tensor_of(b, a.sizes(), torch::kFloat).to(torch::kDouble);
  return ((a.to(torch::kDouble) - other).norm() / other.norm()).item<double>();
}

/// [bytes], or 0 where the system does not tell.
double resident(std::string const& which)
{
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (double kilobytes = 0; word == which && status >> kilobytes) return 1024 * kilobytes;
  return 0;
}

template <class Work>
double peak_of(Work const& work)
{
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  double const before = resident("VmRSS:");
  work();
  return resident("VmHWM:") - before;
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
