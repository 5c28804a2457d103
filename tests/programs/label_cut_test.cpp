// label --method cut, run as people run it.

#include "programs/process.hpp"
#include "support/random.hpp"

#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/pipeline/mask_cut.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace cambium;
using namespace programs;
namespace fs = std::filesystem;

namespace {

constexpr index_t h = 8, w = 12, side = 8;  // patches, and pixels of one

/// Three things before a background, in patches.
std::int32_t thing_at(index_t y, index_t x)
{
  if (y >= 1 && y < 4 && x >= 1 && x < 5) return 1;
  if (y >= 1 && y < 4 && x >= 7 && x < 11) return 2;
  return y >= 5 && y < 7 && x >= 3 && x < 8 ? 3 : 0;
}

struct playground : scratch {
  grid<float, 3> features(std::uint64_t seed) const
  {
    auto const direction = support::uniform<float, 2>({4, 16}, -1, 1, 99);
    auto out = support::uniform<float, 3>({16, h, w}, -0.2, 0.2, seed);
    for (index_t k = 0; k < 16; ++k)
      for (index_t y = 0; y < h; ++y)
        for (index_t x = 0; x < w; ++x) out(k, y, x) += direction(thing_at(y, x), k);
    return out;
  }
  /// @param shift  [pixels] of the things against their patches
  void add(std::string const& id, index_t H = h * side, index_t W = w * side, index_t shift = 0,
           std::uint64_t seed = 1) const
  {
    auto const noise = support::uniform<float, 3>({H, W, 3}, 0, 4, seed);
    grid<std::uint8_t, 3> image(H, W, 3);
    grid<std::int32_t, 2> semantic(H, W), objects(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const o = y < shift || x < shift ? 0 : thing_at((y - shift) * h / H, (x - shift) * w / W);
        for (index_t c = 0; c < 3; ++c)
          image(y, x, c) = static_cast<std::uint8_t>(static_cast<float>(30 + 60 * ((o + c) % 4)) + noise(y, x, c));
        objects(y, x) = o, semantic(y, x) = o == 3 ? 7 : o;
      }
    replace_file(root / "images" / (id + ".png"), format_photograph_png(image));
    replace_file(root / "semantic" / (id + ".png"), format_labels(semantic, voc_palette()));
    replace_file(root / "instances" / (id + ".png"), format_ids(objects));
    write_npy<3>(root / "features" / (id + ".npy"), features(seed));
  }
  outcome run(std::vector<std::string> const& more = {}, std::string const& out = "out") const
  {
    std::vector<std::string> words{
        "--method", "cut", "--images", at("images/{id}.png"), "--features", at("features/{id}.npy"), "--out", at(out)};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(root, CAMBIUM_LABEL, words);
  }
  std::vector<std::string> truth(std::vector<std::string> more) const
  {
    more.insert(more.end(),
                {"--truth-semantic", at("semantic/{id}.png"), "--truth-instances", at("instances/{id}.png")});
    return more;
  }
};

/// The part of two label maps that agrees about what is an object.
double agreement(grid<std::int32_t, 2> const& a, grid<std::int32_t, 2> const& b)
{
  double both = 0, any = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) {
    both += a.cells()[i] != 0 && b.cells()[i] != 0;
    any += a.cells()[i] != 0 || b.cells()[i] != 0;
  }
  return both / any;
}

}  // namespace

