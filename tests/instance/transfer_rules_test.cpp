// Targets on a device against the cpu.
#include <cambium/instance/transfer.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;
using support::picture;

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
  CAMBIUM_THROWS_SAYING(centre_map(TestType{}, {{0, 0, 1}}, 1, {3, 3}), precondition_error,
                        "category 1 is outside 0..0");
}

TEMPLATE_LIST_TEST_CASE("a device transfers as the cpu does", "[instance][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
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
  auto const want = transfer(cpu{}, components, categories, cues, 3, options);
  auto const have = transfer(TestType{}, to::there(components), categories, cues, 3, options);
  CHECK(to::back(have.offset) == want.offset);
  CHECK(to::back(have.weight) == want.weight);
  CHECK(support::largest_gap(to::back(have.centre).cells(), want.centre.cells()) <=
        (centre == centroid::exact ? 1e-7 : 0));
}

TEMPLATE_LIST_TEST_CASE("transfer on a device overwrites its windows, and uses its scratch again",
                        "[instance][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
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
  grid<std::int32_t, 1> categories(1);
  grid<point, 1> cues(3);
  categories(0) = 1;
  cues(0) = {1, 1, 1}, cues(1) = {std::nan(""), 0, 1}, cues(2) = {0, 1, 500};  // two that no list of the host may hold
  auto components = picture({"112.", "11.."});
  components(1, 3) = -1;
  auto const label = support::copied<TestType>(components);
  auto const category = support::copied<TestType>(categories);
  auto const cue = support::copied<TestType>(cues);
  transfer_scratch<TestType> scratch;
  for (int const sigma : {6, 1})
    transfer_into(TestType{}, label, category, cue, {.sigma = sigma, .smallest = 1},
                  {left(a.view()), left(b.view()), left(c.view())}, scratch);
  auto const want = transfer(cpu{}, picture({"11..", "11.."}), {1}, {{1, 1, 1}}, 2, {.sigma = 1, .smallest = 1});
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

TEMPLATE_LIST_TEST_CASE("transfer on a device refuses lists of the host", "[instance][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const components = picture({"1.", ".2"});
  auto const call = [&](std::vector<std::int32_t> const& categories, points const& cues, transfer_options options) {
    static_cast<void>(transfer(TestType{}, to::there(components), categories, cues, 2, options));
  };
  CAMBIUM_THROWS_SAYING(call({0, 2}, {}, {}), precondition_error, "category 2 is outside -1..1");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {{0, 2, 1}}, {}), precondition_error, "a cue at (0,2) is off the map of [2,2]");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.sigma = 0}), precondition_error, "sigma is 0, outside 1..200");
  CAMBIUM_THROWS_SAYING(call({0, 1}, {}, {.smallest = -1}), precondition_error, "smallest is -1");
}
