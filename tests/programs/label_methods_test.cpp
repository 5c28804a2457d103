// label --method bestie and boxes, run as people run it.

#include "programs/process.hpp"
#include "programs/three_objects.hpp"
#include "support/random.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/points.hpp>
#include <cambium/io/rle_masks.hpp>
#include <cambium/metric/coco_ap.hpp>
#include <cambium/pipeline/bestie.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;

namespace {

cpu const one_core{.threads = 1};

point const middles[] = {{15, 20, 2, 1}, {15, 67, 2, 1}, {45, 40, 0, 1}};

struct playground : scratch {
  void add(std::string const& id, std::uint64_t seed = 1) const
  {
    auto seg = support::uniform<float, 3>({4, H, W}, -1, 1, seed),
         centre = support::uniform<float, 3>({3, H, W}, 0, .05, seed);
    grid<float, 3> offset(2, H, W), mu(3, H, W), spread(3, H, W);
    grid<std::int32_t, 2> semantic(H, W), objects(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const o = object_at(y, x), c = class_at(y, x);
        semantic(y, x) = c, objects(y, x) = o;
        seg(c, y, x) += 5;
        for (index_t k = 0; k < 3; ++k) mu(k, y, x) = k + 1 == c ? 3.f : -3.f, spread(k, y, x) = -4;
        if (o == 0) continue;
        auto const& m = middles[o - 1];
        offset(0, y, x) = static_cast<float>(m.y) - static_cast<float>(y);
        offset(1, y, x) = static_cast<float>(m.x) - static_cast<float>(x);
      }
    for (auto const& m : middles) centre(m.category, static_cast<index_t>(m.y), static_cast<index_t>(m.x)) = 0.9f;
    write_npy<3>(root / "seg" / (id + ".npy"), seg);
    write_npy<3>(root / "centre" / (id + ".npy"), centre);
    write_npy<3>(root / "offset" / (id + ".npy"), offset);
    write_npy<3>(root / "mu" / (id + ".npy"), mu);
    write_npy<3>(root / "s" / (id + ".npy"), spread);
    replace_file(root / "semantic" / (id + ".png"), format_labels(semantic, voc_palette()));
    replace_file(root / "instances" / (id + ".png"), format_ids(objects));
    replace_file(root / "images" / (id + ".png"), format_photograph_png(grid<std::uint8_t, 3>(H, W, 3)));
    replace_file(root / "points" / (id + ".txt"),
                 std::string_view("20 15 2 0.900\n66 15 2 0.701\n67 15 2 0.700\n40 45 0 0.800\n41 46 0 1.000\n"));
    std::string xml = "<annotation><size><width>90</width><height>60</height></size>";
    auto const object = [&](std::string const& name, int left, int top, int right, int bottom) {
      xml += "<object><name>" + name + "</name><bndbox><xmin>" + std::to_string(left) + "</xmin><ymin>" +
             std::to_string(top) + "</ymin><xmax>" + std::to_string(right) + "</xmax><ymax>" + std::to_string(bottom) +
             "</ymax></bndbox></object>";
    };
    object("bird", 4, 4, 38, 28), object("bird", 49, 4, 88, 27), object("aeroplane", 19, 34, 63, 58);
    replace_file(root / "xml" / (id + ".xml"), xml + "</annotation>");
  }

