#include <cambium/io/coco.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace cambium;

namespace {

bytes text(std::string const& s) { return {s.begin(), s.end()}; }

std::string const sound = R"({
  "info": {"year": 2014}, "licenses": [],
  "images": [{"id": 7, "height": 3, "width": 4, "file_name": "a.jpg", "license": 1}, {"id": 9, "height": 2, "width": 2}],
  "categories": [{"id": 3, "name": "car", "supercategory": "vehicle"}, {"id": 90, "name": "toothbrush"}],
  "annotations": [
    {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 4, "bbox": [1, 0, 2, 2],
     "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]},
    {"id": 2, "image_id": 7, "category_id": 90, "iscrowd": 1, "area": 3.5, "bbox": [0, 0, 1, 3],
     "segmentation": {"size": [3, 4], "counts": [0, 3, 9]}},
    {"id": 5, "image_id": 9, "category_id": 3, "segmentation": {"size": [2, 2], "counts": "121"}},
    {"id": 6, "image_id": 9, "category_id": 3, "area": 1, "bbox": [0, 0, 1, 1]}
  ]})";

/// The sound file with one piece replaced.
std::string with(std::string const& what, std::string const& by)
{
  auto const at = sound.find(what);
  REQUIRE(at != std::string::npos);
  return std::string(sound).replace(at, what.size(), by);
}

std::string reason(std::string const& file)
{
  auto const why = support::refusal([&] { static_cast<void>(parse_coco(text(file), "set.json")); });
  REQUIRE((why.empty() || why.rfind("set.json: ", 0) == 0));
  return why.empty() ? "" : why.substr(10);
}

std::string result_reason(std::string const& file)
{
  auto const why = support::refusal([&] { static_cast<void>(parse_coco_results(text(file), "r.json")); });
  REQUIRE((why.empty() || why.rfind("r.json: ", 0) == 0));
  return why.empty() ? "" : why.substr(8);
}

}  // namespace

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

TEST_CASE("a data set is read", "[io][picture]")
{
  auto const set = parse_coco(text(sound), "set.json");
  REQUIRE((set.images.size() == 2 && set.categories.size() == 2 && set.annotations.size() == 4));
  CHECK((set.images[0].id == 7 && set.images[0].height == 3 && set.images[0].width == 4));
  CHECK((set.images[0].file_name == "a.jpg" && set.images[1].file_name.empty()));
  CHECK((set.categories[0].name == "car" && set.categories[0].supercategory == "vehicle"));
  auto const& a = set.annotations;
  CHECK((!a[0].iscrowd && a[0].area == 4 && a[0].bbox == std::array<double, 4>{1, 0, 2, 2}));
  CHECK(mask_of(a[0], {3, 4}).counts == std::vector<index_t>{3, 2, 1, 2, 4});
  CHECK((a[1].iscrowd && a[1].area == 3.5));  // what the file says, not what the mask has
  CHECK(mask_of(a[1], {3, 4}).counts == std::vector<index_t>{0, 3, 9});
  CHECK((!a[2].iscrowd && a[2].area == 2));  // missing: from the mask
  CHECK(a[2].bbox == std::array<double, 4>{0, 0, 2, 2});
  CAMBIUM_THROWS_SAYING(mask_of(a[3], {2, 2}), precondition_error, "annotation 6 has no segmentation");
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

TEST_CASE("data sets come back from their files", "[io][property]")
{
  support::temporary_folder const folder;
  auto set = parse_coco(text(sound), "set.json");
  set.annotations[3].id = 0;
  auto own = annotate(7, 90, encode_rle({3, 4}, {0, 1, 2, 3}, [](index_t, index_t) { return true; }));
  own.area = 0.1;
  set.annotations.push_back(own);
  write_coco(folder / "new/set.json", set);
  auto const back = read_coco(folder / "new/set.json");
  REQUIRE(back.annotations.size() == 5);
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < 5; ++i) {
    auto const &a = set.annotations[i], &b = back.annotations[i];
    ids.push_back(b.id);
    CHECK((a.image_id == b.image_id && a.category_id == b.category_id && a.iscrowd == b.iscrowd && a.area == b.area));
    CHECK(a.bbox == b.bbox);
    CHECK(a.segmentation == b.segmentation);
  }
  CHECK(ids == std::vector<std::int64_t>{1, 2, 5, 6, 7});  // the two without one are numbered on
  CHECK((back.images[0].file_name == "a.jpg" && back.categories[1].name == "toothbrush"));
  CHECK(format_coco(back) == format_coco(set));

  auto const none = parse_coco(text(format_coco({})), "none");
  CHECK((none.images.empty() && none.annotations.empty()));
}

