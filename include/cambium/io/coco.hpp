#pragma once
// COCO's JSON files: data sets of instances, and lists of results.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/rle.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace cambium {

// --- the 80 classes and their ids --------------------------------------------------------------------------

/// COCO's ids of its 80 classes: 1 to 90, of which ten were never used.
inline constexpr std::array<int, 80> coco_category_ids{
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31,
    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59,
    60, 61, 62, 63, 64, 65, 67, 70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90};

/// The id in COCO's files of a class 1..80 of a label map; 0 stays 0. Of channel c of a network it is that of c + 1.
/// @throws precondition_error outside 0..80
[[nodiscard]] inline int sparse_category(int contiguous)
{
  expects(0 <= contiguous && contiguous <= 80, "sparse_category: class ", contiguous, " is outside 0..80");
  bool const in_use = 1 <= contiguous && contiguous <= 80;  // again, where g++ sees that the index is sound
  return in_use ? coco_category_ids[static_cast<std::size_t>(contiguous - 1)] : 0;
}

/// The class 1..80 of an id in COCO's files; 0 stays 0.
/// @throws precondition_error for an id that is not in use
[[nodiscard]] inline int contiguous_category(int sparse)
{
  if (sparse == 0) return 0;
  auto const found = std::lower_bound(coco_category_ids.begin(), coco_category_ids.end(), sparse);
  expects(found != coco_category_ids.end() && *found == sparse, "contiguous_category: COCO has no category ", sparse);
  return static_cast<int>(found - coco_category_ids.begin()) + 1;
}

// --- what the files hold -------------------------------------------------------------------------------------

struct coco_image {
  std::int64_t id = 0;
  index_t height = 0;  ///< [pixels]
  index_t width = 0;   ///< [pixels]
  std::string file_name;
};

struct coco_category {
  std::int64_t id = 0;
  std::string name;
  std::string supercategory;
};

using coco_polygons = std::vector<std::vector<double>>;  ///< x0 y0 x1 y1 ... of each part [pixels]

struct coco_annotation {
  std::int64_t id = 0;  ///< when written: 0 for the next free number
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  std::variant<std::monostate, coco_polygons, rle> segmentation{};
  bool iscrowd = false;          ///< a region of several objects
  double area = 0;               ///< [pixels]
  std::array<double, 4> bbox{};  ///< left, top, width, height [pixels]
};

struct coco_dataset {
  std::vector<coco_image> images;
  std::vector<coco_category> categories;
  std::vector<coco_annotation> annotations;
};

struct coco_result {
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  rle segmentation;
  double score = 0;
};

/// left, top, width, height: as COCO writes boxes.
[[nodiscard]] inline std::array<double, 4> coco_box(box const& b)
{
  return {static_cast<double>(b.left), static_cast<double>(b.top), static_cast<double>(b.right - b.left),
          static_cast<double>(b.bottom - b.top)};
}

/// The mask of an annotation: the union of its polygons, or its runs.
/// @param image the size of its image
/// @throws precondition_error when it has neither, or they are damaged or of another size
/// @source annToRLE, PythonAPI/pycocotools/coco.py of cocodataset/cocoapi
[[nodiscard]] inline rle mask_of(coco_annotation const& annotation, extent2 image)
{
  if (auto const* const runs = std::get_if<rle>(&annotation.segmentation)) {
    expects_runs(*runs, "mask_of");
    expects(image == extent2{runs->height, runs->width}, "mask_of: the mask of annotation ", annotation.id, " is ",
            runs->height, " x ", runs->width, " but its image ", image.height, " x ", image.width);
    return *runs;
  }
  auto const* const polygons = std::get_if<coco_polygons>(&annotation.segmentation);
  expects(polygons != nullptr, "mask_of: annotation ", annotation.id, " has no segmentation");
  expects_image(image, "mask_of");
  if (polygons->empty()) return {image.height, image.width, {image.height * image.width}};
  std::vector<rle> parts;
  for (auto const& xy : *polygons) parts.push_back(rle_of_polygon(image, xy));
  return merge_rle(parts);
}

/// An annotation of a mask, with its area and box.
[[nodiscard]] inline coco_annotation annotate(std::int64_t image_id, std::int64_t category_id, rle mask)
{
  coco_annotation out{.image_id = image_id, .category_id = category_id};
  out.area = static_cast<double>(mask.area());
  out.bbox = coco_box(bounds_of(mask));
  out.segmentation = std::move(mask);
  return out;
}

