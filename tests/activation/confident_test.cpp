#include <cambium/activation/confident.hpp>

#include "support/backends.hpp"

#include <cmath>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("threshold_labels: the first of the largest, if it is above the threshold",
                        "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> maps(2, 1, 5);
  float const first[5] = {0.3f, 0.31f, 0.5f, 0.1f, -1}, second[5] = {0.3f, 0.2f, 0.5f, 0.4f, -2};
  for (index_t x = 0; x < 5; ++x) maps(0, 0, x) = first[x], maps(1, 0, x) = second[x];
  auto const labels = to::back(threshold_labels(TestType{}, to::there(maps), 0.3f));
  std::int32_t const want[5] = {0, 1, 1, 2, 0};
  for (index_t x = 0; x < 5; ++x) CHECK(labels(0, x) == want[x]);
  CAMBIUM_THROWS_SAYING(threshold_labels(TestType{}, to::there(maps), std::nan("")), precondition_error,
                        "thres is nan");
  maps(1, 0, 3) = std::nanf("");
  CAMBIUM_THROWS_SAYING(threshold_labels(cpu{}, maps, 0.3), precondition_error, "maps(1,0,3) is nan");
}

TEMPLATE_LIST_TEST_CASE("join_confident: sure of a class, sure of none, unsure", "[activation][picture]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int32_t, 2> fg(1, 4), bg(1, 4);
  fg(0, 0) = 5, bg(0, 0) = 5;
  bg(0, 1) = 7;
  fg(0, 3) = 9;
  auto const out = to::back(join_confident(TestType{}, to::there(fg), to::there(bg)));
  CHECK(out(0, 0) == 5);
  CHECK(out(0, 1) == 255);
  CHECK(out(0, 2) == 0);
  CHECK(out(0, 3) == 9);
  CAMBIUM_THROWS_SAYING(join_confident(cpu{}, fg, grid<std::int32_t, 2>(1, 3)), precondition_error, "[1,4]");
}
