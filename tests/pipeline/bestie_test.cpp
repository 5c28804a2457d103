#include <cambium/pipeline/bestie.hpp>

#include "support/catch.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

using namespace cambium;
using support::uniform;

namespace {

using ints = std::vector<std::int32_t>;

/// Rectangles of classes 0..2, maps that mark some of their centres, offsets towards them in eighths of a cell, and noise.
struct scene {
  index_t H, W;
  grid<std::int32_t, 2> semantic;
  grid<float, 3> seg, centre, offset;
  points middles;

  scene(index_t height, index_t width, unsigned seed)
      : H(height),
        W(width),
        semantic(H, W),
        seg(uniform<float, 3>({4, H, W}, -1, 1, seed)),
        centre(uniform<float, 3>({3, H, W}, 0, 0.08, seed + 1)),
        offset(uniform<float, 3>({2, H, W}, -4, 4, seed + 2))
  {
    auto const at = uniform<double, 2>({14, 6}, 0, 1, seed + 3);
    for (int k = 0; k < 14; ++k) {
      auto const of = [&](int i, index_t n) { return static_cast<index_t>(at(k, i) * static_cast<double>(n)); };
      index_t const top = of(0, H - 6), left = of(1, W - 6), bottom = std::min(H, top + 5 + of(2, H / 2)),
                    right = std::min(W, left + 5 + of(3, W / 2)), my = (top + bottom) / 2, mx = (left + right) / 2;
      int const c = static_cast<int>(at(k, 4) * 3);
      for (index_t y = top; y < bottom; ++y)
        for (index_t x = left; x < right; ++x) {
          semantic(y, x) = c + 1;
          offset(0, y, x) = static_cast<float>(my - y), offset(1, y, x) = static_cast<float>(mx - x);
        }
      middles.push_back({static_cast<double>(my), static_cast<double>(mx), c});
      if (at(k, 5) < 0.6)
        centre(c, my, mx) = static_cast<float>(0.2 + at(k, 5));  // the others are found by their discs
    }
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) seg(semantic(y, x), y, x) += 3;
    for (auto& v : offset.cells()) v = std::round(8 * v) / 8;
  }

  bestie_output<float> output() const { return {seg.view(), centre.view(), offset.view()}; }
};

using mask = std::vector<char>;

/// Oracle: one region after another over whole maps, as the text of the method says.
struct by_definition {
  scene const& s;
  double threshold;
  int kernel;
  double beta;
  bool whole;

  index_t cells() const { return s.H * s.W; }
  float offset(int i, index_t at) const { return s.offset(i, at / s.W, at % s.W); }

  /// Masks of equal class, corners connected, of 50 cells and more, by class and then by first block.
  std::vector<std::pair<int, mask>> regions(grid<std::int32_t, 2> const& semantic) const
  {
    std::vector<std::pair<int, mask>> out;
    for (int c = 1; c <= 3; ++c) {
      auto const label = oracle::flood_fill(
          s.H, s.W, true, [&](auto y, auto x) { return semantic(y, x) == c; }, [](auto...) { return true; });
      std::map<index_t, mask> by_block;
      for (std::int64_t k = 1; k <= *std::max_element(label.begin(), label.end()); ++k) {
        mask m;
        index_t area = 0, block = 1 << 30;
        for (index_t i = 0; i < cells(); ++i) {
          m.push_back(label[static_cast<std::size_t>(i)] == k);
          area += m.back();
          if (m.back()) block = std::min(block, i / s.W / 2 * ((s.W + 1) / 2) + i % s.W / 2);
        }
        if (area >= 50) by_block[block] = m;
      }
      for (auto const& [block, m] : by_block) out.emplace_back(c - 1, m);
    }
    return out;
  }