  outcome run(std::vector<std::string> words, std::string const& out = "out") const
  {
    words.insert(words.end(), {"--out", at(out)});
    return run_program(root, CAMBIUM_LABEL, words);
  }
  std::vector<std::string> network(std::vector<std::string> const& more = {}) const
  {
    return joined({"--method", "bestie", "--seg", at("seg/{id}.npy"), "--centres", at("centre/{id}.npy"), "--offsets",
                   at("offset/{id}.npy")},
                  more);
  }
  std::vector<std::string> weak(std::vector<std::string> const& more = {}) const
  {
    return joined({"--method", "bestie", "--semantic", at("semantic/{id}.png"), "--points", at("points/{id}.txt")},
                  more);
  }
  std::vector<std::string> boxes(std::vector<std::string> const& more = {}) const
  {
    return joined({"--method", "boxes", "--boxes", at("xml/{id}.xml"), "--mu", at("mu/{id}.npy"), "--log-variance",
                   at("s/{id}.npy")},
                  more);
  }
  std::vector<std::string> truth() const
  {
    return {"--truth-semantic", at("semantic/{id}.png"), "--truth-instances", at("instances/{id}.png")};
  }
  static std::vector<std::string> joined(std::vector<std::string> a, std::vector<std::string> const& b)
  {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
};

/// The files of an image are what the pipeline says.
void check_files(fs::path const& out, std::string const& id, grid<std::int32_t, 2> const& semantic,
                 instances<> const& objects)
{
  CHECK(read_labels(out / "semantic" / (id + ".png")) == semantic);
  CHECK(read_labels(out / "instances" / (id + ".png")) == objects.label);
  auto const detections = parse(out / "detections.json");
  REQUIRE(detections.size() == objects.found.size());
  for (std::size_t i = 0; i < detections.size(); ++i) {
    CHECK(detections[i].at("score").get<double>() == Approx(objects.found[i].score).epsilon(1e-6));
    CHECK(detections[i].at("category_id") == objects.found[i].category + 1);
    CHECK(detections[i].at("area") == objects.found[i].area);
  }
}

}  // namespace

TEST_CASE("bestie from a network's output is the pipeline's answer", "[label][bestie][same]")
{
  playground p;
  p.add("a");
  auto const seg = read_npy<float, 3>(p.root / "seg/a.npy"), centre = read_npy<float, 3>(p.root / "centre/a.npy"),
             offset = read_npy<float, 3>(p.root / "offset/a.npy");
  bestie_output<float> const in{seg.view(), centre.view(), offset.view()};

  SECTION("alone, with the truth and an overlay")
  {
    auto const r = p.run(p.network(p.joined(p.truth(), {"--images", p.at("images/{id}.png"), "--overlay"})));
    INFO(r.err);
    REQUIRE(r.status == 0);
    auto const found = bestie_instances<float>(one_core, in);
    CHECK(found.objects.found.size() == 3);
    check_files(p.root / "out", "a", found.semantic, found.objects);
    auto const scores = parse(p.root / "out/scores.json");
    CHECK(scores.at("ap50") == 1);
    CHECK(scores.at("miou") == 1);
    CHECK(!scores.contains("cam_miou"));
    CHECK(fs::exists(p.root / "out/overlay/a.jpg"));
    CHECK(parse(p.root / "out/manifest.json").at("parameters").at("method") == "bestie network");
  }
  SECTION("tags clean, knobs turn")
  {
    replace_file(p.root / "tags", "a 3\n");
    REQUIRE(p.run(p.network({"--tags", p.at("tags"), "--val-thresh", "0.95", "--val-kernel", "5", "--beta", "0",
                             "--val-ignore", "--smallest", "10"}))
                .status == 0);
    auto const found = bestie_instances<float>(
        one_core, in, std::vector<std::int32_t>{2},
        {.threshold = 0.95, .smallest = 10, .alone = lone_region::nothing, .groups = {.kernel = 5, .beta = 0}});
    check_files(p.root / "out", "a", found.semantic, found.objects);
    CHECK(found.objects.found.empty());
  }
  SECTION("points guide")
  {
    REQUIRE(p.run(p.network({"--points", p.at("points/{id}.txt")})).status == 0);
    points const clicks = read_points(p.root / "points/a.txt", {.threshold = 0.7});
    auto const found = bestie_instances_at<float>(one_core, in, {0, 2}, clicks);
    CHECK(found.objects.found.size() == 3);  // of the two on one object the first wins every pixel
    check_files(p.root / "out", "a", found.semantic, found.objects);
  }
  SECTION("maps smaller than the image are enlarged, and offsets scaled")
  {
    replace_file(p.root / "images/a.png", format_photograph_png(grid<std::uint8_t, 3>(2 * H, 2 * W, 3)));
    for (auto const& [word, seen] :
         {std::pair{"maps", extent2{H, W}}, {"image", {2 * H, 2 * W}}, {"30x45", {30, 45}}}) {
      REQUIRE(p.run(p.network({"--images", p.at("images/{id}.png"), "--seen", word})).status == 0);
      extent2 const image{2 * H, 2 * W};
      auto const s = fuse<float>(one_core, {{seg.view()}}, image), c = fuse<float>(one_core, {{centre.view()}}, image),
                 o = fuse<float>(one_core, {{offset.view()}}, image);
      auto const found = bestie_instances<float>(one_core, {s.view(), c.view(), o.view()}, {}, {.seen = seen});
      check_files(p.root / "out", "a", found.semantic, found.objects);
    }
  }
}

TEST_CASE("bestie from weak labels transfers what points know", "[label][bestie][same]")
{
  playground p;
  p.add("a");
  auto map = read_labels(p.root / "semantic/a.png");
  map(0, 0) = 255;
  replace_file(p.root / "semantic/a.png", format_labels(map, voc_palette()));
  points const cues = read_points(p.root / "points/a.txt");
  auto const accepted = [&](grid<std::int32_t, 2> const& label, grid<float, 2> const& weight) {
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        if ((label(y, x) != 0) != (weight(y, x) > 0)) return false;
    return true;
  };
  auto const targets = [&](bestie_transfer_options const& options, std::vector<std::int32_t> const& classes) {
    auto const made = bestie_pseudo_labels(one_core, map, classes, cues, 3, options);
    CHECK(read_npy<float, 3>(p.root / "out/targets/a.centre.npy") == made.centre);
    CHECK(read_npy<float, 3>(p.root / "out/targets/a.offset.npy") == made.offset);
    CHECK(read_npy<float, 2>(p.root / "out/targets/a.weight.npy") == made.weight);
    CHECK(accepted(read_labels(p.root / "out/instances/a.png"), made.weight));
  };

  SECTION("one cue, one object; two cues say nothing")
  {
    auto const r = p.run(p.weak({"--class-count", "3", "--targets"}));
    INFO(r.err);
    REQUIRE(r.status == 0);
    targets({}, {0, 1, 2});
    CHECK(read_labels(p.root / "out/semantic/a.png") == map);  // 255 included
    auto const detections = parse(p.root / "out/detections.json");
    REQUIRE(detections.size() == 2);
    CHECK((detections[0].at("score") == 0.9 && detections[0].at("area") == 600));
    CHECK((detections[1].at("score") == 0.701 && detections[1].at("category_id") == 3));
  }
  SECTION("clicks, splitting, other numbers and tags")
  {
    replace_file(p.root / "tags", "a 1\n");
    REQUIRE(p.run(p.weak({"--class-count", "3", "--targets", "--supervision", "point", "--several", "split",
                          "--centroid", "exact", "--sigma", "4", "--pseudo-thresh", "0.5", "--tags", p.at("tags")}))
                .status == 0);
    targets(
        {.pseudo_thresh = 0.5,
         .labels = {.sup = supervision::point, .sigma = 4, .centre = centroid::exact, .several = several_cues::split}},
        {0});
    auto const label = read_labels(p.root / "out/instances/a.png");
    CHECK((label(45, 40) == 1 && label(46, 41) == 2 && label(15, 20) == 0));
    CHECK(read_labels(p.root / "out/semantic/a.png")(15, 20) == 0);
  }
  SECTION("targets that are no longer wanted go away")
  {
    REQUIRE(p.run(p.weak({"--targets"})).status == 0);
    CHECK(read_npy<float, 3>(p.root / "out/targets/a.centre.npy").shape()[0] == 20);
    REQUIRE(p.run(p.weak()).status == 0);
    CHECK(everything(p.root / "out/targets").empty());
  }
}

TEST_CASE("boxes become masks as in the pipeline", "[label][boxes][same]")
{
  playground p;
  p.add("a");
  auto const mu = read_npy<float, 3>(p.root / "mu/a.npy"), s = read_npy<float, 3>(p.root / "s/a.npy");
  replace_file(p.root / "names", "aeroplane\nnobody\nbird\n");
  weak_annotation<> known;
  known.boxes = {{{3, 3, 28, 38}, 2}, {{3, 48, 27, 88}, 2}, {{33, 18, 58, 63}, 0}};
  std::vector<std::string> const names{"--names", p.at("names"), "--targets"};

  SECTION("a sure network: the masks, in their boxes")
  {
    auto const r = p.run(p.boxes(p.joined(p.truth(), p.joined(names, {"--min-fill", "0", "--tight", "false"}))));
    INFO(r.err);
    REQUIRE(r.status == 0);
    box_supervision_options options;
    options.bootstrap.min_fill = 0, options.bootstrap.tight = false;
    auto const made = box_targets(one_core, mu, s, known, 0, options);
    CHECK(read_npy<float, 3>(p.root / "out/targets/a.target.npy") == made.target);
    CHECK(read_npy<std::uint8_t, 3>(p.root / "out/targets/a.trusted.npy") == made.trusted);
    CHECK(read_labels(p.root / "out/semantic/a.png") == read_labels(p.root / "semantic/a.png"));
    CHECK(read_labels(p.root / "out/instances/a.png") == read_labels(p.root / "instances/a.png"));
    for (auto const v : read_labels(p.root / "out/trust/a.png").cells()) REQUIRE(v == trust::certain);
    auto const detections = parse(p.root / "out/detections.json");
    REQUIRE(detections.size() == 3);
    double const expected = 1 / (1 + std::exp(-gaussian_logit{3, -4}.expected_logit()));
    CHECK(detections[0].at("score").get<double>() == Approx(expected).epsilon(1e-12));
    CHECK(detections[0].at("category_id") == 3);
    CHECK(parse(p.root / "out/scores.json").at("ap75") == 1);
  }
  SECTION("before the network counts, boxes stay; where it is unsure, 255")
  {
    REQUIRE(p.run(p.boxes(p.joined(names, {"--mode", "off"}))).status == 0);
    auto const label = read_labels(p.root / "out/semantic/a.png"), trusted = read_labels(p.root / "out/trust/a.png");
    CHECK((label(3, 3) == 3 && trusted(3, 3) == trust::boxed && trusted(0, 0) == trust::certain));
    auto vague = s;
    for (auto& v : vague.cells()) v = 1.5f;  // sigma about 2: between the thresholds
    write_npy<3>(p.root / "s/a.npy", vague);
    REQUIRE(p.run(p.boxes(p.joined(names, {"--unsure", "ignore", "--min-fill", "0", "--tight", "false"}))).status == 0);
    auto const undecided = read_labels(p.root / "out/semantic/a.png");
    CHECK((undecided(15, 20) == 255 && undecided(0, 0) == 0));
    CHECK(read_labels(p.root / "out/trust/a.png")(15, 20) == trust::ignored);
    CHECK(parse(p.root / "out/detections.json").empty());
  }
  SECTION("a softmax, and boxes of two classes on one pixel")
  {
    grid<float, 3> logits(4, H, W);
    write_npy<3>(p.root / "mu/a.npy", logits);
    write_npy<3>(p.root / "s/a.npy", grid<float, 3>(1, H, W));
    auto xml = text_of(p.root / "xml/a.xml");
    xml.replace(xml.find("bird", xml.find("bird") + 1), 4, "nobody");  // the second
    auto const at = xml.find("<xmin>49");
    xml.replace(at, 8, "<xmin>30");
    replace_file(p.root / "xml/a.xml", xml);
    auto const r = p.run(p.boxes(p.joined(names, {"--classes", "mean_field", "--mode", "off"})));
    INFO(r.err);
    REQUIRE(r.status == 0);
    auto const label = read_labels(p.root / "out/semantic/a.png");
    CHECK((label(10, 10) == 3 && label(10, 60) == 2 && label(10, 33) == 255 && label(0, 0) == 0));
  }
  SECTION("an exact mask overrules, and may stand alone")
  {
    auto mask = read_labels(p.root / "semantic/a.png");
    for (auto& v : mask.cells()) v = v == 3 ? 2 : v;
    replace_file(p.root / "masks/a.png", format_labels(mask, voc_palette()));
    auto const with = p.joined(names, {"--masks", p.at("masks/{id}.png")});
    REQUIRE(p.run(p.boxes(with)).status == 0);
    CHECK(read_labels(p.root / "out/semantic/a.png") == mask);
    CHECK(parse(p.root / "out/detections.json").size() == 1);
    fs::remove(p.root / "xml/a.xml");
    auto const alone = p.run(p.boxes(p.joined(with, {"--resume"})));  // the boxes' file is gone
    INFO(alone.err);
    CHECK(contains(alone.out, "1 labelled"));
    CHECK(contains(alone.err, "note: no file matches " + p.at("xml/{id}.xml")));
    CHECK(contains(alone.err, "note: " + p.at("xml/{id}.xml") + ": 0 of 1 images have this file"));
    CHECK(read_labels(p.root / "out/semantic/a.png") == mask);
    CHECK(parse(p.root / "out/detections.json").empty());
    fs::remove(p.root / "masks/a.png");
    auto const nothing = p.run(p.boxes(p.joined(with, {"--images", p.at("images/{id}.png")})), "nothing");
    CHECK((nothing.status == 2 && contains(nothing.err, "no file matches " + p.at("xml/{id}.xml"))));
    CHECK_FALSE(fs::exists(p.root / "nothing"));
    auto const typo = p.joined(names, {"--masks", p.at("mask/{id}.png")});
    p.add("b");
    CHECK((p.run(p.boxes(typo), "nothing").status == 2 && contains(text_of(p.root / "stderr"), "mask: No such file")));
    auto const r = p.run(p.boxes(p.joined(with, {"--images", p.at("images/{id}.png")})));
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.err, "xml/a.xml: says nothing about 'a', which has no mask either")));
  }
  SECTION("XML files as tools write them: no size, blanks around names, pixels from 0")
  {
    auto const masks = [&](std::string const& xml, std::vector<std::string> const& more, std::string const& out) {
      replace_file(p.root / "xml/a.xml", xml);
      auto const r = p.run(p.boxes(p.joined(names, more)), out);
      INFO(r.err);
      REQUIRE(r.status == 0);
      auto files = everything(p.root / out);
      std::erase_if(
          files, [](auto const& f) { return f.first.rfind("semantic", 0) != 0 && f.first.rfind("instances", 0) != 0; });
      return std::pair{files, r.err};
    };
    auto const xml = text_of(p.root / "xml/a.xml");
    auto const [sound, quiet] = masks(xml, {}, "sound");
    CHECK((sound.size() == 2 && !contains(quiet, "note")));

    auto odd = xml;
    odd.erase(odd.find("<size>"), odd.find("</size>") + 7 - odd.find("<size>"));
    odd.replace(odd.find("<name>bird"), 10, "<truncated>Unspecified</truncated><name>\n  bird\n ");
    auto const [same, said] = masks(odd, {}, "odd");
    CHECK(same == sound);
    CHECK(contains(said, "note: " + p.at("xml/a.xml") + ": object 0: truncated is 'Unspecified', taken for 0"));

    std::string zero = xml;  // every number one less
    for (auto const tag : {"<xmin>", "<ymin>", "<xmax>", "<ymax>"})
      for (std::size_t at = 0; (at = zero.find(tag, at)) != std::string::npos; ++at) {
        auto const from = at + 6, end = zero.find('<', from);
        zero.replace(from, end - from, std::to_string(std::stoi(zero.substr(from, end - from)) - 1));
      }
    CHECK(masks(zero, {"--zero-based-boxes"}, "zero").first == sound);
    CHECK(masks(zero, {}, "other").first != sound);

    auto edge = xml;
    edge.replace(edge.find("<xmin>4<"), 8, "<xmin>0<");
    CHECK(contains(masks(edge, {}, "edge").second, "by one pixel, which is cut off; or does the file count from 0?"));
    edge.replace(edge.find("<xmin>0<"), 8, "<xmin>-1<");
    replace_file(p.root / "xml/a.xml", edge);
    auto const r = p.run(p.boxes(names), "far");
    CHECK((r.status == 1 && contains(r.err, "object 0: bndbox: xmin is -1 and xmax 38, outside 1..90")));
  }
  SECTION("a COCO file says the same as XML files")
  {
    REQUIRE(p.run(p.boxes({"--names", p.at("names")}), "xml_out").status == 0);
    std::string const coco =
        R"({"images":[{"id":8,"height":60,"width":90,"file_name":"train/a.jpg"}],)"
        R"("categories":[{"id":90,"name":"bird"},{"id":1,"name":"aeroplane"},{"id":7,"name":"nobody"}],"annotations":[)"
        R"({"id":1,"image_id":8,"category_id":90,"bbox":[3,3,35,25],"area":1},)"
        R"({"id":2,"image_id":8,"category_id":90,"bbox":[48,3,40,24],"area":1},)"
        R"({"id":3,"image_id":8,"category_id":1,"bbox":[18.2,33.4,44.9,24.8],"area":1}]})";
    replace_file(p.root / "boxes.json", coco);
    auto words = p.boxes();
    words[3] = p.at("boxes.json");
    auto const r = p.run(words);
    INFO(r.err);
    REQUIRE(r.status == 0);
    for (auto const folder : {"semantic", "instances", "trust"})
      CHECK(everything(p.root / "out" / folder) == everything(p.root / "xml_out" / folder));
    CHECK(contains(p.run(p.joined(words, {"--resume"})).out, "1 kept"));
    // COCO itself has boxes of no height: they are a row of cells
    auto flat = coco;
    flat.replace(flat.find("24.8"), 4, "0.0");
    replace_file(p.root / "boxes.json", flat);
    CHECK(p.run(words).status == 0);
    replace_file(p.root / "boxes.json", coco + "\n");
    CHECK(contains(p.run(p.joined(words, {"--resume"})).out, "1 labelled"));
    replace_file(p.root / "boxes.json", std::string_view("{"));
    CHECK(p.run(words, "refused").status == 2);
    CHECK(!fs::exists(p.root / "refused"));
  }
}

