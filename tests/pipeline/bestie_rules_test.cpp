// BESTIE on a device against BESTIE on cores: every option that changes the way, on random scenes of many sizes.
#include <cambium/pipeline/bestie.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace cambium;
using support::uniform;

namespace {

using ints = std::vector<std::int32_t>;

struct shape {
  index_t C, H, W;
};

/// Rectangles of classes, maps that mark some of their middles, offsets towards them in eighths of a cell, and noise.
struct scene {
  index_t C, H, W;
  grid<std::int32_t, 2> semantic;
  grid<float, 3> seg, centre, offset;
  points middles;

  scene(shape of_maps, unsigned seed)
      : C(of_maps.C),
        H(of_maps.H),
        W(of_maps.W),
        semantic(H, W),
        seg(uniform<float, 3>({C + 1, H, W}, -1, 1, seed)),
        centre(uniform<float, 3>({C, H, W}, 0, 0.08, seed + 1)),
        offset(uniform<float, 3>({2, H, W}, -4, 4, seed + 2))
  {
    auto const at = uniform<double, 2>({18, 6}, 0, 1, seed + 3);
    for (int k = 0; k < 18 && C > 0 && H > 0 && W > 0; ++k) {
      auto const of = [&](int i, index_t n) { return static_cast<index_t>(at(k, i) * static_cast<double>(n)); };
      index_t const top = of(0, std::max<index_t>(1, H - 5)), left = of(1, std::max<index_t>(1, W - 5));
      index_t const bottom = std::min(H, top + 5 + of(2, H / 3)), right = std::min(W, left + 5 + of(3, W / 3));
      index_t const my = (top + bottom) / 2, mx = (left + right) / 2;
      int const c = static_cast<int>(of(4, C));
      for (index_t y = top; y < bottom; ++y)
        for (index_t x = left; x < right; ++x) {
          semantic(y, x) = c + 1;
          offset(0, y, x) = static_cast<float>(my - y), offset(1, y, x) = static_cast<float>(mx - x);
        }
      middles.push_back({static_cast<double>(my), static_cast<double>(mx), c, std::round(1000 * at(k, 5)) / 1000});
      if (at(k, 5) < 0.6)
        centre(c, my, mx) = static_cast<float>(0.2 + at(k, 5));  // the others are found by their discs
      if (at(k, 5) < 0.2 && mx + 1 < W) centre(c, my, mx + 1) = centre(c, my, mx);
    }
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) seg(semantic(y, x), y, x) += 3;
    for (auto& v : offset.cells()) v = std::round(8 * v) / 8;
  }

  bestie_output<float> output() const { return {seg.view(), centre.view(), offset.view()}; }
  ints every_other_class() const
  {
    ints out;
    for (std::int32_t c = 0; c < C; c += 2) out.push_back(c);
    return out;
  }
};

/// The maps of a scene in the memory of P.
template <class P>
struct sent_scene {
  grid<float, 3, typename P::memory> seg, centre, offset;

  explicit sent_scene(scene const& s)
      : seg(support::copied<P>(s.seg)), centre(support::copied<P>(s.centre)), offset(support::copied<P>(s.offset))
  {
  }
  bestie_output<float, typename P::memory> output() const { return {seg.view(), centre.view(), offset.view()}; }
};

/// Different sizes and numbers of classes; the last two are of nothing.
shape some_shape()
{
  return GENERATE(shape{3, 40, 52}, shape{2, 67, 90}, shape{3, 130, 24}, shape{1, 1, 1}, shape{2, 1, 70},
                  shape{3, 33, 9}, shape{0, 12, 13}, shape{2, 0, 5});
}

void same(bestie_labels<> const& have, bestie_labels<> const& want)
{
  REQUIRE(have.semantic == want.semantic);
  REQUIRE(have.objects.label == want.objects.label);
  REQUIRE(have.objects.found.size() == want.objects.found.size());
  for (std::size_t i = 0; i < want.objects.found.size(); ++i) {
    auto const &p = have.objects.found[i], &q = want.objects.found[i];
    REQUIRE((p.category == q.category && p.area == q.area && p.bounds == q.bounds));
    REQUIRE(std::abs(p.score - q.score) < 2e-5);
  }
}