  /// The id of every cell of a region; heat is marked.
  std::vector<int> group(mask const& in, std::vector<float>& heat) const
  {
    std::vector<index_t> centres;
    for (index_t i = 0; i < cells(); ++i) {
      bool is = heat[i] > static_cast<float>(threshold);
      for (index_t j = 0; j < cells() && is; ++j)
        if (std::abs(i / s.W - j / s.W) <= kernel / 2 && std::abs(i % s.W - j % s.W) <= kernel / 2)
          is = heat[j] <= heat[i];
      if (is) centres.push_back(i);
    }
    if (beta > 0) {
      auto const label = oracle::flood_fill(
          s.H, s.W, false,
          [&](auto y, auto x) {
            double const dy = static_cast<double>(s.offset(0, y, x)), dx = static_cast<double>(s.offset(1, y, x));
            return in[y * s.W + x] && dy * dy + dx * dx < 6.25;
          },
          [](auto...) { return true; });
      auto const peaks = centres;
      for (std::int64_t k = 0; k <= *std::max_element(label.begin(), label.end()); ++k) {
        index_t area = 0, y = 0, x = 0;
        for (index_t i = 0; i < cells(); ++i)
          if (label[static_cast<std::size_t>(i)] == k) ++area, y += i / s.W, x += i % s.W;
        if (!(21 - beta < static_cast<double>(area) && static_cast<double>(area) < 21 + beta)) continue;
        index_t const at = y / area * s.W + x / area;
        bool far = heat[at] > 0.05f;
        for (index_t const p : peaks) far = far && std::hypot(p / s.W - at / s.W, p % s.W - at % s.W) > 100;
        if (far) centres.push_back(at);
      }
      for (std::size_t k = peaks.size(); k < centres.size(); ++k) heat[centres[k]] = 1;
    }
    std::vector<int> ids(in.size(), 0);
    for (index_t i = 0; i < cells(); ++i) {
      if (!in[i]) continue;
      if (centres.empty()) ids[i] = whole ? 1 : 0;
      double least = 1e300;
      for (std::size_t k = 0; k < centres.size(); ++k) {
        double const d =
            std::hypot(static_cast<double>(centres[k] / s.W - i / s.W) - static_cast<double>(offset(0, i)),
                       static_cast<double>(centres[k] % s.W - i % s.W) - static_cast<double>(offset(1, i)));
        if (d < least) least = d, ids[i] = static_cast<int>(k + 1);
      }
    }
    return ids;
  }

  double probability(int channel, index_t i) const
  {
    double sum = 0;
    for (int l = 0; l < 4; ++l) sum += std::exp(static_cast<double>(s.seg(l, i / s.W, i % s.W)));
    return std::exp(static_cast<double>(s.seg(channel, i / s.W, i % s.W))) / sum;
  }

  /// Calls visit(class, region, cells of the group, first best cell, its response, mean probability, largest id).
  template <class Visit>
  void each(grid<std::int32_t, 2> const& semantic, ints const& classes, Visit const& visit) const
  {
    for (auto const& [c, in] : regions(semantic)) {
      if (std::find(classes.begin(), classes.end(), c) == classes.end()) continue;
      std::vector<float> heat;
      for (index_t i = 0; i < cells(); ++i) heat.push_back(in[i] ? s.centre(c, i / s.W, i % s.W) : 0.f);
      auto const ids = group(in, heat);
      int const n = *std::max_element(ids.begin(), ids.end());
      for (int id = 1; id <= n; ++id) {
        mask m(in.size(), 0);
        index_t best = -1, area = 0;
        double sure = 0;
        for (index_t i = 0; i < cells(); ++i) {
          if (ids[i] != id) continue;
          m[i] = 1, ++area, sure += probability(c + 1, i);
          if (best < 0 || heat[i] > heat[best]) best = i;
        }
        if (area > 0) visit(c, in, m, best, static_cast<double>(heat[best]), sure / static_cast<double>(area), n);
      }
    }
  }
};

struct sizes {
  index_t H, W;
  unsigned seed;
};

}  // namespace

TEST_CASE("instances by definition", "[pipeline][reference]")
{
  auto const size = GENERATE(sizes{24, 31, 1}, sizes{31, 40, 2}, sizes{20, 150, 3});
  index_t const H = size.H, W = size.W;
  auto const kernel = GENERATE(5, 41);
  bool const whole = GENERATE(false, true);
  double const beta = GENERATE(0.0, 3.0);
  scene const s(H, W, size.seed);
  by_definition const oracle{s, 0.3, kernel, beta, whole};
  bestie_instance_options options;
  options.threshold = 0.3;
  options.alone = whole ? lone_region::one_group : lone_region::nothing;
  options.groups = {.kernel = kernel, .beta = beta};
  auto const have = bestie_instances(cpu{.threads = 2}, s.output(), {}, options);
  std::size_t next = 0;
  oracle.each(have.semantic, {0, 1, 2},
              [&](int c, mask const&, mask const& m, index_t, double response, double sure, int) {
                REQUIRE(next < have.objects.found.size());
                auto const& found = have.objects.found[next++];
                CHECK(found.category == c);
                CHECK(std::abs(found.score - (response >= 1 ? sure : response) * sure) < 1e-5);
                for (index_t i = 0; i < H * W; ++i)
                  REQUIRE((have.objects.label(i / W, i % W) == static_cast<int>(next)) == (m[i] != 0));
              });
  CHECK(next == have.objects.found.size());
  CHECK(next > 1);
  for (index_t i = 0; i < H * W; ++i) {
    int best = 0;
    for (int l = 1; l < 4; ++l)
      if (s.seg(l, i / W, i % W) > s.seg(best, i / W, i % W)) best = l;
    CHECK(have.semantic(i / W, i % W) == best);
  }
}

