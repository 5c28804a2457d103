#include <cambium/io/coco_write.hpp>

#include "support/catch.hpp"
#include "support/coco_sample.hpp"
#include "support/temporary.hpp"

#include <cambium/io/coco.hpp>

#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace cambium;
using support::sound, support::text;

TEST_CASE("data sets come back from their files", "[io][property]")
{
  support::temporary_folder const folder;
  auto set = parse_coco(text(sound), "set.json");
  set.annotations[3].id = 0;
  auto own = annotate(7, 90, encode_rle({3, 4}, {0, 1, 2, 3}, [](index_t, index_t) { return true; }));
  own.area = 0.1;
  set.annotations.push_back(own);
  write_coco(folder / "new/set.json", set);
  auto const back = read_coco(folder / "new/set.json");
  REQUIRE(back.annotations.size() == 5);
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < 5; ++i) {
    auto const &a = set.annotations[i], &b = back.annotations[i];
    ids.push_back(b.id);
    CHECK((a.image_id == b.image_id && a.category_id == b.category_id && a.iscrowd == b.iscrowd && a.area == b.area));
    CHECK(a.bbox == b.bbox);
    CHECK(a.segmentation == b.segmentation);
  }
  CHECK(ids == std::vector<std::int64_t>{1, 2, 5, 6, 7});  // the two without one are numbered on
  CHECK((back.images[0].file_name == "a.jpg" && back.categories[1].name == "toothbrush"));
  CHECK(format_coco(back) == format_coco(set));

  auto const none = parse_coco(text(format_coco({})), "none");
  CHECK((none.images.empty() && none.annotations.empty()));
}

TEST_CASE("results come back from their files", "[io][property]")
{
  support::temporary_folder const folder;
  std::vector<coco_result> results;
  std::mt19937 bits(1);
  for (int i = 0; i < 20; ++i) {
    index_t const H = 1 + bits() % 9, W = 1 + bits() % 9;
    results.push_back({i % 3, i % 5,
                       encode_rle({H, W}, {0, 0, H, W}, [&](index_t, index_t) { return bits() % 2 == 0; }),
                       static_cast<double>(bits()) / 7});
  }
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, results.size()}) {
    std::vector<coco_result> const some(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(n));
    write_coco_results(folder / "r.json", some);
    auto const back = read_coco_results(folder / "r.json");
    REQUIRE(back.size() == n);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK((back[i].image_id == some[i].image_id && back[i].category_id == some[i].category_id));
      CHECK((back[i].score == some[i].score && back[i].segmentation == some[i].segmentation));
    }
  }
}

TEST_CASE("what cannot be written is refused", "[io][errors]")
{
  auto const set = parse_coco(text(sound), "set.json");
  auto const refused = [&](auto const& change, std::string const& words) {
    auto other = set;
    change(other);
    CAMBIUM_THROWS_SAYING(format_coco(other), precondition_error, words);
  };
  double const nan = std::numeric_limits<double>::quiet_NaN();
  refused([](auto& s) { s.images[1].id = 7; }, "two images have the id 7");
  refused([](auto& s) { s.categories[1].id = 3; }, "two categories have the id 3");
  refused([](auto& s) { s.annotations[1].id = 1; }, "two annotations have the id 1");
  refused([](auto& s) { s.annotations[1].id = std::numeric_limits<std::int64_t>::max(); }, "an annotation has the id");
  refused([](auto& s) { s.annotations[1].image_id = 1; }, "annotation 2 is of image 1, which is not there");
  refused([](auto& s) { s.annotations[1].category_id = 1; }, "annotation 2 is of category 1, which is not there");
  refused([&](auto& s) { s.annotations[1].area = nan; }, "the area of annotation 2 is nan");
  refused([&](auto& s) { s.annotations[1].bbox[2] = nan; }, "the box of annotation 2 holds nan");
  refused([](auto& s) { s.annotations[1].image_id = 9; }, "the mask of annotation 2 is 3 x 4 but its image 2 x 2");
  refused([](auto& s) { s.annotations[1].segmentation = rle{3, 4, {13}}; }, "count 0 runs past the end");
  refused([](auto& s) { s.annotations[0].segmentation = coco_polygons{{1, 2, 3, 4}}; },
          "a polygon of annotation 1 has 4 numbers");
  refused([&](auto& s) { s.annotations[0].segmentation = coco_polygons{{1, 2, 3, 4, 5, nan}}; },
          "a polygon of annotation 1 holds nan");
  refused([](auto& s) { s.images[0].file_name = "\xff"; }, "format_coco: ");
  CAMBIUM_THROWS_SAYING(format_coco_results({{1, 1, {1, 1, {1}}, nan}}), precondition_error,
                        "the score of result 0 is nan");
  CAMBIUM_THROWS_SAYING(format_coco_results({{1, 1, {1, 1, {2}}, 1}}), precondition_error, "count 0 runs past");
}