// --- reading -------------------------------------------------------------------------------------------------

/// An entry of a list in a JSON file: its fields, and how to say what is wrong with one.
struct json_entry {
  nlohmann::json const& value;
  std::string const& file;
  std::string const& list;  ///< "annotations", or "" where the file itself is the list
  std::size_t index;

  [[noreturn]] void fail(std::string const& field, std::string const& reason) const
  {
    throw io_error(file + ": " + list + "[" + std::to_string(index) + "]" + (field.empty() ? "" : "." + field) + ": " +
                   reason);
  }
  nlohmann::json const* find(char const* field) const
  {
    auto const found = value.find(field);
    return found == value.end() ? nullptr : &*found;
  }
  nlohmann::json const& at(char const* field) const
  {
    auto const* const found = find(field);
    if (found == nullptr) fail(field, "is missing");
    return *found;
  }
  /// `field` is a text, or makes one: only a failure needs it.
  template <class Field>
  static std::string name_of(Field const& field)
  {
    if constexpr (std::is_invocable_v<Field const&>)
      return field();
    else
      return field;
  }
  template <class Field>
  std::int64_t integer(nlohmann::json const& v, Field const& field) const
  {
    if (!v.is_number_integer()) fail(name_of(field), "is not an integer");
    if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t{1} << 62) fail(name_of(field), "is too large");
    return v.get<std::int64_t>();
  }
  std::int64_t integer(char const* field) const { return integer(at(field), field); }
  template <class Field>
  double number(nlohmann::json const& v, Field const& field) const
  {
    if (!v.is_number()) fail(name_of(field), "is not a number");
    return v.get<double>();
  }
  double number(char const* field) const { return number(at(field), field); }
  std::string text(char const* field) const  ///< "" when missing
  {
    auto const* const v = find(field);
    if (v == nullptr) return "";
    if (!v->is_string()) fail(field, "is not a text");
    return v->get<std::string>();
  }
};

/// [pixels] More than this is taken for damage: a few bytes must not ask for gigabytes.
inline constexpr index_t largest_side = index_t{1} << 20;

/// Call one(entry) for every entry of a list; each must be an object.
template <class One>
void for_each_entry(nlohmann::json const& list, std::string const& file, std::string const& name, One const& one)
{
  std::size_t index = 0;
  for (auto const& value : list) {
    json_entry const entry{value, file, name, index++};
    if (!value.is_object()) entry.fail("", "is not an object");
    one(entry);
  }
}

/// Parse JSON.
/// @throws io_error "name: reason"
[[nodiscard]] inline nlohmann::json parse_json(bytes const& file, std::string const& name)
{
  try {
    return nlohmann::json::parse(file.begin(), file.end());
  } catch (nlohmann::json::exception const& e) {
    std::string const text = e.what();
    auto const end = text.find("] ");  // of the library's own number for the mistake
    throw io_error(name + ": " + (end == std::string::npos ? text : text.substr(end + 2)));
  }
}

/// The runs of an object {"size": [height, width], "counts": text or list}.
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
  if (std::string const fault = fault_of(mask); !fault.empty()) entry.fail("segmentation.counts", fault);
  return mask;
}