TEST_CASE("refined labels by definition", "[pipeline][reference]")
{
  auto const seed = GENERATE(1u, 4u, 6u);
  int const kernel = GENERATE(3, 41);
  index_t const H = 26, W = 140;
  scene const s(H, W, seed);
  ints const classes{0, 2};
  bestie_refine_options options;
  options.groups.kernel = kernel;
  by_definition const oracle{s, 0.3, kernel, 3, false};
  grid<float, 3> centre(3, H, W), offset(2, H, W);
  grid<float, 2> weight(H, W);
  int led = 0, many = 0;
  oracle.each(s.semantic, classes,
              [&](int c, mask const& in, mask const& m, index_t best, double response, double sure, int n) {
                many += n > 5;
                if (n > 5) return;
                double ty = static_cast<double>(best / W), tx = static_cast<double>(best % W), conf = response * sure;
                if (response < 0.3) {
                  double area = 0;
                  ty = tx = 0, conf = sure, ++led;
                  for (index_t i = 0; i < H * W; ++i)
                    if (in[i]) ++area, ty += static_cast<double>(i / W), tx += static_cast<double>(i % W);
                  ty = std::floor(ty / area), tx = std::floor(tx / area);
                }
                for (index_t i = 0; i < H * W; ++i) {
                  double const dy = ty - static_cast<double>(i / W), dx = tx - static_cast<double>(i % W);
                  if (std::abs(dy) <= 19 && std::abs(dx) <= 19)
                    centre(c, i / W, i % W) =
                        std::max(centre(c, i / W, i % W), static_cast<float>(std::exp(-(dy * dy + dx * dx) / 72)));
                  if (!m[i]) continue;
                  weight(i / W, i % W) = static_cast<float>(std::clamp(conf, 0.0, 1.0));
                  offset(0, i / W, i % W) = static_cast<float>(dy), offset(1, i / W, i % W) = static_cast<float>(dx);
                }
              });
  // Twice the same image, so that a batch is shared among threads.
  grid<float, 4> seg(2, 4, H, W), heat(2, 3, H, W), field(2, 2, H, W);
  grid<std::int32_t, 3> semantic(2, H, W);
  for (index_t b = 0; b < 2; ++b) {
    std::copy(s.seg.cells().begin(), s.seg.cells().end(), &seg(b, 0, 0, 0));
    std::copy(s.centre.cells().begin(), s.centre.cells().end(), &heat(b, 0, 0, 0));
    std::copy(s.offset.cells().begin(), s.offset.cells().end(), &field(b, 0, 0, 0));
    std::copy(s.semantic.cells().begin(), s.semantic.cells().end(), &semantic(b, 0, 0));
  }
  for (int const threads : {1, 2, 3}) {
    auto const have = bestie_refined_labels<float>(cpu{.threads = threads}, {seg.view(), heat.view(), field.view()},
                                                   semantic, {classes, classes}, options);
    for (index_t b = 0; b < 2; ++b) {
      CHECK(std::equal(offset.cells().begin(), offset.cells().end(), &have.offset(b, 0, 0, 0)));
      CHECK(std::equal(centre.cells().begin(), centre.cells().end(), &have.centre(b, 0, 0, 0)));
      for (index_t i = 0; i < H * W; ++i)
        REQUIRE(std::abs(have.weight(b, i / W, i % W) - weight(i / W, i % W)) < 1e-5f);
    }
  }
  CAPTURE(led, many);
  CHECK(std::any_of(weight.cells().begin(), weight.cells().end(), [](float v) { return v > 0; }));
}

