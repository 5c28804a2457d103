// The label program, run as people run it: as a process, on folders.

#include "programs/process.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

using namespace cambium;
namespace fs = std::filesystem;
using json = nlohmann::json;
using namespace programs;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

struct playground : scratch {
  /// An image of two classes, left and right, with everything that belongs to it.
  void add(std::string const& id, index_t H = 21, index_t W = 34) const
  {
    index_t const h = (H - 1) / 4 + 1, w = (W - 1) / 4 + 1;
    auto const seed = std::hash<std::string>{}(id);
    replace_file(root / "images" / (id + ".jpg"),
                 format_jpeg(support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 255, seed)));
    grid<float, 3> cams(2, h, w), field(2, h, w);
    grid<std::int32_t, 2> semantic(H, W), instances(H, W);
    for (index_t y = 0; y < h; ++y)
      for (index_t x = 0; x < w; ++x) {
        cams(0, y, x) = x < w / 3 ? 0.9f : 0.05f;
        cams(1, y, x) = x >= 2 * w / 3 ? 0.8f : 0.02f;
        field(1, y, x) = static_cast<float>(x < w / 2 ? w / 4 - x : 3 * w / 4 - x);
      }
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        semantic(y, x) = x < W / 2 ? 3 : 7;
        instances(y, x) = x < W / 2 ? 1 : 2;
      }
    write_npy<3>(root / "cams" / (id + ".npy"), cams);
    write_npy<3>(root / "fields" / (id + ".npy"), field);
    auto edge = support::uniform<float, 2>({h, w}, 0, 0.2, seed);
    for (index_t y = 0; y < h; ++y) edge(y, w / 2) = 1;
    write_npy<2>(root / "edges" / (id + ".npy"), edge);
    replace_file(root / "semantic" / (id + ".png"), format_labels(semantic, voc_palette()));
    replace_file(root / "instances" / (id + ".png"), format_ids(instances));
  }
};

outcome label(playground const& p, std::vector<std::string> const& words)
{
  return run_program(p.root, CAMBIUM_LABEL, words);
}

outcome sweep(playground const& p, std::vector<std::string> words)
{
  words.insert(words.begin(), {"--labels", p.at("out")});
  return run_program(p.root, CAMBIUM_SWEEP, words);
}

/// The usual arguments, and more.
std::vector<std::string> usual(playground const& p, std::string const& out, std::vector<std::string> const& more = {})
{
  std::vector<std::string> words{"--images",     p.at("images/{id}.jpg"), "--cams", p.at("cams/{id}.npy"),
                                 "--boundaries", p.at("edges/{id}.npy"),  "--out",  p.at(out)};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace

TEST_CASE("label writes masks people can use", "[label][reference]")
{
  playground p;
  p.add("a"), p.add("b", 40, 25);
  replace_file(p.root / "tags", "a 3 7\nb 7 3\n");
  auto const r =
      label(p, usual(p, "out",
                     {"--tags", p.at("tags"), "--displacements", p.at("fields/{id}.npy"), "--truth-semantic",
                      p.at("semantic/{id}.png"), "--truth-instances", p.at("instances/{id}.png"), "--overlay"}));
  INFO(r.err << r.out);
  REQUIRE(r.status == 0);

  auto const semantic = read_png(p.root / "out/semantic/a.png");
  CHECK(semantic.indexed);
  CHECK(semantic.palette == voc_palette());
  CHECK(semantic.samples[0] == 3);  // the left channel of a is class 3
  CHECK(semantic.samples[33] == 7);
  CHECK(read_labels(p.root / "out/semantic/b.png")(0, 0) == 7);  // of b it is class 7
  auto const ids = read_png(p.root / "out/instances/a.png");
  CHECK(ids.depth == 16);

  auto const detections = parse(p.root / "out/detections.json");
  auto const map = read_labels(p.root / "out/instances/a.png");
  REQUIRE(detections.size() >= 4);
  std::size_t of_a = 0;
  for (std::size_t i = 0; i < detections.size(); ++i) {
    auto const& d = detections[i];
    CHECK(d.at("id") == i + 1);
    CHECK((d.at("category_id") == 3 || d.at("category_id") == 7));
    if (d.at("image_id") != 1) continue;
    ++of_a;
    CHECK(d.at("segmentation").at("size") == json::array({21, 34}));
    auto const n = d.at("instance").get<std::int32_t>();
    CHECK(d.at("area") == std::count(map.cells().begin(), map.cells().end(), n));
  }
  CHECK(of_a == static_cast<std::size_t>(*std::max_element(map.cells().begin(), map.cells().end())));

  auto const manifest = parse(p.root / "out/manifest.json");
  CHECK(manifest.at("images_labelled") == 2);
  CHECK(manifest.at("parameters").at("beta") == 10);
  CHECK(manifest.at("images")[0].at("inputs").contains("displacement"));
  CHECK(manifest.at("images")[0].at("outputs").contains("overlay/a.jpg"));
  auto const scores = parse(p.root / "out/scores.json");
  CHECK(scores.at("miou").get<double>() > scores.at("cam_miou").get<double>());  // b is tagged against its truth
  CHECK(scores.at("ap50").get<double>() > 0.3);
  CHECK(contains(r.out, "mIoU"));
}

TEST_CASE("label walks with rounded weights where asked", "[label][property]")
{
  playground p;
  p.add("a");
  REQUIRE(label(p, usual(p, "full", {"--keep-scores"})).status == 0);
  REQUIRE(label(p, usual(p, "rounded", {"--keep-scores", "--walk-weights", "bfloat16"})).status == 0);
  CHECK(parse(p.root / "full/manifest.json").at("parameters").at("walk_weights") == "full");
  CHECK(parse(p.root / "rounded/manifest.json").at("parameters").at("walk_weights") == "bfloat16");
  CHECK(everything(p.root / "rounded/scores") != everything(p.root / "full/scores"));
  auto const full = read_labels(p.root / "full/semantic/a.png"),
             rounded = read_labels(p.root / "rounded/semantic/a.png");
  int changed = 0;
  for (std::size_t i = 0; i < full.cells().size(); ++i) changed += full.cells()[i] != rounded.cells()[i];
  CHECK(changed <= full.size() / 100);
  auto const wrong = label(p, usual(p, "out", {"--walk-weights", "half"}));
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "--walk-weights"));
  CHECK(!fs::exists(p.root / "out"));
}

TEST_CASE("label finds ids, flat and nested, and takes them from a list", "[label][property]")
{
  playground p;
  for (auto const id : {"x_1", "x_2", "x_10"}) p.add(id);
  auto const flat = label(p, usual(p, "flat"));
  REQUIRE(flat.status == 0);
  CHECK(everything(p.root / "flat/semantic").size() == 3);

  for (auto const id : {"x_1", "x_2", "x_10"}) {
    fs::create_directories(p.root / "nested" / id);
    fs::copy(p.root / "images" / (std::string(id) + ".jpg"), p.root / "nested" / id / "image.jpg");
    fs::copy(p.root / "cams" / (std::string(id) + ".npy"), p.root / "nested" / id / "cam.npy");
    fs::copy(p.root / "edges" / (std::string(id) + ".npy"), p.root / "nested" / id / (std::string(id) + "_edge.npy"));
  }
  auto const nested = label(p, {"--images", p.at("nested/{id}/image.jpg"), "--cams", p.at("nested/{id}/cam.npy"),
                                "--boundaries", p.at("nested/{id}/{id}_edge.npy"), "--out", p.at("deep")});
  REQUIRE(nested.status == 0);
  CHECK(everything(p.root / "deep") == everything(p.root / "flat"));

  replace_file(p.root / "ids", "# a comment\r\nx_10\r\n\r\nx_1\r\n");
  auto const listed = label(p, usual(p, "listed", {"--ids", p.at("ids")}));
  REQUIRE(listed.status == 0);
  auto const manifest = parse(p.root / "listed/manifest.json");
  CHECK(manifest.at("images")[0].at("name") == "x_10");  // in the order of the list
  CHECK(manifest.at("images")[0].at("id") == 1);
}

