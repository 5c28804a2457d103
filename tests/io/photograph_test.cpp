#include <cambium/io/photograph.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <string>
#include <string_view>
#include <vector>

using namespace cambium;

TEST_CASE("a photograph is what is in its file, whatever it is called", "[io][picture]")
{
  support::temporary_folder const folder;
  grid<std::uint8_t, 3> picture(5, 7, 3);
  for (index_t i = 0; i < picture.size(); ++i) picture.data()[i] = static_cast<std::uint8_t>(2 * i);
  replace_file(folder / "really_png.jpg", format_photograph_png(picture));
  replace_file(folder / "really_jpeg.PNG", format_jpeg(picture));
  CHECK(read_photograph(folder / "really_png.jpg").cells() == picture.cells());
  CHECK(read_photograph(folder / "really_jpeg.PNG").cells() == parse_jpeg(format_jpeg(picture), "the same").cells());
}

TEST_CASE("the size of a photograph needs no memory for its pixels, and finds all damage", "[io][same]")
{
  grid<std::uint8_t, 3> picture(61, 47, 3);
  for (index_t i = 0; i < picture.size(); ++i) picture.data()[i] = static_cast<std::uint8_t>(i * i / 7);
  std::vector<std::uint8_t> const index(61 * 47, 2);
  auto const jpeg = format_jpeg(picture), png = format_photograph_png(picture);
  auto const indexed =
      format_png(index.data(), 61, 47, PNG_COLOR_TYPE_PALETTE, 8, 47, {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}});
  auto const beyond = format_png(index.data(), 61, 47, PNG_COLOR_TYPE_PALETTE, 8, 47, {{1, 2, 3}, {4, 5, 6}});
  for (auto const& file : {jpeg, png, indexed}) {
    CHECK(photograph_size(file, "a") == extent2{61, 47});
    for (std::size_t const cut : {file.size() / 2, file.size() - 9, std::size_t{20}, std::size_t{0}}) {
      bytes const part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(cut));
      auto const want = support::refusal([&] { static_cast<void>(parse_photograph(part, "a")); });
      CHECK(!want.empty());
      CHECK(support::refusal([&] { static_cast<void>(photograph_size(part, "a")); }) == want);
    }
  }
  auto const want = support::refusal([&] { static_cast<void>(parse_photograph(beyond, "a")); });
  CHECK(want == "a: an index lies outside its palette");
  CHECK(support::refusal([&] { static_cast<void>(photograph_size(beyond, "a")); }) == want);
}

TEST_CASE("a size that EXIF may have turned is named", "[io][errors]")
{
  CHECK(turned_hint({3, 4}, {4, 3}).find("EXIF orientation") != std::string::npos);
  CHECK((turned_hint({3, 4}, {3, 4}) == "" && turned_hint({3, 3}, {3, 3}) == "" && turned_hint({4, 3}, {4, 5}) == ""));
}

TEST_CASE("what is no photograph is named", "[io][errors]")
{
  std::string_view const text = "no picture";
  CAMBIUM_THROWS_SAYING(parse_photograph({text.begin(), text.end()}, "a.jpg"), io_error,
                        "a.jpg: is neither a JPEG nor a PNG file");
  CAMBIUM_THROWS_SAYING(parse_photograph({}, "a.jpg"), io_error, "a.jpg: ");
  auto const kind = [](std::string_view start) {
    return support::refusal([&] { static_cast<void>(parse_photograph({start.begin(), start.end()}, "a.jpg")); });
  };
  std::string const said = "a.jpg: is neither a JPEG nor a PNG file; it is a";
  CHECK(kind(std::string_view("\0\0\0\x18"
                              "ftypheic",
                              12)) == said + " HEIC photograph: convert it to PNG");
  CHECK(kind(std::string_view("\0\0\0\x18"
                              "ftypavif",
                              12)) == said + "n AVIF photograph: convert it to PNG");
  CHECK(kind(std::string_view("RIFF\1\2\3\4WEBPVP8 ", 16)) == said + " WebP photograph: convert it to PNG");
  CHECK(kind(std::string_view("MM\0*\0\0\0\x8", 8)) == said + " TIFF photograph: convert it to PNG");
  CHECK(kind("GIF89a") == said + " GIF photograph: convert it to PNG");
  CHECK(kind("no picture") == "a.jpg: is neither a JPEG nor a PNG file");
}