TEST_CASE("results come back from their files", "[io][property]")
{
  support::temporary_folder const folder;
  std::vector<coco_result> results;
  std::mt19937 bits(1);
  for (int i = 0; i < 20; ++i) {
    index_t const H = 1 + bits() % 9, W = 1 + bits() % 9;
    results.push_back({i % 3, i % 5,
                       encode_rle({H, W}, {0, 0, H, W}, [&](index_t, index_t) { return bits() % 2 == 0; }),
                       static_cast<double>(bits()) / 7});
  }
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, results.size()}) {
    std::vector<coco_result> const some(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(n));
    write_coco_results(folder / "r.json", some);
    auto const back = read_coco_results(folder / "r.json");
    REQUIRE(back.size() == n);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK((back[i].image_id == some[i].image_id && back[i].category_id == some[i].category_id));
      CHECK((back[i].score == some[i].score && back[i].segmentation == some[i].segmentation));
    }
  }
}

TEST_CASE("what is wrong with a data set is said, and where", "[io][errors]")
{
  CHECK(reason(sound) == "");
  CHECK(reason("") == "is empty");
  CHECK(reason("[1, 2").find("parse error at line 1, column 6") != std::string::npos);
  CHECK(reason("[]") == "is not an object with images, annotations and categories");
  CHECK(reason("{}") == "images: is missing");
  CHECK(reason(with(R"("annotations")", R"("annotation")")) == "annotations: is missing");
  CHECK(reason(R"({"images": 3})") == "images: is not a list");
  CHECK(reason(R"({"images": [3]})") == "images[0]: is not an object");
  CHECK(reason(with(R"("id": 9, )", "")) == "images[1].id: is missing");
  CHECK(reason(with(R"("id": 9)", R"("id": 7)")) == "images[1].id: 7 is another image's already");
  CHECK(reason(with(R"("height": 2)", R"("height": 0)")) == "images[1].height: is 0 (id 9)");
  CHECK(reason(with(R"("width": 2)", R"("width": 2.5)")) == "images[1].width: is not an integer (id 9)");
  CHECK(reason(with(R"("width": 2)", R"("width": 99999999999)")) == "images[1].width: is 99999999999 (id 9)");
  CHECK(reason(with(R"("width": 2)", R"("width": 18446744073709551615)")) == "images[1].width: is too large (id 9)");
  CHECK(reason(with(R"("a.jpg")", "1")) == "images[0].file_name: is not a text (id 7)");
  CHECK(reason(with(R"("id": 90)", R"("id": 3)")) == "categories[1].id: 3 is another category's already");
  CHECK(reason(with(R"("id": 2)", R"("id": 1)")) == "annotations[1].id: 1 is another annotation's already");
  CHECK(reason(with(R"("image_id": 9)", R"("image_id": 8)")) == "annotations[2].image_id: there is no image 8 (id 5)");
  CHECK(reason(with(R"("category_id": 90)", R"("category_id": 89)")) ==
        "annotations[1].category_id: there is no category 89 (id 2)");
  CHECK(reason(with(R"("iscrowd": 1)", R"("iscrowd": 2)")) == "annotations[1].iscrowd: is neither 0 nor 1 (id 2)");
  CHECK(reason(with(R"("iscrowd": 1)", R"("iscrowd": true)")) == "");
  CHECK(reason(with(R"("area": 3.5)", R"("area": -1)")) == "annotations[1].area: is -1 (id 2)");
  CHECK(reason(with(R"("area": 3.5)", R"("area": "big")")) ==
        "annotations[1].area: is the text \"big\", not a number (id 2)");
  CHECK(reason(with(R"("area": 3.5)", R"("area": 1e999)")).find("number overflow") != std::string::npos);
  CHECK(reason(with(R"("area": 1, )", "")) == "");
  CHECK(reason(with("[3, 4]", "[4, 3]")) == "annotations[1].segmentation.size: is [4,3] but image 7 is 3 x 4 (id 2)");
  CHECK(reason(with("[3, 4]", "[4]")) == "annotations[1].segmentation.size: is not [height, width] (id 2)");
  CHECK(reason(with(R"("size": [3, 4], )", "")) == "annotations[1].segmentation.size: is missing (id 2)");
  CHECK(reason(with(R"(, "counts": [0, 3, 9])", "")) == "annotations[1].segmentation.counts: is missing (id 2)");
  CHECK(reason(with("[0, 3, 9]", "7")) == "annotations[1].segmentation.counts: is neither a text nor a list (id 2)");
  CHECK(reason(with("[0, 3, 9]", "[0, 3, 8]")) ==
        "annotations[1].segmentation.counts: the counts end 1 pixels before the end of an image of 3 x 4 (id 2)");
  CHECK(reason(with("[0, 3, 9]", "[0, -3, 15]")) == "annotations[1].segmentation.counts: count 1 is -3 (id 2)");
  CHECK(reason(with("[0, 3, 9]", "[0, 3.5, 9]")) == "annotations[1].segmentation.counts[1]: is not an integer (id 2)");
  CHECK(reason(with("\"121\"", "\"1~1\"")) ==
        "annotations[2].segmentation.counts: character 1 is not one of '0' to 'o' (id 5)");
  CHECK(reason(with("\"121\"", "\"12P\"")) == "annotations[2].segmentation.counts: ends inside a count (id 5)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "\"x\"")) ==
        "annotations[0].segmentation: is neither polygons nor runs (id 1)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[[1, 0, 3, 0, 3, 2, 1]]")) ==
        "annotations[0].segmentation[0]: has 7 numbers; three corners or more have an x and a y each (id 1)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[[1, 0, 3, 0, 3, 2], 7]")) ==
        "annotations[0].segmentation[1]: is not a list of x and y (id 1)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[[1, 0, 3, 0, 3, []]]")) ==
        "annotations[0].segmentation[0][5]: is not a number (id 1)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[[1, 0, 3, 0, 3, 1e300]]")) ==
        "annotations[0].segmentation[0]: a corner lies too far outside (id 1)");
  CHECK(reason(std::string(200000, '[')).find("parse error") != std::string::npos);
  CHECK(reason(R"({"images": )" + std::string(200000, '[') + std::string(200000, ']') + "}") ==
        "images[0]: is not an object");
}

