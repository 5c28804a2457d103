// label --method proposals, run as people run it.

#include "programs/process.hpp"
#include "programs/three_objects.hpp"
#include "support/random.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/rle_masks.hpp>
#include <cambium/io/voc.hpp>

#include <set>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;

namespace {

/// Classes that are right in the middle of each object only.
std::int32_t weak_class_at(index_t y, index_t x)
{
  for (index_t dy : {-4, 4})
    for (index_t dx : {-6, 6})
      if (y + dy < 0 || y + dy >= H || x + dx < 0 || x + dx >= W || object_at(y + dy, x + dx) != object_at(y, x))
        return 0;
  return class_at(y, x);
}

struct playground : scratch {
  std::vector<nlohmann::json> masks;

  template <class Inside>
  void propose(double score, double stability, bool text, Inside const& inside)
  {
    auto const mask = encode_rle({H, W}, {0, 0, H, W}, inside);
    nlohmann::json runs{{"size", {H, W}}};
    if (text)
      runs["counts"] = compressed_counts(mask);
    else
      runs["counts"] = mask.counts;
    masks.push_back({{"segmentation", runs},
                     {"area", mask.area()},
                     {"bbox", coco_box(bounds_of(mask))},
                     {"predicted_iou", score},
                     {"stability_score", stability},
                     {"crop_box", {0, 0, W, H}}});
  }

  playground()
  {
    for (std::int32_t const o : {1, 2, 3}) {
      propose(.9, .98, o != 2, [o](index_t y, index_t x) { return object_at(y, x) == o; });
      // nearly the same, worse: a row less
      propose(.8, .97, true, [o](index_t y, index_t x) { return object_at(y, x) == o && object_at(y - 1, x) == o; });
    }
    propose(.95, .5, true, [](index_t, index_t) { return true; });                       // unstable: the whole image
    propose(.3, .99, true, [](index_t y, index_t) { return y < 30; });                   // a bad one
    propose(.99, .99, true, [](index_t y, index_t x) { return object_at(y, x) == 0; });  // background
    add("a");
  }

  void add(std::string const& id) const
  {
    replace_file(root / "masks" / (id + ".json"), nlohmann::json(masks).dump());
    grid<std::int32_t, 2> semantic(H, W), objects(H, W), weak(H, W);
    grid<float, 3> cams(3, H / 2, W / 2);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        semantic(y, x) = class_at(y, x), objects(y, x) = object_at(y, x), weak(y, x) = weak_class_at(y, x);
        if (weak(y, x) > 0) cams(weak(y, x) - 1, y / 2, x / 2) = .9f;
      }
    write_npy<3>(root / "cams" / (id + ".npy"), cams);
    replace_file(root / "semantic" / (id + ".png"), format_labels(semantic, voc_palette()));
    replace_file(root / "weak" / (id + ".png"), format_labels(weak, voc_palette()));
    replace_file(root / "instances" / (id + ".png"), format_ids(objects));
    replace_file(root / "images" / (id + ".png"), format_photograph_png(grid<std::uint8_t, 3>(H, W, 3)));
    replace_file(root / "points" / (id + ".txt"), std::string_view("20 15 2\n67 15 2 0.9\n40 45 0\n"));
    std::string xml = "<annotation><size><width>90</width><height>60</height></size>";
    auto const object = [&](std::string const& name, int left, int top, int right, int bottom) {
      xml += "<object><name>" + name + "</name><bndbox><xmin>" + std::to_string(left) + "</xmin><ymin>" +
             std::to_string(top) + "</ymin><xmax>" + std::to_string(right) + "</xmax><ymax>" + std::to_string(bottom) +
             "</ymax></bndbox></object>";
    };
    object("bird", 5, 5, 36, 26), object("bird", 50, 5, 86, 24), object("aeroplane", 20, 36, 61, 54);
    replace_file(root / "xml" / (id + ".xml"), xml + "</annotation>");
  }

  outcome run(std::vector<std::string> const& words, std::string const& out = "out") const
  {
    std::vector<std::string> all{"--method", "proposals", "--proposals", at("masks/{id}.json")};
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"--out", at(out)});
    return run_program(root, CAMBIUM_LABEL, all);
  }

  void check_truth(std::string const& id = "a", std::string const& out = "out") const
  {
    CHECK(read_labels(root / out / "semantic" / (id + ".png")) == read_labels(root / "semantic" / (id + ".png")));
    // the same objects; their numbers follow the order of the masks
    auto const have = read_labels(root / out / "instances" / (id + ".png"));
    CHECK(have == read_labels(root / "instances" / (id + ".png")));
  }
};