TEST_CASE("refined labels may take the network's foreground", "[pipeline][property]")
{
  scene const s(30, 44, 9);
  grid<std::int32_t, 2> const nothing(30, 44);
  auto const run = [&](grid<std::int32_t, 2> const& semantic, ints const& classes, foreground from) {
    centre_targets<> out{grid<float, 3>(3, 30, 44), grid<float, 3>(2, 30, 44), grid<float, 2>(30, 44)};
    bestie_refine_options options;
    options.from = from;
    bestie_refined_image_into(cpu{}, s.output(), semantic, classes, options, {out.centre, out.offset, out.weight});
    return out;
  };
  auto const decided = bestie_instances(cpu{}, s.output()).semantic;
  auto const own = run(nothing, {0, 1, 2}, foreground::prediction),
             given = run(decided, {0, 1, 2}, foreground::semantic);
  CHECK(own.offset == given.offset);
  CHECK(own.centre == given.centre);
  CHECK(std::any_of(own.weight.cells().begin(), own.weight.cells().end(), [](float v) { return v > 0; }));
  for (float const v : run(nothing, {0, 1, 2}, foreground::semantic).weight.cells()) CHECK(v == 0);
  for (float const v : run(s.semantic, {}, foreground::prediction).weight.cells()) CHECK(v == 0);
}

TEST_CASE("pseudo labels by definition", "[pipeline][reference]")
{
  auto const seed = GENERATE(1u, 2u, 5u);
  index_t const H = 40, W = 50;
  scene const s(H, W, seed);
  points cues = s.middles;
  for (std::size_t i = 0; i < cues.size(); ++i) cues[i].score = i % 4 == 0 ? 0.7 : 0.9;  // 0.7 is not above 0.7
  ints const classes{1, 2};
  auto const have = bestie_pseudo_labels(cpu{.threads = 2}, s.semantic, classes, cues, 3);
  by_definition const oracle{s, 0, 1, 0, false};
  grid<float, 2> weight(H, W);
  int accepted = 0;
  for (auto const& [c, in] : oracle.regions(s.semantic)) {
    int inside = 0;
    for (std::size_t i = 0; i < cues.size(); ++i)
      inside += i % 4 != 0 && cues[i].category == c &&
                in[static_cast<std::size_t>(cues[i].y) * 50 + static_cast<std::size_t>(cues[i].x)];
    if (inside != 1 || c == 0) continue;
    ++accepted;
    index_t y = 0, x = 0, area = 0;
    for (index_t i = 0; i < H * W; ++i)
      if (in[i]) ++area, y += i / W, x += i % W;
    y /= area, x /= area;
    CHECK(have.centre(c, y, x) == 1);
    for (index_t i = 0; i < H * W; ++i)
      if (in[i]) {
        weight(i / W, i % W) = 1;
        REQUIRE(have.offset(0, i / W, i % W) == static_cast<float>(y - i / W));
        REQUIRE(have.offset(1, i / W, i % W) == static_cast<float>(x - i % W));
      }
  }
  CHECK(have.weight == weight);
  CHECK(accepted > 0);
  CHECK(std::count(have.centre.cells().begin(), have.centre.cells().end(), 1.f) == accepted);
}

TEST_CASE("a score counts with the three decimals of a point file, unless asked", "[pipeline][picture]")
{
  auto const semantic = support::picture<std::uint8_t>({"111", "111"});
  bestie_transfer_options options;
  options.labels.smallest = 1, options.labels.sigma = 1;
  auto const taken = [&](double score) {
    return bestie_pseudo_labels(cpu{}, semantic, {0}, {{0, 1, 0, score}}, 1, options).weight(0, 0) == 1;
  };
  CHECK(!taken(0.7003));
  CHECK(!taken(0.7));
  CHECK(taken(0.7006));
  CHECK(taken(0.701));
  options.pseudo_thresh = 0.6998;
  CHECK(taken(0.6996));  // 0.700
  options.score = cue_score::exact;
  CHECK(!taken(0.6996));
  options.pseudo_thresh = 0.7;
  CHECK(taken(0.7003));
  CHECK(!taken(0.7));
  CHECK(!taken(std::nan("")));
  options.pseudo_thresh = std::nan("");
  CAMBIUM_THROWS_SAYING(taken(1), precondition_error, "bestie_pseudo_labels: pseudo_thresh is nan");
}

