#include <cambium/io/coco.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include <cstdio>

using namespace cambium;

int main()
{
  grid<std::int32_t, 2> labels(6, 7);
  labels(2, 3) = 15;
  bool const png = to_labels(parse_png(format_labels(labels, voc_palette()), "labels"), "labels") == labels;
  bool const npy = to_grid<std::int32_t, 2>(parse_npy(format_npy(labels.view()), "labels"), "labels") == labels;
  grid<std::uint8_t, 3> const black(6, 7, 3);
  bool const jpeg = parse_jpeg(format_jpeg(black), "black") == black;
  bool const coco = compressed_counts(encode_rle({6, 7}, {}, [](index_t, index_t) { return false; })) == "Z1";
  std::printf("png %d npy %d jpeg %d coco %d\n", png, npy, jpeg, coco);
}
