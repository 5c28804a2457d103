#pragma once
// Mask proposals as JSON: lists of an automatic mask generator, and COCO's results.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/io/coco_tree.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/json_entry.hpp>
#include <cambium/io/rle.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cambium {

/// A mask that some model proposes.
struct mask_proposal {
  rle segmentation;
  double score = 1;      ///< the generator's predicted_iou, or COCO's score; 1 if the file has neither
  double stability = 1;  ///< the generator's stability_score; 1 if the file has none
  std::optional<std::int64_t> image_id;
  std::optional<std::int64_t> category_id;  ///< nothing if it is no integer
  std::string error{};                      ///< with keep_errors: what is wrong, "name: [12].score: is NaN, ..."; or ""
};

struct proposals_reading {
  bool one_image = false;    ///< the file is of one image: `image_id` may be any value, but not two of them
  bool stability = true;     ///< read `stability_score`
  bool keep_errors = false;  ///< an error of an entry that has an image_id is kept in it; the other entries are read
};

/// The same of a file that has been parsed; see parse_proposals.
[[nodiscard]] inline std::vector<mask_proposal> proposals_of(nlohmann::json const& root, std::string const& name,
                                                             proposals_reading const& how = {})
{
  bool const inside = root.is_object() && root.contains("annotations");
  auto const& list = inside ? root.at("annotations") : root;
  if (!list.is_array()) {
    std::string const other = name_foreign_json(root);
    throw io_error(name + ": " + (other.empty() ? "is not a list of proposals" : other));
  }
  auto const read_mask = [&](mask_proposal& p, json_entry const& e) {
    auto const& mask = e.at("segmentation");
    if (mask.is_array())
      e.fail("segmentation",
             "is a list; runs {size, counts} are needed, as output_mode='coco_rle' of the mask generator writes them");
    if (!mask.is_object()) e.fail("segmentation", "is not {size, counts}");
    p.segmentation = runs_of(mask, e);
    auto const number = [&](char const* field, double& to) {
      if (e.find(field) == nullptr) return false;
      to = e.number(field);
      if (!std::isfinite(to)) e.fail(field, "is " + message_part(to));
      return true;
    };
    if (!number("predicted_iou", p.score)) number("score", p.score);
    if (how.stability) number("stability_score", p.stability);
  };
  constexpr auto replace = nlohmann::json::error_handler_t::replace;
  nlohmann::json const* image = nullptr;
  std::vector<mask_proposal> out;
  out.reserve(list.size());
  for_each_entry(list, name, inside ? "annotations" : "", [&](json_entry const& e) {
    mask_proposal p;
    auto const* const id = e.find("image_id");
    if (how.one_image && id != nullptr) {
      if (image == nullptr) image = id;
      if (*image != *id)
        throw io_error(name + ": has masks of the images " + image->dump(-1, ' ', false, replace) + " and " +
                       id->dump(-1, ' ', false, replace) + ", but is read as the file of one image");
    }
    if (id != nullptr && !how.one_image) p.image_id = e.integer("image_id");
    if (id != nullptr && how.one_image && id->is_number_integer()) p.image_id = id->get<std::int64_t>();
    if (auto const* const category = e.find("category_id"); category != nullptr && category->is_number_integer())
      p.category_id = category->get<std::int64_t>();
    try {
      read_mask(p, e);
    } catch (io_error const& failure) {
      if (!how.keep_errors || !p.image_id) throw;
      p.error = failure.what();
    }
    out.push_back(std::move(p));
  });
  return out;
}

/// Read a list of proposals: `segmentation` as runs {size, counts} with counts as text or list, `predicted_iou` or
/// `score`, and, where they are, `stability_score`, `image_id`, `category_id`. Other fields, for example `bbox`, `area`,
/// `point_coords` and `crop_box`, are not read: mask and image say the same. A list under the key `annotations` of an
/// object is read, too.
///
/// @throws io_error "name: [12].segmentation.counts: reason": JSON that does not parse, no list, missing masks, masks as
///         lists of truth values or polygons, damaged runs, numbers that are not finite; with one_image masks of two
///         images
/// @source the format of SamAutomaticMaskGenerator.generate with output_mode='coco_rle', and of scripts/amg.py
///         --convert-to-rle, of facebookresearch/segment-anything; results of cocodataset.org
[[nodiscard]] inline std::vector<mask_proposal> parse_proposals(bytes const& file, std::string const& name,
                                                                proposals_reading const& how = {})
{
  return proposals_of(parse_json(file, name), name, how);
}

[[nodiscard]] inline std::vector<mask_proposal> read_proposals(std::filesystem::path const& path,
                                                               proposals_reading const& how = {})
{
  return parse_proposals(read_file(path), path.string(), how);
}

}  // namespace cambium