namespace {

/// The three objects of every image of a playground as COCO's data set, with numbers of its own.
coco_dataset coco_of(std::vector<std::pair<std::int64_t, std::string>> const& images)
{
  coco_dataset set;
  set.categories = {{90, "bird", ""}, {4, "aeroplane", ""}, {17, "nobody", ""}};
  for (auto const& [id, name] : images) {
    set.images.push_back({id, H, W, name});
    for (std::int32_t o = 1; o <= 3; ++o)
      set.annotations.push_back(
          annotate(id, o == 3 ? 4 : 90,
                   encode_rle({H, W}, {0, 0, H, W}, [&](index_t y, index_t x) { return object_at(y, x) == o; })));
  }
  return set;
}

/// COCO's own evaluation of a file of results.
coco_summary evaluate(coco_dataset const& set, std::vector<coco_result> const& results)
{
  std::vector<coco_pair> pairs;
  for (auto const& group : match_up(set, results)) {
    auto& pair = pairs.emplace_back();
    pair.category = group.category;
    std::vector<rle> found, truth;
    for (auto const r : group.results)
      found.push_back(results[r].segmentation), pair.score.push_back(results[r].score),
          pair.area.push_back(static_cast<double>(found.back().area()));
    for (auto const a : group.annotations)
      truth.push_back(mask_of(set.annotations[a], {H, W})), pair.truth_area.push_back(set.annotations[a].area),
          pair.crowd.push_back(set.annotations[a].iscrowd);
    pair.iou = rle_iou(found, truth, pair.crowd);
  }
  return summarise(coco_ap(pairs, static_cast<index_t>(set.categories.size())));
}

}  // namespace