TEST_CASE("things are cut out of their features, whatever their classes", "[label][cut][picture]")
{
  playground p;
  p.add("a");
  auto const r = p.run(p.truth({"--tau", "0.5", "--overlay"}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const semantic = read_labels(p.root / "out/semantic/a.png"), ids = read_labels(p.root / "out/instances/a.png"),
             want = read_labels(p.root / "instances/a.png");
  std::int32_t number[4]{};
  index_t wrong = 0;
  for (index_t y = 0; y < h * side; ++y)
    for (index_t x = 0; x < w * side; ++x) {
      wrong += semantic(y, x) != (want(y, x) != 0 ? 1 : 0);
      auto& n = number[want(y, x)];
      if (n == 0) n = ids(y, x);
      wrong += ids(y, x) != n;
    }
  CHECK(wrong == 0);
  CHECK(number[0] == 0);
  CHECK(number[1] * number[2] * number[3] == 6);
  CHECK(fs::exists(p.root / "out/overlay/a.jpg"));
  auto const found = parse(p.root / "out/detections.json");
  REQUIRE(found.size() == 3);
  for (auto const& one : found) {
    CHECK(one.at("category_id") == 1);
    CHECK(one.at("score").get<double>() > 0.9);
    CHECK(one.at("score").get<double>() < 1);
  }
  auto const scores = parse(p.root / "out/scores.json");
  CHECK(scores.at("miou").get<double>() == Approx(1));
  auto const parameters = parse(p.root / "out/manifest.json").at("parameters");
  CHECK(parameters.at("method") == "cut");
  CHECK(parameters.at("tau") == 0.5);
  CHECK(parameters.at("passes") == 3);
}

TEST_CASE("masks of patches become masks of pixels", "[label][cut][same]")
{
  playground p;
  index_t const H = 61, W = 89;
  p.add("a", H, W, 0, 4);
  auto const r = p.run({"--tau", "0.3", "--passes", "2", "--corners", "4", "--eps", "0.001"});
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const found = mask_cut(cpu{}, p.features(4), {.tau = 0.3, .passes = 2, .cut = {.eps = 0.001}, .corners = 4});
  auto const cells = unpack_masks(cpu{}, found.masks);
  auto const have = read_labels(p.root / "out/instances/a.png");
  index_t wrong = 0, inside = 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const v = static_cast<index_t>(std::floor(static_cast<double>(y) * h / static_cast<double>(H) + 1e-9)),
                 u = static_cast<index_t>(std::floor(static_cast<double>(x) * w / static_cast<double>(W) + 1e-9));
      std::int32_t const want = cells(0, v, u) != 0 ? 1 : cells(1, v, u) != 0 ? 2 : 0;
      wrong += have(y, x) != want;
      inside += want != 0;
    }
  CHECK(wrong == 0);
  CHECK(inside > 500);
  auto const detections = parse(p.root / "out/detections.json");
  REQUIRE(detections.size() == 2);
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(detections[i].at("score").get<double>() == Approx(1 - found.passes[i].cost / 2));
}

TEST_CASE("objects follow the photograph", "[label][cut][property]")
{
  playground p;
  p.add("a", h * side, w * side, 3);
  auto const want = read_labels(p.root / "instances/a.png");
  REQUIRE(p.run({"--tau", "0.5"}, "plain").status == 0);
  double const plain = agreement(read_labels(p.root / "plain/instances/a.png"), want);
  CHECK(plain < 0.8);
  for (std::vector<std::string> const& how : {std::vector<std::string>{"--crf"}, {"--refine", "par"}}) {
    CAPTURE(how[0]);
    auto words = how;
    words.insert(words.end(), {"--tau", "0.5"});
    auto const r = p.run(words, "refined");
    INFO(r.err);
    REQUIRE(r.status == 0);
    CHECK(agreement(read_labels(p.root / "refined/instances/a.png"), want) > plain + 0.05);
  }
}

TEST_CASE("passes that find nothing do not change refined objects", "[label][cut][property]")
{
  playground p;
  p.add("a", h * side, w * side, 3);
  grid<float, 3> two(2, h, w);  // the first thing, and all the rest
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) two(thing_at(y, x) == 1 ? 0 : 1, y, x) = 1;
  write_npy<3>(p.root / "features/a.npy", two);
  for (std::vector<std::string> const& how : {std::vector<std::string>{"--crf"}, {"--refine", "par"}}) {
    CAPTURE(how[0]);
    std::vector<bytes> maps;
    for (std::string const passes : {"1", "3", "40"}) {
      auto words = how;
      words.insert(words.end(), {"--passes", passes});
      auto const r = p.run(words, "out" + passes);
      INFO(r.err);
      REQUIRE(r.status == 0);
      CHECK(parse(p.root / ("out" + passes) / "detections.json").size() == 1);
      maps.push_back(everything(p.root / ("out" + passes) / "instances").at("a.png"));
    }
    CHECK(maps[0] == maps[1]);
    CHECK(maps[0] == maps[2]);
  }
}

TEST_CASE("maps of stretched photographs have any shape, but features come first", "[label][cut][errors]")
{
  playground p;
  for (auto const id : {"square", "wide", "last", "front", "small"}) p.add(id);
  auto const put = [&](std::string const& id, grid<float, 3> g) {
    for (std::size_t i = 0; i < g.cells().size(); ++i) g.cells()[i] = static_cast<float>(i % 7) - 3;
    write_npy<3>(p.root / "features" / (id + ".npy"), g);
  };
  put("square", grid<float, 3>(40, 8, 8));
  put("wide", grid<float, 3>(40, 6, 15));
  put("last", grid<float, 3>(8, 8, 40));
  put("front", grid<float, 3>(8, 12, 40));
  p.add("small", 6, 9);  // fewer pixels than patches
  auto const r = p.run({"--stretched"});
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "3 labelled, 0 kept from before, 2 failed")));
  CHECK(contains(r.err, "features/last.npy: holds [8,8,40]; [D,h,w] is needed; it looks like [h,w,C]: numpy.moveaxis"));
  CHECK(contains(r.err, "features/front.npy: holds [8,12,40]; [D,h,w] is needed; it looks like [h,w,C]"));
  auto const small = read_labels(p.root / "out/instances/small.png");
  CHECK(std::count_if(small.cells().begin(), small.cells().end(), [](auto v) { return v != 0; }) > 5);
}

