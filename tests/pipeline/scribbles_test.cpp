#include <cambium/pipeline/scribbles.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <limits>
#include <vector>

using namespace cambium;
using support::drawn;
using support::rows;

namespace {

/// '.' is unmarked, digits are classes, 0 the background.
grid<std::int32_t, 2> strokes(rows const& text)
{
  grid<std::int32_t, 2> out(text.size(), text[0].size());
  for (std::size_t y = 0; y < text.size(); ++y)
    for (std::size_t x = 0; x < text[y].size(); ++x) out(y, x) = text[y][x] == '.' ? 255 : text[y][x] - '0';
  return out;
}
/// Letters are grey levels: a 0, b 100, c 200.
grid<std::uint8_t, 3> greys(rows const& text)
{
  grid<std::uint8_t, 3> out(text.size(), text[0].size(), 1);
  for (std::size_t y = 0; y < text.size(); ++y)
    for (std::size_t x = 0; x < text[y].size(); ++x) out(y, x, 0) = static_cast<std::uint8_t>((text[y][x] - 'a') * 100);
  return out;
}
/// '.' background, '?' undecided.
rows words(grid<std::int32_t, 2> const& map)
{
  auto shown = map;
  for (auto& v : shown.cells())
    if (v == 255) v = 99;
  return drawn(shown);
}

auto const scene = greys({
    "aaaaaaaaaa",  //
    "abbbaabbba",  //
    "abbbaabbba",  //
    "abbbaabbba",  //
    "aaaaaaaaaa",  //
    "accccccaaa",  //
});
auto const drawing = strokes({
    "000.......",  //
    "..........",  //
    "..3.....3.",  //
    ".......3..",  //
    "..........",  //
    "...11.....",  //
});

}  // namespace

TEST_CASE("strokes become objects along the image's edges", "[pipeline][picture]")
{
  auto const have = scribble_labels<float>(cpu{}, {.image = scene, .scribbles = drawing});
  CHECK(words(have.semantic) ==
        rows{"..........", ".333..333.", ".333..333.", ".333..333.", "..........", ".111111..."});
  CHECK(drawn(have.objects.label) ==
        rows{"..........", ".111..222.", ".111..222.", ".111..222.", "..........", ".333333..."});
  REQUIRE(have.objects.found.size() == 3);
  CHECK(have.objects.found[0].category == 2);
  CHECK(have.objects.found[1].category == 2);
  CHECK(have.objects.found[2].category == 0);
  CHECK(have.objects.found[1].area == 9);
  CHECK(have.objects.found[2].bounds == box{5, 1, 6, 7});
  double sum = 0;
  for (index_t x = 1; x < 7; ++x) sum += static_cast<double>(have.confidence(5, x));
  CHECK(have.objects.found[2].score == Approx(sum / 6));
  CHECK(have.confidence(5, 3) == 1);
  CHECK(have.confidence(5, 1) > 0.5f);
}

TEST_CASE("all marks of a class are one object", "[pipeline][picture]")
{
  auto const have =
      scribble_labels<float>(cpu{}, {.image = scene, .scribbles = drawing}, {.objects = scribbled_object::class_});
  CHECK(drawn(have.objects.label) ==
        rows{"..........", ".111..111.", ".111..111.", ".111..111.", "..........", ".222222..."});
  CHECK(have.objects.found.size() == 2);
  CHECK(have.objects.found[0].area == 18);
}

TEST_CASE("points, a frame of background, and a limit", "[pipeline][picture]")
{
  points const clicks = {{2.4, 1.6, 2, 1}, {2, 7, 2, 1}};  // the first is at (2,2)
  auto const have = scribble_labels<float>(cpu{}, {.image = scene, .clicks = &clicks}, {.frame = true});
  CHECK(words(have.semantic) ==
        rows{"..........", ".333..333.", ".333..333.", ".333..333.", "..........", ".........."});
  CHECK(have.objects.found.size() == 2);
  auto limited = scribble_labels<float>(cpu{}, {.image = scene, .clicks = &clicks}, {.limit = 50});
  CHECK(words(limited.semantic) ==
        rows{"??????????", "?333??333?", "?333??333?", "?333??333?", "??????????", "??????????"});
  limited = scribble_labels<float>(cpu{}, {.image = scene, .clicks = &clicks},
                                   {.limit = 50, .unreached = unreached_cell::background});
  CHECK(words(limited.semantic) ==
        rows{"..........", ".333..333.", ".333..333.", ".333..333.", "..........", ".........."});
  // A point on a stroke of its class is part of it.
  points const same = {{2, 2, 2, 1}, {5, 6, 0, 1}};
  auto const joined = scribble_labels<float>(cpu{}, {.image = scene, .scribbles = drawing, .clicks = &same});
  CHECK(joined.objects.found.size() == 4);
}

