#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/voc.hpp>

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
  std::string const set = format_coco({{{1, 6, 7, "a.jpg"}}, {{3, "car", ""}}, {annotate(1, 3, encode_rle(labels))}});
  bool const coco = format_coco(parse_coco({set.begin(), set.end()}, "set")) == set;
  std::string const xml = "<annotation><size><width>7</width><height>6</height></size></annotation>";
  bool const voc = parse_voc_annotation({xml.begin(), xml.end()}, "xml").width == 7;
  std::printf("png %d npy %d jpeg %d coco %d voc %d\n", png, npy, jpeg, coco, voc);
}
