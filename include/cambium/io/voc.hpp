#pragma once
// The files of Pascal VOC: lists of images, boxes in XML, and pairs of PNGs with classes and objects.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/label.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/text.hpp>

#include <pugixml.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace cambium {

// --- classes -------------------------------------------------------------------------------------------------

/// The classes 1..20 by name; class c is entry c - 1, which is also its channel in a network without background.
inline constexpr std::array<std::string_view, 20> voc_class_names{
    "aeroplane",   "bicycle", "bird",  "boat",      "bottle", "bus",         "car",   "cat",  "chair", "cow",
    "diningtable", "dog",     "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"};

/// The class 1..20 of a name, 0 of "background".
/// @throws precondition_error for another name
[[nodiscard]] inline std::int32_t voc_class(std::string_view name)
{
  if (name == "background") return label::background;
  auto const found = std::find(voc_class_names.begin(), voc_class_names.end(), name);
  expects(found != voc_class_names.end(), "voc_class: VOC has no class '", name, "'");
  return static_cast<std::int32_t>(found - voc_class_names.begin()) + 1;
}

/// The name of a class 0..20.
[[nodiscard]] inline std::string_view voc_name(std::int32_t category)
{
  expects(0 <= category && category <= 20, "voc_name: class ", category, " is outside 0..20");
  bool const named = 1 <= category && category <= 20;  // again, where g++ sees that the index is sound
  return named ? voc_class_names[static_cast<std::size_t>(category - 1)] : "background";
}

/// Whether a name says that it is no class: background, _background_, Background, bg, __ignore__, void, unlabeled.
[[nodiscard]] inline bool names_no_class(std::string_view name)
{
  std::string plain;
  for (char const c : name)
    if (c != '_' && c != '-' && c != ' ') plain += 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (std::string_view const one : {"background", "bg", "ignore", "ignored", "void", "unlabeled", "unlabelled"})
    if (plain == one) return true;
  return false;
}

/// The end of a message about an unknown class: "; is it 'dog'?" if one of the names differs in capitals or blanks
/// alone, else "".
template <class Names>
[[nodiscard]] std::string like_class(std::string_view name, Names const& names)
{
  auto const plain = [](std::string_view text) {
    std::string out;
    for (char const c : text)
      if (c != '_' && c != '-' && c != ' ') out += 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
  };
  for (auto const& one : names)
    if (plain(one) == plain(name)) return "; is it '" + std::string(one) + "'?";
  return "";
}

// --- lists of images -----------------------------------------------------------------------------------------

struct voc_list_entry {
  std::string id;                  ///< 2007_000032
  std::string image;               ///< /JPEGImages/2007_000032.jpg, "" where the list has ids
  std::string labels;              ///< /SegmentationClassAug/2007_000032.png, or ""
  std::vector<std::int32_t> tags;  ///< classes after the id, unchanged
};

/// The meaning of the numbers after ids.
enum class voc_numbers {
  tags,   ///< the classes of an image
  flags,  ///< whether the image has the class of the file's name: 1 yes, 0 only difficult objects, -1 no
  either  ///< all are 1: tags of class 1, or flags of the images that have the class
};

/// Tell tags from the flags of ImageSets/Main (dog_train.txt). Flags are one number per line: -1, 0 or 1. In addition
/// one is -1, or all columns are two characters wide ("2007_000032  1"), or the file lies in a folder Main.
[[nodiscard]] inline voc_numbers voc_numbers_of(std::vector<id_line> const& lines, std::filesystem::path const& file)
{
  bool negative = false, padded = true, ones = lines.size() > 1;
  for (auto const& line : lines) {
    if (line.words.size() != 1) return voc_numbers::tags;
    auto const word = line.words[0];
    if (word != "-1" && word != "0" && word != "1") return voc_numbers::tags;
    negative = negative || word == "-1", ones = ones && word == "1";
    padded = padded && line.behind.substr(0, line.behind.find(word)).size() + word.size() == 3;
  }
  if (lines.empty()) return voc_numbers::tags;
  if (negative || padded || file.parent_path().filename() == "Main") return voc_numbers::flags;
  return ones ? voc_numbers::either : voc_numbers::tags;
}