TEST_CASE("the first object may be small unless --smallest-first says no", "[label][cut][property]")
{
  playground p;
  p.add("a");
  grid<float, 3> odd(2, h, w);  // one patch of another kind
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) odd(y == 3 && x == 5 ? 0 : 1, y, x) = 1;
  write_npy<3>(p.root / "features/a.npy", odd);
  auto const found = [&](std::vector<std::string> const& words) {
    auto const r = p.run(words);
    INFO(r.err);
    REQUIRE(r.status == 0);
    return parse(p.root / "out/detections.json");
  };
  auto const first = found({"--smallest", "1"});
  REQUIRE(first.size() == 1);
  CHECK(first[0].at("area") == side * side);
  CHECK(found({"--smallest", "1", "--smallest-first", "0.02"}).empty());
  CHECK(found({"--smallest", "1", "--smallest-first", "0.01"}).size() == 1);  // 1 of 96 is more
}

TEST_CASE("a cut that ends before its tolerance is told", "[label][cut][property]")
{
  playground p;
  p.add("a");
  auto const whole = p.run({"--passes", "1"}), early = p.run({"--passes", "1", "--steps", "1"}, "early");
  CHECK((whole.status == 0 && !contains(whole.err, "tolerance")));
  CHECK(early.status == 0);
  CHECK(contains(early.err, "features/a.npy: 1 of 1 cuts did not reach their tolerance in --steps 1"));
  auto const settled = [&](std::string const& out) {
    return parse(p.root / out / "records/a.json").at("cuts").at(0).at("settled").get<bool>();
  };
  CHECK((settled("out") && !settled("early")));
}

TEST_CASE("bytes of cuts do not depend on threads, shards or interruptions", "[label][cut][property]")
{
  playground p;
  for (int i = 0; i < 4; ++i) p.add("im" + std::to_string(i), h * side, w * side, 0, static_cast<std::uint64_t>(i + 1));
  auto const words = p.truth({"--crf"});
  auto const with = [&](std::vector<std::string> const& more) {
    auto all = words;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  auto const r = p.run(with({"--threads", "1"}), "whole");
  INFO(r.err);
  REQUIRE(r.status == 0);
  auto const whole = everything(p.root / "whole");
  for (auto const shard : {"2/2", "1/2"}) REQUIRE(p.run(with({"--shard", shard}), "parts").status == 0);
  CHECK(everything(p.root / "parts") == whole);
  fs::remove(p.root / "whole/semantic/im1.png");
  auto const again = p.run(with({"--resume", "--threads", "3"}), "whole");
  CHECK(contains(again.out, "1 labelled, 3 kept"));
  CHECK(everything(p.root / "whole") == whole);
  write_npy<3>(p.root / "features/im2.npy", p.features(77));
  CHECK(contains(p.run(with({"--resume"}), "whole").out, "1 labelled, 3 kept"));
  CHECK(contains(p.run(with({"--resume", "--tau", "0.3"}), "whole").out, "4 labelled, 0 kept"));
  auto const dry = p.run(with({"--dry-run"}), "dry");
  CHECK((dry.status == 0 && contains(dry.out, "MB of memory")));
  CHECK(!fs::exists(p.root / "dry"));
}

TEST_CASE("features without a difference give no object; bad ones fail their image", "[label][cut][errors]")
{
  playground p;
  for (auto const id : {"good", "same", "nan", "turned", "last", "one", "none", "square", "flat", "large"}) p.add(id);
  auto const put = [&](std::string const& id, grid<float, 3> const& g) {
    write_npy<3>(p.root / "features" / (id + ".npy"), g);
  };
  grid<float, 3> same(16, h, w);
  for (float& v : same.cells()) v = 3;
  put("same", same);
  auto nan = p.features(1);
  nan(5, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  put("nan", nan);
  put("turned", grid<float, 3>(16, w, h));
  put("last", grid<float, 3>(h, w, 40));
  put("one", grid<float, 3>(16, 1, 1));
  put("none", grid<float, 3>(0, h, w));
  put("square", grid<float, 3>(16, 9, 9));
  write_npy<2>(p.root / "features/flat.npy", grid<float, 2>(h, w));
  p.add("many", 400, 600);
  put("many", grid<float, 3>(2, 400, 600));
  put("large", grid<float, 3>(2, h * side + 8, w * side + 12));
  auto const r = p.run();
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "2 labelled, 0 kept from before, 9 failed")));
  auto const nothing = read_labels(p.root / "out/instances/same.png");
  CHECK(std::all_of(nothing.cells().begin(), nothing.cells().end(), [](auto v) { return v == 0; }));
  CHECK(contains(r.err, "features/nan.npy: value(5,2,3) is nan; expected a finite number"));
  CHECK(contains(r.err, "features/turned.npy: holds [16,12,8], no map of an image of 64 x 96; it looks like [C,w,h]"));
  CHECK(contains(r.err, "features/last.npy: holds [8,12,40], no map of an image of 64 x 96; it looks like [h,w,C]"));
  CHECK(contains(r.err, "features/one.npy: holds [16,1,1]; [D,h,w] is needed, with two patches at least"));
  CHECK(contains(r.err, "features/none.npy: holds [0,8,12]; [D,h,w] is needed"));
  CHECK(contains(r.err, "features/square.npy: holds [16,9,9], no map of an image of 64 x 96; --stretched is for"));
  CHECK(contains(r.err, "features/flat.npy"));
  CHECK(contains(r.err, "features/many.npy: feature_affinity: features are [2,400,600]; all pairs of 240000 patches"));
  CHECK(contains(r.err, "features/large.npy: holds [2,72,108], no map of an image of 64 x 96"));
  CHECK(p.run({"--stretched", "--ids",
               [&] {
                 replace_file(p.root / "ids.txt", std::string_view("square\n"));
                 return p.at("ids.txt");
               }()},
              "stretched")
            .status == 0);
}

