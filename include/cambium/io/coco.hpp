#pragma once
// COCO's JSON files: data sets of instances, and lists of results.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/other_tools.hpp>
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
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace cambium {

// --- the 80 classes and their ids --------------------------------------------------------------------------

/// COCO's ids of its 80 classes: 1 to 90. Ten of them were never used.
inline constexpr std::array<int, 80> coco_category_ids{
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31,
    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59,
    60, 61, 62, 63, 64, 65, 67, 70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90};

/// Convert a class 1..80 of a label map to COCO's id; 0 stays 0. Channel c of a network is class c + 1.
/// @throws precondition_error outside 0..80
[[nodiscard]] inline int sparse_category(int contiguous)
{
  expects(0 <= contiguous && contiguous <= 80, "sparse_category: class ", contiguous, " is outside 0..80");
  bool const in_use = 1 <= contiguous && contiguous <= 80;  // again, where g++ sees that the index is sound
  return in_use ? coco_category_ids[static_cast<std::size_t>(contiguous - 1)] : 0;
}

/// Convert COCO's id to the class 1..80; 0 stays 0.
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
  std::int64_t id = 0;  ///< for writing, 0 means the next free number
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  std::variant<std::monostate, coco_polygons, rle> segmentation{};
  bool iscrowd = false;          ///< a region of several objects
  double area = 0;               ///< [pixels]
  std::array<double, 4> bbox{};  ///< left, top, width, height [pixels]
  std::string box_fault{};       ///< after reading: the box's error, "annotations[3].bbox: is 0 wide ..."; or ""

  /// Whether there is a mask. An empty list of polygons is not a mask.
  bool has_mask() const
  {
    auto const* const polygons = std::get_if<coco_polygons>(&segmentation);
    return polygons != nullptr ? !polygons->empty() : std::holds_alternative<rle>(segmentation);
  }
};

struct coco_dataset {
  std::vector<coco_image> images;
  std::vector<coco_category> categories;
  std::vector<coco_annotation> annotations;
  std::vector<std::string> notes{};  ///< after reading: ignored parts, one sentence each
};

/// The treatment of regions of several objects (iscrowd 1).
enum class crowds {
  ignore,  ///< neither objects nor background: their pixels do not count
  objects  ///< each is an object
};

struct coco_result {
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  rle segmentation;
  double score = 0;
};

/// Convert a box to COCO's left, top, width, height.
[[nodiscard]] inline std::array<double, 4> coco_box(box const& b)
{
  return {static_cast<double>(b.left), static_cast<double>(b.top), static_cast<double>(b.right - b.left),
          static_cast<double>(b.bottom - b.top)};
}

/// Find the error of a box; "" for a valid box. Invalid are numbers that are not finite or beyond 1e9, a negative width
/// or height, a box of 0 x 0, and a box wholly outside its image. A box without height or without width is valid: it is
/// a row or a column of cells. A box that leaves its image is valid too: it is clamped.
/// @param bbox left, top, width, height [pixels]
[[nodiscard]] inline std::string fault_of_box(std::array<double, 4> const& bbox, extent2 image)
{
  for (double const v : bbox)
    if (!(std::abs(v) <= 1e9)) return "holds " + message_part(v);
  auto const& [left, top, width, height] = bbox;
  if (width < 0 || height < 0 || (width == 0 && height == 0))
    return "is " + message_part(width) + " wide and " + message_part(height) + " high";
  auto const outside = [](double from, double length, index_t most) {
    return from >= static_cast<double>(most) || (length > 0 ? from + length <= 0 : from < 0);
  };
  if (outside(left, width, image.width) || outside(top, height, image.height))
    return "lies outside its image of " + std::to_string(image.height) + " x " + std::to_string(image.width);
  return "";
}

/// The cells whose centre is inside a box, at least one along each axis, clamped to the image.
/// @throws precondition_error for an invalid box: see fault_of_box
[[nodiscard]] inline box cells_of_box(std::array<double, 4> const& bbox, extent2 image)
{
  std::string const fault = fault_of_box(bbox, image);
  expects(fault.empty(), "cells_of_box: the box ", fault);
  auto const along = [](double from, double length, index_t most) {
    auto first = static_cast<index_t>(std::floor(from + 0.5)),
         last = static_cast<index_t>(std::floor(from + length + 0.5));
    if (last <= first) first = static_cast<index_t>(std::floor(from)), last = first + 1;
    first = std::clamp<index_t>(first, 0, most - 1);
    return std::pair{first, std::clamp<index_t>(last, first + 1, most)};
  };
  auto const [top, bottom] = along(bbox[1], bbox[3], image.height);
  auto const [left, right] = along(bbox[0], bbox[2], image.width);
  return {top, left, bottom, right};
}

