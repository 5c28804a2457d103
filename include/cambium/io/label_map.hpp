#pragma once
// Label maps in PNG files: classes, or numbers of instances. For other files the message names their format.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/label.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace cambium {

/// Whether a map of classes has a pixel that is neither background nor void (255).
[[nodiscard]] inline bool has_class(grid<std::int32_t, 2> const& labels)
{
  auto const& cells = labels.cells();
  return std::any_of(cells.begin(), cells.end(), [](auto v) { return v > label::background && v != label::ignore; });
}

/// Whether a map of scribbles seems to be drawn the other way round: 255, which means unmarked, where something was
/// drawn. It has no class, some 255, and more pixels that are marked as background.
[[nodiscard]] inline bool is_inverse_drawing(grid<std::int32_t, 2> const& drawing)
{
  auto const& cells = drawing.cells();
  auto const unmarked = std::count(cells.begin(), cells.end(), label::ignore);
  return !has_class(drawing) && unmarked > 0 && 2 * unmarked < drawing.size();
}

/// The numbers that occur in a map.
[[nodiscard]] inline std::set<std::int32_t> numbers_of(grid<std::int32_t, 2> const& labels)
{
  std::set<std::int32_t> out;
  std::int32_t last = -2;
  for (auto const v : labels.cells())
    if (v != last) out.insert(last = v);
  return out;
}

/// Explain a map without any class, or with unknown classes. Returns the end of a message, "; it holds only 0 and 255,
/// ...", or "" if the numbers give no hint.
/// @param numbers  those of the map; 255 and negative ones are void
/// @param classes  the valid classes are 1..classes
[[nodiscard]] inline std::string label_map_hint(std::set<std::int32_t> const& numbers, index_t classes)
{
  std::set<std::int32_t> named;  // classes, if they are any
  bool with_void = false;
  for (auto const v : numbers) {
    with_void = with_void || v < 0 || v == label::ignore;
    if (v > label::background && v != label::ignore) named.insert(v);
  }
  if (named.empty())
    return with_void
               ? "; it holds only 0 and 255 as a binary mask does, but 255 is void: write the number of the class "
                 "or object instead, 1 where there is but one"
               : "";
  auto const most = *named.rbegin();
  if (most <= classes) return "";
  if (named.size() == 1 && most >= 100 && !with_void)
    return "; it holds only 0 and " + std::to_string(most) +
           " as a binary mask does: write the number of the class instead, 1 where there is but one";
  if (most == 65535) return "; 65535 is -1 in 16 bits: write 255 where a map is void";
  if (most >= 24000 && most / 1000 <= 33)
    return "; " + std::to_string(most) + " is class and object together, as in Cityscapes' instanceIds (" +
           std::to_string(most / 1000) + " and " + std::to_string(most % 1000) + "): write the classes alone";
  std::set<std::int32_t> grey;  // grey values of VOC's classes and its void, rounded up and down
  auto const palette = voc_palette();
  for (std::size_t c = 1; c < palette.size(); c = c == 20 ? 255 : c + 1) {
    int const luma = (299 * palette[c].red + 587 * palette[c].green + 114 * palette[c].blue) / 1000;
    grey.insert(luma), grey.insert(luma + 1);
  }
  if (most > 20 && !with_void && std::includes(grey.begin(), grey.end(), named.begin(), named.end()))
    return "; its numbers are the grey values of VOC's colours: a tool has turned the palette into grey, and the class "
           "numbers are lost";
  if (most <= 33 && (classes == 8 || classes == 19))
    return "; if these are Cityscapes' labelIds, write classes 1..C, and 255 for what has none";
  return "";
}

[[nodiscard]] inline std::string label_map_hint(grid<std::int32_t, 2> const& labels, index_t classes)
{
  return label_map_hint(numbers_of(labels), classes);
}