TEST_CASE("values of wide and signed types are no class of 32 bits", "[pipeline][picture]")
{
  auto const check = [](auto large) {
    grid<decltype(large), 2> semantic(1, 3);
    semantic(0, 0) = 1, semantic(0, 2) = large;
    bestie_transfer_options options;
    options.labels.smallest = 1, options.labels.sigma = 1;
    auto const have = bestie_pseudo_labels(cpu{}, semantic, {0}, {{0, 0, 0}, {0, 2, 0}}, 1, options);
    CHECK(have.weight.cells() == cells_t<float>{1, 0, 0});
    CHECK(present_classes(cpu{}, semantic, 1, {0}).cells() == cells_t<std::int32_t>{1, 0, 0});
  };
  check(std::int64_t{4294967297});
  check(std::uint64_t{1} << 63 | 1);
  check(std::numeric_limits<std::int32_t>::min());
  check(std::numeric_limits<std::int64_t>::min());
  check(std::int8_t{-1});
  grid<std::int32_t, 2> below(1, 2);
  below(0, 1) = std::numeric_limits<std::int32_t>::min();
  CAMBIUM_THROWS_SAYING(find_regions(cpu{}, below, 1), precondition_error,
                        "find_regions: semantic(0,1) is -2147483648");
}

TEST_CASE("what lies outside weak cells may be no disc", "[pipeline][picture]")
{
  grid<float, 3> centre(1, 5, 9), offset(2, 5, 9);
  std::fill(offset.cells().begin(), offset.cells().end(), 9.f);
  for (index_t i = 0; i < 21; ++i) offset(0, i / 7, i % 7 + 1) = offset(1, i / 7, i % 7 + 1) = 0;
  for (auto& v : centre.cells()) v = 0.06f;  // too little for the centre map alone
  class_regions<> regions{grid<std::int32_t, 2>(5, 9), {0}};
  std::fill(regions.label.cells().begin(), regions.label.cells().end(), 1);
  auto const found = [&](bestie_group_options const& options) {
    return bestie_group<float>(cpu{}, regions, centre.view(), offset.view(), 0.1, lone_region::nothing, options)
        .centres.at.size();
  };
  CHECK(found({.beta = 4}) == 2);  // 21 weak cells, and 24 others
  CHECK(found({.beta = 4, .outside = false}) == 1);
  for (double const beta : {-1., std::nan("")})
    CAMBIUM_THROWS_SAYING(found({.beta = beta}), precondition_error, "bestie_group: beta is ");
}

TEST_CASE("points lead their class", "[pipeline][picture]")
{
  auto const semantic = support::picture<std::uint8_t>({"111.22", "111.22"});
  grid<float, 3> offset(2, 2, 6), to(2, 2, 6);
  grid<float, 2> weight(2, 6);
  points const clicks{{1, 1, 0}, {0, 2, 0}, {1, 5, 2}};
  bestie_refined_offsets_into(cpu{}, offset.view(), semantic, {0, 1}, clicks, 3, border_points::drop, to, weight);
  CHECK(support::drawn(weight) == support::rows{"111...", "111..."});
  CHECK(to(1, 0, 2) == -1);
  bestie_refined_offsets_into(cpu{}, offset.view(), semantic, {0, 1}, clicks, 3, border_points::keep, to, weight);
  CHECK(to(1, 0, 2) == 0);
  CHECK(to(1, 0, 1) == 0);  // as near to either; the first wins
}

TEST_CASE("instances around points", "[pipeline][property]")
{
  scene const s(30, 40, 3);
  points const clicks{{0, 0, 0}, {15, 20, 0}, {10, 30, 1}, {3, 3, 2}};
  auto const have = bestie_instances_at(cpu{}, s.output(), {0, 1}, clicks);
  for (auto const l : have.semantic.cells()) CHECK((l >= 0 && l <= 2));
  REQUIRE(!have.objects.found.empty());
  for (index_t i = 0; i < 30 * 40; ++i) {
    auto const at = have.objects.label(i / 40, i % 40);
    auto const l = have.semantic(i / 40, i % 40);
    CHECK((at != 0) == (l != 0));  // both classes have a point
    if (at != 0) CHECK(have.objects.found[static_cast<std::size_t>(at - 1)].category == l - 1);
  }
  for (auto const& f : have.objects.found) CHECK((0 < f.score && f.score <= 1));
  CHECK(bestie_instances_at(cpu{}, s.output(), {0, 1}, {}).objects.found.empty());
}

