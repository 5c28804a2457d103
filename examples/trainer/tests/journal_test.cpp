#include "run/journal.hpp"
#include "run/curves.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::index_t;
using cambium::precondition_error;
using support::refusal;

namespace {

journal_options const silent{.quiet = true};

journal_entry entry(std::int64_t step, double loss)
{
  return {step, static_cast<double>(step) / 4, 0.1, {{"l", loss}}, 0};
}

std::string text_of(std::filesystem::path const& file)
{
  auto const b = cambium::read_file(file);
  return {b.begin(), b.end()};
}

/// A picture of one row of characters a pixel: '#' where it has this colour.
index_t count(cambium::grid<std::uint8_t, 3> const& p, cambium::rgb c)
{
  index_t n = 0;
  for (index_t y = 0; y < p.shape()[0]; ++y)
    for (index_t x = 0; x < p.shape()[1]; ++x)
      n += p(y, x, 0) == c.red && p(y, x, 1) == c.green && p(y, x, 2) == c.blue;
  return n;
}

}  // namespace

TEST_CASE("journal: what is written is read", "[property]")
{
  support::temporary_folder const folder;
  {
    journal j(folder.path(), 0, silent);
    j.write({1, 0.25, 0.1, {{"class", 0.5}, {"a \"name\"", 1.0 / 3}}, 0});
    j.write({7, 1.5, 0.05, {{"class", std::nan("")}, {"b", std::numeric_limits<double>::infinity()}}, 0});
    j.draw();
  }
  auto const e = read_journal(folder / "log.jsonl");
  REQUIRE(e.size() == 2);
  CHECK(e[0].step == 1);
  CHECK(e[0].epoch == 0.25);
  CHECK(e[0].rate == 0.1);
  CHECK(e[0].losses == std::vector<std::pair<std::string, double>>{{"class", 0.5}, {"a \"name\"", 1.0 / 3}});
  CHECK(e[1].step == 7);
  CHECK(std::isnan(e[1].losses[0].second));
  CHECK(std::isnan(e[1].losses[1].second));
  CHECK(e[1].seconds >= e[0].seconds);
  CHECK(text_of(folder / "log.jsonl").find("{\"step\":1,\"epoch\":0.25,\"rate\":0.1,\"losses\":{\"class\":0.5,") == 0);
  CHECK(cambium::read_png(folder / "curves.png").width == 800);
}

TEST_CASE("journal: a resumed run goes on with the file", "[property]")
{
  support::temporary_folder const folder;
  auto const log = folder / "log.jsonl";
  {
    journal j(folder.path(), 0, silent);
    for (int i = 1; i <= 6; ++i) j.write(entry(i, i));
  }
  // Killed while the seventh line was written; the last checkpoint is of step 4.
  std::string const before = text_of(log);
  cambium::replace_file(log, std::string_view(before + "{\"step\":7,\"epo"));
  CHECK(read_journal(log).size() == 6);
  {
    journal j(folder.path(), 4, silent);
    CHECK(j.entries().size() == 4);
    j.write(entry(5, 50));
    j.write(entry(9, 90));
  }
  auto const e = read_journal(log);
  REQUIRE(e.size() == 6);
  CHECK(e[3] == read_journal(log)[3]);
  CHECK(e[3].losses[0].second == 4);
  CHECK(e[4].losses[0].second == 50);
  CHECK(e[5].step == 9);
  CHECK(text_of(log).compare(0, 40, before, 0, 40) == 0);
  for (std::size_t i = 1; i < e.size(); ++i) CHECK(e[i].seconds >= e[i - 1].seconds);

  journal const fresh(folder.path(), 0, silent);  // begins anew
  CHECK(fresh.entries().empty());
  CHECK(text_of(log).empty());
}

TEST_CASE("journal: what is wrong is named", "[errors]")
{
  support::temporary_folder const folder;
  auto const log = folder / "log.jsonl";
  std::string const good = R"({"step":1,"epoch":0,"rate":1,"losses":{},"seconds":0})";
  std::string const next = R"({"step":2,"epoch":0,"rate":1,"losses":{},"seconds":0})";
  auto const words = [&](std::string const& content) {
    cambium::replace_file(log, std::string_view(content));
    return refusal([&] { (void)read_journal(log); });
  };
  CHECK(words(good + "\n" + next + "\n").empty());
  CHECK(words("no log\n" + next + "\n").find("log.jsonl: line 1: ") != std::string::npos);
  CHECK(words(good + "\n{}\n" + next + "\n").find("line 2: ") != std::string::npos);
  CHECK(words(good + "\n" + R"({"step":2,"epoch":0,"rate":1,"losses":3,"seconds":0})" + "\n" + next + "\n")
            .find("line 2: losses") != std::string::npos);
  CHECK(words(next + "\n" + good + "\n").find("line 2: step 1 is not after step 2") != std::string::npos);
  CHECK(refusal([&] { (void)read_journal(folder / "none"); }).find("none: No such file") != std::string::npos);

  journal j(folder / "new", 0, silent);
  j.write(entry(3, 1));
  CAMBIUM_THROWS_SAYING(j.write(entry(3, 1)), precondition_error, "step 3 is not after step 3");
  CAMBIUM_THROWS_SAYING(journal(folder / "new", -1), precondition_error, "first_step is -1");
  cambium::replace_file(folder / "file", std::string_view("x"));
  CHECK(refusal([&] { journal(folder / "file", 0, silent); }).find("file") != std::string::npos);
}