/// The boxes of image "a" in COCO's form, with a crowd in the lower left corner.
nlohmann::json coco_boxes_of_a()
{
  auto out = nlohmann::json{{"images", {{{"id", 77}, {"file_name", "a.png"}, {"height", H}, {"width", W}}}},
                            {"categories", nlohmann::json::array()},
                            {"annotations", nlohmann::json::array()}};
  for (auto const& [id, name] : {std::pair{9, "bird"}, std::pair{4, "aeroplane"}, std::pair{7, "bicycle"}})
    out["categories"].push_back({{"id", id}, {"name", name}});
  auto const add = [&](int category, std::vector<int> const& bounds) {
    out["annotations"].push_back({{"id", out["annotations"].size() + 1},
                                  {"image_id", 77},
                                  {"category_id", category},
                                  {"bbox", bounds},
                                  {"area", bounds[2] * bounds[3]},
                                  {"iscrowd", 0}});
  };
  add(9, {4, 4, 32, 22}), add(9, {49, 4, 37, 20}), add(4, {19, 35, 42, 19});
  add(9, {0, 56, 10, 4});
  auto counts = nlohmann::json::array();
  for (int column = 0; column < 10; ++column) counts.push_back(56), counts.push_back(4);
  counts.push_back(60 * 80);
  out["annotations"][3]["iscrowd"] = 1;
  out["annotations"][3]["segmentation"] = {{"size", {H, W}}, {"counts", counts}};
  return out;
}

std::string one_line(outcome const& r) { return r.out + r.err; }

}  // namespace

TEST_CASE("masks take the classes of weak labels of four kinds", "[label][proposals][reference]")
{
  playground p;
  std::vector<std::string> const limits{"--min-score", "0.5", "--min-stability", "0.6"};
  auto const run = [&](std::vector<std::string> words) {
    words.insert(words.end(), limits.begin(), limits.end());
    auto const r = p.run(words);
    INFO(r.out << r.err);
    REQUIRE(r.status == 0);
    return parse(p.root / "out/detections.json");
  };
  SECTION("a semantic map")
  {
    auto const found = run({"--semantic", p.at("weak/{id}.png"), "--class-count", "3", "--truth-semantic",
                            p.at("semantic/{id}.png"), "--truth-instances", p.at("instances/{id}.png"), "--images",
                            p.at("images/{id}.png"), "--overlay", "--inside", "0.1", "--background", "0.1"});
    p.check_truth();
    REQUIRE(found.size() == 3);
    double inside = 0, all = 0;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        if (object_at(y, x) == 1) ++all, inside += weak_class_at(y, x) == 3;
    CHECK(found[0].at("score").get<double>() == Approx(.9 * inside / all));
    CHECK(found[0].at("category_id") == 3);
    CHECK(found[2].at("category_id") == 1);
    auto const scores = parse(p.root / "out/scores.json");
    CHECK(scores.at("miou") == 1);
    CHECK(scores.at("ap50") == 1);
    CHECK(fs::exists(p.root / "out/overlay/a.jpg"));
    auto const parameters = parse(p.root / "out/manifest.json").at("parameters");
    CHECK(parameters.at("method") == "proposals, semantic");
    CHECK(parameters.at("min_stability") == .6);
    auto const masks = parse(p.root / "out/records/a.json").dump();
    CHECK(contains(masks, R"("read":9)"));
    CHECK(contains(masks, R"("used":7)"));
  }
  SECTION("CAMs, smaller than the image")
  {
    auto const found = run({"--cams", p.at("cams/{id}.npy"), "--background", "0.1"});
    p.check_truth();
    REQUIRE(found.size() == 3);
    CHECK(found[1].at("category_id") == 3);
  }
  SECTION("CAMs with tags")
  {
    replace_file(p.root / "tags", std::string_view("a 5 7 9\n"));
    auto const found = run({"--cams", p.at("cams/{id}.npy"), "--background", "0.1", "--tags", p.at("tags")});
    REQUIRE(found.size() == 3);
    CHECK(found[0].at("category_id") == 9);
    CHECK(found[2].at("category_id") == 5);
  }
  SECTION("points")
  {
    auto const found = run({"--points", p.at("points/{id}.txt"), "--class-count", "3"});
    p.check_truth();
    REQUIRE(found.size() == 3);
    CHECK(found[0].at("score").get<double>() == Approx(.9));
    CHECK(found[1].at("score").get<double>() == Approx(.81));
  }
  SECTION("boxes")
  {
    auto const found = run({"--boxes", p.at("xml/{id}.xml")});
    CHECK(found.size() == 3);
    replace_file(p.root / "names", std::string_view("aeroplane\nbicycle\nbird\n"));
    run({"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names")});
    p.check_truth();
  }
  SECTION("boxes of a COCO file")
  {
    replace_file(p.root / "boxes.json", coco_boxes_of_a().dump());
    auto const found = run({"--boxes", p.at("boxes.json")});
    REQUIRE(found.size() == 3);
    CHECK(found[0].at("category_id") == 9);
    CHECK(found[2].at("category_id") == 4);
    for (auto const& one : found) CHECK(one.at("image_id") == 77);
    // A crowd is neither an object nor background.
    auto const have = read_labels(p.root / "out/semantic/a.png"), truth = read_labels(p.root / "semantic/a.png");
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) CHECK(have(y, x) == (y >= 56 && x < 10 ? 255 : truth(y, x)));
    auto const parameters = parse(p.root / "out/manifest.json").at("parameters");
    CHECK(parameters.at("crowds") == "ignore");
    CHECK(parameters.at("boxes_sha256").get<std::string>().size() == 64);
    // One file of results knows the image by the number that the boxes' file gives it.
    fs::rename(p.root / "out/detections.json", p.root / "results.json");
    auto const r = run_program(
        p.root, CAMBIUM_LABEL,
        {"--method", "proposals", "--proposals", p.at("results.json"), "--boxes", p.at("boxes.json"), "--crowds",
         "objects", "--unmatched", "background", "--images", p.at("images/{id}.png"), "--out", p.at("again")});
    INFO(r.out << r.err);
    REQUIRE(r.status == 0);
    p.check_truth("a", "again");
  }
}