TEST_CASE("coco_dialects: 1.0 is a whole number, null is missing, stray parts are passed over", "[io][reference]")
{
  auto const read = [](std::string const& file) { return parse_coco(text(file), "set.json"); };
  auto const floats = read(with(R"("id": 9, "height": 2, "width": 2)", R"("id": 9.0, "height": 2.0, "width": 2e0)"));
  CHECK((floats.images[1].id == 9 && floats.images[1].width == 2));
  CHECK(read(with(R"("counts": [0, 3, 9])", R"("counts": [0.0, 3.0, 9.0])")).annotations[1].segmentation ==
        read(sound).annotations[1].segmentation);
  for (auto const* const none : {"null", "[]", "[[]]", "{}", "\"\"", "[null]", "[[3, 4]]", "[[1, 1, 2, 2]]"}) {
    CAPTURE(none);
    auto const set = read(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", none));
    CHECK_FALSE(set.annotations[0].has_mask());
    CHECK((set.annotations[0].area == 4 && set.annotations[0].box_fault.empty()));
  }
  auto const beside = read(with("3, 2, 1, 2]]", "3, 2, 1, 2], [2, 2], [1, 1, 2, 2]]"));
  CHECK(mask_of(beside.annotations[0], {3, 4}) == mask_of(read(sound).annotations[0], {3, 4}));
  CHECK(beside.notes == std::vector<std::string>{
                            "annotations[0].segmentation[1]: has fewer than three corners, and is passed over (id 1)",
                            "annotations[0].segmentation[2]: has fewer than three corners, and is passed over (id 1)"});
  auto const flat = read(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[1, 0, 3, 0, 3, 2, 1, 2]"));
  CHECK(flat.annotations[0].segmentation == read(sound).annotations[0].segmentation);
  CHECK_FALSE(read(with(R"("iscrowd": 1)", R"("iscrowd": null)")).annotations[1].iscrowd);
  CHECK(read(with(R"("iscrowd": 1)", R"("iscrowd": 1.0)")).annotations[1].iscrowd);
  CHECK(read(with(R"("area": 3.5)", R"("area": null)")).annotations[1].area == 3);  // of the mask
  CHECK(read(with(R"("area": 1, "bbox": [0, 0, 1, 1])", R"("bbox": [0, 0, 2, 1.5])")).annotations[3].area == 3);
  CHECK(read(with(R"("name": "car")", R"("name": null)")).categories[0].name.empty());
  auto const lvis = read(with(R"("height": 2, "width": 2)", R"("height": 2, "width": 2, "neg_category_ids": [3],
      "coco_url": "http://images.example.org/train2017/000000000009.jpg")"));
  CHECK(lvis.images[1].file_name == "train2017/000000000009.jpg");
}

TEST_CASE("coco_dialects: what cannot be read is named as what it is, with its entry", "[io][errors]")
{
  CHECK(reason(with(R"("area": 3.5)", R"("area": NaN)")) ==
        "annotations[1].area: is NaN, which JSON does not know, though Python's json writes it (id 2)");
  CHECK(reason(with("[[1, 0, 3, 0", "[[1, -Infinity, 3, 0")) ==
        "annotations[0].segmentation[0][1]: is -Infinity, which JSON does not know, though Python's json writes it (id "
        "1)");
  CHECK(reason(with(R"("name": "car")", R"("name": "NaN \" Infinity")")) == "");  // in a text they are letters
  CHECK(reason(with(R"("id": 7)", R"("id": "7")")) == "images[0].id: is the text \"7\", not an integer");
  CHECK(reason(with(R"("area": 3.5)", R"("area": "60.0")")) ==
        "annotations[1].area: is the text \"60.0\", not a number (id 2)");
  CHECK(reason(with("[[1, 0, 3, 0", "[[\"1\", 0, 3, 0")) ==
        "annotations[0].segmentation[0][0]: is the text \"1\", not a number (id 1)");
  CHECK(reason(with("[[1, 0, 3, 0, 3, 2, 1, 2]]", "[[1, 0], [3, 0], [3, 2], [1, 2]]")) ==
        "annotations[0].segmentation: is a list of corners; a part is one list x, y, x, y, ... (id 1)");
  CHECK(reason(with(R"("category_id": 90)", R"("category_id": null)")) ==
        "annotations[1].category_id: is missing (id 2)");
  CHECK(reason(with(R"("height": 2, )", "")) ==
        "images[1].height: is missing; masks and boxes need the size of their image (id 9)");
  auto const boxes = [](std::string const& first, std::string const& second) {
    return reason(R"({"images": [{"id": 1, "height": 9, "width": 9}], "categories": [{"id": 1, "name": "x"}],
      "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": )" +
                  first + R"(}, {"id": 2, "image_id": 1, "category_id": 1, "bbox": )" + second + "}]}");
  };
  std::string const shares = "every bbox lies between 0 and 1: shares of the images' sizes? COCO's boxes are in pixels";
  CHECK(boxes("[0.25, 0.5, 0.1, 0.2]", "[0.5, 0.5, 0.5, 0.25]") == shares);
  CHECK(boxes("[0.25, 0.5, 0.1, 0.2]", "[0, 0, 1, 1]") == shares);              // the second fills its image
  CHECK(boxes("[0.25, 0.5, 0.1, 0.2]", "[0.3, -1e-9, 0.70001, 1]") == shares);  // rounding
  CHECK(boxes("[0.25, 0.5, 0.1, 0.2]", "[0.9, 0.5, 0.8, 0.4]") == shares);      // the middle of a box first, as in YOLO
  CHECK(boxes("[0.25, 0.5, 0.1, 0.2]", "[3, 4, 2.5, 2]") == "");
  CHECK(boxes("[0, 0, 1, 1]", "[0, 1, 1, 1]") == "");  // single pixels
}

TEST_CASE("coco_boxes_lost: a box that is none is kept with its fault, and one at the edge is cut", "[io][errors]")
{
  auto const fault = [](std::string const& bbox) {
    auto const set = parse_coco(text(with("[1, 0, 2, 2]", bbox)), "set.json");
    static_cast<void>(format_coco(set));
    for (std::size_t i = 1; i < 4; ++i) CHECK(set.annotations[i].box_fault.empty());
    return set.annotations[0].box_fault;
  };
  auto const in = ", in image a.jpg (id 1)";
  CHECK(fault("[0, 0, 0, 0]") == std::string("annotations[0].bbox: is 0 wide and 0 high") + in);
  CHECK(fault("[3, 2, -2, 1]") == std::string("annotations[0].bbox: is -2 wide and 1 high") + in);
  CHECK(fault("[4, 0, 2, 2]") == std::string("annotations[0].bbox: lies outside its image of 3 x 4") + in);
  CHECK(fault("[-2, 0, 2, 2]") == std::string("annotations[0].bbox: lies outside its image of 3 x 4") + in);
  CHECK(fault("[0, 0, 1e300, 2]") == std::string("annotations[0].bbox: holds 1e+300") + in);
  CHECK(fault("[0, 0, 1]") == std::string("annotations[0].bbox: is not [left, top, width, height]") + in);
  CHECK(fault("\"0 0 1 1\"") == std::string("annotations[0].bbox: is not [left, top, width, height]") + in);
  CHECK(fault("[0, 0, NaN, 2]") == std::string("annotations[0].bbox[2]: is NaN, which JSON does not know, "
                                               "though Python's json writes it") +
                                       in);
  CHECK(fault("[0, 0, null, 2]") == std::string("annotations[0].bbox[2]: is not a number") + in);
  CHECK(fault("null").empty());  // that of the mask
  CHECK(fault("[]").empty());
  CHECK(parse_coco(text(with(R"(, "bbox": [0, 0, 1, 1])", "")), "s").annotations[3].box_fault ==
        "annotations[3].bbox: is missing, and so is a segmentation, in image 9 (id 6)");
  CHECK((fault("[-1, -1, 20, 20]").empty() && fault("[0, 0, 0, 2]").empty() && fault("[3.9, 2.9, 5, 5]").empty()));

  CHECK(cells_of_box({-1, -1, 20, 20}, {3, 4}) == box{0, 0, 3, 4});
  CHECK(cells_of_box({1, 0, 2, 2}, {3, 4}) == box{0, 1, 2, 3});
  CHECK(cells_of_box({0, 1, 0, 2}, {3, 4}) == box{1, 0, 3, 1});
  CHECK(cells_of_box({3.9, 2.9, 5, 5}, {3, 4}) == box{2, 3, 3, 4});
  CAMBIUM_THROWS_SAYING(cells_of_box({0, 0, 0, 0}, {3, 4}), precondition_error, "the box is 0 wide and 0 high");
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

TEST_CASE("what is wrong with results is said, and where", "[io][errors]")
{
  std::string const good =
      R"([{"image_id": 1, "category_id": 2, "score": 1, "segmentation": {"size": [2, 2], "counts": "4"}}])";
  auto const but = [&](std::string const& what, std::string const& by) {
    return std::string(good).replace(good.find(what), what.size(), by);
  };
  CHECK(result_reason(good) == "");
  CHECK(result_reason("{}") == "is not a list of results");
  CHECK(result_reason("[4]") == "[0]: is not an object");
  CHECK(result_reason(but("\"score\": 1, ", "")) == "[0].score: is missing");
  CHECK(result_reason(but("\"score\": 1", "\"score\": NaN")) ==
        "[0].score: is NaN, which JSON does not know, though Python's json writes it");
  CHECK(result_reason(but("\"image_id\": 1", "\"image_id\": \"1\"")) ==
        "[0].image_id: is the text \"1\", not an integer");
  CHECK(result_reason(but("{\"size\": [2, 2], \"counts\": \"4\"}", "[[1, 2, 3, 4, 5, 6]]")) ==
        "[0].segmentation: is not {size, counts}");
  CHECK(result_reason(but("\"4\"", "\"3\"")) ==
        "[0].segmentation.counts: the counts end 1 pixels before the end of an image of 2 x 2");
  CHECK(result_reason(but("[2, 2]", "[-2, -2]")) == "[0].segmentation.size: is [-2,-2]");
  CHECK(result_reason(but("[2, 2]", "[4000000000000, 4000000000000]")) ==
        "[0].segmentation.size: is [4000000000000,4000000000000]");
}

TEST_CASE("what cannot be written is refused", "[io][errors]")
{
  auto const set = parse_coco(text(sound), "set.json");
  auto const refused = [&](auto const& change, std::string const& words) {
    auto other = set;
    change(other);
    CAMBIUM_THROWS_SAYING(format_coco(other), precondition_error, words);
  };
  double const nan = std::numeric_limits<double>::quiet_NaN();
  refused([](auto& s) { s.images[1].id = 7; }, "two images have the id 7");
  refused([](auto& s) { s.categories[1].id = 3; }, "two categories have the id 3");
  refused([](auto& s) { s.annotations[1].id = 1; }, "two annotations have the id 1");
  refused([](auto& s) { s.annotations[1].id = std::numeric_limits<std::int64_t>::max(); }, "an annotation has the id");
  refused([](auto& s) { s.annotations[1].image_id = 1; }, "annotation 2 is of image 1, which is not there");
  refused([](auto& s) { s.annotations[1].category_id = 1; }, "annotation 2 is of category 1, which is not there");
  refused([&](auto& s) { s.annotations[1].area = nan; }, "the area of annotation 2 is nan");
  refused([&](auto& s) { s.annotations[1].bbox[2] = nan; }, "the box of annotation 2 holds nan");
  refused([](auto& s) { s.annotations[1].image_id = 9; }, "the mask of annotation 2 is 3 x 4 but its image 2 x 2");
  refused([](auto& s) { s.annotations[1].segmentation = rle{3, 4, {13}}; }, "count 0 runs past the end");
  refused([](auto& s) { s.annotations[0].segmentation = coco_polygons{{1, 2, 3, 4}}; },
          "a polygon of annotation 1 has 4 numbers");
  refused([&](auto& s) { s.annotations[0].segmentation = coco_polygons{{1, 2, 3, 4, 5, nan}}; },
          "a polygon of annotation 1 holds nan");
  refused([](auto& s) { s.images[0].file_name = "\xff"; }, "format_coco: ");
  CAMBIUM_THROWS_SAYING(format_coco_results({{1, 1, {1, 1, {1}}, nan}}), precondition_error,
                        "the score of result 0 is nan");
  CAMBIUM_THROWS_SAYING(format_coco_results({{1, 1, {1, 1, {2}}, 1}}), precondition_error, "count 0 runs past");
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