/// Make the mask of an annotation: the union of its polygons, or its runs.
/// @param image the size of its image
/// @throws precondition_error if it has neither, or if they are damaged or have another size
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
  expects(annotation.has_mask(), "mask_of: annotation ", annotation.id, " has no segmentation");
  expects_image(image, "mask_of");
  std::vector<rle> parts;
  for (auto const& xy : *polygons) parts.push_back(rle_of_polygon(image, xy));
  return merge_rle(parts);
}

/// Set the cells of an annotation's mask to 1, or the cells of its box if it has no mask.
/// @param cells [H,W] of its image
/// @throws precondition_error if it has neither
inline void mark_region(grid<std::uint8_t, 2>& cells, coco_annotation const& annotation)
{
  extent2 const image{cells.shape()[0], cells.shape()[1]};
  if (annotation.has_mask()) {
    for_each_column_run(mask_of(annotation, image), [&](index_t x, index_t top, index_t bottom) {
      for (index_t y = top; y < bottom; ++y) cells(y, x) = 1;
    });
    return;
  }
  box const b = cells_of_box(annotation.bbox, image);
  for (index_t y = b.top; y < b.bottom; ++y) std::fill_n(&cells(y, b.left), b.right - b.left, std::uint8_t{1});
}

/// Whether a mask is only the outline of its box. Then it is a box, not a mask.
/// @pre its polygons or runs are valid
[[nodiscard]] inline bool is_box_outline(coco_annotation const& annotation)
{
  if (!annotation.has_mask()) return false;
  if (auto const* const runs = std::get_if<rle>(&annotation.segmentation)) {
    box const b = bounds_of(*runs);
    return runs->area() > 0 && runs->area() == (b.bottom - b.top) * (b.right - b.left);
  }
  auto const& parts = std::get<coco_polygons>(annotation.segmentation);
  if (parts.size() != 1) return false;
  auto const& [left, top, width, height] = annotation.bbox;
  unsigned seen = 0;  // which corners of the box; all others are none of it
  for (std::size_t i = 0; i + 1 < parts[0].size(); i += 2) {
    double const x = parts[0][i] - left, y = parts[0][i + 1] - top;
    bool const at_left = std::abs(x) <= 0.5, at_top = std::abs(y) <= 0.5;
    if ((!at_left && std::abs(x - width) > 0.5) || (!at_top && std::abs(y - height) > 0.5)) return false;
    seen |= 1u << (2 * at_left + at_top);
  }
  return seen == 15;
}

/// The id of an image: the name of its file with its folders, without the ending: "a/1" for "a/1.jpg". It does not
/// depend on other entries.
/// @throws io_error with only the reason: a name that is empty, absolute, leaves its folder or contains a backslash
[[nodiscard]] inline std::string id_of_file(std::string const& file_name)
{
  std::filesystem::path const name(file_name), plain = name.lexically_normal();
  auto const quoted = "'" + file_name + "' ";
  if (file_name.empty()) throw io_error("is missing");
  if (file_name.find('\\') != std::string::npos)
    throw io_error(quoted + "holds a backslash; folders are parted by '/'");
  for (char const c : file_name)
    if (static_cast<unsigned char>(c) < 32) throw io_error(quoted + "holds a control character");
  if (name.is_absolute())
    throw io_error(quoted + "is an absolute path; names count from the folder of the photographs");
  for (auto const& part : plain)
    if (part == ".." || part == "." || part.empty()) throw io_error(quoted + "names no file below its folder");
  return (plain.parent_path() / plain.stem()).generic_string();
}

/// Make an annotation of a mask, with its area and box.
[[nodiscard]] inline coco_annotation annotate(std::int64_t image_id, std::int64_t category_id, rle mask)
{
  coco_annotation out{.image_id = image_id, .category_id = category_id};
  out.area = static_cast<double>(mask.area());
  out.bbox = coco_box(bounds_of(mask));
  out.segmentation = std::move(mask);
  return out;
}

