// Writes a few sound inputs for each target: where a fuzzer starts.
//
//   make_seeds FOLDER

#include <cambium/io/coco_write.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/points.hpp>
#include <cambium/io/rle_masks.hpp>

#include <cstdio>
#include <map>
#include <string>

using namespace cambium;
using namespace std::string_literals;

int main(int count, char** arguments)
{
  if (count != 2) {
    std::fputs("usage: make_seeds FOLDER\n", stderr);
    return 2;
  }
  std::filesystem::path const folder(arguments[1]);
  std::map<std::string, int> number;
  auto const seed = [&](std::string const& target, auto const& content) {
    replace_file(folder / target / std::to_string(number[target]++), content);
  };

  grid<std::int32_t, 2> labels(5, 6);
  grid<std::uint8_t, 3> photograph(5, 6, 3);
  grid<float, 3> cams(2, 3, 4);
  for (index_t y = 0; y < 5; ++y)
    for (index_t x = 0; x < 6; ++x) {
      labels(y, x) = y > 1 && x > 2 ? 15 : y == 0 ? 255 : 0;
      for (index_t c = 0; c < 3; ++c) photograph(y, x, c) = static_cast<std::uint8_t>(40 * y + 10 * x + c);
    }
  for (index_t i = 0; i < cams.size(); ++i) cams.data()[i] = static_cast<float>(i) / 24;

  seed("npy", format_npy(labels.view()));
  seed("npy", format_npy(cams.view()));
  seed("npy", format_npy(photograph.view()));
  std::string const header = "{'descr': '>i2', 'fortran_order': True, 'shape': (1, 2), } \n";
  seed("npy", "\x93NUMPY\x02"s + '\0' + static_cast<char>(header.size()) + "\0\0\0"s + header + "\0\1\0\2"s);
  seed("png", format_labels(labels, voc_palette()));
  seed("png", format_labels(labels, std::vector<rgb>(256)));
  seed("png", format_ids(labels));
  seed("png", format_photograph_png(photograph));
  seed("jpeg", format_jpeg(photograph));
  seed("jpeg", format_jpeg(photograph, 20));

  auto const mask = encode_rle(labels);
  coco_dataset set{{{1, 5, 6, "a.jpg"}, {2, 40, 40, "b.jpg"}}, {{1, "person", ""}, {90, "toothbrush", "indoor"}}, {}};
  set.annotations.push_back(annotate(1, 1, mask));
  set.annotations.push_back(set.annotations[0]);
  set.annotations[1].image_id = 2;
  set.annotations[1].segmentation = coco_polygons{{1, 2, 30.5, 4, 20, 35.25}, {0, 0, 5, 0, 5, 5, 0, 5}};
  seed("coco", format_coco(set));
  seed("coco",
       std::string(
           R"({"images":[{"id":1,"height":2,"width":2}],"categories":[{"id":3,"name":"x"}],"annotations":[)"
           R"({"id":1,"image_id":1,"category_id":3,"iscrowd":1,"segmentation":{"size":[2,2],"counts":[1,2,1]}}]})"));
  seed("coco", R"([{"segmentation": {"size": [5, 6], "counts": [3, 4, 23]}, "area": 4, "bbox": [0, 3, 1, 1],
    "predicted_iou": 0.9, "point_coords": [[1.5, 2]], "stability_score": 0.97, "crop_box": [0, 0, 6, 5]}])");
  seed("coco", format_coco_results({{1, 1, mask, 0.5}, {2, 90, rle_of_box({9, 9}, 1, 1, 4, 4), 1}}));

  seed("voc",
       std::string("<annotation><filename>a.jpg</filename><size><width>500</width><height>281</height></size>"
                   "<object><name>cat</name><truncated>0</truncated><difficult>1</difficult><bndbox>"
                   "<xmin>104</xmin><ymin>78.5</ymin><xmax>375</xmax><ymax>183</ymax></bndbox></object></annotation>"));
  seed("voc", std::string("<?xml version=\"1.0\"?><!-- c --><annotation><size><width>9</width><height>9</height></size>"
                          "<![CDATA[x]]>&lt;<object a='1'/></annotation>"));
  seed("list", std::string("2007_000032\n2007_000033 1 15 # two\n/JPEGImages/a.jpg /SegmentationClassAug/a.png\r\n"));
  seed("points", format_points({{3, 4, 14, 0.9123}, {10, 2, 0, 1}}));
  seed("points", std::string("1.5 2e1 3\n# by hand\n4 5 6 .25"));
  std::string const size{static_cast<char>(5), static_cast<char>(6)};
  seed("rle", size + compressed_counts(mask));
  seed("rle", size + compressed_counts({5, 6, {0, 30}}));
}
