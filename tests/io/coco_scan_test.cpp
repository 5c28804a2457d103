#include <cambium/io/coco.hpp>
#include <cambium/io/coco_pairs.hpp>
#include <cambium/io/coco_write.hpp>

#include "support/catch.hpp"
#include "support/coco_sample.hpp"
#include "support/random.hpp"

#include <bit>
#include <exception>
#include <random>
#include <string>
#include <vector>

using namespace cambium;
using support::sound, support::text;

namespace {

std::string const results_text = R"([
  {"image_id": 7, "category_id": 3, "segmentation": {"size": [3, 4], "counts": "3214"}, "score": 0.25, "id": 1},
  {"image_id": 9, "category_id": 90, "segmentation": {"counts": [0, 4], "size": [2, 2]}, "score": 0.73201179504394531},
  {"score": 1e-3, "segmentation": {"size": [2, 6], "counts": "0<0"}, "bbox": [0, 1.5, null], "category_id": 3,
   "image_id": 9, "of": {"a": [true, false, "b"]}}])";

/// All that was read, or the message.
std::string told(auto const& read)
  requires requires { std::string(read()); }
{
  try {
    return read();
  } catch (std::exception const& e) {
    return std::string("! ") + e.what();
  }
}

std::string told(coco_dataset const& set)
{
  std::string out;
  for (auto const& i : set.images) out += i.file_name + " " + std::to_string(i.id) + "\n";
  for (auto const& a : set.annotations) {
    out += std::to_string(a.id) + " " + std::to_string(a.image_id) + " " + std::to_string(a.category_id) + " " +
           std::to_string(a.iscrowd) + " " + message_part(a.area) + " " + a.box_error;
    for (double const v : a.bbox) out += " " + message_part(v);
    if (auto const* const runs = std::get_if<rle>(&a.segmentation)) out += " " + compressed_counts(*runs);
    if (auto const* const parts = std::get_if<coco_polygons>(&a.segmentation))
      for (auto const& xy : *parts)
        for (double const v : xy) out += " " + message_part(v);
    out += "\n";
  }
  for (auto const& n : set.notes) out += n + "\n";
  return out;
}

std::string told(std::vector<coco_result> const& results)
{
  std::string out;
  for (auto const& r : results)
    out += std::to_string(r.image_id) + " " + std::to_string(r.category_id) + " " + message_part(r.score) + " " +
           std::to_string(r.segmentation.height) + " " + compressed_counts(r.segmentation) + "\n";
  return out;
}

std::string told(std::vector<coco_pair> const& pairs)
{
  std::string out;
  for (auto const& p : pairs) {
    out += std::to_string(p.category) + ":";
    for (auto const* list : {&p.score, &p.area, &p.truth_area})
      for (double const v : *list) out += " " + message_part(v);
    for (double const v : p.iou.cells()) out += " " + message_part(v);
    out += "\n";
  }
  return out;
}

/// Whether two readers of a file give the same values or the same error.
bool agree(std::string const& file, auto const& fast, auto const& slow)
{
  auto const got = told([&] { return told(fast()); }), want = told([&] { return told(slow()); });
  if (got != want) {
    CAPTURE(file);
    CHECK(got == want);
  }
  return got == want;
}

/// Calls one(text) for texts with a small change at every place.
void for_each_slip(std::string const& file, auto const& one)
{
  std::string const signs = "\"\\,:{}[]0-1.eE nN\x01\x80/u";
  for (std::size_t at = 0; at < file.size(); ++at) {
    one(std::string(file).erase(at, 1));
    one(file.substr(0, at));
    for (char const c : signs) {
      one(std::string(file).insert(at, 1, c));
      std::string changed = file;
      changed[at] = c;
      one(changed);
    }
  }
}

}  // namespace

TEST_CASE("files in plain form are read entry by entry", "[io][property]")
{
  CHECK(scan_coco(cpu{}, text(sound), "f").has_value());
  CHECK(scan_coco_results(cpu{}, text(results_text), "f").has_value());
  CHECK(scan_coco_results(cpu{}, text("\xEF\xBB\xBF []"), "f").has_value());
  CHECK_FALSE(scan_coco(cpu{}, text("[]"), "f").has_value());
  auto const results = parse_coco_results(text(results_text), "f");
  REQUIRE(results.size() == 3);
  CHECK((results[0].image_id == 7 && results[0].category_id == 3 && results[0].score == 0.25));
  CHECK(results[0].segmentation.counts == parse_counts("3214", {3, 4}, "").counts);
  CHECK((results[1].score == 0.73201179504394531 && results[1].segmentation.counts == std::vector<index_t>{0, 4}));
  CHECK((results[2].score == 1e-3 && results[2].segmentation.counts == std::vector<index_t>{0, 12, 0}));
}

