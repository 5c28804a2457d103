#include <cambium/io/coco_data.hpp>

#include "support/catch.hpp"
#include "support/coco_sample.hpp"
#include "support/temporary.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>

#include <set>
#include <string>
#include <vector>

using namespace cambium;
using support::sound, support::text, support::with;

TEST_CASE("the ids of COCO's classes", "[io][reference]")
{
  std::set<int> const never{12, 26, 29, 30, 45, 66, 68, 69, 71, 83};
  int next = 1;
  for (int id = 1; id <= 90; ++id) {
    if (never.contains(id)) {
      CAMBIUM_THROWS_SAYING(contiguous_category(id), precondition_error, "COCO has no category " + std::to_string(id));
      continue;
    }
    CHECK(contiguous_category(id) == next);
    CHECK(sparse_category(next) == id);
    ++next;
  }
  CHECK(next == 81);
  CHECK((sparse_category(0) == 0 && contiguous_category(0) == 0));
  CAMBIUM_THROWS_SAYING(sparse_category(81), precondition_error, "class 81 is outside 0..80");
  CAMBIUM_THROWS_SAYING(sparse_category(-1), precondition_error, "class -1 is outside");
  CAMBIUM_THROWS_SAYING(contiguous_category(91), precondition_error, "COCO has no category 91");
  CAMBIUM_THROWS_SAYING(contiguous_category(-3), precondition_error, "COCO has no category -3");
}

TEST_CASE("polygons of an annotation are united", "[io][reference]")
{
  coco_annotation a;
  coco_polygons const parts{{0, 0, 3, 0, 3, 3, 0, 3}, {2, 2, 5, 2, 5, 5, 2, 5}};
  a.segmentation = parts;
  auto const got = decode_rle(mask_of(a, {6, 6}));
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 6; ++x) CHECK(int{got(y, x)} == ((y < 3 && x < 3) || (y >= 2 && y < 5 && x >= 2 && x < 5)));
  a.segmentation = coco_polygons{};
  CAMBIUM_THROWS_SAYING(mask_of(a, {2, 3}), precondition_error, "annotation 0 has no segmentation");
}

TEST_CASE("damaged masks of annotations are refused", "[io][errors]")
{
  coco_annotation a{.id = 5};
  a.segmentation = rle{2, 3, {1, 2, 3}};
  CHECK(mask_of(a, {2, 3}).counts == std::vector<index_t>{1, 2, 3});
  CAMBIUM_THROWS_SAYING(mask_of(a, {3, 2}), precondition_error,
                        "mask_of: the mask of annotation 5 is 2 x 3 but its image 3 x 2");
  a.segmentation = rle{2, 3, {1, 2}};
  CAMBIUM_THROWS_SAYING(mask_of(a, {2, 3}), precondition_error, "mask_of: the counts end 3 pixels before the end");
  a.segmentation = rle{2, 3, {7}};
  CAMBIUM_THROWS_SAYING(mask_of(a, {2, 3}), precondition_error, "mask_of: count 0 runs past");
  a.segmentation = coco_polygons{{0, 0, 3, 0, 3}};
  CAMBIUM_THROWS_SAYING(mask_of(a, {-1, 3}), precondition_error, "mask_of: an image of -1 x 3");
  CAMBIUM_THROWS_SAYING(mask_of(a, {2, 3}), precondition_error, "rle_of_polygon: 5 numbers");
}

TEST_CASE("what a person should hear of a data set", "[io][picture]")
{
  auto const set = parse_coco(text(with("[0, 0, 1, 1]", "[7, 7, 1, 1]")), "set.json");
  auto const said = remarks_on(set, "set.json", crowds::ignore);
  REQUIRE(said.size() == 3);
  CHECK(
      said[0].rfind("set.json: 1 of 4 annotations are crowds (1 of 'toothbrush'); their pixels are neither objects nor "
                    "background.",
                    0) == 0);
  CHECK(said[1] == "set.json: 2 of 3 masks are the outlines of their boxes: these are boxes, not masks");
  CHECK(said[2] == "set.json: annotations[3].bbox: lies outside its image of 2 x 2, in image 9 (id 6)");
  CHECK(remarks_on(set, "set.json", crowds::objects)[0] ==
        "set.json: 1 of 4 annotations are crowds (1 of 'toothbrush'); they are taken as objects");

  auto other = set;
  other.annotations[0].segmentation = coco_polygons{{1, 0, 3, 0, 2, 1, 3, 2, 1, 2}};  // a bite is out of it
  CHECK_FALSE(is_box_outline(other.annotations[0]));
  other.annotations[1].segmentation = rle{3, 4, {0, 2, 10}};
  CHECK(is_box_outline(other.annotations[1]));
  other.annotations[1].segmentation = rle{3, 4, {0, 2, 2, 1, 7}};
  CHECK_FALSE(is_box_outline(other.annotations[1]));
  CHECK(remarks_on(parse_coco(text(format_coco({})), "none"), "none", crowds::ignore).empty());
}

