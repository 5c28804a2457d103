#include <cambium/io/coco.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <string>

using namespace cambium;

namespace {

/// What the reader of COCO files says of a file of another tool.
std::string reason(std::string const& file)
{
  auto const why = support::refusal([&] { static_cast<void>(parse_coco({file.begin(), file.end()}, "f")); });
  REQUIRE(why.rfind("f: ", 0) == 0);
  return why.substr(3);
}

}  // namespace

TEST_CASE("files of other tools are named, with what makes a COCO file of them", "[io][errors]")
{
  auto const says = [](std::string const& file, std::string const& words) {
    auto const said = reason(file);
    CAPTURE(file, said);
    CHECK(said.find(words) != std::string::npos);
  };
  std::string const via = "'Export Annotations (COCO format)'";
  says(R"({"version": "5.4", "flags": {}, "shapes": [], "imagePath": "a.jpg", "imageData": null})", "labelme2coco");
  says(R"([{"id": 1, "annotations": [{"result": []}], "data": {"image": "a.jpg"}}])", "is Label Studio's own JSON");
  says(R"({"id": 1, "annotations": [{"result": []}], "data": {"image": "a.jpg"}})",
       "export the project there as 'COCO'");
  says(R"([{"image": "a.jpg", "id": 1, "annotator": 1, "lead_time": 3.5, "label": []}])", "is Label Studio's own JSON");
  says(
      R"({"images": [], "categories": [], "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}]})",
      "panoptic2detection_coco_format.py");
  says(R"({"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": [], "file_attributes": {}}})", via);
  says(R"({"_via_settings": {}, "_via_img_metadata": {}})", via);
  says("filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n", via);
  says(R"({"description": "", "tags": [], "size": {"height": 9, "width": 9}, "objects": []})", "'Export to COCO'");
  says(R"({"info": {}, "categories": {"label": {}}, "items": []})", "datum convert -if datumaro");
  says(R"([{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}])", "is Create ML's JSON");
  says(R"([{"image_id": 1, "category_id": 1, "score": 0.5}])", "is a list of results");
  says(R"({"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}]})", "holds captions");
  says("<?xml version=\"1.0\"?>\n<annotations><version>1.1</version></annotations>",
       "is CVAT's XML; export the task there");
  says("<annotation><object/></annotation>", "is VOC's XML of one image");
  says("<html>", "is XML");
  says("0 0.5 0.5 0.25 0.1\n1 0.1 0.1 0.1 0.1\n", "is YOLO's text of one image");
  says("3 0.5 0.5 0.25 0.1 0.3 0.2\n", "datum convert -if yolo");
  says("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "openimages2coco");
  says(std::string("\xFF\xFE{\0", 4), "is UTF-16 text");
  says(std::string("PK\x03\x04rest"), "is a zip archive");
  says("\x1F\x8B\x08", "is compressed by gzip");
  says(std::string("\x80\x04\x95"), "is a pickle");
  says("", "is empty");
  // neither YOLO's nor anyone's
  says("5 6 7 8 9\n", "parse error");
  says("0 0.5 0.5\n", "parse error");
}

TEST_CASE("a COCO file may hold more than a COCO file has", "[io][picture]")
{
  std::string const file =
      R"({"images": [{"id": 1, "height": 9, "width": 9}], "categories": [{"id": 1, "name": "x"}], "annotations": [
      {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "result": []}], "data": {}, "items": [],
      "predictions": []})";
  CHECK(parse_coco({file.begin(), file.end()}, "f").annotations.size() == 1);
}

TEST_CASE("a data set with a mark of UTF-8 is read", "[io][picture]")
{
  std::string const file = "\xEF\xBB\xBF{\"images\": [], \"categories\": [], \"annotations\": []}";
  CHECK(parse_coco({file.begin(), file.end()}, "f").images.empty());
}