TEST_CASE("coco_boxes_category_ids: detections.json carries the COCO file's own ids", "[label][reference]")
{
  playground p;
  p.add("a"), p.add("train/b");
  replace_file(p.root / "ids", "train/b\na\n");
  auto const set = coco_of({{139, "a.jpg"}, {25, "train/b.jpg"}});
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes({"--ids", p.at("ids")});
  words[3] = p.at("gt.json");
  auto const r = p.run(words);
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const results = read_coco_results(p.root / "out/detections.json");
  REQUIRE(results.size() == 6);
  CHECK((results[0].image_id == 25 && results[3].image_id == 139));
  CHECK((results[0].category_id == 90 && results[2].category_id == 4));
  CHECK(evaluate(set, results).ap == 1);
  // a map keeps the ranks, and the manifest says what they are
  CHECK((read_labels(p.root / "out/semantic/train/b.png")(15, 20) == 3));
  auto const manifest = parse(p.root / "out/manifest.json");
  REQUIRE(manifest.at("categories").size() == 3);
  CHECK(manifest.at("categories")[0] == nlohmann::json{{"label", 1}, {"category_id", 4}, {"name", "aeroplane"}});
  CHECK(manifest.at("categories")[2] == nlohmann::json{{"label", 3}, {"category_id", 90}, {"name", "bird"}});
  CHECK(manifest.at("images")[0].at("id") == 25);
}

TEST_CASE("a first class that the network does not have would shift all others", "[label][boxes][errors]")
{
  playground p;
  p.add("a");
  auto const said = [&](std::vector<std::string> const& words) {
    auto const r = p.run(words);
    return (r.status == 0 ? "labelled " : "refused ") + r.err;
  };
  replace_file(p.root / "names", "background\naeroplane\nnobody\nbird\n");
  CHECK(contains(said(p.boxes({"--names", p.at("names")})),
                 "names: has 4 classes, but the network 3. The first is 'background': leave it out"));
  replace_file(p.root / "names", "aeroplane\nnobody\nbird\nbackground\n");  // a class of one's own
  CHECK(contains(said(p.boxes({"--names", p.at("names")})), "labelled"));

  auto set = coco_of({{8, "a.jpg"}});
  set.categories.push_back({0, "animals", ""});  // some exporters write what all classes are
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes();
  words[3] = p.at("gt.json");
  CHECK(contains(said(words),
                 "gt.json: has 4 classes, but the network 3. The first is category 0 ('animals'), of which no "
                 "annotation is: leave it out"));
  set.annotations.push_back(set.annotations[0]);
  set.annotations.back().category_id = 0;
  write_coco(p.root / "gt.json", set);  // now the last class is what the network does not have
  CHECK(contains(said(words), "has a box of class 4, but the network 3 classes"));
}

TEST_CASE("coco_same_name_two_folders: label finds both, and refuses a name that is two", "[label][errors]")
{
  playground p;
  p.add("a/1"), p.add("b/1"), p.add("1");
  auto const set = coco_of({{1, "b/1.jpg"}, {2, "a/1.jpg"}});
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes({"--ids", p.at("ids")});
  words[3] = p.at("gt.json");
  replace_file(p.root / "ids", "a/1\nb/1\n");
  REQUIRE(p.run(words).status == 0);
  auto const results = read_coco_results(p.root / "out/detections.json");
  CHECK((results.at(0).image_id == 2 && results.at(3).image_id == 1));
  CHECK((fs::exists(p.root / "out/instances/a/1.png") && fs::exists(p.root / "out/instances/b/1.png")));
  replace_file(p.root / "ids", "1\n");
  auto const r = p.run(words, "refused");
  CHECK((r.status == 1 && contains(r.err, "gt.json: two images have the name '1'; an id names their folder, too")));
  // one image for two photographs
  write_coco(p.root / "gt.json", coco_of({{2, "a/1.jpg"}}));
  replace_file(p.root / "ids", "a/1\n1\n");
  auto const both = p.run(words, "both");
  CHECK((both.status == 2 && contains(both.err, "gt.json: 'a/1' and '1' are both its image 2, 'a/1.jpg'")));
  CHECK_FALSE(fs::exists(p.root / "both"));
}

TEST_CASE("ids of a COCO file: folders of Windows, and numbers that are also names", "[label][boxes][errors]")
{
  playground p;
  for (auto const id : {"1", "2"}) p.add(id);
  auto const words =
      std::vector<std::string>{"--method",          "boxes",          "--boxes",          p.at("gt.json"), "--mu",
                               p.at("mu/{id}.npy"), "--log-variance", p.at("s/{id}.npy"), "--ids",         p.at("ids")};
  replace_file(p.root / "ids", "1\n2\n");
  // the names decide, not the numbers of other images
  write_coco(p.root / "gt.json", coco_of({{2, "train\\1.jpg"}, {1, "train\\2.jpg"}}));
  REQUIRE(p.run(words).status == 0);
  auto const results = read_coco_results(p.root / "out/detections.json");
  CHECK(results.at(0).image_id == 2);
  CHECK(results.at(3).image_id == 1);
  // 1 is the number of 000002.jpg and the name of 000001.jpg but for zeros
  write_coco(p.root / "gt.json", coco_of({{2, "000001.jpg"}, {1, "000002.jpg"}}));
  auto const r = p.run(words, "refused");
  CHECK(r.status == 1);
  CHECK(contains(r.err, "gt.json: '1' is the number of '000002.jpg', but there is also '000001.jpg'"));
  // COCO's own files: name and number are the same
  write_coco(p.root / "gt.json", coco_of({{1, "000001.jpg"}, {2, "000002.jpg"}}));
  CHECK(p.run(words, "same").status == 0);
}

