// Minimum spanning trees of images and the filter along them, beside Boruvka's algorithm and a plain filter. Both are
// timed in turn, so that a row holds both.

#include "measure.hpp"
#include "tree_baseline.hpp"

#include <cambium/pipeline/tree_energy.hpp>

#include <cmath>
#include <set>

namespace bench {

using namespace cambium;

namespace {

/// Soft blobs with noise, three channels in 0..1.
grid<float, 3> photograph(index_t H, index_t W)
{
  auto out = blobs(3, H, W);
  auto const noise = uniform<float, 3>({3, H, W}, -0.03, 0.03, 4);
  for (std::size_t i = 0; i < out.cells().size(); ++i) out.cells()[i] = 0.8f * out.cells()[i] + 0.1f + noise.cells()[i];
  return out;
}

/// Time two works in turn.
template <class Ours, class Theirs>
void beside(benchmark::State& state, Ours const& ours, Theirs const& theirs)
{
  std::vector<double> our_times, times;
  for (auto _ : state)
    for (int round = 0; round < 3; ++round) {
      double const start = seconds();
      ours();
      double const between = seconds();
      theirs();
      our_times.push_back(between - start), times.push_back(seconds() - between);
    }
  state.counters["median_ms"] = 1e3 * median(our_times);
  state.counters["plain_median_ms"] = 1e3 * median(times);
  state.counters["times_as_long"] = median(times) / median(our_times);
}

void tree(benchmark::State& state, index_t H, index_t W, cpu const& where)
{
  auto const guide = photograph(H, W);
  grid_tree ours;
  tree_scratch scratch;
  minimum_tree_into(where, guide, ours, scratch);
  std::set<std::pair<int, int>> edges;
  for (auto const& [a, b] : boruvka_tree(guide)) edges.insert({std::min(a, b), std::max(a, b)});
  for (index_t i = 1; i < ours.nodes(); ++i) {
    int const a = ours.order(i), b = ours.order(ours.parent(i));
    if (edges.count({std::min(a, b), std::max(a, b)}) == 0) return state.SkipWithError("another tree");
  }
  beside(
      state, [&] { minimum_tree_into(where, guide, ours, scratch); },
      [&] { benchmark::DoNotOptimize(boruvka_tree(guide)); });
}

void filter(benchmark::State& state, index_t C, index_t H, index_t W, cpu const& where, bool with_tree)
{
  auto const guide = photograph(H, W);
  auto const feature = uniform<float, 3>({C, H, W}, 0, 1, 5), slope = uniform<float, 3>({C, H, W}, -1, 1, 6);
  grid<float, 3> out(C, H, W), by(C, H, W), plain_out(C, H, W), plain_by(C, H, W);
  grid_tree tree;
  tree_scratch room;
  tree_weights<float> weights;
  tree_filter_scratch<float> scratch;
  auto const grow = [&] {
    minimum_tree_into(where, guide, tree, room);
    make_tree_weights_into(where, guide, tree, {}, weights);
  };
  auto const run = [&] {
    tree_filter_into(where, feature, tree, weights, out, scratch);
    tree_filter_back_into(where, slope, tree, weights, by, scratch);
  };
  plain_tree plain(guide, 0.02f);
  auto const plain_run = [&] {
    plain.filter(feature, plain_out);
    plain.back(slope, plain_by);
  };
  grow(), run(), plain_run();
  for (std::size_t i = 0; i < out.cells().size(); ++i)
    if (std::abs(out.cells()[i] - plain_out.cells()[i]) > 1e-4f ||
        std::abs(by.cells()[i] - plain_by.cells()[i]) > 1e-4f)
      return state.SkipWithError("the plain filter's result is not ours");
  beside(
      state,
      [&] {
        if (with_tree) grow();
        run();
      },
      [&] {
        if (with_tree) plain = plain_tree(guide, 0.02f);
        plain_run();
      });
}

}  // namespace

void add_tree_filter()
{
  for (auto const& [H, W] : {std::pair<index_t, index_t>{128, 128}, {200, 200}, {512, 512}})
    benchmark::RegisterBenchmark(("walk/minimum_tree/" + size_name(H, W) + "/3").c_str(), [H = H, W = W](
                                                                                              benchmark::State& state) {
      tree(state, H, W, all_cores);
    })->Unit(benchmark::kMillisecond);
  for (bool const with_tree : {false, true})
    for (bool const one : {false, true})
      benchmark::RegisterBenchmark(
          (std::string("walk/tree_filter") + (with_tree ? "_and_tree" : "") + (one ? "_one_core" : "") + "/128x128/21")
              .c_str(),
          [=](benchmark::State& state) { filter(state, 21, 128, 128, one ? one_core : all_cores, with_tree); })
          ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("pipeline/tree_energy/128x128/21", [](benchmark::State& state) {
    auto const guide = photograph(128, 128);
    grid<float, 4> low(1, 3, 128, 128), roi(1, 1, 128, 128);
    low.cells() = guide.cells();
    std::fill(roi.cells().begin(), roi.cells().end(), 1.f);
    auto const probabilities = uniform<float, 4>({1, 21, 128, 128}, 0, 1, 5);
    measure(state, {}, [&] { benchmark::DoNotOptimize(tree_energy_loss(all_cores, probabilities, roi, low).value); });
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
