// 11  IRNet's whole label synthesis: CAMs, a boundary map and a displacement field become masks.
//
//   $ ./11_irnet
//
// The map shows two objects of one class side by side, and one of another class.

#include <cambium/pipeline/irnet.hpp>

#include <algorithm>
#include <cstdio>

int main()
{
  using namespace cambium;
  extent2 const image{61, 121};
  index_t const h = (image.height - 1) / 4 + 1, w = (image.width - 1) / 4 + 1;  // maps at stride 4: 16 x 31

  // 1. Made-up outputs of networks. Object 0: columns 1-9, object 1: columns 11-19, object 2: columns 21-29.
  grid<float, 3> cams(2, h, w), displacement(2, h, w);
  grid<float, 2> boundary(h, w);
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) {
      index_t const object = x / 10, centre = 10 * object + 5;
      bool const inside = y >= 2 && y <= 13 && x % 10 != 0;
      boundary(y, x) = inside ? 0.02f : 0.95f;
      bool const part =
          inside && y < 8 && std::abs(static_cast<int>(x - centre)) < 3;  // a CAM covers only the telling part
      if (part) cams(object == 2 ? 1 : 0, y, x) = 1;
      displacement(0, y, x) = static_cast<float>(0.6 * static_cast<double>(7 - y));
      displacement(1, y, x) = static_cast<float>(0.6 * static_cast<double>(std::min<index_t>(centre, 25) - x));
    }

  // 2. Label. keys are the classes of the channels, 0-based; labels are keys + 1.
  auto const labels = irnet<float>(cpu{}, {cams.view(), {2, 6}, boundary.view(), displacement.view(), image});

  // 3. Look: one character for 4 x 4 pixels, the class and the number of the instance.
  for (index_t y = 2; y < image.height; y += 8) {
    for (index_t x = 2; x < image.width; x += 4)
      std::putchar(labels.semantic(y, x) == 0 ? '.' : static_cast<char>('0' + labels.semantic(y, x)));
    std::putchar(' ');
    for (index_t x = 2; x < image.width; x += 4)
      std::putchar(labels.objects.label(y, x) == 0 ? '.' : static_cast<char>('a' + labels.objects.label(y, x) - 1));
    std::putchar('\n');
  }
  for (auto const& o : labels.objects.found)
    if (o.score > 0) std::printf("class %d, score %.2f\n", o.category + 1, o.score);
}
