// Cuts of patches: 900 and 3,600 with 768 features. Beside them the dense matrices of the original's formulation, by Eigen.

#include "measure.hpp"
#include "normalised_cut_eigen.hpp"

#include <cambium/pipeline/mask_cut.hpp>

#include <cmath>
#include <random>
#include <stdexcept>
#include <string>

namespace bench {

using namespace cambium;

namespace {

/// Five things before a background, with noise three times as long as what tells them apart.
grid<float, 3> drawn_features(index_t side, index_t D)
{
  std::mt19937 bits(1);
  std::normal_distribution<float> normal;
  grid<float, 2> direction(6, D);
  for (float& v : direction.cells()) v = normal(bits);
  grid<float, 3> out(D, side, side);
  auto const n = static_cast<double>(side);
  for (index_t y = 0; y < side; ++y)
    for (index_t x = 0; x < side; ++x) {
      index_t thing = 0;
      for (index_t k = 1; k < 6; ++k) {
        double const dy = static_cast<double>(y) - n * (0.2 + 0.15 * static_cast<double>(k * (k % 2))),
                     dx = static_cast<double>(x) - n * 0.15 * static_cast<double>(k);
        if (dy * dy + dx * dx < 0.0081 * n * n) thing = k;
      }
      for (index_t k = 0; k < D; ++k) out(k, y, x) = direction(thing, k) + 3 * normal(bits);
    }
  return out;
}

}  // namespace

void add_mask_cut()
{
  for (index_t const side : {30, 60}) {
    index_t const n = side * side, D = 768;
    std::string const size = std::to_string(n);
    double const flop = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(D);
    for (bool const all : {false, true}) {
      cpu const where = all ? all_cores : one_core;
      std::string const end = (all ? "_all_cores/" : "/") + size;
      benchmark::RegisterBenchmark(("affinity/feature" + end).c_str(), [=](benchmark::State& state) {
        auto const f = drawn_features(side, D);
        measure(state, {flop, 0}, [&] { benchmark::DoNotOptimize(feature_affinity(where, f).words.data()); });
      })->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("instance/normalised_cut" + end).c_str(), [=](benchmark::State& state) {
        auto const alike = feature_affinity(where, drawn_features(side, D));
        measure(state, {}, [&] { benchmark::DoNotOptimize(normalised_cut(where, alike).value); });
      })->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("pipeline/mask_cut" + end).c_str(), [=](benchmark::State& state) {
        auto const f = drawn_features(side, D);
        measure(state, {}, [&] { benchmark::DoNotOptimize(mask_cut(where, f).masks.words.data()); });
      })->Unit(benchmark::kMillisecond);
    }
    if (side > 30) continue;  // Eigen takes a minute for 3,600
    benchmark::RegisterBenchmark(("instance/normalised_cut_eigen/" + size).c_str(), [=](benchmark::State& state) {
      auto const alike = feature_affinity(one_core, drawn_features(side, D));
      auto const cells = unpack_masks(one_core, alike);
      double value = 0;
      measure(state, {}, [&] { value = eigen_normalised_cut(cells, 1e-5); });
      if (!(std::abs(value - normalised_cut(one_core, alike).value) < 1e-9)) throw std::runtime_error("cuts differ");
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace bench
