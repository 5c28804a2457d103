// 17  Scribbles: a few strokes become labels along the edges of an image.
//
// Every cell takes the label of the stroke with the cheapest path. A path pays for its length and for the image's change.
// The confidence tells how much farther the next stroke is. A skeleton, and points far apart, are the way back: from a
// label to marks, for example to prompt a segmentation model.
//
//   $ ./17_scribbles
//
// Next: 18_normalised_cut.

#include <cambium/component/farthest_points.hpp>
#include <cambium/component/skeleton.hpp>
#include <cambium/pipeline/scribbles.hpp>

#include <cstdio>

using namespace cambium;

static void draw(char const* title, grid<std::int32_t, 2> const& map)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < map.shape()[0]; ++y) {
    for (index_t x = 0; x < map.shape()[1]; ++x)
      std::putchar(map(y, x) == 0 ? '.' : map(y, x) == 255 ? '?' : static_cast<char>('0' + map(y, x)));
    std::putchar('\n');
  }
}

int main()
{
  // Grey levels: ' ' 20, 'o' 120. Strokes: '0' is background, digits are classes; what is under a stroke is one of 'o'
  // but for the background.
  char const* const picture[] = {
      "000                     ",  //
      "   oooooo     oooooooo  ",  //
      "  oo3ooooo   ooooo3ooo  ",  //
      "  oo33oooo   oooo33ooo  ",  //
      "   ooooooo    ooooooo   ",  //
      "                        ",  //
      "    oooooooooooooo      ",  //
      "    ooooooo111oooo   0  ",  //
      "    oooooooooooooo   0  ",
  };
  index_t const H = 9, W = 24;
  grid<std::uint8_t, 3> image(H, W, 1);
  grid<std::int32_t, 2> strokes(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      char const c = picture[y][x];
      image(y, x, 0) = c == ' ' || c == '0' ? 20 : 120;
      strokes(y, x) = c == ' ' || c == 'o' ? 255 : c - '0';
    }
  draw("strokes", strokes);

  scribble_input<float> marked;
  marked.image = image.view();
  marked.scribbles = strokes.view();
  auto const labels = scribble_labels(cpu{}, marked);
  draw("classes", labels.semantic);
  draw("objects", labels.objects.label);
  for (auto const& o : labels.objects.found)
    std::printf("class %d, area %2d, mean confidence %.2f\n", o.category + 1, static_cast<int>(o.area), o.score);

  draw("their skeletons", skeleton(cpu{}, labels.objects.label));
  auto const count = static_cast<index_t>(labels.objects.found.size());
  auto const prompts = farthest_points(cpu{}, labels.objects.label, count, 3);
  for (index_t l = 1; l <= count; ++l) {
    std::printf("points of object %d:", static_cast<int>(l));
    for (index_t i = prompts.first[static_cast<std::size_t>(l - 1)]; i < prompts.first[static_cast<std::size_t>(l)];
         ++i)
      std::printf(" (%d,%d)", static_cast<int>(prompts.at[static_cast<std::size_t>(i)].y),
                  static_cast<int>(prompts.at[static_cast<std::size_t>(i)].x));
    std::putchar('\n');
  }
}
