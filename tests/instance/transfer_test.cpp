#include <cambium/instance/transfer.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <type_traits>
#include <vector>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

transfer_options const tiny{.sigma = 1, .smallest = 1};

/// Where a heat map is 1.
points ones(grid<float, 3> const& centre)
{
  points out;
  for (index_t c = 0; c < centre.shape()[0]; ++c)
    for (index_t y = 0; y < centre.shape()[1]; ++y)
      for (index_t x = 0; x < centre.shape()[2]; ++x)
        if (centre(c, y, x) == 1) out.push_back({static_cast<double>(y), static_cast<double>(x), static_cast<int>(c)});
  return out;
}

/// Between cells a device may be 1 ulp off.
template <class P>
bool agree(float have, double want)
{
  return std::abs(have - static_cast<float>(want)) <= (std::is_same_v<typename P::memory, host> ? 0.f : 1e-7f);
}

/// What P draws, on the host.
template <class P>
grid<float, 3> heat(points const& centres, index_t C, extent2 size, heat_options options = {})
{
  return support::carry<P>::back(centre_map(P{}, centres, C, size, options));
}

/// What P makes of lists of the host, on the host.
template <class P, class L>
centre_targets<> transferred(grid<L, 2> const& components, std::vector<std::int32_t> const& categories,
                             points const& cues, index_t C, transfer_options options = {})
{
  using to = support::carry<P>;
  auto const out = transfer(P{}, to::there(components), categories, cues, C, options);
  return {to::back(out.centre), to::back(out.offset), to::back(out.weight)};
}

/// Targets from the definition: every cell looks at all cues, which are whole cells.
centre_targets<> by_definition(grid<std::int32_t, 2> const& components, std::vector<std::int32_t> const& categories,
                               points const& cues, index_t C, transfer_options const& options)
{
  int const H = static_cast<int>(components.shape()[0]), W = static_cast<int>(components.shape()[1]);
  bool const exact = options.centre == centroid::exact;
  std::map<int, int> area;
  for (auto const at : components.cells()) ++area[at];
  auto const owner = [&](int y, int x) {
    int const at = components(y, x);
    int own = 0, best = -1;
    if (at == 0 || area[at] < options.smallest) return -1;
    auto const category = categories[static_cast<std::size_t>(at - 1)];
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < cues.size(); ++k) {
      auto const& p = cues[k];
      if (components(static_cast<int>(p.y), static_cast<int>(p.x)) != at || p.category != category) continue;
      double const d = std::pow(p.y - y, 2) + std::pow(p.x - x, 2);
      if (d < least) least = d, best = static_cast<int>(k);
      ++own;
    }
    return own == 1 || options.several == several_cues::split ? best : -1;
  };
  struct sums {
    double n, y, x;
  };
  std::map<int, sums> of;
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x)
      if (auto& s = of[owner(y, x)]; true) s.n += 1, s.y += y, s.x += x;
  points stamps = cues;
  if (options.sup == supervision::image) stamps.clear();
  for (auto& [k, s] : of) {
    s.y /= s.n, s.x /= s.n;
    if (!exact) s.y = std::trunc(s.y), s.x = std::trunc(s.x);
    if (k >= 0 && options.sup == supervision::image)
      stamps.push_back({s.y, s.x, cues[static_cast<std::size_t>(k)].category});
  }
  heat_options const drawing{.sigma = options.sigma, .rounding = exact ? stamping::exact : stamping::original};
  centre_targets<> out{centre_map(cpu{}, stamps, C, {H, W}, drawing), grid<float, 3>(2, H, W), grid<float, 2>(H, W)};
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      int const k = owner(y, x);
      if (k < 0) continue;
      out.weight(y, x) = 1;
      out.offset(0, y, x) = static_cast<float>(of[k].y - y);
      out.offset(1, y, x) = static_cast<float>(of[k].x - x);
    }
  return out;
}

}  // namespace

