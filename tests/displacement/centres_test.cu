// The same tests, compiled by nvcc: centres.cuh adds the device's rules and gpu to the backends under test.
#include <cambium/displacement/centres.cuh>

#include "centres_test.cpp"

namespace {

void check_same(region_centres const& have, region_centres const& want)
{
  CHECK(have.at == want.at);
  CHECK(have.first == want.first);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a device finds and joins the centres that the cpu does", "[displacement][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  using device_side = on<TestType>;
  using cpu_side = on<cpu>;
  auto const [H, W] = GENERATE(table<int, int>({{70, 90}, {1, 300}, {41, 1}}));
  auto const kernel = GENERATE(1, 5, 41);
  auto const plateaus = GENERATE(plateau::every_cell, plateau::one_cell);
  CAPTURE(H, W, kernel);
  auto heat = uniform<float, 2>({H, W}, -0.3, 1, 8);
  for (auto& v : heat.cells()) v = std::round(3 * v) / 3;  // wide plateaus
  auto const regions = some_regions(H, W, 5);
  centre_options const options{.threshold = 0.2, .kernel = kernel, .plateaus = plateaus};
  auto const found = cpu_side::find(heat, regions, 3, options);
  check_same(device_side::find(heat, regions, 3, options), found);

  auto const offset = eighths(H, W, 6);
  auto const weak = cpu_side::weak(regions, offset);
  CHECK(device_side::weak(regions, offset) == weak);
  // Labels that are no components are labels all the same: many sizes, some of them a disc's.
  auto label = uniform<std::int32_t, 2>({H, W}, 0, 60, 12);
  index_t const N = 60;
  disc_options const discs{.radius = 5, .tolerance = 20};
  auto one_region = label;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) one_region(y, x) = 1 + label(y, x) % 3;
  auto const further = cpu_side::discs(label, N, one_region, 3, discs);
  check_same(device_side::discs(label, N, one_region, 3, discs), further);

  for (bool const whole : {false, true})
    for (double const relative : {0.0, 0.1}) {
      join_options const join{.least = -0.2, .apart = 9, .relative = relative, .whole_regions = whole};
      auto marked = heat, marked_there = heat;
      auto const sparse = cpu_side::find(heat, regions, 3, {.threshold = 0.9, .kernel = 99});
      region_centres const some = whole ? region_centres{{}, {0, 0, 0, 0}} : sparse;
      auto const want = cpu_side::join(some, further, regions, join, marked);
      check_same(device_side::join(some, further, regions, join, marked_there), want);
      CHECK(marked_there == marked);
    }
  CHECK(device_side::group(offset, regions, found) == cpu_side::group(offset, regions, found));
}

TEMPLATE_LIST_TEST_CASE("what a device cannot refuse does no harm", "[displacement][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  using side = on<TestType>;
  auto const regions = picture({"17", "21"});
  auto negative = regions;
  negative(0, 1) = -4;
  auto heat = picture<float>({"12", "34"});
  CHECK(side::find(heat, negative, 2, {.kernel = 1}).at.size() == 3);
  CHECK(side::find(heat, regions, 2, {.kernel = 1}).at.size() == 3);
  CHECK(side::discs(negative, 2, negative, 2, {.tolerance = 100, .outside = false}).at.size() == 2);
  grid<float, 3> offset(2, 2, 2);
  offset(0, 0, 0) = std::nanf(""), offset(1, 1, 1) = HUGE_VALF;
  region_centres const two{{{0, 0}, {0, 1}}, {0, 2, 2}};
  CHECK(drawn(side::group(offset, negative, two)) == rows{"1.", ".1"});
  // Lists that are not divided, and places off the map.
  auto broken = copy_of(TestType{}, two);
  grid<index_t, 1> wrong(3);
  wrong(0) = -5, wrong(1) = 100, wrong(2) = 1;
  broken.first = support::copied<TestType>(wrong);
  auto const there = support::copied<TestType>(negative);
  auto const field = support::copied<TestType>(offset);
  CHECK(to::back(group_pixels(TestType{}, field, there, broken)).size() == 4);
  auto marked = support::copied<TestType>(heat);
  auto const joined = join_centres(TestType{}, broken, broken, there, {.whole_regions = true}, marked);
  CHECK(to_host(TestType{}, joined).regions() == 2);
  region_centres const outside{{{-1, 0}, {0, 1e300}, {std::nan(""), 0}}, {0, 3, 3}};
  region_centres const none{{}, {0, 0, 0}};
  CHECK(side::join(none, outside, negative, {}, heat).at.empty());
}

TEMPLATE_LIST_TEST_CASE("a device's doors for centres look first", "[displacement][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  using side = on<TestType>;
  auto const regions = picture({"12", ".2"});
  grid<float, 2> heat(2, 2);
  region_centres const none{{}, {0, 0, 0}};
  CAMBIUM_THROWS_SAYING(side::find(heat, regions, -1), precondition_error, "count is -1");
  CAMBIUM_THROWS_SAYING(side::find(heat, picture({"1"}), 1), precondition_error, "regions are [1,1]");
  CAMBIUM_THROWS_SAYING(side::find(heat, regions, 2, {.kernel = 2}), precondition_error, "kernel is 2");
  CAMBIUM_THROWS_SAYING(side::weak(regions, grid<float, 3>(2, 2, 3)), precondition_error,
                        "[2,2,3] over a map of [2,2]");
  CAMBIUM_THROWS_SAYING(side::discs(regions, -1, regions, 2), precondition_error, "N is -1");
  CAMBIUM_THROWS_SAYING(side::join(none, {{}, {0, 0}}, regions, {}, heat), precondition_error,
                        "centres of 2 and of 1 regions");
  CAMBIUM_THROWS_SAYING(side::group(grid<float, 3>(2, 2, 2), points{{std::nan(""), 0}}), precondition_error,
                        "a centre is at (nan,0)");
}
