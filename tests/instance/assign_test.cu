// The same tests, compiled by nvcc: assign.cuh adds the device's rules and gpu to the backends under test.
#include <cambium/instance/assign.cuh>

#include "assign_test.cpp"

TEMPLATE_LIST_TEST_CASE("a device assigns what the cpu does where enlarging is exact", "[instance][reference]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const empty = GENERATE(no_score::background, no_score::first_channel);
  auto const stride = GENERATE(1, 4, 8);
  for (double const high : {30.0, -0.5}) {
    auto const scores = support::uniform<float, 3>({7, 23, 31}, -1, high, 3);
    extent2 const image{stride * 23 - stride / 2, stride * 31};
    assign_options const options{.scale = score_scale::group, .empty = empty, .stride = stride};
    auto const want = assign(cpu{}, scores, {1, 2, 1, 3, 3, 3, 1}, image, options);
    auto const have = assign_on<TestType>(scores, {1, 2, 1, 3, 3, 3, 1}, image, options);
    CHECK(have.channel == want.channel);
    CHECK(have.score == want.score);
  }
}

TEMPLATE_LIST_TEST_CASE("a part of an image is assigned as the whole is", "[instance][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const scores = support::uniform<float, 3>({5, 9, 11}, -1, 2, 3);
  box const window{3, 5, 30, 31};
  auto const there = support::copied<TestType>(scores);
  auto const largest = largest_scores(TestType{}, there, window);
  auto const want = largest_scores(cpu{}, scores, window);
  auto const have = to::back(largest);
  for (index_t n = 0; n < 5; ++n) CHECK(have(n) == want[static_cast<std::size_t>(n)]);
  auto const cut = assign_divided(TestType{}, there, largest, window, 0.5);
  auto const cut_here = assign_divided(cpu{}, scores, want, window, 0.5);
  CHECK(to::back(cut.channel) == cut_here.channel);
  CHECK(to::back(cut.score) == cut_here.score);
  auto const low = assign(TestType{}, there, {}, {36, 44}, {.background = 0.1});
  auto const high = assign(TestType{}, there, {}, {36, 44}, {.background = 0.6});
  auto const raised = raise_background(TestType{}, assign(TestType{}, there, {}, {36, 44}, {.background = 0.1}), 0.6);
  CHECK(to::back(raised.channel) == to::back(high.channel));
  CHECK(to::back(raised.score) == to::back(high.score));
  CHECK_FALSE(to::back(low.channel) == to::back(high.channel));
}

TEMPLATE_LIST_TEST_CASE("a score that is no number scores nowhere", "[instance][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> scores(2, 1, 3);
  for (auto& v : scores.cells()) v = 2;
  scores(1, 0, 1) = 4, scores(0, 0, 0) = std::nanf("");
  auto const have = assign_on<TestType>(scores, {}, {1, 3}, {.background = 0.25, .stride = 1});
  CHECK(drawn(have.channel) == rows{"221"});
}

TEMPLATE_LIST_TEST_CASE("a device's doors look before they write", "[instance][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> const scores(2, 3, 4);
  auto const there = support::copied<TestType>(scores);
  CAMBIUM_THROWS_SAYING(assign(TestType{}, there, {}, {13, 16}), precondition_error, "do not cover an image of 13");
  CAMBIUM_THROWS_SAYING(assign(TestType{}, there, {}, {12, 16}, {.stride = 0}), precondition_error, "stride is 0");
  CAMBIUM_THROWS_SAYING(assign(TestType{}, there, {1}, {12, 16}, {.scale = score_scale::group}), precondition_error,
                        "2 channels but 1 group numbers");
}
