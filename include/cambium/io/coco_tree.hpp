#pragma once
// COCO's JSON files read as trees: any file, and the error of a wrong one.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/io/coco_data.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/json_entry.hpp>
#include <cambium/io/other_tools.hpp>
#include <cambium/io/rle.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace cambium {

/// Read the runs of an object {"size": [height, width], "counts": text or list}.
[[nodiscard]] inline rle runs_of(nlohmann::json const& v, json_entry const& entry)
{
  auto const size = v.find("size"), counts = v.find("counts");
  if (size == v.end()) entry.fail("segmentation.size", "is missing");
  if (!size->is_array() || size->size() != 2) entry.fail("segmentation.size", "is not [height, width]");
  extent2 const image{entry.integer((*size)[0], "segmentation.size[0]"),
                      entry.integer((*size)[1], "segmentation.size[1]")};
  if (image.height < 0 || image.height > largest_side || image.width < 0 || image.width > largest_side)
    entry.fail("segmentation.size", "is [" + std::to_string(image.height) + "," + std::to_string(image.width) + "]");
  if (counts == v.end()) entry.fail("segmentation.counts", "is missing");
  if (counts->is_string()) {
    try {
      return parse_counts(counts->get_ref<std::string const&>(), image, "");
    } catch (io_error const& e) {
      entry.fail("segmentation.counts", e.what() + 2);  // after ": "
    }
  }
  if (!counts->is_array()) entry.fail("segmentation.counts", "is neither a text nor a list");
  rle mask{image.height, image.width, {}};
  for (auto const& c : *counts)
    mask.counts.push_back(
        entry.integer(c, [&] { return "segmentation.counts[" + std::to_string(mask.counts.size()) + "]"; }));
  if (std::string const error = error_in(mask); !error.empty()) entry.fail("segmentation.counts", error);
  return mask;
}

/// Read the polygons of `segmentation`. Polygons with fewer than three corners enclose nothing. They are ignored, with
/// a note.
[[nodiscard]] inline coco_polygons polygons_of(nlohmann::json const& v, json_entry const& entry,
                                               std::vector<std::string>& notes)
{
  bool const flat = !v.empty() && std::all_of(v.begin(), v.end(), [](auto const& n) { return n.is_number(); });
  bool const pairs = v.size() > 2 && std::all_of(v.begin(), v.end(), [](auto const& part) {
                       return part.is_array() && part.size() == 2 && part[0].is_number() && part[1].is_number();
                     });
  if (pairs) entry.fail("segmentation", "is a list of corners; a part is one list x, y, x, y, ...");
  coco_polygons out;
  std::size_t at = 0;
  auto const read = [&](nlohmann::json const& part) {
    auto const field = [&] { return flat ? "segmentation" : "segmentation[" + std::to_string(at) + "]"; };
    if (!part.is_array()) entry.fail(field(), "is not a list of x and y");
    if (part.size() % 2 != 0)
      entry.fail(field(),
                 "has " + std::to_string(part.size()) + " numbers; three corners or more have an x and a y each");
    std::vector<double> xy;
    xy.reserve(part.size());
    for (auto const& n : part) {
      xy.push_back(entry.number(n, [&] { return field() + "[" + std::to_string(xy.size()) + "]"; }));
      if (!(std::abs(xy.back()) <= 4e8)) entry.fail(field(), "a corner lies too far outside");
    }
    if (xy.size() >= 6)
      out.push_back(std::move(xy));
    else if (!xy.empty())
      notes.push_back(entry.sentence(field(), "has fewer than three corners, and is passed over"));
    ++at;
  };
  if (flat)
    read(v);  // one part without its brackets
  else
    for (auto const& part : v)
      if (!part.is_null()) read(part);
  return out;
}

/// Read the id and the name of an entry of `images`; no size.
[[nodiscard]] inline coco_image name_of_coco_image(json_entry const& e)
{
  coco_image image{e.integer("id"), 0, 0, e.text("file_name")};
  if (!image.file_name.empty()) return image;
  // LVIS has but an address: http://HOST/train2017/000000000009.jpg
  std::filesystem::path const address(e.text("coco_url"));
  if (!address.empty()) image.file_name = (address.parent_path().filename() / address.filename()).generic_string();
  return image;
}