TEST_CASE("progress: known lines", "[picture]")
{
  CHECK(progress_line(1200, 50000, 200, 100, {{"loss", 0.42131}}) ==
        "1200/50000 steps, loss 0.4213, 2.00 steps/s, 6:46:40 left");
  CHECK(progress_line(50, 0, 50, 1, {}) == "50 steps, 50 steps/s");
  CHECK(progress_line(10, 10, 10, 100, {{"a", 1}, {"b", 1e-7}}) ==
        "10/10 steps, a 1, b 1e-07, 0.10 steps/s, 0:00:00 left");
}

TEST_CASE("journal: plain lines where there is no terminal, now and then and at the end", "[picture]")
{
  support::temporary_folder const folder;
  auto const screen = folder / "screen.txt";
  {
    std::FILE* const f = std::fopen(screen.c_str(), "wb");
    REQUIRE(f != nullptr);
    journal_options o{.steps = 5, .every_seconds = 1000, .screen = f};
    journal j(folder / "run", 0, o);
    j.say("five steps");
    for (int i = 1; i <= 5; ++i) j.write(entry(i, 2));
    std::fclose(f);
    journal moved = std::move(j);
  }
  std::string const text = text_of(screen);
  CHECK(text.find("five steps\n1/5 steps, l 2, ") == 0);
  CHECK(text.find("\n5/5 steps, l 2, ") != std::string::npos);
  CHECK(text.find("2/5") == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("ticks: round numbers inside the range", "[picture]")
{
  CHECK(ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(ticks(-1, 1, 4) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
  CHECK(ticks(1, 2000, 4) == std::vector<double>{500, 1000, 1500, 2000});
  CAMBIUM_THROWS_SAYING((void)ticks(1, 1, 4), precondition_error, "from 1 to 1");
}

TEST_CASE("curves: a falling loss falls in the picture", "[picture]")
{
  std::vector<journal_entry> log;
  for (int i = 1; i <= 100; ++i)
    log.push_back({i, 0, 0, {{"down", 100.0 - i}, {"up", static_cast<double>(i)}, {"gone", std::nan("")}}, 0});
  auto const p = draw_curves(log, {240, 320, false, 0});
  CHECK(p.shape()[0] == 240);
  CHECK(p.shape()[1] == 320);
  // Where each colour is, below the legend: the mean row in the left and in the right half.
  for (int const i : {0, 1}) {
    cambium::rgb const c = curve_colour(static_cast<std::size_t>(i));
    double row[2] = {}, n[2] = {};
    for (index_t y = 60; y < 205; ++y)
      for (index_t x = 63; x < 304; ++x)
        if (std::abs(p(y, x, 0) - c.red) < 60 && std::abs(p(y, x, 1) - c.green) < 60 &&
            std::abs(p(y, x, 2) - c.blue) < 60)
          row[x >= 183] += static_cast<double>(y), ++n[x >= 183];
    REQUIRE(n[0] > 40);
    REQUIRE(n[1] > 40);
    CHECK((row[0] / n[0] < row[1] / n[1]) == (i == 0));  // rows count downwards
  }
  CHECK(count(p, curve_colour(2)) > 0);  // in the legend all the same
  CHECK(draw_curves(log, {240, 320, false, 0}).cells() == p.cells());
  CHECK(draw_curves(log, {240, 320, true, 0}).cells() != p.cells());
  CHECK(draw_curves(log, {240, 320, false, 0.5}).cells() != p.cells());
}

TEST_CASE("curves: nothing, one entry, equal values, many entries", "[property]")
{
  CHECK(draw_curves({}).shape()[0] == 480);
  auto const one = draw_curves({entry(5, 0.25)});
  CHECK(count(one, curve_colour(0)) > 0);
  std::vector<journal_entry> flat, many;
  for (int i = 1; i <= 20000; ++i) {
    if (i <= 10) flat.push_back(entry(i, 3));
    many.push_back(entry(i, i == 15000 ? 9 : std::sin(i)));
  }
  CHECK(count(draw_curves(flat), curve_colour(0)) > 500);
  for (double const v : {0.1, 3.0445, -2.9957, 0.0}) {  // running means of equal values are not all equal
    flat.clear();
    for (int i = 1; i <= 100; ++i) flat.push_back(entry(i, v));
    CHECK(count(draw_curves(flat), curve_colour(0)) > 500);
  }
  CHECK(draw_curves(many).shape()[1] == 800);
  CAMBIUM_THROWS_SAYING((void)draw_curves({}, {10, 10}), precondition_error, "a picture of 10 x 10");
  CAMBIUM_THROWS_SAYING((void)draw_curves({}, {480, 800, false, 2}), precondition_error, "smooth is 2");
}

TEST_CASE("text: a letter is its pixels", "[picture]")
{
  cambium::grid<std::uint8_t, 3> p(7, 12, 3);
  draw_text(p, 0, 0, "1T", {9, 0, 0});
  char const* const want[] = {"..#....#....", ".##....#....", "..#...####..", "..#....#....",
                              "..#....#....", "..#....#....", ".###....##.."};
  for (index_t y = 0; y < 7; ++y)
    for (index_t x = 0; x < 12; ++x) CHECK((p(y, x, 0) == 9) == (want[y][x] == '#'));
  draw_text(p, -3, 10, "8", {9, 0, 0});  // cut off, not beyond
}
