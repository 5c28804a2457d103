#pragma once
// The ids of all images, the paths of their files, and the classes of their CAM channels.

#include "settings.hpp"

#include <cambium/io/file.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
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

  /// The image's number in COCO files. It is the number in the COCO file of the boxes; else the id without its folders,
  /// if all ids are distinct numbers; else the place in the list, from 1.
  std::int64_t number(std::size_t place) const { return numbers_[place]; }

  /// The classes of an image's channels.
  /// @throws io_error when the tags file has no line for it or the numbers differ
  std::vector<int> classes(std::string const& id, std::int64_t channels, std::string const& tags_file) const;

  std::vector<std::int64_t> numbers_;
};

/// The tags of a file.
struct tag_lines {
  std::map<std::string, std::vector<int>> of;  ///< classes 1..254 of an id
  std::vector<std::string> others;             ///< lines of other images
};

/// Read lines '<id> <class> <class> ...' of the images in `ids`. Other lines are collected in `others`.
/// @throws usage_error, io_error
tag_lines read_tags(std::string const& path, std::vector<std::string> const& ids, tag_numbers how = {});

/// The classes in a text, parted by blanks or lines: the tags of one image.
/// @throws io_error "path: reason"
std::vector<int> parse_classes(cambium::bytes const& file, std::string const& path, tag_numbers how = {});

/// An id as messages show it: in quotes, and with bytes beyond ASCII once more as \\xE2: names that look equal may differ in
/// invisible characters, and letters with accents are written in two ways.
std::string quoted_id(std::string const& id);

/// Whether a text is UTF-8, as records must be.
bool is_utf8(std::string const& text);

/// Why a text cannot be an id: ids become part of the names of files that are written. Empty if it can.
std::string why_no_id(std::string const& id);

/// The number that a text of at most 15 digits is.
std::optional<std::int64_t> number_of_digits(std::string const& text);

/// The number that an id is, without its folders.
std::optional<std::int64_t> number_in(std::string const& id);

/// The numbers of images in COCO files: those that the ids are, if they are distinct numbers; else 1, 2, 3, ...
std::vector<std::int64_t> numbers_of(std::vector<std::string> const& ids);

/// Read names of classes, one per line. Blanks around a name and comments, which begin with '#', are dropped.
/// @throws usage_error, io_error: no names; a name that occurs twice
std::vector<std::string> read_names(std::string const& path);

/// Whether a folder has an entry of this name, also one that cannot be opened: a link to nothing, a file in a folder without
/// permission. A missing file may be left out, but one that cannot be opened is a mistake.
bool is_there(std::filesystem::path const& path);

/// Take ids from a list, or find the existing files of a template; and read the tags.
/// @param ids, tags  files, or empty
/// @throws usage_error, io_error
image_set find_images(std::string const& ids, std::string const& path_template, std::string const& tags,
                      tag_numbers how = {});

/// The set as one text, for other processes, and back.
std::string as_text(image_set const& set);
image_set set_of_text(std::string const& text);

/// Check templates of files that images may lack. Each should have the file of one image at least. Where one has files of
/// other images alone, or none though another one has some, a note says so: the set may be a part of a larger one.
/// @throws usage_error: the folder of a template is not there; no template has a file of the images, and one has none at all
void expects_some(std::vector<std::string> const& templates, std::vector<std::string> const& ids);

/// Throw if the program would overwrite or delete one of its inputs, or the file that an input is a link to.
/// @param inputs   paths; empty ones are ignored
/// @param out      the output folder
/// @param written  the outputs' names below it; called only if an input lies there
/// @throws usage_error naming the first such input
void expects_inputs_kept(std::vector<std::string> const& inputs, std::string const& out,
                         std::function<std::vector<std::string>()> const& written);

}  // namespace labelling
