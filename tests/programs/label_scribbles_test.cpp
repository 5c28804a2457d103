// label --method scribbles, run as people run it.

#include "programs/process.hpp"
#include "support/random.hpp"

#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/pipeline/scribbles.hpp>

#include <string>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;

namespace {

constexpr index_t H = 50, W = 70;

/// Two objects of class 3 side by side, one of class 1 below.
std::int32_t object_at(index_t y, index_t x)
{
  if (y >= 5 && y < 20 && x >= 5 && x < 30) return 1;
  if (y >= 5 && y < 20 && x >= 35 && x < 65) return 2;
  return y >= 30 && y < 45 && x >= 20 && x < 60 ? 3 : 0;
}

struct playground : scratch {
  void add(std::string const& id, std::uint64_t seed = 1) const
  {
    auto const noise = support::uniform<float, 3>({H, W, 3}, 0, 4, seed);
    grid<std::uint8_t, 3> image(H, W, 3);
    grid<std::int32_t, 2> drawing(H, W), semantic(H, W), objects(H, W);
    grid<float, 2> boundary(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const o = object_at(y, x);
        for (index_t c = 0; c < 3; ++c)
          image(y, x, c) = static_cast<std::uint8_t>((o == 0 ? 30 : 220) + noise(y, x, c));
        drawing(y, x) = 255, objects(y, x) = o, semantic(y, x) = o == 0 ? 0 : o == 3 ? 1 : 3;
        boundary(y, x) = x + 1 < W && object_at(y, x) != object_at(y, x + 1) ? 0.9f : 0;
      }
    for (index_t x = 10; x < 20; ++x) drawing(12, x) = 3, drawing(9, x + 30) = 3, drawing(40, x + 20) = 1;
    for (index_t x = 0; x < W; ++x) drawing(25, x) = 0;
    replace_file(root / "images" / (id + ".png"), format_photograph_png(image));
    replace_file(root / "scribbles" / (id + ".png"), format_labels(drawing, voc_palette()));
    replace_file(root / "semantic" / (id + ".png"), format_labels(semantic, voc_palette()));
    replace_file(root / "instances" / (id + ".png"), format_ids(objects));
    replace_file(root / "points" / (id + ".txt"), std::string_view("15 12 2\n50.2 10.6 2 0.9\n# middle\n40 37 0\n"));
    write_npy<2>(root / "boundary" / (id + ".npy"), boundary);
  }
  outcome run(std::vector<std::string> words, std::string const& out = "out") const
  {
    words.insert(words.begin(), {"--method", "scribbles"});
    words.insert(words.end(), {"--out", at(out)});
    return run_program(root, CAMBIUM_LABEL, words);
  }
  std::vector<std::string> marks(std::vector<std::string> const& more = {}) const
  {
    return joined({"--images", at("images/{id}.png"), "--scribbles", at("scribbles/{id}.png")}, more);
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

}  // namespace

TEST_CASE("scribbles along the photograph's edges are the truth", "[label][scribbles][picture]")
{
  playground p;
  p.add("a");
  auto const r = p.run(p.joined(p.marks({"--overlay"}), p.truth()));
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(read_labels(p.root / "out/semantic/a.png") == read_labels(p.root / "semantic/a.png"));
  auto const ids = read_labels(p.root / "out/instances/a.png");
  CHECK(fs::exists(p.root / "out/overlay/a.jpg"));
  auto const found = parse(p.root / "out/detections.json");
  REQUIRE(found.size() == 3);
  CHECK(found[0].at("category_id") == 3);
  CHECK(found[0].at("area") == 450);  // strokes in raster order: that of row 9 is the first
  CHECK(found[1].at("area") == 375);
  CHECK(found[2].at("category_id") == 1);
  CHECK(ids(10, 40) == 1);
  CHECK(ids(10, 10) == 2);
  CHECK(parse(p.root / "out/scores.json").at("miou").get<double>() == Approx(1));
}

TEST_CASE("points, and boundaries without photographs", "[label][scribbles][same]")
{
  playground p;
  p.add("a");
  auto r = p.run({"--images", p.at("images/{id}.png"), "--points", p.at("points/{id}.txt"), "--frame"});
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(read_labels(p.root / "out/semantic/a.png") == read_labels(p.root / "semantic/a.png"));
  CHECK(parse(p.root / "out/detections.json").size() == 3);

  r = p.run({"--scribbles", p.at("scribbles/{id}.png"), "--boundaries", p.at("boundary/{id}.npy"), "--boundary-cost",
             "50", "--limit", "30", "--unreached", "background", "--objects", "classes"},
            "lines");
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const drawing = read_labels(p.root / "scribbles/a.png");
  auto const boundary = read_npy<float, 2>(p.root / "boundary/a.npy");
  scribble_options o;
  o.cost.boundary = 50, o.limit = 30, o.unreached = unreached_cell::background, o.objects = scribbled_object::class_;
  scribble_input<float> in;
  in.boundary = boundary.view(), in.scribbles = drawing.view();
  auto const want = scribble_labels(cpu{}, in, o);
  CHECK(read_labels(p.root / "lines/semantic/a.png") == want.semantic);
  CHECK(read_labels(p.root / "lines/instances/a.png") == want.objects.label);
  CHECK(parse(p.root / "lines/detections.json").size() == 2);
  auto const parameters = parse(p.root / "lines/manifest.json").at("parameters");
  CHECK(parameters.at("method") == "scribbles");
  CHECK(parameters.at("limit") == 30);
  CHECK(parameters.at("objects") == "classes");
}

TEST_CASE("a boundary map of a quarter of the size", "[label][scribbles][same]")
{
  playground p;
  p.add("a");
  grid<float, 2> quarter(13, 18);
  for (index_t y = 0; y < 13; ++y) quarter(y, 8) = 1;
  write_npy<2>(p.root / "boundary/a.npy", quarter);
  auto const r = p.run(p.marks({"--boundaries", p.at("boundary/{id}.npy")}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(read_labels(p.root / "out/semantic/a.png")(40, 30) == 1);
}

TEST_CASE("bytes of scribbles do not depend on threads, shards or interruptions", "[label][scribbles][property]")
{
  playground p;
  for (int i = 0; i < 4; ++i) p.add("im" + std::to_string(i), static_cast<std::uint64_t>(i));
  auto const words = p.joined(p.marks({"--points", p.at("points/{id}.txt")}), p.truth());
  fs::remove(p.root / "points/im2.txt");
  fs::remove(p.root / "scribbles/im3.png");
  auto const r = p.run(p.joined(words, {"--threads", "1"}), "whole");
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const whole = everything(p.root / "whole");
  for (auto const shard : {"2/2", "1/2"}) REQUIRE(p.run(p.joined(words, {"--shard", shard}), "parts").status == 0);
  CHECK(everything(p.root / "parts") == whole);
  fs::remove(p.root / "whole/semantic/im1.png");
  auto const again = p.run(p.joined(words, {"--resume", "--threads", "3"}), "whole");
  CHECK(contains(again.out, "1 labelled, 3 kept"));
  CHECK(everything(p.root / "whole") == whole);
  auto const dry = p.run(p.joined(words, {"--dry-run"}), "dry");
  CHECK((dry.status == 0 && contains(dry.out, "MB of memory")));
  CHECK(!fs::exists(p.root / "dry"));
}

TEST_CASE("a bad drawing or point fails its image", "[label][scribbles][errors]")
{
  playground p;
  for (auto const id : {"good", "none", "full", "size", "off", "class", "on", "shape"}) p.add(id);
  grid<std::int32_t, 2> map(H, W);
  replace_file(p.root / "scribbles/full.png", format_labels(map, voc_palette()));
  for (auto& v : map.cells()) v = 255;
  replace_file(p.root / "scribbles/none.png", format_labels(map, voc_palette()));
  replace_file(p.root / "images/size.png", format_photograph_png(grid<std::uint8_t, 3>(H, W - 1, 3)));
  replace_file(p.root / "points/off.txt", std::string_view("69.6 5 2\n"));
  replace_file(p.root / "points/class.txt", std::string_view("9 5 254\n"));
  replace_file(p.root / "points/on.txt", std::string_view("9 25 1\n"));
  write_npy<2>(p.root / "boundary/shape.npy", grid<float, 2>(W, H));
  auto const r = p.run(p.marks({"--points", p.at("points/{id}.txt"), "--boundaries", p.at("boundary/{id}.npy")}));
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 7 failed")));
  CHECK(contains(r.err, "scribbles/none.png: marks no pixel: all are 255"));
  CHECK(contains(r.err, "scribbles/full.png: marks every pixel; a drawing is 255 where nothing was drawn"));
  CHECK(contains(r.err, "scribbles/size.png: is 50 x 70, but the image is 50 x 69"));
  CHECK(contains(r.err, "points/off.txt: a point at x 69.6, y 5 is off the image of 50 x 70"));
  CHECK(contains(r.err, "points/class.txt: a point at x 9, y 5 is of class 254, outside 0..253"));
  CHECK(
      contains(r.err, "points/on.txt: scribble_labels: point 0 at (25,9) is of class 2, but the cell is marked as 0"));
  CHECK(contains(r.err, "boundary/shape.npy: holds [70,50], no map of an image of 50 x 70"));
}

TEST_CASE("flags of scribbles that make no sense together", "[label][scribbles][errors]")
{
  playground p;
  p.add("a");
  auto const refused = refuses(p);
  refused({"--images", "{id}"}, "--scribbles or --points is needed");
  refused({"--scribbles", "{id}"}, "--images or --boundaries is needed");
  refused({"--points", "{id}", "--boundaries", "{id}"}, "--images is needed");
  refused(p.marks({"--boundary-cost", "3"}), "--boundary-cost needs --boundaries");
  refused({"--scribbles", "{id}", "--boundaries", "{id}", "--image-cost", "3"}, "--image-cost needs --images");
  refused(p.marks({"--unreached", "background"}), "--unreached needs --limit");
  refused(p.marks({"--confidence", "2"}), "--confidence: Value 2 not in range");
  refused(p.marks({"--crf"}), "--crf is a flag of --method irnet");
}

TEST_CASE("truth_0_255: drawings whose strokes are 255, or whose 0 means unmarked", "[label][scribbles][errors]")
{
  playground p;
  p.add("a"), p.add("b");
  auto const put = [&](std::string const& id, std::int32_t stroke, std::int32_t border) {
    grid<std::int32_t, 2> drawing(H, W);
    for (index_t x = 0; x < W; ++x) drawing(0, x) = border;
    for (index_t x = 10; x < 20; ++x) drawing(12, x) = stroke;
    replace_file(p.root / "scribbles" / (id + ".png"), format_labels(drawing, voc_palette()));
  };
  put("a", 255, 0);
  auto const one = p.run(p.marks());
  CHECK(one.status == 0);  // of one image that shows nothing
  CHECK(contains(one.err, "note: drawings that mark more than half of their image as background"));
  CHECK(contains(one.err, ": 1 in 1 image, 'a'"));
  fs::remove_all(p.root / "out");
  put("b", 255, 0);
  auto const both = p.run(p.marks());
  CHECK(both.status == 2);
  CHECK(contains(both.err,
                 "scribbles/a.png: marks most pixels as background and none as a class; a drawing is 255 where "
                 "nothing was drawn"));
  CHECK_FALSE(fs::exists(p.root / "out"));
  // with points a drawing may mark the background alone
  replace_file(p.root / "clicks/a.txt", std::string_view("15 12 2\n"));
  CHECK(p.run(p.marks({"--points", p.at("clicks/{id}.txt")})).status == 0);
  CHECK(contains(p.run(p.marks({"--points", p.at("none/{id}.txt")})).err, "none: No such file"));
  put("a", 3, 255), put("b", 3, 255);
  auto const zero = p.run(p.marks());
  CHECK(zero.status == 0);
  CHECK(contains(zero.err, ": 2 in 2 images, 'a' first"));
  p.add("a"), p.add("b");
  CHECK_FALSE(contains(p.run(p.marks()).err, "note:"));
}