TEST_CASE("the kernel is a Gaussian", "[instance][reference]")
{
  int const sigma = GENERATE(1, 6, 8);
  auto const g = heat_kernel(sigma);
  int const side = 6 * sigma + 3, middle = 3 * sigma + 1;
  REQUIRE(g.size() == side * side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      CHECK(std::abs(g(y, x) - std::exp(-((y - middle) * (y - middle) + (x - middle) * (x - middle)) /
                                        (2. * sigma * sigma))) < 1e-15);
}

TEMPLATE_LIST_TEST_CASE("heat maps are the largest Gaussian of their class", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const rounding = GENERATE(stamping::original, stamping::exact);
  points const centres{{5, 7, 0}, {0, 0, 0}, {11, 15, 0}, {-1, 4, 0}, {3, 16, 0}, {8, 2, 1}, {5, 7, 0}};
  auto const map = heat<TestType>(centres, 3, {12, 16}, {.sigma = 2, .rounding = rounding});
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 12; ++y)
      for (int x = 0; x < 16; ++x) {
        double want = 0;
        for (auto const& p : centres) {
          bool const on = p.y >= 0 && p.x >= 0 && p.y < 12 && p.x < 16 && p.category == c;
          if (on && std::abs(p.y - y) <= 7 && std::abs(p.x - x) <= 7)
            want = std::max(want, std::exp(-(std::pow(p.y - y, 2) + std::pow(p.x - x, 2)) / 8));
        }
        CHECK(map(c, y, x) == static_cast<float>(want));
      }
}

TEMPLATE_LIST_TEST_CASE("between cells the original rounds, and exact does not", "[instance][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const at = [](double x, stamping rounding) {
    return ones(heat<TestType>({{10, x}}, 1, {21, 60}, {.sigma = 1, .rounding = rounding}));
  };
  CHECK(at(20.3, stamping::original) == points{{10, 20}});
  CHECK(at(20.7, stamping::original) == points{{10, 21}});
  CHECK(at(20.3, stamping::exact).empty());
  auto const exact = heat<TestType>({{10.25, 20.5}}, 1, {21, 60}, {.sigma = 1, .rounding = stamping::exact});
  CHECK(agree<TestType>(exact(0, 10, 20), std::exp(-(0.0625 + 0.25) / 2)));
  CHECK(exact(0, 10, 20) == exact(0, 10, 21));

  // 3 sigma + 1 = 4: exact halves of one parity lose the last column of the kernel, of the other they are refused.
  auto const narrow = heat<TestType>({{10, 21.5}}, 1, {21, 60}, {.sigma = 1});
  CHECK(narrow(0, 10, 22) == 1);
  CHECK(narrow(0, 10, 18) > 0);
  CHECK(narrow(0, 10, 26) == 0);
  CAMBIUM_THROWS_SAYING(heat<TestType>({{10, 20.5}}, 1, {21, 60}, {.sigma = 1}), precondition_error,
                        "half cell (10,20.5), which the original refuses");
  CHECK_NOTHROW(heat<TestType>({{10, 58.5}}, 1, {21, 60}, {.sigma = 1}));  // the border cuts the patch to the kernel
}