TEST_CASE("flags of cuts that make no sense together", "[label][cut][errors]")
{
  playground p;
  p.add("a");
  auto const refused = refuses(p);
  refused({"--crf", "--refine", "par"}, "--crf and --refine: give one of the two");
  refused({"--tau", "2"}, "--tau: Value 2 not in range");
  refused({"--eps", "0"}, "--eps: Value 0 not in range");
  refused({"--passes", "0"}, "--passes: Value 0 not in range");
  refused({"--corners", "6"}, "--corners: Value 6 not in range");
  refused({"--cams", "{id}"}, "--cams is a flag of --method irnet");
  auto const r = run_program(p.root, CAMBIUM_LABEL, {"--method", "cut", "--images", "{id}", "--out", p.at("out")});
  CHECK((r.status == 2 && contains(r.err, "--features is required")));
}

TEST_CASE("tokens of a transformer are no map of one channel", "[label][cut][errors]")
{
  playground p;
  p.add("tokens"), p.add("first"), p.add("flat"), p.add("map");
  auto const put = [&](std::string const& id, grid<float, 3> const& g) {
    write_npy<3>(p.root / "features" / (id + ".npy"), g);
  };
  put("tokens", grid<float, 3>(1, h * w, 16));
  put("first", grid<float, 3>(1, h * w + 1, 16));  // with a class token
  put("flat", grid<float, 3>(1, h, w));
  auto const r = p.run();
  INFO(r.err);
  CHECK((r.status == 1 && contains(r.out, "1 labelled, 0 kept from before, 3 failed")));
  std::string const one = "; [D,h,w] is needed, with two channels at least: the cosine of single numbers is 1 or -1";
  CHECK(contains(r.err, "features/tokens.npy: holds [1,96,16]" + one +
                            "; it looks like tokens [1,N,D]: a[0].T.reshape(16, 8, 12) makes [D,h,w] of it"));
  CHECK(
      contains(r.err, "features/first.npy: holds [1,97,16]" + one +
                          "; it looks like tokens [1,N,D], a class token first: a[0, 1:].T.reshape(16, 8, 12) makes"));
  CHECK(contains(r.err, "features/flat.npy: holds [1,8,12]" + one + "\n"));
  put("tokens", grid<float, 3>(1, 81, 16));  // of a stretched photograph
  auto const stretched = p.run({"--stretched"}, "stretched");
  CHECK(stretched.status == 1);
  CHECK(contains(stretched.err, "a[0].T.reshape(16, 9, 9) makes [D,h,w] of it"));
}