/// Heat maps between cells differ by a rounding.
template <class Targets>
void same(Targets const& have, Targets const& want, bool exact, double of_weights)
{
  REQUIRE(have.offset == want.offset);
  if (exact)
    REQUIRE(have.centre == want.centre);
  else
    REQUIRE(support::largest_gap(have.centre.cells(), want.centre.cells()) < 2e-7);
  REQUIRE(support::largest_gap(have.weight.cells(), want.weight.cells()) <= of_weights);
}

/// Ways through the grouping.
std::vector<bestie_group_options> groupings()
{
  std::vector<bestie_group_options> out(7);
  out[1].kernel = 5, out[1].apart = 4;
  out[2].kernel = 3, out[2].beta = 0;
  out[3].beta = 30, out[3].outside = false, out[3].apart = 6;
  out[4].beta = 30, out[4].relative = 0.2, out[4].kernel = 1;
  out[5].kernel = 9, out[5].plateaus = plateau::one_cell, out[5].apart = 0;
  out[6].beta = 1e6, out[6].apart = 2;  // every weak place
  return out;
}

template <class P>
P policy()
{
  P where{};
  if constexpr (std::derived_from<P, cpu>) where.threads = 2;
  return where;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a device finds the regions that the cpu does, in their order", "[pipeline][same]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = policy<TestType>();
  auto const [C, H, W] = some_shape();
  auto const most = GENERATE(1, 4, 300);
  // Cells of random values, and some of them side by side.
  auto map = uniform<std::int32_t, 2>({H, W}, -1.9, most + 0.99, 5);
  for (index_t i = 1; i < map.size(); ++i)
    if (i % 7 != 0) map.data()[i] = map.data()[i - 1];
  auto const there = support::copied<TestType>(map);
  ints present;
  for (std::int32_t c = 0; c < most; c += 3) present.push_back(c);
  auto const given = present_classes(cpu{}, map, most, present);
  auto const sent = present_classes(where, there, most, present);
  CHECK(to::back(sent) == given);
  for (index_t const smallest : {-1, 1, 5, 20, 100000}) {
    CAPTURE(C, H, W, most, smallest);
    auto const want = find_regions(cpu{}, given, smallest);
    auto const have = find_regions(where, sent, smallest);
    REQUIRE(have.categories == want.categories);
    REQUIRE(to::back(have.label) == want.label);
  }
  // What the cpu refuses is no region.
  auto below = given;
  for (auto& v : below.cells()) v = v == 0 ? -3 : v;
  auto const want = find_regions(cpu{}, given, -1);
  auto const have = find_regions(where, support::copied<TestType>(below), -1);
  CHECK(have.categories == want.categories);
  CHECK(to::back(have.label) == want.label);
}

TEMPLATE_LIST_TEST_CASE("cues of a device are the cpu's", "[pipeline][same]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const where = policy<TestType>();
  auto const maps = uniform<float, 3>({3, 11, 14}, -0.5, 2, 3), mirror = uniform<float, 3>({3, 11, 14}, -0.5, 2, 4);
  auto const a = support::copied<TestType>(maps), b = support::copied<TestType>(mirror);
  for (ints const& classes : {ints{}, ints{1}, ints{0, 2}, ints{0, 1, 2}})
    for (auto const& [smoothing, kernel, threshold] :
         {std::tuple{index_t{3}, index_t{15}, 0.1}, {index_t{1}, index_t{3}, 0.5}, {index_t{5}, index_t{7}, 0.3}}) {
      bestie_peak_options options;
      options.smoothing = smoothing, options.peaks.kernel = kernel, options.peaks.threshold = threshold;
      auto const want = to_vector(cpu{}, bestie_peaks(cpu{}, maps, mirror, {60, 81}, classes, options));
      auto const have = to_vector(where, bestie_peaks(where, a, b, {60, 81}, classes, options));
      REQUIRE(have.size() == want.size());
      CHECK((classes.empty() || !want.empty()));
      for (std::size_t i = 0; i < want.size(); ++i) {
        REQUIRE((have[i].y == want[i].y && have[i].x == want[i].x && have[i].category == want[i].category));
        REQUIRE(std::abs(have[i].score - want[i].score) < 1e-5);
      }
    }
}