TEST_CASE("without limits the worst masks decide, and options turn what is painted", "[label][proposals][picture]")
{
  playground p;
  auto const semantic = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--points", p.at("points/{id}.txt"), "--class-count", "3"});
    REQUIRE(p.run(more).status == 0);
    return read_labels(p.root / "out/semantic/a.png");
  };
  CHECK(semantic({})(0, 0) == 3);  // the whole image has the highest score; of two points' classes that of the first
  CHECK(semantic({"--choice", "smallest"})(0, 0) == 0);
  CHECK(semantic({"--alone"})(0, 0) == 0);
  CHECK(semantic({"--choice", "smallest"})(5, 10) == 0);  // the mask with a row less
  CHECK(semantic({"--alone"})(5, 10) == 3);
}

TEST_CASE("of two masks of an object the better one stays, and hidden ones go", "[label][proposals][picture]")
{
  playground p;
  p.propose(.85, 1, true, [](index_t y, index_t x) { return object_at(y + 1, x) == 1; });             // a row too high
  p.propose(.7, 1, true, [](index_t y, index_t x) { return y >= 3 && y < 27 && x >= 3 && x < 88; });  // both birds
  p.add("a");
  auto const found = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--cams", p.at("cams/{id}.npy"), "--background", "0.1", "--min-score", "0.5",
                               "--min-stability", "0.6"});
    auto const r = p.run(more);
    INFO(r.err);
    REQUIRE(r.status == 0);
    return parse(p.root / "out/detections.json").size();
  };
  CHECK(found({}) == 4);  // the large mask is seen around the birds
  CHECK(read_labels(p.root / "out/semantic/a.png")(4, 10) == 3);
  CHECK(found({"--nms-threshold", "1"}) == 5);  // the row above the first bird too
  CHECK(found({"--visible", "0.6"}) == 3);
  p.check_truth();
  CHECK(found({"--order", "smallest_first"}) == 2);  // the large mask covers the birds
}

TEST_CASE("holes and islands of masks are removed", "[label][proposals][picture]")
{
  playground p;
  p.masks.clear();
  p.propose(1, 1, true, [](index_t y, index_t x) {
    return (object_at(y, x) == 1 && !(y == 10 && x == 10)) || (y == 50 && x == 80);
  });
  p.add("a");
  auto const label = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--points", p.at("points/{id}.txt"), "--class-count", "3"});
    REQUIRE(p.run(more).status == 0);
    return read_labels(p.root / "out/instances/a.png");
  };
  auto const raw = label({}), clean = label({"--min-region", "2"});
  CHECK((raw(10, 10) == 0 && raw(50, 80) == 1));
  CHECK((clean(10, 10) == 1 && clean(50, 80) == 0));
}

TEST_CASE("one file of COCO's results knows images by number", "[label][proposals][reference]")
{
  playground p;
  std::vector<nlohmann::json> results;
  for (auto m : p.masks) {
    m["image_id"] = 12, m["category_id"] = 1, m["score"] = m["predicted_iou"];
    m.erase("predicted_iou");
    results.push_back(m);
  }
  p.add("000000000012"), p.add("13");
  auto const text = nlohmann::json(results).dump();
  replace_file(p.root / "results.json", std::string_view(text));
  replace_file(p.root / "ids", std::string_view("000000000012\n13\n"));
  std::vector<std::string> const words{"--method",        "proposals",
                                       "--proposals",     p.at("results.json"),
                                       "--points",        p.at("points/{id}.txt"),
                                       "--class-count",   "3",
                                       "--ids",           p.at("ids"),
                                       "--min-score",     "0.5",
                                       "--min-stability", "0.6",
                                       "--images",        p.at("images/{id}.png"),
                                       "--out",           p.at("out")};
  auto const r = run_program(p.root, CAMBIUM_LABEL, words);
  INFO(r.err);
  REQUIRE(r.status == 0);
  p.check_truth("000000000012");
  CHECK(read_labels(p.root / "out/semantic/13.png") == grid<std::int32_t, 2>(H, W));  // no mask is known
  CHECK(parse(p.root / "out/detections.json").size() == 3);
  CHECK(parse(p.root / "out/manifest.json").at("parameters").contains("proposals_sha256"));
  // A changed file of results is told by its hash: nothing is kept.
  auto again = words;
  again.push_back("--resume");
  CHECK(contains(run_program(p.root, CAMBIUM_LABEL, again).out, "0 labelled"));
  replace_file(p.root / "results.json", std::string_view(text + "\n"));
  CHECK(contains(run_program(p.root, CAMBIUM_LABEL, again).out, "2 labelled"));
  // An id that is no number is unknown to the file.
  replace_file(p.root / "ids", std::string_view("a\n"));
  CHECK(contains(one_line(run_program(p.root, CAMBIUM_LABEL, words)), "knows images by number, and 'a' is none"));
}

