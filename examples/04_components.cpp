// 04  Components: you choose which neighbours belong together.
//
// A mask has two touching blobs. Plain components find one. A boundary map divides them into two. The cells that the
// boundary took then go to the nearest component.
//
//   $ ./04_components
//
// Next: 05_displacement.

#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/component/statistics.hpp>

#include <cstdio>

using namespace cambium;

static void draw(char const* title, grid<std::int32_t, 2> const& label)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < label.shape()[0]; ++y) {
    for (index_t x = 0; x < label.shape()[1]; ++x)
      std::putchar(label(y, x) == 0 ? '.' : static_cast<char>('0' + label(y, x)));
    std::putchar('\n');
  }
}

int main()
{
  char const* const picture[] = {"..xxx..........", ".xxxxxx...xx...", ".xxxxxxbxxxxxx.",
                                 ".xxxxxxbxxxxxx.", "..xxx..........", "............x.."};
  index_t const H = 6, W = 15;
  grid<std::uint8_t, 2> mask(H, W);
  grid<float, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      mask(y, x) = picture[y][x] != '.';
      boundary(y, x) = picture[y][x] == 'b' ? 0.8f : 0.1f;
    }

  auto const plain = connected(cpu{}, mask, c4);
  draw("plain, 4-connected", plain.label);

  auto const parted = connected_if(
      cpu{}, {H, W}, c4, [&](index_t y, index_t x) { return mask(y, x) != 0 && boundary(y, x) < 0.5f; },
      below_boundary<float>{boundary.view(), 0.5f});
  draw("parted where the boundary reaches 0.5", parted.label);

  auto const whole = grow(cpu{}, drop_small(cpu{}, parted, 2), mask);
  draw("single cells dropped, the rest grown back", whole.label);

  for (auto const& s : statistics(cpu{}, whole.label, whole.count).cells())
    std::printf("area %2d, rows %d-%d, columns %d-%d, centre (%.1f, %.1f)\n", static_cast<int>(s.area),
                static_cast<int>(s.bounds.top), static_cast<int>(s.bounds.bottom) - 1, static_cast<int>(s.bounds.left),
                static_cast<int>(s.bounds.right) - 1, s.centroid_y, s.centroid_x);
}
