#include <cambium/io/label_map.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <string>
#include <vector>

using namespace cambium;

namespace {

grid<std::int32_t, 2> row(std::vector<std::int32_t> const& numbers)
{
  grid<std::int32_t, 2> out(1, static_cast<index_t>(numbers.size()));
  for (std::size_t i = 0; i < numbers.size(); ++i) out.cells()[i] = numbers[i];
  return out;
}

bytes grey_png(std::vector<unsigned char> const& samples, int colour_type, index_t channels)
{
  auto const width = static_cast<index_t>(samples.size()) / channels;
  return format_png(samples.data(), 1, width, colour_type, 8, samples.size());
}

std::string why(bytes const& file)
{
  return support::refusal([&] { static_cast<void>(parse_label_map(file, "a.png")); });
}

bool contains(std::string const& text, std::string const& words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("a label map is read as it stands", "[io][picture]")
{
  auto const map = row({0, 1, 20, 254, 255});
  CHECK(parse_label_map(format_labels(map, voc_palette()), "a.png") == map);
  CHECK(parse_label_map(format_ids(row({0, 255, 256})), "a.png") == row({0, 255, 256}));
  CHECK(parse_label_map(grey_png({0, 7, 255}, PNG_COLOR_TYPE_GRAY, 1), "a.png") == row({0, 7, 255}));
  // a palette of one's own is nobody else's business, also in plain colours or greys
  CHECK(parse_label_map(format_labels(row({0, 1, 2}), {{0, 0, 0}, {0, 128, 0}, {255, 0, 0}}), "a.png") ==
        row({0, 1, 2}));
  CHECK(parse_label_map(format_labels(row({0, 1}), {{0, 0, 0}, {0, 128, 0}}), "a.png") == row({0, 1}));
  CHECK(parse_label_map(format_labels(row({0, 1}), {{0, 0, 0}, {255, 255, 255}}), "a.png") == row({0, 1}));
  CHECK(parse_label_map(format_labels(row({0, 1, 2}), {{0, 0, 0}, {13, 13, 13}, {64, 64, 64}}), "a.png") ==
        row({0, 1, 2}));
  CHECK(parse_label_map(format_labels(row({0, 1}), {{0, 0, 0}, {0, 0, 9}}), "a.png") == row({0, 1}));
  std::vector<rgb> greys;
  for (int i = 0; i < 64; ++i) {
    auto const v = static_cast<unsigned char>(i);
    greys.push_back({v, v, v});
  }
  CHECK(parse_label_map(format_labels(row({0, 1, 63}), greys), "a.png") == row({0, 1, 63}));
}

TEST_CASE("255 is void in an instance map of 8 bits and an instance in one of 16", "[io][picture]")
{
  CHECK(parse_instance_map(format_labels(row({0, 1, 254, 255}), voc_palette()), "a.png") == row({0, 1, 254, -1}));
  CHECK(parse_instance_map(format_ids(row({0, 1, 255, 65535})), "a.png") == row({0, 1, 255, 65535}));
}

TEST_CASE("a file that is no label map is named as what it is", "[io][errors]")
{
  CHECK(contains(why({0xff, 0xd8, 0xff, 0xe0, 0, 16}), "a.png: is a JPEG, whose compression changes numbers"));
  CHECK(contains(why({0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}), "a.png: is a NumPy array; a label map is a PNG"));
  CHECK(why({'G', 'I', 'F'}) == "a.png: is not a PNG file");
  auto const colours = [](std::vector<unsigned char> const& samples) {
    return why(grey_png(samples, PNG_COLOR_TYPE_RGB, 3));
  };
  CHECK(contains(colours({0, 0, 0, 128, 0, 0, 224, 224, 192}), "its colours are those of VOC's palette"));
  CHECK(contains(colours({0, 0, 0, 7, 7, 7, 255, 255, 255}), "its channels are equal, so keep one of them"));
  CHECK(contains(colours({0, 0, 0, 7, 9, 1}), "of a panoptic PNG"));
  CHECK(contains(why(grey_png({0, 0, 0, 255, 128, 0, 0, 255}, PNG_COLOR_TYPE_RGB_ALPHA, 4)), "those of VOC's palette"));
  CHECK(contains(why(grey_png({3, 255}, PNG_COLOR_TYPE_GRAY_ALPHA, 2)), "has an alpha channel"));
  // a tool that keeps the colours that are used, in its own order
  CHECK(contains(why(format_labels(row({0, 1, 2}), {{0, 0, 0}, {192, 0, 128}, {224, 224, 192}})),
                 "has VOC's colours under other indices (void under 2)"));
  CHECK(contains(why(format_labels(row({0, 1, 2}), {{0, 0, 0}, {192, 128, 128}, {128, 0, 0}})),
                 "has VOC's colours under other indices (class 15 under 1)"));
  CHECK(contains(why(format_labels(row({0, 1}), {{0, 0, 0}, {64, 0, 0}})), "(class 8 under 1)"));
  // the same of a grey map
  CHECK(contains(why(format_labels(row({0, 1, 2}), {{0, 0, 0}, {15, 15, 15}, {1, 1, 1}})),
                 "has a palette of greys that were numbers (1 under 2)"));
  CHECK(contains(why(format_labels(row({0, 1, 2}), {{255, 255, 255}, {63, 63, 63}, {0, 0, 0}})), "(63 under 1)"));
}

TEST_CASE("what has happened to a label map is guessed from its numbers", "[io][picture]")
{
  auto const hint = [](std::vector<std::int32_t> const& numbers, index_t classes = 20) {
    return label_map_hint(row(numbers), classes);
  };
  CHECK(contains(hint({0, 255, 255, 0}), "it holds only 0 and 255 as a binary mask does, but 255 is void"));
  CHECK(contains(hint({0, -1}), "only 0 and 255"));
  CHECK(contains(hint({0, 128}), "it holds only 0 and 128 as a binary mask does"));
  CHECK(contains(hint({0, 38, 220}), "the grey values of VOC's colours"));   // aeroplane and void
  CHECK(contains(hint({0, 15, 53, 147, 220}), "the grey values of VOC's"));  // boat, bottle, person
  CHECK(contains(hint({0, 7, 26001}, 254), "class and object together, as in Cityscapes' instanceIds (26 and 1)"));
  CHECK(contains(hint({0, 3, 65535}, 254), "65535 is -1 in 16 bits"));
  CHECK(contains(hint({0, 7, 23, 33}, 19), "Cityscapes' labelIds"));
  // nothing is strange, or nothing is known
  CHECK(hint({0, 1, 20, 255}) == "");
  CHECK(hint({0, 0}) == "");
  CHECK(hint({0, 21, 40, 255}) == "");
  CHECK(hint({0, 15, 20}, 10) == "");  // greys of boat and cat, but classes of VOC as well
  CHECK((has_class(row({0, 255, 1})) && !has_class(row({0, 255})) && !has_class(row({-1, 0}))));
}

TEST_CASE("a drawing whose strokes are 255 is drawn the other way round", "[io][picture]")
{
  CHECK(is_inverse_drawing(row({0, 0, 0, 255})));
  CHECK_FALSE(is_inverse_drawing(row({0, 0, 1, 255})));
  CHECK_FALSE(is_inverse_drawing(row({0, 255, 255, 255})));
  CHECK_FALSE(is_inverse_drawing(row({0, 0, 255, 255})));
  CHECK_FALSE(is_inverse_drawing(row({0, 0, 0, 0})));
}
