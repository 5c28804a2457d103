#include "measure.hpp"

#include <cambium/instance/assign.hpp>

namespace bench {

using namespace cambium;

void add_instance()
{
  for (auto const& [H, W] : sizes)
    for (index_t const C : {1, 4, 16}) {
      if (H * W * C > 5000000) continue;
      benchmark::RegisterBenchmark(
          ("instance/assign/" + size_name(H, W) + "/" + std::to_string(C)).c_str(),
          [=, h = H, w = W](benchmark::State& state) {
            auto const scores = blobs(C, h, w);
            measure(state, {}, [&] {
              benchmark::DoNotOptimize(assign(all_cores, scores, {}, {4 * h - 1, 4 * w}).channel.data());
            });
          })
          ->Unit(benchmark::kMillisecond);
    }
}

}  // namespace bench
