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

/// Decode a JPEG or a PNG. The content decides the format, not the name.
/// @return [H,W,3] RGB
/// @throws io_error "name: reason": neither JPEG nor PNG, or as parse_jpeg and parse_png
[[nodiscard]] inline grid<std::uint8_t, 3> parse_photograph(bytes const& file, std::string const& name)
{
  if (file.size() > 8 && file[0] == 0x89 && file[1] == 'P') return to_photograph(parse_png(file, name), name);
  if (!file.empty() && file[0] != 0xFF)
    throw io_error(name + ": is neither a JPEG nor a PNG file" + foreign_photograph(file));
  return parse_jpeg(file, name);
}

[[nodiscard]] inline grid<std::uint8_t, 3> read_photograph(std::filesystem::path const& path)
{
  return parse_photograph(read_file(path), path.string());
}

}  // namespace cambium