TEMPLATE_LIST_TEST_CASE("instances of a device are the cpu's, whatever the options", "[pipeline][same]",
                        support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const where = policy<TestType>();
  auto const size = some_shape();
  auto const seed = GENERATE(1u, 20u);
  scene const s(size, seed), mirrored(size, seed + 500);
  sent_scene<TestType> const there(s), mirrored_there(mirrored);
  auto const ways = groupings();
  std::size_t found = 0;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    bestie_instance_options options;
    options.groups = ways[i];
    if (i % 2 == 1) options.smallest = 4;
    if (i % 3 == 1) options.alone = lone_region::nothing;
    if (i == 4) options.threshold = 0.35, options.smallest = 0;
    if (i == 5) options.threshold = -1;
    CAPTURE(s.C, s.H, s.W, seed, i);
    auto const want = bestie_instances(cpu{}, s.output(), {}, options);
    found += want.objects.found.size();
    same(to_host(where, bestie_instances(where, there.output(), {}, options)), want);
    same(to_host(where, bestie_instances(where, there.output(), s.every_other_class(), options)),
         bestie_instances(cpu{}, s.output(), s.every_other_class(), options));
    same(to_host(where, bestie_instances(where, there.output(), ints{}, options)),
         bestie_instances(cpu{}, s.output(), ints{}, options));
    for (auto const rule : {mirrored_offsets::first, mirrored_offsets::mean}) {
      options.offsets = rule;
      options.seen = i % 2 == 0 ? extent2{} : extent2{2 * s.H + 1, s.W / 2 + 1};
      same(to_host(where, bestie_instances(where, there.output(), {}, options, mirrored_there.output())),
           bestie_instances(cpu{}, s.output(), {}, options, mirrored.output()));
    }
  }
  if (s.C > 0 && s.H >= 33) CHECK(found > 7);
}

TEMPLATE_LIST_TEST_CASE("groups of a device are the cpu's cell by cell", "[pipeline][same]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = policy<TestType>();
  scene const s(some_shape(), 7);
  sent_scene<TestType> const there(s);
  auto const regions = find_regions(cpu{}, s.semantic, 10);
  auto const regions_there = find_regions(where, support::copied<TestType>(s.semantic), 10);
  for (auto const& way : groupings())
    for (auto const alone : {lone_region::nothing, lone_region::one_group})
      for (double const threshold : {0.05, 0.1, 0.6}) {
        auto const want =
            bestie_group<float>(cpu{}, regions, s.output().centre, s.output().offset, threshold, alone, way);
        auto const have =
            bestie_group(where, regions_there, there.output().centre, there.output().offset, threshold, alone, way);
        auto const centres = to_host(where, have.centres);
        REQUIRE(centres.at == want.centres.at);
        REQUIRE(centres.first == want.centres.first);
        REQUIRE(to::back(have.ids) == want.ids);
        REQUIRE(to::back(have.response) == want.response);
      }
}

TEMPLATE_LIST_TEST_CASE("what lies outside weak cells may be no disc on a device", "[pipeline][picture]",
                        support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const where = policy<TestType>();
  grid<float, 3> centre(1, 5, 9), offset(2, 5, 9);
  std::fill(offset.cells().begin(), offset.cells().end(), 9.f);
  for (index_t i = 0; i < 21; ++i) offset(0, i / 7, i % 7 + 1) = offset(1, i / 7, i % 7 + 1) = 0;
  for (auto& v : centre.cells()) v = 0.06f;  // too little for the centre map alone
  grid<std::int32_t, 2> semantic(5, 9);
  std::fill(semantic.cells().begin(), semantic.cells().end(), 1);
  auto const regions = find_regions(where, support::copied<TestType>(semantic), 1);
  auto const heat = support::copied<TestType>(centre), field = support::copied<TestType>(offset);
  for (bool const outside : {true, false}) {
    bestie_group_options options;
    options.beta = 4, options.outside = outside;  // 21 weak cells, and 24 others
    auto const groups = bestie_group(where, regions, std::as_const(heat).view(), std::as_const(field).view(), 0.1,
                                     lone_region::nothing, options);
    CHECK(groups.centres.at.size() == (outside ? 2 : 1));
  }
}

