// 'trainer', run as people run it, on sets, labels, flags and weights that do not fit: each is said, and nothing is
// written.

#include "programs/process.hpp"

#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;

namespace {

/// Sixteen photographs of 32 x 32 with a square: even ones a red cat, odd ones a blue dog. In VOC's layout, with points,
/// scribbles, boxes and masks, and as COCO's files.
struct pets : scratch {
  static constexpr int count = 16;

  pets()
  {
    std::string list;
    for (int i = 0; i < count; ++i) {
      list += id(i) + "\n";
      photograph(i, 200);
      point(i, i % 2);
      box(i, "10");
      grid<std::int32_t, 2> mask(32, 32), marks(32, 32);
      std::fill(marks.cells().begin(), marks.cells().end(), 255);
      for (index_t y = 9; y < 20; ++y)
        for (index_t x = 9; x < 20; ++x) mask(y, x) = i % 2 + 1;
      for (index_t x = 10; x < 14; ++x) marks(12, x) = i % 2 + 1, marks(3, x) = 0;
      for (auto const* const folder : {"SegmentationClass", "SegmentationObject"})
        replace_file(root / folder / (id(i) + ".png"), format_labels(mask, voc_palette()));
      replace_file(root / "Scribbles" / (id(i) + ".png"), format_labels(marks, voc_palette()));
    }
    replace_file(root / "list.txt", list);
  }

  static std::string id(int i) { return "p" + std::to_string(i); }

  void photograph(int i, int bright) const
  {
    grid<std::uint8_t, 3> out(32, 32, 3);
    for (index_t y = 0; y < 32; ++y)
      for (index_t x = 0; x < 32; ++x)
        for (index_t c = 0; c < 3; ++c)
          out(y, x, c) =
              static_cast<std::uint8_t>(y > 8 && x > 8 && y < 20 && x < 20 && c == 2 * (i % 2) ? bright : 40);
    replace_file(root / "JPEGImages" / (id(i) + ".png"), format_photograph_png(out));
  }
  void point(int i, int category) const
  {
    replace_file(root / "Points" / (id(i) + ".txt"), "14 14 " + std::to_string(category) + " 1\n");
  }
  void box(int i, std::string const& left) const
  {
    std::string const name = i % 2 == 0 ? "cat" : "dog";
    replace_file(root / "Annotations" / (id(i) + ".xml"),
                 "<annotation><size><width>32</width><height>32</height><depth>3</depth></size>" +
                     (left.empty() ? std::string()
                                   : "<object><name>" + name + "</name><bndbox><xmin>" + left +
                                         "</xmin><ymin>10</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object>") +
                     "</annotation>\n");
  }
  /// A file in COCO's form whose masks are the squares. @param side  of the images that it describes
  std::string coco(std::string const& name, std::vector<std::string> const& classes, int side = 32) const
  {
    nlohmann::json all{{"images", nlohmann::json::array()}, {"annotations", nlohmann::json::array()}};
    for (std::size_t c = 0; c < classes.size(); ++c) all["categories"].push_back({{"id", c + 1}, {"name", classes[c]}});
    for (int i = 0; i < count; ++i) {
      all["images"].push_back({{"id", i + 1}, {"file_name", id(i) + ".png"}, {"height", side}, {"width", side}});
      std::string const kind = i % 2 == 0 ? "cat" : "dog";
      auto const category = std::find(classes.begin(), classes.end(), kind) - classes.begin() + 1;
      all["annotations"].push_back({{"id", i + 1},
                                    {"image_id", i + 1},
                                    {"category_id", category},
                                    {"iscrowd", 0},
                                    {"area", 121},
                                    {"bbox", {9, 9, 11, 11}},
                                    {"segmentation", {{9, 9, 20, 9, 20, 20, 9, 20}}}});
    }
    replace_file(root / name, all.dump());
    return at(name);
  }

  std::vector<std::string> of_folder(std::string const& classes = "cat,dog") const
  {
    return {"--data", root.string(), "--list", "list.txt", "--classes", classes};
  }
  std::vector<std::string> of_coco(std::string const& file) const
  {
    return {"--data", file, "--photographs", at("JPEGImages")};
  }

