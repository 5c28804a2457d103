// Geodesic labels of 20 seeds on a photograph's size; Boost.Graph's Dijkstra beside them, which has the same distances.

#include "geodesic_boost.hpp"
#include "measure.hpp"

#include <cambium/component/geodesic.hpp>
#include <cambium/component/geodesic_costs.hpp>

#include <cmath>
#include <stdexcept>

namespace bench {

using namespace cambium;

namespace {

/// Soft shapes of three colours under a photograph's noise.
grid<std::uint8_t, 3> colours(index_t H, index_t W)
{
  auto const noise = uniform<float, 3>({H, W, 3}, -6, 6, 3);
  grid<std::uint8_t, 3> out(H, W, 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (index_t c = 0; c < 3; ++c) {
        double const py = static_cast<double>(y), px = static_cast<double>(x), pc = static_cast<double>(c);
        double const shape = std::sin(px * 0.03 + 2 * std::sin(py * 0.013 + pc)) + std::sin(py * 0.027 + pc * pc);
        out(y, x, c) = static_cast<std::uint8_t>(128 + 40 * std::tanh(4 * shape) + static_cast<double>(noise(y, x, c)));
      }
  return out;
}

struct scene {
  index_t H = 375, W = 500;
  grid<std::uint8_t, 3> image = colours(H, W);
  grid<float, 2> boundary = boundary_map(H, W);
  grid<float, 3> cost = geodesic_costs(one_core, image, boundary);
  grid<std::int32_t, 2> seeds{H, W}, label{H, W};
  grid<float, 2> distance{H, W}, confidence{H, W};

  scene()
  {
    std::mt19937_64 bits(7);
    for (std::int32_t i = 1; i <= 20; ++i)
      seeds(static_cast<index_t>(bits() % 375), static_cast<index_t>(bits() % 500)) = i;
  }
};

}  // namespace

void add_geodesic()
{
  benchmark::RegisterBenchmark("component/geodesic_costs/375x500", [](benchmark::State& state) {
    scene s;
    measure(state, {}, [&] { geodesic_costs_into(one_core, s.image, s.boundary, c8, {}, s.cost); });
  })->Unit(benchmark::kMillisecond);
  for (bool const confident : {false, true})
    benchmark::RegisterBenchmark(
        confident ? "component/geodesic_confidence/375x500/20" : "component/geodesic/375x500/20",
        [=](benchmark::State& state) {
          scene s;
          geodesic_scratch<cpu> scratch;
          image_view<float> const none;
          measure(state, {}, [&] {
            geodesic_into(one_core, s.cost, s.seeds, {}, s.distance, s.label, confident ? s.confidence.view() : none,
                          scratch);
          });
        })
        ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("component/geodesic_boost/375x500/20", [](benchmark::State& state) {
    scene s;
    boost_geodesic const others(s.cost);
    measure(state, {}, [&] { others.run(s.seeds, s.distance, s.label); });
    if (geodesic(one_core, s.cost, s.seeds).distance != s.distance) throw std::runtime_error("distances differ");
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
