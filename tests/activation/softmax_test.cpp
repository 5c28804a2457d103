#include <cambium/activation/select.hpp>
#include <cambium/activation/softmax.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <string>

using namespace cambium;
using support::picture;
using support::uniform;

namespace {

template <class T>
double probability(grid<T, 3> const& scores, index_t l, index_t y, index_t x)
{
  double sum = 0;
  for (index_t k = 0; k < scores.shape()[0]; ++k)
    sum += std::exp(static_cast<double>(scores(k, y, x)) - static_cast<double>(scores(l, y, x)));
  return 1 / sum;
}

template <class T>
grid<T, 3> mirror(grid<T, 3> const& maps)
{
  auto out = maps;
  for (index_t c = 0; c < maps.shape()[0]; ++c)
    for (index_t y = 0; y < maps.shape()[1]; ++y)
      std::reverse_copy(&maps(c, y, 0), &maps(c, y, 0) + maps.shape()[2], &out(c, y, 0));
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("decisions by definition", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [L, W] = GENERATE(table<index_t, index_t>({{1, 3}, {2, 64}, {21, 65}, {5, 130}, {7, 1}}));
  bool const two = GENERATE(false, true), few = GENERATE(false, true);
  CAPTURE(L, W, two, few);
  std::vector<char> allowed;
  if (few)
    for (index_t l = 0; l < L; ++l) allowed.push_back(l % 2 == 0);
  auto const check = [&, L = L, W = W](auto zero) {
    using T = decltype(zero);
    auto const scores = uniform<T, 3>({L, 5, W}, -6, 6, 3), other = uniform<T, 3>({L, 5, W}, -6, 6, 4);
    auto const flipped = support::copied<TestType>(mirror(other));
    view<T const, 3, typename TestType::memory> second;
    if (two) second = flipped.view();
    auto const have = decide(support::with_threads<TestType>(2), to::there(scores), second, allowed);
    auto const label = to::back(have.label);
    auto const sure = to::back(have.probability);
    for (index_t y = 0; y < 5; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const p = [&](index_t l) {
          return two ? (probability(scores, l, y, x) + probability(other, l, y, x)) / 2 : probability(scores, l, y, x);
        };
        index_t best = 0;
        for (index_t l = 1; l < L; ++l)
          if ((!few || allowed[static_cast<std::size_t>(l)] != 0) && p(l) > p(best) + 1e-6) best = l;
        CHECK(label(y, x) == best);
        CHECK(std::abs(static_cast<double>(sure(y, x)) - p(best)) < 1e-6);
      }
  };
  check(0.f);
  check(0.);
}

TEMPLATE_LIST_TEST_CASE("ties go to the lower channel", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> scores(4, 1, 3);
  scores(2, 0, 1) = scores(3, 0, 1) = 1;
  auto const have = decide(TestType{}, to::there(scores));
  CHECK(support::drawn(to::back(have.label)) == support::rows{".2."});
  CHECK(to::back(have.probability)(0, 0) == 0.25f);
  scores(1, 0, 2) = 1000;  // beyond what a float's exponential holds
  scores(3, 0, 2) = -1000;
  CHECK(support::drawn(to::back(decide(TestType{}, to::there(scores)).label)) == support::rows{".21"});
  CHECK(to::back(decide(TestType{}, to::there(scores)).probability)(0, 2) == 1);
}

TEST_CASE("decisions without probabilities in between are the same", "[activation][same]")
{
  // Doubles with the values of the floats take the way over the probabilities of all channels.
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  cpu const where{.vectors = set};
  index_t const W = GENERATE(64, 65, 200), L = GENERATE(1, 2, 21);
  bool const few = GENERATE(false, true);
  CAPTURE(W, L, few);
  std::vector<char> allowed;
  if (few)
    for (index_t l = 0; l < L; ++l) allowed.push_back(l % 3 == 1);
  // Steps down to one rounding, so that products of different exponentials meet; and scores too far apart for a float.
  for (float const step : {1.f, 0x1p-20f, 0x1p-23f, 0x1p-24f, 40.f}) {
    auto scores = uniform<float, 3>({L, 4, W}, -4, 4, 7);
    for (auto& v : scores.cells()) v = std::round(v) * step;
    grid<double, 3> same(L, 4, W);
    std::copy(scores.cells().begin(), scores.cells().end(), same.cells().begin());
    auto const have = decide(where, scores, {}, allowed), want = decide(where, same, {}, allowed);
    CHECK(have.label == want.label);
    CHECK(have.probability == want.probability);
  }
}

TEMPLATE_LIST_TEST_CASE("the probability of given labels", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const W = GENERATE(1, 17, 64, 150);
  auto const scores = uniform<float, 3>({6, 4, W}, -5, 5, 2);
  auto const raw = uniform<float, 2>({4, W}, -1, 9, 5);
  grid<std::int32_t, 2> labels(4, W);
  for (index_t i = 0; i < 4 * W; ++i) labels.data()[i] = raw.data()[i] > 8 ? 255 : static_cast<int>(raw.data()[i]) - 1;
  auto const have = to::back(probability_at(support::with_threads<TestType>(2), to::there(scores), to::there(labels)));
  for (index_t y = 0; y < 4; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const l = labels(y, x);
      double const want = l > 0 && l < 6 ? probability(scores, l, y, x) : 0;
      CHECK(std::abs(static_cast<double>(have(y, x)) - want) < 1e-6);
    }
}

TEMPLATE_LIST_TEST_CASE("each region reads its channel", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> maps(3, 2, 3);
  for (index_t i = 0; i < 18; ++i) maps.data()[i] = static_cast<float>(i);
  auto const regions = picture({"12.", ".21"});
  auto const chosen = [&](bool mean) {
    auto const there = support::copied<TestType>(maps);
    return to::back(mean ? select(TestType{}, there, to::there(regions), {2, 0}, std::as_const(there).view())
                         : select(TestType{}, there, to::there(regions), {2, 0}));
  };
  auto const have = chosen(false);
  CHECK(have.cells() == cells_t<float>{12, 1, 0, 0, 4, 17});
  auto const both = chosen(true);
  CHECK(both.cells() == cells_t<float>{13, 1, 0, 0, 4, 16});
  std::fill(maps.cells().begin(), maps.cells().end(), 3e38f);  // twice that is no float
  CHECK(chosen(true)(0, 0) == 3e38f);
}

TEST_CASE("softmax and select refuse what they document", "[activation][errors]")
{
  grid<float, 3> scores(2, 2, 3);
  auto regions = picture({"12.", ".21"});
  CAMBIUM_THROWS_SAYING(decide(cpu{}, grid<float, 3>(0, 2, 3)), precondition_error, "without a channel");
  CAMBIUM_THROWS_SAYING(decide(cpu{}, scores, grid<float, 3>(2, 3, 2).view()), precondition_error,
                        "mirror image [2,3,2]");
  CAMBIUM_THROWS_SAYING(decide(cpu{}, scores, {}, {1}), precondition_error, "2 channels but 1 entries");
  CAMBIUM_THROWS_SAYING(probability_at(cpu{}, scores, picture({"1"})), precondition_error, "labels are [1,1]");
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, regions, {0}), precondition_error, "region(0,1) is 2, outside 0..1");
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, regions, {0, 2}), precondition_error, "channel 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, picture({"1"}), {0}), precondition_error, "regions are [1,1]");
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, regions, {0, 1}, grid<float, 3>(2, 2, 2).view()), precondition_error,
                        "mirror image [2,2,2]");
  regions(0, 0) = -1;
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, regions, {0, 1}), precondition_error, "region(0,0) is -1");
  regions(0, 0) = 1;
  scores(1, 0, 2) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(decide(cpu{}, scores), precondition_error, "scores(1,0,2) is nan");
  class_decision<> kept{grid<std::int32_t, 2>(2, 3), grid<float, 2>(2, 3)};
  CAMBIUM_THROWS_SAYING(decide_into(cpu{}, scores, {}, {}, kept.label, kept.probability), precondition_error,
                        "scores(1,0,2) is nan");
  CHECK((kept.label.cells() == cells_t<std::int32_t>(6, 0) && kept.probability.cells() == cells_t<float>(6, 0)));
  CAMBIUM_THROWS_SAYING(decide(cpu{}, grid<float, 3>(2, 2, 3), scores.view()), precondition_error,
                        "mirrored scores(1,0,2)");
  CAMBIUM_THROWS_SAYING(probability_at(cpu{}, scores, regions), precondition_error, "scores(1,0,2) is nan");
  CAMBIUM_THROWS_SAYING(select(cpu{}, scores, regions, {0, 1}), precondition_error, "(0,2) is nan");
  grid<double, 3> huge(2, 1, 1);
  huge(1, 0, 0) = 1e300;
  CAMBIUM_THROWS_SAYING(decide(cpu{}, huge), precondition_error,
                        "decide: scores(1,0,0) is 1e+300; expected a finite number, not larger than a float can hold");
  CAMBIUM_THROWS_SAYING(probability_at(cpu{}, huge, picture({"1"})), precondition_error,
                        "probability_at: scores(1,0,0) is 1e+300; expected a finite number, not larger than a float");
  grid<float, 3> wide(2, 1, 200);
  for (index_t const x : {0, 63, 64, 127, 150, 199}) {
    wide(1, 0, x) = std::numeric_limits<float>::infinity();
    CAMBIUM_THROWS_SAYING(decide(cpu{}, wide), precondition_error, "0," + std::to_string(x) + ") is inf");
    wide(1, 0, x) = 0;
  }
  CHECK_NOTHROW(select(cpu{}, scores, regions, {0, 0}));  // nobody reads channel 1
  CHECK(decide(cpu{}, grid<float, 3>(2, 0, 3)).label.size() == 0);
  CHECK(decide(cpu{}, grid<float, 3>(2, 3, 0)).label.size() == 0);
  CHECK(select(cpu{}, grid<float, 3>(2, 0, 3), grid<int, 2>(0, 3), {}).size() == 0);
}
