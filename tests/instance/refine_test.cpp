#include <cambium/instance/refine.hpp>

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

grid<group_measure, 1> listed(std::vector<group_measure> const& groups)
{
  grid<group_measure, 1> out(groups.size());
  std::copy(groups.begin(), groups.end(), out.data());
  return out;
}

/// What P makes of maps and lists of the host.
template <class P>
centre_targets<> refined(grid<std::int32_t, 2> const& regions, std::vector<std::int32_t> const& categories,
                         grid<std::int32_t, 2> const& ids, std::vector<index_t> const& first,
                         grid<group_measure, 1> const& groups, index_t C, refine_options options = {})
{
  using to = support::carry<P>;
  auto const out = refine(P{}, to::there(regions), categories, to::there(ids), first, to::there(groups), C, options);
  return {to::back(out.centre), to::back(out.offset), to::back(out.weight)};
}
template <class P>
instances<> scored(grid<std::int32_t, 2> const& ids, grid<group_measure, 1> const& groups,
                   std::vector<std::int32_t> const& categories, scored_by by = scored_by::centre_and_class)
{
  using to = support::carry<P>;
  return to_host(P{}, score_groups(P{}, to::there(ids), to::there(groups), categories, by));
}

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

/// The first and the third of four cells are led to two points, the others nowhere.
template <class P>
void check_led(std::string const& ids)
{
  using to = support::carry<P>;
  grid<float, 3> const none(2, 1, 4);
  grid<float, 2> const nothing(1, 4);
  auto offset = support::copied<P>(none);
  auto weight = support::copied<P>(nothing);
  grid<point, 1> centres(2);
  centres(0) = {0, 2.5}, centres(1) = {4, 1};
  lead_to_points_into(P{}, to::there(picture({ids})), to::there(centres), offset.view(), weight.view());
  CHECK(to::back(offset).cells() == cells_t<float>{4, 0, 0, 0, 1, 0, 0.5f, 0});
  CHECK(to::back(weight).cells() == cells_t<float>{1, 0, 1, 0});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("groups are measured", "[instance][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const ids = picture({"113", "1.3"});
  auto const heat = picture<float>({"251", "593"});
  auto const sure = picture<float>({"123", "456"});
  auto const found = to::back(measure_groups(TestType{}, to::there(ids), 3, to::there(heat), to::there(sure)));
  REQUIRE(found.size() == 3);
  CHECK(found(0).area == 3);
  CHECK(found(0).bounds == box{0, 0, 2, 2});
  CHECK(found(0).response == 5);
  CHECK((found(0).y == 0 && found(0).x == 1));  // the first of two
  CHECK(found(0).probability == 7. / 3);
  CHECK(found(1).area == 0);
  CHECK(found(1).bounds == box{});
  CHECK(found(2).response == 3);
  CHECK((found(2).y == 1 && found(2).x == 2));
  CHECK(found(2).probability == 4.5);
}

TEMPLATE_LIST_TEST_CASE("groups become instances", "[instance][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const ids = picture({"113", "1.4"});
  grid<group_measure, 1> groups(4);
  groups(0) = {3, {0, 0, 2, 2}, 0.5, 0, 0, 0.5};
  groups(2) = {1, {0, 2, 1, 3}, 1.5, 0, 2, 0.5};  // a mark, or a response beyond 1
  groups(3) = {1, {1, 2, 2, 3}, -0.5, 1, 2, 0.5};
  auto const out = scored<TestType>(ids, groups, {7, 8, 9, 7});
  REQUIRE(out.found.size() == 3);
  CHECK(drawn(out.label) == rows{"112", "1.3"});
  CHECK((out.found[0].category == 7 && out.found[0].score == 0.25 && out.found[0].area == 3));
  CHECK((out.found[1].category == 9 && out.found[1].score == 0.25));
  CHECK((out.found[2].category == 7 && out.found[2].score == -0.25));
  CHECK(out.found[2].bounds == box{1, 2, 2, 3});
  for (auto const& one : scored<TestType>(ids, groups, {7, 8, 9, 7}, scored_by::class_only).found)
    CHECK(one.score == 0.5);
  CHECK(scored<TestType>(picture({".."}), listed({}), {}).found.empty());
}

TEMPLATE_LIST_TEST_CASE("groups become targets", "[instance][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const regions = picture({"11111..222", "11111..222"});
  auto const ids = picture({"11222..344", "11222..34."});
  grid<group_measure, 1> groups(4);
  groups(0) = {4, {}, 0.5, 0, 1, 0.5};
  groups(1) = {6, {}, 0.2, 1, 4, 0.75};  // too weak: led to the middle of its region
  groups(2) = {2, {}, 4, 1, 7, 0.5};     // more than sure
  groups(3) = {3, {}, 0.4, 0, 9, 0.5};
  refine_options const options{.sigma = 1};
  auto const out = refined<TestType>(regions, {1, 0}, ids, {0, 2, 4}, groups, 2, options);
  for (int x = 0; x < 10; ++x) {
    float const weight = x < 2 ? 0.25f : x < 5 ? 0.75f : x < 7 ? 0.f : x < 8 ? 1.f : 0.2f;
    CHECK(out.weight(0, x) == weight);
  }
  CHECK(out.weight(1, 9) == 0);
  CHECK((out.offset(0, 1, 0) == -1 && out.offset(1, 1, 0) == 1));
  CHECK((out.offset(0, 1, 4) == -1 && out.offset(1, 1, 4) == -2));  // (0.5, 2) is truncated
  CHECK((out.offset(0, 0, 7) == 1 && out.offset(1, 0, 7) == 0));
  CHECK((out.offset(0, 1, 9) == 0 && out.offset(1, 1, 9) == 0));
  CHECK((out.centre(1, 0, 1) == 1 && out.centre(1, 0, 2) == 1 && out.centre(0, 1, 7) == 1 && out.centre(0, 0, 9) == 1));
  CHECK((out.centre(1, 1, 7) < 1 && out.centre(0, 0, 1) == 0));

  SECTION("a region with too many groups says nothing")
  {
    auto few = options;
    few.most = 1;
    auto const silent = refined<TestType>(regions, {1, 0}, ids, {0, 2, 4}, groups, 2, few);
    for (float const v : silent.weight.cells()) CHECK(v == 0);
    groups(1).area = 0;  // the largest id that owns a cell counts
    auto const one = refined<TestType>(regions, {1, 0}, ids, {0, 2, 4}, groups, 2, few);
    CHECK(one.weight(0, 0) == 0.25f);
    CHECK(one.weight(0, 9) == 0);
  }
  SECTION("the exact middle")
  {
    auto exact = options;
    exact.centre = centroid::exact;
    CHECK(refined<TestType>(regions, {1, 0}, ids, {0, 2, 4}, groups, 2, exact).offset(0, 1, 4) == -0.5f);
  }
}

TEMPLATE_LIST_TEST_CASE("cells are led to their points", "[instance][picture]", support::backends)
{
  if (support::carry<TestType>::usable()) check_led<TestType>("2.1.");
}

TEST_CASE("refinement of nothing, and refusals", "[instance][errors]")
{
  grid<std::int32_t, 2> const empty(0, 3);
  CHECK(refine(cpu{}, empty, {}, empty, {0}, listed({}), 4).centre.size() == 0);
  auto regions = picture({"1."}), ids = picture({"1."});
  grid<float, 2> heat(1, 2);
  auto const one = listed({{}}), none = listed({});
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 0, heat, heat), precondition_error, "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, -1, heat, heat), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, heat, grid<float, 2>(2, 2)), precondition_error,
                        "probability [2,2]");
  CAMBIUM_THROWS_SAYING(score_groups(cpu{}, ids, one, {}), precondition_error, "1 groups but 0 categories");
  CAMBIUM_THROWS_SAYING(score_groups(cpu{}, ids, none, {}), precondition_error, "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 2}, one, 1), precondition_error,
                        "first does not divide 1 items among 1 regions");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0}, one, 1), precondition_error, "first does not divide");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {}, ids, {0}, none, 1), precondition_error,
                        "region(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 0}, none, 1), precondition_error,
                        "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {1}, ids, {0, 1}, one, 1), precondition_error,
                        "category 1 is outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, picture({"1"}), {0, 1}, one, 1), precondition_error,
                        "ids are [1,1]");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, one, 1, {.threshold = std::nan("")}),
                        precondition_error, "threshold is nan");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, listed({group_measure{1, {}, 1, 5, 0, 1}}), 1),
                        precondition_error, "a group's centre is (5,0), off the map");
  for (double const bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, listed({group_measure{1, {}, bad, 0, 0, 1}}), 1),
                          precondition_error, "refine: a group's response is ");
    CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, listed({group_measure{1, {}, 1, 0, 0, bad}}), 1),
                          precondition_error, "refine: a group's response is 1 and its probability ");
  }
  grid<float, 3> offset(2, 1, 2);
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, grid<point, 1>(0), offset.view(), heat.view()),
                        precondition_error, "id(0,0) is 1");
  grid<point, 1> centre(1);
  centre(0) = {std::nan(""), 1};
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, centre, offset.view(), heat.view()), precondition_error, "nan");
  grid<float, 2> wide(1, 3);
  centre(0) = {0, 0};
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, centre, offset.view(), wide.view()), precondition_error,
                        "[1,3]");
  heat(0, 1) = std::nanf("");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, heat, grid<float, 2>(1, 2)), precondition_error,
                        "response(0,1) is nan");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, grid<float, 2>(1, 2), heat), precondition_error,
                        "probability(0,1) is nan");
}