/// The message about flags.
inline constexpr char const* voc_flags_words =
    "these are flags of one class, as in VOC's ImageSets/Main (1 shows it, 0 difficult, -1 does not), but tags are "
    "wanted: all classes of each image";

/// Read a list of images. A line is one of
///
///     2007_000032
///     2007_000032 1 15
///     /JPEGImages/2007_000032.jpg
///     /JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png
///
/// A beginning with a slash is a path. The id is its file's name without the extension. Ids, paths and comments are
/// those of read_id_lines, without known ids.
///
/// @throws io_error "name:line: reason": an id that occurs twice or names no file, words in another form
[[nodiscard]] inline std::vector<voc_list_entry> parse_voc_list(bytes const& file, std::string const& name)
{
  std::vector<voc_list_entry> out;
  std::map<std::string, int> lines;
  for (auto const& line : read_id_lines(file, name, [](std::string const&) { return false; })) {
    auto const fail = [&](std::string const& reason) {
      throw io_error(name + ":" + std::to_string(line.number) + ": " + reason);
    };
    voc_list_entry entry;
    if (line.id.find('/') != std::string::npos) {
      entry.image = line.id;
      entry.id = entry.image.substr(entry.image.rfind('/') + 1);
      entry.id.resize(std::min(entry.id.rfind('.'), entry.id.size()));
      if (line.words.size() > 1)
        fail(std::to_string(1 + line.words.size()) + " words; an image and its labels are two");
      if (line.words.size() == 1) entry.labels = line.words[0];
    } else {
      entry.id = line.id;
      for (auto const word : line.words) {
        std::int32_t tag = 0;
        auto const [stop, failure] = std::from_chars(word.data(), word.data() + word.size(), tag);
        if (failure != std::errc{} || stop != word.data() + word.size() || tag < 0)
          fail("'" + std::string(word) + "' is not a class");
        entry.tags.push_back(tag);
      }
    }
    if (entry.id.empty() || entry.id == "." || entry.id == "..") fail("'" + line.id + "' names no image");
    auto const [first, is_new] = lines.try_emplace(entry.id, line.number);
    if (!is_new) fail("'" + entry.id + "' is in line " + std::to_string(first->second) + " already");
    out.push_back(std::move(entry));
  }
  return out;
}

[[nodiscard]] inline std::vector<voc_list_entry> read_voc_list(std::filesystem::path const& path)
{
  return parse_voc_list(read_file(path), path.string());
}

// --- boxes ---------------------------------------------------------------------------------------------------

struct voc_object {
  std::string name;        ///< one of voc_class_names, or the caller's own
  box bounds;              ///< as in cambium: rows and columns from 0, end one past the last
  bool difficult = false;  ///< not counted by VOC's evaluation
  bool truncated = false;
};

struct voc_annotation {
  std::string filename;
  index_t height = 0;  ///< [pixels]
  index_t width = 0;   ///< [pixels]
  std::vector<voc_object> objects;
  std::vector<std::string> notes;  ///< deviations that were read: "object 2: …"
};

struct voc_annotation_options {
  bool zero_based = false;  ///< the file counts pixels from 0, as VoTT does, not from 1
  extent2 image = {0, 0};   ///< [pixels] the photograph's size, for files that have none
};

/// Whether all corners of an annotation's boxes lie between 0 and 1, up to rounding, and one is not a whole number: they
/// are shares of the image, not pixels.
[[nodiscard]] inline bool only_shares(pugi::xml_node annotation)
{
  bool fractions = false;
  for (auto const& object : annotation.children("object"))
    for (char const* const side : {"xmin", "ymin", "xmax", "ymax"}) {
      std::string_view text = object.child("bndbox").child(side).text().get();
      text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
      double v = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), v).ec != std::errc{}) return false;
      if (!(-0.01 <= v && v <= 1.01)) return false;
      fractions = fractions || v != std::floor(v);
    }
  return fractions;
}

