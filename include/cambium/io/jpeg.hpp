#pragma once
// JPEG through libjpeg-turbo.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>

#include <cstdio>  // jpeglib.h needs it first

#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

namespace cambium {

/// The state of libjpeg. A failure jumps back to setjmp. All state across the jump is in members, so no register can
/// hold an older copy. Data that ends early or does not decode is a failure too; libjpeg itself would fill the rest
/// with grey.
struct jpeg_stream {
  jpeg_error_mgr manager{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = {};
  jpeg_decompress_struct reader{};
  jpeg_compress_struct writer{};
  grid<std::uint8_t, 3> image;
  bytes line;
  unsigned char* memory = nullptr;  ///< libjpeg's, freed here
  unsigned long size = 0;

  static constexpr std::size_t most_bytes = std::size_t{1} << 32;  ///< of an image

  jpeg_stream() { jpeg_std_error(&manager)->error_exit = stop, manager.emit_message = warn; }
  ~jpeg_stream()
  {
    jpeg_destroy_decompress(&reader);  // both ignore an object that was not created
    jpeg_destroy_compress(&writer);
    std::free(memory);
  }
  jpeg_stream(jpeg_stream const&) = delete;
  jpeg_stream& operator=(jpeg_stream const&) = delete;

  /// @param keep  whether rows stay in `image`; otherwise it is one row, and all are decoded into it
  [[gnu::noinline]] bool read(unsigned char const* data, std::size_t length, bool keep)
  {
    reader.err = &manager;
    if (setjmp(jump) != 0) return false;
    jpeg_create_decompress(&reader);
    jpeg_mem_src(&reader, data, static_cast<unsigned long>(length));
    jpeg_read_header(&reader, TRUE);
    // A byte of Huffman codes holds far fewer pixels than this, even if all are equal. A header that claims more is
    // false.
    std::size_t const pixels = static_cast<std::size_t>(reader.image_height) * reader.image_width;
    if (!reader.arith_code && pixels / 8192 > length) {
      std::strcpy(message, "too small for the size it claims");
      return false;
    }
    if (3 * pixels > most_bytes) {
      std::snprintf(message, sizeof message, "an image of %u x %u would take %.1f GB of memory; 4 GB are allowed",
                    reader.image_height, reader.image_width, 3e-9 * static_cast<double>(pixels));
      return false;
    }
    bool const four = reader.jpeg_color_space == JCS_CMYK || reader.jpeg_color_space == JCS_YCCK;
    reader.out_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&reader);
    image = make_grid<std::uint8_t>({keep ? reader.output_height : 1, reader.output_width, 3});
    std::size_t const width = reader.output_width;
    if (four) line.resize(4 * width);
    while (reader.output_scanline < reader.output_height) {
      std::uint8_t* const row = image.data() + (keep ? 3 * width * reader.output_scanline : 0);
      JSAMPROW target = four ? line.data() : row;
      jpeg_read_scanlines(&reader, &target, 1);
      for (std::size_t x = 0; four && x < width; ++x)
        for (std::size_t c = 0; c < 3; ++c) {
          int const ink = line[4 * x + c], black = line[4 * x + 3];  // Adobe stores both inverted
          row[3 * x + c] = static_cast<std::uint8_t>(reader.saw_Adobe_marker ? ink * black / 255
                                                                             : (255 - ink) * (255 - black) / 255);
        }
    }
    jpeg_finish_decompress(&reader);
    return true;
  }

  void parse(bytes const& file, std::string const& name, bool keep)
  {
    if (file.size() < 3 || file[0] != 0xFF || file[1] != 0xD8)
      throw io_error(name + (file.empty() ? ": is empty" : ": is not a JPEG file"));
    if (!read(file.data(), file.size(), keep)) throw io_error(name + ": " + message);
  }

  [[gnu::noinline]] bool write(unsigned char const* rgb, index_t height, index_t width, int quality)
  {
    writer.err = &manager;
    if (setjmp(jump) != 0) return false;
    jpeg_create_compress(&writer);
    jpeg_mem_dest(&writer, &memory, &size);
    writer.image_height = static_cast<JDIMENSION>(height);
    writer.image_width = static_cast<JDIMENSION>(width);
    writer.input_components = 3;
    writer.in_color_space = JCS_RGB;
    jpeg_set_defaults(&writer);
    jpeg_set_quality(&writer, quality, TRUE);
    jpeg_start_compress(&writer, TRUE);
    while (writer.next_scanline < writer.image_height) {
      JSAMPROW row = const_cast<JSAMPROW>(rgb) + 3 * width * writer.next_scanline;
      jpeg_write_scanlines(&writer, &row, 1);
    }
    jpeg_finish_compress(&writer);
    return true;
  }

  static void stop(j_common_ptr info)
  {
    auto* const self = reinterpret_cast<jpeg_stream*>(info->err);  // manager is the first member
    info->err->format_message(info, self->message);
    std::longjmp(self->jump, 1);
  }
  /// Warnings that affect no pixel are ignored. JWRN_NOT_SEQUENTIAL: telephones write a spectral selection of 0..0 into
  /// sequential scans. It has no meaning there.
  static void warn(j_common_ptr info, int level)
  {
    int const code = info->err->msg_code;
    bool const harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM ||
                          code == JWRN_NOT_SEQUENTIAL;
    if (level < 0 && !harmless) stop(info);
  }
};

/// Decode a JPEG to RGB; grey is repeated, CMYK is converted as printed. Orientation tags are not applied.
/// @return [H,W,3]
/// @throws io_error: not JPEG, damaged, truncated, larger than 4 GB when decoded
[[nodiscard]] inline grid<std::uint8_t, 3> parse_jpeg(bytes const& file, std::string const& name)
{
  jpeg_stream stream;
  stream.parse(file, name, true);
  return std::move(stream.image);
}

/// The size of a JPEG. Its rows are decoded, so that damage is found, but not kept.
/// @throws io_error as parse_jpeg
[[nodiscard]] inline extent2 jpeg_size(bytes const& file, std::string const& name)
{
  jpeg_stream stream;
  stream.parse(file, name, false);
  return {stream.reader.output_height, stream.reader.output_width};
}

/// Encode RGB as JPEG.
/// @param image    [H,W,3]
/// @param quality  1..100
template <stack_like I>
[[nodiscard]] bytes format_jpeg(I const& image, int quality = 90)
{
  auto const v = as_view<3>(image, "format_jpeg: image");
  expects(v.extent[2] == 3 && v.contiguous() && v.size() > 0, "format_jpeg: the image is ", v,
          " instead of [H,W,3] without gaps");
  expects(v.extent[0] <= JPEG_MAX_DIMENSION && v.extent[1] <= JPEG_MAX_DIMENSION, "format_jpeg: ", v,
          " is larger than a JPEG can be");
  expects(1 <= quality && quality <= 100, "format_jpeg: quality is ", quality);
  jpeg_stream stream;
  if (!stream.write(v.data, v.extent[0], v.extent[1], quality))
    throw io_error(std::string("format_jpeg: ") + stream.message);
  return {stream.memory, stream.memory + stream.size};
}

[[nodiscard]] inline grid<std::uint8_t, 3> read_jpeg(std::filesystem::path const& path)
{
  return parse_jpeg(read_file(path), path.string());
}

}  // namespace cambium
