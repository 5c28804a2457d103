#include <cambium/io/photograph.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <string>
#include <string_view>

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

TEST_CASE("what is no photograph is named", "[io][errors]")
{
  std::string_view const text = "no picture";
  CAMBIUM_THROWS_SAYING(parse_photograph({text.begin(), text.end()}, "a.jpg"), io_error,
                        "a.jpg: is neither a JPEG nor a PNG file");
  CAMBIUM_THROWS_SAYING(parse_photograph({}, "a.jpg"), io_error, "a.jpg: ");
}