/// Read an annotation.
///
/// VOC counts pixels from 1 and gives the first and the last: xmin..xmax, ymin..ymax become the columns xmin - 1..xmax
/// - 1 and the rows ymin - 1..ymax - 1. Some files have fractions. They are rounded, halves up. A box that leaves the
/// image by one pixel is clamped, with a note. Flags are 0, 1, no, yes, false, true. Other words, such as Unspecified,
/// count as no, with a note.
///
/// @throws io_error "name: object 2: bndbox: reason": XML that does not parse; a size, name or box that is missing or
///         occurs twice; a box that is empty or leaves the image by more than a pixel; boxes that are all fractions
///         of the image's size
/// @source VOCdevkit. pugixml parses the file. It neither expands entities nor opens files, and the stack does not
///         limit its depth
[[nodiscard]] inline voc_annotation parse_voc_annotation(bytes const& file, std::string const& name,
                                                         voc_annotation_options const& options = {})
{
  pugi::xml_document document;
  auto const outcome = document.load_buffer(file.data(), file.size());
  if (!outcome) throw io_error(name + ": at byte " + std::to_string(outcome.offset) + ": " + outcome.description());
  auto const root = document.child("annotation");
  if (!root)
    throw io_error(name + ": has no annotation" +
                   (document.child("annotations") ? "; it is CVAT's own XML: export it as Pascal VOC" : ""));
  auto const once = [&](pugi::xml_node parent, char const* field, std::string const& where) {
    auto const node = parent.child(field);
    if (node.next_sibling(field)) throw io_error(name + ": " + where + field + " stands twice");
    return node;
  };
  once(document, "annotation", "");
  auto const text_of_node = [](pugi::xml_node node) {
    std::string_view const text = node.text().get(), blank = " \t\r\n";
    auto const begin = std::min(text.find_first_not_of(blank), text.size());
    return std::string(text.substr(begin, text.find_last_not_of(blank) + 1 - begin));
  };
  auto const number = [&](pugi::xml_node parent, char const* field, std::string const& where) {
    auto const node = once(parent, field, where + ": ");
    if (!node) throw io_error(name + ": " + where + ": " + field + " is missing");
    auto const text = text_of_node(node);
    double v = 0;
    auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (failure != std::errc{} || stop != text.data() + text.size() || !(std::abs(v) <= 1e9))
      throw io_error(name + ": " + where + ": " + field + " is '" + text + "'");
    return static_cast<index_t>(std::floor(v + 0.5));
  };
  voc_annotation out;
  out.filename = text_of_node(root.child("filename"));
  bool const instead = options.image.height > 0 && options.image.width > 0;
  if (auto const size = once(root, "size", ""); size && (!instead || (size.child("height") && size.child("width"))))
    out.height = number(size, "height", "size"), out.width = number(size, "width", "size");
  else if (!instead)
    throw io_error(name + ": size is missing");
  if (instead && out.height == 0 && out.width == 0) out.height = options.image.height, out.width = options.image.width;
  if (out.height < 1 || out.width < 1)
    throw io_error(name + ": size: an image of " + std::to_string(out.height) + " x " + std::to_string(out.width));
  if (out.height > 1 && out.width > 1 && only_shares(root))
    throw io_error(name +
                   ": all numbers of its boxes lie between 0 and 1: shares of the image's size? VOC's boxes are in "
                   "pixels");
  for (auto const& node : root.children("object")) {
    std::string const where = "object " + std::to_string(out.objects.size());
    voc_object object;
    object.name = text_of_node(once(node, "name", where + ": "));
    if (object.name.empty()) throw io_error(name + ": " + where + ": name is missing");
    auto const flag = [&](char const* field) {
      auto text = text_of_node(node.child(field));
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      if (text == "1" || text == "yes" || text == "true") return true;
      if (!text.empty() && text != "0" && text != "no" && text != "false")
        out.notes.push_back(where + ": " + field + " is '" + text_of_node(node.child(field)) + "', taken for 0");
      return false;
    };
    object.difficult = flag("difficult"), object.truncated = flag("truncated");
    auto const corners = once(node, "bndbox", where + ": ");
    if (!corners)
      throw io_error(name + ": " + where + ": bndbox is missing" +
                     (node.child("robndbox") ? "; it has a rotated box, robndbox, which is not read" : ""));
    auto const at = where + ": bndbox";
    index_t const left = number(corners, "xmin", at), right = number(corners, "xmax", at);
    index_t const top = number(corners, "ymin", at), bottom = number(corners, "ymax", at);
    /// One axis as in cambium: from 0, end one past the last.
    auto const range = [&](char axis, index_t first, index_t last, index_t size) {
      index_t const origin = options.zero_based ? 0 : 1;
      auto const text =
          std::string(1, axis) + "min is " + std::to_string(first) + " and " + axis + "max " + std::to_string(last);
      auto const beside = ", outside " + std::to_string(origin) + ".." + std::to_string(size - 1 + origin);
      if (first > last) throw io_error(name + ": " + at + ": " + text);
      index_t const begin = std::max<index_t>(first - origin, 0), end = std::min(last - origin + 1, size);
      if (first - origin < -1 || last - origin > size || begin >= end)
        throw io_error(name + ": " + at + ": " + text + beside);
      if (begin != first - origin || end != last - origin + 1)
        out.notes.push_back(at + ": " + text + beside + " by one pixel, which is cut off" +
                            (first < origin && !options.zero_based ? "; or does the file count from 0?" : ""));
      return std::pair(begin, end);
    };
    std::tie(object.bounds.left, object.bounds.right) = range('x', left, right, out.width);
    std::tie(object.bounds.top, object.bounds.bottom) = range('y', top, bottom, out.height);
    out.objects.push_back(std::move(object));
  }
  return out;
}