TEST_CASE("an input is never written over", "[label][errors]")
{
  playground p;
  p.add("a");
  auto const kept = everything(p.root / "semantic"), photographs = everything(p.root / "images");
  auto const refuses = [&](std::vector<std::string> const& words, std::string const& out, std::string const& file) {
    auto const r = p.run(words, out);
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, file + ": is an input, but would be written over; name another folder with --out"));
    CHECK_FALSE(fs::exists(p.root / "manifest.json"));
  };
  refuses(p.weak(), ".", "semantic/a.png");
  refuses(p.weak(), "images/..", "semantic/a.png");
  refuses(p.network(p.truth()), ".", "semantic/a.png");
  fs::create_directory_symlink(p.root, p.root / "link");
  refuses(p.weak(), "link", "semantic/a.png");
  replace_file(p.root / "scores.json", "a\n");
  refuses(p.network({"--ids", p.at("scores.json")}), ".", "scores.json");
  // a link to an output: the output would be replaced, and with it what is read
  fs::create_directories(p.root / "ln");
  fs::rename(p.root / "scores.json", p.root / "list");
  REQUIRE(p.run(p.weak(), "first").status == 0);
  fs::create_symlink("../first/semantic/a.png", p.root / "ln/a.png");
  auto const linked =
      p.joined({"--method", "bestie", "--semantic", p.at("ln/{id}.png")}, {"--points", p.at("points/{id}.txt")});
  auto const written = everything(p.root / "first");
  refuses(linked, "first", "ln/a.png");
  CHECK(everything(p.root / "first") == written);
  CHECK(p.run(linked, "second").status == 0);
  fs::remove(p.root / "ln/a.png");
  fs::rename(p.root / "list", p.root / "scores.json");
  replace_file(p.root / "detections.json", "{}");
  refuses(p.joined({"--method", "boxes", "--boxes", p.at("detections.json"), "--mu", p.at("mu/{id}.npy")},
                   {"--log-variance", p.at("s/{id}.npy")}),
          ".", "detections.json");
  CHECK(everything(p.root / "semantic") == kept);
  CHECK(everything(p.root / "images") == photographs);
  // beside what is written they are no harm
  fs::rename(p.root / "semantic", p.root / "maps");
  fs::remove_all(p.root / "instances");
  CHECK(p.run(p.network(), ".").status == 0);
}

TEST_CASE("coco_boxes_lost: a box that is none fails its image and no other", "[label][errors]")
{
  playground p;
  for (auto const id : {"good", "zero", "negative", "outside", "huge", "edge", "cut"}) p.add(id);
  auto set = coco_of({{1, "good.jpg"},
                      {2, "zero.jpg"},
                      {3, "negative.jpg"},
                      {4, "outside.jpg"},
                      {5, "huge.jpg"},
                      {6, "edge.jpg"},
                      {7, "cut.jpg"}});
  set.annotations[3].bbox = {5, 5, 0, 0};
  set.annotations[6].bbox = {35, 25, -30, -20};
  set.annotations[9].bbox = {200, 300, 10, 10};
  set.annotations[12].bbox = {5, 5, 1e300, 20};
  set.annotations[15].bbox = {-3, -3, 38, 28};
  set.annotations[18].bbox = {0, 0, 35, 25};
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes();
  words[3] = p.at("gt.json");
  auto const r = p.run(words);
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "3 labelled, 0 kept from before, 4 failed")));
  CHECK(contains(r.err, "annotations[3].bbox: is 0 wide and 0 high, in image zero.jpg (id 4)"));
  CHECK(contains(r.err, "annotations[6].bbox: is -30 wide and -20 high, in image negative.jpg (id 7)"));
  CHECK(contains(r.err, "annotations[9].bbox: lies outside its image of 60 x 90, in image outside.jpg (id 10)"));
  CHECK(contains(r.err, "annotations[12].bbox: holds 1e+300, in image huge.jpg (id 13)"));
  CHECK(read_labels(p.root / "out/instances/edge.png") == read_labels(p.root / "out/instances/cut.png"));
}

