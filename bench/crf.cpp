#include "measure.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/kept_lattices.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/loss/affinity_displacement.hpp>
#include <cambium/pipeline/label_mining.hpp>

#include <cmath>
#include <numeric>

namespace bench {

using namespace cambium;

namespace {

/// Surfaces of soft light, each with a colour and a grain of its own: about as many lattice points as a photograph.
grid<std::uint8_t, 3> photograph(index_t H, index_t W)
{
  auto const grain = uniform<float, 3>({H, W, 3}, -7, 7, 3);
  grid<std::uint8_t, 3> out(H, W, 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const u = static_cast<double>(x) / 60, v = static_cast<double>(y) / 60;
      int const surface = (std::sin(u) + std::cos(1.3 * v) > 0.4) + 2 * (std::sin(0.7 * u + v) > 0.2);
      for (index_t c = 0; c < 3; ++c) {
        double const light = 60 * (1 + std::sin(0.4 * u + 0.3 * v + static_cast<double>(c)));
        double const value =
            40 + 37 * static_cast<double>((surface + 2 * c) % 4) + light / 2 + static_cast<double>(grain(y, x, c));
        out(y, x, c) = static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  return out;
}

grid<std::int32_t, 2> noisy_labels(index_t H, index_t W, std::vector<std::int32_t> const& of)
{
  auto const blob = blobs(static_cast<index_t>(of.size()) - 1, H, W);
  return relabel(one_core, threshold_labels(one_core, blob, 0.3), of);
}

void crf(benchmark::State& state, cpu const& where, index_t L, std::vector<std::int32_t> const& of,
         std::vector<index_t> const& present, kept_lattices<>* kept = nullptr)
{
  auto const image = photograph(375, 500);
  auto const labels = noisy_labels(375, 500, of);
  measure(state, {}, [&] {
    dense_crf const field(where, image, crf_preset::irn(), {}, kept);
    benchmark::DoNotOptimize(
        argmax_labels(infer(where, field, unary_from_labels(where, labels, L), {.iterations = 10, .present = present}))
            .data());
  });
}

}  // namespace

loss_batch training_batch()
{
  loss_batch out{uniform<float, 3>({4, 128, 128}, -4, 2, 1), uniform<float, 4>({4, 2, 128, 128}, -5, 5, 2),
                 grid<std::int32_t, 3>(4, 128, 128)};
  auto const one = noisy_labels(128, 128, {0, 7, 255});
  for (index_t b = 0; b < 4; ++b) std::copy(one.cells().begin(), one.cells().end(), &out.labels(b, 0, 0));
  return out;
}

void add_crf()
{
  auto const add = [](char const* name, auto const& body) {
    benchmark::RegisterBenchmark(name, body)->Unit(benchmark::kMillisecond);
  };
  add("crf/irn/375x500/3", [](benchmark::State& s) { crf(s, all_cores, 3, {0, 1, 2}, {}); });
  add("crf/irn_1thread/375x500/3", [](benchmark::State& s) { crf(s, one_core, 3, {0, 1, 2}, {}); });
  add("crf/irn_1thread/375x500/21", [](benchmark::State& s) {
    std::vector<std::int32_t> of(21);
    std::iota(of.begin(), of.end(), 0);
    crf(s, one_core, 21, of, {});
  });
  add("crf/irn_1thread_kept/375x500/3", [](benchmark::State& s) {  // images of one size, one after the other
    kept_lattices<> kept;
    crf(s, one_core, 3, {0, 1, 2}, {}, &kept);
  });
  add("crf/subset/375x500/21", [](benchmark::State& s) { crf(s, all_cores, 21, {0, 8, 15}, {0, 8, 15}); });
  add("activation/confident/375x500/3", [](benchmark::State& state) {
    auto const image = photograph(375, 500);
    auto const cams = blobs(2, 375, 500);
    measure(state, {}, [&] { benchmark::DoNotOptimize(cam_to_ir_label(all_cores, image, cams, {7, 14}).data()); });
  });
  add("loss/affinity_r10/128x128/4", [](benchmark::State& state) {
    auto const [logits, field, labels] = training_batch();
    measure(state, {}, [&] {
      benchmark::DoNotOptimize(
          affinity_displacement_loss<float>(all_cores, logits, field, labels, {.radius = 10}).value);
    });
  });
}

}  // namespace bench
