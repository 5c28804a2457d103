#include <cambium/pipeline/label_mining.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

using namespace cambium;

namespace {

/// Two noisy discs on a noisy photograph, and their CAMs: high inside, low in a ring, low noise outside.
struct scene {
  grid<std::uint8_t, 3> image;
  grid<float, 3> cams;

  scene(index_t H, index_t W, std::uint64_t seed)
      : image(support::uniform<std::uint8_t, 3>({H, W, 3}, 20, 60, seed)),
        cams(support::uniform<float, 3>({2, H, W}, 0, 0.04, seed + 1))
  {
    auto const noise = support::uniform<float, 3>({2, H, W}, -0.1, 0.1, seed + 2);
    for (index_t c = 0; c < 2; ++c)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          double const far = std::hypot(static_cast<double>(y - H / 2), static_cast<double>(x - (1 + 2 * c) * W / 4));
          double const r = static_cast<double>(W) / 8;
          if (far < 1.8 * r) cams(c, y, x) = static_cast<float>(far < r ? 0.8 : 0.17) + noise(c, y, x);
          index_t const colour = far < r ? c : 2;  // rings are blue
          if (far < 1.8 * r) image(y, x, colour) = static_cast<std::uint8_t>(image(y, x, colour) + 150);
        }
  }
};

/// How many pixels are background, of key 7, of key 3, and ignored.
std::array<std::ptrdiff_t, 4> counts(grid<std::int32_t, 2> const& labels)
{
  auto const all = labels.cells();
  auto const of = [&](std::int32_t v) { return std::count(all.begin(), all.end(), v); };
  return {of(0), of(8), of(4), of(label::ignore)};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("labels are mined by two thresholds", "[pipeline][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // without a step of the CRF the labels of the thresholds stay
  grid<float, 3> cams(2, 1, 6);
  float const first[6] = {0.9f, 0.2f, 0.01f, 0.4f, 0.04f, 0.3f}, second[6] = {0.1f, 0.1f, 0.02f, 0.6f, 0.2f, 0.05f};
  for (index_t x = 0; x < 6; ++x) cams(0, 0, x) = first[x], cams(1, 0, x) = second[x];
  mining_options const options{.iterations = 0, .kernels = {}};
  auto const image = support::copied<TestType>(grid<std::uint8_t, 3>(1, 6, 3));
  auto const labels = to::back(cam_to_ir_label(TestType{}, image, to::there(cams), {7, 3}, options));
  std::int32_t const want[6] = {8, label::ignore, 0, 4, label::ignore, label::ignore};
  for (index_t x = 0; x < 6; ++x) CHECK(labels(0, x) == want[x]);
}

TEMPLATE_LIST_TEST_CASE("a class everywhere, nowhere, and no class", "[pipeline][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const image = support::copied<TestType>(grid<std::uint8_t, 3>(8, 9, 3));
  auto const mined = [&](grid<float, 3> const& cams, std::vector<std::int32_t> const& keys) {
    return to::back(cam_to_ir_label(TestType{}, image, support::copied<TestType>(cams), keys));
  };
  grid<float, 3> cams(1, 8, 9);
  for (float& v : cams.cells()) v = 1;
  auto const all = mined(cams, {7}), none = mined(grid<float, 3>(1, 8, 9), {7}),
             empty = mined(grid<float, 3>(0, 8, 9), {});
  CHECK(counts(all) == std::array<std::ptrdiff_t, 4>{0, 72, 0, 0});
  CHECK(counts(none) == std::array<std::ptrdiff_t, 4>{72, 0, 0, 0});
  CHECK(counts(empty) == std::array<std::ptrdiff_t, 4>{72, 0, 0, 0});
}

TEMPLATE_LIST_TEST_CASE("the CRF joins the noisy pixels of an object", "[pipeline][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  scene const s(41, 60, 1);
  auto const image = support::copied<TestType>(s.image);
  auto cams = s.cams;
  for (index_t x = 11; x < 20; x += 4) cams(0, 20, x) = 0.06f;  // holes in the first disc
  auto const labels = to::back(cam_to_ir_label(TestType{}, image, to::there(cams), {7, 3}));
  for (index_t x = 11; x < 20; ++x) CHECK(labels(20, x) == 8);
  for (auto const n : counts(labels)) CHECK(n > 20);
  // a class without a score takes no pixel
  for (index_t i = 0; i < 41 * 60; ++i) cams.data()[i] = 0;
  auto const absent = counts(to::back(cam_to_ir_label(TestType{}, image, to::there(cams), {7, 3})));
  CHECK(absent[1] == 0);
  CHECK(absent[2] > 20);
}

TEMPLATE_LIST_TEST_CASE("rules mine the labels of the cpu", "[pipeline][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    scene const s(31 + static_cast<index_t>(seed), 48, 10 * seed);
    auto const image = support::copied<TestType>(s.image);
    for (auto const& options : {mining_options{}, mining_options{.conf_fg_thres = 0.5, .gt_prob = 0.9, .iterations = 3},
                                mining_options{.kernels = crf_preset::deeplab(), .build = {.pad = true}}}) {
      auto const labels = to::back(cam_to_ir_label(TestType{}, image, to::there(s.cams), {7, 3}, options));
      CHECK(labels == cam_to_ir_label(cpu{}, s.image, s.cams, {7, 3}, options));
      CHECK(labels == cam_to_ir_label(cpu{.vectors = isa::baseline}, s.image, s.cams, {7, 3}, options));
      for (auto const n : counts(labels)) CHECK(n > 0);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("label mining checks what fits together", "[pipeline][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const image = support::copied<TestType>(grid<std::uint8_t, 3>(8, 9, 3));
  auto const says = [&](grid<float, 3> const& cams, std::vector<std::int32_t> const& keys, char const* words) {
    auto const there = support::copied<TestType>(cams);
    CAMBIUM_THROWS_SAYING(cam_to_ir_label(TestType{}, image, there, keys), precondition_error, words);
  };
  grid<float, 3> cams(1, 8, 9);
  says(grid<float, 3>(1, 8, 8), {7}, "[1,8,8]");
  says(cams, {7, 8}, "2 keys");
  says(cams, {-1}, "key -1 is outside 0..253");
  says(cams, {254}, "key 254 is outside 0..253");
  cams(0, 2, 3) = std::nanf("");
  if constexpr (std::is_same_v<TestType, cpu>) {
    says(cams, {7}, "maps(0,2,3) is nan");
  } else {
    // a device has no check of values: NaN is above no threshold
    auto const labels = to::back(cam_to_ir_label(TestType{}, image, to::there(cams), {7}));
    CHECK(counts(labels)[0] == 72);
  }
}