TEST_CASE("a run of proposals is resumed, and counted before", "[label][proposals][property]")
{
  playground p;
  p.add("b");
  std::vector<std::string> words{"--points", p.at("points/{id}.txt"), "--class-count", "3"};
  auto dry = words;
  dry.push_back("--dry-run");
  REQUIRE(p.run(dry).status == 0);
  CHECK(!fs::exists(p.root / "out"));
  REQUIRE(p.run(words).status == 0);
  auto const before = everything(p.root / "out");
  words.push_back("--resume");
  CHECK(contains(p.run(words).out, "0 labelled"));
  replace_file(p.root / "masks/b.json", std::string_view("[]"));
  auto with = words;
  with.insert(with.end(), {"--images", p.at("images/{id}.png")});
  auto const r = p.run(words);  // without a photograph nothing tells how large b is
  CHECK(r.status == 1);
  CHECK(contains(one_line(r), "has no mask of 'b'"));
  CHECK(contains(p.run(with).out, "labelled"));
  CHECK(read_labels(p.root / "out/instances/b.png") == grid<std::int32_t, 2>(H, W));
  CHECK(everything(p.root / "out").at("semantic/a.png") == before.at("semantic/a.png"));
}

TEST_CASE("mistakes with proposals name the file and the place", "[label][proposals][errors]")
{
  playground p;
  auto const said = [&](std::vector<std::string> const& words, int status) {
    auto const r = p.run(words);
    CHECK(r.status == status);
    return one_line(r);
  };
  std::vector<std::string> const by_points{"--points", p.at("points/{id}.txt"), "--class-count", "3"};
  CHECK(contains(said({}, 2), "masks have no classes"));
  CHECK(contains(said({"--points", p.at("points/{id}.txt"), "--cams", p.at("cams/{id}.npy")}, 2),
                 "--cams and --points both name classes"));
  CHECK(contains(said({"--points", p.at("points/{id}.txt"), "--background", "0.3"}, 2),
                 "--background means nothing with --points"));
  CHECK(contains(said({"--boxes", p.at("xml/{id}.xml"), "--class-count", "3"}, 2),
                 "--class-count means nothing with --boxes"));
  CHECK(contains(said({"--mu", "x{id}"}, 2), "--mu is a flag of --method boxes"));
  auto const nms = said({"--points", p.at("points/{id}.txt"), "--nms-threshold", "2"}, 2);
  CHECK(contains(nms, "--nms-threshold"));

  SECTION("a mask of another size")
  {
    p.masks[1]["segmentation"] = {{"size", {W, H}}, {"counts", {W * H}}};
    p.add("a");
    CHECK(contains(said(by_points, 1), p.at("masks/a.json") + ": mask 1 of 'a' is 90 x 60, but the image 60 x 90"));
  }
  SECTION("damaged runs")
  {
    p.masks[2]["segmentation"]["counts"] = {5};
    p.add("a");
    CHECK(contains(said(by_points, 1), p.at("masks/a.json") + ": [2].segmentation.counts: the counts end"));
  }
  SECTION("a mask without runs")
  {
    p.masks[0]["segmentation"] = {{1, 0}, {0, 1}};
    p.add("a");
    CHECK(contains(said(by_points, 1), "output_mode='coco_rle'"));
  }
  SECTION("a semantic map of another size, and one with too many classes")
  {
    replace_file(p.root / "weak/a.png", format_labels(grid<std::int32_t, 2>(W, H), voc_palette()));
    CHECK(contains(said({"--semantic", p.at("weak/{id}.png")}, 1), "is 90 x 60, but the masks are 60 x 90"));
    CHECK(contains(said({"--semantic", p.at("semantic/{id}.png"), "--class-count", "2"}, 1), "holds 3, outside 0..2"));
  }
  SECTION("CAMs that are no map of the image")
  {
    write_npy<3>(p.root / "cams/a.npy", grid<float, 3>(3, 30, 30));
    CHECK(contains(said({"--cams", p.at("cams/{id}.npy")}, 1), "no map of an image of 60 x 90"));
  }
  SECTION("a point off the image, and one of a class that is none")
  {
    replace_file(p.root / "points/a.txt", std::string_view("95 10 0\n"));
    CHECK(contains(said(by_points, 1), p.at("points/a.txt") + ": choose_by_points: point 0 is at y 10, x 95, off"));
    replace_file(p.root / "points/a.txt", std::string_view("5 10 3\n"));
    CHECK(contains(said(by_points, 1), "is of class 3, outside 0..2"));
  }
  SECTION("a box of a class that is none")
  {
    replace_file(p.root / "names", std::string_view("bird\n"));
    CHECK(contains(said({"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names")}, 1), "'aeroplane' is no class"));
  }
  SECTION("a COCO file of boxes")
  {
    auto boxes = coco_boxes_of_a();
    auto const with = [&](nlohmann::json const& file) { replace_file(p.root / "boxes.json", file.dump()); };
    std::vector<std::string> const words{"--boxes", p.at("boxes.json")};
    with(boxes);
    CHECK(contains(said({"--boxes", p.at("boxes.json"), "--names", p.at("names")}, 2), "--names means nothing with"));
    CHECK(contains(said({"--boxes", p.at("boxes.json"), "--zero-based-boxes"}, 2), "--zero-based-boxes means nothing"));
    CHECK(contains(said({"--boxes", p.at("xml/{id}.xml"), "--crowds", "objects"}, 2), "--crowds means nothing with"));
    boxes["images"][0]["file_name"] = "b.png";
    with(boxes);
    CHECK(contains(said(words, 1), p.at("boxes.json") + ": says nothing about 'a'"));
    boxes = coco_boxes_of_a(), boxes["images"][0]["height"] = 61, boxes["annotations"].erase(3);
    with(boxes);
    CHECK(contains(said(words, 1), "is of an image of 61 x 90, but the masks are 60 x 90"));
    boxes = coco_boxes_of_a(), boxes["annotations"][1]["bbox"] = {200, 4, 10, 10};
    with(boxes);
    CHECK(contains(said(words, 1), p.at("boxes.json") + ": "));
    CHECK(contains(said({"--boxes", p.at("none.json")}, 2), "none.json"));
  }
  SECTION("more classes than a label map holds")
  {
    auto boxes = coco_boxes_of_a();
    for (int id = 100; boxes["categories"].size() < 254; ++id)
      boxes["categories"].push_back({{"id", id}, {"name", "class " + std::to_string(id)}});
    replace_file(p.root / "boxes.json", boxes.dump());
    std::string names;
    for (auto const& c : boxes["categories"]) names += c.at("name").get<std::string>() + "\n";
    replace_file(p.root / "names", names);
    std::vector<std::string> const coco{"--boxes", p.at("boxes.json")},
        xml{"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names")};
    (void)said(coco, 0), (void)said(xml, 0);
    fs::remove_all(p.root / "out");
    boxes["categories"].push_back({{"id", 1000}, {"name", "one more"}});
    replace_file(p.root / "boxes.json", boxes.dump());
    replace_file(p.root / "names", names + "one more\n");
    CHECK(contains(said(coco, 2), p.at("boxes.json") + ": has 255 classes; a label map holds 254 at most"));
    CHECK(contains(said(xml, 2), p.at("names") + ": has 255 classes; a label map holds 254 at most"));
    CHECK_FALSE(fs::exists(p.root / "out"));
  }
  SECTION("a first class that may be none")
  {
    auto boxes = coco_boxes_of_a();
    replace_file(p.root / "boxes.json", boxes.dump());
    replace_file(p.root / "names", std::string_view("bird\naeroplane\n"));
    std::vector<std::string> const coco{"--boxes", p.at("boxes.json")},
        xml{"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names")};
    CHECK_FALSE(contains(said(coco, 0), "class 1"));
    CHECK_FALSE(contains(said(xml, 0), "class 1"));
    boxes["categories"].push_back({{"id", 0}, {"name", "background"}});
    replace_file(p.root / "boxes.json", boxes.dump());
    replace_file(p.root / "names", std::string_view("background\nbird\naeroplane\n"));
    CHECK(contains(said(coco, 0), p.at("boxes.json") + ": class 1 is category 0 ('background'), of which no "
                                                       "annotation is. If it is none, leave it out"));
    CHECK(contains(said(xml, 0), p.at("names") + ": class 1 is 'background'. If it is none, leave it out"));
  }
  SECTION("an XML file's notes are said once, also where it alone knows the size")
  {
    replace_file(p.root / "masks/a.json", std::string_view("[]"));
    replace_file(
        p.root / "xml/a.xml",
        std::string_view("<annotation><size><width>90</width><height>60</height></size><object><name>bird</name>"
                         "<difficult>perhaps</difficult><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>36</xmax>"
                         "<ymax>26</ymax></bndbox></object></annotation>"));
    auto const text = said({"--boxes", p.at("xml/{id}.xml")}, 0);
    std::string const note = p.at("xml/a.xml") + ": object 0: difficult is 'perhaps', taken for 0";
    auto const first = text.find(note);
    REQUIRE(first != std::string::npos);
    CHECK(text.find(note, first + 1) == std::string::npos);
  }
  SECTION("one file for all without image ids")
  {
    auto const r = run_program(p.root, CAMBIUM_LABEL,
                               {"--method", "proposals", "--proposals", p.at("masks/a.json"), "--points",
                                p.at("points/{id}.txt"), "--out", p.at("out")});
    CHECK(r.status == 2);
    CHECK(contains(r.err, "has a mask without image_id"));
  }
  SECTION("first names that are no classes, and a name that is nearly one")
  {
    std::vector<std::string> const xml{"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names")};
    replace_file(p.root / "names", std::string_view("_background_\nbird\naeroplane\n"));
    CHECK(contains(said(xml, 0), p.at("names") + ": class 1 is '_background_'. If it is none, leave it out"));
    replace_file(p.root / "names", std::string_view("__ignore__\n_background_\nbird\naeroplane\n"));
    CHECK(contains(said(xml, 0), p.at("names") + ": the first classes are '__ignore__' and '_background_'. If they are "
                                                 "none, leave them out"));
    replace_file(p.root / "names", std::string_view("Bird\naeroplane\n"));
    CHECK(contains(said(xml, 1), "xml/a.xml: 'bird' is no class; --names lists one's own; is it 'Bird'?"));
  }
}

