#include <cambium/instance/assign.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"
#include "support/stretch.hpp"

#include <cmath>

using namespace cambium;
using support::drawn;
using support::rows;

namespace {

using numbers = std::vector<std::int32_t>;

template <class T>
struct setting {
  grid<T, 3> const& scores;
  numbers groups;
  extent2 image;
  assign_options options;

  /// Channel n at a pixel of the image, enlarged.
  double enlarged(int n, int y, int x) const
  {
    auto const by = static_cast<double>(options.stride);
    auto const map = [&](int i, int j) { return scores(n, i, j); };
    int const h = static_cast<int>(scores.shape()[1]), w = static_cast<int>(scores.shape()[2]);
    return oracle::stretched(map, h, w, by, by, y, x);
  }

  /// By what channel n is divided: the largest enlarged score among those it is measured with.
  double divisor(int n) const
  {
    double most = -1e300;
    for (int m = 0; m < scores.shape()[0]; ++m) {
      bool const together = options.scale == score_scale::image || m == n ||
                            (options.scale == score_scale::group && groups[m] == groups[n]);
      for (int y = 0; together && y < image.height; ++y)
        for (int x = 0; x < image.width; ++x) most = std::max(most, enlarged(m, y, x));
    }
    return most;
  }
};

/// Compares every pixel. Where two candidates are closer than `margin` either may win.
template <class T>
void check_assignment(assignment<T> const& have, setting<T> const& s, double margin)
{
  int const N = static_cast<int>(s.scores.shape()[0]);
  std::vector<double> by;
  for (int n = 0; n < N; ++n) by.push_back(s.divisor(n));
  REQUIRE(have.channel.shape() == std::array<index_t, 2>{s.image.height, s.image.width});
  for (int y = 0; y < s.image.height; ++y)
    for (int x = 0; x < s.image.width; ++x) {
      std::vector<double> candidate{s.options.background};
      for (int n = 0; n < N; ++n) candidate.push_back(by[n] > 0 ? s.enlarged(n, y, x) / by[n] : -1e300);
      auto const best = std::max_element(candidate.begin(), candidate.end());  // the first of equals
      auto const chosen = have.channel(y, x);
      CAPTURE(y, x);
      REQUIRE((chosen >= 0 && chosen <= N));
      if (margin == 0) REQUIRE(chosen == best - candidate.begin());
      REQUIRE(candidate[chosen] >= *best - margin);
      REQUIRE(std::abs(static_cast<double>(have.score(y, x)) - *best) <= margin);
    }
}

/// Scores in eighths: enlarged by powers of two they are exact, and equal ones are frequent.
template <class T>
grid<T, 3> eighths(index_t N, index_t h, index_t w, unsigned seed)
{
  auto scores = support::uniform<T, 3>({N, h, w}, -4, 9, seed);
  for (auto& v : scores.cells()) v = std::floor(v) / 8;
  return scores;
}

/// What P makes of scores of the host.
template <class P, class T>
assignment<T> assign_on(grid<T, 3> const& scores, numbers const& groups, extent2 image, assign_options options = {})
{
  using to = support::carry<P>;
  auto const chosen = assign(P{}, to::there(scores), groups, image, options);
  return {to::back(chosen.channel), to::back(chosen.score)};
}

template <class P, class T>
void check_any_score(score_scale scale, int stride)
{
  auto const scores = support::uniform<T, 3>({4, 5, 8}, -1, 30, 3);
  setting<T> const s{scores, {0, 1, 0, 2}, {stride * 5 - 1, stride * 8 - 2}, {.scale = scale, .stride = stride}};
  double const margin = std::is_same_v<T, float> ? 1e-5 : 1e-12;
  check_assignment(assign_on<P>(scores, s.groups, s.image, s.options), s, margin);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("assign equals its formula, ties and all", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const scale = GENERATE(score_scale::image, score_scale::group, score_scale::channel);
  auto const stride = GENERATE(1, 2, 4);
  auto const [N, h, w, cut_y, cut_x] =
      GENERATE(table<int, int, int, int, int>({{1, 1, 1, 0, 0}, {2, 1, 6, 0, 1}, {5, 7, 5, 0, 0}, {4, 6, 9, 3, 2}}));
  double const background = GENERATE(0.25, 0.0, 1.0, -0.5);
  CAPTURE(static_cast<int>(scale), stride, N, h, w, background);
  auto const scores = eighths<double>(N, h, w, 3);
  numbers const groups = scale == score_scale::group ? numbers{7, -1, 7, 3, -1} : numbers{};
  setting<double> const s{scores,
                          numbers(groups.begin(), groups.begin() + (groups.empty() ? 0 : N)),
                          {std::max(1, stride * h - cut_y), std::max(1, stride * w - cut_x)},
                          {.background = background, .scale = scale, .stride = stride}};
  auto const have = assign_on<TestType>(scores, s.groups, s.image, s.options);
  check_assignment(have, s, 0);
  for (int const threads : {1, 2, 3, 7}) {
    auto const again = assign(cpu{.threads = threads}, scores, s.groups, s.image, s.options);
    CHECK(again.channel == have.channel);
    CHECK(again.score == have.score);
  }
}

TEMPLATE_LIST_TEST_CASE("assign stays close to its formula for any score", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const scale = GENERATE(score_scale::image, score_scale::group, score_scale::channel);
  auto const stride = GENERATE(3, 4, 7);
  CAPTURE(static_cast<int>(scale), stride);
  check_any_score<TestType, float>(scale, stride);
  check_any_score<TestType, double>(scale, stride);
}

TEMPLATE_LIST_TEST_CASE("assign reads rows and channels with gaps", "[instance][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const scores = eighths<float>(3, 4, 6, 7);
  grid<float, 3> wide(3, 5, 8);
  std::fill(wide.cells().begin(), wide.cells().end(), 1e9f);
  for (index_t i = 0; i < 72; ++i) wide(i / 24, i / 6 % 4, i % 6) = scores.cells()[i];
  auto const there = support::copied<TestType>(wide);
  auto window = there.view();
  window.extent[1] = 4, window.extent[2] = 6;
  auto const have = assign(TestType{}, window, {}, {15, 23});
  auto const want = assign(cpu{}, scores, {}, {15, 23});
  CHECK(support::carry<TestType>::back(have.channel) == want.channel);
  CHECK(support::carry<TestType>::back(have.score) == want.score);
}

TEMPLATE_LIST_TEST_CASE("what a score is measured by", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // Channels 0 and 1 are of one class, channel 2 is of another; 2 is weak, 3 never scores,
  // also where it would be the largest by a division of two negative numbers.
  grid<float, 3> scores(4, 1, 4);
  float const values[4][4] = {{8, 2, 0, 0}, {0, 4, 1, 0}, {0, 0, 1, 1}, {-1, -1, -2, -3}};
  for (int n = 0; n < 4; ++n)
    for (int x = 0; x < 4; ++x) scores(n, 0, x) = values[n][x];
  numbers const groups{5, 5, 6, 8};
  auto const by = [&](score_scale scale) {
    return assign_on<TestType>(scores, groups, {1, 4}, {.background = 0.2, .scale = scale, .stride = 1});
  };
  CHECK(drawn(by(score_scale::image).channel) == rows{"12.."});
  CHECK(drawn(by(score_scale::group).channel) == rows{"1233"});
  auto const alone = by(score_scale::channel);
  CHECK(drawn(alone.channel) == rows{"1233"});
  CHECK(alone.score(0, 0) == 1);
  CHECK(alone.score(0, 1) == 1);
  CHECK(alone.score(0, 2) == 1);
  CHECK(by(score_scale::image).score(0, 1) == 0.5f);
  CHECK(by(score_scale::image).score(0, 2) == 0.2f);  // the background's
  CHECK(by(score_scale::group).score(0, 1) == 0.5f);
}

TEMPLATE_LIST_TEST_CASE("ties go to the lower channel, the background first", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> scores(3, 1, 4);
  float const values[3][4] = {{1, 4, 2, 1}, {1, 4, 2, 2}, {1, 4, 4, 2}};
  for (int n = 0; n < 3; ++n)
    for (int x = 0; x < 4; ++x) scores(n, 0, x) = values[n][x];
  CHECK(drawn(assign_on<TestType>(scores, {}, {1, 4}, {.background = 0.25, .stride = 1}).channel) == rows{".132"});
  CHECK(drawn(assign_on<TestType>(scores, {}, {1, 4}, {.background = 1, .stride = 1}).channel) == rows{"...."});
}

TEMPLATE_LIST_TEST_CASE("the crop is taken before the largest score", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> scores(1, 1, 3);
  scores(0, 0, 0) = 1, scores(0, 0, 2) = 1000;
  auto const have = assign_on<TestType>(scores, {}, {1, 2}, {.stride = 1});
  CHECK(drawn(have.channel) == rows{"1."});
  CHECK(have.score(0, 0) == 1);
}

TEMPLATE_LIST_TEST_CASE("where nothing scores", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  float const value = GENERATE(0.f, -3.f);
  auto const scale = GENERATE(score_scale::image, score_scale::group, score_scale::channel);
  CAPTURE(value, static_cast<int>(scale));
  grid<float, 3> scores(2, 2, 2);
  for (auto& v : scores.cells()) v = value;
  auto const empty = assign_on<TestType>(scores, {1, 2}, {5, 6}, {.background = 0.3, .scale = scale});
  for (auto const n : empty.channel.cells()) CHECK(n == 0);
  for (float const v : empty.score.cells()) CHECK(v == 0.3f);
  auto const first = assign_on<TestType>(scores, {1, 2}, {5, 6},
                                         {.background = 0.3, .scale = scale, .empty = no_score::first_channel});
  for (auto const n : first.channel.cells()) CHECK(n == 1);
  for (float const v : first.score.cells()) CHECK(v == 0);
}

TEMPLATE_LIST_TEST_CASE("no channels: everything is background", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const empty = GENERATE(no_score::background, no_score::first_channel);
  auto const have = assign_on<TestType>(grid<float, 3>(0, 2, 3), {}, {7, 12}, {.empty = empty});
  for (auto const n : have.channel.cells()) CHECK(n == 0);
  for (float const v : have.score.cells()) CHECK(v == 0.25f);
  CHECK(have.channel.size() == 84);
}

TEST_CASE("assign rejects what it documents", "[instance][errors]")
{
  grid<float, 3> scores(2, 3, 4);
  CAMBIUM_THROWS_SAYING(assign(cpu{}, scores, {}, {12, 16}, {.stride = 0}), precondition_error, "stride is 0");
  for (double const bad : {std::nan(""), HUGE_VAL})
    CAMBIUM_THROWS_SAYING(assign(cpu{}, scores, {}, {12, 16}, {.background = bad}), precondition_error,
                          "background is");
  for (extent2 const image : {extent2{13, 16}, extent2{12, 17}, extent2{0, 4}, extent2{4, 0}, extent2{-1, 4}})
    CAMBIUM_THROWS_SAYING(assign(cpu{}, scores, {}, image), precondition_error,
                          "scores [2,3,4] enlarged by 4 do not cover an image of " + std::to_string(image.height));
  CAMBIUM_THROWS_SAYING(assign(cpu{}, scores, {1}, {12, 16}, {.scale = score_scale::group}), precondition_error,
                        "2 channels but 1 group numbers");
  for (float const bad : {std::nanf(""), HUGE_VALF}) {
    scores(1, 2, 3) = bad;
    CAMBIUM_THROWS_SAYING(assign(cpu{}, scores, {}, {12, 16}), precondition_error, "scores(1,2,3) is");
  }
}

TEMPLATE_LIST_TEST_CASE("a device assigns what the cpu does where enlarging is exact", "[instance][same]",
                        support::rule_backends)
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
  // Columns begin and end at any of the four pixels between two cells, or hold fewer than four.
  auto const window = GENERATE(box{3, 5, 30, 31}, box{0, 0, 36, 44}, box{2, 4, 3, 6}, box{0, 1, 1, 2},
                               box{7, 6, 20, 43}, box{5, 3, 36, 40}, box{0, 39, 4, 44}, box{4, 4, 4, 4});
  auto const there = support::copied<TestType>(scores);
  auto const largest = largest_scores(TestType{}, there, window);
  auto const want = largest_scores(cpu{}, scores, window);
  auto const have = to::back(largest);
  for (index_t n = 0; n < 5; ++n) CHECK(have(n) == want(n));
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

TEMPLATE_LIST_TEST_CASE("a score that is no number scores nowhere", "[instance][property]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> scores(2, 1, 3);
  for (auto& v : scores.cells()) v = 2;
  scores(1, 0, 1) = 4, scores(0, 0, 0) = std::nanf("");
  auto const have = assign_on<TestType>(scores, {}, {1, 3}, {.background = 0.25, .stride = 1});
  CHECK(drawn(have.channel) == rows{"221"});
}

TEMPLATE_LIST_TEST_CASE("the doors look before they write", "[instance][errors]", support::backends)
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
