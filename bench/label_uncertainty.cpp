#include "measure.hpp"

#include <cambium/loss/label_uncertainty.hpp>

namespace bench {

using namespace cambium;

void add_label_uncertainty()
{
  index_t const B = 8, H = 512, W = 512;
  benchmark::RegisterBenchmark(("loss/label_uncertainty/" + size_name(H, W) + "/8").c_str(), [=](benchmark::State&
                                                                                                     state) {
    auto const mean = uniform<float>({B, 1, H, W}, -8, 8, 1), log_variance = uniform<float>({B, 1, H, W}, -6, 6, 2);
    grid<float, 4> target(B, 1, H, W), by_mean(B, 1, H, W), by_log_variance(B, 1, H, W);
    grid<std::uint8_t, 4> trusted(B, 1, H, W);
    for (index_t b = 0; b < B; ++b)  // half of an image is its box
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          bool const in_box = y >= H / 8 && y < H * 7 / 8 && x >= W / 6 && x < W * 5 / 6;
          target(b, 0, y, x) = in_box, trusted(b, 0, y, x) = in_box ? trust::boxed : trust::certain;
        }
    // three maps of floats and one of bytes are read, two of floats written
    grid<label_uncertainty_value, 1> value(1);
    label_uncertainty_scratch<cpu> scratch(all_cores, mean.view().extent, {});
    measure(state, {.bytes = 21.0 * static_cast<double>(mean.size())}, [&] {
      label_uncertainty_loss_into(all_cores, mean, log_variance, target, trusted, {}, by_mean, by_log_variance, value,
                                  scratch);
      benchmark::DoNotOptimize(value(0));
    });
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