namespace {

/// One file for all images: a mask of each object o of image number i is given the image_id of(i, o).
template <class Of>
nlohmann::json results_of(int images, Of const& of)
{
  auto out = nlohmann::json::array();
  for (int i = 1; i <= images; ++i)
    for (std::int32_t const o : {1, 2, 3}) {
      auto const mask = encode_rle({H, W}, {0, 0, H, W}, [o](index_t y, index_t x) { return object_at(y, x) == o; });
      nlohmann::json one{{"segmentation", {{"size", {H, W}}, {"counts", compressed_counts(mask)}}}, {"score", .9}};
      if (auto const number = of(i, o); number != 0) one["image_id"] = number, out.push_back(one);
    }
  return out;
}

/// The number of objects in the instance map of an image.
std::size_t objects_in(fs::path const& out, std::string const& id)
{
  return numbers_of(read_labels(out / "instances" / (id + ".png"))).size() - 1;
}

}  // namespace

TEST_CASE("coco_same_name_two_folders: one file of masks never serves two images of one number",
          "[label][proposals][errors]")
{
  playground p;
  for (auto const id : {"a/1", "b/1", "a/2"}) p.add(id);
  replace_file(p.root / "ids", std::string_view("b/1\na/1\na/2\n"));
  auto const words = [&](std::string const& file) {
    return std::vector<std::string>{
        "--method", "proposals", "--proposals", p.at(file),  "--semantic", p.at("semantic/{id}.png"),
        "--merge",  "instances", "--ids",       p.at("ids"), "--images",   p.at("images/{id}.png"),
        "--out",    p.at("out")};
  };
  // image 1 has one object, 2 has two, 3 has three
  auto const results = results_of(3, [](int i, int o) { return o <= i ? i : 0; });
  replace_file(p.root / "p.json", results.dump());
  auto const r = run_program(p.root, CAMBIUM_LABEL, words("p.json"));
  CHECK(r.status == 2);
  CHECK(contains(r.err, "p.json: 'b/1' and 'a/1' are both its image 1"));
  CHECK_FALSE(fs::exists(p.root / "out"));

  // The chain of label's own detections: the manifest beside them knows the names.
  replace_file(p.root / "made/detections.json", results.dump());
  nlohmann::json manifest{{"program", "cambium label"}, {"images", nlohmann::json::array()}};
  for (auto const& [number, name] : {std::pair{1, "b/1"}, std::pair{2, "a/1"}, std::pair{3, "a/2"}})
    manifest["images"].push_back({{"id", number}, {"name", name}, {"inputs", {{"image", "0"}}}});
  replace_file(p.root / "made/manifest.json", manifest.dump());
  auto const chain = run_program(p.root, CAMBIUM_LABEL, words("made/detections.json"));
  INFO(chain.err);
  REQUIRE(chain.status == 0);
  CHECK(objects_in(p.root / "out", "b/1") == 1);
  CHECK(objects_in(p.root / "out", "a/1") == 2);
  CHECK(objects_in(p.root / "out", "a/2") == 3);
  CHECK(parse(p.root / "out/manifest.json").at("parameters").contains("names_of_proposals_sha256"));
  // a manifest of other detections counts for nothing
  manifest["images"].erase(2);
  replace_file(p.root / "made/manifest.json", manifest.dump());
  CHECK(run_program(p.root, CAMBIUM_LABEL, words("made/detections.json")).status == 2);

  // A file with a list of images names them itself.
  nlohmann::json listed{{"annotations", results}, {"images", nlohmann::json::array()}};
  for (auto const& [number, name] : {std::pair{1, "a/2.jpg"}, std::pair{2, "b\\1.jpg"}, std::pair{3, "a/1.jpg"}})
    listed["images"].push_back({{"id", number}, {"file_name", name}});
  replace_file(p.root / "listed.json", listed.dump());
  auto const by_name = run_program(p.root, CAMBIUM_LABEL, words("listed.json"));
  INFO(by_name.err);
  REQUIRE(by_name.status == 0);
  CHECK(objects_in(p.root / "out", "a/2") == 1);
  CHECK(objects_in(p.root / "out", "b/1") == 2);
  CHECK(objects_in(p.root / "out", "a/1") == 3);
  listed["images"].erase(1);
  replace_file(p.root / "listed.json", listed.dump());
  auto const unlisted = run_program(p.root, CAMBIUM_LABEL, words("listed.json"));
  CHECK(unlisted.status == 1);
  CHECK(contains(unlisted.err, "listed.json: has no image 'b/1' in its list of images"));
}

