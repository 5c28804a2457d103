#include "data/coco_set.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>

#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::box;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;
using cambium::replace_file;
using support::refusal;

namespace {

using ids = std::vector<std::int32_t>;

char const* const three_images = R"({
"images": [{"id": 7, "height": 10, "width": 12, "file_name": "one.jpg"},
           {"id": 3, "height": 8, "width": 9, "file_name": "two.jpg"},
           {"id": 5, "height": 8, "width": 9, "file_name": "three.jpg"}],
"categories": [{"id": 44, "name": "bottle", "supercategory": ""}, {"id": 2, "name": "bicycle", "supercategory": ""},
               {"id": 90, "name": "toothbrush", "supercategory": ""}],
"annotations": [
 {"id": 1, "image_id": 7, "category_id": 44, "iscrowd": 0, "area": 12, "bbox": [1.5, 2.25, 3.2, 4],
  "segmentation": [[1, 2, 5, 2, 5, 6, 1, 6]]},
 {"id": 2, "image_id": 7, "category_id": 90, "iscrowd": 0, "area": 4, "bbox": [4, 5, 30, 1],
  "segmentation": [[4, 5, 6, 5, 6, 7, 4, 7]]},
 {"id": 3, "image_id": 7, "category_id": 2, "iscrowd": 1, "area": 10, "bbox": [0, 0, 1, 10],
  "segmentation": {"size": [10, 12], "counts": [0, 10, 110]}},
 {"id": 4, "image_id": 7, "category_id": 44, "iscrowd": 0, "area": 1, "bbox": [4, 5, 0, 0],
  "segmentation": [[4, 5, 5, 5, 5, 6, 4, 6]]},
 {"id": 5, "image_id": 7, "category_id": 90, "iscrowd": 0, "area": 4, "bbox": [4, 5, 2, 2],
  "segmentation": [[4, 5, 6, 5, 6, 7, 4, 7]]},
 {"id": 6, "image_id": 3, "category_id": 2, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]},
 {"id": 8, "image_id": 5, "category_id": 2, "iscrowd": 1, "area": 4, "bbox": [0, 0, 2, 2],
  "segmentation": {"size": [8, 9], "counts": [0, 72]}}]})";

struct folder {
  folder()
  {
    replace_file(in / "photos/one.jpg", cambium::format_jpeg(grid<std::uint8_t, 3>(10, 12, 3)));
    replace_file(in / "photos/two.jpg", cambium::format_jpeg(grid<std::uint8_t, 3>(9, 8, 3)));
    replace_file(in / "set.json", std::string_view(three_images));
  }
  coco_set open(bool with_objects_only = true) const
  {
    return coco_set({in / "set.json", in / "photos", with_objects_only});
  }
  support::temporary_folder in;
};

}  // namespace

TEST_CASE("coco_set: dense classes, tags, boxes", "[picture]")
{
  folder const f;
  coco_set const s = f.open();
  CHECK(s.class_names() == std::vector<std::string>{"bicycle", "bottle", "toothbrush"});
  CHECK(s.category_id(1) == 44);
  REQUIRE(s.size() == 2);  // of the third only a crowd is known
  CHECK(f.open(false).size() == 3);
  CHECK(s.id(0) == "one");
  CHECK(s.image_id(0) == 7);
  CHECK(s.file_name(0) == "one.jpg");
  auto const one = s.load(0);
  CHECK(one.tags == ids{1, 2});  // the crowd of bicycles is no tag
  REQUIRE(one.boxes.size() == 3);
  CHECK(one.boxes[0].bounds == box{2, 1, 7, 5});  // 1.5..4.7 and 2.25..6.25
  CHECK(one.boxes[0].category == 1);
  CHECK(one.boxes[1].bounds == box{5, 4, 6, 12});  // cut at the photograph
  CHECK(one.boxes[2].bounds == box{5, 4, 7, 6});   // the one between has no pixel
  CHECK(one.points.empty());
}

TEST_CASE("coco_set: truth", "[picture]")
{
  folder const f;
  coco_set const s = f.open();
  auto const t = s.truth(0);
  // Annotations 2 and 4 lie wholly under the last one.
  REQUIRE(t.found.size() == 2);
  CHECK(t.found[0].category == 1);
  CHECK(t.found[0].bounds == box{2, 1, 6, 5});
  CHECK(t.found[0].area == 15);
  CHECK(t.found[1].category == 2);
  CHECK(t.found[1].area == 4);
  CHECK(t.label(2, 1) == 1);
  CHECK(t.label(5, 4) == 2);
  CHECK(t.label(9, 0) == 0);
  CHECK(s.crowd(0)(9, 0) == 1);
  CHECK(s.crowd(0)(9, 1) == 0);
  CHECK(f.open(false).crowd(2)(7, 8) == 1);
  CHECK(f.open(false).truth(2).found.empty());
}

TEST_CASE("coco_set: what is wrong is named, with its file", "[errors]")
{
  folder const f;
  auto const contains = [](std::string const& words, char const* part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
  };
  coco_set const s = f.open(), all = f.open(false);
  contains(refusal([&] { (void)s.load(1); }), "two.jpg: is 9 x 8 pixels, but");
  contains(refusal([&] { (void)all.load(2); }), "three.jpg: No such file");
  contains(refusal([&] { (void)s.truth(1); }), "set.json: annotation 6 has no mask");
  CAMBIUM_THROWS_SAYING((void)s.load(2), precondition_error, "image 2 of 2");
  CAMBIUM_THROWS_SAYING((void)s.category_id(3), precondition_error, "class 3 is outside 0..2");
  auto const opening = [&](std::string const& text) {
    replace_file(f.in / "other.json", std::string_view(text));
    return refusal([&] { coco_set const o({f.in / "other.json", f.in / "photos", true}); });
  };
  contains(opening("{"), "other.json: ");
  contains(opening(R"({"images":[],"annotations":[],"categories":[]})"), "other.json: has no category");
  contains(opening(R"({"images":[],"annotations":[],"categories":[{"id":1,"name":"a","supercategory":""}]})"),
           "other.json: has no image with objects");
  contains(opening(R"({"images":[],"categories":[{"id":1,"name":"a","supercategory":""}],
                       "annotations":[{"id":1,"image_id":4,"category_id":1,"area":1,"bbox":[0,0,1,1]}]})"),
           "annotations[0].image_id");
  contains(refusal([&] { coco_set const o({f.in / "none.json", f.in / "photos", true}); }), "none.json: No such file");
  contains(refusal([&] { coco_set const o({f.in / "set.json", f.in / "away", true}); }),
           "away: there is no such folder");
}
