#include "box_losses.hpp"

#include <cambium/loss/lab.hpp>

namespace bench {

using namespace cambium;

box_batch boxed_batch(bool whole)
{
  box_batch out;
  index_t const N = 64, H = 200, W = 304;
  out.logits = uniform<float, 3>({N, H, W}, -4, 4, 1);
  std::fill(out.counts.cells().begin(), out.counts.cells().end(), std::uint8_t{1});
  auto const smooth = blobs(3, H, W);
  auto const noise = uniform<float, 3>({3, H, W}, -2, 2, 2);
  grid<std::uint8_t, 3> photograph(H, W, 3);
  for (index_t c = 0; c < 3; ++c)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        photograph(y, x, c) = static_cast<std::uint8_t>(30 + 200 * smooth(c, y, x) + noise(c, y, x));
  out.lab = lab_colours(all_cores, photograph);
  auto const drawn = uniform<double, 2>({N, 4}, 0, 1, 3);
  for (index_t n = 0; n < N; ++n) {
    auto const span = [&](index_t cells, int which, index_t& first, index_t& last) {
      auto const size = static_cast<index_t>((0.1 + 0.7 * drawn(n, which)) * static_cast<double>(cells));
      first = static_cast<index_t>(drawn(n, which + 2) * static_cast<double>(cells - size));
      last = first + size;
    };
    box& b = out.instances(n).cells;
    span(H, 0, b.top, b.bottom), span(W, 1, b.left, b.right);
    if (whole) b = {0, 0, H, W};
  }
  return out;
}

void add_box_losses()
{
  for (bool const whole : {true, false}) {
    std::string const name = whole ? "whole_maps/200x304/64" : "boxes/200x304/64";
    benchmark::RegisterBenchmark(("loss/pairwise/" + name).c_str(), [whole](benchmark::State& state) {
      auto const batch = boxed_batch(whole);
      auto const pairs = similar_pairs(all_cores, batch.lab, batch.counts);
      auto gradient = grid_like<float, host>(batch.logits.view());
      grid<double, 1> value(1);
      pairwise_scratch<cpu> scratch(all_cores);
      measure(state, {.bytes = 8.0 * static_cast<double>(batch.logits.size())}, [&] {
        pairwise_loss_into(all_cores, batch.logits, batch.instances, as_batch(pairs.view()), {}, gradient, value,
                           scratch);
      });
    })->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("loss/box_projection/" + name).c_str(), [whole](benchmark::State& state) {
      auto const batch = boxed_batch(whole);
      auto gradient = grid_like<float, host>(batch.logits.view());
      grid<double, 1> value(1);
      projection_scratch<cpu, float> scratch;
      measure(state, {.bytes = 8.0 * static_cast<double>(batch.logits.size())}, [&] {
        box_projection_loss_into(all_cores, batch.logits, batch.instances, {}, gradient, value, scratch);
      });
    })->Unit(benchmark::kMillisecond);
  }
  benchmark::RegisterBenchmark("loss/similar_pairs/200x304/8", [](benchmark::State& state) {
    auto const batch = boxed_batch(true);
    grid<std::uint32_t, 2> pairs(200, 304);
    measure(state, {}, [&] { similar_pairs_into(all_cores, batch.lab, batch.counts, {}, pairs); });
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
