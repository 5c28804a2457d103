#include "method/pseudo_labels.hpp"

#include "data/pseudo_labelled.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/rle.hpp>

#include <cmath>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;

namespace {

/// Two touching instances, one that is a fragment of score 0, one that has no cell.
cambium::instances<> example(index_t H, index_t W)
{
  cambium::instances<> out;
  out.label = grid<std::int32_t, 2>(H, W);
  for (index_t y = 1; y < 4; ++y) out.label(y, 1) = out.label(y, 2) = 1;
  out.label(1, 3) = out.label(2, 3) = out.label(2, 4) = 2;
  out.label(H - 1, W - 1) = 3;
  // Areas and boxes are left wrong: the pixels count.
  out.found = {{1, 0.75, 99, {}}, {0, 1.0 / 3, 0, {}}, {0, 0, 1, {}}, {1, 0.5, 4, {}}};
  return out;
}

}  // namespace

TEST_CASE("pseudo_labels: what is written is read", "[property]")
{
  support::temporary_folder const folder;
  pseudo_labels all({"cat", "dog"});
  all.add("a.jpg", example(6, 8));
  all.add("sub/b.jpg", cambium::instances<>{grid<std::int32_t, 2>(3, 5), {}});
  all.add("c.jpg", example(7, 9), 40);
  all.add("d.jpg", example(5, 6));
  CHECK(all.images() == 4);
  CHECK(all.instances() == 6);
  all.write_dataset(folder / "set.json");
  all.write_results(folder / "results.json");

  auto const set = cambium::read_coco(folder / "set.json");
  REQUIRE(set.images.size() == 4);
  CHECK(set.images[0].id == 1);
  CHECK(set.images[1].id == 2);
  CHECK(set.images[2].id == 40);
  CHECK(set.images[3].id == 41);
  CHECK((set.images[1].height == 3 && set.images[1].width == 5 && set.images[1].file_name == "sub/b.jpg"));
  REQUIRE(set.categories.size() == 2);
  CHECK((set.categories[0].id == 1 && set.categories[1].name == "dog"));
  REQUIRE(set.annotations.size() == 6);
  std::set<std::int64_t> ids;
  for (auto const& a : set.annotations) ids.insert(a.id);
  CHECK(ids == std::set<std::int64_t>{1, 2, 3, 4, 5, 6});
  auto const truth = example(7, 9);
  for (std::size_t k = 0; k < 2; ++k) {
    auto const& a = set.annotations[2 + k];
    CHECK(a.image_id == 40);
    CHECK(a.category_id == truth.found[k].category + 1);
    CHECK_FALSE(a.iscrowd);
    auto const mask = cambium::decode_rle(std::get<cambium::rle>(a.segmentation));
    index_t area = 0;
    for (index_t y = 0; y < 7; ++y)
      for (index_t x = 0; x < 9; ++x) {
        bool const inside = truth.label(y, x) == static_cast<std::int32_t>(k + 1);
        CHECK((mask(y, x) != 0) == inside);
        area += inside;
      }
    CHECK(a.area == static_cast<double>(area));
  }
  CHECK(set.annotations[0].bbox == std::array<double, 4>{1, 1, 2, 3});
  CHECK(set.annotations[1].bbox == std::array<double, 4>{3, 1, 2, 2});

  auto const results = cambium::read_coco_results(folder / "results.json");
  REQUIRE(results.size() == 6);
  CHECK((results[4].image_id == 41 && results[4].score == 0.75));
  CHECK((results[5].category_id == 1 && results[5].score == 1.0 / 3));
  CHECK(results[3].segmentation == std::get<cambium::rle>(set.annotations[3].segmentation));
  CHECK_FALSE(cambium::match_up(set, results).empty());
}

namespace {

/// Two photographs in two folders, of one name.
class two_folders : public trainer::dataset {
 public:
  std::size_t size() const override { return 2; }
  std::vector<std::string> const& class_names() const override { return names_; }
  std::string id(std::size_t i) const override { return i == 0 ? "a/1" : "b/1"; }
  trainer::weak_image load(std::size_t i) const override
  {
    trainer::weak_image out;
    out.id = id(i), out.photograph = grid<std::uint8_t, 3>(6, 7, 3);
    return out;
  }
  cambium::instances<> truth(std::size_t) const override { return {}; }

 private:
  std::vector<std::string> names_{"cat", "dog"};
};

}  // namespace

