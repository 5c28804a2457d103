#include "data/coco_set.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco_data.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
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
  coco_set open(bool with_objects_only = true, cambium::crowds how = cambium::crowds::ignore) const
  {
    return coco_set({in / "set.json", in / "photos", with_objects_only, how});
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
  CHECK(one.boxes[2].bounds == box{5, 4, 7, 6});   // the one between is 0 x 0
  CHECK(one.points.empty());
}

TEST_CASE("coco_set: truth", "[picture]")
{
  folder const f;
  coco_set const s = f.open();
  auto const t = s.truth(0);
  // Annotations 2 and 4 lie wholly under the last one.
  CHECK(has_truth(s, 0));
  CHECK(has_truth(f.open(false), 2));  // a crowd alone
  REQUIRE(t.found.size() == 2);
  CHECK(t.found[0].category == 1);
  CHECK(t.found[0].bounds == box{2, 1, 6, 5});
  CHECK(t.found[0].area == 15);
  CHECK(t.found[1].category == 2);
  CHECK(t.found[1].area == 4);
  CHECK(t.label(2, 1) == 1);
  CHECK(t.label(5, 4) == 2);
  CHECK(t.label(9, 0) == 0);
  CHECK(s.ignored(0)(9, 0) == 1);
  CHECK(s.ignored(0)(9, 1) == 0);
  CHECK(f.open(false).ignored(2)(7, 8) == 1);
  CHECK(f.open(false).truth(2).found.empty());
}

TEST_CASE("coco_set: crowds are neither objects nor background, or objects", "[picture]")
{
  folder const f;
  coco_set const s = f.open();
  CHECK(s.remarks().at(0).find("set.json: 2 of 7 annotations are crowds (2 of 'bicycle'); their pixels are neither") !=
        std::string::npos);
  auto const one = s.load(0);
  CHECK(one.unsure_tags == ids{0});  // nobody says that there is no bicycle
  REQUIRE(one.ignored.size() == 120);
  CHECK((one.ignored(0, 0) == 1 && one.ignored(0, 1) == 0));

  coco_set const all = f.open(true, cambium::crowds::objects);
  CHECK(all.size() == 3);
  auto const with = all.load(0);
  CHECK(with.tags == ids{0, 1, 2});
  CHECK((with.unsure_tags.empty() && with.ignored.size() == 0 && with.boxes.size() == 4));
  CHECK(all.truth(0).label(9, 0) == 2);
  CHECK(all.ignored(0).size() == 0);
  CHECK(all.weak_labels() != s.weak_labels());
}

TEST_CASE("coco_set: other pixels of crowds are other weak labels, other masks of objects are not", "[property]")
{
  folder const f;
  auto const before = f.open().weak_labels();
  auto const with = [&](std::string const& from, std::string const& to) {
    std::string text = three_images;
    text.replace(text.find(from), from.size(), to);
    replace_file(f.in / "set.json", text);
    return f.open().weak_labels();
  };
  CHECK(with("[0, 10, 110]", "[0, 20, 100]") != before);
  CHECK(with(R"({"size": [10, 12], "counts": [0, 10, 110]})", "[[0, 0, 1, 0, 1, 10, 0, 10]]") !=
        with(R"({"size": [10, 12], "counts": [0, 10, 110]})", "[[0, 0, 2, 0, 2, 10, 0, 10]]"));
  CHECK(with("[[1, 2, 5, 2, 5, 6, 1, 6]]", "[[1, 2, 5, 2, 5, 6, 1, 5]]") == before);
}

TEST_CASE("coco_set: a crowd without a mask is its box; objects stand above crowds", "[picture]")
{
  folder const f;
  replace_file(f.in / "set.json", std::string_view(R"({
    "images": [{"id": 1, "height": 10, "width": 12, "file_name": "one.jpg"}], "categories": [{"id": 1, "name": "a"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 2, 0, 2, 4, 0, 4]]},
                    {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": true, "bbox": [1, 1, 4, 4]}]})"));
  coco_set const s = f.open();
  CHECK(s.load(0).ignored(1, 1) == 1);  // a box says less than a crowd: nothing is known there
  auto const ignored = s.ignored(0);
  CHECK((ignored(1, 1) == 0 && ignored(1, 2) == 1 && ignored(4, 4) == 1 && ignored(5, 5) == 0));
  CHECK(s.load(0).unsure_tags.empty());  // it is a tag
}