TEST_CASE("crowds of a COCO file: neither objects nor background, or objects", "[label][picture]")
{
  playground p;
  p.add("a");
  auto set = coco_of({{8, "a.jpg"}});
  set.annotations[1].iscrowd = true;
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes();
  words[3] = p.at("gt.json");
  auto const r = p.run(p.joined(words, {"--targets"}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(contains(r.err, "gt.json: 1 of 3 annotations are crowds (1 of 'bird'); their pixels are neither objects nor"));
  auto const semantic = read_labels(p.root / "out/semantic/a.png"), trusted = read_labels(p.root / "out/trust/a.png");
  auto const targets = read_npy<std::uint8_t, 3>(p.root / "out/targets/a.trusted.npy");
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const crowd = object_at(y, x) == 2;
      REQUIRE(semantic(y, x) == (crowd ? 255 : class_at(y, x)));
      REQUIRE((trusted(y, x) == trust::ignored) == crowd);
      for (index_t c = 0; c < 3; ++c) REQUIRE((targets(c, y, x) == trust::ignored) == crowd);
    }
  CHECK(parse(p.root / "out/detections.json").size() == 2);

  auto const all = p.run(p.joined(words, {"--crowds", "objects"}));
  CHECK((all.status == 0 && contains(all.err, "they are taken as objects")));
  CHECK(read_labels(p.root / "out/semantic/a.png") == read_labels(p.root / "semantic/a.png"));
  CHECK(parse(p.root / "out/detections.json").size() == 3);
}

TEST_CASE("no method's bytes hang on threads, shards or interruptions", "[label][property]")
{
  playground p;
  for (int i = 0; i < 4; ++i) p.add("im" + std::to_string(i), static_cast<std::uint64_t>(i));
  for (auto const& words : {p.network(p.truth()), p.weak({"--targets"}), p.boxes({"--targets"})}) {
    auto const name = words[1] + words[2];
    auto own = words;
    if (words[1] == "boxes") {
      replace_file(p.root / "names", "aeroplane\nnobody\nbird\n");
      own = p.joined(own, {"--names", p.at("names")});
    }
    auto const r = p.run(p.joined(own, {"--threads", "1"}), name + "whole");
    INFO(r.err);
    REQUIRE(r.status == 0);
    auto const whole = everything(p.root / (name + "whole"));
    for (auto const shard : {"2/2", "1/2"})
      REQUIRE(p.run(p.joined(own, {"--shard", shard}), name + "parts").status == 0);
    CHECK(everything(p.root / (name + "parts")) == whole);
    fs::remove(p.root / (name + "whole/semantic/im1.png"));
    auto const again = p.run(p.joined(own, {"--resume", "--threads", "3"}), name + "whole");
    CHECK(contains(again.out, "1 labelled, 3 kept"));
    CHECK(everything(p.root / (name + "whole")) == whole);
    auto const dry = p.run(p.joined(own, {"--dry-run"}), name + "dry");
    CHECK((dry.status == 0 && contains(dry.out, "MB of memory")));
    CHECK(!fs::exists(p.root / (name + "dry")));
  }
}

TEST_CASE("a bad file fails its image, whatever the method", "[label][errors]")
{
  playground p;
  for (auto const id : {"good", "gone", "nan", "shape", "class", "off", "size"}) p.add(id);
  auto const spoil = [&](std::string const& folder) {
    auto bad = read_npy<float, 3>(p.root / folder / "nan.npy");
    bad(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
    write_npy<3>(p.root / folder / "nan.npy", bad);
    fs::remove(p.root / folder / "gone.npy");
  };
  auto const only = [&](std::vector<std::string> const& ids) {
    std::string list;
    for (auto const& id : ids) list += id + "\n";
    replace_file(p.root / "ids", list);
    return std::vector<std::string>{"--ids", p.at("ids")};
  };

  SECTION("bestie, network")
  {
    spoil("offset");
    write_npy<3>(p.root / "centre/shape.npy", grid<float, 3>(4, H, W));
    replace_file(p.root / "images/size.png", format_photograph_png(grid<std::uint8_t, 3>(H, W - 1, 3)));
    replace_file(p.root / "tags", "good 1\ngone 1\nnan 1\nshape 1\nclass 4\nsize 1\n");
    auto const r = p.run(p.network(p.joined(only({"good", "gone", "nan", "shape", "class", "size", "off"}),
                                            {"--tags", p.at("tags"), "--images", p.at("images/{id}.png")})));
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 6 failed")));
    CHECK(contains(r.err, "offset/gone.npy: No such file"));
    CHECK(contains(r.err, "offset/nan.npy: value(1,2,3) is nan"));
    CHECK(contains(r.err, "centre/shape.npy: the logits are [4,60,90], so [3,60,90] is needed; it holds [4,60,90]"));
    CHECK(contains(r.err, "names class 4 for 'class', but there are 3"));
    CHECK(contains(r.err, "seg/size.npy: holds [4,60,90], more than the image's 60 x 89"));
    CHECK(contains(r.err, "tags: has no line for 'off'"));
  }
  SECTION("bestie, weak labels")
  {
    fs::remove(p.root / "points/gone.txt");
    replace_file(p.root / "points/off.txt", std::string_view("90 5 2 1\n"));
    replace_file(p.root / "points/class.txt", std::string_view("9 5 3 1\n"));
    replace_file(p.root / "points/nan.txt", std::string_view("9 nan 1 1\n"));
    grid<std::int32_t, 2> map(H, W);
    map(1, 2) = 4;
    replace_file(p.root / "semantic/shape.png", format_labels(map, voc_palette()));
    auto const r =
        p.run(p.weak(p.joined(only({"good", "gone", "off", "class", "nan", "shape"}), {"--class-count", "3"})));
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 5 failed")));
    CHECK(contains(r.err, "points/gone.txt: No such file"));
    CHECK(contains(r.err, "points/off.txt: a point at x 90, y 5 is off the map of 60 x 90"));
    CHECK(contains(r.err, "points/class.txt: a point at x 9, y 5 is of class 3, outside 0..2"));
    CHECK(contains(r.err, "points/nan.txt:1: y is 'nan'"));
    CHECK(contains(r.err, "semantic/shape.png: value(1,2) is 4, outside 0..3 and not 255"));
  }
  SECTION("boxes")
  {
    spoil("mu");
    write_npy<3>(p.root / "s/shape.npy", grid<float, 3>(2, H, W));
    auto xml = text_of(p.root / "xml/class.xml");
    replace_file(p.root / "xml/class.xml", xml.replace(xml.find("bird"), 4, "cat"));
    auto const small = [&](std::string const& kind) {
      auto other = text_of(p.root / "xml/size.xml");
      replace_file(p.root / "xml/size.xml", other.replace(other.find("<height>60"), 10, "<height>" + kind));
    };
    small("61");
    auto const r = p.run(p.boxes(only({"good", "gone", "nan", "shape", "class", "size"})));
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 5 failed")));
    CHECK(contains(r.err, "mu/gone.npy: No such file"));
    CHECK(contains(r.err, "mu/nan.npy: value(1,2,3) is nan"));
    CHECK(contains(r.err, "s/shape.npy: the means are [3,60,90], so the same or one channel is needed"));
    CHECK(contains(r.err, "xml/class.xml: has a box of class 8, but the network 3 classes"));
    CHECK(contains(r.err, "xml/size.xml: is of an image of 61 x 90"));
    CHECK(everything(p.root / "out/trust").size() == 1);
  }
}

TEST_CASE("instance_number_255: in a 16-bit map 255 is an instance", "[label][bestie][reference]")
{
  playground p;
  constexpr index_t side = 60, step = 3;  // 20 x 20 objects of four pixels
  grid<std::int32_t, 2> map(side, side);
  std::string cues;
  for (index_t y = 0; y < side; y += step)
    for (index_t x = 0; x < side; x += step) {
      map(y, x) = map(y + 1, x) = map(y, x + 1) = map(y + 1, x + 1) = 1;
      cues += std::to_string(x) + " " + std::to_string(y) + " 0 0.9\n";
    }
  replace_file(p.root / "semantic/a.png", format_labels(map, voc_palette()));
  replace_file(p.root / "points/a.txt", cues);
  REQUIRE(p.run(p.weak({"--smallest", "0"}), "first").status == 0);
  auto const numbers = read_labels(p.root / "first/instances/a.png");
  REQUIRE(*std::max_element(numbers.cells().begin(), numbers.cells().end()) == 400);
  auto const r = p.run(p.weak({"--smallest", "0", "--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                               p.at("first/instances/{id}.png")}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const scores = parse(p.root / "out/scores.json");
  for (auto const name : {"ap25", "ap50", "ap70", "ap75", "average_best_overlap"}) CHECK(scores.at(name) == 1);

  // in 8 bits it is void: the first 254 objects are true, and the last, which is void, costs nothing
  grid<std::int32_t, 2> eight = numbers;
  for (auto& v : eight.cells()) v = v > 255 ? 0 : v;
  replace_file(p.root / "eight/a.png", format_labels(eight, voc_palette()));
  REQUIRE(p.run(p.weak({"--smallest", "0", "--truth-semantic", p.at("semantic/{id}.png"), "--truth-instances",
                        p.at("eight/{id}.png")}))
              .status == 0);
  auto const record = parse(p.root / "out/records/a.json");
  CHECK(record.at("truth").at("classes").size() == 254);
}

TEST_CASE("a weak map of 0/255 has no class", "[label][bestie][errors]")
{
  playground p;
  p.add("a"), p.add("b"), p.add("c");
  auto const put = [&](std::string const& id, auto const& number) {
    auto map = read_labels(p.root / "semantic/a.png");
    for (auto& v : map.cells()) v = number(v);
    replace_file(p.root / "other" / (id + ".png"), format_labels(map, voc_palette()));
  };
  put("a", [](auto v) { return v == 0 ? 0 : 255; });
  put("b", [](auto v) { return v == 0 ? 0 : v == 1 ? 38 : 113; });
  put("c", [](auto v) { return v == 0 ? 0 : 255; });
  replace_file(p.root / "points/c.txt", std::string_view(""));  // nobody says that there is an object
  auto const r = p.run({"--method", "bestie", "--semantic", p.at("other/{id}.png"), "--points", p.at("points/{id}.txt"),
                        "--class-count", "20"});
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 2 failed")));
  CHECK(contains(r.err,
                 "other/a.png: has no pixel of any class, but void where points name objects; it holds only 0 and "
                 "255 as a binary mask does"));
  CHECK(contains(r.err,
                 "other/b.png: value(5,5) is 113, outside 0..20 and not 255; --class-count says how many classes "
                 "there are; its numbers are the grey values of VOC's colours"));
  replace_file(p.root / "other/a.png", format_photograph_png(grid<std::uint8_t, 3>(H, W, 3)));
  auto const colour =
      p.run({"--method", "bestie", "--semantic", p.at("other/{id}.png"), "--points", p.at("points/{id}.txt")});
  CHECK(contains(colour.err, "other/a.png: is a colour image"));
}

TEST_CASE("an exact mask of 0/255 has no class", "[label][boxes][errors]")
{
  playground p;
  for (auto const id : {"boxed", "alone", "nothing", "grey", "said"}) p.add(id);
  replace_file(p.root / "names", "aeroplane\nnobody\nbird\n");
  auto const mask = read_labels(p.root / "semantic/boxed.png");
  auto binary = mask, grey = mask;
  for (auto& v : binary.cells()) v = v == 0 ? 0 : 255;
  for (auto& v : grey.cells()) v = v == 0 ? 0 : v == 1 ? 38 : 113;
  for (auto const id : {"boxed", "alone", "said"})
    replace_file(p.root / "masks" / (std::string(id) + ".png"), format_labels(binary, voc_palette()));
  replace_file(p.root / "masks/grey.png", format_labels(grey, voc_palette()));
  replace_file(p.root / "masks/nothing.png", format_labels(grid<std::int32_t, 2>(H, W), voc_palette()));
  fs::remove(p.root / "xml/alone.xml"), fs::remove(p.root / "xml/nothing.xml");
  replace_file(p.root / "xml/said.xml",
               std::string_view("<annotation><size><width>90</width><height>60</height></size></annotation>"));
  auto const r = p.run(p.boxes({"--names", p.at("names"), "--masks", p.at("masks/{id}.png")}));
  INFO(r.err << r.out);
  CHECK((r.status == 1 && contains(r.out, "2 labelled, 0 kept from before, 3 failed")));  // nothing and said are true
  CHECK(
      contains(r.err, "masks/boxed.png: has no pixel of any class, but the image has boxes; it holds only 0 and 255"));
  CHECK(contains(r.err, "masks/alone.png: has no pixel of any class; it holds only 0 and 255"));
  CHECK(contains(r.err, "masks/grey.png: holds 113, outside 0..3 and not 255; its numbers are the grey values"));
}

TEST_CASE("maps in other axes are refused, whatever the method", "[label][errors]")
{
  playground p;
  p.add("a");
  std::vector<std::string> const images{"--images", p.at("images/{id}.png")};
  auto const turn = [&](std::string const& folder, auto const& order) {
    auto const from = read_npy<float, 3>(p.root / folder / "a.npy");
    auto const& e = from.shape();
    index_t const at[] = {e[0], e[1], e[2]};
    grid<float, 3> to(at[order[0]], at[order[1]], at[order[2]]);
    for (index_t i = 0; i < e[0]; ++i)
      for (index_t j = 0; j < e[1]; ++j)
        for (index_t k = 0; k < e[2]; ++k) {
          index_t const v[] = {i, j, k};
          to(v[order[0]], v[order[1]], v[order[2]]) = from(i, j, k);
        }
    write_npy<3>(p.root / folder / "a.npy", to);
  };
  int const last[] = {1, 2, 0}, swapped[] = {0, 2, 1};
  auto const refused = [&](std::vector<std::string> const& words, std::string const& says) {
    auto const r = p.run(words);
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.err, says)));
  };

  SECTION("bestie, the logits")
  {
    turn("seg", last);
    refused(p.network(images), "seg/a.npy: holds [60,90,4], more than the image's");
  }
  SECTION("bestie, all of them, without images")
  {
    turn("seg", last), turn("centre", last), turn("offset", last);
    refused(p.network(),
            "centre/a.npy: the logits are [60,90,4], so [59,90,4] is needed; it holds [60,90,3]; all three "
            "look like [h,w,C]: numpy.moveaxis(a, -1, 0) makes [C,h,w] of each");
  }
  SECTION("bestie, all of them with rows and columns exchanged")
  {
    turn("seg", swapped), turn("centre", swapped), turn("offset", swapped);
    refused(p.network(images), "seg/a.npy: holds [4,90,60], more than the image's 60 x 90; it looks like [C,w,h]");
    replace_file(p.root / "images/a.png", format_photograph_png(grid<std::uint8_t, 3>(2 * H, 2 * W, 3)));
    refused(p.network(images), "seg/a.npy: holds [4,90,60], no map of an image of 120 x 180; it looks like [C,w,h]");
  }
  SECTION("bestie, one of them")
  {
    turn("offset", last);
    refused(p.network(),
            "offset/a.npy: the logits are [4,60,90], so [2,60,90] is needed; it holds [60,90,2]; it looks "
            "like [h,w,C]");
  }
  SECTION("bestie, maps of a square image")
  {
    for (auto const& [folder, channels] : {std::pair{"seg", 4}, {"centre", 3}, {"offset", 2}})
      write_npy<3>(p.root / folder / "a.npy", grid<float, 3>(channels, 50, 50));
    refused(p.network(images),
            "seg/a.npy: holds [4,50,50], no map of an image of 60 x 90; --stretched is for maps of an");
    CHECK(p.run(p.network(p.joined(images, {"--stretched"}))).status == 0);
  }
  SECTION("boxes")
  {
    auto const mu = read_file(p.root / "mu/a.npy");
    turn("mu", last), turn("s", last);
    refused(p.boxes(), "mu/a.npy: holds [60,90,3], so there are 60 classes, but the boxes have 20");
    write_npy<3>(p.root / "mu/a.npy", grid<float, 3>(3, 90, 60));
    write_npy<3>(p.root / "s/a.npy", grid<float, 3>(3, 90, 60));
    refused(p.boxes(), "xml/a.xml: is of an image of 60 x 90, but the means are [3,90,60]; it looks like [C,w,h]");
    replace_file(p.root / "mu/a.npy", mu);
    write_npy<3>(p.root / "s/a.npy", grid<float, 3>(60, 90, 3));
    refused(p.boxes(), "it holds [60,90,3]; it looks like [h,w,C]: numpy.moveaxis(a, -1, 0)");
  }
  SECTION("boxes, a background channel among the questions")
  {
    replace_file(p.root / "names", "aeroplane\nbird\n");
    refused(p.boxes({"--names", p.at("names")}),
            "mu/a.npy: holds [3,60,90], so there are 3 classes, but the boxes have 2; "
            "if the first channel is the background, say --classes mean_field");
  }
}

TEST_CASE("flags of another method, and missing ones, are refused", "[label][errors]")
{
  playground p;
  p.add("a");
  auto const refused = refuses(p);
  refused({"--method", "magic"}, "--method: magic not in {irnet,bestie,boxes,proposals,scribbles,cut}");
  refused({"--seg", "{id}"}, "--seg is a flag of --method bestie; the method here is irnet");
  refused(p.network({"--boundaries=x"}),
          "--boundaries is a flag of --method irnet and scribbles; the method here is bestie");
  refused(p.boxes({"--tags", "x"}),
          "--tags is a flag of --method irnet and bestie and proposals; the method here is boxes");
  refused(p.boxes({"--targets", "--crf"}), "--crf is a flag of --method irnet");
  refused(p.boxes({"--nonsense"}), "--nonsense");
  refused({"--method", "bestie", "--seg", "{id}", "--offsets", "{id}"}, "--centres is missing");
  refused({"--method", "bestie"}, "needs --seg, --centres and --offsets, or --semantic and --points");
  refused({"--method", "bestie", "--semantic", "{id}"}, "--semantic needs --points");
  refused(p.weak({"--val-thresh", "0.3"}), "--val-thresh belongs to a network's output");
  refused(p.network({"--targets"}), "--targets belongs to weak labels");
  refused(p.network({"--pseudo-thresh", "0.3"}), "--pseudo-thresh needs --points");
  refused(p.network({"--points", "{id}", "--beta", "2"}), "--beta has no say where --points are the centres");
  refused(p.network({"--apart", "nan"}), "--apart: Value nan not in range");
  refused(p.weak({"--targets", "--sigma", "300"}), "--sigma: Value 300 not in range");
  refused(p.network({"--seen", "12"}), "--seen 12: expected 'maps', 'image' or HxW");
  refused(p.network({"--val-kernel", "40"}), "--val-kernel: 40 is not a positive odd number");
  refused(p.network({"--overlay"}), "--overlay needs --images");
  refused(p.weak({"--supervision", "boxes"}), "--supervision: boxes not in {cls,point}");
  refused({"--method=boxes", "--boxes", "{id}", "--mu", "{id}"}, "--log-variance");
  refused(p.boxes({"--min-fill", "nan"}), "--min-fill: Value nan not in range");
  refused(p.boxes({"--tau-lo", "5"}), "tau-lo <= tau-hi is needed");
  refused(p.boxes({"--confidence", "1"}), "--confidence is 1");
  refused(p.boxes({"--names", p.at("none")}), "none");
  auto words = p.boxes();
  words[3] = p.at("none.json");
  refused(words, "none.json: No such file");
}

TEST_CASE("coco_boxes_category_ids: a mask in the ids of categories is refused", "[label][boxes][errors]")
{
  playground p;
  p.add("a");
  auto set = coco_of({{8, "a.jpg"}});  // of the ranks 3, 3, 1, whose ids are 90, 90, 4
  write_coco(p.root / "gt.json", set);
  auto words = p.boxes({"--masks", p.at("masks/{id}.png")});
  words[3] = p.at("gt.json");
  auto const put = [&](auto const& number) {
    auto map = read_labels(p.root / "semantic/a.png");
    for (auto& v : map.cells()) v = number(v);
    replace_file(p.root / "masks/a.png", format_labels(map, voc_palette()));
    return p.run(words);
  };
  CHECK(put([](auto v) { return v; }).status == 0);
  auto const apart = put([](auto v) { return v == 0 ? 0 : 2; });
  CHECK(apart.status == 1);
  CHECK(contains(apart.err,
                 "masks/a.png: has the classes 2, but the boxes of its image the classes 1, 3: masks hold ranks "
                 "of categories, from 1, not the categories' ids"));
  CHECK(put([](auto v) { return v == 1 ? 2 : v; }).status == 0);  // a class of the boxes is there
  // the ids 3 and 2 of the boxes' categories, of the ranks 2 and 1
  for (auto& c : set.categories) c.id = c.id == 4 ? 2 : c.id == 17 ? 3 : c.id;
  for (auto& one : set.annotations) one.category_id = one.category_id == 4 ? 2 : 3;
  write_coco(p.root / "gt.json", set);
  auto const ids = put([](auto v) { return v == 1 ? 2 : v; });
  CHECK(ids.status == 1);
  CHECK(
      contains(ids.err, "masks/a.png: has the classes 2, 3, but the boxes of its image the classes 1, 2: masks hold"));
  CHECK(put([](auto v) { return v == 3 ? 2 : v; }).status == 0);
}

TEST_CASE("height and width exchanged in an XML file are not blamed on the maps", "[label][boxes][errors]")
{
  playground p;
  p.add("a");
  auto xml = text_of(p.root / "xml/a.xml");
  std::string const size = "<width>90</width><height>60</height>";
  xml.replace(xml.find(size), size.size(), "<width>60</width><height>90</height>");
  auto const object = xml.find("<object>");
  replace_file(p.root / "xml/a.xml", xml.substr(0, object) + "</annotation>");
  replace_file(p.root / "names", "aeroplane\nnobody\nbird\n");
  auto const seen = p.run(p.boxes({"--names", p.at("names"), "--images", p.at("images/{id}.png")}));
  CHECK(seen.status == 1);
  CHECK(contains(seen.err,
                 "xml/a.xml: is of an image of 90 x 60, but the photograph and the means are [3,60,90]; its "
                 "height and width are exchanged"));
  CHECK_FALSE(contains(seen.err, "swapaxes"));
  auto const blind = p.run(p.boxes({"--names", p.at("names")}));  // nothing tells which is right
  CHECK(contains(blind.err, "swapaxes"));
}

TEST_CASE("images of a COCO file that are found by number are said", "[label][boxes][picture]")
{
  playground p;
  for (auto const id : {"2", "000000000007", "x"}) p.add(id);
  write_coco(p.root / "gt.json", coco_of({{2, "5.jpg"}, {7, "000000000007.jpg"}, {9, "x.jpg"}}));
  auto words = p.boxes({"--ids", p.at("ids")});
  words[3] = p.at("gt.json");
  replace_file(p.root / "ids", "2\n000000000007\nx\n");
  auto const r = p.run(words);
  INFO(r.err);
  CHECK(r.status == 0);
  CHECK(contains(r.err, "note: " + p.at("gt.json") +
                            ": 1 of 3 images are found by their number in it, not by their name "
                            "('2' is '5.jpg')"));
  replace_file(p.root / "ids", "000000000007\nx\n");
  CHECK_FALSE(contains(p.run(words).err, "by their number"));
  write_coco(p.root / "gt.json", coco_of({{7, "000000000007.jpg"}}));
  p.add("7");
  replace_file(p.root / "ids", "7\n");
  CHECK_FALSE(contains(p.run(words).err, "by their number"));  // it is its name, but for zeros
}

TEST_CASE("a fractional point is the pixel under it, and twice the same point is one", "[label][bestie][reference]")
{
  playground p;
  p.add("a");
  // the object of class 1 has rows 35..54 and columns 20..59
  auto const object_of = [&](std::string const& points, std::vector<std::string> const& more = {}) {
    replace_file(p.root / "points/a.txt", points);
    auto const r = p.run(p.weak(p.joined({"--class-count", "3"}, more)));
    INFO(r.err);
    REQUIRE(r.status == 0);
    auto const map = read_labels(p.root / "out/instances/a.png");
    return std::count_if(map.cells().begin(), map.cells().end(), [](auto v) { return v > 0; });
  };
  CHECK(object_of("59.4 54.4 0 1\n") == 800);
  CHECK(object_of("59.6 45 0 1\n") == 0);
  CHECK(object_of("19.6 34.6 0 1\n") == 800);
  CHECK(object_of("19.4 45 0 1\n") == 0);
  CHECK(object_of("30 40 0 0.9\n30 40 0 0.9\n") == 800);
  CHECK(object_of("30 40 0 0.8\n30.2 39.9 0 0.9\n") == 800);
  CHECK(parse(p.root / "out/detections.json").at(0).at("score") == Approx(0.9));
  CHECK(object_of("30 40 0 0.9\n31 40 0 0.9\n") == 0);  // two points
  CHECK(object_of("-0.4 -0.4 0 1\n89.9 59.9 0 1\n30 40 0 1\n") == 800);

  // the target stands where the object was found, also at an exact half
  CHECK(object_of("30.5 40.5 0 1\n", {"--targets", "--supervision", "point"}) == 800);
  auto const heat = read_npy<float, 3>(p.root / "out/targets/a.centre.npy");
  CHECK(heat(0, 41, 31) == 1);
  CHECK(heat(0, 40, 30) < 1);
}

TEST_CASE("tags_two_bases: points that tags leave out altogether are told", "[label][bestie][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  for (auto const id : {"a", "b"}) replace_file(p.root / "points" / (std::string(id) + ".txt"), "40 45 0 0.9\n");
  std::string const said = "of 2 images is of a class that the tags do not name (a)";
  auto const with = [&](std::string const& tags) {
    replace_file(p.root / "tags", tags);
    return p.run(p.weak({"--class-count", "3", "--tags", p.at("tags")}));
  };
  auto const none = with("a 3\nb 3\n");  // 2 was meant to be the class of number 2 from 0
  INFO(none.err);
  CHECK((none.status == 0 && contains(none.err, "note: every point of 2 " + said)));
  CHECK(contains(with("a 3\nb 1\n").err, "note: every point of 1 " + said));
  CHECK_FALSE(contains(with("a 1\nb 1 3\n").err, "every point"));
  auto const clicks = p.run(p.network({"--tags", p.at("tags"), "--points", p.at("points/{id}.txt")}));
  CHECK_FALSE(contains(clicks.err, "every point"));
  replace_file(p.root / "tags", std::string_view("a 3\nb 3\n"));
  CHECK(contains(p.run(p.network({"--tags", p.at("tags"), "--points", p.at("points/{id}.txt")})).err,
                 "every point of 2 " + said));
}