TEMPLATE_LIST_TEST_CASE("one cue makes an instance", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const components = picture({
      "111..22",
      "111..22",
      "1......",
      "...3333",
      "444....",
  });
  // 1 has one cue; 2 has one of another class; 3 has two; 4 has none.
  points const cues{{0, 1, 0}, {0, 5, 0}, {3, 3, 1}, {3, 6, 1}, {2, 4, 2}};
  auto const out = transferred<TestType>(components, {0, 1, 1, 2}, cues, 3, tiny);
  CHECK(drawn(out.weight) == rows{"111....", "111....", "1......", ".......", "......."});
  // the mean (5/7, 6/7) becomes the cell (0,0)
  CHECK(ones(out.centre) == points{{0, 0, 0}});
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 7; ++x) {
      CHECK(out.offset(0, y, x) == (components(y, x) == 1 ? static_cast<float>(-y) : 0.f));
      CHECK(out.offset(1, y, x) == (components(y, x) == 1 ? static_cast<float>(-x) : 0.f));
    }

  SECTION("the exact mean")
  {
    auto const exact = transferred<TestType>(components, {0, 1, 1, 2}, cues, 3,
                                             {.sigma = 1, .smallest = 1, .centre = centroid::exact});
    CHECK(exact.offset(0, 2, 0) == static_cast<float>(5. / 7 - 2));
    CHECK(exact.offset(1, 2, 0) == static_cast<float>(6. / 7));
    CHECK(agree<TestType>(exact.centre(0, 1, 1), std::exp(-(4. / 49 + 1. / 49) / 2)));
  }
  SECTION("clicks stand where they are, the offsets do not")
  {
    auto const clicked = transferred<TestType>(components, {0, 1, 1, 2}, cues, 3,
                                               {.sup = supervision::point, .sigma = 1, .smallest = 1});
    CHECK(ones(clicked.centre) == points{{0, 1, 0}, {0, 5, 0}, {3, 3, 1}, {3, 6, 1}, {2, 4, 2}});
    CHECK(clicked.offset == out.offset);
    CHECK(clicked.weight == out.weight);
  }
  SECTION("a fractional cue lies on the nearest cell")
  {
    auto const at = [&](double y, double x, std::int32_t category) {
      return drawn(transferred<TestType>(components, {0, 1, 1, 2}, {{y, x, category}}, 3, tiny).weight);
    };
    auto const first = rows{"111....", "111....", "1......", ".......", "......."},
               none = rows{".......", ".......", ".......", ".......", "......."};
    CHECK(at(2.4, 0.4, 0) == first);
    CHECK(at(2.4, 0.6, 0) == none);
    CHECK(at(1.5, 0, 0) == first);
    CHECK(at(1.5, 1, 0) == none);
    CHECK(at(4.9, 2.2, 2) == rows{".......", ".......", ".......", ".......", "111...."});
  }
  SECTION("several cues split a component")
  {
    auto const split = transferred<TestType>(components, {0, 1, 1, 2}, cues, 3,
                                             {.sigma = 1, .smallest = 1, .several = several_cues::split});
    CHECK(drawn(split.weight) == rows{"111....", "111....", "1......", "...1111", "......."});
    CHECK(ones(split.centre) == points{{0, 0, 0}, {3, 3, 1}, {3, 5, 1}});
    CHECK(split.offset(1, 3, 4) == -1);
    CHECK(split.offset(1, 3, 6) == -1);
  }
  SECTION("of cues equally near the first takes a cell, whatever the compiler fuses")
  {
    // Mirror images of each other at the diagonal, whose cells are equally far from both.
    auto const square = picture({"111111", "111111", "111111", "111111", "111111", "111111"});
    for (double const a : {0.1, 0.7, 1.3, 2.9})
      for (double const b : {3.1, 3.7, 4.3, 5.9}) {
        points const pair{{a, b, 0}, {b, a, 0}};
        auto const parted = transferred<TestType>(
            square, {0}, pair, 1,
            {.sigma = 1, .smallest = 1, .centre = centroid::exact, .several = several_cues::split});
        for (index_t i = 0; i < 6; ++i)
          CHECK(parted.offset(1, i, i) + static_cast<float>(i) == Approx(parted.offset(1, 0, 5) + 5));  // of the first
      }
  }
  SECTION("small components are dropped")
  {
    CHECK(drawn(transferred<TestType>(components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 7}).weight) ==
          drawn(out.weight));
    auto const none = transferred<TestType>(components, {0, 1, 1, 2}, cues, 3, {.sigma = 1, .smallest = 8});
    CHECK(ones(none.centre).empty());
    for (float const v : none.weight.cells()) CHECK(v == 0);
  }
  SECTION("a component of no class is nothing")
  {
    CHECK(ones(transferred<TestType>(components, {-1, 1, 1, 2}, cues, 3, tiny).centre).empty());
  }
}