TEST_CASE("masks of none of the images are refused, of some are said", "[label][proposals][errors]")
{
  playground p;
  for (auto const id : {"1", "2"}) p.add(id);
  replace_file(p.root / "ids", std::string_view("1\n2\n"));
  auto const run = [&](nlohmann::json const& file) {
    replace_file(p.root / "p.json", file.dump());
    return run_program(p.root, CAMBIUM_LABEL,
                       {"--method", "proposals", "--proposals", p.at("p.json"), "--points", p.at("points/{id}.txt"),
                        "--ids", p.at("ids"), "--images", p.at("images/{id}.png"), "--out", p.at("out")});
  };
  auto const none = run(results_of(1, [](int, int) { return 7001; }));
  CHECK(none.status == 2);
  CHECK(contains(none.err,
                 "p.json: has masks of 1 images (first image_id 7001), and none of them is one of the 2 images "
                 "(first '1')"));
  CHECK_FALSE(fs::exists(p.root / "out"));
  auto const some = run(results_of(3, [](int i, int) { return i == 1 ? 2 : 40 + i; }));
  INFO(some.err);
  CHECK(some.status == 0);
  CHECK(contains(some.err, "note: " + p.at("p.json") +
                               ": has no mask of 1 of 2 images (first '1'), but masks of 2 "
                               "images that are not labelled (first image_id 42)"));
  CHECK(objects_in(p.root / "out", "2") == 3);
  auto const all = run(results_of(2, [](int i, int) { return i; }));
  CHECK(all.status == 0);
  CHECK_FALSE(contains(all.err, "note:"));
  CHECK(run(nlohmann::json::array()).status == 0);  // nobody proposes anything
  // a single image may have no mask
  replace_file(p.root / "ids", std::string_view("1\n"));
  auto const one = run(results_of(1, [](int, int) { return 2; }));
  CHECK(one.status == 0);
  CHECK(contains(one.err, "has no mask of 1 of 1 images (first '1')"));
}

