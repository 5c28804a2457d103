#include "measure.hpp"

#include <cambium/activation/fuse.hpp>

namespace bench {

using namespace cambium;

void add_activation()
{
  for (auto const& [H, W] : sizes)
    for (index_t const C : {1, 4, 16}) {
      std::string const name = size_name(H, W) + "/" + std::to_string(C);
      double const cells = static_cast<double>(C * H * W);
      benchmark::RegisterBenchmark(("activation/normalise/" + name).c_str(), [=, h = H,
                                                                              w = W](benchmark::State& state) {
        auto const maps = blobs(C, h, w);
        measure(state, {0, 8 * cells}, [&] { benchmark::DoNotOptimize(normalise(all_cores, maps).data()); });
      })->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("activation/fuse/" + name).c_str(), [=, h = H, w = W](benchmark::State& state) {
        std::vector<grid<float, 3>> maps;
        std::vector<scaled_maps<float>> list;
        for (index_t const by : {4, 8, 3, 2}) maps.push_back(blobs(C, h / by, w / by));
        for (auto const& m : maps) list.push_back({m.view(), false});
        measure(state, {0, 4 * cells}, [&] { benchmark::DoNotOptimize(fuse(all_cores, list, {h, w}).data()); });
      })->Unit(benchmark::kMillisecond);
    }
}

}  // namespace bench
