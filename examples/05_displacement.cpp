// 05  Displacement: every cell walks to the centre of its object.
//
// Each vector of the field points to one of two centres. The trace follows the vectors to an end. Cells whose ends lie
// in the same region of weak vectors are one instance.
//
//   $ ./05_displacement
//
// Next: 06_dense_crf.

#include <cambium/component/connected.hpp>
#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/trace.hpp>

#include <cstdio>

int main()
{
  using namespace cambium;
  index_t const H = 9, W = 30;
  grid<float, 3> field(2, H, W);  // (dy, dx), in cells
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const centre = x < 14 ? 6 : 22;
      field(0, y, x) = static_cast<float>(0.5 * (4 - static_cast<double>(y)));
      field(1, y, x) = static_cast<float>(0.5 * (centre - static_cast<double>(x)));
    }

  auto const ends = nearest_cells(cpu{}, trace(cpu{}, field, {.iterations = 300}));
  auto const regions = connected(cpu{}, weak_field(cpu{}, field, 2.5), c4);
  auto const map = cluster(cpu{}, regions.label, ends);
  std::printf("%d instances; the weak regions are upper case\n", static_cast<int>(map.count));
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x) std::putchar((regions.label(y, x) != 0 ? 'A' : 'a') + map.id(y, x));
    std::putchar('\n');
  }
  std::printf("cell (0,0) ends at (%d,%d), cell (8,29) at (%d,%d)\n", ends(0, 0, 0), ends(1, 0, 0), ends(0, 8, 29),
              ends(1, 8, 29));
}