TEST_CASE("the id of an image is its file's name with its folders", "[io][errors]")
{
  CHECK(id_of_file("a/1.jpg") == "a/1");
  CHECK(id_of_file("./b//1.v2.png") == "b/1.v2");
  CHECK(id_of_file("000000397133.jpg") == "000000397133");
  CHECK(id_of_file("x y") == "x y");
  auto const refused = [](std::string const& name) { return support::refusal([&] { (void)id_of_file(name); }); };
  CHECK(refused("") == "is missing");
  CHECK(refused("../1.jpg") == "'../1.jpg' names no file below its folder");
  CHECK(refused("a/../../1.jpg") == "'a/../../1.jpg' names no file below its folder");
  CHECK(refused("a/") == "'a/' names no file below its folder");
  CHECK(refused("/data/1.jpg") == "'/data/1.jpg' is an absolute path; names count from the folder of the photographs");
  CHECK(refused("a\\1.jpg") == "'a\\1.jpg' holds a backslash; folders are parted by '/'");
}

TEST_CASE("annotations and results meet", "[io][reference]")
{
  auto const set = parse_coco(text(sound), "set.json");
  rle const mask{2, 2, {4}};
  auto const groups = match_up(set, {{9, 3, mask, .1}, {7, 90, mask, .2}, {9, 90, mask, .3}, {9, 3, mask, .4}});
  REQUIRE(groups.size() == 4);
  using places = std::vector<std::size_t>;
  auto const check = [&](std::size_t i, std::int64_t image, int category, places const& a, places const& r) {
    CAPTURE(i);
    CHECK((groups[i].image_id == image && groups[i].category == category));
    CHECK(groups[i].annotations == a);
    CHECK(groups[i].results == r);
  };
  check(0, 7, 0, {0}, {});
  check(1, 7, 1, {1}, {1});
  check(2, 9, 0, {2, 3}, {0, 3});
  check(3, 9, 1, {}, {2});
  CAMBIUM_THROWS_SAYING(match_up(set, {{9, 3, mask, .1}, {8, 3, mask, .1}}), precondition_error,
                        "result 1 is of image 8, which the set does not have");
  CAMBIUM_THROWS_SAYING(match_up(set, {{9, 4, mask, .1}}), precondition_error,
                        "result 0 is of category 4, which the set does not have");
}

TEST_CASE("boxes that leave their image are said, and corners are guessed", "[io][picture]")
{
  coco_dataset set;
  set.images = {{1, 60, 90, "a.jpg"}};
  set.categories = {{1, "dog", ""}};
  auto const add = [&](std::array<double, 4> const& bbox) {
    coco_annotation a{.id = static_cast<std::int64_t>(set.annotations.size() + 1), .image_id = 1, .category_id = 1};
    a.bbox = bbox;
    set.annotations.push_back(a);
  };
  add({0, 0, 90, 60}), add({-1, -1, 92, 62});  // at most a pixel over each edge
  CHECK(remark_on_outer_boxes(set).empty());
  add({80, 50, 400, 300});
  CHECK(
      remark_on_outer_boxes(set) ==
      "1 of 3 boxes leave their image by more than a pixel and are cut off there (first annotation 3, [80,50,400,300] "
      "in 60 x 90)");
  CHECK(remarks_on(set, "set.json", crowds::ignore).at(0).rfind("set.json: 1 of 3 boxes leave", 0) == 0);
  set.annotations.clear();
  add({50, 30, 80, 55}), add({10, 40, 70, 58}), add({2, 3, 9, 12});
  CHECK(remark_on_outer_boxes(set).find("2 of 3 boxes leave") == 0);
  CHECK(remark_on_outer_boxes(set).find("; are these corners? COCO's boxes are [left, top, width, height]") !=
        std::string::npos);
  set.annotations[0].bbox = {50, 30, 20, 90};  // no corners: the right one is left of the left one
  CHECK(remark_on_outer_boxes(set).find("corners") == std::string::npos);
  set.annotations[1].box_error = "lost";
  set.annotations[0].box_error = "lost";
  CHECK(remark_on_outer_boxes(set).empty());
}