// --- reading -------------------------------------------------------------------------------------------------

/// An entry of a list in a JSON file: reads its fields and throws errors that name them.
struct json_entry {
  nlohmann::json const& value;
  std::string const& file;
  std::string const& list;  ///< "annotations", or "" if the file itself is the list
  std::size_t index;

  /// "annotations[12].bbox: reason (id 17)"
  std::string sentence(std::string const& field, std::string const& reason) const
  {
    auto const id = value.is_object() && field != "id" ? value.find("id") : value.end();
    return list + "[" + std::to_string(index) + "]" + (field.empty() ? "" : "." + field) + ": " + reason +
           (id != value.end() && id->is_number() ? " (id " + id->dump() + ")" : "");
  }
  [[noreturn]] void fail(std::string const& field, std::string const& reason) const
  {
    throw io_error(file + ": " + sentence(field, reason));
  }
  nlohmann::json const* find(char const* field) const  ///< null counts as missing
  {
    auto const found = value.find(field);
    return found == value.end() || found->is_null() ? nullptr : &*found;
  }
  nlohmann::json const& at(char const* field) const
  {
    auto const* const found = find(field);
    if (found == nullptr) fail(field, "is missing");
    return *found;
  }
  /// `field` is a text, or a function that makes one. It is called only on failure.
  template <class Field>
  static std::string name_of(Field const& field)
  {
    if constexpr (std::is_invocable_v<Field const&>)
      return field();
    else
      return field;
  }
  /// Describe a value that is not a number. NaN and infinities are texts: see parse_json.
  static std::string no_number(nlohmann::json const& v, char const* what)
  {
    if (v == "NaN" || v == "Infinity" || v == "-Infinity")
      return "is " + v.get<std::string>() + ", which JSON does not know, though Python's json writes it";
    return v.is_string()
               ? "is the text " + v.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + ", not " + what
               : std::string("is not ") + what;
  }
  template <class Field>
  std::int64_t integer(nlohmann::json const& v, Field const& field) const  ///< 1.0 is an integer
  {
    if (v.is_number_float())
      if (auto const d = v.get<double>(); d == std::floor(d) && std::abs(d) < 9e15) return static_cast<std::int64_t>(d);
    if (!v.is_number_integer()) fail(name_of(field), no_number(v, "an integer"));
    if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t{1} << 62) fail(name_of(field), "is too large");
    return v.get<std::int64_t>();
  }
  std::int64_t integer(char const* field) const { return integer(at(field), field); }
  template <class Field>
  double number(nlohmann::json const& v, Field const& field) const
  {
    if (!v.is_number()) fail(name_of(field), no_number(v, "a number"));
    return v.get<double>();
  }
  double number(char const* field) const { return number(at(field), field); }
  std::string text(char const* field) const  ///< "" if missing
  {
    auto const* const v = find(field);
    if (v == nullptr) return "";
    if (!v->is_string()) fail(field, "is not a text");
    return v->get<std::string>();
  }
};

/// [pixels] Larger numbers count as damage: a few bytes must not allocate gigabytes.
inline constexpr index_t largest_side = index_t{1} << 20;

/// Call one(entry) for every entry of a list. Each entry must be an object.
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

/// Replace the words NaN, Infinity and -Infinity, which Python's json writes, by texts.
[[nodiscard]] inline bytes quote_no_numbers(bytes const& file)
{
  std::string_view const all(reinterpret_cast<char const*>(file.data()), file.size());
  bytes out;
  bool text = false;
  for (std::size_t i = 0; i < all.size();) {
    std::string_view word = all.substr(i, 1);
    if (text && all[i] == '\\') word = all.substr(i, 2);
    if (all[i] == '"') text = !text;
    bool quoted = false;
    for (std::string_view const one : {"NaN", "Infinity", "-Infinity"})
      if (!text && all.substr(i, one.size()) == one) word = one, quoted = true;
    if (quoted) out.push_back('"');
    out.insert(out.end(), word.begin(), word.end());
    if (quoted) out.push_back('"');
    i += word.size();
  }
  return out;
}

