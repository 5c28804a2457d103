#include <cambium/pipeline/irnet.hpp>

#include "support/catch.hpp"
#include "support/irnet_scene.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

using namespace cambium;
using support::irnet_scene;

namespace {

irnet_options const quick{.radius = 3, .beta = 4, .exp_times = 3};

/// Are labels, areas, boxes and scores of one and the same picture?
void check_consistent(irnet_labels<> const& out, irnet_input<double> const& in)
{
  REQUIRE(out.semantic.shape() == std::array<index_t, 2>{in.image.height, in.image.width});
  REQUIRE(out.objects.label.shape() == out.semantic.shape());
  std::set<int> allowed{0};
  for (auto const key : in.keys) allowed.insert(key + 1);
  for (auto const v : out.semantic.cells()) REQUIRE(allowed.count(v) == 1);
  auto const& found = out.objects.found;
  std::vector<instance> seen(found.size(), instance{0, 0, 0, {in.image.height, in.image.width, 0, 0}});
  for (index_t y = 0; y < in.image.height; ++y)
    for (index_t x = 0; x < in.image.width; ++x) {
      auto const label = out.objects.label(y, x);
      REQUIRE((0 <= label && label <= static_cast<int>(found.size())));
      if (label == 0) continue;
      auto& s = seen[static_cast<std::size_t>(label - 1)];
      ++s.area;
      s.bounds = {std::min(s.bounds.top, y), std::min(s.bounds.left, x), std::max(s.bounds.bottom, y + 1),
                  std::max(s.bounds.right, x + 1)};
    }
  for (std::size_t i = 0; i < found.size(); ++i) {
    REQUIRE((seen[i].area == found[i].area && seen[i].bounds == found[i].bounds && found[i].area > 0));
    REQUIRE(std::count(in.keys.begin(), in.keys.end(), found[i].category) > 0);
    REQUIRE((0 <= found[i].score && found[i].score <= 1));
  }
}

bool equal(irnet_labels<> const& a, irnet_labels<> const& b)
{
  bool same = a.semantic == b.semantic && a.objects.label == b.objects.label &&
              a.objects.found.size() == b.objects.found.size();
  for (std::size_t i = 0; same && i < a.objects.found.size(); ++i) {
    auto const &p = a.objects.found[i], &q = b.objects.found[i];
    same = p.category == q.category && p.score == q.score && p.area == q.area && p.bounds == q.bounds;
  }
  return same;
}

}  // namespace

TEST_CASE("semantic labels equal the definition, step by step", "[pipeline][reference]")
{
  auto const [H, W] = GENERATE(table<int, int>({{21, 17}, {9, 30}, {4, 4}, {33, 5}}));
  auto const seed = GENERATE(1u, 2u, 3u);
  CAPTURE(H, W, seed);
  irnet_scene const s(3, H, W, seed);
  auto const want = s.semantic_by_definition(3, 4, 3, 0.25);
  auto const out = irnet(cpu{}, s.without_displacement(), quick);
  CHECK(out.semantic == want);
  if (H * W > 300) CHECK(std::set<int>(want.cells().begin(), want.cells().end()).size() >= 3);  // not a blank
}

TEST_CASE("instances without displacement or walls are the pieces of the semantic labels", "[pipeline][reference]")
{
  auto const seed = GENERATE(range(1u, 6u));
  irnet_scene const s(3, 41, 37, seed);
  auto options = quick;
  options.component_thres = 2;
  auto const out = irnet(cpu{}, s.without_displacement(), options);
  auto const want = support::pieces_of(out.semantic);  // by channel, then in raster order; keys ascend
  REQUIRE(out.objects.found.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CHECK(out.objects.found[i].category == want[i].category - 1);
    CHECK(out.objects.found[i].area == want[i].area);
    CHECK(out.objects.found[i].bounds == want[i].bounds);
  }
  CHECK(want.size() > 3);
}

TEST_CASE("the number of threads changes nothing", "[pipeline][property]")
{
  irnet_scene const s(3, 61, 83, 5);
  for (bool const given : {false, true}) {
    auto const in = given ? s.with_displacement() : s.without_displacement();
    auto const one = irnet(cpu{.threads = 1}, in, quick);
    check_consistent(one, in);
    for (int const threads : {0, 2, 3, 7}) CHECK(equal(irnet(cpu{.threads = threads}, in, quick), one));
  }
}