TEST_CASE("the mirror image of an image adds nothing", "[pipeline][property]")
{
  scene const s(28, 37, 2);
  auto seg = s.seg, centre = s.centre, offset = s.offset;
  for (auto* const maps : {&seg, &centre, &offset})
    for (index_t c = 0; c < maps->shape()[0]; ++c)
      for (index_t y = 0; y < 28; ++y) std::reverse(&(*maps)(c, y, 0), &(*maps)(c, y, 0) + 37);
  for (index_t y = 0; y < 28; ++y)
    for (index_t x = 0; x < 37; ++x) offset(1, y, x) = -offset(1, y, x);
  bestie_instance_options options;
  options.groups.kernel = 5;  // several centres a region, so that offsets matter
  auto const alone = bestie_instances(cpu{}, s.output(), {}, options);
  for (auto const rule : {mirrored_offsets::first, mirrored_offsets::mean}) {
    options.offsets = rule;
    auto const both =
        bestie_instances<float>(cpu{}, s.output(), {}, options, {seg.view(), centre.view(), offset.view()});
    CHECK(both.semantic == alone.semantic);
    CHECK(both.objects.label == alone.objects.label);
  }
  std::fill(offset.cells().begin(), offset.cells().end(), 40.f);  // matters to the mean only
  options.offsets = mirrored_offsets::first;
  CHECK(bestie_instances<float>(cpu{}, s.output(), {}, options, {seg.view(), centre.view(), offset.view()})
            .objects.label == alone.objects.label);
  options.offsets = mirrored_offsets::mean;
  CHECK(!(bestie_instances<float>(cpu{}, s.output(), {}, options, {seg.view(), centre.view(), offset.view()})
              .objects.label == alone.objects.label));
}

TEST_CASE("offsets of an image of another size are rescaled", "[pipeline][property]")
{
  scene s(28, 38, 2);
  bestie_instance_options options;
  options.groups.kernel = 5;
  auto const want = bestie_instances(cpu{}, s.output(), {}, options);
  options.seen = {14, 152};
  for (index_t i = 0; i < 28 * 38; ++i) s.offset.data()[i] /= 2, s.offset.data()[28 * 38 + i] *= 4;
  CHECK(bestie_instances(cpu{}, s.output(), {}, options).objects.label == want.objects.label);
  options.seen = {28, 38};
  CHECK(!(bestie_instances(cpu{}, s.output(), {}, options).objects.label == want.objects.label));
}

TEST_CASE("BESTIE of nothing is empty", "[pipeline][errors]")
{
  grid<float, 3> seg(3, 20, 20), centre(2, 20, 20), offset(2, 20, 20);
  bestie_output<float> const nothing{seg.view(), centre.view(), offset.view()};
  auto const out = bestie_instances(cpu{}, nothing);
  CHECK(out.objects.found.empty());
  for (auto const v : out.objects.label.cells()) CHECK(v == 0);
  for (index_t i = 0; i < 400; ++i) seg(2, i / 20, i % 20) = 1;  // one object without a centre
  CHECK(bestie_instances(cpu{}, nothing, ints{0}).objects.found.empty());
  CHECK(bestie_instances(cpu{}, nothing, ints{1}).objects.found.size() == 1);
  bestie_instance_options options;
  options.alone = lone_region::nothing;
  CHECK(bestie_instances(cpu{}, nothing, {}, options).objects.found.empty());
  auto const [H, W] = GENERATE(table<index_t, index_t>({{0, 3}, {3, 0}, {1, 1}}));
  grid<float, 3> const a(3, H, W), b(2, H, W);
  CHECK(bestie_instances<float>(cpu{}, {a.view(), b.view(), b.view()}).objects.found.empty());
  CHECK(bestie_pseudo_labels(cpu{}, grid<std::uint8_t, 2>(H, W), {}, {}, 2).weight.size() == H * W);
}

