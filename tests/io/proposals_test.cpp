#include <cambium/io/proposals.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

using namespace cambium;

namespace {

std::vector<mask_proposal> parsed(std::string const& text)
{
  return parse_proposals(bytes(text.begin(), text.end()), "a.json");
}

}  // namespace

TEST_CASE("lists of a mask generator are read", "[io][picture]")
{
  // Of a mask 2 x 3 with the cells (1,0) and (0,1): 1 zero, 2 ones, 3 zeros.
  auto const found = parsed(R"([
    {"segmentation": {"size": [2, 3], "counts": [1, 2, 3]}, "area": 2, "bbox": [0, 0, 1, 1], "predicted_iou": 0.9,
     "point_coords": [[1.5, 0.5]], "stability_score": 0.97, "crop_box": [0, 0, 3, 2]},
    {"segmentation": {"size": [2, 3], "counts": "123"}, "image_id": 17, "category_id": 3, "score": 0.25},
    {"segmentation": {"size": [2, 3], "counts": [6]}, "score": 0.5, "predicted_iou": null}])");
  REQUIRE(found.size() == 3);
  rle const want{2, 3, {1, 2, 3}};
  CHECK(found[0].segmentation == want);
  CHECK(found[0].score == 0.9);
  CHECK(found[0].stability == 0.97);
  CHECK(!found[0].image_id);
  CHECK(found[1].segmentation == want);
  CHECK(found[1].score == 0.25);
  CHECK(found[1].stability == 1);
  CHECK(found[1].image_id == 17);
  CHECK(found[1].category_id == 3);
  CHECK(found[2].segmentation.area() == 0);
  CHECK(found[2].score == 0.5);
  CHECK(parsed("[]").empty());
  CHECK(parsed(R"({"image": {"image_id": 1}, "annotations": [{"segmentation": {"size": [1, 1], "counts": [0, 1]}}]})")
            .at(0)
            .score == 1);
}

TEST_CASE("what is wrong with a list of proposals is named", "[io][errors]")
{
  auto const refused = [](std::string const& text, std::string const& words) {
    CAPTURE(text);
    CAMBIUM_THROWS_SAYING(parsed(text), io_error, "a.json: " + words);
  };
  refused("{}", "is not a list of proposals");
  refused("[3]", "[0]: is not an object");
  refused("[{}]", "[0].segmentation: is missing");
  refused(R"([{"segmentation": [[true, false]]}])", "[0].segmentation: is a list; runs {size, counts} are needed");
  refused(R"([{"segmentation": 3}])", "[0].segmentation: is not {size, counts}");
  refused(R"([{"segmentation": {"size": [2, 3], "counts": [1, 2]}}])",
          "[0].segmentation.counts: the counts end 3 pixels before the end of an image of 2 x 3");
  refused(R"([{"segmentation": {"size": [6, 8], "counts": [11, 4, 19, 4, 27, 4]}}])",  // starts and lengths along rows
          "[0].segmentation.counts: count 4 runs past the end of an image of 6 x 8");
  refused(R"([{"segmentation": {"size": [2, 3]}}])", "[0].segmentation.counts: is missing");
  std::string const mask = R"("segmentation": {"size": [1, 1], "counts": [1]})";
  refused("[{" + mask + R"(}, {)" + mask + R"(, "score": "high"}])", "[1].score: is the text \"high\", not a number");
  refused("[{" + mask + R"(, "predicted_iou": NaN}])", "[0].predicted_iou: is NaN");
  refused("[{" + mask + R"(, "stability_score": []}])", "[0].stability_score: is not a number");
  refused("[{" + mask + R"(, "image_id": "a"}])", "[0].image_id: is the text \"a\", not an integer");
  refused("[", "");
}

TEST_CASE("fields that are not used fail no list of proposals", "[io][picture]")
{
  auto const text = [](std::string const& more) {
    return R"([{"segmentation": {"size": [1, 2], "counts": [0, 2]}, )" + more + "}]";
  };
  auto const one = [&](std::string const& more, proposals_reading const& how) {
    auto const all = text(more);
    return parse_proposals(bytes(all.begin(), all.end()), "a.json", how).at(0);
  };
  CHECK(!one(R"("category_id": "dog")", {}).category_id);
  CHECK(one(R"("category_id": 7)", {}).category_id == 7);
  CHECK(!one(R"("image_id": "a.jpg")", {.one_image = true}).image_id);
  CHECK(one(R"("image_id": 4)", {.one_image = true}).image_id == 4);
  CHECK(one(R"("stability_score": NaN)", {.stability = false}).stability == 1);
}

TEST_CASE("a file of one image has masks of one image", "[io][errors]")
{
  std::string const mask = R"("segmentation": {"size": [1, 1], "counts": [1]})";
  auto const read = [&](std::string const& first, std::string const& second) {
    auto const text = "[{" + mask + first + "}, {" + mask + second + "}]";
    return parse_proposals(bytes(text.begin(), text.end()), "a.json", {.one_image = true}).size();
  };
  CHECK(read(R"(, "image_id": 1)", R"(, "image_id": 1)") == 2);
  CHECK(read(R"(, "image_id": "a")", "") == 2);
  CAMBIUM_THROWS_SAYING(read(R"(, "image_id": 1)", R"(, "image_id": 2)"), io_error,
                        "a.json: has masks of the images 1 and 2, but is read as the file of one image");
  CAMBIUM_THROWS_SAYING(read(R"(, "image_id": "a")", R"(, "image_id": "b")"), io_error, R"(images "a" and "b")");
}

TEST_CASE("with keep_errors a bad mask is one image's", "[io][errors]")
{
  std::string const good = R"("segmentation": {"size": [1, 2], "counts": [0, 2]})";
  auto const text = "[{" + good + R"(, "image_id": 1, "score": NaN}, {)" + good +
                    R"(, "image_id": 2, "score": 0.5}, )" +
                    R"({"segmentation": {"size": [1, 2], "counts": [9]}, "image_id": 3}])";
  bytes const file(text.begin(), text.end());
  auto const found = parse_proposals(file, "a.json", {.keep_errors = true});
  REQUIRE(found.size() == 3);
  CHECK(found[0].error.rfind("a.json: [0].score: is NaN", 0) == 0);
  CHECK((found[1].error.empty() && found[1].score == .5 && found[1].segmentation.area() == 2));
  CHECK(found[2].error.rfind("a.json: [2].segmentation.counts: count 0 runs past", 0) == 0);
  CAMBIUM_THROWS_SAYING(parse_proposals(file, "a.json"), io_error, "[0].score: is NaN");
  std::string const nobody = "[{" + good + R"(, "score": NaN}])";
  CAMBIUM_THROWS_SAYING(parse_proposals(bytes(nobody.begin(), nobody.end()), "a.json", {.keep_errors = true}), io_error,
                        "[0].score: is NaN");
}
