#pragma once
// The boxes of a COCO file, by image.

#include "coco_names.hpp"
#include "method.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

/// Boxes of an image and its size, from a file.
struct boxes_of_image {
  cambium::extent2 image;
  std::vector<cambium::class_box> boxes;
  cambium::grid<std::uint8_t, 2> ignored{};  ///< [H,W] 1 where regions of several objects are; without cells: nowhere
  std::string error{};                       ///< why its boxes are not known; "" where they are
  std::vector<std::string> notes{};          ///< deviations of its XML file that were read

  /// On stderr, a line each.
  void say_notes() const
  {
    for (auto const& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  }
};

/// The boxes of a COCO file by image; classes are the ranks of its categories' ids, as in the 80 contiguous ones.
class coco_boxes {
 public:
  coco_boxes() = default;
  coco_boxes(cambium::bytes const& content, std::string const& path, cambium::crowds how)
      : path_(path), all_(cambium::parse_coco(content, path)), how_(how)
  {
    std::sort(all_.categories.begin(), all_.categories.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
    names_ = coco_names(all_.images, path);
    std::map<std::int64_t, std::size_t> place;
    for (std::size_t i = 0; i < all_.images.size(); ++i) place[all_.images[i].id] = i;
    of_image_.resize(all_.images.size());
    for (std::size_t k = 0; k < all_.annotations.size(); ++k)
      of_image_[place.at(all_.annotations[k].image_id)].push_back(k);
  }

  cambium::index_t classes() const { return static_cast<cambium::index_t>(all_.categories.size()); }

  /// The category of class 1, if no annotation is of it.
  std::optional<named_category> unused_first() const
  {
    if (all_.categories.empty()) return std::nullopt;
    auto const& first = all_.categories.front();
    bool const used = std::any_of(all_.annotations.begin(), all_.annotations.end(),
                                  [&](auto const& a) { return a.category_id == first.id; });
    return used ? std::nullopt : std::optional(named_category{first.id, first.name});
  }

  /// What the file says of the image of an id: a file name without its ending, with its folders or without them where
  /// no other file has that name, or the number of an image.
  std::optional<boxes_of_image> find(std::string const& id) const
  {
    auto const place = names_.place_of(id);
    if (!place) return std::nullopt;
    auto const& image = all_.images[*place];
    boxes_of_image out{{image.height, image.width}, {}};
    for (std::size_t const k : of_image_[*place]) {
      auto const& a = all_.annotations[k];
      bool const ignored = a.iscrowd && how_ == cambium::crowds::ignore;
      if (!a.box_error.empty() && !(ignored && a.has_mask())) {
        if (out.error.empty()) out.error = a.box_error;
      } else if (ignored) {
        if (out.ignored.size() == 0) out.ignored = cambium::grid<std::uint8_t, 2>(image.height, image.width);
        cambium::mark_region(out.ignored, a);
      } else {
        out.boxes.push_back({cambium::cells_of_box(a.bbox, out.image), rank_of(a.category_id)});
      }
    }
    return out;
  }

  std::vector<named_category> categories() const  ///< by ascending id
  {
    std::vector<named_category> out;
    for (auto const& c : all_.categories) out.push_back({c.id, c.name});
    return out;
  }
  std::vector<std::string> remarks() const { return cambium::remarks_on(all_, path_, how_, false); }

  /// Whose images find() knows.
  coco_names const& names() const { return names_; }

 private:
  std::int32_t rank_of(std::int64_t category_id) const
  {
    auto const& c = all_.categories;
    return static_cast<std::int32_t>(
        std::lower_bound(c.begin(), c.end(), category_id, [](auto const& a, std::int64_t id) { return a.id < id; }) -
        c.begin());
  }

  std::string path_;
  cambium::coco_dataset all_;
  cambium::crowds how_ = cambium::crowds::ignore;
  std::vector<std::vector<std::size_t>> of_image_;  ///< annotations of each image
  coco_names names_;
};

}  // namespace labelling