TEST_CASE("BESTIE refuses what it documents", "[pipeline][errors]")
{
  grid<float, 3> seg(3, 4, 5), centre(2, 4, 5), offset(2, 4, 5), wrong(2, 5, 4);
  bestie_output<float> const in{seg.view(), centre.view(), offset.view()};
  CAMBIUM_THROWS_SAYING(bestie_instances<float>(cpu{}, {seg.view(), wrong.view(), offset.view()}), precondition_error,
                        "logits are [3,4,5], centres [2,5,4] and offsets [2,4,5]");
  CAMBIUM_THROWS_SAYING(bestie_instances(cpu{}, in, ints{2}), precondition_error, "class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances<float>(cpu{}, in, {}, {}, {wrong.view(), wrong.view(), wrong.view()}),
                        precondition_error, "mirror image");
  bestie_instance_options options;
  options.seen = {0, 7};
  CAMBIUM_THROWS_SAYING(bestie_instances(cpu{}, in, {}, options), precondition_error, "the network saw 0 x 7 pixels");
  CAMBIUM_THROWS_SAYING(bestie_instances_at(cpu{}, in, {0}, {{0, 0, 2}}), precondition_error,
                        "category 2 is outside 0..1");
  grid<std::int32_t, 2> const semantic(4, 5);
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(cpu{}, semantic, {3}, {}, 2), precondition_error,
                        "class 3 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(cpu{}, semantic, {0}, {{9, 0, 0}}, 2), precondition_error, "off the map");
  CHECK_NOTHROW(bestie_pseudo_labels(cpu{}, semantic, {0}, {{9, 0, 1}}, 2));  // of a class that is not there
  grid<float, 4> s4(1, 3, 4, 5), c4d(1, 2, 4, 5), o4(1, 2, 4, 5);
  CAMBIUM_THROWS_SAYING(
      bestie_refined_labels<float>(cpu{}, {s4.view(), c4d.view(), o4.view()}, grid<int, 3>(1, 4, 5), {}),
      precondition_error, ", 0 lists of classes");
  CAMBIUM_THROWS_SAYING(
      bestie_refined_labels<float>(cpu{}, {s4.view(), c4d.view(), o4.view()}, grid<int, 3>(1, 4, 5), {{2}}),
      precondition_error, "class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances_at(cpu{}, in, {2}, {}), precondition_error,
                        "bestie_instances_at: class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(bestie_instances_at<float>(cpu{}, {seg.view(), wrong.view(), offset.view()}, {}, {}),
                        precondition_error, "bestie_instances_at: logits are [3,4,5]");
  grid<float, 2> weight(4, 5);
  CAMBIUM_THROWS_SAYING(
      bestie_refined_offsets_into(cpu{}, offset.view(), semantic, {}, {}, -5, border_points::keep, offset, weight),
      precondition_error, "points_by_class: -5 classes");
  CAMBIUM_THROWS_SAYING(bestie_pseudo_labels(cpu{}, semantic, {}, {}, -5), precondition_error, "-5 classes");
  CAMBIUM_THROWS_SAYING(bestie_peaks(cpu{}, centre, centre, {9, 9}, {4}), precondition_error,
                        "class 4 is outside 0..1");
  seg(1, 2, 3) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(bestie_instances(cpu{}, in), precondition_error, "scores(1,2,3) is inf");
}

