#include <cambium/io/coco.hpp>

#include "support/catch.hpp"
#include "support/coco_sample.hpp"
#include "support/temporary.hpp"

#include <cambium/io/coco_write.hpp>

#include <string>
#include <vector>

using namespace cambium;
using support::sound, support::text, support::with;

namespace {

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
    CHECK((set.annotations[0].area == 4 && set.annotations[0].box_error.empty()));
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
    for (std::size_t i = 1; i < 4; ++i) CHECK(set.annotations[i].box_error.empty());
    return set.annotations[0].box_error;
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
  CHECK(parse_coco(text(with(R"(, "bbox": [0, 0, 1, 1])", "")), "s").annotations[3].box_error ==
        "annotations[3].bbox: is missing, and so is a segmentation, in image 9 (id 6)");
  CHECK((fault("[-1, -1, 20, 20]").empty() && fault("[0, 0, 0, 2]").empty() && fault("[3.9, 2.9, 5, 5]").empty()));

  CHECK(cells_of_box({-1, -1, 20, 20}, {3, 4}) == box{0, 0, 3, 4});
  CHECK(cells_of_box({1, 0, 2, 2}, {3, 4}) == box{0, 1, 2, 3});
  CHECK(cells_of_box({0, 1, 0, 2}, {3, 4}) == box{1, 0, 3, 1});
  CHECK(cells_of_box({3.9, 2.9, 5, 5}, {3, 4}) == box{2, 3, 3, 4});
  CAMBIUM_THROWS_SAYING(cells_of_box({0, 0, 0, 0}, {3, 4}), precondition_error, "the box is 0 wide and 0 high");
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
