#include <cambium/instance/refine.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

TEST_CASE("groups are measured", "[instance][picture]")
{
  auto const ids = picture({"113", "1.3"});
  auto const heat = picture<float>({"251", "593"});
  auto const sure = picture<float>({"123", "456"});
  auto const found = measure_groups(cpu{}, ids, 3, heat, sure);
  REQUIRE(found.size() == 3);
  CHECK(found[0].area == 3);
  CHECK(found[0].bounds == box{0, 0, 2, 2});
  CHECK(found[0].response == 5);
  CHECK((found[0].y == 0 && found[0].x == 1));  // the first of two
  CHECK(found[0].probability == 7. / 3);
  CHECK(found[1].area == 0);
  CHECK(found[1].bounds == box{});
  CHECK(found[2].response == 3);
  CHECK((found[2].y == 1 && found[2].x == 2));
  CHECK(found[2].probability == 4.5);
}

TEST_CASE("groups become instances", "[instance][picture]")
{
  auto const ids = picture({"113", "1.4"});
  std::vector<group_measure> groups(4);
  groups[0] = {3, {0, 0, 2, 2}, 0.5, 0, 0, 0.5};
  groups[2] = {1, {0, 2, 1, 3}, 1.5, 0, 2, 0.5};  // a mark, or a response beyond 1
  groups[3] = {1, {1, 2, 2, 3}, -0.5, 1, 2, 0.5};
  auto const out = score_groups(cpu{}, ids, groups, {7, 8, 9, 7});
  REQUIRE(out.found.size() == 3);
  CHECK(drawn(out.label) == rows{"112", "1.3"});
  CHECK((out.found[0].category == 7 && out.found[0].score == 0.25 && out.found[0].area == 3));
  CHECK((out.found[1].category == 9 && out.found[1].score == 0.25));
  CHECK((out.found[2].category == 7 && out.found[2].score == -0.25));
  CHECK(out.found[2].bounds == box{1, 2, 2, 3});
  for (auto const& one : score_groups(cpu{}, ids, groups, {7, 8, 9, 7}, scored_by::class_only).found)
    CHECK(one.score == 0.5);
  CHECK(score_groups(cpu{}, picture({".."}), {}, {}).found.empty());
}

TEST_CASE("groups become targets", "[instance][picture]")
{
  auto const regions = picture({"11111..222", "11111..222"});
  auto const ids = picture({"11222..344", "11222..34."});
  std::vector<group_measure> groups(4);
  groups[0] = {4, {}, 0.5, 0, 1, 0.5};
  groups[1] = {6, {}, 0.2, 1, 4, 0.75};  // too weak: led to the middle of its region
  groups[2] = {2, {}, 4, 1, 7, 0.5};     // more than sure
  groups[3] = {3, {}, 0.4, 0, 9, 0.5};
  refine_options const options{.sigma = 1};
  auto const out = refine(cpu{}, regions, {1, 0}, ids, {0, 2, 4}, groups, 2, options);
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
    for (float const v : refine(cpu{}, regions, {1, 0}, ids, {0, 2, 4}, groups, 2, few).weight.cells()) CHECK(v == 0);
    groups[1].area = 0;  // the largest id that owns a cell counts
    auto const one = refine(cpu{}, regions, {1, 0}, ids, {0, 2, 4}, groups, 2, few);
    CHECK(one.weight(0, 0) == 0.25f);
    CHECK(one.weight(0, 9) == 0);
  }
  SECTION("the exact middle")
  {
    auto exact = options;
    exact.centre = centroid::exact;
    CHECK(refine(cpu{}, regions, {1, 0}, ids, {0, 2, 4}, groups, 2, exact).offset(0, 1, 4) == -0.5f);
  }
}

TEST_CASE("cells are led to their points", "[instance][picture]")
{
  grid<float, 3> offset(2, 1, 3);
  grid<float, 2> weight(1, 3);
  lead_to_points_into(cpu{}, picture({"2.1"}), {{0, 2.5}, {4, 1}}, offset, weight);
  CHECK(offset.cells() == cells_t<float>{4, 0, 0, 1, 0, 0.5f});
  CHECK(weight.cells() == cells_t<float>{1, 0, 1});
}

TEST_CASE("refinement of nothing, and refusals", "[instance][errors]")
{
  grid<std::int32_t, 2> const empty(0, 3);
  CHECK(refine(cpu{}, empty, {}, empty, {0}, {}, 4).centre.size() == 0);
  auto regions = picture({"1."}), ids = picture({"1."});
  grid<float, 2> heat(1, 2);
  std::vector<group_measure> const one(1);
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 0, heat, heat), precondition_error, "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, -1, heat, heat), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, heat, grid<float, 2>(2, 2)), precondition_error,
                        "probability [2,2]");
  CAMBIUM_THROWS_SAYING(score_groups(cpu{}, ids, one, {}), precondition_error, "1 groups but 0 categories");
  CAMBIUM_THROWS_SAYING(score_groups(cpu{}, ids, {}, {}), precondition_error, "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 2}, one, 1), precondition_error,
                        "first does not divide 1 items among 1 regions");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0}, one, 1), precondition_error, "first does not divide");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {}, ids, {0}, {}, 1), precondition_error,
                        "region(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 0}, {}, 1), precondition_error,
                        "id(0,0) is 1, outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {1}, ids, {0, 1}, one, 1), precondition_error,
                        "category 1 is outside 0..0");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, picture({"1"}), {0, 1}, one, 1), precondition_error,
                        "ids are [1,1]");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, one, 1, {.threshold = std::nan("")}),
                        precondition_error, "threshold is nan");
  CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, {group_measure{1, {}, 1, 5, 0, 1}}, 1),
                        precondition_error, "a group's centre is (5,0), off the map");
  for (double const bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, {group_measure{1, {}, bad, 0, 0, 1}}, 1),
                          precondition_error, "refine: a group's response is ");
    CAMBIUM_THROWS_SAYING(refine(cpu{}, regions, {0}, ids, {0, 1}, {group_measure{1, {}, 1, 0, 0, bad}}, 1),
                          precondition_error, "refine: a group's response is 1 and its probability ");
  }
  grid<float, 3> offset(2, 1, 2);
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, {}, offset, heat), precondition_error, "id(0,0) is 1");
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, {{std::nan(""), 1}}, offset, heat), precondition_error, "nan");
  grid<float, 2> wide(1, 3);
  CAMBIUM_THROWS_SAYING(lead_to_points_into(cpu{}, ids, {{0, 0}}, offset, wide), precondition_error, "[1,3]");
  heat(0, 1) = std::nanf("");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, heat, grid<float, 2>(1, 2)), precondition_error,
                        "response(0,1) is nan");
  CAMBIUM_THROWS_SAYING(measure_groups(cpu{}, ids, 1, grid<float, 2>(1, 2), heat), precondition_error,
                        "probability(0,1) is nan");
}