TEST_CASE("images of every small size", "[pipeline][property]")
{
  for (int H = 1; H <= 9; ++H)
    for (int W = 1; W <= 9; ++W) {
      CAPTURE(H, W);
      irnet_scene const s(2, H, W, static_cast<unsigned>(10 * H + W));
      for (auto const& in : {s.with_displacement(), s.without_displacement()})
        for (auto const parts : {pieces::separate, pieces::merged}) {
          auto options = quick;
          options.parts = parts;
          check_consistent(irnet(cpu{.threads = 1}, in, options), in);
        }
    }
}

TEST_CASE("a single pixel takes the class that scores", "[pipeline][picture]")
{
  irnet_scene s(2, 1, 1, 1);
  s.boundary(0, 0) = 0.5;
  s.cams(0, 0, 0) = 0.2, s.cams(1, 0, 0) = 0.7;
  auto const out = irnet(cpu{}, s.without_displacement());
  CHECK(out.semantic(0, 0) == s.keys[1] + 1);
  REQUIRE(out.objects.found.size() == 1);
  CHECK(out.objects.found[0].category == s.keys[1]);
  CHECK(out.objects.found[0].bounds == box{0, 0, 1, 1});
}

TEST_CASE("where nothing scores there is background and no instance", "[pipeline][errors]")
{
  irnet_scene s(2, 13, 18, 3);
  SECTION("all CAMs are zero") { std::fill(s.cams.cells().begin(), s.cams.cells().end(), 0.0); }
  SECTION("everything is boundary") { std::fill(s.boundary.cells().begin(), s.boundary.cells().end(), 1.0); }
  SECTION("all CAMs are negative")
  {
    for (auto& v : s.cams.cells()) v = -1 - v;
  }
  for (auto const& in : {s.with_displacement(), s.without_displacement()}) {
    auto const out = irnet(cpu{}, in, quick);
    CHECK(out.semantic == grid<std::int32_t, 2>(13, 18));
    CHECK(out.objects.label == grid<std::int32_t, 2>(13, 18));
    CHECK(out.objects.found.empty());
    auto options = quick;
    options.empty = no_score::first_channel;  // what the original makes of it
    auto const original = irnet(cpu{}, in, options).semantic;
    CHECK(std::count(original.cells().begin(), original.cells().end(), s.keys[0] + 1) == 13 * 18);
  }
}

TEST_CASE("an image without classes is background", "[pipeline][errors]")
{
  irnet_scene const s(0, 13, 18, 3);
  for (auto const& in : {s.with_displacement(), s.without_displacement()}) {
    auto const out = irnet(cpu{}, in);
    CHECK(out.semantic == grid<std::int32_t, 2>(13, 18));
    CHECK(out.objects.found.empty());
  }
}

TEST_CASE("propagate_to_edge walks what is not zero", "[pipeline][property]")
{
  irnet_scene s(5, 29, 45, 7);
  for (index_t c : {0, 3})
    for (index_t y = 0; y < s.cams.shape()[1]; ++y)
      for (index_t x = 0; x < s.cams.shape()[2]; ++x) s.cams(c, y, x) = 0;
  auto const step = irnet_transition(cpu{}, s.boundary, quick);
  auto const out = propagate_to_edge(cpu{}, step, s.cams, s.boundary, quick);
  auto seeds = s.cams;
  index_t const H = seeds.shape()[1], W = seeds.shape()[2];
  for (index_t c = 0; c < 5; ++c)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) seeds(c, y, x) *= 1 - s.boundary(y, x);
  CHECK(out == random_walk(cpu{}, seeds, step, {.steps = 8}));  // as if all were walked
  for (index_t i = 0; i < H * W; ++i) {
    REQUIRE(out.cells()[static_cast<std::size_t>(i)] == 0);
    REQUIRE(out.cells()[static_cast<std::size_t>(3 * H * W + i)] == 0);
    REQUIRE(out.cells()[static_cast<std::size_t>(H * W + i)] > 0);
  }
}

TEST_CASE("a wall parts what its class does not", "[pipeline][picture]")
{
  // One class everywhere, and a wall of 0.6 down the middle: too weak to take pixels from the class.
  irnet_scene s(1, 40, 40, 1);
  std::fill(s.cams.cells().begin(), s.cams.cells().end(), 1.0);
  std::fill(s.boundary.cells().begin(), s.boundary.cells().end(), 0.0);
  for (index_t y = 0; y < 10; ++y) s.boundary(y, 5) = 0.6;
  auto const count = [&](double thres) {
    auto const out = irnet(cpu{}, s.without_displacement(), {.component_thres = thres});
    index_t area = 0;
    for (auto const& o : out.objects.found) area += o.area;
    CHECK(area == 1600);  // cores grow back over the wall
    return out.objects.found.size();
  };
  CHECK(count(0.5) == 2);
  CHECK(count(0.65) == 1);
  CHECK(count(1.5) == 1);  // parts none
}