TEST_CASE("coco_same_name_two_folders: two photographs, two ids", "[reference]")
{
  folder const f;
  auto const set_of = [&](std::string const& first, std::string const& second) {
    std::string text = R"({"images": [{"id": 4, "height": 10, "width": 12, "file_name": "FIRST"},
                                      {"id": 9, "height": 10, "width": 12, "file_name": "SECOND"}],
      "categories": [{"id": 1, "name": "a"}], "annotations": [
      {"id": 1, "image_id": 4, "category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": []},
      {"id": 2, "image_id": 9, "category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": []}]})";
    text.replace(text.find("FIRST"), 5, first), text.replace(text.find("SECOND"), 6, second);
    replace_file(f.in / "set.json", text);
    return refusal([&] { (void)f.open(); });
  };
  auto const photograph = cambium::format_jpeg(grid<std::uint8_t, 3>(10, 12, 3));
  replace_file(f.in / "photos/a/1.jpg", photograph), replace_file(f.in / "photos/b/1.jpg", photograph);
  REQUIRE(set_of("a/1.jpg", "b/1.jpg").empty());
  coco_set const s = f.open();
  CHECK((s.id(0) == "a/1" && s.id(1) == "b/1" && s.load(1).id == "b/1"));
  CHECK((s.file_name(1) == "b/1.jpg" && s.image_id(1) == 9));
  CHECK(set_of("1.jpg", "1.png")
            .find("the file_name of image 9 is '1.png', and that of image 4 '1.jpg': both would be "
                  "'1' without their endings") != std::string::npos);
  CHECK(set_of("1.jpg", "./1.jpg").find("both would be '1'") != std::string::npos);
  CHECK(set_of("1.jpg", "../1.jpg").find("image 9 '../1.jpg' names no file below its folder") != std::string::npos);
  CHECK(set_of("/1.jpg", "b.jpg").find("image 4 '/1.jpg' is an absolute path") != std::string::npos);
}

TEST_CASE("coco_empty_segmentation: no mask is no truth", "[errors]")
{
  folder const f;
  for (auto const* const none : {"[]", "[[]]", "null", "{}", "\"\""}) {
    replace_file(f.in / "set.json", R"({"images": [{"id": 1, "height": 10, "width": 12, "file_name": "one.jpg"}],
      "categories": [{"id": 1, "name": "a"}], "annotations": [
      {"id": 5, "image_id": 1, "category_id": 1, "bbox": [2, 3, 6, 4], "segmentation": )" +
                                        std::string(none) + "}]}");
    coco_set const s = f.open();
    REQUIRE(s.load(0).boxes.size() == 1);
    CHECK_FALSE(has_truth(s, 0));
    CHECK(refusal([&] { (void)s.truth(0); }).find("set.json: annotation 5 of image one.jpg has no mask") !=
          std::string::npos);
  }
}

TEST_CASE("coco_boxes_lost: the tag stays, and the image says that a box is lost", "[errors]")
{
  folder const f;
  coco_set const s = f.open();
  auto const one = s.load(0);
  CHECK(one.lost_box ==
        (f.in / "set.json").string() + ": annotations[3].bbox: is 0 wide and 0 high, in image one.jpg (id 4)");
  CHECK(s.remarks().back() == one.lost_box);
  CHECK(std::count(one.tags.begin(), one.tags.end(), 1) == 1);
}

TEST_CASE("coco_png_by_ending: a photograph is what is in its file", "[reference]")
{
  folder const f;
  replace_file(f.in / "photos/one.jpg", cambium::format_photograph_png(grid<std::uint8_t, 3>(10, 12, 3)));
  CHECK(f.open().load(0).photograph.shape() == std::array<index_t, 3>{10, 12, 3});
}

TEST_CASE("coco_set: every class has a name of its own", "[picture]")
{
  folder const f;
  replace_file(f.in / "set.json", std::string_view(R"({
    "images": [{"id": 1, "height": 10, "width": 12, "file_name": "one.jpg"}],
    "categories": [{"id": 3, "name": "crane"}, {"id": 18}, {"id": 7, "name": "crane"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 18, "bbox": [0, 0, 4, 4]}]})"));
  CHECK(f.open().class_names() == std::vector<std::string>{"crane (3)", "crane (7)", "category 18"});
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
  contains(refusal([&] { (void)s.truth(1); }), "set.json: annotation 6 of image two.jpg has no mask");
  CAMBIUM_THROWS_SAYING((void)s.load(2), precondition_error, "image 2 of 2");
  CAMBIUM_THROWS_SAYING((void)s.category_id(3), precondition_error, "class 3 is outside 0..2");
  auto const opening = [&](std::string const& text) {
    replace_file(f.in / "other.json", std::string_view(text));
    return refusal([&] { coco_set const o({f.in / "other.json", f.in / "photos", true, cambium::crowds::ignore}); });
  };
  contains(opening("{"), "other.json: ");
  contains(opening(R"({"images":[],"annotations":[],"categories":[]})"), "other.json: has no category");
  contains(opening(R"({"images":[],"annotations":[],"categories":[{"id":1,"name":"a","supercategory":""}]})"),
           "other.json: has no image with objects");
  contains(opening(R"({"images":[],"categories":[{"id":1,"name":"a","supercategory":""}],
                       "annotations":[{"id":1,"image_id":4,"category_id":1,"area":1,"bbox":[0,0,1,1]}]})"),
           "annotations[0].image_id");
  contains(refusal([&] { coco_set const o({f.in / "none.json", f.in / "photos", true, cambium::crowds::ignore}); }),
           "none.json: No such file");
  contains(refusal([&] { coco_set const o({f.in / "set.json", f.in / "away", true, cambium::crowds::ignore}); }),
           "away: there is no such folder");
}