TEST_CASE("a bad mask in the file for all images fails its image alone", "[label][proposals][errors]")
{
  playground p;
  for (auto const id : {"1", "2", "3"}) p.add(id);
  auto results = results_of(3, [](int i, int) { return i; });
  results[0].erase("score"), results[0]["predicted_iou"] = "high";
  results[3]["segmentation"]["counts"] = "b'06'";
  replace_file(p.root / "p.json", results.dump());
  replace_file(p.root / "ids", std::string_view("1\n2\n3\n"));
  auto const r = run_program(p.root, CAMBIUM_LABEL,
                             {"--method", "proposals", "--proposals", p.at("p.json"), "--points",
                              p.at("points/{id}.txt"), "--ids", p.at("ids"), "--out", p.at("out")});
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 2 failed")));
  CHECK(contains(r.err, "1: " + p.at("p.json") + ": [0].predicted_iou: is the text \"high\""));
  CHECK(contains(r.err, "2: " + p.at("p.json") + ": [3].segmentation.counts: character 1 is not"));
  CHECK(objects_in(p.root / "out", "3") == 3);
}

TEST_CASE("a per-image file of masks: fields that nobody uses, and masks of two images", "[label][proposals][errors]")
{
  playground p;
  std::vector<std::string> const words{"--points", p.at("points/{id}.txt"), "--min-score", "0.5", "--alone"};
  auto const sound = p.masks;
  for (auto& m : p.masks) m["image_id"] = "a.jpg", m["category_id"] = "dog", m["stability_score"] = "NaN";
  p.add("a");
  auto const r = p.run(words);
  INFO(r.err);
  CHECK(r.status == 0);
  p.check_truth();
  auto limited = words;
  limited.insert(limited.end(), {"--min-stability", "0.6"});
  CHECK(contains(one_line(p.run(limited)), "[0].stability_score: is NaN"));
  p.masks = sound;
  p.masks[0]["image_id"] = 1, p.masks[1]["image_id"] = 2;
  p.add("a");
  auto const two = p.run(words);
  CHECK(two.status == 1);
  CHECK(contains(two.err, "a.json: has masks of the images 1 and 2, but is read as the file of one image"));
}