TEST_CASE("the pieces of an instance", "[pipeline][picture]")
{
  // One object behind a post: the field sends both sides to one place.
  irnet_scene s(1, 40, 40, 1);
  std::fill(s.boundary.cells().begin(), s.boundary.cells().end(), 0.0);
  std::fill(s.displacement.cells().begin(), s.displacement.cells().end(), 0.0);
  for (index_t y = 0; y < 10; ++y)
    for (index_t x = 0; x < 10; ++x) {
      s.cams(0, y, x) = x < 4 || x > 6 ? 1 : 0;
      if (x >= 4 && x <= 6) s.boundary(y, x) = 1;
    }
  auto const separate = irnet(cpu{}, s.with_displacement()).objects.found;
  auto const merged = irnet(cpu{}, s.with_displacement(), {.parts = pieces::merged}).objects.found;
  REQUIRE(separate.size() == 2);
  REQUIRE(merged.size() == 1);
  CHECK(merged[0].area == separate[0].area + separate[1].area);
  CHECK(merged[0].bounds == box{0, 0, 40, 40});
  CHECK(separate[0].bounds.right < separate[1].bounds.left);
}

TEST_CASE("without a displacement field, merged pieces are one instance a class", "[pipeline][picture]")
{
  irnet_scene s(1, 40, 40, 1);
  std::fill(s.boundary.cells().begin(), s.boundary.cells().end(), 0.0);
  for (index_t y = 0; y < 10; ++y)
    for (index_t x = 0; x < 10; ++x) {
      s.cams(0, y, x) = x < 4 || x > 6 ? 1 : 0;
      if (x >= 4 && x <= 6) s.boundary(y, x) = 1;
    }
  CHECK(irnet(cpu{}, s.without_displacement()).objects.found.size() == 2);
  CHECK(irnet(cpu{}, s.without_displacement(), {.parts = pieces::merged}).objects.found.size() == 1);
}

TEST_CASE("a displacement field tells neighbours of one class apart", "[pipeline][picture]")
{
  irnet_scene s(1, 40, 80, 1);
  std::fill(s.cams.cells().begin(), s.cams.cells().end(), 1.0);
  std::fill(s.boundary.cells().begin(), s.boundary.cells().end(), 0.0);
  for (index_t y = 0; y < 10; ++y)
    for (index_t x = 0; x < 20; ++x) {  // to (5,5) on the left, to (5,15) on the right
      s.displacement(0, y, x) = static_cast<double>(5 - y);
      s.displacement(1, y, x) = static_cast<double>((x < 10 ? 5 : 15) - x);
    }
  auto const given = irnet(cpu{}, s.with_displacement(), {.exp_times = 0});
  REQUIRE(given.objects.found.size() == 2);
  CHECK(given.objects.found[0].bounds == box{0, 0, 40, 40});
  CHECK(given.objects.found[1].bounds == box{0, 40, 40, 80});
  CHECK(irnet(cpu{}, s.without_displacement(), {.exp_times = 0}).objects.found.size() == 1);
}

TEST_CASE("channels beyond a byte keep their classes", "[pipeline][picture]")
{
  index_t const C = GENERATE(255, 256, 300);
  grid<float, 3> cams(C, 4, 5);
  grid<float, 2> const boundary(4, 5);
  cams(C - 1, 1, 1) = cams(C - 1, 2, 2) = 1;
  irnet_input<float> in{
      cams.view(), std::vector<std::int32_t>(static_cast<std::size_t>(C), 3), boundary.view(), {}, {16, 20}};
  in.keys.back() = 7;
  auto options = quick;
  options.exp_times = 0;
  for (auto const parts : {pieces::separate, pieces::merged}) {
    options.parts = parts;
    auto const out = irnet(cpu{}, in, options);
    REQUIRE(out.objects.found.size() == 1);
    CHECK(out.objects.found[0].category == 7);
    CHECK(*std::max_element(out.semantic.cells().begin(), out.semantic.cells().end()) == 8);
  }
}
