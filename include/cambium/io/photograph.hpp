#pragma once
// Photographs: JPEG or PNG, told apart by content.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace cambium {

/// Recognise other image formats by the content's beginning: "; it is a HEIC photograph", or "".
[[nodiscard]] inline std::string foreign_photograph(bytes const& file)
{
  std::string_view const text(reinterpret_cast<char const*>(file.data()), std::min<std::size_t>(file.size(), 12));
  auto const has = [&](std::size_t at, std::string_view mark) {
    return text.size() >= at && text.substr(at, mark.size()) == mark;
  };
  char const* const kind = has(4, "ftypavif")                                      ? "an AVIF"
                           : has(4, "ftyphei") || has(4, "ftypmif1")               ? "a HEIC"
                           : has(0, "RIFF") && has(8, "WEBP")                      ? "a WebP"
                           : has(0, "GIF8")                                        ? "a GIF"
                           : has(0, "BM")                                          ? "a BMP"
                           : has(0, "II*") || has(0, std::string_view("MM\0*", 4)) ? "a TIFF"
                                                                                   : nullptr;
  return kind == nullptr ? "" : std::string("; it is ") + kind + " photograph: convert it to PNG";
}

/// The hint for a map whose height and width are exchanged.
inline constexpr char const* turned_words =
    "; perhaps a tool has turned the photograph by its EXIF orientation, but here pixels count as they are stored";

/// turned_words if one size is the other with height and width exchanged; otherwise "".
[[nodiscard]] inline std::string turned_hint(extent2 one, extent2 other)
{
  return one == extent2{other.width, other.height} && one != other ? turned_words : "";
}

/// Is this a PNG? A photograph is either that or a JPEG: the content decides, not the name.
/// @throws io_error "name: reason": neither
[[nodiscard]] inline bool is_png_photograph(bytes const& file, std::string const& name)
{
  if (file.size() > 8 && file[0] == 0x89 && file[1] == 'P') return true;
  if (!file.empty() && file[0] != 0xFF)
    throw io_error(name + ": is neither a JPEG nor a PNG file" + foreign_photograph(file));
  return false;
}

/// Decode a JPEG or a PNG.
/// @return [H,W,3] RGB
/// @throws io_error "name: reason": neither JPEG nor PNG, or as parse_jpeg and parse_png
[[nodiscard]] inline grid<std::uint8_t, 3> parse_photograph(bytes const& file, std::string const& name)
{
  return is_png_photograph(file, name) ? to_photograph(parse_png(file, name), name) : parse_jpeg(file, name);
}

/// The size of a photograph. Its rows are decoded, so that damage is found, but not kept.
/// @throws io_error as parse_photograph
[[nodiscard]] inline extent2 photograph_size(bytes const& file, std::string const& name)
{
  if (!is_png_photograph(file, name)) return jpeg_size(file, name);
  auto const image = parse_png(file, name, false);
  if (image.indexed) static_cast<void>(parse_photograph(file, name));  // an index may lie outside the palette
  return {image.height, image.width};
}

[[nodiscard]] inline grid<std::uint8_t, 3> read_photograph(std::filesystem::path const& path)
{
  return parse_photograph(read_file(path), path.string());
}

}  // namespace cambium
