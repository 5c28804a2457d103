// cambium_bench: every stage and its baselines in one run. Names are stage/what/HxW/channels.

#include "measure.hpp"

#include <cmath>
#include <cstdio>

namespace bench {

grid<float, 2> boundary_map(index_t H, index_t W)
{
  auto out = uniform<float, 2>({H, W}, 0, 0.08, 5);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const a = std::sin(0.21 * static_cast<double>(x) + 2 * std::sin(0.05 * static_cast<double>(y)));
      double const b = std::cos(0.17 * static_cast<double>(y) + 1.5 * std::sin(0.07 * static_cast<double>(x)));
      if (std::abs(a + b) < 0.1)
        out(y, x) = static_cast<float>(0.55 + 0.45 * std::sin(0.3 * static_cast<double>(x + y)));
    }
  for (float& v : out.cells()) v = std::min(1.f, std::max(0.f, v));
  return out;
}

grid<float, 3> blobs(index_t C, index_t H, index_t W)
{
  grid<float, 3> out(C, H, W);
  for (index_t c = 0; c < C; ++c)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        double v = 0;
        for (index_t i = 0; i < 3; ++i) {
          double const cy = static_cast<double>((37 * (c + 1) + 53 * i) % 97) / 97 * static_cast<double>(H);
          double const cx = static_cast<double>((61 * (c + 1) + 29 * i) % 89) / 89 * static_cast<double>(W);
          double const d = (std::pow(static_cast<double>(y) - cy, 2) + std::pow(static_cast<double>(x) - cx, 2)) /
                           (0.01 * static_cast<double>(H * W));
          v = std::max(v, std::exp(-d));
        }
        out(c, y, x) = static_cast<float>(v);
      }
  return out;
}

grid<float, 3> centre_field(index_t H, index_t W, int objects)
{
  auto const wobble = uniform<float, 3>({2, H, W}, -0.3, 0.3, 9);
  grid<float, 3> out(2, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double best = 0.02 * static_cast<double>(H * W), dy = 0, dx = 0;
      for (int i = 0; i < objects; ++i) {
        double const cy = (0.15 + 0.7 * std::fmod(0.618 * i, 1.0)) * static_cast<double>(H);
        double const cx = (0.15 + 0.7 * std::fmod(0.755 * i, 1.0)) * static_cast<double>(W);
        double const ty = cy - static_cast<double>(y), tx = cx - static_cast<double>(x);
        if (ty * ty + tx * tx < best) best = ty * ty + tx * tx, dy = 0.8 * ty, dx = 0.8 * tx;
      }
      out(0, y, x) = static_cast<float>(dy) + wobble(0, y, x);
      out(1, y, x) = static_cast<float>(dx) + wobble(1, y, x);
    }
  return out;
}

}  // namespace bench

int main(int count, char** arguments)
{
#if !defined(__OPTIMIZE__)
  std::fputs("cambium_bench was built without optimisation; its figures would mean nothing\n", stderr);
  return 2;
#endif
  bench::add_machine();
  bench::add_walk();
  bench::add_affinity();
  bench::add_attention();
  bench::add_mask_cut();
  bench::add_activation();
  bench::add_displacement();
  bench::add_component();
  bench::add_geodesic();
  bench::add_instance();
  bench::add_crf();
  bench::add_metric();
  bench::add_proposal();
  bench::add_label_uncertainty();
  bench::add_box_losses();
  bench::add_tree_filter();
  bench::add_bestie();
  bench::add_pipeline();
  bench::add_pixel_adaptive();
#if defined(CAMBIUM_BENCH_TORCH)
  bench::add_affinity_loss_torch();
  bench::add_pairwise_loss_torch();
  bench::add_pixel_adaptive_torch();
#endif
  // Long enough for a median, unless the caller says otherwise.
  std::string minimum = "--benchmark_min_time=0.5";
  std::vector<char*> all(arguments, arguments + count);
  all.insert(all.begin() + 1, minimum.data());
  count = static_cast<int>(all.size());
  arguments = all.data();
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
