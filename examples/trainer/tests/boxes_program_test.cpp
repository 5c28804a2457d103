// 'trainer boxes', run as people run it: a few masks, many boxes.

#include "programs/process.hpp"

#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>

#include <set>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;

namespace {

/// A folder in VOC's layout: eight photographs of 32 x 32 with a square. Some have masks, all but some have boxes.
struct folder : scratch {
  explicit folder(std::set<int> const& masks, std::set<int> const& boxless = {})
  {
    std::string list;
    for (int i = 0; i < 8; ++i) {
      std::string const id = "p" + std::to_string(i);
      list += id + "\n";
      grid<std::uint8_t, 3> photograph(32, 32, 3);
      grid<std::int32_t, 2> mask(32, 32);
      for (index_t y = 0; y < 32; ++y)
        for (index_t x = 0; x < 32; ++x) {
          mask(y, x) = y > 8 + i && x > 8 && y < 20 + i && x < 20;
          for (index_t c = 0; c < 3; ++c) photograph(y, x, c) = mask(y, x) != 0 ? 220 : 40;
        }
      replace_file(root / "JPEGImages" / (id + ".png"), format_photograph_png(photograph));
      if (masks.contains(i))
        for (auto const* const kind : {"SegmentationClass", "SegmentationObject"})
          replace_file(root / kind / (id + ".png"), format_labels(mask, voc_palette()));
      if (boxless.contains(i)) continue;
      auto const number = [](int n) { return std::to_string(n); };
      replace_file(root / "Annotations" / (id + ".xml"),
                   "<annotation><size><width>32</width><height>32</height><depth>3</depth></size><object>"
                   "<name>square</name><bndbox><xmin>10</xmin><ymin>" +
                       number(10 + i) + "</ymin><xmax>20</xmax><ymax>" + number(20 + i) +
                       "</ymax></bndbox></object></annotation>\n");
    }
    replace_file(root / "train.txt", list);
  }

  outcome run(std::vector<std::string> const& more, std::string const& out) const
  {
    std::vector<std::string> words{"boxes",  "--data",      root.string(), "--list", "train.txt", "--classes",
                                   "square", "--box-files", "--quiet",     "--out",  at(out),     "--iterations",
                                   "2"};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(root, CAMBIUM_TRAINER, words);
  }

  std::set<std::string> trained(std::string const& out) const
  {
    std::set<std::string> names;
    for (auto const& [name, content] : everything(root / out))
      if (auto const at = name.find("/network.safetensors"); at != std::string::npos) names.insert(name.substr(0, at));
    return names;
  }
};

}  // namespace

TEST_CASE("trainer boxes: a few masks and many boxes are enough", "[program]")
{
  folder const f({0, 3});
  auto const got = f.run({}, "out");
  INFO(got.err);
  REQUIRE(got.status == 0);
  CHECK(contains(got.err, "2 of 8 images have masks: these are exact, the others have boxes"));
  CHECK(contains(got.err, "without the training 'exact', which needs masks of all images: p1 has none"));
  CHECK(contains(got.err, "measured on the 2 of 8 images learned from that have masks"));
  CHECK(contains(got.err, "--held-out-list"));
  CHECK(contains(got.out, "(of the images learned from)"));
  CHECK(f.trained("out") == std::set<std::string>{"uncertainty", "boxes_as_masks"});
  auto const scores = parse(f.root / "out/scores.json");
  CHECK(scores.size() == 2);
  CHECK(scores.at("uncertainty").at("measured_on") == "images learned from");
  CHECK(scores.at("uncertainty").at("images") == 2);
  double const iou = scores.at("boxes_as_masks").at("iou");
  CHECK((iou >= 0 && iou <= 1));
  CHECK(read_labels(f.root / "out/uncertainty/semantic/p7.png").shape() == std::array<index_t, 2>{32, 32});

  folder const bare({});
  auto const none = bare.run({"--train", "uncertainty"}, "out");
  CHECK((none.status == 0 && contains(none.err, "no image has a mask: all have boxes")));
  CHECK(contains(none.err, "nothing is measured"));
  auto const part = bare.run({"--train", "uncertainty,exact_part"}, "other");
  CHECK((part.status == 1 && contains(part.err, "exact_part has no image to learn from")));
  CHECK(everything(bare.root / "other").empty());

  auto const exact = f.run({"--train", "exact"}, "other");
  CHECK((exact.status == 1 && contains(exact.err, "exact: not all images have masks")));
  auto const share = f.run({"--exact", "0.25"}, "other");
  CHECK((share.status == 1 && contains(share.err, "here 2 of 8 have one, and these are exact")));
  CHECK(everything(f.root / "other").empty());
}

TEST_CASE("trainer boxes: only what has a mask is measured", "[program]")
{
  folder const f({0, 3, 5, 6});
  replace_file(f.root / "three.txt", std::string_view("p1\np5\np6\n"));
  replace_file(f.root / "none.txt", std::string_view("p1\np2\n"));
  auto const some = f.run({"--train", "exact_part", "--held-out-list", "three.txt"}, "out");
  INFO(some.err);
  REQUIRE(some.status == 0);
  CHECK(contains(some.err, "measured on the 2 of 3 held-out images that have masks"));
  CHECK_FALSE(contains(some.out, "learned from"));
  auto const scores = parse(f.root / "out/scores.json");
  CHECK((scores.at("exact_part").at("measured_on") == "held-out images" && scores.at("exact_part").at("images") == 2));

  auto const none = f.run({"--train", "exact_part", "--held-out-list", "none.txt"}, "blind");
  REQUIRE(none.status == 0);
  CHECK(contains(none.err, "nothing is measured: no image of the held-out images has a mask"));
  CHECK(parse(f.root / "blind/scores.json").empty());
  CHECK(everything(f.root / "blind/exact_part/semantic").size() == 2);
}