/// A data set while it is read, entry by entry: images and categories first.
struct coco_reader {
  coco_dataset out{};
  std::unordered_map<std::int64_t, std::size_t> place{};  ///< of images
  std::unordered_set<std::int64_t> categories{}, ids{};
  std::size_t boxes = 0, shares = 0;  ///< shares: all four numbers from 0 to 1, but for rounding
  bool fractions = false;             ///< of a width or a height

  void image(json_entry const& e)
  {
    for (char const* const side : {"height", "width"})
      if (e.find(side) == nullptr) e.fail(side, "is missing; masks and boxes need the size of their image");
    coco_image image = name_of_coco_image(e);
    image.height = e.integer("height"), image.width = e.integer("width");
    if (image.height < 1 || image.height > largest_side) e.fail("height", "is " + std::to_string(image.height));
    if (image.width < 1 || image.width > largest_side) e.fail("width", "is " + std::to_string(image.width));
    if (!place.try_emplace(image.id, out.images.size()).second)
      e.fail("id", std::to_string(image.id) + " is another image's already");
    out.images.push_back(std::move(image));
  }
  void category(json_entry const& e)
  {
    out.categories.push_back({e.integer("id"), e.text("name"), e.text("supercategory")});
    if (!categories.insert(out.categories.back().id).second)
      e.fail("id", std::to_string(out.categories.back().id) + " is another category's already");
  }
  void annotation(json_entry const& e)
  {
    coco_annotation a{
        .id = e.integer("id"), .image_id = e.integer("image_id"), .category_id = e.integer("category_id")};
    if (!ids.insert(a.id).second) e.fail("id", std::to_string(a.id) + " is another annotation's already");
    auto const at = place.find(a.image_id);
    if (at == place.end()) e.fail("image_id", "there is no image " + std::to_string(a.image_id));
    if (!categories.contains(a.category_id))
      e.fail("category_id", "there is no category " + std::to_string(a.category_id));
    coco_image const& image = out.images[at->second];
    extent2 const size{image.height, image.width};
    if (auto const* const v = e.find("iscrowd")) {
      if (!v->is_boolean() && *v != 0 && *v != 1) e.fail("iscrowd", "is neither 0 nor 1");
      a.iscrowd = v->is_boolean() ? v->get<bool>() : *v == 1;
    }
    if (auto const* const v = e.find("segmentation"); v != nullptr && !v->empty() && *v != "") {
      if (v->is_object()) {
        rle mask = runs_of(*v, e);
        if (mask.height != size.height || mask.width != size.width)
          e.fail("segmentation.size", "is [" + std::to_string(mask.height) + "," + std::to_string(mask.width) +
                                          "] but image " + std::to_string(a.image_id) + " is " +
                                          std::to_string(size.height) + " x " + std::to_string(size.width));
        a.segmentation = std::move(mask);
      } else if (v->is_array()) {
        if (auto polygons = polygons_of(*v, e, out.notes); !polygons.empty()) a.segmentation = std::move(polygons);
      } else {
        e.fail("segmentation", "is neither polygons nor runs");
      }
    }
    auto const* const area = e.find("area");
    auto const* bbox = e.find("bbox");
    if (bbox != nullptr && bbox->is_array() && bbox->empty()) bbox = nullptr;
    coco_annotation of_mask;
    if ((area == nullptr || bbox == nullptr) && a.has_mask()) of_mask = annotate(0, 0, mask_of(a, size));
    std::string error, field = "bbox";
    if (bbox == nullptr) {
      a.bbox = of_mask.bbox;
      if (!a.has_mask()) error = "is missing, and so is a segmentation";
    } else if (!bbox->is_array() || bbox->size() != 4) {
      error = "is not [left, top, width, height]";
    } else {
      for (std::size_t i = 0; i < 4 && error.empty(); ++i)
        if (auto const& v = (*bbox)[i]; v.is_number())
          a.bbox[i] = v.get<double>();
        else
          error = json_entry::no_number(v, "a number"), field += "[" + std::to_string(i) + "]";
    }
    if (error.empty()) error = error_in_box(a.bbox, size);
    if (!error.empty()) {
      a.box_error = e.sentence(
          field, error + ", in image " + (image.file_name.empty() ? std::to_string(image.id) : image.file_name));
    } else if (bbox != nullptr) {
      count_box(a.bbox, size);
    }
    if (area != nullptr) {
      a.area = e.number(*area, "area");
      if (!(a.area >= 0)) e.fail("area", "is " + message_part(a.area));
    } else {
      a.area = a.has_mask() ? of_mask.area : error.empty() ? a.bbox[2] * a.bbox[3] : 0;
    }
    out.annotations.push_back(std::move(a));
  }