[[nodiscard]] inline voc_annotation read_voc_annotation(std::filesystem::path const& path,
                                                        voc_annotation_options const& options = {})
{
  return parse_voc_annotation(read_file(path), path.string(), options);
}

// --- pairs of PNGs -------------------------------------------------------------------------------------------

/// Objects of an image, and its void pixels.
struct voc_segmentation {
  instances<> objects;            ///< label 0 background, 1..N by ascending number in the file; classes 1..20; score 1
  grid<std::uint8_t, 2> ignored;  ///< [H,W] 1 where either map is void
};

/// Combine classes and objects of one image. An object has the class of its pixels. Pixels of a class without an object
/// are background.
///
/// @param classes  [H,W] from SegmentationClass: 0 background, classes, 255 void
/// @param objects  [H,W] from SegmentationObject: 0 background, 1.. objects
/// @param name     begins every message
/// @param nothing  the void number among the objects: 255 in VOC's own files of 8 bits. In files of 16 bits 255 is an
///                 object
/// @throws         io_error: maps of different sizes; an object with pixels of two classes or of background
[[nodiscard]] inline voc_segmentation voc_objects(grid<std::int32_t, 2> const& classes,
                                                  grid<std::int32_t, 2> const& objects, std::string const& name,
                                                  std::int32_t nothing = label::ignore)
{
  if (classes.shape() != objects.shape())
    throw io_error(name + ": the objects are " + message_part(objects.view()) + " but the classes " +
                   message_part(classes.view()));
  index_t const H = classes.shape()[0], W = classes.shape()[1];
  std::map<std::int32_t, std::int32_t> number;  // from the file's numbers to 1..N
  voc_segmentation out{{grid<std::int32_t, 2>(H, W), {}}, grid<std::uint8_t, 2>(H, W)};
  for (index_t i = 0; i < H * W; ++i) {
    std::int32_t const object = objects.data()[i], category = classes.data()[i];
    out.ignored.data()[i] = object == nothing || category == label::ignore;
    if (out.ignored.data()[i] == 0 && object != 0) number[object] = 0;
  }
  for (auto& [in_file, ours] : number) {
    out.objects.found.push_back({.bounds = {H, W, 0, 0}});
    ours = static_cast<std::int32_t>(out.objects.found.size());
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (out.ignored(y, x) != 0 || objects(y, x) == 0) continue;
      auto const fail = [&](std::string const& reason) {
        throw io_error(name + ": object " + std::to_string(objects(y, x)) + " has pixels of class " + reason);
      };
      std::int32_t const ours = number[objects(y, x)], category = classes(y, x);
      out.objects.label(y, x) = ours;
      instance& o = out.objects.found[static_cast<std::size_t>(ours - 1)];
      if (category == label::background) fail("0, which is background");
      if (o.area > 0 && o.category != category)
        fail(std::to_string(o.category) + " and of class " + std::to_string(category));
      o.category = category, o.score = 1;
      ++o.area;
      o.bounds = {std::min(o.bounds.top, y), std::min(o.bounds.left, x), y + 1, std::max(o.bounds.right, x + 1)};
    }
  return out;
}