TEST_CASE("a boundary map alone, and unsure cells", "[pipeline][picture]")
{
  grid<float, 2> boundary(3, 9);
  for (index_t y = 0; y < 3; ++y) boundary(y, 6) = 1;
  auto const marks = strokes({".........", "2.......0", "........."});
  auto const have = scribble_labels<float>(cpu{}, {.boundary = boundary, .scribbles = marks});
  CHECK(words(have.semantic) == rows{"222222...", "222222...", "222222..."});
  auto const unsure = scribble_labels<float>(cpu{}, {.boundary = boundary, .scribbles = marks}, {.confidence = 0.5});
  CHECK(words(unsure.semantic) == rows{"222222?..", "222222?..", "222222?.."});
  CHECK(unsure.objects.found[0].area == 18);
}

TEST_CASE("marked cells keep their labels, for any number of threads", "[pipeline][property]")
{
  auto const image = support::uniform<std::uint8_t, 3>({70, 90, 3}, 0, 255, 3);
  std::mt19937_64 bits(5);
  grid<std::int32_t, 2> marks(70, 90);
  for (auto& v : marks.cells()) v = bits() % 50 == 0 ? static_cast<std::int32_t>(bits() % 4) : 255;
  auto const have =
      scribble_labels<float>(cpu{.threads = 1}, {.image = image, .scribbles = marks}, {.confidence = 0.9});
  for (std::size_t i = 0; i < marks.cells().size(); ++i)
    if (marks.cells()[i] != 255) CHECK(have.semantic.cells()[i] == marks.cells()[i]);
  auto const again =
      scribble_labels<float>(cpu{.threads = 5}, {.image = image, .scribbles = marks}, {.confidence = 0.9});
  CHECK(again.semantic == have.semantic);
  CHECK(again.objects.label == have.objects.label);
}

TEST_CASE("what scribble_labels refuses", "[pipeline][errors]")
{
  auto const run = [](scribble_input<float> const& in, scribble_options const& o = {}) {
    return scribble_labels<float>(cpu{}, in, o);
  };
  CHECK_THROWS_WITH(run({.scribbles = drawing}), "scribble_labels: neither an image nor a boundary");
  CHECK_THROWS_WITH(run({.image = scene}), "scribble_labels: no cell is marked");
  auto const wide = strokes({"0..1"});
  CHECK_THROWS_WITH(run({.image = scene, .scribbles = wide}),
                    "scribble_labels: scribbles is [1,4] but the image is 6 x 10");
  auto odd = drawing;
  odd(1, 2) = 256;
  CHECK_THROWS_WITH(run({.image = scene, .scribbles = odd}), "scribble_labels: scribbles(1,2) is 256, outside 0..255");
  points clicks = {{2, 2, 0, 1}};
  CHECK_THROWS_WITH(run({.image = scene, .scribbles = drawing, .clicks = &clicks}),
                    "scribble_labels: point 0 at (2,2) is of class 1, but the cell is marked as 3");
  clicks = {{2, 2, 0, 1}, {5.5, 2, 0, 1}};
  CHECK_THROWS_WITH(run({.image = scene, .clicks = &clicks}),
                    "scribble_labels: point 1 is at (5.5,2), outside the image of 6 x 10");
  clicks = {{2, 2, 254, 1}};
  CHECK_THROWS_WITH(run({.image = scene, .clicks = &clicks}),
                    "scribble_labels: point 0 is of class 254, outside 0..253");
  CHECK_THROWS_WITH(run({.image = scene, .scribbles = drawing}, {.limit = 0}),
                    "scribble_labels: limit is 0; expected a number > 0");
  CHECK_THROWS_WITH(run({.image = scene, .scribbles = drawing}, {.confidence = 1.5}),
                    "scribble_labels: confidence is 1.5; expected a value in [0,1]");
}
