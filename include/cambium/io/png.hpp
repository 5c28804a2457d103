#pragma once
// PNG through libpng: indices of palette images stay indices, 16-bit stays 16-bit.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>

#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cambium {

struct rgb {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;

  friend bool operator==(rgb, rgb) = default;
};

/// The field's usual colours of label maps: VOC's bit-interleaved colour map, 256 entries.
inline std::vector<rgb> voc_palette()
{
  std::vector<rgb> colours;
  for (unsigned label = 0; label < 256; ++label) {
    unsigned r = 0, g = 0, b = 0;
    for (unsigned bit = 0, id = label; bit < 8; ++bit, id >>= 3) {
      r |= (id & 1) << (7 - bit);
      g |= (id >> 1 & 1) << (7 - bit);
      b |= (id >> 2 & 1) << (7 - bit);
    }
    colours.push_back({static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g), static_cast<std::uint8_t>(b)});
  }
  return colours;
}

/// The contents of a PNG file.
struct png_image_data {
  index_t height = 0, width = 0;
  int channels = 0;       ///< 1 grey or index, 2 grey + alpha, 3 RGB, 4 RGB + alpha
  int depth = 8;          ///< [bits] of a sample: 8 or 16 (1, 2 and 4 are unpacked to 8)
  int grey_levels = 256;  ///< of 8-bit grey: 2, 4 and 16 in files of 1, 2 and 4 bits
  bool indexed = false;   ///< samples are indices into `palette`
  std::vector<rgb> palette;
  bytes samples;  ///< row-major; 16-bit samples in the byte order of this machine
};

/// The state of libpng. A failure jumps back to setjmp. All state across the jump is in members, so no register can
/// hold an older copy.
struct png_stream {
  bytes const* from = nullptr;
  std::size_t place = 0;  ///< of the next byte to read, or row to write
  png_image_data read_image;
  bytes written;
  std::vector<png_bytep> rows;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[200] = "libpng could not start";

  bool writes = false;

  static constexpr std::size_t most_bytes = std::size_t{1} << 32;  ///< of an image
  static constexpr int run_lengths_of_deflate = 3;                 ///< Z_RLE of zlib.h

  png_stream() = default;
  ~png_stream()
  {
    if (writes)
      png_destroy_write_struct(&png, &info);
    else
      png_destroy_read_struct(&png, &info, nullptr);
  }
  png_stream(png_stream const&) = delete;
  png_stream& operator=(png_stream const&) = delete;

  /// @param keep  whether rows stay in the image; otherwise it is one row, and all are decoded into it
  [[gnu::noinline]] bool read(bool keep)
  {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) return false;
    png_image_data& image = read_image;
    png_set_read_fn(png, this, take);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_read_info(png, info);
    image.height = png_get_image_height(png, info);
    image.width = png_get_image_width(png, info);
    if (image.height > (index_t{1} << 31) / image.width) png_error(png, "more than 2^31 pixels");
    // Deflate shrinks at most 1032-fold. A header that claims more is false. Rows may have one bit per pixel.
    if (static_cast<index_t>(png_get_rowbytes(png, info)) * image.height > 1032 * static_cast<index_t>(from->size()))
      png_error(png, "too small for the size it claims");
    image.indexed = png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE;
    if (image.indexed) {
      png_colorp colours = nullptr;
      int n = 0;
      png_get_PLTE(png, info, &colours, &n);
      for (int i = 0; i < n; ++i) image.palette.push_back({colours[i].red, colours[i].green, colours[i].blue});
    }
    if (!image.indexed && png_get_bit_depth(png, info) < 8) image.grey_levels = 1 << png_get_bit_depth(png, info);
    if (png_get_bit_depth(png, info) < 8) png_set_packing(png);  // labels of 1, 2 or 4 bits keep their values
    if (png_get_bit_depth(png, info) == 16) png_set_swap(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    image.channels = png_get_channels(png, info);
    image.depth = png_get_bit_depth(png, info);
    std::size_t const row = png_get_rowbytes(png, info);
    if (row * static_cast<std::size_t>(image.height) > most_bytes) {
      std::snprintf(message, sizeof message, "an image of %lld x %lld would take %.1f GB of memory; 4 GB are allowed",
                    static_cast<long long>(image.height), static_cast<long long>(image.width),
                    1e-9 * static_cast<double>(row) * static_cast<double>(image.height));
      return false;
    }
    image.samples.resize(row * static_cast<std::size_t>(keep ? image.height : 1));
    rows.resize(static_cast<std::size_t>(image.height));
    for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = image.samples.data() + (keep ? y * row : 0);
    png_read_image(png, rows.data());
    png_read_end(png, nullptr);
    return true;
  }

