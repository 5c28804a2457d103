// 02  Affinities: how strongly two cells belong together.
//
// The map is a boundary with a gap. The affinity of two cells is 1 minus the largest boundary on the thick line
// between them. The program prints the affinity of each cell to the cell marked @.
//
//   $ ./02_path_affinity
//
// Read 01_arrays first. Next: 03_random_walk.

#include <cambium/affinity/path_affinity.hpp>

#include <cstdio>
#include <cstdlib>

int main()
{
  using namespace cambium;
  index_t const H = 9, W = 17, wall = 8, gap = 6, y0 = 4, x0 = 5;

  grid<float, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y) boundary(y, wall) = y == gap ? 0.1f : 0.9f;

  auto const edges = stencil::disc(5);
  auto const affinity = path_affinity(cpu{}, boundary, edges);  // [K,H,W]
  std::printf("%d edges a cell, each stored once\n", edges.size);

  // An edge is stored at the end that comes first in raster order. Look it up from either end.
  auto const between = [&](index_t ay, index_t ax, index_t by, index_t bx) {
    for (int k = 0; k < edges.size; ++k) {
      if (ay + edges.at[k].dy == by && ax + edges.at[k].dx == bx) return affinity(k, ay, ax);
      if (by + edges.at[k].dy == ay && bx + edges.at[k].dx == ax) return affinity(k, by, bx);
    }
    return -1.f;  // too far apart
  };
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x) {
      float const a = between(y0, x0, y, x);
      std::putchar(y == y0 && x == x0      ? '@'
                   : x == wall && y != gap ? '|'
                   : a < 0                 ? ' '
                                           : "0123456789+"[static_cast<int>(10 * a + 0.01f)]);
    }
    std::putchar('\n');
  }
}
