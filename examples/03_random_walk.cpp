// 03  A random walk that boundaries stop.
//
// The map has one seed and a fence with a gap. The walk fills the left side evenly and leaks through the gap.
//
//   $ ./03_random_walk
//
// Read 02_path_affinity first. Next: 04_components.

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/walk/random_walk.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

int main()
{
  using namespace cambium;
  index_t const H = 9, W = 40, fence = 18, gap = 4;

  // 1. Seeds [1,H,W] and a boundary [H,W].
  grid<float, 3> seeds(1, H, W);
  seeds(0, 2, 4) = 1;
  grid<float, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y)
    if (y != gap) boundary(y, fence) = 1;

  // 2. One transition, many steps.
  auto const edges = stencil::disc(3);
  auto const transition = make_transition(cpu{}, edges, path_affinity(cpu{}, boundary, edges), {.beta = 10});
  auto const spread = random_walk(cpu{}, seeds, transition, {.steps = 256});

  // 3. Draw it: one character per cell; darker is larger.
  float const most = *std::max_element(spread.cells().begin(), spread.cells().end());
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x)
      std::putchar(boundary(y, x) > 0 ? '|' : " .:-=+*#%@"[static_cast<int>(9.3f * spread(0, y, x) / most)]);
    std::putchar('\n');
  }

  // 4. The same within a tolerance: about a third of the work.
  auto const quick = random_walk(cpu{}, seeds, transition, {.steps = 256, .tolerance = 1e-4});
  float gap_of_both = 0;
  for (std::size_t i = 0; i < quick.cells().size(); ++i)
    gap_of_both = std::max(gap_of_both, std::abs(quick.cells()[i] - spread.cells()[i]));
  std::printf("accelerated: %s\n", gap_of_both <= 1e-4f ? "within the tolerance" : "outside the tolerance");
}