/// Parse JSON. NaN, Infinity and -Infinity are not JSON. They become texts, so the reader of a field can name them.
/// @throws io_error "name: reason"
[[nodiscard]] inline nlohmann::json parse_json(bytes const& file, std::string const& name)
{
  try {
    auto value = nlohmann::json::parse(file.begin(), file.end(), nullptr, false);
    if (!value.is_discarded()) return value;
    if (std::string const what = name_foreign_text(file); !what.empty()) throw io_error(name + ": " + what);
    bytes const quoted = quote_no_numbers(file);
    return nlohmann::json::parse(quoted.begin(), quoted.end());
  } catch (nlohmann::json::exception const& e) {
    std::string const text = e.what();
    auto const end = text.find("] ");  // of the library's own number for the mistake
    throw io_error(name + ": " + (end == std::string::npos ? text : text.substr(end + 2)));
  }
}

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
  if (std::string const fault = fault_of(mask); !fault.empty()) entry.fail("segmentation.counts", fault);
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

/// Read a data set: `images`, `annotations`, `categories`.
///
/// Masks are polygons, compressed runs or lists of runs. A missing `iscrowd` is 0. A missing `bbox` is the mask's. A
/// missing `area` is the mask's, else the box's. null counts as missing. 1.0 is an integer. An empty `segmentation`
/// means no mask. An invalid box is kept, and `box_fault` has its error: only its annotation is affected. Other fields
/// are ignored.
///
/// @throws io_error "name: annotations[12].segmentation: reason (id 17)": JSON that does not parse, a file of another
///         tool (by its name), missing fields, wrong types, ids that occur twice, references to missing ids, damaged
///         masks, masks whose size differs from their image's, boxes that are all fractions of their image's size
/// @source the format of cocodataset.org. PythonAPI/pycocotools/coco.py of cocodataset/cocoapi has no such checks
[[nodiscard]] inline coco_dataset parse_coco(bytes const& file, std::string const& name)
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
  coco_dataset out;
  std::unordered_map<std::int64_t, std::size_t> place;
  for_each_entry(list("images"), name, "images", [&](json_entry const& e) {
    for (char const* const side : {"height", "width"})
      if (e.find(side) == nullptr) e.fail(side, "is missing; masks and boxes need the size of their image");
    coco_image image{e.integer("id"), e.integer("height"), e.integer("width"), e.text("file_name")};
    if (image.height < 1 || image.height > largest_side) e.fail("height", "is " + std::to_string(image.height));
    if (image.width < 1 || image.width > largest_side) e.fail("width", "is " + std::to_string(image.width));
    if (image.file_name.empty()) {  // LVIS has but an address: http://HOST/train2017/000000000009.jpg
      std::filesystem::path const address(e.text("coco_url"));
      if (!address.empty()) image.file_name = (address.parent_path().filename() / address.filename()).generic_string();
    }
    if (!place.try_emplace(image.id, out.images.size()).second)
      e.fail("id", std::to_string(image.id) + " is another image's already");
    out.images.push_back(std::move(image));
  });
  std::unordered_set<std::int64_t> categories, ids;
  for_each_entry(list("categories"), name, "categories", [&](json_entry const& e) {
    out.categories.push_back({e.integer("id"), e.text("name"), e.text("supercategory")});
    if (!categories.insert(out.categories.back().id).second)
      e.fail("id", std::to_string(out.categories.back().id) + " is another category's already");
  });
  std::size_t boxes = 0, shares = 0;  // shares: all four numbers from 0 to 1, but for rounding
  bool fractions = false;             // of a width or a height
  for_each_entry(list("annotations"), name, "annotations", [&](json_entry const& e) {
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
    std::string fault, field = "bbox";
    if (bbox == nullptr) {
      a.bbox = of_mask.bbox;
      if (!a.has_mask()) fault = "is missing, and so is a segmentation";
    } else if (!bbox->is_array() || bbox->size() != 4) {
      fault = "is not [left, top, width, height]";
    } else {
      for (std::size_t i = 0; i < 4 && fault.empty(); ++i)
        if (auto const& v = (*bbox)[i]; v.is_number())
          a.bbox[i] = v.get<double>();
        else
          fault = json_entry::no_number(v, "a number"), field += "[" + std::to_string(i) + "]";
    }
    if (fault.empty()) fault = fault_of_box(a.bbox, size);
    if (!fault.empty()) {
      a.box_fault = e.sentence(
          field, fault + ", in image " + (image.file_name.empty() ? std::to_string(image.id) : image.file_name));
    } else if (bbox != nullptr) {
      ++boxes;
      shares += size.height > 1 && size.width > 1 &&
                std::all_of(a.bbox.begin(), a.bbox.end(), [](double v) { return -0.01 <= v && v <= 1.01; });
      fractions = fractions || std::floor(a.bbox[2]) != a.bbox[2] || std::floor(a.bbox[3]) != a.bbox[3];
    }
    if (area != nullptr) {
      a.area = e.number(*area, "area");
      if (!(a.area >= 0)) e.fail("area", "is " + message_part(a.area));
    } else {
      a.area = a.has_mask() ? of_mask.area : fault.empty() ? a.bbox[2] * a.bbox[3] : 0;
    }
    out.annotations.push_back(std::move(a));
  });
  if (boxes > 0 && shares == boxes && fractions)
    throw io_error(name + ": every bbox lies between 0 and 1: shares of the images' sizes? COCO's boxes are in pixels");
  return out;
}

