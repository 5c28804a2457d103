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
  refused(R"([{"segmentation": {"size": [2, 3]}}])", "[0].segmentation.counts: is missing");
  std::string const mask = R"("segmentation": {"size": [1, 1], "counts": [1]})";
  refused("[{" + mask + R"(}, {)" + mask + R"(, "score": "high"}])", "[1].score: is the text \"high\", not a number");
  refused("[{" + mask + R"(, "predicted_iou": NaN}])", "[0].predicted_iou: is NaN");
  refused("[{" + mask + R"(, "stability_score": []}])", "[0].stability_score: is not a number");
  refused("[{" + mask + R"(, "image_id": "a"}])", "[0].image_id: is the text \"a\", not an integer");
  refused("[", "");
}
