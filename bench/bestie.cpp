#include "measure.hpp"

#include <cambium/pipeline/bestie.hpp>

#include <cmath>

namespace bench {

using namespace cambium;

namespace {

/// Images of ellipses of 20 classes, some touching, and what a network that has learnt them says: offsets that lead to
/// the middle of each, Gaussians of differing strength there, clear logits.
struct bestie_scene {
  static constexpr index_t C = 20;
  grid<float, 4> seg, centre, offset;
  grid<std::uint8_t, 3> semantic;
  std::vector<std::vector<std::int32_t>> classes;
  points cues;  ///< of the first image

  bestie_scene(index_t B, index_t H, index_t W)
      : seg(B, C + 1, H, W),
        centre(B, C, H, W),
        offset(B, 2, H, W),
        semantic(B, H, W),
        classes(static_cast<std::size_t>(B))
  {
    heat_stamp const stamp(6, stamping::original);
    for (index_t b = 0; b < B; ++b) {
      auto const at = uniform<double, 2>({12, 5}, 0, 1, 40 + static_cast<std::uint64_t>(b));
      auto& present = classes[static_cast<std::size_t>(b)];
      for (index_t k = 0; k < 3; ++k) present.push_back(static_cast<std::int32_t>((7 * (k + b)) % C));
      std::sort(present.begin(), present.end());
      for (index_t k = 0; k < 12; ++k) {
        auto const c = present[static_cast<std::size_t>(k % 3)];
        double const h = static_cast<double>(H), w = static_cast<double>(W);
        double const cy = std::floor(at(k, 0) * h), cx = std::floor(at(k, 1) * w);
        double const ry = (0.06 + 0.1 * at(k, 2)) * h, rx = (0.06 + 0.1 * at(k, 3)) * w;
        for (index_t y = 0; y < H; ++y)
          for (index_t x = 0; x < W; ++x) {
            double const dy = cy - static_cast<double>(y), dx = cx - static_cast<double>(x);
            if (dy * dy / (ry * ry) + dx * dx / (rx * rx) > 1) continue;
            semantic(b, y, x) = static_cast<std::uint8_t>(c + 1);
            offset(b, 0, y, x) = static_cast<float>(dy), offset(b, 1, y, x) = static_cast<float>(dx);
          }
        grid<float, 2> spot(H, W);
        stamp(spot, cy, cx);
        auto const strength = static_cast<float>(0.15 + 0.8 * at(k, 4));  // some are found by their discs alone
        for (index_t i = 0; i < H * W; ++i) {
          float& v = centre(b, c, i / W, i % W);
          v = std::max(v, strength * spot.data()[i]);
        }
        if (b == 0) cues.push_back({cy, cx, c});
      }
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) seg(b, static_cast<index_t>(semantic(b, y, x)), y, x) = 4;
    }
  }

  bestie_batch<float> batch() const { return {seg.view(), centre.view(), offset.view()}; }
};

void transfer(benchmark::State& state, cpu const& where)
{
  bestie_scene const s(1, 416, 416);
  centre_targets<> out{grid<float, 3>(s.C, 416, 416), grid<float, 3>(2, 416, 416), grid<float, 2>(416, 416)};
  measure(state, {.bytes = 4. * 416 * 416 * (s.C + 3)}, [&] {
    bestie_pseudo_labels_into(where, s.semantic.view()[0], s.classes[0], s.cues, {},
                              {out.centre, out.offset, out.weight});
    benchmark::DoNotOptimize(out.centre.data());
  });
}

void refine(benchmark::State& state, cpu const& where)
{
  bestie_scene const s(4, 416, 416);
  auto out = bestie_refined_labels(where, s.batch(), s.semantic, s.classes);
  measure(state, {.bytes = 4. * 4 * 416 * 416 * (2 * s.C + 6)}, [&] {
    bestie_refined_labels_into(where, s.batch(), s.semantic, s.classes, {}, out);
    benchmark::DoNotOptimize(out.centre.data());
  });
}

void instances_of(benchmark::State& state, cpu const& where)
{
  bestie_scene const s(1, 375, 500);
  measure(state, {.bytes = 4. * 375 * 500 * (s.C + 3)},
          [&] { benchmark::DoNotOptimize(bestie_instances(where, s.batch()[0]).objects.label.data()); });
}

}  // namespace

void add_bestie()
{
  auto const add = [](char const* name, auto const& body) {
    benchmark::RegisterBenchmark(name, body)->Unit(benchmark::kMillisecond);
  };
  add("instance/transfer/416x416", [](benchmark::State& s) { transfer(s, all_cores); });
  add("instance/transfer_1thread/416x416", [](benchmark::State& s) { transfer(s, one_core); });
  add("instance/refine/416x416/4", [](benchmark::State& s) { refine(s, all_cores); });
  add("instance/refine_1thread/416x416/4", [](benchmark::State& s) { refine(s, one_core); });
  add("pipeline/bestie_instances/375x500", [](benchmark::State& s) { instances_of(s, all_cores); });
  add("pipeline/bestie_instances_1thread/375x500", [](benchmark::State& s) { instances_of(s, one_core); });
}

}  // namespace bench