TEMPLATE_LIST_TEST_CASE("refined labels of a device are the cpu's, whatever the options", "[pipeline][same]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = policy<TestType>();
  auto const [C, H, W] = some_shape();
  index_t const B = 2;
  grid<float, 4> seg(B, C + 1, H, W), centre(B, C, H, W), offset(B, 2, H, W);
  grid<std::int64_t, 3> semantic(B, H, W);
  std::vector<ints> classes;
  for (index_t b = 0; b < B; ++b) {
    scene const s({C, H, W}, static_cast<unsigned>(30 + 40 * b));
    std::copy(s.seg.cells().begin(), s.seg.cells().end(), seg.data() + b * s.seg.size());
    std::copy(s.centre.cells().begin(), s.centre.cells().end(), centre.data() + b * s.centre.size());
    std::copy(s.offset.cells().begin(), s.offset.cells().end(), offset.data() + b * s.offset.size());
    std::copy(s.semantic.cells().begin(), s.semantic.cells().end(), semantic.data() + b * s.semantic.size());
    for (index_t i = b; i < H * W; i += 37)
      semantic.data()[b * H * W + i] = i % 2 == 0 ? 255 : -(std::int64_t{1} << 40);
    classes.push_back(s.every_other_class());
    if (b == 1 && C > 1) classes.back().push_back(1);
  }
  auto const seg_there = support::copied<TestType>(seg), centre_there = support::copied<TestType>(centre),
             offset_there = support::copied<TestType>(offset);
  auto const semantic_there = support::copied<TestType>(semantic);
  bestie_batch<float> const in{seg.view(), centre.view(), offset.view()};
  bestie_batch<float, typename TestType::memory> const there{seg_there.view(), centre_there.view(),
                                                             offset_there.view()};
  auto const ways = groupings();
  float any = 0;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    bestie_refine_options options;
    options.groups = ways[i];
    options.smallest = i % 2 == 0 ? 50 : 3;
    options.labels.threshold = i == 3 ? 0.6 : 0.3;
    options.labels.sigma = i == 4 ? 2 : 6;
    options.labels.most = i == 5 ? 1 : 5;
    options.labels.centre = i == 6 ? centroid::exact : centroid::truncated;
    for (auto const from : {foreground::semantic, foreground::prediction}) {
      options.from = from;
      CAPTURE(C, H, W, i, static_cast<int>(from));
      auto const want = bestie_refined_labels(cpu{}, in, semantic, classes, options);
      auto const have = to_host(where, bestie_refined_labels(where, there, semantic_there, classes, options));
      same(have, want, i != 6, 2e-5);
      for (float const v : want.weight.cells()) any = std::max(any, v);
      auto one = make_targets(where, C, {H, W}, "test");
      bestie_refined_image_into(where, there[1], semantic_there.view()[1], classes[1], options,
                                {one.centre, one.offset, one.weight});
      auto const alone = to_host(where, one);
      REQUIRE(std::equal(alone.offset.cells().begin(), alone.offset.cells().end(), have.offset.data() + 2 * H * W));
      REQUIRE(std::equal(alone.weight.cells().begin(), alone.weight.cells().end(), have.weight.data() + H * W));
    }
  }
  if (C > 0 && H >= 33) CHECK(any > 0);
}

TEMPLATE_LIST_TEST_CASE("pseudo labels of a device are the cpu's, whatever the options", "[pipeline][same]",
                        support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const where = policy<TestType>();
  auto const size = some_shape();
  scene const s(size, 11);
  auto const [C, H, W] = size;
  grid<std::uint8_t, 2> semantic(H, W);
  for (index_t i = 0; i < H * W; ++i)
    semantic.data()[i] = i % 41 == 0 ? std::uint8_t{255} : static_cast<std::uint8_t>(s.semantic.data()[i]);
  auto const there = support::copied<TestType>(semantic);
  std::vector<bestie_transfer_options> ways(7);
  ways[1].pseudo_thresh = 0.2, ways[1].labels.smallest = 0;
  ways[2].pseudo_thresh = s.middles.empty() ? 0.5 : s.middles[0].score, ways[2].score = cue_score::exact;
  ways[3].pseudo_thresh = -1, ways[3].labels.several = several_cues::split, ways[3].labels.smallest = 20;
  ways[4].pseudo_thresh = 0.3, ways[4].labels.sup = supervision::point, ways[4].labels.sigma = 3;
  ways[5].pseudo_thresh = 0.1, ways[5].labels.centre = centroid::exact, ways[5].labels.smallest = 1;
  ways[6].pseudo_thresh = 2;  // no cue is left
  for (std::size_t i = 0; i < ways.size(); ++i)
    for (bool const all : {false, true}) {
      CAPTURE(C, H, W, i, all);
      auto classes = s.every_other_class();
      if (all && C > 1) classes.push_back(1);
      for (points const& cues : {s.middles, points{}}) {
        auto const want = bestie_pseudo_labels(cpu{}, semantic, classes, cues, C, ways[i]);
        same(to_host(where, bestie_pseudo_labels(where, there, classes, cues, C, ways[i])), want, i != 5, 0);
      }
    }
}