/// Read a data set: `images`, `annotations`, `categories`.
///
/// Masks are polygons, compressed runs or lists of runs. `iscrowd` is 0 when it is missing; `area` and `bbox` are then
/// those of the mask. Other fields are passed over.
///
/// @throws io_error "name: annotations[12].segmentation: reason": JSON that does not parse, missing fields, wrong
///         types, ids that occur twice or refer to nothing, damaged masks, masks of another size than their image
/// @source the format of cocodataset.org; PythonAPI/pycocotools/coco.py of cocodataset/cocoapi checks none of these
[[nodiscard]] inline coco_dataset parse_coco(bytes const& file, std::string const& name)
{
  auto const root = parse_json(file, name);
  if (!root.is_object()) throw io_error(name + ": is not an object with images, annotations and categories");
  auto const list = [&](char const* key) -> nlohmann::json const& {
    auto const found = root.find(key);
    if (found == root.end()) throw io_error(name + ": " + key + ": is missing");
    if (!found->is_array()) throw io_error(name + ": " + key + ": is not a list");
    return *found;
  };
  coco_dataset out;
  std::unordered_map<std::int64_t, extent2> sizes;
  for_each_entry(list("images"), name, "images", [&](json_entry const& e) {
    coco_image image{e.integer("id"), e.integer("height"), e.integer("width"), e.text("file_name")};
    if (image.height < 1 || image.height > largest_side) e.fail("height", "is " + std::to_string(image.height));
    if (image.width < 1 || image.width > largest_side) e.fail("width", "is " + std::to_string(image.width));
    if (!sizes.try_emplace(image.id, extent2{image.height, image.width}).second)
      e.fail("id", std::to_string(image.id) + " is another image's already");
    out.images.push_back(std::move(image));
  });
  std::unordered_set<std::int64_t> categories, ids;
  for_each_entry(list("categories"), name, "categories", [&](json_entry const& e) {
    out.categories.push_back({e.integer("id"), e.text("name"), e.text("supercategory")});
    if (!categories.insert(out.categories.back().id).second)
      e.fail("id", std::to_string(out.categories.back().id) + " is another category's already");
  });
  for_each_entry(list("annotations"), name, "annotations", [&](json_entry const& e) {
    coco_annotation a{
        .id = e.integer("id"), .image_id = e.integer("image_id"), .category_id = e.integer("category_id")};
    if (!ids.insert(a.id).second) e.fail("id", std::to_string(a.id) + " is another annotation's already");
    auto const image = sizes.find(a.image_id);
    if (image == sizes.end()) e.fail("image_id", "there is no image " + std::to_string(a.image_id));
    if (!categories.contains(a.category_id))
      e.fail("category_id", "there is no category " + std::to_string(a.category_id));
    extent2 const size = image->second;
    if (auto const* const v = e.find("iscrowd")) {
      if (!v->is_boolean() && *v != 0 && *v != 1) e.fail("iscrowd", "is neither 0 nor 1");
      a.iscrowd = v->is_boolean() ? v->get<bool>() : *v == 1;
    }
    rle mask;
    if (auto const* const v = e.find("segmentation")) {
      if (v->is_object()) {
        mask = runs_of(*v, e);
        if (mask.height != size.height || mask.width != size.width)
          e.fail("segmentation.size", "is [" + std::to_string(mask.height) + "," + std::to_string(mask.width) +
                                          "] but image " + std::to_string(a.image_id) + " is " +
                                          std::to_string(size.height) + " x " + std::to_string(size.width));
        a.segmentation = std::move(mask);
      } else if (v->is_array()) {
        coco_polygons polygons;
        for (auto const& part : *v) {
          auto const field = [&] { return "segmentation[" + std::to_string(polygons.size()) + "]"; };
          if (!part.is_array()) e.fail(field(), "is not a list of x and y");
          if (part.size() < 6 || part.size() % 2 != 0)
            e.fail(field(),
                   "has " + std::to_string(part.size()) + " numbers; three corners or more have an x and a y each");
          std::vector<double> xy;
          xy.reserve(part.size());
          for (auto const& n : part) {
            xy.push_back(e.number(n, [&] { return field() + "[" + std::to_string(xy.size()) + "]"; }));
            if (!(std::abs(xy.back()) <= 4e8)) e.fail(field(), "a corner lies too far outside");
          }
          polygons.push_back(std::move(xy));
        }
        a.segmentation = std::move(polygons);
      } else {
        e.fail("segmentation", "is neither polygons nor runs");
      }
    }
    auto const *const area = e.find("area"), *const bbox = e.find("bbox");
    bool const has_mask = !std::holds_alternative<std::monostate>(a.segmentation);
    if ((area == nullptr || bbox == nullptr) && has_mask) {
      auto const of_mask = annotate(0, 0, mask_of(a, size));
      a.area = of_mask.area, a.bbox = of_mask.bbox;
    }
    if (area != nullptr) {
      a.area = e.number(*area, "area");
      if (!(a.area >= 0)) e.fail("area", "is " + message_part(a.area));
    } else if (!has_mask) {
      e.fail("area", "is missing, and so is a segmentation");
    }
    if (bbox != nullptr) {
      if (!bbox->is_array() || bbox->size() != 4) e.fail("bbox", "is not [left, top, width, height]");
      for (std::size_t i = 0; i < 4; ++i)
        a.bbox[i] = e.number((*bbox)[i], [&] { return "bbox[" + std::to_string(i) + "]"; });
    }
    out.annotations.push_back(std::move(a));
  });
  return out;
}

