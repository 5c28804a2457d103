#include "measure.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/peak_attention.hpp>
#include <cambium/activation/select.hpp>
#include <cambium/activation/smooth.hpp>
#include <cambium/activation/softmax.hpp>

namespace bench {

using namespace cambium;

void add_activation()
{
  for (auto const& [H, W] : sizes)
    for (index_t const C : {1, 4, 16}) {
      std::string const name = size_name(H, W) + "/" + std::to_string(C);
      double const cells = static_cast<double>(C * H * W);
      // One stage on C maps; `bytes` a cell must move at least once.
      auto const add = [&, h = H, w = W](char const* stage, double bytes, auto const& work) {
        benchmark::RegisterBenchmark((std::string("activation/") + stage + "/" + name).c_str(), [=](benchmark::State&
                                                                                                        state) {
          auto const maps = blobs(C, h, w);
          measure(state, {0, bytes * cells}, [&] { benchmark::DoNotOptimize(work(maps).data()); });
        })->Unit(benchmark::kMillisecond);
      };
      add("normalise", 8, [](auto const& maps) { return normalise(all_cores, maps); });
      add("smooth", 8, [](auto const& maps) { return smooth(all_cores, maps); });
      add("peak_attention", 8, [](auto const& maps) { return peak_attention(all_cores, maps); });
      add("decide", 4, [](auto const& maps) { return decide(all_cores, maps).probability; });
      benchmark::RegisterBenchmark(("activation/select/" + name).c_str(), [=, h = H, w = W](benchmark::State& state) {
        auto const maps = blobs(C, h, w);
        auto const regions = uniform<std::int32_t, 2>({h, w}, 0, static_cast<double>(C) + 0.9, 3);
        std::vector<std::int32_t> channels;
        for (index_t c = 0; c < C; ++c) channels.push_back(static_cast<std::int32_t>(c));
        measure(state, {0, 4 * cells},
                [&] { benchmark::DoNotOptimize(select(all_cores, maps, regions, channels).data()); });
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