TEMPLATE_LIST_TEST_CASE("points lead and part on a device as on cores", "[pipeline][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = policy<TestType>();
  auto const size = some_shape();
  auto const [C, H, W] = size;
  scene const s(size, 13), mirrored(size, 14);
  sent_scene<TestType> const there(s), mirrored_there(mirrored);
  auto const semantic_there = support::copied<TestType>(s.semantic);
  auto clicks = s.middles;
  if (C > 0) clicks.push_back({0, 0, 0}), clicks.push_back({-3, 1e9, 0});
  for (points const& given : {clicks, points{}})
    for (ints const& classes : {s.every_other_class(), ints{}}) {
      for (auto const border : {border_points::drop, border_points::keep}) {
        auto want = make_targets(cpu{}, 0, {H, W}, "test");
        auto have = make_targets(where, 0, {H, W}, "test");
        bestie_refined_offsets_into(cpu{}, s.offset.view(), s.semantic, classes, given, C, border, want.offset,
                                    want.weight);
        bestie_refined_offsets_into(where, there.offset.view(), semantic_there, classes, given, C, border, have.offset,
                                    have.weight);
        auto const back = to_host(where, have);
        REQUIRE(back.offset == want.offset);
        REQUIRE(back.weight == want.weight);
      }
      bestie_instance_options options;
      for (auto const rule : {mirrored_offsets::first, mirrored_offsets::mean}) {
        options.offsets = rule;
        same(to_host(where, bestie_instances_at(where, there.output(), classes, given, options)),
             bestie_instances_at(cpu{}, s.output(), classes, given, options));
        same(to_host(where,
                     bestie_instances_at(where, there.output(), classes, given, options, mirrored_there.output())),
             bestie_instances_at(cpu{}, s.output(), classes, given, options, mirrored.output()));
        options.seen = {H + 3, 2 * W + 1};
      }
    }
}

TEMPLATE_LIST_TEST_CASE("what a device cannot refuse does BESTIE no harm", "[pipeline][property]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = policy<TestType>();
  scene s({3, 40, 52}, 3);
  for (auto* const maps : {&s.seg, &s.centre, &s.offset})
    for (index_t i = 0; i < maps->size(); i += 13)
      maps->data()[i] = i % 3 == 0 ? std::nanf("") : i % 3 == 1 ? HUGE_VALF : -HUGE_VALF;
  sent_scene<TestType> const there(s);
  auto const semantic = support::copied<TestType>(s.semantic);
  auto const labels = to_host(where, bestie_instances(where, there.output(), {}, {}, there.output()));
  for (auto const v : labels.semantic.cells()) REQUIRE((0 <= v && v <= 3));
  for (auto const v : labels.objects.label.cells())
    REQUIRE((0 <= v && v <= static_cast<std::int32_t>(labels.objects.found.size())));
  CHECK(to_host(where, bestie_instances_at(where, there.output(), {0, 1, 2}, s.middles)).semantic.size() == 40 * 52);
  for (auto const from : {foreground::semantic, foreground::prediction}) {
    bestie_refine_options options;
    options.from = from;
    auto out = make_targets(where, 3, {40, 52}, "test");
    bestie_refined_image_into(where, there.output(), semantic, {0, 1, 2}, options,
                              {out.centre, out.offset, out.weight});
    for (float const v : to_host(where, out).centre.cells()) REQUIRE((0 <= v && v <= 1));
  }
}