TEST_CASE("boxes and points that no mask fits are undecided and said", "[label][proposals][picture]")
{
  playground p;
  p.add("b");
  p.masks.erase(p.masks.begin() + 4, p.masks.end());  // of the birds alone
  p.add("a");
  replace_file(p.root / "names", std::string_view("aeroplane\nbicycle\nbird\n"));
  std::vector<std::string> const boxes{"--boxes", p.at("xml/{id}.xml"), "--names", p.at("names"), "--min-score",
                                       "0.5",     "--min-stability",    "0.6"};
  auto const r = p.run(boxes);
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(contains(r.err, "note: boxes that no mask fits, 255 in semantic/: 1 in 1 image, 'a'"));
  p.check_truth("b");
  auto const have = read_labels(p.root / "out/semantic/a.png");
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const boxed = y >= 35 && y < 54 && x >= 19 && x < 61;  // of the XML file, rows 36..54, columns 20..61 from 1
      REQUIRE(have(y, x) == (boxed ? 255 : object_at(y, x) == 3 ? 0 : class_at(y, x)));
    }
  auto const record = parse(p.root / "out/records/a.json");
  CHECK(record.at("boxes") == nlohmann::json{{"read", 3}, {"with_mask", 2}});
  // a kept image says it again
  auto again = boxes;
  again.push_back("--resume");
  CHECK(contains(p.run(again).err, "boxes that no mask fits, 255 in semantic/: 1 in 1 image, 'a'"));
  auto zero = boxes;
  zero.insert(zero.end(), {"--unmatched", "background"});
  auto const background = p.run(zero);
  CHECK(contains(background.err, "boxes that no mask fits, 0 in semantic/: 1 in 1 image"));
  CHECK(read_labels(p.root / "out/semantic/a.png")(40, 30) == 0);
  auto const points = p.run({"--points", p.at("points/{id}.txt"), "--min-score", "0.5", "--min-stability", "0.6"});
  CHECK((points.status == 0 && contains(points.err, "note: points that no mask fits: 1 in 1 image, 'a'")));
  CHECK(parse(p.root / "out/records/a.json").at("points") == nlohmann::json{{"read", 3}, {"with_mask", 2}});
}

TEST_CASE("truth_0_255: weak maps without a class", "[label][proposals][errors]")
{
  playground p;
  p.add("b");
  auto map = read_labels(p.root / "weak/a.png");
  for (auto& v : map.cells()) v = v == 0 ? 0 : 255;
  std::vector<std::string> const words{"--semantic", p.at("weak/{id}.png"), "--class-count", "3"};
  replace_file(p.root / "weak/a.png", format_labels(map, voc_palette()));
  auto const one = p.run(words);
  CHECK(one.status == 0);
  CHECK(contains(one.err, "note: weak maps without a pixel of any class, only 0 and 255"));
  CHECK(contains(one.err, ": 1 in 1 image, 'a'"));
  fs::remove_all(p.root / "out");
  replace_file(p.root / "weak/b.png", format_labels(map, voc_palette()));
  auto const both = p.run(words);
  CHECK(both.status == 2);
  CHECK(contains(both.err, p.at("weak/a.png") + ": has no pixel of any class; it holds only 0 and 255 as a binary"));
  CHECK_FALSE(fs::exists(p.root / "out"));
  for (auto& v : map.cells()) v = 0;  // nothing is there: that is an answer
  for (auto const id : {"a", "b"})
    replace_file(p.root / "weak" / (std::string(id) + ".png"), format_labels(map, voc_palette()));
  CHECK(p.run(words).status == 0);
}

TEST_CASE("unknown pixels of a weak map become background, or stay", "[label][proposals][picture]")
{
  playground p;
  auto map = read_labels(p.root / "semantic/a.png");
  for (index_t x = 0; x < 8; ++x) map(0, x) = 255;
  map(10, 10) = 255;  // inside a bird
  replace_file(p.root / "weak/a.png", format_labels(map, voc_palette()));
  std::vector<std::string> const words{
      "--semantic", p.at("weak/{id}.png"), "--class-count", "3", "--min-score", "0.5", "--min-stability", "0.6"};
  for (std::string const merge : {"max_iou_imp2", "instances"})
    for (bool const keep : {false, true}) {
      auto all = words;
      all.insert(all.end(), {"--merge", merge});
      if (keep) all.push_back("--keep-unknown");
      auto const r = p.run(all);
      INFO(merge << keep << r.err);
      REQUIRE(r.status == 0);
      auto const have = read_labels(p.root / "out/semantic/a.png");
      CHECK(have(0, 3) == (keep ? 255 : 0));
      CHECK(have(10, 10) == 3);
      CHECK(have(0, 20) == 0);
      CHECK(parse(p.root / "out/manifest.json").at("parameters").contains("keep_unknown") == keep);
    }
}
