#include <cambium/io/text.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

bytes raw(std::string_view s) { return {s.begin(), s.end()}; }

/// Number and text of every line.
std::vector<std::pair<int, std::string>> lines(std::string_view s)
{
  auto const file = raw(s);
  std::vector<std::pair<int, std::string>> out;
  for (auto const& line : lines_of(file, "f")) out.emplace_back(line.number, line.text);
  return out;
}

struct parted {
  std::string id;
  std::vector<std::string> words;
  bool operator==(parted const&) const = default;
};

std::vector<parted> ids(std::string_view s, std::set<std::string> const& known, id_lines_of form = id_lines_of::words)
{
  auto const file = raw(s);
  std::vector<parted> out;
  for (auto const& line : read_id_lines(
           file, "tags.txt", [&](auto const& id) { return known.contains(id); }, form))
    out.push_back({line.id, {line.words.begin(), line.words.end()}});
  return out;
}

std::string reason(std::string_view s, std::set<std::string> const& known, id_lines_of form = id_lines_of::words)
{
  return support::refusal([&] { static_cast<void>(ids(s, known, form)); });
}

}  // namespace

TEST_CASE("lines end as on any system, and a UTF-8 mark is passed over", "[io][picture]")
{
  std::vector<std::pair<int, std::string>> const want{{1, "a b"}, {3, "c"}};
  for (auto const end : {"\n", "\r\n", "\r"})
    for (auto const mark : {"", "\xEF\xBB\xBF"})
      for (bool const last : {false, true}) {
        CAPTURE(end, mark, last);
        CHECK(lines(std::string(mark) + " a b\t" + end + "  " + end + "c" + (last ? end : "")) == want);
      }
  CHECK(lines("a\r\n\rb\n\rc") == std::vector<std::pair<int, std::string>>{{1, "a"}, {3, "b"}, {5, "c"}});
  CHECK(lines("").empty());
  CHECK(lines("\xEF\xBB\xBF").empty());
}

TEST_CASE("words end at a comment", "[io][picture]")
{
  auto const file = raw("# all\n1 2 # two\n3#4\n");
  auto const all = words_of(file, "f");
  REQUIRE(all.size() == 2);
  CHECK((all[0].number == 2 && all[0].words == std::vector<std::string_view>{"1", "2"}));
  CHECK((all[1].number == 3 && all[1].words == std::vector<std::string_view>{"3"}));
}

TEST_CASE("UTF-16 and what is no text are named", "[io][errors]")
{
  auto const why = [](std::string_view s) {
    return support::refusal([&] { static_cast<void>(text_of(raw(s), "ids.txt")); });
  };
  CHECK(why(std::string_view("\xFF\xFE"
                             "a\0\n\0",
                             6))
            .rfind("ids.txt: is UTF-16 text (little-endian); save it as UTF-8", 0) == 0);
  CHECK(why(std::string_view("\xFE\xFF\0a\0\n", 6)).rfind("ids.txt: is UTF-16 text (big-endian)", 0) == 0);
  CHECK(why(std::string_view("\xFF\xFE\0\0a\0\0\0", 8)).rfind("ids.txt: is UTF-32 text", 0) == 0);
  CHECK(why(std::string_view("\0\0\xFE\xFF\0\0\0a", 8)).rfind("ids.txt: is UTF-32 text", 0) == 0);
  CHECK(why(std::string_view("a\0\n\0", 4))
            .rfind("ids.txt: is no text, or UTF-16 without its mark: its byte 1 is zero", 0) == 0);
  CHECK(why("\xC3\xA4 1\n").empty());
}

