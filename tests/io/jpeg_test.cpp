#include <cambium/io/jpeg.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// A photograph without edges: what a JPEG holds well.
grid<std::uint8_t, 3> smooth(index_t H, index_t W)
{
  auto g = make_grid<std::uint8_t>({H, W, 3});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (index_t c = 0; c < 3; ++c) {
        double const wave =
            std::sin(0.05 * static_cast<double>(y + 2 * c)) + std::cos(0.04 * static_cast<double>(x - y * c));
        g(y, x, c) = static_cast<std::uint8_t>(std::lround(128 + 60 * wave));
      }
  return g;
}

double mean_gap(grid<std::uint8_t, 3> const& a, grid<std::uint8_t, 3> const& b)
{
  REQUIRE(a.shape() == b.shape());
  double sum = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) sum += std::abs(a.cells()[i] - b.cells()[i]);
  return sum / static_cast<double>(a.size());
}

/// A file of any colour space, written by libjpeg itself: every pixel has these components.
bytes plain(J_COLOR_SPACE space, std::vector<unsigned char> const& pixel, bool adobe, bool progressive = false,
            bool arithmetic = false, int height = 9, int width = 17)
{
  jpeg_compress_struct writer{};
  jpeg_error_mgr manager{};
  writer.err = jpeg_std_error(&manager);
  jpeg_create_compress(&writer);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&writer, &memory, &size);
  writer.image_height = static_cast<JDIMENSION>(height), writer.image_width = static_cast<JDIMENSION>(width);
  writer.input_components = static_cast<int>(pixel.size());
  writer.in_color_space = space;
  jpeg_set_defaults(&writer);
  jpeg_set_quality(&writer, 100, TRUE);
  writer.write_Adobe_marker = adobe ? TRUE : FALSE;
  if (progressive) jpeg_simple_progression(&writer);
  writer.arith_code = arithmetic ? TRUE : FALSE;
  jpeg_start_compress(&writer, TRUE);
  bytes row;
  for (int x = 0; x < width; ++x) row.insert(row.end(), pixel.begin(), pixel.end());
  JSAMPROW line = row.data();
  while (writer.next_scanline < writer.image_height) jpeg_write_scanlines(&writer, &line, 1);
  jpeg_finish_compress(&writer);
  jpeg_destroy_compress(&writer);
  bytes const file(memory, memory + size);
  std::free(memory);
  return file;
}

/// Is the image 9 x 17 and of one colour, up to the rounding of a JPEG?
bool is_plain(grid<std::uint8_t, 3> const& image, int red, int green, int blue)
{
  int const want[3] = {red, green, blue};
  bool same = image.shape() == std::array<index_t, 3>{9, 17, 3};
  for (std::size_t i = 0; i < image.cells().size(); ++i) same = same && std::abs(image.cells()[i] - want[i % 3]) <= 2;
  return same;
}

/// Why a file is refused; "" if it is read.
std::string reason(bytes const& file)
{
  std::string const text = support::refusal([&] { static_cast<void>(parse_jpeg(file, "folder/a.jpg")); });
  if (text.empty()) return "";
  REQUIRE(text.rfind("folder/a.jpg: ", 0) == 0);
  REQUIRE(text.size() > 16);
  return text.substr(14);
}

}  // namespace

TEST_CASE("a smooth image comes back close", "[io][property]")
{
  for (auto const& [H, W] : {std::pair<index_t, index_t>{1, 1}, {8, 8}, {37, 61}, {1, 90}, {90, 1}}) {
    auto const image = smooth(H, W);
    CAPTURE(H, W);
    CHECK(mean_gap(parse_jpeg(format_jpeg(image, 100), "f"), image) < 1.5);
    CHECK(mean_gap(parse_jpeg(format_jpeg(image), "f"), image) < 3.5);
  }
  auto const image = smooth(64, 64);
  CHECK(format_jpeg(image, 10).size() < format_jpeg(image, 90).size());
  CHECK(mean_gap(parse_jpeg(format_jpeg(image, 10), "f"), image) >
        mean_gap(parse_jpeg(format_jpeg(image, 90), "f"), image));
}