TEST_CASE("ids with blanks, '#' and quotes can be listed and tagged", "[label][property]")
{
  playground p;
  std::vector<std::string> const ids{"img 1",    "img 2",      "img #3", "img # 4",
                                     "photo 12", "\xC3\xA4 b", "#5",     "say \"hi\""};
  for (auto const& id : ids) p.add(id);
  auto const classes = [&](std::string const& out, std::string const& id) {
    auto const map = read_labels(p.root / out / "semantic" / (id + ".png"));
    return std::pair{map(0, 0), map(0, 33)};
  };
  // as people write them, with a mark and the ends of an old Mac
  replace_file(p.root / "tags",
               "\xEF\xBB\xBFimg 1 3 7\rimg 2 5 7\rimg #3 1 2 # two\r\"img # 4\" 4 9\rphoto 12 7 3\r\xC3\xA4 b 8 "
               "9\r\"#5\" 2 1\rsay \"hi\" 6 5\rother 3 4\r");
  auto r = label(p, usual(p, "out", {"--tags", p.at("tags")}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(classes("out", "img 1") == std::pair{3, 7});
  CHECK(classes("out", "img #3") == std::pair{1, 2});
  CHECK(classes("out", "img # 4") == std::pair{4, 9});
  CHECK(classes("out", "photo 12") == std::pair{7, 3});
  CHECK(classes("out", "#5") == std::pair{2, 1});
  CHECK(classes("out", "say \"hi\"") == std::pair{6, 5});

  replace_file(p.root / "ids", "img 1\r\nphoto 12\r\nimg # 4\r\n\"#5\"  # quoted\r\nimg #3");
  r = label(p, usual(p, "some", {"--tags", p.at("tags"), "--ids", p.at("ids")}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(everything(p.root / "some/semantic").size() == 5);
  CHECK(classes("some", "img # 4") == std::pair{4, 9});

  p.add("img");
  r = label(p, usual(p, "two", {"--tags", p.at("tags")}));
  CHECK(r.status == 2);
  CHECK(contains(r.err, "tags:1: 'img' and 'img 1' are both images; write the id in quotes: \"img 1\""));
}

TEST_CASE("UTF-16 lists and tags are named as such", "[label][errors]")
{
  playground p;
  p.add("a");
  for (std::string const& text : {std::string("\xFF\xFE"
                                              "a\0 \0"
                                              "3\0",
                                              8),
                                  std::string("\xFE\xFF\0a\0 \0"
                                              "3",
                                              8)})
    for (auto const flag : {"--ids", "--tags"}) {
      replace_file(p.root / "list", text);
      auto const r = label(p, usual(p, "out", {flag, p.at("list")}));
      CHECK(r.status == 2);
      CHECK(contains(r.err, "list: is UTF-16 text"));
      CHECK_FALSE(fs::exists(p.root / "out"));
    }
}

TEST_CASE("tags that are of none of the images are shown", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  auto const words = usual(p, "out", {"--tags", p.at("tags")});
  for (std::string const other : {"a,3,7", "a;3;7", "a.jpg 3 7", "A 3 7"}) {
    replace_file(p.root / "tags", other + "\n");
    auto const r = label(p, words);
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err,
                   "tags: has a line for none of the images, whose first is 'a'. Its first line is '" + other + "'"));
  }
  replace_file(p.root / "tags", "x 1 2\nb 3 7\n");
  CHECK_FALSE(contains(label(p, words).err, "has a line for none"));
}

TEST_CASE("the flags of one class are no tags", "[label][errors]")
{
  playground p;
  p.add("p1"), p.add("p4");
  for (auto const& id : {"p1", "p4"}) {
    auto cams = read_npy<float, 3>(p.root / "cams" / (std::string(id) + ".npy"));
    grid<float, 3> one(1, cams.shape()[1], cams.shape()[2]);
    std::copy(cams.data(), cams.data() + one.size(), one.data());
    write_npy<3>(p.root / "cams" / (std::string(id) + ".npy"), one);
  }
  auto const with = [&](std::string const& list, std::vector<std::string> more = {}) {
    replace_file(p.root / "list", list);
    more.insert(more.end(), {"--tags", p.at("list")});
    return label(p, usual(p, "out", more));
  };
  for (auto const flags : {"p1  1\np4 -1\n", "p1  1\np4  1\n", "p1 -1\np4 -1\n", "p1 1\np4 -1\n"}) {
    auto const r = with(flags);
    CHECK(r.status == 2);
    CHECK(contains(r.err, "list: these are flags of one class, as in VOC's ImageSets/Main"));
    CHECK_FALSE(fs::exists(p.root / "out"));
  }
  auto r = with("p1  1\np4  1\n", {"--tags-are-classes"});
  CHECK((r.status == 0 && !contains(r.err, "flags of one class")));
  r = with("p1 1\np4 1\n");  // one class, or only its images
  CHECK((r.status == 0 && contains(r.err, "note: " + p.at("list") + ": every image is tagged with class 1 alone")));
  r = with("p1 1\np4 2\n");
  CHECK((r.status == 0 && !contains(r.err, "note")));
  replace_file(p.root / "list", "p1  1\np4 -1\n");
  r = label(p, usual(p, "out", {"--ids", p.at("list")}));
  CHECK((r.status == 2 && contains(r.err, "list:1: '1' stands behind the image 'p1'")));
}

TEST_CASE("a boundary that rounding has carried out of [0,1] is 0 or 1", "[label][property]")
{
  playground p;
  p.add("a");
  auto edge = read_npy<float, 2>(p.root / "edges/a.npy");
  edge(0, 0) = 1, edge(1, 1) = 0;
  write_npy<2>(p.root / "edges/a.npy", edge);
  REQUIRE(label(p, usual(p, "exact")).status == 0);
  edge(0, 0) = 1.0000004f, edge(1, 1) = -4e-7f;
  write_npy<2>(p.root / "edges/a.npy", edge);
  REQUIRE(label(p, usual(p, "near")).status == 0);
  for (auto const folder : {"semantic", "instances"})
    CHECK(everything(p.root / "near" / folder) == everything(p.root / "exact" / folder));
  for (float const v : {1.000001f, -1e-6f}) {
    edge(0, 0) = v;
    write_npy<2>(p.root / "edges/a.npy", edge);
    auto const r = label(p, usual(p, "far"));
    CHECK((r.status == 1 && contains(r.err, "expected a boundary in [0,1]")));
  }
}

TEST_CASE("numeric ids are COCO's image ids", "[label][property]")
{
  playground p;
  p.add("000000000042"), p.add("000000000007");
  REQUIRE(label(p, usual(p, "out")).status == 0);
  auto const manifest = parse(p.root / "out/manifest.json");
  CHECK(manifest.at("images")[0].at("id") == 7);
  CHECK(manifest.at("images")[1].at("id") == 42);
}

TEST_CASE("neither threads nor shards nor resuming change a byte", "[label][property]")
{
  playground p;
  for (int i = 0; i < 7; ++i) p.add("im" + std::to_string(i), 30 + i, 45 - i);
  std::vector<std::string> const truth{"--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                                       p.at("instances/{id}.png")};
  auto const with = [&](std::vector<std::string> more) {
    more.insert(more.end(), truth.begin(), truth.end());
    return more;
  };
  REQUIRE(label(p, usual(p, "whole", with({"--threads", "1"}))).status == 0);
  auto const whole = everything(p.root / "whole");

  SECTION("threads")
  {
    REQUIRE(label(p, usual(p, "many", with({"--threads", "5"}))).status == 0);
    CHECK(everything(p.root / "many") == whole);
  }
  SECTION("shards, more of them than images")
  {
    for (int i = 9; i >= 1; --i)
      REQUIRE(label(p, usual(p, "parts", with({"--shard", std::to_string(i) + "/9"}))).status == 0);
    CHECK(everything(p.root / "parts") == whole);
  }
  SECTION("resuming after part of the outputs was lost or damaged")
  {
    fs::remove(p.root / "whole/records/im2.json");
    fs::remove(p.root / "whole/semantic/im3.png");
    replace_file(p.root / "whole/instances/im4.png", std::string_view("not a png"));
    replace_file(p.root / "whole/records/im5.json", std::string_view("{ half a reco"));
    fs::remove(p.root / "whole/detections.json");
    auto const r = label(p, usual(p, "whole", with({"--resume"})));
    REQUIRE(r.status == 0);
    CHECK(contains(r.out, "4 labelled, 3 kept"));
    CHECK(everything(p.root / "whole") == whole);
  }
  SECTION("other parameters or inputs are not resumed")
  {
    CHECK(contains(label(p, usual(p, "whole", with({"--resume", "--beta", "4"}))).out, "7 labelled, 0 kept"));
    CHECK(contains(label(p, usual(p, "whole", with({"--resume", "--beta", "4"}))).out, "0 labelled, 7 kept"));
    p.add("im1", 30, 30);
    CHECK(contains(label(p, usual(p, "whole", with({"--resume", "--beta", "4"}))).out, "1 labelled, 6 kept"));
  }
}

TEST_CASE("killed at any moment and resumed, the result is the same", "[label][property]")
{
  playground p;
  for (int i = 0; i < 12; ++i) p.add("im" + std::to_string(i), 120, 150);
  REQUIRE(label(p, usual(p, "whole", {"--overlay"})).status == 0);
  auto const whole = everything(p.root / "whole");
  for (int round = 0; round < 6; ++round) {
    pid_t const child =
        start_program(p.root, CAMBIUM_LABEL, usual(p, "killed", {"--overlay", "--resume", "--threads", "2"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(7 + 11 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    // whatever is there under its own name is whole
    for (auto const& [name, content] : everything(p.root / "killed"))
      if (!contains(name, ".partial") && !contains(name, ".json")) CHECK(content == whole.at(name));
  }
  REQUIRE(label(p, usual(p, "killed", {"--overlay", "--resume"})).status == 0);
  CHECK(everything(p.root / "killed") == whole);
}

TEST_CASE("label goes on past a bad file and says which and why", "[label][errors]")
{
  playground p;
  for (auto const id :
       {"good", "missing", "truncated", "shape", "type", "nan", "pickle", "photo", "boundary", "channels"})
    p.add(id);
  fs::remove(p.root / "cams/missing.npy");
  auto cut = read_file(p.root / "cams/truncated.npy");
  cut.resize(cut.size() - 5);
  replace_file(p.root / "cams/truncated.npy", cut);
  write_npy<3>(p.root / "cams/shape.npy", grid<float, 3>(2, 6, 8));
  write_npy<3>(p.root / "cams/type.npy", grid<std::int64_t, 3>(2, 6, 9));
  auto bad = read_npy<float, 3>(p.root / "cams/nan.npy");
  bad(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  write_npy<3>(p.root / "cams/nan.npy", bad);
  std::string const header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }\n";
  replace_file(p.root / "cams/pickle.npy", "\x93NUMPY\x01" + std::string(1, '\0') + static_cast<char>(header.size()) +
                                               std::string(1, '\0') + header);
  auto photo = read_file(p.root / "images/photo.jpg");
  photo.resize(photo.size() / 2);
  replace_file(p.root / "images/photo.jpg", photo);
  auto edge = read_npy<float, 2>(p.root / "edges/boundary.npy");
  edge(0, 1) = 1.5f;
  write_npy<2>(p.root / "edges/boundary.npy", edge);
  replace_file(p.root / "tags",
               "good 1 2\ntruncated 1 2\nshape 1 2\ntype 1 2\nnan 1 2\npickle 1 2\nphoto 1 2\nboundary 1 2\nmissing 1 "
               "2\nchannels 1 2 3\n");

  auto const r = label(p, usual(p, "out", {"--tags", p.at("tags")}));
  INFO(r.err);
  CHECK(r.status == 1);
  CHECK(contains(r.out, "1 labelled, 0 kept from before, 9 failed"));
  CHECK(contains(r.err, "cams/missing.npy: No such file"));
  CHECK(contains(r.err, "cams/truncated.npy: is truncated"));
  CHECK(contains(r.err, "cams/shape.npy: the image is 21 x 34, so [C,6,9] is needed; it holds [2,6,8]"));
  CHECK(contains(r.err, "cams/type.npy: holds int64 [2,6,9]; float16, float32 or float64 is needed"));
  CHECK(contains(r.err, "cams/nan.npy: value(1,2,3) is nan"));
  CHECK(contains(r.err, "cams/pickle.npy: holds pickled Python objects"));
  CHECK(contains(r.err, "images/photo.jpg: "));
  CHECK(contains(r.err, "edges/boundary.npy: value(0,1) is 1.5"));
  CHECK(contains(r.err, "names 3 classes for 'channels', but its CAM has 2 channels"));
  CHECK(everything(p.root / "out/semantic").size() == 1);
  CHECK(parse(p.root / "out/manifest.json").at("images_labelled") == 1);

  SECTION("what an earlier run wrote for an image that now fails does not stay behind")
  {
    fs::remove(p.root / "edges/good.npy");
    CHECK(label(p, usual(p, "out", {"--tags", p.at("tags")})).status == 1);
    CHECK(everything(p.root / "out/semantic").empty());
    CHECK(parse(p.root / "out/detections.json").empty());
  }
}

TEST_CASE("small sets work", "[label][errors]")
{
  playground p;
  p.add("only", 1, 1);
  REQUIRE(label(p, usual(p, "one")).status == 0);
  // nothing scores: no instance, everything background, no error
  write_npy<3>(p.root / "cams/only.npy", grid<float, 3>(2, 1, 1));
  REQUIRE(label(p, usual(p, "none")).status == 0);
  CHECK(parse(p.root / "none/detections.json").empty());
  CHECK(read_labels(p.root / "none/semantic/only.png")(0, 0) == 0);
  // no class at all
  write_npy<3>(p.root / "cams/only.npy", grid<float, 3>(0, 1, 1));
  replace_file(p.root / "tags", "only\n");
  REQUIRE(label(p, usual(p, "empty", {"--tags", p.at("tags")})).status == 0);
  CHECK(parse(p.root / "empty/detections.json").empty());
}

TEST_CASE("usage errors are status 2 and write nothing", "[label][errors]")
{
  playground p;
  p.add("a");
  auto const refused = [&](std::vector<std::string> const& words, std::string const& says) {
    auto const r = label(p, words);
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, says));
    CHECK_FALSE(fs::exists(p.root / "out"));
  };
  refused({}, "--images");
  refused(usual(p, "out", {"--exp-times", "256"}), "--exp-times");
  replace_file(p.root / "two", "x/a\nx//a\n");
  refused(usual(p, "out", {"--ids", p.at("two")}), "two:2: 'x//a' has two slashes in a row");
  replace_file(p.root / "feed", "a\f\n");
  refused(usual(p, "out", {"--ids", p.at("feed")}), "feed:1: 'a\f' holds control characters");
  refused(usual(p, "out", {"--shard", "0/3"}), "1 <= I <= N");
  refused(usual(p, "out", {"--shard", "4/3"}), "1 <= I <= N");
  refused(usual(p, "out", {"--shard", "1/3x"}), "I/N");
  refused(usual(p, "out", {"--beta", "ten"}), "--beta");
  refused(usual(p, "out", {"--beta", "-3"}), "--beta: -3 is not a positive number");
  refused(usual(p, "out", {"--scale", "group"}), "--scale: group not in {image,class,instance}");
  refused(usual(p, "out", {"--sem-seg-bg-thres", "25"}), "--sem-seg-bg-thres");
  refused(usual(p, "out", {"--beta", "nan"}), "--beta: nan is not a positive number");
  refused(usual(p, "out", {"--tolerance", "nan"}), "--tolerance: Value nan not in range");
  refused(usual(p, "out", {"--max-fragment-size", "nan"}), "--max-fragment-size: Value nan not in range");
  refused(usual(p, "out", {"--truth-instances", p.at("instances/{id}.png")}), "--truth-semantic");
  refused({"--images", p.at("images/a.jpg"), "--cams", p.at("cams/{id}.npy"), "--boundaries", p.at("edges/{id}.npy"),
           "--out", p.at("out")},
          "must contain {id}");
  refused({"--images", p.at("nowhere/{id}.jpg"), "--cams", p.at("cams/{id}.npy"), "--boundaries",
           p.at("edges/{id}.npy"), "--out", p.at("out")},
          "nowhere");
  auto const list = [&](std::string const& content) {
    replace_file(p.root / "list", content);
    return usual(p, "out", {"--ids", p.at("list")});
  };
  refused(list("a\na\n"), "list:2: 'a' is listed twice");
  refused(list("../a\n"), "outside the output folder");
  refused(list("/etc/passwd\n"), "outside the output folder");
  refused(list("\n# nothing\n"), "lists no image");
  auto const tagged = [&](std::string const& content) {
    replace_file(p.root / "list", content);
    return usual(p, "out", {"--tags", p.at("list")});
  };
  refused(tagged("a 0 1\n"), "--zero-based");
  refused(tagged("a 1 dog\n"), "'dog' is not a class number");
  refused(tagged("a 1 1\n"), "named twice");
  refused(tagged("a 1 1\n# b\nx dog\na 2\na 0\n"), "list:1: class 1 is named twice; lines that are wrong, too: 5\n");
  refused(tagged("a 1\na 2\n"), "two lines");
  refused(tagged("a 300\n"), "outside 1..254");
  refused(tagged("a 99999999999999999999\n"), "class 99999999999999999999 is outside 1..254\n");
}

TEST_CASE("a second run leaves nothing of the first that it did not make", "[label][property]")
{
  playground p;
  p.add("a");
  auto const truth = std::vector<std::string>{"--truth-semantic", p.at("semantic/{id}.png"), "--overlay"};
  REQUIRE(label(p, usual(p, "out", truth)).status == 0);
  REQUIRE(fs::exists(p.root / "out/scores.json"));
  REQUIRE(fs::exists(p.root / "out/overlay/a.jpg"));
  REQUIRE(label(p, usual(p, "out", {"--beta", "5"})).status == 0);
  CHECK_FALSE(fs::exists(p.root / "out/scores.json"));
  CHECK_FALSE(fs::exists(p.root / "out/overlay/a.jpg"));
}

TEST_CASE("where labels cannot be written, nothing is lost", "[label][errors]")
{
  playground p;
  p.add("a");
  REQUIRE(label(p, usual(p, "out")).status == 0);
  fs::remove_all(p.root / "out/instances");
  replace_file(p.root / "out/instances", "a file where a folder should be");
  auto r = label(p, usual(p, "out", {"--beta", "5"}));
  CHECK(r.status == 1);
  CHECK(contains(r.err, "out/instances/a.png: cannot make its folder"));
  CHECK(fs::exists(p.root / "out/semantic/a.png"));
  CHECK(fs::exists(p.root / "out/records/a.json"));
  r = label(p, usual(p, "edges/a.npy"));
  CHECK(r.status == 2);
  CHECK(contains(r.err, "--out " + p.at("edges/a.npy")));
}

TEST_CASE("a dry run counts, estimates and writes nothing", "[label][property]")
{
  playground p;
  p.add("a"), p.add("b");
  auto r = label(p, usual(p, "out", {"--dry-run"}));
  CHECK(r.status == 0);
  CHECK(contains(r.out, "2 images listed, 2 in this run, 0 files missing"));
  CHECK(contains(r.out, "MB of memory"));
  CHECK_FALSE(fs::exists(p.root / "out"));
  fs::remove(p.root / "edges/b.npy");
  r = label(p, usual(p, "out", {"--dry-run"}));
  CHECK(r.status == 1);
  CHECK(contains(r.err, "edges/b.npy: is missing"));
}

TEST_CASE("the memory that a dry run tells is what a run takes", "[label][property]")
{
  if (sanitized) return;  // sanitizers take memory of their own
  playground p;
  p.add("a", 2000, 2300);
  auto more = GENERATE(std::vector<std::string>{}, std::vector<std::string>{"--tile", "512", "--overlap", "128"});
  more.insert(more.end(), {"--exp-times", "1"});
  auto rehearsal = more;
  rehearsal.push_back("--dry-run");
  auto const dry = label(p, usual(p, "out", rehearsal));
  INFO(dry.out << dry.err);
  auto const at = dry.out.find(" MB of memory"), begin = dry.out.rfind(' ', at - 1);
  REQUIRE((at != std::string::npos && begin != std::string::npos));
  double const told = std::stod(dry.out.substr(begin, at - begin)) * 1e6;
  rusage used{};
  pid_t const child = start_program(p.root, CAMBIUM_LABEL, usual(p, "out", more));
  int status = 0;
  REQUIRE(::wait4(child, &status, 0, &used) == child);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  double const taken = static_cast<double>(used.ru_maxrss) * 1024;
  CAPTURE(told, taken);
  CHECK(std::abs(told - taken) < 0.2 * taken);
}

TEST_CASE("classes may count from zero, and parameters have the original's names", "[label][property]")
{
  playground p;
  p.add("a");
  replace_file(p.root / "ones", "a 4 8\n");
  replace_file(p.root / "zeros", "a 3 7\n");
  REQUIRE(label(p, usual(p, "one", {"--tags", p.at("ones"), "--exp_times", "6", "--ins_seg_bg_thres", "0.3"})).status ==
          0);
  REQUIRE(label(p, usual(p, "zero",
                         {"--tags", p.at("zeros"), "--zero-based", "--exp-times", "6", "--ins-seg-bg-thres", "0.3"}))
              .status == 0);
  CHECK(everything(p.root / "one/semantic") == everything(p.root / "zero/semantic"));
  CHECK(read_labels(p.root / "one/semantic/a.png")(0, 0) == 4);
}

TEST_CASE("truth masks of 0/255 score 100.00 and sweep recommends by it", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  std::vector<std::string> const truth{"--truth-semantic", p.at("mask/{id}.png"), "--truth-instances",
                                       p.at("mask/{id}.png")};
  auto const with = [&](std::vector<std::string> more) {
    more.insert(more.end(), truth.begin(), truth.end());
    return more;
  };
  auto const mask = [&](std::string const& id, std::int32_t number) {
    grid<std::int32_t, 2> map(21, 34);
    for (index_t y = 0; y < 21; ++y)
      for (index_t x = 0; x < 17; ++x) map(y, x) = number;
    replace_file(p.root / "mask" / (id + ".png"), format_labels(map, voc_palette()));
  };
  std::string const said =
      "mask/a.png: the truth has no pixel of any class, here and in all 2 maps; it holds only 0 and "
      "255 as a binary mask does, but 255 is void: write the number of the class or object instead";
  mask("a", 255), mask("b", 255);
  for (auto const& more : {std::vector<std::string>{}, {"--dry-run"}}) {
    auto const r = label(p, usual(p, "out", with(more)));
    INFO(r.err << r.out);
    CHECK(r.status == 2);
    CHECK(contains(r.err, said));
    CHECK_FALSE(fs::exists(p.root / "out"));
  }
  REQUIRE(label(p, usual(p, "out", {"--keep-scores"})).status == 0);
  auto r = sweep(p, truth);
  INFO(r.err << r.out);
  CHECK((r.status == 2 && contains(r.err, said) && !contains(r.out, "best")));
  CHECK_FALSE(fs::exists(p.root / "out/sweep.json"));

  SECTION("the same masks of 0/1 are a truth")
  {
    mask("a", 1), mask("b", 1);
    auto const good = label(p, usual(p, "out", with({"--keep-scores"})));
    CHECK(good.status == 0);
    auto const scores = parse(p.root / "out/scores.json");
    CHECK(scores.at("iou").at("1").get<double>() > 0.5);
    CHECK(scores.at("ap50") == 1);
    CHECK(!contains(good.err, "no pixel"));
    CHECK(sweep(p, truth).status == 0);
    CHECK(parse(p.root / "out/sweep.json").at("plain").contains("best_miou"));
  }
  SECTION("where one map has classes, the other is named")
  {
    mask("a", 1);
    auto const mixed = label(p, usual(p, "out", with({"--keep-scores"})));
    CHECK(mixed.status == 0);
    CHECK(contains(mixed.err, "note: the truth of 1 of 2 images has no pixel of any class, only 0 and 255 (b)"));
    CHECK(parse(p.root / "out/scores.json").at("images_of_void_only") == 1);
    auto const swept = sweep(p, truth);
    CHECK((swept.status == 0 && contains(swept.err, "note: the truth of 1 of 2 images has no pixel of any class")));
    // and where the image with classes fails, there is nothing to score by
    fs::remove(p.root / "edges/a.npy");
    auto const left = label(p, usual(p, "out", with({})));
    CHECK(left.status == 1);
    CHECK(!contains(left.out, "100.00"));
    CHECK(contains(left.err, "the images that were scored has no pixel of any class: there is no mIoU"));
    CHECK(parse(p.root / "out/scores.json").at("miou").is_null());
    CHECK(parse(p.root / "out/scores.json").at("iou").empty());
  }
  SECTION("where classes are right, but instances are 0/255")
  {
    auto const objects = label(
        p,
        usual(p, "other", {"--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances", p.at("mask/{id}.png")}));
    CHECK(objects.status == 2);
    CHECK(contains(objects.err, "mask/a.png: the truth has no pixel of any instance"));
  }
  SECTION("a truth of background alone")
  {
    mask("a", 0), mask("b", 0);
    auto const empty = label(p, usual(p, "other", with({})));
    CHECK(empty.status == 2);
    CHECK(contains(empty.err, "no pixel of any class, here and in all 2 maps\n"));
  }
}

TEST_CASE("a truth whose numbers were lost is named", "[label][errors]")
{
  playground p;
  p.add("a");
  std::vector<std::string> const truth{"--truth-semantic", p.at("semantic/{id}.png")};
  auto const put = [&](bytes const& file) { replace_file(p.root / "semantic/a.png", file); };
  auto const run = [&] { return label(p, usual(p, "out", truth)); };
  grid<std::int32_t, 2> map(21, 34);
  auto const fill = [&](std::int32_t left, std::int32_t right) {
    for (index_t y = 0; y < 21; ++y)
      for (index_t x = 0; x < 34; ++x) map(y, x) = x < 17 ? left : right;
  };
  fill(38, 75);
  put(format_ids(map));
  auto const grey = run();
  CHECK(grey.status == 0);
  CHECK(contains(grey.err,
                 "note: the truth has classes that were not looked for (38, 75); its numbers are the grey "
                 "values of VOC's colours"));
  fill(26001, 7);
  put(format_ids(map));
  CHECK(contains(run().err, "semantic/a.png: a class is above 255; 26001 is class and object together"));
  fill(300, 7);
  put(format_ids(map));
  CHECK(contains(run().err, "semantic/a.png: a class is above 255; is this a map of instances?"));
  grid<std::uint8_t, 3> colours(21, 34, 3);
  for (index_t y = 0; y < 21; ++y) colours(y, 3, 0) = 128;
  put(format_photograph_png(colours));
  CHECK(contains(run().err,
                 "semantic/a.png: is a colour image; a label map has one channel of indices or grey values: "
                 "its colours are those of VOC's palette"));
  put(format_jpeg(colours));
  CHECK(contains(run().err, "semantic/a.png: is a JPEG, whose compression changes numbers"));
}

TEST_CASE("maps in other axes are refused by irnet", "[label][errors]")
{
  playground p;
  p.add("a");
  auto const cams = read_npy<float, 3>(p.root / "cams/a.npy"), field = read_npy<float, 3>(p.root / "fields/a.npy");
  auto const edge = read_npy<float, 2>(p.root / "edges/a.npy");
  auto const run = [&] { return label(p, usual(p, "out", {"--displacements", p.at("fields/{id}.npy")})).err; };
  CHECK(!contains(run(), "failed"));
  write_npy<3>(p.root / "cams/a.npy", grid<float, 3>(6, 9, 2));
  CHECK(contains(run(),
                 "cams/a.npy: the image is 21 x 34, so [C,6,9] is needed; it holds [6,9,2]; it looks like "
                 "[h,w,C]: numpy.moveaxis(a, -1, 0) makes [C,h,w] of it"));
  write_npy<3>(p.root / "cams/a.npy", grid<float, 3>(2, 9, 6));
  CHECK(contains(run(), "it looks like [C,w,h]: numpy.swapaxes(a, 1, 2)"));
  write_npy<3>(p.root / "cams/a.npy", grid<float, 3>(2, 21, 34));
  CHECK(contains(run(), "it holds [2,21,34]; that is the image's size: of IRNet's own files 'cam' is needed"));
  write_npy<3>(p.root / "cams/a.npy", cams);
  write_npy<3>(p.root / "fields/a.npy", grid<float, 3>(6, 9, 2));
  CHECK(contains(run(),
                 "fields/a.npy: the image is 21 x 34, so [2,6,9] is needed; it holds [6,9,2]; it looks like [h,w"));
  write_npy<3>(p.root / "fields/a.npy", field);
  write_npy<2>(p.root / "edges/a.npy", grid<float, 2>(9, 6));
  CHECK(contains(run(),
                 "edges/a.npy: the image is 21 x 34, so [6,9] is needed; it holds [9,6]; it looks like [w,h]: "
                 "numpy.transpose(a)"));
  write_npy<2>(p.root / "edges/a.npy", grid<float, 2>(21, 34));
  CHECK(contains(run(), "it holds [21,34]; that is the image's size: maps of stride 4 are needed"));
  auto grey = edge;
  for (auto& v : grey.cells()) v *= 255;
  write_npy<2>(p.root / "edges/a.npy", grey);
  CHECK(contains(run(), "expected a boundary in [0,1]; if this is a picture of 0..255, divide it by 255"));
  // a batch of one is what it holds
  grid<float, 4> batch(1, cams.shape()[0], cams.shape()[1], cams.shape()[2]);
  std::copy(cams.cells().begin(), cams.cells().end(), batch.data());
  write_npy<4>(p.root / "cams/a.npy", batch), write_npy<2>(p.root / "edges/a.npy", edge);
  CHECK(!contains(run(), "failed"));
}

TEST_CASE("label goes on past a bad file in the truth, too", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  replace_file(p.root / "semantic/b.png", format_labels(grid<std::int32_t, 2>(5, 5), voc_palette()));
  auto const r = label(p, usual(p, "out", {"--truth-semantic", p.at("semantic/{id}.png")}));
  CHECK(r.status == 1);
  CHECK(contains(r.err, "semantic/b.png: the image is 21 x 34, so the truth cannot be 5 x 5"));
  replace_file(p.root / "semantic/b.png", format_labels(grid<std::int32_t, 2>(34, 21), voc_palette()));
  CHECK(contains(label(p, usual(p, "out", {"--truth-semantic", p.at("semantic/{id}.png")})).err,
                 "cannot be 34 x 21; perhaps a tool has turned the photograph by its EXIF orientation"));
}

TEST_CASE("tiles give the labels of the whole", "[label][property]")
{
  playground p;
  p.add("a", 90, 120), p.add("b", 40, 25);
  auto const few = {"--exp-times", "2", "--radius", "3"};
  for (auto const& [name, field] : {std::pair{"components", false}, {"displacement", true}}) {
    std::vector<std::string> more(few.begin(), few.end());
    if (field) more.insert(more.end(), {"--displacements", p.at("fields/{id}.npy")});
    REQUIRE(label(p, usual(p, std::string("whole_") + name, more)).status == 0);
    more.insert(more.end(), {"--tile", "24", "--overlap", "40"});
    auto const r = label(p, usual(p, std::string("tiled_") + name, more));
    INFO(r.err);
    REQUIRE(r.status == 0);
    for (auto const folder : {"semantic", "instances"})
      CHECK(everything(p.root / (std::string("whole_") + name) / folder) ==
            everything(p.root / (std::string("tiled_") + name) / folder));
    CHECK(parse(p.root / (std::string("tiled_") + name) / "manifest.json").at("parameters").at("tile") == 24);
  }
}

TEST_CASE("the CRF follows the photograph", "[label][property]")
{
  playground p;
  p.add("a", 60, 80);
  grid<std::uint8_t, 3> photograph(60, 80, 3);  // an edge at column 30, where labels have none
  for (index_t y = 0; y < 60; ++y)
    for (index_t x = 0; x < 80; ++x)
      for (index_t c = 0; c < 3; ++c) photograph(y, x, c) = x < 30 ? 40 : 200;
  replace_file(p.root / "images/a.jpg", format_photograph_png(photograph));
  REQUIRE(label(p, usual(p, "plain")).status == 0);
  REQUIRE(label(p, usual(p, "refined", {"--crf"})).status == 0);
  auto const plain = read_labels(p.root / "plain/semantic/a.png"),
             refined = read_labels(p.root / "refined/semantic/a.png");
  index_t left = 0, right = 0;
  for (index_t y = 0; y < 60; ++y) left += refined(y, 29) == 1, right += refined(y, 30) == 1;
  CHECK(left > 55);
  CHECK(right < 5);
  CHECK(!(plain == refined));
  CHECK(everything(p.root / "plain/instances") == everything(p.root / "refined/instances"));
}

TEST_CASE("PAR and PAMR follow the photograph, and exclude the CRF", "[label][property]")
{
  playground p;
  p.add("a", 60, 80);
  grid<std::uint8_t, 3> photograph(60, 80, 3);  // an edge at column 30, where labels have none
  for (index_t y = 0; y < 60; ++y)
    for (index_t x = 0; x < 80; ++x)
      for (index_t c = 0; c < 3; ++c)
        photograph(y, x, c) = static_cast<std::uint8_t>((x < 30 ? 40 : 160) + (x * x + 31 * y * y + 17 * x * y) % 53);
  replace_file(p.root / "images/a.jpg", format_photograph_png(photograph));
  REQUIRE(label(p, usual(p, "plain")).status == 0);
  auto const plain = read_labels(p.root / "plain/semantic/a.png");
  for (std::string const how : {"par", "pamr"}) {
    CAPTURE(how);
    REQUIRE(label(p, usual(p, how, {"--refine", how})).status == 0);
    auto const refined = read_labels(p.root / how / "semantic/a.png");
    // Pixels of another label than the one most of their side has: fewer than before.
    auto const odd = [](grid<std::int32_t, 2> const& map) {
      std::map<std::int32_t, index_t> side[2];
      for (index_t y = 0; y < 60; ++y)
        for (index_t x = 0; x < 80; ++x) ++side[x >= 30][map(y, x)];
      index_t n = 60 * 80;
      for (auto const& s : side) {
        index_t most = 0;
        for (auto const& [l, count] : s) most = std::max(most, count);
        n -= most;
      }
      return n;
    };
    CHECK(odd(refined) < odd(plain));
    CHECK(everything(p.root / "plain/instances") == everything(p.root / how / "instances"));
    CHECK(parse(p.root / how / "manifest.json").at("parameters").at("refine") == how);
  }
  CHECK(!(read_labels(p.root / "par/semantic/a.png") == read_labels(p.root / "pamr/semantic/a.png")));
  auto const both = label(p, usual(p, "both", {"--crf", "--refine", "par"}));
  CHECK(both.status == 2);
  CHECK(contains(both.err, "--crf and --refine: give one of the two"));
  CHECK(label(p, usual(p, "odd", {"--refine", "crf"})).status == 2);
  auto const asked = label(p, usual(p, "dry", {"--dry-run", "--refine", "par"}));
  CHECK(asked.status == 0);
}

TEST_CASE("sweep tries thresholds and finds what label would have made", "[label][same]")
{
  playground p;
  p.add("a"), p.add("b", 40, 25);
  replace_file(p.root / "tags", "a 3 7\nb 3 7\n");
  std::vector<std::string> const truth{"--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                                       p.at("instances/{id}.png")};
  for (bool const field : {false, true}) {
    std::vector<std::string> more{"--tags", p.at("tags")};
    if (field) more.insert(more.end(), {"--displacements", p.at("fields/{id}.npy")});
    auto kept = more;
    kept.push_back("--keep-scores");
    REQUIRE(label(p, usual(p, "out", kept)).status == 0);
    auto const r = sweep(p, truth);
    INFO(r.err << r.out);
    REQUIRE(r.status == 0);
    auto const curve = parse(p.root / "out/sweep.json").at("plain").at("curve");
    REQUIRE(curve.size() == 19);
    more.insert(more.end(), truth.begin(), truth.end());
    for (std::size_t const i : {0u, 4u, 11u}) {
      auto at = more;
      auto const t = std::to_string(curve[i].at("background").get<double>());
      at.insert(at.end(), {"--sem-seg-bg-thres", t, "--ins-seg-bg-thres", t});
      REQUIRE(label(p, usual(p, "one", at)).status == 0);
      auto const scores = parse(p.root / "one/scores.json");
      CHECK(scores.at("miou").get<double>() == Approx(curve[i].at("miou").get<double>()).margin(1e-3));
      CHECK(scores.at("ap50").get<double>() == Approx(curve[i].at("ap50").get<double>()).margin(1e-3));
    }
  }
  CHECK(contains(sweep(p, {"--from", "0.2", "--to", "0.3", "--crf", "--images", p.at("images/{id}.jpg")}).out,
                 "labels after the CRF"));
  auto const adapted = sweep(p, {"--from", "0.2", "--to", "0.3", "--crf", "--refine", "par", "--images",
                                 p.at("images/{id}.jpg"), "--truth-semantic", p.at("semantic/{id}.png")});
  CHECK((contains(adapted.out, "labels after the CRF") && contains(adapted.out, "labels after PAR")));
  auto const line = parse(p.root / "out/sweep.json").at("par").at("curve")[1];
  REQUIRE(label(p, usual(p, "adapted",
                         {"--tags", p.at("tags"), "--displacements", p.at("fields/{id}.npy"), "--refine", "par",
                          "--sem-seg-bg-thres", "0.25", "--truth-semantic", p.at("semantic/{id}.png")}))
              .status == 0);
  CHECK(parse(p.root / "adapted/scores.json").at("miou").get<double>() ==
        Approx(line.at("miou").get<double>()).margin(1e-3));
}

TEST_CASE("sweep judges thresholds without the truth", "[label][property]")
{
  playground p;
  p.add("a"), p.add("b");
  REQUIRE(label(p, usual(p, "out", {"--keep-scores"})).status == 0);
  REQUIRE(sweep(p, {}).status == 0);
  auto const by_cam = parse(p.root / "out/sweep.json").at("plain");
  CHECK(by_cam.at("curve")[3].at("survive") == 1);
  CHECK(by_cam.at("curve")[3].at("clean") == 1);
  CHECK(by_cam.at("curve")[18].at("survive").get<double>() < 1);  // a weaker class is gone at 0.95
  CHECK(by_cam.at("chosen").get<double>() < 0.9);
  CHECK(!by_cam.at("curve")[3].contains("miou"));

  replace_file(p.root / "shown", "a 1\nb 1 2\n");  // image a does not show class 2, which its labels have
  REQUIRE(sweep(p, {"--image-labels", p.at("shown")}).status == 0);
  CHECK(parse(p.root / "out/sweep.json").at("plain").at("curve")[3].at("clean") == 0.5);
}

TEST_CASE("sweep gives the same table on every run and for every number of threads", "[label][property]")
{
  playground p;
  std::vector<std::string> const truth{"--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                                       p.at("instances/{id}.png")};
  for (auto const id : {"a", "b", "c", "d", "e", "f"}) p.add(id);  // their best scores are all 1: ties
  replace_file(p.root / "tags", "a 3 7\nb 7 3\nc 3 7\nd 7 3\ne 3 7\nf 7 3\n");
  grid<std::int32_t, 2> const nothing(21, 34);
  replace_file(p.root / "instances/a.png", format_ids(nothing));  // the first image has no object
  REQUIRE(label(p, usual(p, "out", {"--tags", p.at("tags"), "--keep-scores"})).status == 0);
  std::string first;
  for (auto const threads : {"1", "2", "5", "2", "5"}) {
    auto words = truth;
    words.insert(words.end(), {"--threads", threads});
    REQUIRE(sweep(p, words).status == 0);
    auto const now = text_of(p.root / "out/sweep.json");
    if (first.empty()) first = now;
    CHECK(now == first);
  }
  CHECK(parse(p.root / "out/sweep.json").at("plain").at("curve")[0].contains("ap50"));
}

TEST_CASE("a damaged record is a message, not a crash", "[label][errors]")
{
  playground p;
  p.add("a");
  replace_file(p.root / "tags", "a 3 7\n");
  auto const words = usual(p, "out",
                           {"--tags", p.at("tags"), "--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                            p.at("instances/{id}.png")});
  REQUIRE(label(p, words).status == 0);
  auto const whole = parse(p.root / "out/records/a.json");
  for (int const part : {0, 1}) {
    auto record = whole;
    if (part == 0) record["truth"]["iou"] = std::vector<double>(5000, 0.5);
    if (part == 1) record["truth"]["confusion"] = {{999, 2, 3}};
    replace_file(p.root / "out/records/a.json", record.dump());
    auto again = words;
    again.insert(again.end(), {"--resume"});
    auto const r = label(p, again);
    CAPTURE(part, r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "the summary could not be written: a record's"));
  }
}

TEST_CASE("sweep says what is wrong", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  REQUIRE(label(p, usual(p, "out")).status == 0);
  auto const without = sweep(p, {});
  CHECK((without.status == 2 && contains(without.err, "without --keep-scores")));
  REQUIRE(label(p, usual(p, "out", {"--keep-scores"})).status == 0);
  for (auto const& [words, said] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--from", "0.5", "--to", "0.2"}, "--from is above --to"},
           {{"--crf"}, "--crf needs --images"},
           {{"--refine", "pamr"}, "--refine needs --images"},
           {{"--truth-instances", "{id}.png"}, "--truth-instances needs --truth-semantic"},
           {{"--truth-semantic", "none.png"}, "must contain {id}"},
           {{"--image-labels", p.at("missing")}, "missing"},
           {{"--step", "0"}, "--step"},
           {{"--to", "nan"}, "--to"},
           {{"--from", "0"}, "--from"}}) {
    auto const r = sweep(p, words);
    CAPTURE(said, r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, said));
  }
  auto damaged = read_file(p.root / "out/scores/a.png");
  damaged.back() ^= 1;
  replace_file(p.root / "out/scores/a.png", damaged);
  auto const one_bad = sweep(p, {});
  CHECK(one_bad.status == 1);
  CHECK(contains(one_bad.err, "scores/a.png: is not what its record says"));
  CHECK(contains(one_bad.out, "1 images, 1 failed"));
  auto const both =
      label(p, usual(p, "out", {"--keep-scores", "--tile", "64", "--displacements", p.at("fields/{id}.npy")}));
  CHECK((both.status == 2 && contains(both.err, "--keep-scores with --tile")));
  CHECK(label(p, usual(p, "out", {"--tile", "3"})).status == 2);
}

TEST_CASE("scores that are no longer wanted go away", "[label][property]")
{
  playground p;
  p.add("a");
  REQUIRE(label(p, usual(p, "out", {"--keep-scores"})).status == 0);
  CHECK(fs::exists(p.root / "out/scores/a.png"));
  REQUIRE(label(p, usual(p, "out", {"--keep-scores", "--resume"})).status == 0);
  CHECK(contains(text_of(p.root / "stdout"), "1 kept"));
  REQUIRE(label(p, usual(p, "out")).status == 0);
  CHECK(!fs::exists(p.root / "out/scores/a.png"));
}

TEST_CASE("files that label did not write are never removed", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  for (auto const name : {"semantic", "instances", "scores", "overlay", "trust", "targets"}) {
    replace_file(p.root / "out" / name / "a.png", std::string_view("mine"));
    replace_file(p.root / "out" / name / "b.png", std::string_view("mine"));
  }
  replace_file(p.root / "out/overlay/a.jpg", std::string_view("mine"));
  replace_file(p.root / "out/targets/a.target.npy", std::string_view("mine"));
  replace_file(p.root / "out/scores.json", std::string_view("{\"miou\": 3}"));
  auto const before = everything(p.root / "out");

  SECTION("by an image that fails")
  {
    auto words = usual(p, "out");
    words[3] = p.at("cma/{id}.npy");  // a typo
    auto const r = label(p, words);
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.err, "cma/a.npy: No such file")));
    auto after = everything(p.root / "out");
    for (auto const& [name, content] : before) CHECK((after.contains(name) && after.at(name) == content));
  }
  SECTION("by an image that is labelled: only its own two files are replaced")
  {
    REQUIRE(label(p, usual(p, "out")).status == 0);
    auto after = everything(p.root / "out");
    for (auto const& [name, content] : before) {
      CAPTURE(name);
      bool const own = name.rfind("semantic/", 0) == 0 || name.rfind("instances/", 0) == 0;
      CHECK((after.contains(name) && (after.at(name) == content) != own));
    }
  }
  SECTION("by an image that fails later: what it wrote goes, but not what someone changed since")
  {
    REQUIRE(label(p, usual(p, "out")).status == 0);
    replace_file(p.root / "out/instances/a.png", std::string_view("mended by hand"));
    fs::remove(p.root / "cams/a.npy");
    REQUIRE(label(p, usual(p, "out")).status == 1);
    CHECK_FALSE(fs::exists(p.root / "out/records/a.json"));
    CHECK_FALSE(fs::exists(p.root / "out/semantic/a.png"));
    CHECK(text_of(p.root / "out/instances/a.png") == "mended by hand");
    CHECK(text_of(p.root / "out/overlay/a.jpg") == "mine");
  }
  SECTION("by a record that names other files")
  {
    REQUIRE(label(p, usual(p, "out")).status == 0);
    auto record = parse(p.root / "out/records/a.json");
    record["outputs"]["../edges/b.npy"] = record["outputs"]["semantic/a.png"];
    fs::copy_file(p.root / "out/semantic/a.png", p.root / "out/semantic/c.png");
    record["outputs"]["semantic/c.png"] = record["outputs"]["semantic/a.png"];
    replace_file(p.root / "out/records/a.json", record.dump());
    fs::remove(p.root / "cams/a.npy");
    REQUIRE(label(p, usual(p, "out")).status == 1);
    CHECK(fs::exists(p.root / "edges/b.npy"));
    CHECK(fs::exists(p.root / "out/semantic/c.png"));
    CHECK_FALSE(fs::exists(p.root / "out/semantic/a.png"));
  }
}

TEST_CASE("an image without a CAM is background only if its tags agree", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b"), p.add("c");
  fs::remove(p.root / "cams/b.npy"), fs::remove(p.root / "cams/c.npy");
  replace_file(p.root / "tags", "a 3 7\nb 3 7\nc\n");
  auto const r = label(p, usual(p, "out", {"--tags", p.at("tags"), "--background-without-cam"}));
  INFO(r.err);
  CHECK(r.status == 1);
  CHECK(contains(r.err, "tags: names classes 3 7 for 'b', but " + p.at("cams/b.npy") + " is missing"));
  CHECK_FALSE(fs::exists(p.root / "out/semantic/b.png"));
  auto const background = read_labels(p.root / "out/semantic/c.png");
  CHECK(std::all_of(background.cells().begin(), background.cells().end(), [](auto v) { return v == 0; }));
  CHECK(contains(r.err, "note: " + p.at("cams/{id}.npy") + ": 1 of 2 images have this file"));
  replace_file(p.root / "tags", "a 2 6\nb 6\nc\n");
  auto const zero = label(p, usual(p, "out", {"--tags", p.at("tags"), "--background-without-cam", "--zero-based"}));
  CHECK(contains(zero.err, "names class 6 for 'b'"));
}

TEST_CASE("a template of files that images may lack must match something", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  auto const words = [&](std::string const& cams) {
    return std::vector<std::string>{
        "--images",  p.at("images/{id}.jpg"),   "--cams", p.at(cams), "--boundaries", p.at("edges/{id}.npy"), "--out",
        p.at("out"), "--background-without-cam"};
  };
  auto const refused = [&](std::string const& cams, std::string const& says) {
    for (auto const& more : {std::string(), std::string("--dry-run")}) {
      auto all = words(cams);
      if (!more.empty()) all.push_back(more);
      auto const r = label(p, all);
      INFO(r.err);
      CHECK(r.status == 2);
      CHECK(contains(r.err, says));
      CHECK_FALSE(fs::exists(p.root / "out"));
    }
  };
  refused("cam/{id}.npy", "cam: No such file or directory");
  refused("cams/{id}.heat.npy", "no file matches " + p.at("cams/{id}.heat.npy"));
  SECTION("files of other images are said: the set may be a part of a larger one")
  {
    fs::rename(p.root / "cams/a.npy", p.root / "cams/x.npy"), fs::remove(p.root / "cams/b.npy");
    auto const r = label(p, words("cams/{id}.npy"));
    INFO(r.err);
    CHECK(r.status == 0);
    CHECK(contains(r.err, "has files, of 'x' first, but none of the images, whose first is 'a'"));
    CHECK(contains(r.err, "0 of 2 images have this file"));
  }
  SECTION("a file that is there and cannot be opened fails its image")
  {
    fs::remove(p.root / "cams/b.npy");
    fs::create_symlink("nowhere.npy", p.root / "cams/b.npy");
    auto const r = label(p, words("cams/{id}.npy"));
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.err, "cams/b.npy: No such file")));
    CHECK_FALSE(fs::exists(p.root / "out/semantic/b.png"));
    CHECK(fs::exists(p.root / "out/semantic/a.png"));
  }
  SECTION("a dry run counts them")
  {
    fs::remove(p.root / "cams/b.npy");
    auto all = words("cams/{id}.npy");
    all.push_back("--dry-run");
    auto const r = label(p, all);
    CHECK((r.status == 0 && contains(r.out, "1 of these images have " + p.at("cams/{id}.npy"))));
  }
}