TEST_CASE("ids with blanks and '#' are those that there are", "[io][picture]")
{
  CHECK(ids("img 1 3\nimg 2 5 7\n", {"img 1", "img 2"}) ==
        std::vector<parted>{{"img 1", {"3"}}, {"img 2", {"5", "7"}}});
  CHECK(ids("photo 12\nphoto 12 4", {"photo 12"}) == std::vector<parted>{{"photo 12", {}}, {"photo 12", {"4"}}});
  CHECK(ids("img # 3 5 # a dog\nimg#4 1 #dog", {"img # 3", "img#4"}) ==
        std::vector<parted>{{"img # 3", {"5"}}, {"img#4", {"1"}}});
  CHECK(ids("a 3 # was b\na\n#a 3\n # a 3", {"a"}) == std::vector<parted>{{"a", {"3"}}, {"a", {}}});
  CHECK(ids("other 7 3", {"a"}) == std::vector<parted>{{"other", {"7", "3"}}});  // of another set
  CHECK(ids("\"img # 3\" 1 2\n\"say \"\"hi\"\"\" 4 # x\n\" a\"\t5", {}) ==
        std::vector<parted>{{"img # 3", {"1", "2"}}, {"say \"hi\"", {"4"}}, {" a", {"5"}}});
}

TEST_CASE("a line that can be read in two ways is not read", "[io][errors]")
{
  CHECK(reason("b 1\nimg 1 3", {"img", "img 1"}) ==
        "tags.txt:2: 'img' and 'img 1' are both images; write the id in quotes: \"img 1\"");
  CHECK(ids("img 2 3\n\"img\" 1 3\n\"img 1\" 3", {"img", "img 1"}).size() == 3);
  CHECK(reason("\"img 1 3", {}) == "tags.txt:1: a quote does not end: \"img 1 3");
  CHECK(reason("\"img\"1 3", {}) == "tags.txt:1: a blank is needed behind the quotes: \"img\"1 3");
}

TEST_CASE("a list of ids has one a line, whatever is in it", "[io][picture]")
{
  auto const form = id_lines_of::ids;
  CHECK(ids("img 1\n x_10  # the dog\n\"#5\"\nimg #3\nno such\n", {"img 1", "x_10", "img #3"}, form) ==
        std::vector<parted>{{"img 1", {}}, {"x_10", {}}, {"#5", {}}, {"img #3", {}}, {"no such", {}}});
  CHECK(ids("img 1", {"img", "img 1"}, form) == std::vector<parted>{{"img 1", {}}});
  CHECK(reason("p1  1\np4 -1", {"p1", "p4"}, form) ==
        "tags.txt:1: '1' stands behind the image 'p1'; a list of ids has nothing behind them");
  CHECK(reason("\"a\" b", {}, form) ==
        "tags.txt:1: 'b' stands behind the image 'a'; a list of ids has nothing behind them");
}

TEST_CASE("ids that are written come back, whatever is in them", "[io][property]")
{
  std::vector<std::string> const all{"2007_000032", "img 1",      "img 1 3",    "img",
                                     "img  two",    "#5",         "img #3",     "img # 3",
                                     "photo 12",    "\"quoted\"", "say \"hi\"", "\xC3\xA4 \xE7\x8A\xAC",
                                     " a ",         "a/b c",      "-1",         "\""};
  std::vector<std::pair<std::string, std::string>> lines, bare;
  std::vector<parted> want, alone;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> words;
    for (std::size_t k = 0; k < i % 3; ++k) words.push_back(std::to_string(k + i));
    lines.emplace_back(all[i], words.empty() ? "" : words.size() == 1 ? words[0] : words[0] + " " + words[1]);
    bare.emplace_back(all[i], "");
    want.push_back({all[i], words});
    alone.push_back({all[i], {}});
  }
  for (auto const& known : {std::set<std::string>(all.begin(), all.end()), std::set<std::string>{}}) {
    CHECK(ids(format_id_lines(lines), known) == want);
    CHECK(ids(format_id_lines(bare), known, id_lines_of::ids) == alone);
  }
  CHECK(format_id_lines({{"2007_000032", "1 15"}, {"b#1", ""}}) == "2007_000032 1 15\nb#1\n");  // no quotes, no need
  CHECK(format_id_lines({{"img 1", "3"}, {"b", ""}}) == "\"img 1\" 3\n\"b\"\n");
  for (std::string const id : {"", "a\nb", "a\tb"})
    CAMBIUM_THROWS_SAYING((format_id_lines({{id, ""}})), precondition_error, "cannot be an id");
}
