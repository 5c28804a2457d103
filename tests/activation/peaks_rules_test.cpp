// Peaks by rules and on a device: the cpu's, in its order.
#include <cambium/activation/peaks.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>
#include <tuple>

using namespace cambium;

namespace {

/// Few different values: many are equal and plateaus are large.
template <class T>
grid<T, 3> coarse(index_t C, index_t H, index_t W, int values, std::uint64_t seed)
{
  auto maps = support::uniform<T, 3>({C, H, W}, -0.4, 1, seed);
  for (index_t i = 0; i < maps.size(); ++i) {
    T& v = maps.data()[i];
    if (values > 0) v = std::floor(v * static_cast<T>(values)) / static_cast<T>(values);
    if (values > 0 && i % 5 < 2 && i > 0) v = maps.data()[i - 1];
  }
  return maps;
}

void check_same(points const& have, points const& want)
{
  REQUIRE(have.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) REQUIRE(have[i] == want[i]);
}
points listed(grid<point, 1> const& g, index_t n) { return {g.data(), g.data() + n}; }

template <class P, class T>
void check_peaks(index_t C, index_t H, index_t W, int values)
{
  using to = support::carry<P>;
  P where{};
  if constexpr (std::derived_from<P, cpu>) where.threads = 3;
  auto const maps = coarse<T>(C, H, W, values, 3);
  auto const there = support::copied<P>(maps);
  peak_scratch<P> scratch;
  for (index_t const kernel : {1, 3, 7, 201}) {
    REQUIRE(to::back(local_maxima(where, there, kernel)) == local_maxima(cpu{}, maps, kernel));
    for (auto const plateaus : {plateau::every_cell, plateau::one_cell})
      for (index_t const most : {1, 4, 100000}) {
        for (double const threshold : {-1.0, 0.5}) {
          CAPTURE(kernel, static_cast<int>(plateaus), most, threshold);
          peak_options const options{kernel, most, threshold, plateaus};
          auto const want = extract_peaks(cpu{}, maps, options);
          auto const have = to::back(extract_peaks(where, there, options));
          check_same(listed(have, have.size()), want);
          auto const some = static_cast<index_t>(want.size()) / 2;
          auto out = make_grid<point>(where, {most == 4 ? some : maps.size()});
          auto count = make_grid<index_t>(where, {1});
          extract_peaks_into(where, there, options, out, count, scratch);
          REQUIRE(to::back(count)(0) == static_cast<index_t>(want.size()));
          auto const written = to::back(out);
          if (most == 4)  // too short
            check_same(listed(written, some), points(want.begin(), want.begin() + some));
          else
            check_same(listed(written, static_cast<index_t>(want.size())), want);
        }
      }
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("peaks of rules are those of the cpu", "[activation][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W] = GENERATE(
      table<int, int, int>({{0, 3, 3}, {2, 0, 3}, {1, 1, 1}, {3, 1, 30}, {2, 31, 1}, {5, 23, 17}, {1, 60, 70}}));
  auto const values = GENERATE(0, 1, 3);
  CAPTURE(C, H, W, values);
  check_peaks<TestType, float>(C, H, W, values);
  if (values != 1) check_peaks<TestType, double>(C, H, W, values);
}

TEMPLATE_LIST_TEST_CASE("rules find no peak where there is no number", "[activation][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<float, 3> maps(1, 2, 3);
  maps(0, 0, 0) = std::nanf(""), maps(0, 0, 1) = 0.5f, maps(0, 1, 2) = HUGE_VALF;
  auto const there = support::copied<TestType>(maps);
  auto const one = to::back(extract_peaks(where, there, {.kernel = 3}));
  REQUIRE(one.size() == 1);
  CHECK(one(0) == point{1, 2, 0, HUGE_VAL});
  CHECK(to::back(extract_peaks(where, there, {.kernel = 1})).size() == 2);
  CAMBIUM_THROWS_SAYING(extract_peaks(where, there, {.kernel = 2}), precondition_error, "kernel is 2");
  CAMBIUM_THROWS_SAYING(extract_peaks(where, there, {.most = 0}), precondition_error, "most is 0");
  CAMBIUM_THROWS_SAYING(extract_peaks(where, there, {.threshold = std::nan("")}), precondition_error, "nan");
  CAMBIUM_THROWS_SAYING(local_maxima(where, there, 4), precondition_error, "kernel is 4");
}
