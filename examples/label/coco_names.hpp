#pragma once
// The images of a COCO file, found by the ids of photographs.

#include "image_files.hpp"
#include "image_set.hpp"

#include <cambium/io/coco_data.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace labelling {

/// Compares an id with the file names of a COCO file without their endings: with folders, then without them where no
/// other file has that name, then with the numbers of images.
class coco_names {
 public:
  coco_names() = default;
  coco_names(std::vector<cambium::coco_image> images, std::string path)
      : path_(std::move(path)), images_(std::move(images))
  {
    for (std::size_t place = 0; place < images_.size(); ++place) {
      by_number_.try_emplace(images_[place].id, place);
      std::string file_name = images_[place].file_name;
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
  }

  std::vector<cambium::coco_image> const& images() const { return images_; }
  bool empty() const { return images_.empty(); }

  /// The place of the image of an id.
  /// @throws io_error: two images have the name, if it must be one
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
           "'" + id + "' is the number of '" + images_[found->second].file_name + "', but there is also '" +
               images_[named->second].file_name + "'; an id is a name without its ending");
    return std::nullopt;
  }

  /// The file's own number of the image of an id.
  std::optional<std::int64_t> number_of(std::string const& id) const
  {
    auto const place = place_of(id);
    return place ? std::optional(images_[*place].id) : std::nullopt;
  }

  /// The same number, if it is that of the image whose name is the number: 139 of 000000000139.jpg.
  std::optional<std::int64_t> number_of_name(std::int64_t number) const
  {
    auto const named = by_number_in_name_.find(number);
    bool const one = named != by_number_in_name_.end() && named->second != two && images_[named->second].id == number;
    return one ? std::optional(number) : std::nullopt;
  }

  /// The file's own number of each image; those it does not know are numbered after its largest.
  /// @throws io_error: two ids of one image
  std::vector<std::int64_t> numbers_of(std::vector<std::string> const& ids) const
  {
    std::vector<std::int64_t> out;
    std::int64_t next = 1;
    for (auto const& image : images_) next = std::max(next, image.id + 1);
    std::map<std::size_t, std::string> known;
    for (auto const& id : ids) {
      auto const place = place_of(id, false);
      out.push_back(place ? images_[*place].id : next++);
      if (!place) continue;
      auto const [first, fresh] = known.try_emplace(*place, id);
      demand(fresh, path_,
             "'" + first->second + "' and '" + id + "' are both its image " + std::to_string(out.back()) + ", '" +
                 images_[*place].file_name + "'");
    }
    return out;
  }

  /// A note on ids that are the numbers of images with other names; "" if there are none.
  std::string note_on(std::vector<std::string> const& ids) const
  {
    std::size_t odd = 0;
    std::string first;
    for (auto const& id : ids) {
      if (by_path_.contains(id) || by_stem_.contains(id)) continue;
      auto const place = place_of(id, false);
      if (!place || images_[*place].file_name.empty()) continue;
      auto const named = by_number_in_name_.find(images_[*place].id);
      if (named != by_number_in_name_.end() && named->second == *place) continue;  // 139 is 000000000139.jpg
      if (odd++ == 0) first = "'" + id + "' is '" + images_[*place].file_name + "'";
    }
    return odd == 0 ? ""
                    : path_ + ": " + std::to_string(odd) + " of " + std::to_string(ids.size()) +
                          " images are found by their number in it, not by their name (" + first + ")";
  }

 private:
  static constexpr std::size_t two = ~std::size_t{0};
  std::string path_;
  std::vector<cambium::coco_image> images_;
  std::map<std::string, std::size_t> by_path_, by_stem_;
  std::map<std::int64_t, std::size_t> by_number_, by_number_in_name_;
};

}  // namespace labelling