  outcome run(std::string const& command, std::vector<std::string> const& set, std::vector<std::string> const& more,
              std::string const& out = "out") const
  {
    std::vector<std::string> words{command};
    words.insert(words.end(), set.begin(), set.end());
    words.insert(words.end(), {"--quiet", "--out", at(out)});
    words.insert(words.end(), more.begin(), more.end());
    return run_program(root, CAMBIUM_TRAINER, words);
  }
  /// Runs what must be refused before anything is written.
  void refused(std::string const& command, std::vector<std::string> const& set, std::vector<std::string> const& more,
               std::string const& sentence) const
  {
    auto const before = everything(root / "out");
    auto const got = run(command, set, more);
    INFO(command << ": " << got.err);
    CHECK(got.status != 0);
    CHECK(contains(got.err, sentence));
    CHECK(everything(root / "out") == before);
  }
};

std::vector<std::string> const two_steps{"--side", "32", "--iterations", "2", "--no-score"};

std::vector<std::string> joined(std::vector<std::string> a, std::vector<std::string> const& b)
{
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("trainer: the held-out set needs the same classes in the same order", "[program][errors]")
{
  pets const f;
  auto const learned = f.coco("a.json", {"cat", "dog"});
  auto const held_out = [&](std::vector<std::string> const& classes) {
    return std::vector<std::string>{"--held-out-json", f.coco("b.json", classes), "--iterations", "1"};
  };
  std::string const swapped = "class 1 is 'cat' in --data " + learned + " but 'dog' in --held-out-json";
  for (auto const* const command : {"bestie", "scribbles", "boxes"})
    f.refused(command, f.of_coco(learned), held_out({"dog", "cat"}), swapped);
  f.refused("instances", f.of_coco(learned), joined(held_out({"dog", "cat"}), {"--pseudo", learned}), swapped);
  f.refused("scribbles", f.of_coco(learned), held_out({"cat", "dog", "cow"}), "class 3 is no such class in");
  // numbers may differ, and a set that is not used may have any classes
  auto const same = f.run("scribbles", f.of_coco(learned), joined(held_out({"cat", "dog"}), {"--side", "32"}), "same");
  INFO(same.err);
  CHECK(same.status == 0);
  auto const own = joined(held_out({"dog", "cat"}), {"--side", "32", "--label-training"});
  CHECK(f.run("scribbles", f.of_coco(learned), own, "own").status == 0);
}

TEST_CASE("trainer irnet: weights and what they learned from are looked at before they are used", "[program][errors]")
{
  pets const f;
  std::vector<std::string> const points{"--point-files", "Points", "--cam-epochs", "1", "--steps"};
  auto const with = [&](std::string const& steps) { return joined(points, {steps}); };
  auto const first = f.run("irnet", f.of_folder(), with("cam"));
  INFO(first.err);
  REQUIRE(first.status == 0);
  auto const made = everything(f.root / "out");

  f.refused("irnet", f.of_folder("dog,cat"), with("mine"), "its classes are cat,dog, but those of the set are dog,cat");
  auto const again = f.run("irnet", f.of_folder(), with("cam"));
  CHECK(again.status == 0);
  CHECK(everything(f.root / "out") == made);
  std::string const others = "was made with other settings (the photographs, their labels or the first weights were";
  f.point(3, 0);
  f.refused("irnet", f.of_folder(), with("cam"), others);
  std::filesystem::remove(f.root / "out/cam.safetensors");  // the checkpoint is of the same points
  f.refused("irnet", f.of_folder(), with("cam"), "is of another training: the photographs, their labels or");
  f.point(3, 1);
  f.photograph(5, 190);
  f.refused("irnet", f.of_folder(), with("cam"), "is of another training: the photographs, their labels or");
  f.photograph(5, 200);
  CHECK(f.run("irnet", f.of_folder(), with("cam")).status == 0);

  // a step may be left out on purpose: other settings are said
  auto const noted = f.run("irnet", f.of_folder(), joined(with("mine"), {"--seed", "9"}));
  INFO(noted.err);
  CHECK(noted.status == 0);
  CHECK(contains(noted.err, "note: " + f.at("out/cam.safetensors") + " was made with other settings (...seed 1 "));

  // labels that were mined otherwise are other labels to learn from
  auto const field = joined(with("field"), {"--field-epochs", "1"});
  REQUIRE(f.run("irnet", f.of_folder(), field).status == 0);
  CHECK(f.run("irnet", f.of_folder(), field).status == 0);
  replace_file(f.root / "out/mined/p4.png", text_of(f.root / "out/mined/p5.png"));
  f.refused("irnet", f.of_folder(), field, "field.safetensors: " + others);

  // maps are of their photograph
  auto const maps = with("maps");
  REQUIRE(f.run("irnet", f.of_folder(), maps).status == 0);
  auto const before = everything(f.root / "out/cams");
  f.photograph(6, 120);
  REQUIRE(f.run("irnet", f.of_folder(), maps).status == 0);
  auto const after = everything(f.root / "out/cams");
  CHECK(before.at("p6.npy") != after.at("p6.npy"));
  CHECK(before.at("p7.npy") == after.at("p7.npy"));
}

TEST_CASE("trainer bestie: weights label only the classes that they learned", "[program][errors]")
{
  pets const f;
  auto const points =
      joined(two_steps, {"--points", "--point-files", "Points", "--semantic", f.at("SegmentationClass"), "--steps"});
  auto const first = f.run("bestie", f.of_folder("cat, dog"), joined(points, {"train,label"}));
  INFO(first.err);
  REQUIRE(first.status == 0);
  auto const named = parse(f.root / "out/pseudo.json").at("categories");
  CHECK(named.at(1).at("name") == "dog");  // without the blank behind the comma
  CHECK(f.run("bestie", f.of_folder(), joined(points, {"label"})).status == 0);
  f.refused("bestie", f.of_folder("dog,cat"), joined(points, {"label"}),
            "its classes are cat,dog, but those of the set are dog,cat");
  f.photograph(5, 190);
  f.refused("bestie", f.of_folder(), joined(points, {"train"}), "the photographs, their labels or the first weights");
}

TEST_CASE("trainer: a first network is known by what its file holds", "[program][errors]")
{
  pets const f;
  std::vector<std::string> const cam{"--point-files", "Points", "--cam-epochs", "1", "--steps", "cam", "--seed"};
  REQUIRE(f.run("irnet", f.of_folder(), joined(cam, {"1"}), "one").status == 0);
  REQUIRE(f.run("irnet", f.of_folder(), joined(cam, {"2"}), "two").status == 0);
  auto const file = f.root / "first.safetensors";
  std::filesystem::copy_file(f.root / "one/cam.safetensors", file);
  auto const pseudo = f.coco("pseudo.json", {"cat", "dog"});
  auto const how = joined(two_steps, {"--pseudo", pseudo, "--classifier", file.string()});
  auto const first = f.run("instances", f.of_folder(), how);
  INFO(first.err);
  REQUIRE(first.status == 0);
  std::filesystem::copy_file(f.root / "two/cam.safetensors", file, std::filesystem::copy_options::overwrite_existing);
  f.refused("instances", f.of_folder(), how, "the first weights were others");
}

TEST_CASE("trainer instances: pseudo labels of another size are named with their file", "[program][errors]")
{
  pets const f;
  f.refused("instances", f.of_folder(), joined(two_steps, {"--pseudo", f.coco("small.json", {"cat", "dog"}, 24)}),
            "small.json: image p0.png is 24 x 24 pixels, but its photograph 32 x 32");
}

TEST_CASE("trainer scribbles: several processes are refused, with finished weights, too", "[program][errors]")
{
  pets const f;
  auto const first = f.run("scribbles", f.of_folder(), two_steps);
  INFO(first.err);
  REQUIRE(first.status == 0);
  f.refused("scribbles", f.of_folder(), joined(two_steps, {"--processes", "2"}), "as one process");
}

TEST_CASE("trainer: a set in which nothing is labelled teaches nothing", "[program][errors]")
{
  pets const f;
  std::vector<std::string> const unsure{"--point-files", "Points", "--point-threshold", "1"};
  f.refused("irnet", f.of_folder(), unsure, "irnet: no image of the set has a tag");
  f.refused("bestie", f.of_folder(), unsure, "bestie: no image of the set has a tag");
  f.refused("bestie", f.of_folder(), joined(unsure, {"--points", "--semantic", f.at("SegmentationClass")}),
            "bestie: no image of the set has a point");
  f.refused("irnet", f.of_folder(), {"--point-files", "Points", "--point-threshold", "nan"}, "--point-threshold");

  grid<std::int32_t, 2> binary(32, 32);  // white strokes on black
  for (index_t x = 10; x < 14; ++x) binary(12, x) = 255;
  for (int i = 0; i < pets::count; ++i) {
    replace_file(f.root / "Scribbles" / (pets::id(i) + ".png"), format_labels(binary, voc_palette()));
    f.box(i, "");
  }
  f.refused("scribbles", f.of_folder(), two_steps, "no image has a mark of a class");
  f.refused("irnet", f.of_folder(), {"--box-files"}, "irnet: no image of the set has a tag");
  std::filesystem::remove_all(f.root / "SegmentationClass");
  std::filesystem::remove_all(f.root / "SegmentationObject");
  f.refused("boxes", f.of_folder(), {"--box-files", "--iterations", "1"}, "boxes: no image of the set has a box");
}

TEST_CASE("trainer: flags of another kind of set, and numbers below one, are refused", "[program][errors]")
{
  pets const f;
  auto const coco = f.of_coco(f.coco("a.json", {"cat", "dog"}));
  std::vector<std::string> const scenes{"--data", "scenes"};
  f.refused("scribbles", coco, {"--held-out-list", "nowhere.txt"}, "--held-out-list is for --data that is a folder");
  f.refused("boxes", f.of_folder(), {"--held-out-json", "b.json"},
            "--held-out-json is for --data that is a .json file");
  f.refused("irnet", scenes, {"--photographs", "x"},
            "--photographs is for --data that is a folder or a .json file, but");
  f.refused("irnet", coco, {"--zero-based-boxes"}, "--zero-based-boxes is for --data that is a folder, but");
  f.refused("irnet", f.of_folder(), {"--images", "4"}, "--images is for --data that is scenes, but");
  f.refused("irnet", coco, {"--held-out-photographs", "x"}, "--held-out-photographs requires --held-out-json");
  f.refused("irnet", f.of_folder(), {"--cam-epochs", "-3"}, "--cam-epochs");
  f.refused("irnet", f.of_folder(), {"--field-epochs", "0"}, "--field-epochs");
  f.refused("irnet", scenes, {"--images", "-4"}, "--images");
  for (auto const* const command : {"bestie", "instances"})
    f.refused(command, f.of_folder(), {"--iterations", "-5"}, "--iterations");

  std::string tags;
  for (int i = 0; i < pets::count; ++i) tags += pets::id(i) + (i % 2 == 0 ? " 1\n" : " 2\n");
  replace_file(f.root / "tags.txt", tags);
  f.refused("irnet", f.of_folder("2,1"), {"--tags", "tags.txt"},
            "tags.txt:1: '1' is the name of class 2 and the number of class '2'");
}

TEST_CASE("trainer boxes: a damaged annotation costs its image, and masks are read before the first training",
          "[program][errors]")
{
  pets const f;
  for (int i = 2; i < pets::count; ++i)
    for (auto const* const folder : {"SegmentationClass", "SegmentationObject"})
      std::filesystem::remove(f.root / folder / (pets::id(i) + ".png"));
  f.box(4, "500");
  std::vector<std::string> const short_run{"--box-files", "--iterations", "1",          "--batch",
                                           "2",           "--train",      "uncertainty"};
  auto const got = f.run("boxes", f.of_folder(), short_run);
  INFO(got.err);
  CHECK(got.status == 1);
  CHECK(contains(got.err, "1 images failed"));
  CHECK(contains(got.err, "p4: not all of its boxes are known: " + f.at("Annotations/p4.xml")));
  CHECK(std::filesystem::exists(f.root / "out/uncertainty/network.safetensors"));

  pets const g;
  grid<std::int32_t, 2> half(16, 16);
  half(4, 4) = 1;
  for (auto const* const folder : {"SegmentationClass", "SegmentationObject"})
    replace_file(g.root / folder / "p5.png", format_labels(half, voc_palette()));
  replace_file(g.root / "exact.txt", std::string_view("p0\np1\n"));
  replace_file(g.root / "held.txt", std::string_view("p2\n"));
  g.refused("boxes", g.of_folder(),
            {"--box-files", "--iterations", "1", "--batch", "2", "--exact-list", g.at("exact.txt"), "--held-out-list",
             "held.txt", "--train", "uncertainty,exact"},
            "boxes: image p5 is [32,32] but its truth is [16,16]");
}

TEST_CASE("trainer: processes with different flags name the first that differs", "[program][errors]")
{
  pets const f;
  std::string const port = std::to_string(20000 + ::getpid() % 10000);
  std::vector<pid_t> running;
  for (int rank = 0; rank < 2; ++rank) {
    std::filesystem::create_directories(f.root / std::to_string(rank));
    auto words = joined({"RANK=" + std::to_string(rank), "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port,
                         CAMBIUM_TRAINER, "irnet"},
                        f.of_folder());
    words.insert(words.end(), {"--steps", rank == 0 ? "cam,mine" : "cam", "--out", f.at("out")});
    running.push_back(start_program(f.root / std::to_string(rank), "/usr/bin/env", words));
  }
  for (pid_t const one : running) {
    int status = 0;
    ::waitpid(one, &status, 0);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) != 0));
  }
  auto const said = text_of(f.root / "1/stderr");
  INFO(said);
  if (!contains(said, "this build trains as one process"))
    CHECK(contains(said, "rank 1 was started with --steps cam but rank 0 with --steps cam mine"));
  CHECK(everything(f.root / "out").empty());
}