TEST_CASE("files that look like images but are left out are counted", "[label][errors]")
{
  playground p;
  for (auto const id : {"a", "b", "c", "d"}) p.add(id);
  fs::rename(p.root / "images/b.jpg", p.root / "images/b.JPG");
  fs::rename(p.root / "images/c.jpg", p.root / "images/c.Jpg");
  fs::remove(p.root / "images/d.jpg");
  fs::create_symlink("d.jpg", p.root / "images/d.jpg");  // a loop
  auto const r = label(p, usual(p, "out"));
  INFO(r.err);
  CHECK(r.status == 0);
  auto const images = p.at("images/{id}.jpg");
  CHECK(contains(r.err, "note: " + images + ": 2 files with other capitals are left out: b.JPG, ..."));
  CHECK(contains(r.err, "note: " + images + ": 1 file that cannot be opened is left out: " + p.at("images/d.jpg")));
  CHECK(parse(p.root / "out/manifest.json").at("images_listed") == 1);
  auto quiet = usual(p, "out", {"--ids", p.at("ids")});
  replace_file(p.root / "ids", std::string_view("a\n"));
  CHECK_FALSE(contains(label(p, quiet).err, "left out"));
}

TEST_CASE("a name that is not UTF-8 fails its image before anything of it is written", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("caf\xE9");
  for (bool const again : {false, true}) {
    auto const r = label(p, usual(p, "out", again ? std::vector<std::string>{"--resume"} : std::vector<std::string>{}));
    INFO(r.err);
    CHECK(r.status == 1);
    CHECK(contains(r.err, "images/caf\xE9.jpg: the name is not UTF-8"));
    CHECK(everything(p.root / "out/semantic").size() == 1);
    CHECK(everything(p.root / "out/instances").size() == 1);
    CHECK(parse(p.root / "out/manifest.json").at("images_labelled") == 1);
  }
  CHECK(label(p, usual(p, "dry", {"--dry-run"})).status == 1);
}

