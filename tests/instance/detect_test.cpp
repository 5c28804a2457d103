#include <cambium/instance/detect.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

using numbers = std::vector<std::int32_t>;

void check_same(instance const& have, instance const& want)
{
  CHECK(have.category == want.category);
  CHECK(have.score == want.score);
  CHECK(have.area == want.area);
  CHECK(have.bounds == want.bounds);
}

grid<float, 2> scores_of(rows const& text)
{
  auto out = picture<float>(text);
  for (auto& v : out.cells()) v /= 8;
  return out;
}

/// What P makes of maps of the host.
template <class P, class L, class T>
instances<> detect_on(grid<L, 2> const& labels, numbers const& categories, grid<T, 2> const& scores,
                      detect_options options = {})
{
  using to = support::carry<P>;
  auto found = detect(P{}, to::there(labels), categories, to::there(scores), options);
  if constexpr (std::is_same_v<P, cpu>)
    return found;
  else
    return to_host(P{}, found);
}

template <class P, class L>
void check_every_component(int H, int W, double smallest, fragments small)
{
  numbers const categories{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
  auto const labels = support::uniform<L, 2>({H, W}, 0, 20.99, 3);
  auto const scores = support::uniform<float, 2>({H, W}, -20, 1, 5);
  auto const have = detect_on<P>(labels, categories, scores, {.smallest = smallest, .small = small});
  std::size_t next = 0;
  for (int n = 0; n < 20; ++n) {
    int area = 0;
    double best = 0;
    for (int i = 0; i < H * W; ++i) {
      bool const mine = labels(i / W, i % W) == n + 1;
      area += mine;
      double const masked = static_cast<double>(scores(i / W, i % W)) * (mine ? 1 : 0);
      best = i == 0 || masked > best ? masked : best;
    }
    bool const fragment = area < smallest, gone = area == 0 || (fragment && small == fragments::drop);
    if (!gone) {
      REQUIRE(next < have.found.size());
      CHECK(have.found[next].category == categories[n]);
      CHECK(static_cast<double>(have.found[next].area) == static_cast<double>(area));
      CHECK(have.found[next].score == (fragment && small == fragments::score_zero ? 0 : best));
      ++next;
    }
    for (int i = 0; i < H * W; ++i)
      if (labels(i / W, i % W) == n + 1) REQUIRE(have.label(i / W, i % W) == (gone ? 0 : static_cast<int>(next)));
  }
  CHECK(next == have.found.size());
  for (int i = 0; i < H * W; ++i)
    if (labels(i / W, i % W) == 0) REQUIRE(have.label(i / W, i % W) == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("components become instances", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const labels = picture({
      "11..3",
      "1...3",
      "..4.3",
  });
  auto const scores = scores_of({
      "12881",
      "38882",
      "88583",
  });
  numbers const categories{20, 21, 22, 23, 24};  // nobody is component 2 or 5
  auto const whole = detect_on<TestType>(labels, categories, scores);
  REQUIRE(whole.found.size() == 3);
  check_same(whole.found[0], {20, 0.375, 3, {0, 0, 2, 2}});
  check_same(whole.found[1], {22, 0.375, 3, {0, 4, 3, 5}});
  check_same(whole.found[2], {23, 0.625, 1, {2, 2, 3, 3}});
  rows const numbered{
      "11..2",
      "1...2",
      "..3.2",
  };
  CHECK(drawn(whole.label) == numbered);

  SECTION("a fragment keeps its place and loses its score")
  {
    auto const have = detect_on<TestType>(labels, categories, scores, {.smallest = 2.5});
    REQUIRE(have.found.size() == 3);
    check_same(have.found[1], whole.found[1]);
    check_same(have.found[2], {23, 0, 1, {2, 2, 3, 3}});
    CHECK(have.label == whole.label);
  }
  SECTION("an area equal to the smallest is no fragment")
  {
    auto const have = detect_on<TestType>(labels, categories, scores, {.smallest = 3, .small = fragments::drop});
    REQUIRE(have.found.size() == 2);
    CHECK(detect_on<TestType>(labels, categories, scores, {.smallest = 3.001, .small = fragments::drop}).found.empty());
  }
  SECTION("a dropped fragment leaves no gap")
  {
    auto small = labels;
    small(1, 0) = small(0, 0) = 0;  // component 1 is one cell now
    auto const have = detect_on<TestType>(small, categories, scores, {.smallest = 2, .small = fragments::drop});
    REQUIRE(have.found.size() == 1);
    check_same(have.found[0], whole.found[1]);
    rows const closed_up{
        "....1",
        "....1",
        "....1",
    };
    CHECK(drawn(have.label) == closed_up);
  }
  SECTION("a kept fragment is an instance like any other")
  {
    auto const have = detect_on<TestType>(labels, categories, scores, {.smallest = 100, .small = fragments::keep});
    REQUIRE(have.found.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) check_same(have.found[i], whole.found[i]);
    CHECK(have.label == whole.label);
  }
}

TEMPLATE_LIST_TEST_CASE("a score is negative only where an instance is the whole image", "[instance][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<double, 2> score(1, 3);
  score(0, 0) = -3, score(0, 1) = -1, score(0, 2) = -2;
  auto const best = [&](rows const& labels) {
    return detect_on<TestType>(picture(labels), {1, 1}, score, {.small = fragments::keep}).found.at(0).score;
  };
  CHECK(best({"11."}) == 0);
  CHECK(best({"112"}) == 0);
  CHECK(best({"111"}) == -1);
  CHECK(best({"222"}) == -1);
  score(0, 2) = 0.5;
  CHECK(best({"11."}) == 0);
  CHECK(best({"111"}) == 0.5);
}

TEMPLATE_LIST_TEST_CASE("a score that is no number counts as 0", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<double, 2> score(1, 2);
  auto const best = [&](rows const& labels) {
    return detect_on<TestType>(picture(labels), {1}, score).found.at(0).score;
  };
  score(0, 0) = std::nan(""), score(0, 1) = 0.5;
  CHECK(best({"1."}) == 0);
  CHECK(best({"11"}) == 0.5);
  score(0, 1) = -1;
  CHECK(best({"11"}) == 0);
  score(0, 1) = std::nan("");
  CHECK(best({"11"}) == 0);
}

TEMPLATE_LIST_TEST_CASE("detect equals a look at every component", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 30}, {19, 14}}));
  double const smallest = GENERATE(0.0, 12.0, 14.5);
  auto const small = GENERATE(fragments::score_zero, fragments::drop, fragments::keep);
  CAPTURE(H, W, smallest, static_cast<int>(small));
  check_every_component<TestType, std::uint8_t>(H, W, smallest, small);
  check_every_component<TestType, std::int32_t>(H, W, smallest, small);
}

