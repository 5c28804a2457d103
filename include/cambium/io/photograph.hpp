#pragma once
// Photographs: JPEG or PNG, told apart by what is in the file.

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

namespace cambium {

/// Decode a JPEG or a PNG. The content says which one it is; names say it wrong as often as right.
/// @return [H,W,3] RGB
/// @throws io_error "name: reason": neither of both, or what parse_jpeg and parse_png throw
[[nodiscard]] inline grid<std::uint8_t, 3> parse_photograph(bytes const& file, std::string const& name)
{
  if (file.size() > 8 && file[0] == 0x89 && file[1] == 'P') return to_photograph(parse_png(file, name), name);
  if (!file.empty() && file[0] != 0xFF) throw io_error(name + ": is neither a JPEG nor a PNG file");
  return parse_jpeg(file, name);
}

[[nodiscard]] inline grid<std::uint8_t, 3> read_photograph(std::filesystem::path const& path)
{
  return parse_photograph(read_file(path), path.string());
}

}  // namespace cambium