  /// An annotation of plain_annotation. False if it does not fit the set.
  bool plain(coco_annotation&& a)
  {
    auto const at = place.find(a.image_id);
    if (at == place.end() || !categories.contains(a.category_id)) return false;
    extent2 const size{out.images[at->second].height, out.images[at->second].width};
    if (auto const* const mask = std::get_if<rle>(&a.segmentation); mask && extent2{mask->height, mask->width} != size)
      return false;
    if (!error_in_box(a.bbox, size).empty() || !ids.insert(a.id).second) return false;
    count_box(a.bbox, size);
    out.annotations.push_back(std::move(a));
    return true;
  }

  bool only_shares() const { return boxes > 0 && shares == boxes && fractions; }

 private:
  void count_box(std::array<double, 4> const& bbox, extent2 size)
  {
    ++boxes;
    shares += size.height > 1 && size.width > 1 &&
              std::all_of(bbox.begin(), bbox.end(), [](double v) { return -0.01 <= v && v <= 1.01; });
    fractions = fractions || std::floor(bbox[2]) != bbox[2] || std::floor(bbox[3]) != bbox[3];
  }
};

/// Read a data set as a tree of JSON: any file, with the error of a wrong one. See parse_coco.
[[nodiscard]] inline coco_dataset parse_coco_tree(bytes const& file, std::string const& name)
{
  auto const root = parse_json(file, name);
  if (std::string const what = name_foreign_json(root); !what.empty()) throw io_error(name + ": " + what);
  if (!root.is_object()) throw io_error(name + ": is not an object with images, annotations and categories");
  auto const list = [&](char const* key) -> nlohmann::json const& {
    auto const found = root.find(key);
    if (found == root.end()) throw io_error(name + ": " + key + ": is missing");
    if (!found->is_array()) throw io_error(name + ": " + key + ": is not a list");
    return *found;
  };
  coco_reader read;
  for_each_entry(list("images"), name, "images", [&](json_entry const& e) { read.image(e); });
  for_each_entry(list("categories"), name, "categories", [&](json_entry const& e) { read.category(e); });
  for_each_entry(list("annotations"), name, "annotations", [&](json_entry const& e) { read.annotation(e); });
  if (read.only_shares())
    throw io_error(name + ": every bbox lies between 0 and 1: shares of the images' sizes? COCO's boxes are in pixels");
  return std::move(read.out);
}

/// Read a list of results as a tree of JSON. See parse_coco_results.
[[nodiscard]] inline coco_result result_of(json_entry const& e)
{
  coco_result r{e.integer("image_id"), e.integer("category_id"), {}, e.number("score")};
  if (!e.at("segmentation").is_object()) e.fail("segmentation", "is not {size, counts}");
  r.segmentation = runs_of(e.at("segmentation"), e);
  return r;
}
[[nodiscard]] inline std::vector<coco_result> parse_coco_results_tree(bytes const& file, std::string const& name)
{
  auto const root = parse_json(file, name);
  if (!root.is_array()) throw io_error(name + ": is not a list of results");
  std::vector<coco_result> out;
  for_each_entry(root, name, "", [&](json_entry const& e) { out.push_back(result_of(e)); });
  return out;
}

}  // namespace cambium