TEST_CASE("refinement refuses what does not fit, before it writes", "[pipeline][errors]")
{
  scene const one(30, 40, 3), two(30, 40, 4);
  bestie_refine_options options;
  options.from = GENERATE(foreground::semantic, foreground::prediction);
  auto const fresh = [](index_t C, index_t H, index_t W) {
    auto out = make_targets(cpu{}, C, {H, W}, "test");
    for (auto* const cells : {&out.centre.cells(), &out.offset.cells(), &out.weight.cells()})
      std::fill(cells->begin(), cells->end(), 7.f);
    return out;
  };
  auto const untouched = [](auto const& out) {
    for (auto const* const cells : {&out.centre.cells(), &out.offset.cells(), &out.weight.cells()})
      for (float const v : *cells) REQUIRE(v == 7);
  };
  auto const image = [&](grid<std::int32_t, 2> const& semantic, centre_targets<>& out) {
    bestie_refined_image_into(cpu{}, one.output(), semantic, {0, 1}, options, {out.centre, out.offset, out.weight});
  };
  auto good = fresh(3, 30, 40), more = fresh(5, 30, 40), small = fresh(3, 30, 39);
  CAMBIUM_THROWS_SAYING(image(grid<std::int32_t, 2>(1, 1), good), precondition_error,
                        "bestie_refined_labels: logits are [4,30,40] but the semantic map is [1,1]");
  CAMBIUM_THROWS_SAYING(image(one.semantic, more), precondition_error,
                        "bestie_refined_labels: centres are [3,30,40] but the targets [5,30,40]");
  CAMBIUM_THROWS_SAYING(image(one.semantic, small), precondition_error,
                        "bestie_refined_labels: a map of 30 x 40 but targets of [3,30,39]");
  auto const with = options;
  options.labels.sigma = 0;
  CAMBIUM_THROWS_SAYING(image(one.semantic, good), precondition_error, "bestie_refined_labels: sigma is 0");
  options = with;
  untouched(good), untouched(more), untouched(small);

  grid<float, 4> seg(2, 4, 30, 40), centre(2, 3, 30, 40), offset(2, 2, 30, 40);
  grid<std::int32_t, 3> semantic(2, 30, 40);
  for (index_t b = 0; b < 2; ++b) {
    scene const& s = b == 0 ? one : two;
    std::copy(s.seg.cells().begin(), s.seg.cells().end(), &seg(b, 0, 0, 0));
    std::copy(s.centre.cells().begin(), s.centre.cells().end(), &centre(b, 0, 0, 0));
    std::copy(s.offset.cells().begin(), s.offset.cells().end(), &offset(b, 0, 0, 0));
    std::copy(s.semantic.cells().begin(), s.semantic.cells().end(), &semantic(b, 0, 0));
  }
  auto const targets = [](index_t B, index_t C, index_t axes, index_t H, index_t W, index_t height) {
    centre_targets_batch<> out{grid<float, 4>(B, C, H, W), grid<float, 4>(B, axes, H, W), grid<float, 3>(B, height, W)};
    for (auto* const cells : {&out.centre.cells(), &out.offset.cells(), &out.weight.cells()})
      std::fill(cells->begin(), cells->end(), 7.f);
    return out;
  };
  auto const batch = [&](centre_targets_batch<>& out) {
    bestie_refined_labels_into<float>(cpu{.threads = 1}, {seg.view(), centre.view(), offset.view()}, semantic,
                                      {{0, 1}, {1, 2}}, options, out);
  };
  for (auto out : {targets(1, 3, 2, 30, 40, 30), targets(2, 2, 2, 30, 40, 30), targets(2, 3, 3, 30, 40, 30),
                   targets(2, 3, 2, 29, 40, 30), targets(2, 3, 2, 30, 41, 30), targets(2, 3, 2, 30, 40, 31)}) {
    CHECK_THROWS_AS(batch(out), precondition_error);
    untouched(out);
  }
  auto out = targets(2, 3, 2, 30, 40, 30);
  float const nan = std::nanf(""), before = seg(1, 2, 29, 39);
  seg(1, 2, 29, 39) = nan;  // in the second image
  CAMBIUM_THROWS_SAYING(batch(out), precondition_error, "scores(2,29,39) is nan");
  untouched(out);
  seg(1, 2, 29, 39) = before, offset(1, 1, 0, 0) = nan;
  CAMBIUM_THROWS_SAYING(batch(out), precondition_error, "(1,0,0) is nan");
  untouched(out);
  offset(1, 1, 0, 0) = 0;
  CHECK_NOTHROW(batch(out));
}

TEST_CASE("two points on one plateau drop the object, one point keeps it", "[pipeline][picture]")
{
  grid<float, 3> cam(1, 12, 16);
  cam(0, 5, 7) = cam(0, 5, 8) = 0.9f;  // a flat top of two pixels
  grid<std::int32_t, 2> semantic(12, 16);
  for (index_t y = 2; y < 10; ++y)
    for (index_t x = 3; x < 13; ++x) semantic(y, x) = 1;
  bestie_peak_options options{.smoothing = 1};
  auto const labelled = [&](points const& cues) {
    auto const known = bestie_pseudo_labels(cpu{}, semantic, {0}, cues, 1).weight;
    return std::count_if(known.cells().begin(), known.cells().end(), [](float w) { return w > 0; });
  };

  points const every = to_vector(cpu{}, bestie_peaks(cpu{}, cam, cam, {12, 16}, {0}, options));
  REQUIRE(every.size() == 2);
  CHECK((every[0].y == 5 && every[0].x == 7 && every[1].y == 5 && every[1].x == 8));
  CHECK(labelled(every) == 0);
  options.peaks.plateaus = plateau::one_cell;
  points const one = to_vector(cpu{}, bestie_peaks(cpu{}, cam, cam, {12, 16}, {0}, options));
  REQUIRE(one.size() == 1);
  CHECK((one[0].y == 5 && one[0].x == 7));
  CHECK(labelled(one) == 80);
}
