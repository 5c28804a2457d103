#include <cambium/activation/normalise.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cambium;

namespace {

/// The formulas, cell by cell, each with its own look at the whole map.
template <class T>
double normalised(grid<T, 3> const& maps, int c, int i, normalise_options const& o)
{
  int const cells = static_cast<int>(maps.shape()[1] * maps.shape()[2]), C = static_cast<int>(maps.shape()[0]);
  auto const value = [&](int channel, int at) {
    double const v = static_cast<double>(maps.cells()[channel * cells + at]);
    return o.relu && v < 0 ? 0 : v;
  };
  double low = value(c, 0), high = low, most = value(0, 0);
  for (int at = 0; at < cells; ++at) low = std::min(low, value(c, at)), high = std::max(high, value(c, at));
  for (int at = 0; at < C * cells; ++at) most = std::max(most, value(at / cells, at % cells));
  if (o.by == normalisation::largest) return high + o.eps == 0 ? 0 : value(c, i) / (high + o.eps);
  if (o.by == normalisation::min_max) return high == low ? 0 : (value(c, i) - low) / (high - low);
  return most > 0 ? value(c, i) / most : 0;
}

grid<double, 3> row_of(std::vector<double> const& values, index_t channels = 1)
{
  grid<double, 3> out(channels, 1, static_cast<index_t>(values.size()) / channels);
  std::copy(values.begin(), values.end(), out.data());
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("normalise equals its formulas", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(normalisation::largest, normalisation::min_max, normalisation::largest_of_all);
  bool const relu = GENERATE(false, true);
  double const eps = GENERATE(0.0, 1e-5, 0.5);
  auto const [C, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 1, 9}, {4, 12, 7}}));
  CAPTURE(static_cast<int>(by), relu, eps, C, H, W);
  normalise_options const options{by, eps, relu};
  auto const check = [&, C = C, H = H, W = W](auto zero, double rounding) {
    using T = decltype(zero);
    auto maps = support::uniform<T, 3>({C, H, W}, -2, 3, 3);
    for (int i = 0; i < H * W && C > 1; ++i) maps.cells()[H * W + i] = -1;  // constant, without a positive cell
    auto const have = to::back(normalise(TestType{}, to::there(maps), options));
    REQUIRE(have.shape() == maps.shape());
    for (int c = 0; c < C; ++c)
      for (int i = 0; i < H * W; ++i)
        REQUIRE(have.cells()[c * H * W + i] == Approx(normalised(maps, c, i, options)).epsilon(rounding));
    for (int const threads : {1, 3})
      CHECK(to::back(normalise(support::with_threads<TestType>(threads), to::there(maps), options)) == have);
  };
  check(0.f, 1e-5);
  check(0., 1e-13);
}

TEMPLATE_LIST_TEST_CASE("where normalised values lie", "[activation][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // Large maxima too: there eps is less than their last digit.
  double const scale = GENERATE(1e-30, 1.0, 1e4, 1e30);
  CAPTURE(scale);
  auto const check = [&](auto zero) {
    using T = decltype(zero);
    auto const maps = support::uniform<T, 3>({3, 6, 11}, -scale, scale, 3);
    auto const of = [&](normalise_options options) {
      return to::back(normalise(TestType{}, to::there(maps), options));
    };
    auto const between = [](grid<T, 3> const& out) {
      return std::all_of(out.cells().begin(), out.cells().end(), [](T v) { return v >= 0 && v <= 1; });
    };
    auto const shares = of({.relu = true}), ends = of({.by = normalisation::min_max});
    CHECK(between(ends));
    CHECK(between(of({.by = normalisation::largest_of_all, .relu = true})));
    CHECK(between(shares));
    if (scale <= 1) CHECK(*std::max_element(shares.cells().begin(), shares.cells().end()) < 1);
    for (index_t c = 0; c < 3; ++c) {
      CHECK(*std::min_element(&ends(c, 0, 0), &ends(c, 0, 0) + 66) == 0);
      CHECK(*std::max_element(&ends(c, 0, 0), &ends(c, 0, 0) + 66) == 1);
    }
  };
  check(0.f);
  check(0.);
}

TEMPLATE_LIST_TEST_CASE("min_max holds the widest range there is", "[activation][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  float const most = std::numeric_limits<float>::max();  // the range itself is no float
  grid<float, 3> maps(1, 1, 3);
  maps(0, 0, 0) = -most, maps(0, 0, 2) = most;
  auto const out = to::back(normalise(TestType{}, to::there(maps), {.by = normalisation::min_max}));
  CHECK(out(0, 0, 0) == 0);
  CHECK(out(0, 0, 1) == 0.5f);
  CHECK(out(0, 0, 2) == 1);
}

TEMPLATE_LIST_TEST_CASE("channels by eye", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const of = [](grid<double, 3> const& maps, normalise_options options) {
    return to::back(normalise(TestType{}, to::there(maps), options));
  };
  auto const maps = row_of({0, 1, 3, 0, 0, 0, -4, -2, 2}, 3);
  CHECK(of(maps, {.eps = 1}) == row_of({0, 0.25, 0.75, 0, 0, 0, -4. / 3, -2. / 3, 2. / 3}, 3));
  CHECK(of(maps, {.eps = 1, .relu = true}) == row_of({0, 0.25, 0.75, 0, 0, 0, 0, 0, 2. / 3}, 3));
  CHECK(of(maps, {.eps = 0}) == row_of({0, 1. / 3, 1, 0, 0, 0, -2, -1, 1}, 3));
  CHECK(of(maps, {.by = normalisation::min_max}) == row_of({0, 1. / 3, 1, 0, 0, 0, 0, 1. / 3, 1}, 3));
  CHECK(of(maps, {.by = normalisation::largest_of_all}) ==
        row_of({0, 1. / 3, 1, 0, 0, 0, -4. / 3, -2. / 3, 2. / 3}, 3));
  for (double const most : {0.0, -1.0})
    CHECK(of(row_of({-2, most, -3}), {.by = normalisation::largest_of_all}) == row_of({0, 0, 0}));
}

TEST_CASE("normalise rejects what it documents", "[activation][errors]")
{
  grid<float, 3> maps(2, 3, 4);
  for (double const eps : {-1e-9, std::nan("")})
    CAMBIUM_THROWS_SAYING(normalise(cpu{}, maps, {.eps = eps}), precondition_error, "eps is");
  for (float const bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    maps(1, 0, 2) = bad;
    CAMBIUM_THROWS_SAYING(normalise(cpu{}, maps), precondition_error, "maps(1,0,2) is");
  }
}

TEMPLATE_LIST_TEST_CASE("normalise: nothing to scale", "[activation][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W] = GENERATE(table<int, int, int>({{0, 4, 4}, {2, 0, 4}, {2, 4, 0}}));
  auto const by = GENERATE(normalisation::largest, normalisation::min_max, normalisation::largest_of_all);
  grid<float, 3> const none(C, H, W);
  CHECK(to::back(normalise(TestType{}, to::there(none), {.by = by})) == none);
}
