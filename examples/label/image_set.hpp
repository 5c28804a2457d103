#pragma once
// Which images there are, where their files lie, and what classes their CAMs speak of.

#include "settings.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace labelling {

/// The template with every {id} replaced.
std::string fill(std::string const& path_template, std::string const& id);

struct image_set {
  std::vector<std::string> ids;                  ///< in the order of the list, or sorted
  std::map<std::string, std::vector<int>> tags;  ///< classes 1..C of an id's CAM channels
  bool tagged = false;

  /// Number an image in COCO files: that of the COCO file behind the labels; else the id itself, without its folders, if
  /// all are distinct numbers; else its place in the list, from 1.
  std::int64_t number(std::size_t place) const { return numbers_[place]; }

  /// The classes of an image's channels.
  /// @throws io_error when the tags file has no line for it or the numbers differ
  std::vector<int> classes(std::string const& id, std::int64_t channels, std::string const& tags_file) const;

  std::vector<std::int64_t> numbers_;
};

/// What a file says of images.
struct tag_lines {
  std::map<std::string, std::vector<int>> of;  ///< classes 1..254 of an id
  std::vector<std::string> others;             ///< lines of other images
};

/// Lines '<id> <class> <class> ...' of the images that there are. Lines of others are passed over.
/// @throws usage_error, io_error
tag_lines read_tags(std::string const& path, std::vector<std::string> const& ids, tag_numbers how = {});

/// Names of classes, one a line: the line without blanks around it and without a comment, which begins with '#'.
/// @throws usage_error, io_error: none; a name that stands twice
std::vector<std::string> read_names(std::string const& path);

/// Ids from a list, or whose file of a template exists, and their tags.
/// @param ids, tags  files, or empty
/// @throws usage_error, io_error
image_set find_images(std::string const& ids, std::string const& path_template, std::string const& tags,
                      tag_numbers how = {});

/// No input is a file that the program writes or deletes: it would be lost.
/// @param inputs   paths; empty ones are passed over
/// @param out      the folder of what is written
/// @param written  names below it; asked for where an input lies there
/// @throws usage_error naming the first such input
void expects_inputs_kept(std::vector<std::string> const& inputs, std::string const& out,
                         std::function<std::vector<std::string>()> const& written);

}  // namespace labelling