  /// Rows come from row_at(y), which may throw. Rows of labels are long runs and resemble the row above. For them the
  /// filter is fixed and deflate looks for runs alone: a third of the time of its defaults, and no larger files.
  template <class RowAt>
  [[gnu::noinline]] bool write(RowAt const& row_at, index_t height, index_t width, int colour_type, int depth,
                               bool of_labels, png_color const* colours, int colour_count)
  {
    writes = true;
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) return false;
    png_set_write_fn(png, this, give, flush);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, colour_type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (colour_count > 0) png_set_PLTE(png, info, colours, colour_count);
    if (of_labels) {
      png_set_compression_strategy(png, run_lengths_of_deflate);
      png_set_filter(png, PNG_FILTER_TYPE_BASE, depth == 16 ? PNG_FILTER_PAETH : PNG_FILTER_UP);
    }
    png_write_info(png, info);
    if (depth == 16) png_set_swap(png);
    for (place = 0; place < static_cast<std::size_t>(height); ++place)
      png_write_row(png, const_cast<png_bytep>(row_at(static_cast<index_t>(place))));
    png_write_end(png, nullptr);
    return true;
  }

  static void on_error(png_structp png, png_const_charp text)
  {
    auto* const self = static_cast<png_stream*>(png_get_error_ptr(png));
    std::strncpy(self->message, text, sizeof self->message - 1);
    longjmp(png_jmpbuf(png), 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void take(png_structp png, png_bytep out, png_size_t n)
  {
    auto* const self = static_cast<png_stream*>(png_get_io_ptr(png));
    if (n > self->from->size() - self->place) png_error(png, "truncated");
    std::memcpy(out, self->from->data() + self->place, n);
    self->place += n;
  }
  static void give(png_structp png, png_bytep data, png_size_t n)
  {
    auto* const self = static_cast<png_stream*>(png_get_io_ptr(png));
    self->written.insert(self->written.end(), data, data + n);
  }
  static void flush(png_structp) {}
};

/// Decode a PNG. `name` begins every message.
/// @param keep  false: all rows are decoded, so that damage is found, and `samples` is one of them
/// @throws io_error: not PNG, damaged, truncated, more than 2^31 pixels, larger than 4 GB when decoded
[[nodiscard]] inline png_image_data parse_png(bytes const& file, std::string const& name, bool keep = true)
{
  if (file.size() < 8 || png_sig_cmp(file.data(), 0, 8) != 0)
    throw io_error(name + (file.empty() ? ": is empty" : ": is not a PNG file"));
  png_stream stream;
  stream.from = &file;
  if (!stream.read(keep)) throw io_error(name + ": " + stream.message);
  return std::move(stream.read_image);
}

[[nodiscard]] inline png_image_data read_png(std::filesystem::path const& path)
{
  return parse_png(read_file(path), path.string());
}

/// Read a label map from a PNG: indices, 8-bit grey, or 16-bit grey, unchanged.
/// @return [H,W]
/// @throws io_error for colour images, and for more than 2^30 pixels
[[nodiscard]] inline grid<std::int32_t, 2> to_labels(png_image_data const& image, std::string const& name)
{
  if (image.channels != 1)
    throw io_error(name + ": is a colour image; a label map has one channel of indices or grey values");
  if (image.height > (index_t{1} << 30) / image.width)
    throw io_error(name + ": a label map of " + std::to_string(image.height) + " x " + std::to_string(image.width) +
                   " would take more than 4 GB of memory");
  auto out = make_grid<std::int32_t>({image.height, image.width});
  for (std::size_t i = 0; i < out.cells().size(); ++i) {
    if (image.depth == 8) {
      out.cells()[i] = image.samples[i];
    } else {
      std::uint16_t v;
      std::memcpy(&v, image.samples.data() + 2 * i, 2);
      out.cells()[i] = v;
    }
  }
  return out;
}

[[nodiscard]] inline grid<std::int32_t, 2> read_labels(std::filesystem::path const& path)
{
  return to_labels(read_png(path), path.string());
}

/// Read a photograph from a PNG: RGB, alpha dropped, grey and palettes expanded, 16 bits rounded down to 8.
/// @return [H,W,3]
[[nodiscard]] inline grid<std::uint8_t, 3> to_photograph(png_image_data const& image, std::string const& name)
{
  auto out = make_grid<std::uint8_t>({image.height, image.width, 3});
  auto const n = static_cast<std::size_t>(image.height * image.width);
  auto const channels = static_cast<std::size_t>(image.channels);
  int const spread = image.indexed ? 1 : 255 / (image.grey_levels - 1);
  auto const sample = [&](std::size_t pixel, std::size_t c) -> std::uint8_t {
    std::size_t const at = pixel * channels + c;
    if (image.depth == 8) return static_cast<std::uint8_t>(image.samples[at] * spread);
    std::uint16_t v;
    std::memcpy(&v, image.samples.data() + 2 * at, 2);
    return static_cast<std::uint8_t>(v >> 8);
  };
  for (std::size_t i = 0; i < n; ++i) {
    std::uint8_t* const to = out.data() + 3 * i;
    if (image.indexed) {
      if (sample(i, 0) >= image.palette.size()) throw io_error(name + ": an index lies outside its palette");
      rgb const c = image.palette[sample(i, 0)];
      to[0] = c.red, to[1] = c.green, to[2] = c.blue;
    } else {
      for (std::size_t c = 0; c < 3; ++c) to[c] = sample(i, channels >= 3 ? c : 0);
    }
  }
  return out;
}

/// Encode rows of samples of 8 or 16 bits (in the byte order of this machine). row_at(y) points at row y.
template <class RowAt>
[[nodiscard]] bytes format_png_rows(RowAt const& row_at, index_t height, index_t width, int colour_type, int depth,
                                    bool of_labels, std::vector<rgb> const& palette = {})
{
  expects(height >= 1 && width >= 1 && height <= 0x7fffffff && width <= 0x7fffffff, "format_png: an image of ", height,
          " x ", width);
  expects(palette.size() <= 256, "format_png: a palette of ", static_cast<index_t>(palette.size()), " colours");
  std::array<png_color, 256> colours{};
  for (std::size_t i = 0; i < palette.size(); ++i) colours[i] = {palette[i].red, palette[i].green, palette[i].blue};
  png_stream stream;
  if (!stream.write(row_at, height, width, colour_type, depth, of_labels, colours.data(),
                    static_cast<int>(palette.size())))
    throw io_error(std::string("format_png: ") + stream.message);
  return std::move(stream.written);
}

/// Encode samples, rows `row_bytes` apart.
[[nodiscard]] inline bytes format_png(void const* samples, index_t height, index_t width, int colour_type, int depth,
                                      std::size_t row_bytes, std::vector<rgb> const& palette = {})
{
  auto const* const first = static_cast<unsigned char const*>(samples);
  auto const row_at = [&](index_t y) { return first + static_cast<std::size_t>(y) * row_bytes; };
  return format_png_rows(row_at, height, width, colour_type, depth, false, palette);
}

/// Encode labels as samples, a row at a time. fail(y, x, label) throws; it is called for a label outside 0..most.
template <class Sample, class L, class Fail>
[[nodiscard]] bytes format_label_png(image_view<L> const& labels, index_t most, int colour_type,
                                     std::vector<rgb> const& palette, Fail const& fail)
{
  if (most < 0 && labels.size() > 0) fail(0, 0, static_cast<index_t>(labels(0, 0)));
  std::vector<Sample> samples(static_cast<std::size_t>(std::max<index_t>(labels.extent[1], 0)));
  auto const row_at = [&](index_t y) {
    L* const row = &labels(y, 0);
    bool odd = false;
    for (std::size_t x = 0; x < samples.size(); ++x) {
      odd |= static_cast<std::uint64_t>(static_cast<index_t>(row[x])) > static_cast<std::uint64_t>(most);
      samples[x] = static_cast<Sample>(row[x]);
    }
    for (index_t x = 0; odd; ++x)
      if (auto const label = static_cast<index_t>(row[x]); label < 0 || label > most) fail(y, x, label);
    return reinterpret_cast<unsigned char const*>(samples.data());
  };
  return format_png_rows(row_at, labels.extent[0], labels.extent[1], colour_type, 8 * sizeof(Sample), true, palette);
}

/// Format a label map as an indexed PNG. The bytes of the file are the labels; the palette only colours them.
/// @throws precondition_error if a label is outside 0..255
template <image_like L>
[[nodiscard]] bytes format_labels(L const& labels, std::vector<rgb> const& palette)
{
  auto const colours = static_cast<index_t>(palette.size());
  return format_label_png<std::uint8_t>(as_view<2>(labels, "format_labels: labels"), colours - 1,
                                        PNG_COLOR_TYPE_PALETTE, palette, [&](index_t y, index_t x, index_t label) {
                                          expects(false, "format_labels: label(", y, ",", x, ") is ", label,
                                                  " but the palette has ", colours, " colours");
                                        });
}

/// Format instance numbers as a 16-bit grey PNG.
/// @throws precondition_error if a number is outside 0..65535
template <image_like L>
[[nodiscard]] bytes format_ids(L const& ids)
{
  return format_label_png<std::uint16_t>(
      as_view<2>(ids, "format_ids: ids"), 65535, PNG_COLOR_TYPE_GRAY, {}, [](index_t y, index_t x, index_t id) {
        expects(false, "format_ids: id(", y, ",", x, ") is ", id, ", outside 0..65535");
      });
}

/// Format an RGB image [H,W,3] as a PNG.
template <stack_like I>
[[nodiscard]] bytes format_photograph_png(I const& image)
{
  static_assert(std::is_same_v<value_of<I, 3>, std::uint8_t>, "a photograph is of std::uint8_t");
  auto const v = as_view<3>(image, "format_photograph_png: image");
  expects(v.extent[2] == 3 && v.contiguous(), "format_photograph_png: the image is ", v,
          " instead of [H,W,3] without gaps");
  return format_png(v.data, v.extent[0], v.extent[1], PNG_COLOR_TYPE_RGB, 8, 3 * static_cast<std::size_t>(v.extent[1]));
}

}  // namespace cambium