/// Read both files. A map of 16 bits may have more than 254 objects, and 255 is one of them.
/// @throws io_error: as voc_objects and parse_label_map
[[nodiscard]] inline voc_segmentation read_voc_segmentation(std::filesystem::path const& class_png,
                                                            std::filesystem::path const& object_png)
{
  return voc_objects(parse_label_map(read_file(class_png), class_png.string()),
                     parse_instance_map(read_file(object_png), object_png.string()), object_png.string(), -1);
}

/// Format the two files of an image, with VOC's palette.
struct voc_png_pair {
  bytes classes;
  bytes objects;
};

/// @param ignored [H,W] 255 is written at its nonzero cells; or an empty grid
/// @throws precondition_error: more than 254 objects, classes outside 1..254, maps that do not fit together
[[nodiscard]] inline voc_png_pair format_voc_segmentation(instances<> const& objects,
                                                          grid<std::uint8_t, 2> const& ignored = {})
{
  auto const N = static_cast<index_t>(objects.found.size());
  expects(N <= 254, "format_voc_segmentation: ", N, " objects; the format has room for 254");
  for (auto const& o : objects.found)
    expects(1 <= o.category && o.category <= 254, "format_voc_segmentation: class ", o.category, " is outside 1..254");
  expects(ignored.size() == 0 || ignored.shape() == objects.label.shape(), "format_voc_segmentation: labels are ",
          objects.label.view(), " but ignored is ", ignored.view());
  auto numbers = objects.label, classes = objects.label;
  for (index_t i = 0; i < numbers.size(); ++i) {
    std::int32_t const at = numbers.data()[i];
    expects(0 <= at && at <= N, "format_voc_segmentation: a label is ", at, ", outside 0..", N);
    classes.data()[i] = at == 0 ? 0 : objects.found[static_cast<std::size_t>(at - 1)].category;
    if (ignored.size() > 0 && ignored.data()[i] != 0) numbers.data()[i] = classes.data()[i] = label::ignore;
  }
  return {format_labels(classes, voc_palette()), format_labels(numbers, voc_palette())};
}

inline void write_voc_segmentation(std::filesystem::path const& class_png, std::filesystem::path const& object_png,
                                   instances<> const& objects, grid<std::uint8_t, 2> const& ignored = {})
{
  auto const files = format_voc_segmentation(objects, ignored);
  replace_file(class_png, files.classes);
  replace_file(object_png, files.objects);
}

}  // namespace cambium