TEMPLATE_LIST_TEST_CASE("a device draws heat maps as the cpu does", "[instance][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const rounding = GENERATE(stamping::original, stamping::exact);
  auto const sigma = GENERATE(1, 6);
  points centres{{5, 7, 0}, {0, 0, 0}, {11, 15, 0}, {-1, 4, 0}, {3, 16, 0}, {8, 2, 1}, {5, 7, 0}, {10, 29.5, 1}};
  auto const at = support::uniform<double, 2>({30, 2}, -3, 43, 5);
  for (index_t i = 0; i < 30; ++i) centres.push_back({at(i, 0), at(i, 1), static_cast<std::int32_t>(i % 3)});
  if (rounding == stamping::exact) centres.push_back({10, 20.5, 1});
  heat_options const options{.sigma = sigma, .rounding = rounding};
  auto const want = centre_map(cpu{}, centres, 3, {33, 41}, options);
  auto const have = to::back(centre_map(TestType{}, centres, 3, {33, 41}, options));
  CHECK(support::largest_gap(have.cells(), want.cells()) <= (rounding == stamping::exact ? 1e-7 : 0));
}

TEMPLATE_LIST_TEST_CASE("targets are those of the definition", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const sup = GENERATE(supervision::image, supervision::point);
  auto const several = GENERATE(several_cues::reject, several_cues::split);
  auto const centre = GENERATE(centroid::truncated, centroid::exact);
  auto const smallest = GENERATE(1, 90);
  auto const [H, W] = GENERATE(table<int, int>({{47, 71}, {1, 40}, {0, 3}}));
  grid<std::int32_t, 2> components(H, W);
  auto const hole = support::uniform<float, 2>({H, W}, 0, 1, 8);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x)
      if (hole(y, x) > 0.1f) components(y, x) = 1 + 3 * (y / 13) + x / 25;
  std::vector<std::int32_t> categories;
  for (int i = 0; i < 14; ++i) categories.push_back(i % 4 - 1);
  points cues;
  auto const at = support::uniform<double, 2>({25, 2}, 0, 1, 5);
  for (index_t i = 0; i < 25 && H * W > 0; ++i)
    cues.push_back({std::floor(at(i, 0) * H), std::floor(at(i, 1) * W), static_cast<std::int32_t>(i % 3)});
  transfer_options const options{.sup = sup, .sigma = 2, .smallest = smallest, .centre = centre, .several = several};
  auto const want = by_definition(components, categories, cues, 3, options);
  auto const have = transferred<TestType>(components, categories, cues, 3, options);
  CHECK(have.offset == want.offset);
  CHECK(have.weight == want.weight);
  CHECK(support::largest_gap(have.centre.cells(), want.centre.cells()) <= (centre == centroid::exact ? 1e-7 : 0));
}

TEMPLATE_LIST_TEST_CASE("what was there before is overwritten, also in pieces of larger maps and in used scratch",
                        "[instance][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(2);
  grid<float, 3> centre(2, 2, 9), offset(2, 2, 9);
  grid<float, 2> weight(2, 9);
  for (auto* const cells : {&centre.cells(), &offset.cells(), &weight.cells()})
    std::fill(cells->begin(), cells->end(), 7.f);
  auto const left = [](auto v) {
    v.extent[std::size(v.extent) - 1] = 4;
    return v;
  };
  auto a = support::copied<TestType>(centre), b = support::copied<TestType>(offset);
  auto c = support::copied<TestType>(weight);
  auto const plain = picture({"11..", "11.."});
  auto components = plain;
  points cues{{1, 1, 1}, {0, 2, 1}};
  if constexpr (!std::is_same_v<TestType, cpu>) {  // values that the cpu refuses are passed over
    components(0, 2) = 2, components(1, 3) = -1;
    cues.push_back({std::nan(""), 0, 1}), cues.push_back({0, 1, 500});
  }
  auto const label = support::copied<TestType>(components);
  auto const cue = to_memory(where, cues);
  transfer_scratch<TestType> scratch;
  auto const both = to_memory(where, std::vector<std::int32_t>{1, 1});
  for (int const components_known : {2, 1}) {
    auto category = both.view();
    category.extent[0] = components_known;
    transfer_into(where, label, category, cue, {.sigma = components_known == 2 ? 6 : 1, .smallest = 1},
                  {left(a.view()), left(b.view()), left(c.view())}, scratch);
  }
  auto const want = transfer(cpu{}, plain, {1}, {{1, 1, 1}}, 2, tiny);
  auto const have_a = to::back(a), have_b = to::back(b);
  auto const have_c = to::back(c);
  for (index_t y = 0; y < 2; ++y)
    for (index_t x = 0; x < 9; ++x)
      for (index_t k = 0; k < 2; ++k) {
        CHECK(have_a(k, y, x) == (x < 4 ? want.centre(k, y, x) : 7.f));
        CHECK(have_b(k, y, x) == (x < 4 ? want.offset(k, y, x) : 7.f));
        CHECK(have_c(y, x) == (x < 4 ? want.weight(y, x) : 7.f));
      }
}