TEST_CASE("every colour space becomes RGB", "[io][reference]")
{
  bool const progressive = GENERATE(false, true);
  CHECK(is_plain(parse_jpeg(plain(JCS_GRAYSCALE, {77}, false, progressive), "f"), 77, 77, 77));
  CHECK(is_plain(parse_jpeg(plain(JCS_RGB, {200, 100, 50}, false, progressive), "f"), 200, 100, 50));
  // Four inks: without Adobe's mark 255 is full ink, with it 255 is none.
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {0, 0, 0, 0}, false, progressive), "f"), 255, 255, 255));
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {255, 0, 0, 0}, false, progressive), "f"), 0, 255, 255));
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {0, 0, 0, 255}, false, progressive), "f"), 0, 0, 0));
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {255, 255, 255, 255}, true, progressive), "f"), 255, 255, 255));
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {0, 255, 255, 255}, true, progressive), "f"), 0, 255, 255));
  CHECK(is_plain(parse_jpeg(plain(JCS_CMYK, {255, 128, 255, 128}, true, progressive), "f"), 128, 64, 128));
}

TEST_CASE("a sequential scan's spectral selection has no meaning: photographs of some telephones", "[io][reference]")
{
  auto const scan = [](bytes const& file) {  // the three bytes behind the components of the first scan
    for (std::size_t i = 2; i + 4 < file.size(); i += 2 + (std::size_t{file[i + 2]} << 8) + file[i + 3])
      if (file[i + 1] == 0xDA) return i + 5 + 2 * std::size_t{file[i + 4]};
    return std::size_t{0};
  };
  for (auto const& file : {format_jpeg(smooth(20, 33), 80), plain(JCS_GRAYSCALE, {77}, false)}) {
    auto const base = parse_jpeg(file, "f");
    auto const at = scan(file);
    REQUIRE((at > 0 && file[at] == 0 && file[at + 1] == 63 && file[at + 2] == 0));
    for (auto const& [first, last, bits] :
         {std::array<unsigned char, 3>{0, 0, 0}, {0, 63, 1}, {1, 63, 0}, {0, 5, 0x10}}) {
      auto other = file;
      other[at] = first, other[at + 1] = last, other[at + 2] = bits;
      CHECK(parse_jpeg(other, "f") == base);
      other.resize(other.size() - 20);
      CHECK(reason(other) != "");  // cut as ever
    }
  }
  auto progressive = plain(JCS_RGB, {200, 100, 50}, false, true);
  progressive[scan(progressive) + 1] = 63;  // here it has one
  CHECK(reason(progressive) != "");
}

TEST_CASE("arithmetic codes are read, however few a blank photograph needs", "[io][reference]")
{
  bool const progressive = GENERATE(false, true);
  CHECK(is_plain(parse_jpeg(plain(JCS_RGB, {200, 100, 50}, false, progressive, true), "f"), 200, 100, 50));
  auto const blank = plain(JCS_GRAYSCALE, {255}, false, progressive, true, 4096, 4096);
  CHECK(blank.size() < 4096 * 4096 / 8192);  // fewer bytes than Huffman codes could do with
  auto const image = parse_jpeg(blank, "f");
  CHECK(image.size() == 3 * 4096 * 4096);
  CHECK(std::all_of(image.cells().begin(), image.cells().end(), [](auto v) { return v == 255; }));
}

TEST_CASE("what stands behind a JPEG's end is passed over: a second photograph, garbage", "[io][property]")
{
  auto const file = format_jpeg(smooth(20, 33), 80);
  auto const base = parse_jpeg(file, "f");
  auto twice = file;
  twice.insert(twice.end(), file.begin(), file.end());
  CHECK(parse_jpeg(twice, "f") == base);
  auto garbage = file;
  for (int i = 0; i < 300; ++i) garbage.push_back(static_cast<unsigned char>(i * 37));
  CHECK(parse_jpeg(garbage, "f") == base);
  auto thumbnail = file;  // a small JPEG inside a marker, as EXIF has it
  auto const small = format_jpeg(smooth(8, 8), 50);
  bytes marker{0xFF, 0xE1, static_cast<unsigned char>((small.size() + 2) >> 8),
               static_cast<unsigned char>(small.size() + 2)};
  marker.insert(marker.end(), small.begin(), small.end());
  thumbnail.insert(thumbnail.begin() + 2, marker.begin(), marker.end());
  CHECK(parse_jpeg(thumbnail, "f") == base);
}

