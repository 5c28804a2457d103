// IRNet's training loss and the dense CRF on a device.

#include <cambium/exec/gpu.cuh>
#include "measure.cuh"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/loss/affinity_displacement.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bench {

using namespace cambium;

namespace {

template <class T, int Rank>
grid<T, Rank> drawn(index_t const (&extent)[Rank], double low, double high)
{
  auto out = make_grid<T>(extent);
  std::uint32_t random = 99;
  for (auto& v : out.cells()) {
    random = random * 1664525u + 1013904223u;
    v = static_cast<T>(low + (high - low) * (random >> 8) / 16777216.0);
  }
  return out;
}

/// Four surfaces, each with a colour and a grain of its own.
grid<std::uint8_t, 3> photograph(index_t H, index_t W)
{
  auto out = drawn<std::uint8_t, 3>({H, W, 3}, 0, 14);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const u = static_cast<double>(x) / 60, v = static_cast<double>(y) / 60;
      int const surface = (std::sin(u) + std::cos(1.3 * v) > 0.4) + 2 * (std::sin(0.7 * u + v) > 0.2);
      for (index_t c = 0; c < 3; ++c)
        out(y, x, c) = static_cast<std::uint8_t>(out(y, x, c) + 40 + 37 * ((surface + 2 * c) % 4) +
                                                 30 * (1 + std::sin(0.4 * u + 0.3 * v + static_cast<double>(c))));
    }
  return out;
}

/// Device memory, and how much of it there was at most.
class counted final : public device_resource {
 public:
  void* allocate(std::size_t bytes, cudaStream_t stream) override
  {
    void* const out = default_resource().allocate(bytes, stream);
    now_ += bytes;
    most_ = std::max(most_, now_);
    return out;
  }
  void release(void* memory, std::size_t bytes, cudaStream_t stream) noexcept override
  {
    now_ -= bytes;
    default_resource().release(memory, bytes, stream);
  }
  std::size_t now() const { return now_; }
  std::size_t most() const { return most_; }

 private:
  std::size_t now_ = 0, most_ = 0;
};

}  // namespace

void losses(card const& c)
{
  counted memory;
  gpu const where{.resource = &memory};
  index_t const B = 16, H = 128, W = 128;
  auto labels = make_grid<std::int32_t>({B, H, W});
  for (index_t b = 0; b < B; ++b)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        labels(b, y, x) = (y / 24 + x / 40 + b) % 5 == 4 ? 255 : (y / 24 + x / 40 + b) % 3 * 7;
  auto const logits = to_device(where, drawn<float, 3>({B, H, W}, -4, 2));
  auto const field = to_device(where, drawn<float, 4>({B, 2, H, W}, -5, 5));
  auto const known = to_device(where, labels);
  auto by_logits = make_grid<float>(where, {B, H, W});
  auto by_field = make_grid<float>(where, {B, index_t{2}, H, W});
  auto value = make_grid<affinity_loss_values>(where, {1});
  std::size_t const before = memory.now();
  affinity_loss_scratch<gpu> scratch(where, {B, H, W});
  double const ms = median_ms(where, [&] {
    affinity_displacement_loss_into<float>(where, logits.view(), field.view(), known.view(), {.radius = 10},
                                           by_logits.view(), by_field.view(), value.view(), scratch);
  });
  report(c, "affinity + displacement loss, 16 x 128x128, r 10", ms, static_cast<double>(B), 0, 0);
  double const megabytes = 1e-6 * static_cast<double>(memory.most() - before);
  std::printf("%-44s %9.1f MB\n", "  its memory beside inputs and gradients", megabytes);
#if defined(CAMBIUM_BENCH_TORCH)
  auto const torch = affinity_loss_in_torch(logits.view().data, field.view().data, known.view().data, B, H, W);
  double const ours = to_host(where, value)(0).total();
  report(c, "baseline: the same in LibTorch, as published", torch.ms, static_cast<double>(B), 0, 0);
  std::printf("%-44s %9.1f MB  %.0f times as slow, %.0f times the memory; totals %.6f and %.6f\n",
              "  its memory beside inputs", torch.megabytes, torch.ms / ms, torch.megabytes / megabytes, torch.total,
              ours);
  if (!(std::abs(torch.total - ours) < 1e-4 * std::abs(ours))) throw std::runtime_error("LibTorch's loss is not ours");
#endif
}

void crf(card const& c)
{
  gpu const where;
  for (index_t const L : {3, 21}) {
    auto labels = make_grid<std::int32_t>({375, 500});
    for (index_t y = 0; y < 375; ++y)
      for (index_t x = 0; x < 500; ++x) labels(y, x) = static_cast<std::int32_t>((y / 90 + x / 130) % L);
    auto const image = to_device(where, photograph(375, 500));
    auto const known = to_device(where, labels);
    double const ms = median_ms(where, [&] {
      dense_crf const field(where, image, crf_preset::irn());
      (void)refine_labels(where, field, known, L, {.iterations = 10});
    });
    report(c, ("dense CRF 375x500, labels: " + std::to_string(L) + ", lattices included").c_str(), ms, 1, 0, 0);
    dense_crf const field(where, image, crf_preset::irn());
    report(c, ("dense CRF 375x500, labels: " + std::to_string(L) + ", inference").c_str(),
           median_ms(where, [&] { (void)refine_labels(where, field, known, L, {.iterations = 10}); }), 1, 0, 0);
  }
}

}  // namespace bench
