#pragma once

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>

#include <cstdint>
#include <string>

namespace labelling {

/// A JPEG or a PNG, whatever its name.
/// @throws cambium::io_error "file: reason"
inline cambium::grid<std::uint8_t, 3> decode_photograph(cambium::bytes const& content, std::string const& path)
{
  if (content.size() > 8 && content[0] == 0x89 && content[1] == 'P')
    return cambium::to_photograph(cambium::parse_png(content, path), path);
  if (!content.empty() && content[0] != 0xFF) throw cambium::io_error(path + ": is neither a JPEG nor a PNG file");
  return cambium::parse_jpeg(content, path);
}

}  // namespace labelling