TEMPLATE_LIST_TEST_CASE("transfer of nothing", "[instance][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W, C] = GENERATE(table<index_t, index_t, index_t>({{0, 5, 2}, {5, 0, 2}, {3, 4, 0}, {1, 1, 1}}));
  auto const out = transferred<TestType>(grid<std::int32_t, 2>(H, W), {}, {}, C);
  CHECK(out.centre.size() == C * H * W);
  for (float const v : out.offset.cells()) CHECK(v == 0);
}

TEMPLATE_LIST_TEST_CASE("transfer refuses what it documents, before it writes", "[instance][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const components = picture({"1.", ".2"});
  grid<float, 2> sevens(2, 2);
  std::fill(sevens.cells().begin(), sevens.cells().end(), 7.f);
  auto centre = support::copied<TestType>(grid<float, 3>(2, 2, 2)),
       offset = support::copied<TestType>(grid<float, 3>(2, 2, 2));
  auto weight = support::copied<TestType>(sevens), wide = support::copied<TestType>(grid<float, 2>(2, 3));
  auto const call = [&](std::vector<std::int32_t> const& categories, points const& cues, transfer_options options) {
    transfer_into(where, to::there(components), categories, cues, options, {centre, offset, weight});
  };
  CAMBIUM_THROWS_SAYING(call({0, 2}, {}, tiny), precondition_error, "category 2 is outside -1..1");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{0, 0, 2}}, tiny), precondition_error, "category 2 of a cue");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{0, 2, 1}}, tiny), precondition_error, "a cue at (0,2) is off the map of [2,2]");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{-1, 0, 1}}, tiny), precondition_error, "a cue at (-1,0)");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{std::nan(""), 0, 1}}, tiny), precondition_error, "a cue at (nan,0)");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.sigma = 0}), precondition_error, "sigma is 0, outside 1..200");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.smallest = -1}), precondition_error, "smallest is -1");
  CAMBIUM_THROWS_SAYING(transfer_into(where, to::there(components), {0, 1}, {}, tiny, {centre, offset, wide}),
                        precondition_error, "a map of 2 x 2 but targets of [2,2,2], [2,2,2] and [2,3]");
  CAMBIUM_THROWS_SAYING(centre_map(where, {{0, 0, 1}}, 1, {3, 3}), precondition_error, "category 1 is outside 0..0");
  CAMBIUM_THROWS_SAYING(centre_map(where, {{std::nan(""), 0}}, 1, {3, 3}), precondition_error,
                        "a centre is at (nan,0)");
  CAMBIUM_THROWS_SAYING(centre_map(where, {}, 1, {3, -3}), precondition_error, "1 classes of 3 x -3");
  CAMBIUM_THROWS_SAYING(heat_kernel(201), precondition_error, "sigma is 201");
  if constexpr (std::is_same_v<TestType, cpu>) {  // the cpu looks at labels
    CAMBIUM_THROWS_SAYING(call({0}, {}, tiny), precondition_error, "component(1,1) is 2, outside 0..1");
    grid<std::uint64_t, 2> large(2, 2);  // a sign would turn it into a small number
    large(1, 0) = (std::uint64_t{1} << 63) + 1;
    CAMBIUM_THROWS_SAYING(transfer_into(where, large, {0, 1}, {}, tiny, {centre, offset, weight}), precondition_error,
                          "transfer: component(1,0) is 9223372036854775809, outside 0..2");
  }
  for (float const v : to::back(weight).cells()) CHECK(v == 7);
}
