#pragma once
// Weak maps of a whole set, before it is labelled.

#include "image_set.hpp"
#include "truth.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace labelling {

/// Of weak maps for which is_void_only() holds.
inline constexpr char const* void_only_words =
    "weak maps without a pixel of any class, only 0 and 255 (a binary mask needs the class instead of 255, which is "
    "unknown)";

/// Checks that not all maps of a set lack classes. One such map may be right, all of them are a mistake. Reads maps until
/// one has a class. Ignores files that cannot be read: their images will say so.
/// @param path_template  or empty
/// @param odd            whether a map without a class may be wrong
/// @param reason         what is wrong then
/// @throws usage_error naming the first odd map, if no map has a class
inline void expects_classes(std::vector<std::string> const& ids, std::string const& path_template,
                            std::function<bool(cambium::grid<std::int32_t, 2> const&)> const& odd,
                            std::string const& reason)
{
  if (path_template.empty()) return;
  std::string first;
  std::size_t maps = 0;
  for (auto const& id : ids) {
    std::string const path = fill(path_template, id);
    try {
      auto const map = cambium::parse_label_map(cambium::read_file(path), path);
      if (cambium::has_class(map)) return;
      ++maps;
      if (first.empty() && odd(map)) first = path;
    } catch (cambium::io_error const&) {
      // its image will say so
    }
  }
  if (first.empty()) return;
  throw usage_error(first + ": " + reason +
                    (maps > 1 ? "; none of the " + std::to_string(maps) + " maps has a class" : ""));
}

}  // namespace labelling
