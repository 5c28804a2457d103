#include "target.hpp"

#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>

using namespace cambium;

void one_input(bytes const& file)
{
  auto const image = parse_png(file, "png");
  must(image.height >= 1 && image.width >= 1 && 1 <= image.channels && image.channels <= 4, "a sound size");
  if (image.height * image.width > 1 << 20) return;  // what follows is plain loops
  if (image.channels == 1 && image.depth == 8) {
    auto const labels = to_labels(image, "png");
    must(to_labels(parse_png(format_labels(labels, voc_palette()), "again"), "again") == labels, "labels come back");
  }
  try {
    auto const numbers = parse_label_map(file, "png");
    must(numbers == to_labels(image, "png"), "a label map is as it stands");
    auto const hint = label_map_hint(numbers, 20);
    must(hint.empty() || hint.rfind("; ", 0) == 0, "a hint is the end of a message");
  } catch (io_error const&) {
    // a colour image, or a palette that was written anew
  }
  auto const photograph = to_photograph(image, "png");
  must(to_photograph(parse_png(format_photograph_png(photograph), "again"), "again") == photograph,
       "the photograph comes back");
}
