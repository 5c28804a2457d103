// The points program, run as people run it.

#include "programs/process.hpp"
#include "support/random.hpp"

#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/points.hpp>
#include <cambium/pipeline/bestie.hpp>

#include <limits>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;

namespace {

struct playground : scratch {
  void add(std::string const& id, std::uint64_t seed) const
  {
    write_npy<3>(root / "cams" / (id + ".npy"), support::uniform<float, 3>({3, 6, 9}, -0.5, 2, seed));
    write_npy<3>(root / "mirrored" / (id + ".npy"), support::uniform<float, 3>({3, 6, 9}, -0.5, 2, seed + 100));
    replace_file(root / "images" / (id + ".png"), format_photograph_png(grid<std::uint8_t, 3>(47, 70, 3)));
  }

  outcome run(std::vector<std::string> const& more, bool images = true) const
  {
    std::vector<std::string> words{"--cams", at("cams/{id}.npy"), "--out", at("out")};
    if (images) words.insert(words.end(), {"--images", at("images/{id}.png")});
    words.insert(words.end(), more.begin(), more.end());
    return run_program(root, CAMBIUM_POINTS, words);
  }
};

}  // namespace

TEST_CASE("points writes what the pipeline finds", "[points][same]")
{
  playground p;
  p.add("a", 1), p.add("b", 2);
  auto const cams = read_npy<float, 3>(p.root / "cams/a.npy"), other = read_npy<float, 3>(p.root / "mirrored/a.npy");
  cpu const where{.threads = 1};
  REQUIRE(p.run({"--mirrored-cams", p.at("mirrored/{id}.npy")}).status == 0);
  auto const both = format_points(to_vector(where, bestie_peaks(where, cams, other, {47, 70}, {0, 1, 2})));
  CHECK(!both.empty());
  CHECK(text_of(p.root / "out/a.txt") == both);

  replace_file(p.root / "tags", "a 3 1\nb\n");  // in any order; b shows nothing
  auto const r = p.run({"--tags", p.at("tags"), "--conf-thresh", "0.6", "--nms-kernel", "5", "--top-k", "4",
                        "--smoothing", "5", "--plateau", "one"});
  INFO(r.err);
  REQUIRE(r.status == 0);
  peak_options const peaks{5, 4, 0.6, plateau::one_cell};
  auto const smoothed = smooth(where, class_maps(where, cams, {47, 70}, {0, 2}), 5);
  auto const alone = to_vector(where, extract_peaks(where, smoothed, peaks));
  CHECK(alone.size() >= 2);
  CHECK(text_of(p.root / "out/a.txt") == format_points(alone));
  CHECK(text_of(p.root / "out/b.txt").empty());
  CHECK(fs::exists(p.root / "out/b.txt"));
}

TEST_CASE("points takes sizes from a list, and neither that nor threads change a byte", "[points][property]")
{
  playground p;
  for (int i = 0; i < 5; ++i) p.add("im" + std::to_string(i), static_cast<std::uint64_t>(i));
  REQUIRE(p.run({"--threads", "1"}).status == 0);
  auto const by_images = everything(p.root / "out");
  CHECK(by_images.size() == 5);
  std::string sizes = "# id height width\n";
  for (int i = 0; i < 5; ++i) sizes += "im" + std::to_string(i) + " 47 70\n";
  replace_file(p.root / "sizes", sizes);
  REQUIRE(p.run({"--sizes", p.at("sizes"), "--threads", "5"}, false).status == 0);
  CHECK(everything(p.root / "out") == by_images);
}

