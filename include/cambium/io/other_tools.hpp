#pragma once
// Annotation files of other tools: recognises the format and names a converter to COCO.

#include <cambium/io/file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>

namespace cambium {

/// Recognise a file that is not JSON. The result follows the file's name in a message: "is YOLO's text of one image;
/// ...".
/// @return "" for an unknown format
[[nodiscard]] inline std::string name_foreign_text(bytes const& file)
{
  std::string_view const all(reinterpret_cast<char const*>(file.data()), std::min<std::size_t>(file.size(), 4096));
  auto const begins = [&](std::string_view with) { return all.substr(0, with.size()) == with; };
  if (begins("\xFF\xFE") || begins("\xFE\xFF")) return "is UTF-16 text; 'iconv -f UTF-16 -t UTF-8' makes it UTF-8";
  if (begins("PK\x03\x04")) return "is a zip archive; what is in it can be read";
  if (begins("\x1F\x8B")) return "is compressed by gzip; 'gunzip' unpacks it";
  if (begins("\x80") && all.size() > 1 && all[1] >= 2 && all[1] <= 5)
    return "is a pickle of Python's, which is not read";
  auto const first = all.find_first_not_of(" \t\r\n", begins("\xEF\xBB\xBF") ? 3 : 0);
  if (first == std::string_view::npos) return "is empty";
  std::string_view const text = all.substr(first);
  if (text[0] == '<') {
    if (text.find("<annotations") != text.npos)
      return "is CVAT's XML; export the task there as 'COCO 1.0', or 'datum convert -if cvat -i FOLDER -f coco -o OUT' "
             "makes a COCO file";
    if (text.find("<annotation") != text.npos)
      return "is VOC's XML of one image, which a template like 'Annotations/{id}.xml' names";
    return "is XML";
  }
  std::string_view const line = text.substr(0, text.find_first_of("\r\n"));
  if (line.substr(0, 8) == "ImageID,")
    return "is a table of Open Images; the scripts of bethgelab/openimages2coco make a COCO file of it";
  if (line.find("file_attributes") != line.npos && line.find("region_count") != line.npos)
    return "is a table of the VGG Image Annotator; its menu has 'Export Annotations (COCO format)'";
  // YOLO: a class and fractions of the image's size.
  std::string const words(line);
  char const* at = words.c_str();
  char* end = nullptr;
  int numbers = 0;
  bool yolo = std::isdigit(static_cast<unsigned char>(words[0])) != 0;
  for (; yolo; ++numbers, at = end) {
    double const v = std::strtod(at, &end);
    if (end == at) break;
    yolo = numbers == 0 ? v >= 0 && v == std::floor(v) : v >= 0 && v <= 1;
  }
  if (yolo && numbers >= 5 && std::string_view(at).find_first_not_of(" \t") == std::string_view::npos)
    return "is YOLO's text of one image; 'datum convert -if yolo -i FOLDER -f coco -o OUT' makes a COCO file of a data "
           "set";
  return "";
}

/// Recognise a JSON file that is not a COCO data set. The result follows the file's name in a message: "is labelme's
/// file of one image; ...".
/// @return "" for an unknown format
[[nodiscard]] inline std::string name_foreign_json(nlohmann::json const& root)
{
  std::string const via = "is of the VGG Image Annotator; its menu has 'Export Annotations (COCO format)'";
  std::string const studio = "is Label Studio's own JSON; export the project there as 'COCO'";
  auto const object_with = [](nlohmann::json const& v, std::initializer_list<char const*> keys) {
    return v.is_object() &&
           std::all_of(keys.begin(), keys.end(), [&](char const* key) { return v.find(key) != v.end(); });
  };
  nlohmann::json const nothing;
  auto const first_of = [&](nlohmann::json const& v) -> nlohmann::json const& {
    return (v.is_array() || v.is_object()) && !v.empty() ? *v.begin() : nothing;
  };
  auto const task = [&](nlohmann::json const& v) {  // of Label Studio
    return object_with(v, {"data", "annotations"}) || object_with(v, {"data", "completions"}) ||
           object_with(v, {"data", "predictions"}) || object_with(v, {"annotator", "lead_time"});
  };
  auto const& first = first_of(root);
  if (root.is_array()) {
    if (task(first)) return studio;
    if (object_with(first, {"image_id", "score"})) return "is a list of results; a data set with annotations is needed";
    if (object_with(first, {"filename", "regions"})) return via;
    if (object_with(first, {"image", "annotations"}) && object_with(first_of(first["annotations"]), {"coordinates"}))
      return "is Create ML's JSON, which is not read; boxes in COCO's form are needed";
    return "";
  }
  if (!root.is_object()) return "";
  auto const list = root.find("annotations");
  auto const& annotation = list == root.end() ? nothing : first_of(*list);
  if (object_with(annotation, {"segments_info"}))
    return "is a panoptic file, whose masks are PNG files beside it; converters/panoptic2detection_coco_format.py of "
           "cocodataset/panopticapi makes a COCO file of instances";
  if (object_with(annotation, {"caption"}) && !object_with(annotation, {"category_id"}))
    return "holds captions; a file of instances is needed";
  // A COCO file may have further fields of its tool.
  if (object_with(root, {"images", "annotations", "categories"})) return "";
  if (object_with(annotation, {"result"})) return studio;
  if (object_with(root, {"shapes", "imagePath"}))
    return "is labelme's file of one image; 'labelme2coco FOLDER' makes a COCO file of a folder of them";
  if (task(root)) return studio;
  if (object_with(root, {"_via_img_metadata"}) || object_with(first, {"filename", "regions"})) return via;
  if (object_with(root, {"size", "objects"}))
    return "is Supervisely's file of one image; its app 'Export to COCO' makes a COCO file of a project";
  if (object_with(root, {"items", "categories"}))
    return "is Datumaro's own JSON; 'datum convert -if datumaro -i FOLDER -f coco -o OUT' makes a COCO file";
  return "";
}

}  // namespace cambium
