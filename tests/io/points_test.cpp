#include <cambium/io/points.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

using namespace cambium;

namespace {

points parse(std::string const& text, point_file_options options = {})
{
  return parse_points({text.begin(), text.end()}, "a.txt", options);
}

std::string reason(std::string const& text)
{
  return support::refusal([&] { static_cast<void>(parse(text)); });
}

}  // namespace

TEST_CASE("points are read", "[io][picture]")
{
  CHECK(parse("").empty());
  CHECK(parse("\n  \n# nothing\n").empty());
  auto const got = parse("3 4 14 0.912\r\n# by hand\n10.5\t-2 0   # no confidence\n\n7 8 1 1e-1");
  REQUIRE(got.size() == 3);
  CHECK(got[0] == point{4, 3, 14, 0.912});
  CHECK(got[1] == point{-2, 10.5, 0, 1});
  CHECK(got[2] == point{8, 7, 1, 0.1});
}

TEST_CASE("points in shares of the image are named as such", "[io][errors]")
{
  auto const shares = "a.txt: every point lies between 0 and 1: shares of the image's size? Points are in pixels";
  CHECK(reason("0.2 0.25 0 0.9\n1 0.6 3 0.9\n") == shares);
  CHECK(reason("0.2 0.25 0 0.9\n") == shares);
  CHECK(reason("0 1 0 0.9\n1 0 3 0.9\n") == "");
  CHECK(reason("0.2 0.25 0 0.9\n1.5 0.6 3 0.9\n") == "");
}

TEST_CASE("a threshold is strict and looks at three decimals", "[io][picture]")
{
  CHECK(parse("1 1 0 0.700\n2 2 0 0.701\n", {.threshold = 0.7}).size() == 1);
  CHECK(parse("1 1 0\n", {.threshold = 1}).empty());
  points const all{{1, 1, 0, 0.7}, {1, 1, 0, 0.7003}, {1, 1, 0, 0.7006}, {1, 1, 0, 0.6996}, {1, 1, 0, 0.1}};
  auto const above = confident_points(all, 0.7);
  REQUIRE(above.size() == 1);
  CHECK(above[0].score == 0.7006);
  CHECK(confident_points(all, 0.7) == [&] {
    points kept;  // as through a file
    auto const read = parse(format_points(all), {.threshold = 0.7});
    for (std::size_t i = 0, j = 0; i < all.size() && j < read.size(); ++i)
      if (std::abs(read[j].score - all[i].score) < 0.00051 && all[i].score > 0.7005) kept.push_back(all[i]), ++j;
    return kept;
  }());
  CHECK(confident_points({{1, 1, 0, std::nan("")}}, 0).empty());
}

TEST_CASE("points are written as printf writes them", "[io][reference]")
{
  std::mt19937_64 bits(2);
  points all;
  std::string want;
  for (int i = 0; i < 5000; ++i) {
    int const x = static_cast<int>(bits() % 5000), y = static_cast<int>(bits() % 4000) - 10;
    double const score =
        i % 2 ? static_cast<double>(bits() % 20001) / 20000 : static_cast<double>(bits() >> 11) * 0x1p-53;
    all.push_back({static_cast<double>(y), static_cast<double>(x), i % 20, score});
    char line[100];
    std::snprintf(line, sizeof line, "%d %d %d %.3f\n", x, y, i % 20, score);
    want += line;
  }
  CHECK(format_points(all) == want);
  support::temporary_folder const folder;
  write_points(folder / "new/p.txt", all);
  auto const back = read_points(folder / "new/p.txt");
  REQUIRE(back.size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK((back[i].x == all[i].x && back[i].y == all[i].y && back[i].category == all[i].category));
    CHECK(std::abs(back[i].score - all[i].score) <= 0.0005000001);
  }
  CHECK(format_points({}).empty());
}

TEST_CASE("what is wrong with points is said, and where", "[io][errors]")
{
  CHECK(reason("1 2 3\n1 2\n") == "a.txt:2: 2 words instead of `x y class` or `x y class confidence`");
  CHECK(reason("1 2 3 4 5") == "a.txt:1: 5 words instead of `x y class` or `x y class confidence`");
  CHECK(reason("\n#\n1 b 3") == "a.txt:3: y is 'b'");
  CHECK(reason("1px 1 3") == "a.txt:1: x is '1px'");
  CHECK(reason("nan 1 3") == "a.txt:1: x is 'nan'");
  CHECK(reason("1 inf 3") == "a.txt:1: y is 'inf'");
  CHECK(reason("1e300 1 3") == "a.txt:1: x is '1e300'");
  CHECK(reason("1 1 3.5") == "a.txt:1: the class is '3.5'");
  CHECK(reason("1 1 -1") == "a.txt:1: the class is -1");
  CHECK(reason("1 1 99999999999") == "a.txt:1: the class is '99999999999'");
  CHECK(reason("1 1 1 high") == "a.txt:1: the confidence is 'high'");
  CHECK(reason("1 1 1 1e999") == "a.txt:1: the confidence is '1e999'");
  CAMBIUM_THROWS_SAYING(read_points("/no/such/file"), io_error, "/no/such/file: ");
  double const nan = std::numeric_limits<double>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(format_points({{1, 1, 0, 1}, {1.5, 2, 0, 1}}), precondition_error,
                        "point 1 is at (1.5,2), not on a pixel");
  CAMBIUM_THROWS_SAYING(format_points({{nan, 2, 0, 1}}), precondition_error, "not on a pixel");
  CAMBIUM_THROWS_SAYING(format_points({{1, 2, -1, 1}}), precondition_error, "the class of point 0 is -1");
  CAMBIUM_THROWS_SAYING(format_points({{1, 2, 1, nan}}), precondition_error, "the confidence of point 0 is nan");
}