TEMPLATE_LIST_TEST_CASE("BESTIE on a device refuses before it writes", "[pipeline][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  TestType const where{};
  grid<float, 3> const seg(3, 4, 5), centre(2, 4, 5), offset(2, 4, 5), wrong(2, 5, 4);
  auto const a = support::copied<TestType>(seg), b = support::copied<TestType>(centre),
             c = support::copied<TestType>(offset), d = support::copied<TestType>(wrong);
  bestie_output<float, S> const in{a.view(), b.view(), c.view()}, bad{a.view(), d.view(), c.view()},
      worse{d.view(), d.view(), d.view()};
  CAMBIUM_THROWS_SAYING(bestie_instances(where, bad), precondition_error,
                        "logits are [3,4,5], centres [2,5,4] and offsets [2,4,5]");
  CAMBIUM_THROWS_SAYING(bestie_instances(where, in, ints{2}), precondition_error, "class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances(where, in, {}, {}, worse), precondition_error, "mirror image");
  bestie_instance_options options;
  options.seen = {0, 7};
  CAMBIUM_THROWS_SAYING(bestie_instances(where, in, {}, options), precondition_error, "the network saw 0 x 7 pixels");
  for (double const beta : {-1., std::nan("")}) {
    options = {};
    options.groups.beta = beta;
    CAMBIUM_THROWS_SAYING(bestie_instances(where, in, {}, options), precondition_error, "bestie_group: beta is ");
  }
  CAMBIUM_THROWS_SAYING(bestie_instances_at(where, in, {0}, {{0, 0, 2}}), precondition_error,
                        "category 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances_at(where, in, {0}, {{std::nan(""), 0, 0}}), precondition_error,
                        "a centre is at (nan,0)");
  CAMBIUM_THROWS_SAYING(bestie_instances_at(where, in, {2}, {}), precondition_error,
                        "bestie_instances_at: class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances_at(where, bad, {}, {}), precondition_error,
                        "bestie_instances_at: logits are [3,4,5]");
  auto const semantic = support::copied<TestType>(grid<std::int32_t, 2>(4, 5));
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(where, semantic, {3}, {}, 2), precondition_error,
                        "class 3 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(where, semantic, {0}, {{9, 0, 0}}, 2), precondition_error, "off the map");
  CHECK_NOTHROW(bestie_pseudo_labels(where, semantic, {0}, {{9, 0, 1}}, 2));  // of a class that is not there
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(where, semantic, {}, {}, -5), precondition_error, "-5 classes");
  CAMBIUM_THROWS_SAYING(bestie_peaks(where, b, b, {9, 9}, {4}), precondition_error, "class 4 is outside 0..1");

  grid<float, 3> filled(2, 4, 5);
  std::fill(filled.cells().begin(), filled.cells().end(), 7.f);
  grid<float, 2> weight(4, 5);
  std::fill(weight.cells().begin(), weight.cells().end(), 7.f);
  auto t = support::copied<TestType>(filled), o = support::copied<TestType>(filled);
  auto w = support::copied<TestType>(weight);
  auto const refined = [&](ints const& classes, bestie_refine_options const& with, auto const& map) {
    bestie_refined_image_into(where, in, map, classes, with, {t, o, w});
  };
  bestie_refine_options with;
  CAMBIUM_THROWS_SAYING(refined({2}, with, semantic), precondition_error, "class 2 is outside 0..1");
  auto const small = support::copied<TestType>(grid<std::int32_t, 2>(1, 1));
  CAMBIUM_THROWS_SAYING(refined({1}, with, small), precondition_error,
                        "bestie_refined_labels: logits are [3,4,5] but the semantic map is [1,1]");
  with.labels.sigma = 0;
  CAMBIUM_THROWS_SAYING(refined({1}, with, semantic), precondition_error, "bestie_refined_labels: sigma is 0");
  with = {}, with.groups.kernel = 4;
  CHECK_THROWS_AS(refined({1}, with, semantic), precondition_error);
  with = {}, with.groups.apart = -1;
  CHECK_THROWS_AS(refined({1}, with, semantic), precondition_error);
  with = {}, with.labels.threshold = std::nan("");
  CHECK_THROWS_AS(refined({1}, with, semantic), precondition_error);
  CAMBIUM_THROWS_SAYING((bestie_refined_offsets_into(where, c.view(), semantic, {}, {}, -5, border_points::keep, o, w)),
                        precondition_error, "points_by_class: -5 classes");
  CAMBIUM_THROWS_SAYING((bestie_refined_offsets_into(where, d.view(), semantic, {}, {}, 2, border_points::keep, o, w)),
                        precondition_error, "offsets are [2,5,4] over a map of [4,5]");
  for (auto const* const maps : {&t, &o}) CHECK(to::back(*maps) == filled);
  CHECK(to::back(w) == weight);
}