TEST_CASE("points reads sizes and tags of ids with blanks", "[points][property]")
{
  playground p;
  p.add("photo 12", 1), p.add("img # 3", 2);
  replace_file(p.root / "tags", "\xEF\xBB\xBFphoto 12 1 3\r\n\"img # 3\" 2\r\n");
  REQUIRE(p.run({"--tags", p.at("tags")}).status == 0);
  auto const by_images = everything(p.root / "out");
  CHECK(by_images.size() == 2);
  replace_file(p.root / "sizes", "\xEF\xBB\xBFphoto 12 47 70\rimg # 3 47 70\rother 1 1\r");
  REQUIRE(p.run({"--sizes", p.at("sizes"), "--tags", p.at("tags")}, false).status == 0);
  CHECK(everything(p.root / "out") == by_images);
  for (auto const bad : {"photo 12 47", "photo 12 47 70 1", "photo 12 47 7O"}) {
    replace_file(p.root / "sizes", std::string(bad) + "\n");
    CHECK(contains(p.run({"--sizes", p.at("sizes")}, false).err, "sizes:1: expected '<id> <height> <width>'"));
  }
}

TEST_CASE("points goes on past a bad file and leaves nothing stale", "[points][errors]")
{
  playground p;
  for (auto const id : {"good", "gone", "nan", "tagged", "shape", "photo"}) p.add(id, 7);
  REQUIRE(p.run({}).status == 0);
  auto const before = everything(p.root / "out");
  auto bad = read_npy<float, 3>(p.root / "cams/nan.npy");
  bad(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  write_npy<3>(p.root / "cams/nan.npy", bad);
  fs::remove(p.root / "cams/gone.npy");
  write_npy<3>(p.root / "mirrored/shape.npy", grid<float, 3>(3, 6, 8));
  replace_file(p.root / "images/photo.png", std::string_view("no picture"));
  replace_file(p.root / "tags", "good 1\ngone 1\nnan 1\ntagged 4\nshape 1\nphoto 1\n");
  auto const r = p.run({"--tags", p.at("tags"), "--mirrored-cams", p.at("mirrored/{id}.npy")});
  INFO(r.err);
  CHECK(r.status == 1);
  CHECK(contains(r.out, "1 images, 5 failed"));
  CHECK(contains(r.err, "cams/gone.npy: No such file"));
  CHECK(contains(r.err, "cams/nan.npy: value(1,2,3) is nan"));
  CHECK(contains(r.err, "names class 4 for 'tagged', but its CAM has 3 channels"));
  CHECK(contains(r.err, "mirrored/shape.npy: holds [3,6,8], but those of the image are [3,6,9]"));
  CHECK(contains(r.err, "images/photo.png: is neither a JPEG nor a PNG"));
  auto after = everything(p.root / "out");
  CHECK(after.size() == 1);
  for (auto const id : {"gone", "nan", "tagged", "shape", "photo"})
    CHECK(contains(r.err, "; the earlier " + p.at(std::string("out/") + id + ".txt") + " is removed"));
  CHECK(after.at("good.txt") != before.at("good.txt"));  // of class 1 alone
}

TEST_CASE("points never writes over an input", "[points][errors]")
{
  playground p;
  p.add("sizes", 1);
  replace_file(p.root / "out/sizes.txt", "sizes 47 70\n");
  auto const r = p.run({"--sizes", p.at("out/sizes.txt")}, false);
  CHECK(r.status == 2);
  CHECK(contains(r.err, "out/sizes.txt: is an input, but would be written over"));
  CHECK(text_of(p.root / "out/sizes.txt") == "sizes 47 70\n");
}

TEST_CASE("points_wrong_axes: a map in other axes is no map of its image", "[points][errors]")
{
  playground p;
  replace_file(p.root / "sizes", "a 64 96\n");
  auto const run = [&](std::vector<index_t> const& shape, std::vector<std::string> more = {}) {
    auto const cells = support::uniform<float, 3>({shape[0], shape[1], shape[2]}, 0, 1, 3);
    write_npy<3>(p.root / "cams/a.npy", cells);
    more.insert(more.end(), {"--sizes", p.at("sizes")});
    return p.run(more, false);
  };
  auto const refused = [&](std::vector<index_t> const& shape, std::string const& says) {
    fs::remove_all(p.root / "out");
    auto const r = run(shape);
    INFO(r.err);
    CHECK((r.status == 1 && contains(r.err, says)));
    CHECK(everything(p.root / "out").empty());
  };
  refused({16, 24, 20},
          "cams/a.npy: holds [16,24,20]; [C,h,w] is needed, but 24 x 20 is no map of an image of 64 x 96; it "
          "looks like [h,w,C]: numpy.moveaxis(a, -1, 0) makes [C,h,w] of it");
  refused({64, 96, 20}, "it looks like [h,w,C]");
  refused({20, 24, 16}, "it looks like [C,w,h]: numpy.swapaxes(a, 1, 2)");
  refused({24, 16, 20}, "it looks like [w,h,C]: numpy.transpose(a)");
  refused({20, 96, 64}, "of it; perhaps a tool has turned the photograph by its EXIF orientation");
  for (index_t const side : {7, 14, 16, 32, 64})
    refused({20, side, side}, "--stretched is for maps of an image that was");
  CHECK(run({20, 14, 14}, {"--stretched"}).status == 0);
  fs::remove_all(p.root / "out");

  // any stride and rounding, and an input that was padded
  for (auto const& shape : std::vector<std::vector<index_t>>{{20, 64, 96},
                                                             {20, 16, 24},
                                                             {20, 17, 25},
                                                             {20, 8, 12},
                                                             {20, 9, 13},
                                                             {20, 4, 6},
                                                             {20, 2, 3},
                                                             {20, 3, 4},
                                                             {1, 1, 1},
                                                             {20, 128, 192},
                                                             {20, 13, 19}}) {
    auto const r = run(shape);
    INFO(r.err << shape[1] << " x " << shape[2]);
    CHECK(r.status == 0);
  }
  replace_file(p.root / "sizes", "a 375 500\n");
  for (auto const& shape : std::vector<std::vector<index_t>>{{2, 353, 449},
                                                             {2, 94, 125},
                                                             {2, 24, 32},
                                                             {2, 47, 63},
                                                             {2, 384, 512},
                                                             {2, 364, 490},
                                                             {2, 96, 128},
                                                             {2, 12, 16},
                                                             {2, 14, 19}}) {
    auto const r = run(shape);
    INFO(r.err << shape[1] << " x " << shape[2]);
    CHECK(r.status == 0);
  }
  refused({2, 224, 224}, "--stretched");
  replace_file(p.root / "sizes", "a 335 480\n");  // rounded down: 335 to 328, 480 stays
  CHECK(run({2, 328, 480}).status == 0);
  replace_file(p.root / "sizes", "a 96 64\n");  // width before height
  refused({20, 16, 24}, "16 x 24 is no map of an image of 96 x 64; it looks like [C,w,h]");
  // a batch of one
  replace_file(p.root / "sizes", "a 64 96\n");
  write_npy<4>(p.root / "cams/a.npy", grid<float, 4>(1, 20, 16, 24));
  CHECK(p.run({"--sizes", p.at("sizes")}, false).status == 0);
  write_npy<4>(p.root / "cams/a.npy", grid<float, 4>(1, 16, 24, 20));
  CHECK(contains(p.run({"--sizes", p.at("sizes")}, false).err, "it looks like [h,w,C]"));
}

TEST_CASE("points refuses what makes no sense", "[points][errors]")
{
  playground p;
  p.add("a", 1);
  auto const refused = [&](std::vector<std::string> const& more, std::string const& says, bool images = true) {
    auto const r = p.run(more, images);
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, says));
    CHECK_FALSE(fs::exists(p.root / "out"));
  };
  refused({}, "one of --images and --sizes", false);
  refused({"--sizes", p.at("sizes")}, "one of --images and --sizes");
  refused({"--nms-kernel", "4"}, "--nms-kernel: 4 is not a positive odd number");
  refused({"--top-k", "0"}, "--top-k");
  refused({"--conf-thresh", "2"}, "--conf-thresh");
  refused({"--plateau", "some"}, "--plateau: some not in {every,one}");
  refused({"--mirrored-cams", "x.npy"}, "must contain {id}");
  replace_file(p.root / "sizes", "a 3\n");
  refused({"--sizes", p.at("sizes")}, "sizes:1: expected '<id> <height> <width>'", false);
  replace_file(p.root / "sizes", "a 3 0\n");
  refused({"--sizes", p.at("sizes")}, "an image of 3 x 0", false);
}
