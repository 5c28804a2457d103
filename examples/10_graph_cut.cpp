// 10  Graph cut: labels with short borders that follow boundaries.
//
// The input is a map of noisy labels of three classes and a boundary map. A cell pays for a label that differs from
// its input. Two neighbours pay for different labels: little across a boundary, much elsewhere. The cut is exact for
// two labels; more labels use alpha-expansion.
//
//   $ ./10_graph_cut
//
// Next: 11_irnet.

#include <cambium/affinity/path_affinity.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/instance/graph_cut.hpp>

#include <cstdio>

using namespace cambium;

static void draw(char const* title, grid<std::int32_t, 2> const& label)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < label.shape()[0]; ++y) {
    for (index_t x = 0; x < label.shape()[1]; ++x)
      std::putchar(label(y, x) == label::background ? '.' : static_cast<char>('0' + label(y, x)));
    std::putchar('\n');
  }
}

int main()
{
  char const* const picture[] = {
      "..............................",  // b: a boundary, 1 and 2: noisy labels of two objects
      "...bbbbbbbb......1............",  //
      "..b11.1..1.b...bbbbbbbbbbb....",  //
      "..b.1.11.1.b..b.2..2.22222b...",  //
      "..b1.111.11b..b2.22.2.12..b...",  //
      "..b11..1.1.b..b2.22222.22.b..2",  //
      ".2.bbbbbbbb....bbbbbbbbbbb....",  //
      "..............................",  //
  };
  index_t const H = 8, W = 30;
  grid<std::int32_t, 2> seen(H, W);
  grid<float, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      char const c = picture[y][x];
      boundary(y, x) = c == 'b' ? 0.95f : 0.05f;
      seen(y, x) = c == '1' ? 1 : c == '2' ? 2 : 0;
    }
  draw("seen", seen);

  auto const unary = unary_from_labels(cpu{}, seen, 3, {.gt_prob = 0.6});
  stencil const four{2, {{0, 1}, {1, 0}}};
  auto const weights = path_affinity(cpu{}, boundary, four);

  auto const cut = graph_cut(cpu{}, unary, four, weights, {.smoothness = 0.8});
  draw("cut", cut.label);
  std::printf("energy %.3f, %s after %d rounds\n", cut.energy, cut.settled ? "settled" : "stopped", cut.rounds);

  // A cell of 255 has no cost of its own. Its neighbours decide its label.
  auto start = cut.label;
  for (index_t y = 3; y < 6; ++y)
    for (index_t x = 15; x < 22; ++x) start(y, x) = label::ignore;
  auto const filled = graph_cut(cpu{}, unary, four, weights, start, {.smoothness = 0.8});
  draw("half of an object unknown", filled.label);
}
