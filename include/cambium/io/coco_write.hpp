#pragma once
// Writing COCO's JSON files: data sets of instances, and lists of results.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/io/coco_data.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/rle.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace cambium {

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

}  // namespace cambium