/// Decode the PNG of a label map. For another format the message names it.
/// @throws io_error: another kind of file, a colour image, VOC's colours or grey numbers under other indices
[[nodiscard]] inline png_image_data parse_label_png(bytes const& file, std::string const& name)
{
  auto const begins = [&](std::string_view with) {
    return file.size() >= with.size() &&
           std::equal(with.begin(), with.end(), file.begin(),
                      [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; });
  };
  if (begins("\xff\xd8\xff"))
    throw io_error(name + ": is a JPEG, whose compression changes numbers; a label map is a PNG");
  if (begins("\x93NUMPY")) throw io_error(name + ": is a NumPy array; a label map is a PNG of 8 or 16 bits");
  auto image = parse_png(file, name);
  auto const colours = voc_palette();
  auto const index_of = [&](rgb c) {  // in VOC's palette, as far as VOC has classes; 256: in none
    for (std::size_t i = 0; i < colours.size(); i = i == 20 ? 255 : i + 1)
      if (colours[i] == c) return i;
    return std::size_t{256};
  };
  auto const channels = static_cast<std::size_t>(image.channels);
  if (channels > 1) {
    bool equal = true, of_voc = image.depth == 8;
    auto const sample = static_cast<std::size_t>(image.depth / 8), pixel = channels * sample;
    for (std::size_t at = 0; channels > 2 && at < image.samples.size() && (equal || of_voc); at += pixel) {
      auto const* const p = image.samples.data() + at;
      equal = equal && std::equal(p, p + 2 * sample, p + sample);
      of_voc = of_voc && index_of({p[0], p[sample], p[2 * sample]}) < 256;
    }
    std::string const what = ": is a colour image; a label map has one channel of indices or grey values";
    if (channels == 2) throw io_error(name + ": has an alpha channel; a label map has one channel");
    if (equal) throw io_error(name + what + ": its channels are equal, so keep one of them");
    if (of_voc)
      throw io_error(name + what + ": its colours are those of VOC's palette, so write the index of each colour (in " +
                     "Python, Image.open keeps the indices of the original file, convert('RGB') loses them)");
    throw io_error(name + what +
                   "; of a panoptic PNG, whose colours are numbers of segments, panopticapi makes such maps");
  }
  if (!image.indexed) return image;
  // A tool that shrinks PNGs keeps the colours and gives them other indices. Colours of VOC from class 8 on have components
  // of 64, 192 or 224, which nobody else's palette has together. Greys darker than 64, with white at most, show nothing:
  // they are the numbers of a grey map that was given a palette.
  std::array<bool, 256> used{};
  for (auto const i : image.samples) used[i] = true;
  bool of_voc = true, of_numbers = true;
  std::string moved_colour, moved_number;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    auto const c = i < image.palette.size() ? image.palette[i] : rgb{0, 0, 255};
    auto const at = index_of(c);
    of_voc = of_voc && at < 256;
    if (at >= 8 && at < 256 && at != i) {
      auto const what = at == static_cast<std::size_t>(label::ignore) ? "void" : "class " + std::to_string(at);
      moved_colour = what + " under " + std::to_string(i);
    }
    of_numbers = of_numbers && c.red == c.green && c.red == c.blue && (c.red < 64 || c.red == 255);
    if (c.red > 0 && c.red < 64 && c.red != i) moved_number = std::to_string(c.red) + " under " + std::to_string(i);
  }
  if (of_voc && !moved_colour.empty())
    throw io_error(name + ": has VOC's colours under other indices (" + moved_colour +
                   "): a tool has written the palette anew, and the class numbers are lost");
  if (of_numbers && !moved_number.empty())
    throw io_error(name + ": has a palette of greys that were numbers (" + moved_number +
                   "): a tool has written it anew; in Python, Image.open(path).convert('L') has the numbers again");
  return image;
}

/// Read a map of classes: indices, 8-bit or 16-bit grey, unchanged.
/// @return [H,W] 0 background, 1..C, 255 void
/// @throws io_error as parse_label_png
[[nodiscard]] inline grid<std::int32_t, 2> parse_label_map(bytes const& file, std::string const& name)
{
  return to_labels(parse_label_png(file, name), name);
}

/// Read a map of instances. In a file of 8 bits 255 is void, as in VOC's SegmentationObject. In a file of 16 bits every
/// number is an instance.
/// @return [H,W] 0 background, 1..N, -1 void
/// @throws io_error as parse_label_png
[[nodiscard]] inline grid<std::int32_t, 2> parse_instance_map(bytes const& file, std::string const& name)
{
  auto const image = parse_label_png(file, name);
  auto out = to_labels(image, name);
  if (image.depth == 8)
    for (auto& v : out.cells())
      if (v == label::ignore) v = -1;
  return out;
}

}  // namespace cambium