/// Remarks on a data set for its user, one sentence each: the number and classes of crowds, invalid boxes, masks that
/// are only outlines of boxes, ignored parts.
/// @param name         begins every sentence
/// @param masks_count  whether masks are used for more than crowds; then outlines of boxes are reported
[[nodiscard]] inline std::vector<std::string> remarks_on(coco_dataset const& set, std::string const& name, crowds how,
                                                         bool masks_count = true)
{
  std::vector<std::string> out, lost;
  std::map<std::int64_t, std::string> names;
  for (auto const& c : set.categories) names[c.id] = c.name.empty() ? "category " + std::to_string(c.id) : c.name;
  std::map<std::int64_t, std::size_t> crowds_of;
  std::size_t crowded = 0, masks = 0, outlines = 0;
  for (auto const& a : set.annotations) {
    if (a.iscrowd) ++crowded, ++crowds_of[a.category_id];
    if (a.has_mask()) ++masks, outlines += is_box_outline(a);
    if (!a.box_fault.empty()) lost.push_back(a.box_fault);
  }
  auto const of = [](std::size_t n, std::size_t all) { return std::to_string(n) + " of " + std::to_string(all); };
  if (crowded > 0) {
    std::string classes;
    for (auto const& [id, n] : crowds_of)
      classes += (classes.empty() ? "" : ", ") + std::to_string(n) + " of '" + names[id] + "'";
    out.push_back(name + ": " + of(crowded, set.annotations.size()) + " annotations are crowds (" + classes + "); " +
                  (how == crowds::ignore
                       ? "their pixels are neither objects nor background. Some tools mark every object with "
                         "a hole or in two pieces so: --crowds objects takes them as objects"
                       : "they are taken as objects"));
  }
  if (outlines > 0 && masks_count)
    out.push_back(name + ": " + of(outlines, masks) +
                  " masks are the outlines of their boxes: these are boxes, not masks");
  auto const first_ones = [&](std::vector<std::string> const& all, std::string const& rest) {
    for (std::size_t i = 0; i < all.size() && i < 10; ++i) out.push_back(name + ": " + all[i]);
    if (all.size() > 10) out.push_back(name + ": " + std::to_string(all.size() - 10) + rest);
  };
  first_ones(lost, " more boxes are lost");
  first_ones(set.notes, " more parts are passed over");
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

/// Format one line of JSON. The caller must not pass NaN, infinities or text that is not UTF-8.
[[nodiscard]] inline std::string json_line(nlohmann::json const& value, char const* who)
{
  try {
    return value.dump();
  } catch (nlohmann::json::exception const& e) {
    throw precondition_error(std::string(who) + ": " + e.what());
  }
}

/// Format a data set as text: one entry per line, masks as compressed runs or polygons, ids unique over the whole set.
///
/// @throws precondition_error: ids that occur twice, references to missing ids, damaged masks, NaN, text that is not
///         UTF-8
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

/// Format a list of results as text, one per line.
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

/// The annotations and results of one category on one image.
struct coco_group {
  std::int64_t image_id = 0;
  std::int32_t category = 0;             ///< index of the category among the set's, by ascending id
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