[[nodiscard]] inline coco_dataset read_coco(std::filesystem::path const& path)
{
  return parse_coco(read_file(path), path.string());
}

/// Read a list of results: `image_id`, `category_id`, `segmentation` as runs, `score`.
/// @throws io_error "name: [12].segmentation: reason"
[[nodiscard]] inline std::vector<coco_result> parse_coco_results(bytes const& file, std::string const& name)
{
  auto const root = parse_json(file, name);
  if (!root.is_array()) throw io_error(name + ": is not a list of results");
  std::vector<coco_result> out;
  for_each_entry(root, name, "", [&](json_entry const& e) {
    coco_result r{e.integer("image_id"), e.integer("category_id"), {}, e.number("score")};
    if (!e.at("segmentation").is_object()) e.fail("segmentation", "is not {size, counts}");
    r.segmentation = runs_of(e.at("segmentation"), e);
    out.push_back(std::move(r));
  });
  return out;
}

[[nodiscard]] inline std::vector<coco_result> read_coco_results(std::filesystem::path const& path)
{
  return parse_coco_results(read_file(path), path.string());
}

// --- writing -------------------------------------------------------------------------------------------------

[[nodiscard]] inline nlohmann::json json_of(rle const& mask, char const* who)
{
  expects_runs(mask, who);
  return {{"size", {mask.height, mask.width}}, {"counts", compressed_counts(mask)}};
}

/// One line of JSON. Numbers that JSON cannot say and text that is not UTF-8 are the caller's mistakes.
[[nodiscard]] inline std::string json_line(nlohmann::json const& value, char const* who)
{
  try {
    return value.dump();
  } catch (nlohmann::json::exception const& e) {
    throw precondition_error(std::string(who) + ": " + e.what());
  }
}

/// A data set as text: one entry a line, masks as compressed runs or polygons, ids unique over the whole set.
///
/// @throws precondition_error: ids that occur twice or refer to nothing, damaged masks, NaN, text that is not UTF-8
[[nodiscard]] inline std::string format_coco(coco_dataset const& set)
{
  char const* const who = "format_coco";
  std::unordered_map<std::int64_t, extent2> sizes;
  std::unordered_set<std::int64_t> categories, ids;
  std::int64_t next = 1;
  for (auto const& i : set.images)
    expects(sizes.try_emplace(i.id, extent2{i.height, i.width}).second, who, ": two images have the id ", i.id);
  for (auto const& c : set.categories)
    expects(categories.insert(c.id).second, who, ": two categories have the id ", c.id);
  for (auto const& a : set.annotations) {
    expects(a.id == 0 || ids.insert(a.id).second, who, ": two annotations have the id ", a.id);
    expects(a.id < std::numeric_limits<std::int64_t>::max() / 2, who, ": an annotation has the id ", a.id);
    next = std::max(next, a.id + 1);
  }
  std::string text = "{\"images\": [";
  auto const lines = [&](auto const& list, auto const& of) {
    char const* before = "\n";
    for (auto const& entry : list) text += before + json_line(of(entry), who), before = ",\n";
  };
  lines(set.images, [](coco_image const& i) -> nlohmann::json {
    return {{"id", i.id}, {"height", i.height}, {"width", i.width}, {"file_name", i.file_name}};
  });
  text += "],\n\"categories\": [";
  lines(set.categories, [](coco_category const& c) -> nlohmann::json {
    return {{"id", c.id}, {"name", c.name}, {"supercategory", c.supercategory}};
  });
  text += "],\n\"annotations\": [";
  lines(set.annotations, [&](coco_annotation const& a) {
    std::int64_t const id = a.id == 0 ? next++ : a.id;
    auto const image = sizes.find(a.image_id);
    expects(image != sizes.end(), who, ": annotation ", id, " is of image ", a.image_id, ", which is not there");
    expects(categories.contains(a.category_id), who, ": annotation ", id, " is of category ", a.category_id,
            ", which is not there");
    expects(std::isfinite(a.area) && a.area >= 0, who, ": the area of annotation ", id, " is ", a.area);
    for (double const v : a.bbox) expects(std::isfinite(v), who, ": the box of annotation ", id, " holds ", v);
    nlohmann::json entry{
        {"id", id},       {"image_id", a.image_id}, {"category_id", a.category_id}, {"iscrowd", a.iscrowd ? 1 : 0},
        {"area", a.area}, {"bbox", a.bbox}};
    if (auto const* const runs = std::get_if<rle>(&a.segmentation)) {
      expects(image->second == extent2{runs->height, runs->width}, who, ": the mask of annotation ", id, " is ",
              runs->height, " x ", runs->width, " but its image ", image->second.height, " x ", image->second.width);
      entry["segmentation"] = json_of(*runs, who);
    } else if (auto const* const polygons = std::get_if<coco_polygons>(&a.segmentation)) {
      for (auto const& xy : *polygons) {
        expects(xy.size() >= 6 && xy.size() % 2 == 0, who, ": a polygon of annotation ", id, " has ",
                static_cast<index_t>(xy.size()), " numbers");
        for (double const v : xy) expects(std::abs(v) <= 4e8, who, ": a polygon of annotation ", id, " holds ", v);
      }
      entry["segmentation"] = *polygons;
    }
    return entry;
  });
  return text + "]}\n";
}

