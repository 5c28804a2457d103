// 13  Label uncertainty: boxes become masks while a network trains.
//
// A disc lies in a box. The program makes up a network's output half-way through training: a Gaussian for every logit.
// Sigma is small on the disc. It is large on the background of the box, because the box calls it foreground and the
// rest of the image calls it background. After the warm-up the network's certain pixels replace the box. But the box
// always keeps foreground in each of its rows and columns.
//
//   $ ./13_label_uncertainty
//
// Next: docs/label_uncertainty.md.

#include <cambium/pipeline/label_uncertainty.hpp>

#include <cmath>
#include <cstdio>

using namespace cambium;

/// '.' background, '#' foreground, 'b' still a box, '?' ignored
static void draw(char const* title, grid<float, 4> const& target, grid<std::uint8_t, 4> const& trusted)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < target.shape()[2]; ++y) {
    for (index_t x = 0; x < target.shape()[3]; ++x) {
      auto const kind = trusted(0, 0, y, x);
      std::putchar(kind == trust::ignored ? '?' : kind == trust::boxed ? 'b' : target(0, 0, y, x) > 0.5f ? '#' : '.');
    }
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 14, W = 36;
  grid<float, 4> mean(1, 1, H, W), log_variance(1, 1, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const far = std::hypot(static_cast<double>(y) - 6.5, (static_cast<double>(x) - 17.5) / 2) / 5.2;
      mean(0, 0, y, x) = static_cast<float>(9 * (1 - far));          // above 0 on the disc
      log_variance(0, 0, y, x) = static_cast<float>(5 * far - 5.5);  // sigma 0.1 in the middle, 1 and more outside
    }
  std::vector<weak_annotation<>> const known{{{{{0, 6, 13, 29}, 0}}, {}}};  // rows 0..12, columns 6..28, class 0

  box_supervision_options options;
  options.loss.largest_sigma = 50;
  options.bootstrap.warm_up = 1000;
  options.bootstrap.confidence = 0.7;
  for (std::int64_t const iteration : {0, 1000}) {
    auto const step = box_supervision(cpu{}, mean, log_variance, known, iteration, options);
    std::printf("iteration %lld: loss %.3f, %lld cells became foreground, %lld background, %lld were put back\n",
                static_cast<long long>(iteration), step.loss.value, static_cast<long long>(step.foreground),
                static_cast<long long>(step.background), static_cast<long long>(step.restored));
    draw("labels", step.target, step.trusted);
  }
}