TEMPLATE_LIST_TEST_CASE("a device measures groups as the cpu does", "[instance][same]", support::rule_backends)
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
  for (index_t i = 0; i < count; ++i) check_same(have(i), want(i), 1e-13 * large);
}

TEMPLATE_LIST_TEST_CASE("a device scores groups as the cpu does", "[instance][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(scored_by::centre_and_class, scored_by::class_only);
  auto const ids = blocks(33, 61, 4, 5);
  auto const heat = support::uniform<float, 2>({33, 61}, -1, 1.5, 5),
             sure = support::uniform<float, 2>({33, 61}, 0, 1, 6);
  auto groups = measure_groups(cpu{}, ids, 20, heat, sure);
  groups(4).area = groups(19).area = 0;
  std::vector<std::int32_t> categories;
  for (int i = 0; i < 20; ++i) categories.push_back(3 * i);
  auto const want = score_groups(cpu{}, ids, groups, categories, by);
  auto const there = support::copied<TestType>(groups);
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

TEMPLATE_LIST_TEST_CASE("a device refines groups as the cpu does", "[instance][same]", support::rule_backends)
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
  groups(3).area = groups(4).area = groups(11).area = 0;
  for (int k : {0, 7, 13}) groups(k).response = 0.2;
  std::vector<index_t> const first{0, 5, 10, 15, 20};
  std::vector<std::int32_t> const categories{1, 0, 2, 1};
  refine_options const options{.sigma = 2, .most = most, .centre = centre};
  auto const want = refine(cpu{}, regions, categories, ids, first, groups, 3, options);
  auto const there = support::copied<TestType>(groups);
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

TEMPLATE_LIST_TEST_CASE("a device leads cells of unknown ids nowhere", "[instance][picture]", support::rule_backends)
{
  if (support::carry<TestType>::usable()) check_led<TestType>("2.19");
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
