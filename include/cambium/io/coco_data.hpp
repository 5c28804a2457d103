#pragma once
// COCO's data: classes, images, annotations with their boxes and masks, results.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/rle.hpp>
#include <cambium/io/rle_masks.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
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
  std::string box_error{};       ///< after reading: the box's error, "annotations[3].bbox: is 0 wide ..."; or ""

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
[[nodiscard]] inline std::string error_in_box(std::array<double, 4> const& bbox, extent2 image)
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
/// @throws precondition_error for an invalid box: see error_in_box
[[nodiscard]] inline box cells_of_box(std::array<double, 4> const& bbox, extent2 image)
{
  std::string const error = error_in_box(bbox, image);
  expects(error.empty(), "cells_of_box: the box ", error);
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

/// Remark on boxes that leave their image by more than a pixel; "" if there are none. If more than half do, and all would
/// be boxes as corners, they may be [left, top, right, bottom].
[[nodiscard]] inline std::string remark_on_outer_boxes(coco_dataset const& set)
{
  std::map<std::int64_t, extent2> sizes;
  for (auto const& i : set.images) sizes[i.id] = {i.height, i.width};
  std::size_t boxes = 0, outer = 0;
  bool corners = true;
  std::string first;
  for (auto const& a : set.annotations) {
    auto const size = sizes.find(a.image_id);
    if (!a.box_error.empty() || size == sizes.end()) continue;
    ++boxes;
    auto const& [left, top, width, height] = a.bbox;
    auto const H = static_cast<double>(size->second.height), W = static_cast<double>(size->second.width);
    corners = corners && width > left && height > top && width <= W + 1 && height <= H + 1;
    if (left >= -1 && top >= -1 && left + width <= W + 1 && top + height <= H + 1) continue;
    if (outer++ > 0) continue;
    first = "annotation " + std::to_string(a.id) + ", [" + message_part(left) + "," + message_part(top) + "," +
            message_part(width) + "," + message_part(height) + "] in " + std::to_string(size->second.height) + " x " +
            std::to_string(size->second.width);
  }
  if (outer == 0) return "";
  return std::to_string(outer) + " of " + std::to_string(boxes) +
         " boxes leave their image by more than a pixel and are cut off there (first " + first + ")" +
         (corners && 2 * outer > boxes ? "; are these corners? COCO's boxes are [left, top, width, height]" : "");
}

/// Remarks on a data set for its user, one sentence each: the number and classes of crowds, invalid boxes, boxes that
/// leave their image, masks that are only outlines of boxes, ignored parts.
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
    if (!a.box_error.empty()) lost.push_back(a.box_error);
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
  if (auto const outer = remark_on_outer_boxes(set); !outer.empty()) out.push_back(name + ": " + outer);
  auto const first_ones = [&](std::vector<std::string> const& all, std::string const& rest) {
    for (std::size_t i = 0; i < all.size() && i < 10; ++i) out.push_back(name + ": " + all[i]);
    if (all.size() > 10) out.push_back(name + ": " + std::to_string(all.size() - 10) + rest);
  };
  first_ones(lost, " more boxes are lost");
  first_ones(set.notes, " more parts are passed over");
  return out;
}

// --- what an evaluation compares -----------------------------------------------------------------------------

/// The annotations and results of one category on one image.
struct coco_group {
  std::int64_t image_id = 0;
  std::int32_t category = 0;             ///< index of the category among the set's, by ascending id
  std::vector<std::size_t> annotations;  ///< positions, in the order of the set
  std::vector<std::size_t> results;      ///< positions, in the order of the list
};

/// Group annotations and results by image and category, in ascending order of their ids: the order an evaluation needs.
/// A pair without annotations and without results is left out.
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
  struct entry {
    std::int64_t image;
    std::int32_t category;
    bool result;
    std::size_t position;
  };
  std::vector<entry> all;
  all.reserve(set.annotations.size() + results.size());
  auto const add = [&](auto const& list, char const* what, bool result) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      auto const category = categories.find(list[i].category_id);
      expects(images.contains(list[i].image_id), "match_up: ", what, " ", static_cast<index_t>(i), " is of image ",
              list[i].image_id, ", which the set does not have");
      expects(category != categories.end(), "match_up: ", what, " ", static_cast<index_t>(i), " is of category ",
              list[i].category_id, ", which the set does not have");
      all.push_back({list[i].image_id, category->second, result, i});
    }
  };
  add(set.annotations, "annotation", false);
  add(results, "result", true);
  std::stable_sort(all.begin(), all.end(), [](entry const& a, entry const& b) {
    return a.image != b.image ? a.image < b.image : a.category < b.category;
  });
  std::vector<coco_group> out;
  for (entry const& e : all) {
    if (out.empty() || out.back().image_id != e.image || out.back().category != e.category)
      out.push_back({e.image, e.category, {}, {}});
    (e.result ? out.back().results : out.back().annotations).push_back(e.position);
  }
  return out;
}

}  // namespace cambium
