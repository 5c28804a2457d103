#pragma once
// What a person should know of images that were labelled, counted over a set.

#include "options.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace labelling {

class image_notes {
 public:
  /// @param record  of an image; its "notes", if it has any, are counts: {"boxes that no mask fits": 2}
  void add(std::string const& id, json const& record)
  {
    auto const notes = record.find("notes");
    if (notes == record.end()) return;
    for (auto const& [what, count] : notes->items()) {
      auto& of = of_[what];
      if (of.images++ == 0) of.first = id;
      of.count += count.get<std::size_t>();
    }
  }

  /// "boxes that no mask fits: 3 in 2 images, 'b' first"
  std::vector<std::string> sentences() const
  {
    std::vector<std::string> out;
    for (auto const& [what, of] : of_)
      out.push_back(what + ": " + std::to_string(of.count) + " in " + std::to_string(of.images) +
                    (of.images == 1 ? " image, '" + of.first + "'" : " images, '" + of.first + "' first"));
    return out;
  }

 private:
  struct total {
    std::size_t count = 0, images = 0;
    std::string first;
  };
  std::map<std::string, total> of_;
};

}  // namespace labelling
