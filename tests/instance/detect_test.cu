// The same tests, compiled by nvcc: detect.cuh adds the device's rules and gpu to the backends under test.
#include <cambium/instance/detect.cuh>

#include "detect_test.cpp"

TEMPLATE_LIST_TEST_CASE("a device detects what the cpu does on a larger map", "[instance][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W, N] = GENERATE(table<int, int, int>({{130, 257, 9}, {64, 64, 5000}, {3, 1000, 1}}));
  auto labels = support::uniform<std::int32_t, 2>({H, W}, 0, N + 0.99, 3);
  for (int y = 0; y < H; ++y)  // long runs, as components have
    for (int x = 0; x < W; ++x) labels(y, x) = labels(y - y % 3, x - x % 29);
  auto scores = support::uniform<double, 2>({H, W}, -1, 0.01, 5);
  scores(0, 0) = std::nan("");
  numbers categories;
  for (int i = 0; i < N; ++i) categories.push_back(i % 7);
  for (auto const small : {fragments::score_zero, fragments::drop}) {
    detect_options const options{.smallest = 100, .small = small};
    auto const want = detect(cpu{}, labels, categories, scores, options);
    auto const have = detect_on<TestType>(labels, categories, scores, options);
    CHECK(have.label == want.label);
    REQUIRE(have.found.size() == want.found.size());
    for (std::size_t i = 0; i < want.found.size(); ++i) check_same(have.found[i], want.found[i]);
  }
}

TEMPLATE_LIST_TEST_CASE("a label without a category is background", "[instance][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto labels = picture({"1322"});
  labels(0, 0) = -1;
  grid<float, 2> const scores(1, 4);
  auto const have = detect_on<TestType>(labels, numbers{5, 6}, scores);
  CHECK(drawn(have.label) == rows{"..11"});
  REQUIRE(have.found.size() == 1);
  check_same(have.found[0], {6, 0, 2, {0, 2, 1, 4}});
}

TEMPLATE_LIST_TEST_CASE("a device's detect looks before it writes", "[instance][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const labels = picture({".1", "2."});
  auto const there = support::copied<TestType>(labels);
  grid<float, 2> const wide(2, 3), square(2, 2);
  auto const bad = support::copied<TestType>(wide), good = support::copied<TestType>(square);
  CAMBIUM_THROWS_SAYING(detect(TestType{}, there, {1, 1}, bad), precondition_error,
                        "labels are [2,2] but scores are [2,3]");
  CAMBIUM_THROWS_SAYING(detect(TestType{}, there, {1, 1}, good, {.smallest = -1}), precondition_error, "smallest is");
}
