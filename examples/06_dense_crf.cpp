// 06  Dense CRF: labels that follow the colours of an image.
//
// The image has a dark and a bright half. Some labels are wrong, and their border is off by two columns. The CRF
// connects every pixel with every other one, more strongly the nearer they are in place and colour. After ten steps
// the labels agree with the image. Energies may also come from probabilities or scores. Any subset of the labels may
// take part.
//
//   $ ./06_dense_crf
//
// Next: 07_metrics.

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/unary.hpp>

#include <cstdio>

using namespace cambium;

static void draw(char const* title, grid<std::int32_t, 2> const& label)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < label.shape()[0]; ++y) {
    for (index_t x = 0; x < label.shape()[1]; ++x) std::putchar(label(y, x) == 0 ? '.' : '#');
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 8, W = 32;
  grid<std::uint8_t, 3> image(H, W, 3);
  grid<std::int32_t, 2> labels(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      for (index_t c = 0; c < 3; ++c)
        image(y, x, c) = static_cast<std::uint8_t>((x < 16 ? 60 : 160) + (3 * x + 5 * y) % 7);
      labels(y, x) = (x >= 18) != ((7 * y + 5 * x) % 23 == 0);
    }
  draw("labels", labels);

  auto const unary = unary_from_labels(cpu{}, labels, 2, {.gt_prob = 0.7});
  dense_crf const crf(cpu{}, image, crf_preset::irn());  // built once, for any number of label maps
  auto state = crf.start(cpu{}, unary);
  std::printf("divergence %.0f\n", crf.divergence(cpu{}, state));
  for (int step = 0; step < 10; ++step) crf.step(cpu{}, state);
  std::printf("divergence %.0f after %lld steps\n", crf.divergence(cpu{}, state), static_cast<long long>(state.steps));
  draw("refined", argmax_labels(state));
}