TEST_CASE("entry by entry or as a tree: the same values and the same errors", "[io][same]")
{
  auto const set = [](std::string const& file) {
    return agree(
        file, [&] { return parse_coco(cpu{.threads = 1}, text(file), "f"); },
        [&] { return parse_coco_tree(text(file), "f"); });
  };
  auto const results = [](std::string const& file) {
    return agree(
        file, [&] { return parse_coco_results(cpu{.threads = 1}, text(file), "f"); },
        [&] { return parse_coco_results_tree(text(file), "f"); });
  };
  std::size_t wrong = 0;
  for_each_slip(sound, [&](std::string const& file) { wrong += !set(file); });
  for_each_slip(results_text, [&](std::string const& file) { wrong += !results(file); });
  CHECK(wrong == 0);
  // a mark of UTF-8 and a NUL in a field of no interest
  CHECK(set(support::with(R"("licenses": [])",
                          "\"licenses\": \xEF\xBB\xBF"
                          "1")));
  CHECK(set(support::with(R"("licenses": [])", std::string("\"licenses\": 1\0x", 15))));
  // doubled names: the last value counts
  CHECK(set(support::with(R"("area": 4,)", R"("area": 4, "area": 5,)")));
  CHECK(set(support::with(R"("licenses": [])", R"("images": [])")));
  CHECK(set(support::with(R"("licenses": [])", R"("annotations": 3)")));
  CHECK(results(R"([{"image_id": 1, "category_id": 1, "score": 1, "score": 2, "segmentation":
      {"size": [1, 1], "counts": [1]}}])"));
  CHECK(set(support::with(R"("a.jpg")", R"("\u00e4\"}.jpg")")));
  CHECK(set(support::with(R"("bbox": [1, 0, 2, 2])", R"("bbox": [0.5, 0.5, -0, -0])")));
}

TEST_CASE("results keep their order and their backslashes for any number of threads", "[io][property]")
{
  std::mt19937 random(5);
  std::vector<coco_result> all;
  for (std::int64_t i = 0; i < 700; ++i) {
    auto mask = support::uniform<std::uint8_t, 2>({90, 70}, 0, 1.999, static_cast<unsigned>(i));
    for (index_t y = 0; y < 90; ++y)
      for (index_t x = 0; x < 70; ++x) mask(y, x) = (y * 70 + x) % (random() % 60 + 40) < 35;
    all.push_back({i % 31, i % 7, encode_rle(mask), static_cast<double>(random()) / 3});
  }
  auto const file = text(format_coco_results(all));
  CHECK(std::find(file.begin(), file.end(), '\\') != file.end());
  for (int const threads : {1, 2, 8}) {
    auto const read = scan_coco_results(cpu{.threads = threads}, file, "f");
    REQUIRE(read.has_value());
    CHECK(told(*read) == told(all));
  }
  CHECK(told(parse_coco_results_tree(file, "f")) == told(all));
}

TEST_CASE("numbers of plain JSON are those of the other reader", "[io][same]")
{
  std::mt19937_64 random(3);
  std::vector<std::string> texts{"0",
                                 "-0",
                                 "-0.0",
                                 "00",
                                 "01",
                                 "1.",
                                 ".5",
                                 "+1",
                                 "1e5",
                                 "1E-7",
                                 "1e",
                                 "1e+",
                                 "-",
                                 "1.5e3",
                                 "1e400",
                                 "1e-400",
                                 "0e99",
                                 "0.1",
                                 "123456789012345678",
                                 "9007199254740993",
                                 "18446744073709551616",
                                 "0.30000000000000004",
                                 "1e22",
                                 "1e23",
                                 "123456789012345e22",
                                 "4.9e-324",
                                 "2.2250738585072011e-308"};
  for (int i = 0; i < 20000; ++i) {
    std::string one;
    char const* const pieces[] = {"0", "1", "7", "93", "250", "1638", ".", "e", "-", "E+"};
    for (auto n = random() % 7 + 1; n > 0; --n) one += pieces[random() % 10];
    texts.push_back(one);
    texts.push_back(std::to_string(static_cast<std::int64_t>(random()) >> random() % 64));
    texts.push_back(nlohmann::json(std::bit_cast<double>(random())).dump());
    texts.push_back(nlohmann::json(static_cast<double>(random() % 100000000) / 1e2).dump());
  }
  std::size_t read = 0;
  for (auto const& one : texts) {
    CAPTURE(one);
    auto const tree = nlohmann::json::parse(one, nullptr, false);
    double value = 0;
    std::int64_t whole = 0;
    json_cursor number(one), integer(one);
    if (number.number(value) && number.ends()) {
      ++read;
      REQUIRE(tree.is_number());
      REQUIRE(std::bit_cast<std::uint64_t>(value) == std::bit_cast<std::uint64_t>(tree.get<double>()));
    }
    if (integer.integer(whole) && integer.ends()) {
      REQUIRE(tree.is_number_integer());
      REQUIRE(whole == tree.get<std::int64_t>());
    }
  }
  CHECK(read > 40000);
}

TEST_CASE("pairs hold the overlaps of each image and category", "[io][reference]")
{
  auto const set =
      parse_coco(text(support::with(R"({"id": 6, "image_id": 9, "category_id": 3, "area": 1, "bbox": [0, 0, 1, 1]})",
                                    R"({"id": 6, "image_id": 7, "category_id": 3,
      "segmentation": [[0, 0, 4, 0, 4, 3, 0, 3]]})")),
                 "f");
  auto const mask = [](index_t height, index_t width, std::vector<index_t> counts) {
    return rle{height, width, counts};
  };
  std::vector<coco_result> const results{{9, 3, mask(2, 2, {0, 4}), 0.5},
                                         {7, 3, mask(3, 4, {3, 3, 6}), 0.75},
                                         {7, 90, mask(3, 4, {0, 6, 6}), 1},
                                         {7, 3, mask(3, 4, {12}), 0.25},
                                         {9, 90, mask(2, 2, {1, 1, 2}), 0.125}};
  for (int const threads : {1, 2, 8}) {
    auto const pairs = coco_pairs(cpu{.threads = threads}, set, results);
    REQUIRE(pairs.size() == 4);
    CHECK((pairs[0].category == 0 && pairs[0].score == std::vector<double>{0.75, 0.25}));
    CHECK((pairs[0].area == std::vector<double>{3, 0} && pairs[0].truth_area == std::vector<double>{4, 12}));
    REQUIRE(pairs[0].iou.shape() == std::array<index_t, 2>{2, 2});
    CHECK((pairs[0].iou(0, 0) == 2. / 5 && pairs[0].iou(0, 1) == 3. / 12));
    CHECK((pairs[0].iou(1, 0) == 0 && pairs[0].iou(1, 1) == 0));
    CHECK((pairs[1].category == 1 && pairs[1].crowd == std::vector<std::uint8_t>{1}));
    CHECK(pairs[1].iou(0, 0) == 3. / 6);  // of the detection, because the truth is a crowd
    CHECK((pairs[2].category == 0 && pairs[2].iou(0, 0) == 2. / 4));
    CHECK((pairs[3].category == 1 && pairs[3].truth_area.empty() && pairs[3].score.size() == 1));
  }
}

TEST_CASE("pairs of a file are those of its results, errors and all", "[io][same]")
{
  auto set = parse_coco(text(sound), "f");
  set.annotations.pop_back();  // it has no mask
  auto const same = [&](std::string const& file) {
    return agree(
        file, [&] { return parse_coco_pairs(cpu{.threads = 2}, set, text(file), "f"); },
        [&] { return coco_pairs(cpu{}, set, parse_coco_results_tree(text(file), "f")); });
  };
  auto const sized = [](std::string file) {
    return file.replace(file.find("[2, 6], \"counts\": \"0<0\""), 23, "[2, 2], \"counts\": \"04\"");
  };
  CHECK(told(parse_coco_pairs(cpu{}, set, text(sized(results_text)), "f")).find("0: 0.25") == 0);
  CHECK(same(sized(results_text)));
  CHECK(same(results_text));  // a mask of another size
  std::size_t wrong = 0, at = 0;
  for_each_slip(sized(results_text), [&](std::string const& file) { wrong += at++ % 5 == 0 && !same(file); });
  CHECK(wrong == 0);
}

TEST_CASE("pairs reject what they document", "[io][errors]")
{
  auto const set = parse_coco(text(sound), "f");
  std::vector<coco_result> results{{7, 3, {3, 4, {12}}, 1}};
  CAMBIUM_THROWS_SAYING(coco_pairs(cpu{}, set, results), precondition_error,
                        "coco_pairs: dataset.annotations[3] has no segmentation");
  results[0].segmentation = {4, 3, {12}};
  CAMBIUM_THROWS_SAYING(coco_pairs(cpu{.threads = 1}, set, results), precondition_error,
                        "coco_pairs: results[0] is 4 x 3 but image 7 is 3 x 4");
  results[0].segmentation = {3, 4, {11}};
  CAMBIUM_THROWS_SAYING(coco_pairs(cpu{.threads = 1}, set, results), precondition_error, "the counts end 1 pixels");
  results[0].image_id = 8;
  CAMBIUM_THROWS_SAYING(coco_pairs(cpu{}, set, results), precondition_error, "result 0 is of image 8");

  // of several errors the first group's is told
  coco_dataset many;
  many.categories.push_back({1, "c", ""});
  std::vector<coco_result> wrong;
  for (std::int64_t i = 0; i < 400; ++i) {
    many.images.push_back({i, 2, 2, ""});
    wrong.push_back({i, 1, {1, 1, {1}}, 1});
  }
  auto const file = text(format_coco_results(wrong));
  for (int i = 0; i < 40; ++i) {
    CAMBIUM_THROWS_SAYING(coco_pairs(cpu{.threads = 8}, many, wrong), precondition_error, "coco_pairs: results[0] is");
    CAMBIUM_THROWS_SAYING(parse_coco_pairs(cpu{.threads = 8}, many, file, "f"), precondition_error,
                          "coco_pairs: results[0] is");
  }
}