TEMPLATE_LIST_TEST_CASE("detect may find nothing", "[instance][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const none = detect_on<TestType>(picture({"...", "..."}), {}, grid<float, 2>(2, 3));
  CHECK(none.found.empty());
  CHECK(drawn(none.label) == rows{"...", "..."});
  CHECK(detect_on<TestType>(picture({"...", "..."}), {4, 4}, grid<float, 2>(2, 3)).found.empty());
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 3}, {3, 0}}));
  CHECK(detect_on<TestType>(grid<std::int32_t, 2>(H, W), {1}, grid<float, 2>(H, W)).found.empty());
}

TEST_CASE("detect rejects what it documents", "[instance][errors]")
{
  auto labels = picture({".1", "2."});
  grid<float, 2> const scores(2, 2);
  CAMBIUM_THROWS_SAYING(detect(cpu{}, labels, {1}, scores), precondition_error, "label(1,0) is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(detect(cpu{}, labels, {1, 1}, grid<float, 2>(2, 3)), precondition_error,
                        "labels are [2,2] but scores are [2,3]");
  for (double const bad : {-1.0, std::nan("")})
    CAMBIUM_THROWS_SAYING(detect(cpu{}, labels, {1, 1}, scores, {.smallest = bad}), precondition_error, "smallest is");
  labels(0, 0) = -1;
  CAMBIUM_THROWS_SAYING(detect(cpu{}, labels, {1, 1}, scores), precondition_error, "label(0,0) is -1");
}

TEMPLATE_LIST_TEST_CASE("a device detects what the cpu does on a larger map", "[instance][same]",
                        support::rule_backends)
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

TEMPLATE_LIST_TEST_CASE("a label without a category is background", "[instance][property]", support::rule_backends)
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

TEMPLATE_LIST_TEST_CASE("a device's detect looks before it writes", "[instance][errors]", support::rule_backends)
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
