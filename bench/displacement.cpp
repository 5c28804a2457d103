#include "measure.hpp"

#include <cambium/component/connected.hpp>
#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/trace.hpp>

namespace bench {

using namespace cambium;

void add_displacement()
{
  auto const trace_of = [](benchmark::State& state, grid<float, 3> const& field, trace_precision precision) {
    auto out = field;
    trace_scratch<float> scratch;
    measure(state, {}, [&] { trace_into(all_cores, field, {.precision = precision}, out, scratch); });
  };
  for (auto const& [H, W] : sizes) {
    std::string const name = size_name(H, W);
    benchmark::RegisterBenchmark(("displacement/trace/" + name).c_str(), [=, h = H, w = W](benchmark::State& s) {
      trace_of(s, centre_field(h, w, 6), trace_precision::mixed);
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("displacement/trace_single/" + name).c_str(), [=, h = H, w = W](benchmark::State& s) {
      trace_of(s, centre_field(h, w, 6), trace_precision::single);
    })->Unit(benchmark::kMillisecond);
  }
  // A field in which nothing converges: no iteration is saved.
  for (auto const precision : {trace_precision::mixed, trace_precision::single})
    benchmark::RegisterBenchmark(
        precision == trace_precision::mixed ? "displacement/trace_chaotic/94x125"
                                            : "displacement/trace_single_chaotic/94x125",
        [=](benchmark::State& s) { trace_of(s, uniform<float, 3>({2, 94, 125}, -9, 9, 3), precision); })
        ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("displacement/cluster/94x125", [](benchmark::State& state) {
    auto const field = centre_field(94, 125, 6);
    auto const cells = nearest_cells(all_cores, trace(all_cores, field));
    measure(state, {}, [&] {
      auto const regions = connected(all_cores, weak_field(all_cores, field));
      benchmark::DoNotOptimize(cluster(all_cores, regions.label, cells).count);
    });
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