TEST_CASE("a JPEG of 12 bits is refused with words", "[io][errors]")
{
  auto file = format_jpeg(smooth(20, 33), 80);
  for (std::size_t i = 0; i + 8 < file.size(); ++i)
    if (file[i] == 0xFF && file[i + 1] == 0xC0) file[i + 1] = 0xC1, file[i + 4] = 12;
  CHECK(reason(file).find("12") != std::string::npos);
}

TEST_CASE("a JPEG cut anywhere is refused", "[io][errors]")
{
  std::vector<bytes> const files = {format_jpeg(smooth(20, 33), 80), plain(JCS_GRAYSCALE, {77}, false),
                                    plain(JCS_RGB, {9, 8, 7}, false, true), plain(JCS_CMYK, {1, 2, 3, 4}, true)};
  for (auto const& file : files) {
    REQUIRE(reason(file) == "");
    for (std::size_t n = 0; n < file.size(); ++n) {
      CAPTURE(n, file.size());
      REQUIRE(reason(bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n))) != "");
    }
  }
  CHECK(reason({}) == "is empty");
  CHECK(reason({0xFF}) == "is not a JPEG file");
}

TEST_CASE("garbage never crashes the JPEG reader", "[io][errors]")
{
  std::mt19937 bits(13);
  auto const sound = format_jpeg(smooth(24, 40), 85), progressive = plain(JCS_RGB, {200, 100, 50}, false, true);
  int refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    auto file = trial % 2 ? sound : progressive;
    for (auto flips = 1 + bits() % 4; flips > 0; --flips)
      file[bits() % file.size()] = static_cast<unsigned char>(bits());
    refused += reason(file) != "";
  }
  CHECK(refused > 100);  // damaged cells decode to something; damaged tables do not
  for (int trial = 0; trial < 300; ++trial) {
    bytes file = {0xFF, 0xD8};
    for (auto n = bits() % 400; n > 0; --n) file.push_back(static_cast<unsigned char>(bits()));
    CHECK(reason(file) != "");
  }
}

TEST_CASE("a JPEG that claims to be huge is refused before memory is asked for", "[io][errors]")
{
  auto file = format_jpeg(smooth(20, 33), 80);
  for (std::size_t i = 0; i + 8 < file.size(); ++i)
    if (file[i] == 0xFF && file[i + 1] == 0xC0)  // start of frame: height and width follow
      for (std::size_t k = 5; k < 9; ++k) file[i + k] = k % 2 ? 0xFF : 0x00;
  CHECK(reason(file) == "too small for the size it claims");
}

TEST_CASE("other files are no JPEG", "[io][errors]")
{
  CHECK(reason({0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}) == "is not a JPEG file");
  CHECK(reason(bytes(1000, 0)) == "is not a JPEG file");
  CHECK(reason({0xFF, 0xD8, 0xFF, 0xD9}) != "");  // begins and ends
}

TEST_CASE("JPEG writing rejects what it documents", "[io][errors]")
{
  auto image = smooth(4, 5);
  for (int const quality : {0, -1, 101})
    CAMBIUM_THROWS_SAYING(format_jpeg(image, quality), precondition_error, "quality is " + std::to_string(quality));
  CAMBIUM_THROWS_SAYING(format_jpeg(grid<std::uint8_t, 3>(3, 4, 5)), precondition_error, "[3,4,5] instead of [H,W,3]");
  CAMBIUM_THROWS_SAYING(format_jpeg(grid<std::uint8_t, 3>(0, 4, 3)), precondition_error, "[0,4,3]");
  auto window = image.view();
  window.extent[1] = 4;
  CAMBIUM_THROWS_SAYING(format_jpeg(window), precondition_error, "without gaps");
  CAMBIUM_THROWS_SAYING(format_jpeg(grid<std::uint8_t, 3>(1, 65501, 3)), precondition_error,
                        "larger than a JPEG can be");
}