TEST_CASE("pseudo_labelled: crowds of a file are ignored, or objects; names in two folders are two", "[picture]")
{
  support::temporary_folder const folder;
  cambium::coco_dataset set;
  set.images = {{1, 6, 7, "b/1.jpg"}, {2, 6, 7, "a/1.jpg"}};
  set.categories = {{5, "dog", ""}};
  auto const rows = [](index_t from, index_t to) {
    return cambium::encode_rle({6, 7}, {from, 0, to, 7}, [](index_t, index_t) { return true; });
  };
  set.annotations = {cambium::annotate(1, 5, rows(0, 2)), cambium::annotate(1, 5, rows(1, 4))};
  set.annotations[1].iscrowd = true;
  cambium::write_coco(folder / "pseudo.json", set);
  two_folders const photographs;
  pseudo_labelled const ignored(photographs, folder / "pseudo.json");
  CHECK(ignored.remarks().at(0).find("1 of 2 annotations are crowds (1 of 'dog')") != std::string::npos);
  CHECK((ignored.truth(0).found.empty() && ignored.truth(1).found.size() == 1));
  CHECK((ignored.load(1).ignored(1, 0) == 1 && ignored.load(0).ignored.size() == 0));
  CHECK((ignored.ignored(1)(1, 0) == 0 && ignored.ignored(1)(3, 6) == 1));
  pseudo_labelled const objects(photographs, folder / "pseudo.json", cambium::crowds::objects);
  CHECK((objects.truth(1).found.size() == 2 && objects.truth(1).label(3, 6) == 2));
  set.images[0].file_name = "a/1.png";
  cambium::write_coco(folder / "pseudo.json", set);
  CHECK(support::refusal([&] {
          pseudo_labelled const p(photographs, folder / "pseudo.json");
        }).find("two images are a/1") != std::string::npos);
}

TEST_CASE("pseudo_labels: in one call, with thresholds", "[picture]")
{
  support::temporary_folder const folder;
  auto const annotations = [&](pseudo_label_options o) {
    write_pseudo_labels_as_coco(folder / "x.json", {{"a.jpg", 9}, {"b.jpg"}}, {example(6, 8), example(6, 8)},
                                {"cat", "dog"}, o);
    return cambium::read_coco(folder / "x.json").annotations.size();
  };
  CHECK(annotations({}) == 4);
  CHECK(annotations({.least_score = 0.5}) == 2);
  CHECK(annotations({.least_score = 0}) == 6);
  CHECK(annotations({.least_score = 0, .least_area = 3}) == 4);
  CHECK(annotations({.least_score = 2}) == 0);
}

TEST_CASE("pseudo_labels: a set's own numbers", "[property]")
{
  support::temporary_folder const folder;
  pseudo_labels all({"cat", "dog"}, {.category_ids = {17, 3}});
  all.add("a.jpg", example(6, 8), 139);
  all.write_dataset(folder / "set.json");
  auto const set = cambium::read_coco(folder / "set.json");
  CHECK((set.categories.at(0).id == 17 && set.categories.at(1).id == 3));
  REQUIRE(set.annotations.size() == 2);
  CHECK((set.annotations[0].category_id == 3 && set.annotations[1].category_id == 17));
  CHECK(set.annotations[0].image_id == 139);
  using ids = std::vector<std::int64_t>;
  CAMBIUM_THROWS_SAYING(pseudo_labels({"cat", "dog"}, {.category_ids = ids{1}}), precondition_error,
                        "1 category ids for 2 classes");
  CAMBIUM_THROWS_SAYING(pseudo_labels({"cat", "dog"}, {.category_ids = ids{4, 4}}), precondition_error, "occurs twice");
}

TEST_CASE("pseudo_labels: what is wrong is named, and nothing of it is kept", "[errors]")
{
  support::temporary_folder const folder;
  CAMBIUM_THROWS_SAYING(pseudo_labels({}), precondition_error, "no class");
  CAMBIUM_THROWS_SAYING(pseudo_labels({"a", "a"}), precondition_error, "the class a occurs twice");
  CAMBIUM_THROWS_SAYING(pseudo_labels({""}), precondition_error, "no name");
  pseudo_labels all({"cat", "dog"});
  all.add("a.jpg", example(6, 8), 5);
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", example(6, 8), 5), precondition_error, "b.jpg: its id 5 is that of a.jpg");
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", example(6, 8), -1), precondition_error, "b.jpg: its id is -1");
  CAMBIUM_THROWS_SAYING(all.add("", example(6, 8)), precondition_error, "no file name");
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", cambium::instances<>{}), precondition_error, "b.jpg: its label map is 0 x 0");
  auto bad = example(6, 8);
  bad.found.resize(1);
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", bad), precondition_error, "row 1, column 3 is 2 of 1 instances");
  bad = example(6, 8), bad.found[1].category = 2;
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", bad), precondition_error, "instance 1 is of class 2, outside 0..1");
  bad = example(6, 8), bad.found[1].score = NAN;
  CAMBIUM_THROWS_SAYING(all.add("b.jpg", bad), precondition_error, "the score of instance 1 is nan");
  CHECK(all.images() == 1);
  CHECK(all.instances() == 2);
  CAMBIUM_THROWS_SAYING(write_pseudo_labels_as_coco(folder / "x", {{"a.jpg"}}, {}, {"cat"}), precondition_error,
                        "1 images but instances of 0");
}
