#include "measure.hpp"

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>

namespace bench {

using namespace cambium;

void add_affinity()
{
  for (auto const& [H, W] : sizes) {
    std::string const name = size_name(H, W) + "/1";
    auto const edges = stencil::disc(5);
    double const written = 4.0 * edges.size * static_cast<double>(H * W);
    benchmark::RegisterBenchmark(("affinity/path/" + name).c_str(), [=, h = H, w = W](benchmark::State& state) {
      auto const boundary = boundary_map(h, w);
      grid<float, 3> out(edges.size, h, w);
      measure(state, {0, written}, [&] { path_affinity_into(all_cores, boundary, edges, out); });
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("affinity/transition/" + name).c_str(), [=, h = H, w = W](benchmark::State& state) {
      auto const affinity = path_affinity(all_cores, boundary_map(h, w), edges);
      measure(state, {0, 2 * written},
              [&] { benchmark::DoNotOptimize(make_transition(all_cores, edges, affinity).weight.data()); });
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("affinity/path_and_transition/" + name).c_str(), [=, h = H,
                                                                                    w = W](benchmark::State& state) {
      auto const boundary = boundary_map(h, w);
      measure(state, {0, 3 * written}, [&] {
        benchmark::DoNotOptimize(
            make_transition(all_cores, edges, path_affinity(all_cores, boundary, edges)).weight.data());
      });
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace bench