inline void write_coco(std::filesystem::path const& path, coco_dataset const& set)
{
  replace_file(path, format_coco(set));
}

/// A list of results as text, one a line.
/// @throws precondition_error: damaged masks, scores that are not finite
[[nodiscard]] inline std::string format_coco_results(std::vector<coco_result> const& results)
{
  char const* const who = "format_coco_results";
  std::string text = "[";
  for (std::size_t i = 0; i < results.size(); ++i) {
    auto const& r = results[i];
    expects(std::isfinite(r.score), who, ": the score of result ", static_cast<index_t>(i), " is ", r.score);
    text += (i == 0 ? "\n" : ",\n") + json_line({{"image_id", r.image_id},
                                                 {"category_id", r.category_id},
                                                 {"segmentation", json_of(r.segmentation, who)},
                                                 {"score", r.score}},
                                                who);
  }
  return text + (results.empty() ? "]\n" : "\n]\n");
}

inline void write_coco_results(std::filesystem::path const& path, std::vector<coco_result> const& results)
{
  replace_file(path, format_coco_results(results));
}

// --- who is compared with whom -------------------------------------------------------------------------------

/// What a data set and a list of results say about one category on one image.
struct coco_group {
  std::int64_t image_id = 0;
  std::int32_t category = 0;             ///< place of the category among the set's, by ascending id
  std::vector<std::size_t> annotations;  ///< positions, in the order of the set
  std::vector<std::size_t> results;      ///< positions, in the order of the list
};

/// Group annotations and results by image and category, in ascending order of their ids: the order an evaluation needs.
/// Pairs of which neither says anything are left out.
///
/// @throws       precondition_error: results of images or categories that the set does not have
/// @complexity   O(n log n)
/// @source       evaluate and _prepare, PythonAPI/pycocotools/cocoeval.py of cocodataset/cocoapi, which passes over
///               results of categories it does not know
[[nodiscard]] inline std::vector<coco_group> match_up(coco_dataset const& set, std::vector<coco_result> const& results)
{
  std::map<std::int64_t, std::int32_t> categories;
  for (auto const& c : set.categories) categories[c.id] = 0;
  std::int32_t place = 0;
  for (auto& c : categories) c.second = place++;
  std::unordered_set<std::int64_t> images;
  for (auto const& i : set.images) images.insert(i.id);
  std::map<std::pair<std::int64_t, std::int32_t>, coco_group> groups;
  auto const group = [&](auto const& entry, char const* what, std::size_t i) -> coco_group& {
    auto const category = categories.find(entry.category_id);
    expects(images.contains(entry.image_id), "match_up: ", what, " ", static_cast<index_t>(i), " is of image ",
            entry.image_id, ", which the set does not have");
    expects(category != categories.end(), "match_up: ", what, " ", static_cast<index_t>(i), " is of category ",
            entry.category_id, ", which the set does not have");
    auto& out = groups[{entry.image_id, category->second}];
    out.image_id = entry.image_id, out.category = category->second;
    return out;
  };
  for (std::size_t i = 0; i < set.annotations.size(); ++i)
    group(set.annotations[i], "annotation", i).annotations.push_back(i);
  for (std::size_t i = 0; i < results.size(); ++i) group(results[i], "result", i).results.push_back(i);
  std::vector<coco_group> out;
  for (auto& [key, g] : groups) out.push_back(std::move(g));
  return out;
}

}  // namespace cambium