TEST_CASE("names that look equal are shown byte by byte", "[label][errors]")
{
  playground p;
  p.add("e\xCC\x81");                               // as macOS writes it
  replace_file(p.root / "tags", "\xC3\xA9 3 7\n");  // as keyboards write it
  auto r = label(p, usual(p, "out", {"--tags", p.at("tags")}));
  CHECK(contains(r.err, "tags: has no line for 'e\xCC\x81' (e\\xCC\\x81)"));
  replace_file(p.root / "ids", "e\xCC\x81\xE2\x80\x8B\n");  // a blank of no width
  r = label(p, usual(p, "out", {"--ids", p.at("ids")}));
  INFO(r.err);
  CHECK(contains(r.err, "No such file or directory; the id is 'e\xCC\x81\xE2\x80\x8B' (e\\xCC\\x81\\xE2\\x80\\x8B)"));
}

TEST_CASE("true instances of 0/255, and instances on background, are told", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  auto const draw = [&](std::string const& id, std::int32_t number) {
    grid<std::int32_t, 2> map(21, 34);
    for (index_t y = 0; y < 21; ++y)
      for (index_t x = 0; x < 17; ++x) map(y, x) = number;
    replace_file(p.root / "one" / (id + ".png"), format_labels(map, voc_palette()));
  };
  draw("a", 1), draw("b", 255);
  std::vector<std::string> const truth{"--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                                       p.at("one/{id}.png")};
  auto words = truth;
  words.push_back("--keep-scores");
  std::string const only = "note: the true instances of 1 of 2 images are none, only 0 and 255 (b)";
  auto const r = label(p, usual(p, "out", words));
  INFO(r.err);
  CHECK((r.status == 0 && contains(r.err, only)));
  CHECK_FALSE(contains(r.err, "lie mostly on background"));
  CHECK(contains(sweep(p, truth).err, only));
  // background where the instance of b lies
  draw("b", 1);
  grid<std::int32_t, 2> map(21, 34);
  for (index_t x = 20; x < 34; ++x) map(3, x) = 7;
  replace_file(p.root / "semantic/b.png", format_labels(map, voc_palette()));
  std::string const off =
      "note: 1 true instances of 1 of 2 images lie mostly on background or void of the true classes (b)";
  CHECK(contains(label(p, usual(p, "out", words)).err, off));
  CHECK(contains(sweep(p, truth).err, off));
}

TEST_CASE("sweep chooses no threshold where all are equally bad, and compares the bases of tags", "[label][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  replace_file(p.root / "zero", "a 2 6\nb 2 6\n");
  REQUIRE(label(p, usual(p, "out", {"--keep-scores", "--zero-based", "--tags", p.at("zero")})).status == 0);
  auto const good = sweep(p, {"--image-labels", p.at("zero"), "--zero-based"});
  CHECK(parse(p.root / "out/sweep.json").at("plain").at("chosen").is_number());
  CHECK_FALSE(contains(good.err, "note"));
  auto const bad = sweep(p, {"--image-labels", p.at("zero"), "--truth-semantic", p.at("semantic/{id}.png")});
  INFO(bad.err << bad.out);
  CHECK(bad.status == 0);
  CHECK(contains(bad.err, "names no class of the CAMs of 2 of 2 images (a)"));
  CHECK(contains(bad.err, "Labels were made with --zero-based, this run is without it"));
  CHECK(parse(p.root / "out/sweep.json").at("plain").at("chosen").is_null());
  CHECK(contains(bad.out, "without the truth: - (all products are 0, so none is better)"));
  CHECK_FALSE(contains(bad.out, " <"));
  CHECK(parse(p.root / "out/sweep.json").at("plain").contains("best_miou"));
}

TEST_CASE("CAMs that are too large for a walk are named", "[label][errors]")
{
  playground p;
  p.add("a");
  auto cams = read_npy<float, 3>(p.root / "cams/a.npy");
  for (float& v : cams.cells()) v *= 1e37f;
  write_npy<3>(p.root / "cams/a.npy", cams);
  auto const r = label(p, usual(p, "out"));
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.err, "cams/a.npy: ")));
}
