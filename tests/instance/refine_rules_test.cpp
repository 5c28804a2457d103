// Groups on a device, measured, scored and refined, against the cpu.
#include <cambium/instance/refine.hpp>
#include <cambium/instance/score.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

/// Ids of groups in blocks, as group_pixels leaves them: those of region r are of one row of blocks.
grid<std::int32_t, 2> blocks(index_t H, index_t W, index_t down, index_t across)
{
  grid<std::int32_t, 2> out(H, W);
  auto const hole = support::uniform<float, 2>({H, W}, 0, 1, 8);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      if (hole(y, x) > 0.2f) out(y, x) = static_cast<std::int32_t>(1 + y * down / H * across + x * across / W);
  return out;
}

void check_same(group_measure const& have, group_measure const& want, double margin)
{
  CHECK(have.area == want.area);
  CHECK(have.bounds == want.bounds);
  CHECK(have.response == want.response);
  CHECK((have.y == want.y && have.x == want.x));
  CHECK(have.probability == Approx(want.probability).margin(margin).epsilon(0));
}

template <class P>
grid<group_measure, 1, typename P::memory> carried_groups(std::vector<group_measure> const& groups)
{
  grid<group_measure, 1> out(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) out(i) = groups[i];
  return support::copied<P>(out);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a device measures groups as the cpu does", "[instance][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W, down, across] = GENERATE(
      table<int, int, int, int>({{1, 1, 1, 1}, {40, 67, 3, 4}, {5, 300, 1, 40}, {0, 4, 1, 1}, {90, 1, 30, 1}}));
  double const large = GENERATE(1.0, 1e-30, 1e20);
  CAPTURE(H, W, large);
  auto const ids = blocks(H, W, down, across);
  index_t const count = down * across + 3;  // three of them are empty
  auto heat = support::uniform<float, 2>({H, W}, -1, 1, 5);
  for (auto& v : heat.cells()) v = std::round(4 * v) / 4;  // several cells are the largest
  auto sure = support::uniform<double, 2>({H, W}, 0, large, 6);
  auto const want = measure_groups(cpu{}, ids, count, heat, sure);
  auto const have = to::back(measure_groups(TestType{}, to::there(ids), count, to::there(heat), to::there(sure)));
  REQUIRE(have.size() == count);
  for (index_t i = 0; i < count; ++i) check_same(have(i), want[static_cast<std::size_t>(i)], 1e-13 * large);
}

TEMPLATE_LIST_TEST_CASE("a device scores groups as the cpu does", "[instance][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(scored_by::centre_and_class, scored_by::class_only);
  auto const ids = blocks(33, 61, 4, 5);
  auto const heat = support::uniform<float, 2>({33, 61}, -1, 1.5, 5),
             sure = support::uniform<float, 2>({33, 61}, 0, 1, 6);
  auto groups = measure_groups(cpu{}, ids, 20, heat, sure);
  groups[4].area = groups[19].area = 0;
  std::vector<std::int32_t> categories;
  for (int i = 0; i < 20; ++i) categories.push_back(3 * i);
  auto const want = score_groups(cpu{}, ids, groups, categories, by);
  auto const there = carried_groups<TestType>(groups);
  auto const have = to_host(TestType{}, score_groups(TestType{}, to::there(ids), there, categories, by));
  CHECK(have.label == want.label);
  REQUIRE(have.found.size() == want.found.size());
  for (std::size_t i = 0; i < want.found.size(); ++i) {
    CHECK(have.found[i].category == want.found[i].category);
    CHECK(have.found[i].score == want.found[i].score);
    CHECK(have.found[i].area == want.found[i].area);
    CHECK(have.found[i].bounds == want.found[i].bounds);
  }
  CAMBIUM_THROWS_SAYING(score_groups(TestType{}, to::there(ids), there, {}), precondition_error,
                        "20 groups but 0 categories");
}

TEMPLATE_LIST_TEST_CASE("a device refines groups as the cpu does", "[instance][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const centre = GENERATE(centroid::truncated, centroid::exact);
  auto const most = GENERATE(5, 3);
  index_t const H = 41, W = 59;
  auto const ids = blocks(H, W, 4, 5);
  grid<std::int32_t, 2> regions(H, W);
  for (index_t i = 0; i < H * W; ++i)
    regions.cells()[static_cast<std::size_t>(i)] = (ids.cells()[static_cast<std::size_t>(i)] + 4) / 5;
  auto const heat = support::uniform<float, 2>({H, W}, -1, 0.4, 5), sure = support::uniform<float, 2>({H, W}, 0, 2, 6);
  auto groups = measure_groups(cpu{}, ids, 20, heat, sure);
  groups[3].area = groups[4].area = groups[11].area = 0;
  for (std::size_t k : {0, 7, 13}) groups[k].response = 0.2;
  std::vector<index_t> const first{0, 5, 10, 15, 20};
  std::vector<std::int32_t> const categories{1, 0, 2, 1};
  refine_options const options{.sigma = 2, .most = most, .centre = centre};
  auto const want = refine(cpu{}, regions, categories, ids, first, groups, 3, options);
  auto const there = carried_groups<TestType>(groups);
  auto const have = refine(TestType{}, to::there(regions), categories, to::there(ids), first, there, 3, options);
  CHECK(to::back(have.offset) == want.offset);
  CHECK(to::back(have.weight) == want.weight);
  CHECK(support::largest_gap(to::back(have.centre).cells(), want.centre.cells()) <=
        (centre == centroid::exact ? 1e-7 : 0));
  CAMBIUM_THROWS_SAYING(refine(TestType{}, to::there(regions), categories, to::there(ids), {0, 1}, there, 3),
                        precondition_error, "first does not divide");
  CAMBIUM_THROWS_SAYING(refine(TestType{}, to::there(regions), categories, to::there(ids), first, there, 2),
                        precondition_error, "category 2 is outside 0..1");
}

TEMPLATE_LIST_TEST_CASE("a device leads cells to their points", "[instance][picture]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> const none(2, 1, 4);
  grid<float, 2> const nothing(1, 4);
  auto offset = support::copied<TestType>(none);
  auto weight = support::copied<TestType>(nothing);
  grid<point, 1> centres(2);
  centres(0) = {0, 2.5}, centres(1) = {4, 1};
  lead_to_points_into(TestType{}, to::there(picture({"2.19"})), to::there(centres), offset.view(), weight.view());
  CHECK(to::back(offset).cells() == cells_t<float>{4, 0, 0, 0, 1, 0, 0.5f, 0});
  CHECK(to::back(weight).cells() == cells_t<float>{1, 0, 1, 0});
}

TEMPLATE_LIST_TEST_CASE("measures of what a device cannot refuse", "[instance][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto ids = picture({"112", "3.2"});
  ids(1, 0) = -3;
  grid<float, 2> heat(2, 3), sure(2, 3);
  for (auto& v : sure.cells()) v = 0.5f;
  heat(0, 0) = std::nanf(""), heat(0, 1) = -2, heat(0, 2) = heat(1, 2) = std::nanf(""), sure(0, 0) = HUGE_VALF;
  auto const have = to::back(measure_groups(TestType{}, to::there(ids), 2, to::there(heat), to::there(sure)));
  CHECK((have(0).response == -2 && have(0).y == 0 && have(0).x == 1 && have(0).probability == 0.25));
  CHECK((have(1).response == -std::numeric_limits<double>::infinity() && have(1).probability == 0.5));
}