TEST_CASE("trainer boxes: an image with a mask needs no boxes, nor does a held-out one", "[program]")
{
  folder const f({0, 3}, {0, 3, 7});
  replace_file(f.root / "train.txt", std::string_view("p0\np1\np2\np3\n"));
  replace_file(f.root / "val.txt", std::string_view("p3\np7\n"));
  auto const got = f.run({"--train", "uncertainty", "--held-out-list", "val.txt"}, "out");
  INFO(got.err);
  CHECK(got.status == 0);
  CHECK(contains(got.err, "2 of 4 images have masks"));
  CHECK(everything(f.root / "out/uncertainty/semantic").size() == 2);

  // without a mask it is an error; and an image that is not called exact needs its boxes
  replace_file(f.root / "train.txt", std::string_view("p0\np1\np7\n"));
  auto const neither = f.run({"--train", "uncertainty"}, "other");
  CHECK((neither.status == 1 && contains(neither.err, "p7.xml")));
  replace_file(f.root / "train.txt", std::string_view("p0\np1\np3\n"));
  replace_file(f.root / "exact.txt", std::string_view("p0\n"));
  auto const left = f.run({"--train", "uncertainty", "--exact-list", f.at("exact.txt")}, "left");
  CHECK((left.status == 1 && contains(left.err, "p3: not all of its boxes are known")));
}

TEST_CASE("trainer boxes: a list names the exact images", "[program]")
{
  folder const f({0, 1, 2, 3, 4, 5, 6, 7});
  replace_file(f.root / "exact.txt", std::string_view("p2\np6\n"));
  replace_file(f.root / "others.txt", std::string_view("p2\np7\n"));
  replace_file(f.root / "wrong.txt", std::string_view("p2\np9\n"));
  auto const got = f.run({"--train", "exact_part", "--exact-list", f.at("exact.txt")}, "out");
  INFO(got.err);
  REQUIRE(got.status == 0);
  CHECK(contains(got.err, "2 of 8 images are exact, those of " + f.at("exact.txt")));
  auto const others = f.run({"--train", "exact_part", "--exact-list", f.at("others.txt")}, "out");
  CHECK((others.status == 1 && contains(others.err, "is of another training")));
  auto const wrong = f.run({"--exact-list", f.at("wrong.txt")}, "out");
  CHECK((wrong.status == 1 && contains(wrong.err, "wrong.txt:2: 'p9' is no image")));
  auto const both = f.run({"--exact-list", f.at("exact.txt"), "--exact", "0.5"}, "out");
  CHECK((both.status == 1 && contains(both.err, "leave --exact out")));
}

TEST_CASE("trainer boxes: scores of earlier trainings stay, and all trainings are looked at before the first",
          "[program]")
{
  folder const f({0, 3, 5, 6});
  REQUIRE(f.run({"--train", "uncertainty"}, "out").status == 0);
  auto const first = parse(f.root / "out/scores.json").at("uncertainty");
  REQUIRE(f.run({"--train", "exact_part"}, "out").status == 0);
  auto const both = parse(f.root / "out/scores.json");
  CHECK((both.size() == 2 && both.at("uncertainty") == first && both.contains("exact_part")));

  auto const refused = [&](std::vector<std::string> const& words, std::string const& sentence) {
    auto const got = f.run(words, "refused");
    INFO(got.err);
    CHECK(got.status == 1);
    CHECK(contains(got.err, sentence));
    CHECK(everything(f.root / "refused").empty());
  };
  refused({"--softmax", "--train", "uncertainty,boxinst"}, "boxinst: its losses are of single classes");
  refused({"--train", "exact_part,uncertainty", "--exact-batch", "4"}, "set box_batch (--box-batch), too");
  refused({"--train", "exact_part,uncertainty", "--exact-batch", "0", "--box-batch", "4"},
          "exact_part: a step takes no");
  refused({"--train", "uncertainty", "--box-batch", "4"}, "set exact_batch (--exact-batch), too");
  refused({"--train", "uncertainty,uncertainly"}, "there is no 'uncertainly'");
}

TEST_CASE("trainer boxes: flags reach the bootstrapping, and tau_hi follows the cap", "[program]")
{
  folder const f({0, 3});
  auto const same = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"--train", "uncertainty", "--largest-sigma", "50"});
    auto const got = f.run(words, "out");
    INFO(got.err);
    CHECK((got.status == 0 || (got.status == 1 && contains(got.err, "is of another training"))));
    return got.status == 0;
  };
  REQUIRE(same({}));
  CHECK(same({"--tau-hi", "50", "--tau-lo", "4", "--unsure", "ignore", "--bootstrap", "hard"}));
  CHECK_FALSE(same({"--tau-hi", "5"}));
  CHECK_FALSE(same({"--tau-lo", "3"}));
  CHECK_FALSE(same({"--unsure", "keep_box"}));
  CHECK_FALSE(same({"--bootstrap", "off"}));
  CHECK_FALSE(same({"--bootstrap", "soft"}));
  CHECK(f.run({"--train", "uncertainty", "--largest-sigma", "2"}, "low").status == 0);  // tau_lo 4 is above the cap
}
