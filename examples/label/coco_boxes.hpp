#pragma once
// The boxes of a COCO file, by image.

#include "image_files.hpp"
#include "method.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
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
    for (auto const& image : all_.images) {
      std::size_t const place = by_number_.size();
      by_number_[image.id] = place;
      std::string file_name = image.file_name;
      std::replace(file_name.begin(), file_name.end(), '\\', '/');  // Windows' folders
      std::filesystem::path const name = std::filesystem::path(file_name).lexically_normal();
      auto const put = [&](std::map<std::string, std::size_t>& to, std::filesystem::path const& key) {
        if (key.empty()) return;
        if (auto const [at, fresh] = to.try_emplace(key.generic_string(), place); !fresh) at->second = two;
      };
      put(by_path_, name.parent_path() / name.stem());
      put(by_stem_, name.stem());
      if (auto const number = number_of_digits(name.stem().string())) {
        auto const [at, fresh] = by_number_in_name_.try_emplace(*number, place);
        if (!fresh) at->second = two;
      }
    }
    of_image_.resize(all_.images.size());
    for (std::size_t k = 0; k < all_.annotations.size(); ++k)
      of_image_[by_number_.at(all_.annotations[k].image_id)].push_back(k);
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
    auto const place = place_of(id);
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

  /// The file's own number of each image; those it does not know are numbered after its largest.
  /// @throws io_error: two ids of one image
  std::vector<std::int64_t> numbers_of(std::vector<std::string> const& ids) const
  {
    std::vector<std::int64_t> out;
    std::int64_t next = 1;
    for (auto const& image : all_.images) next = std::max(next, image.id + 1);
    std::map<std::size_t, std::string> known;
    for (auto const& id : ids) {
      auto const place = place_of(id, false);
      out.push_back(place ? all_.images[*place].id : next++);
      if (!place) continue;
      auto const [first, fresh] = known.try_emplace(*place, id);
      demand(fresh, path_,
             "'" + first->second + "' and '" + id + "' are both its image " + std::to_string(out.back()) + ", '" +
                 all_.images[*place].file_name + "'");
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

  /// The file's own number of the image of an id, as find() knows it.
  std::optional<std::int64_t> number_of_image(std::string const& id) const
  {
    auto const place = place_of(id);
    return place ? std::optional(all_.images[*place].id) : std::nullopt;
  }

 private:
  std::optional<std::size_t> place_of(std::string const& id, bool must_be_one = true) const
  {
    for (auto const* const names : {&by_path_, &by_stem_})
      if (auto const found = names->find(id); found != names->end()) {
        demand(found->second != two || !must_be_one, path_,
               "two images have the name '" + id + "'" + (names == &by_stem_ ? "; an id names their folder, too" : ""));
        return found->second == two ? std::nullopt : std::optional(found->second);
      }
    auto const number = number_of_digits(id);
    auto const found = number ? by_number_.find(*number) : by_number_.end();
    if (found == by_number_.end()) return std::nullopt;
    auto const named = by_number_in_name_.find(*number);
    if (named == by_number_in_name_.end() || named->second == found->second || named->second == two)
      return found->second;
    demand(!must_be_one, path_,
           "'" + id + "' is the number of '" + all_.images[found->second].file_name + "', but there is also '" +
               all_.images[named->second].file_name + "'; an id is a name without its ending");
    return std::nullopt;
  }
  std::int32_t rank_of(std::int64_t category_id) const
  {
    auto const& c = all_.categories;
    return static_cast<std::int32_t>(
        std::lower_bound(c.begin(), c.end(), category_id, [](auto const& a, std::int64_t id) { return a.id < id; }) -
        c.begin());
  }

  static constexpr std::size_t two = ~std::size_t{0};
  std::string path_;
  cambium::coco_dataset all_;
  cambium::crowds how_ = cambium::crowds::ignore;
  std::vector<std::vector<std::size_t>> of_image_;  ///< annotations of each image
  std::map<std::string, std::size_t> by_path_, by_stem_;
  std::map<std::int64_t, std::size_t> by_number_, by_number_in_name_;
};

}  // namespace labelling
