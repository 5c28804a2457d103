#include <cambium/activation/peaks.hpp>
#include <cambium/activation/smooth.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <tuple>
#include <type_traits>

using namespace cambium;
using support::picture;
using support::uniform;

namespace {

grid<float, 3> one_channel(support::rows const& text)
{
  auto const map = picture<float>(text);
  grid<float, 3> out(1, map.shape()[0], map.shape()[1]);
  std::copy(map.cells().begin(), map.cells().end(), out.cells().begin());
  return out;
}

/// The peaks that P finds in maps of the host.
template <class P>
points peaks_on(grid<float, 3> const& maps, peak_options options = {}, P const& where = {})
{
  return to_vector(where, extract_peaks(where, support::copied<P>(maps), options));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("peaks by falling score", "[activation][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const map = one_channel({
      "2......",
      "...9...",
      ".......",
      "......5",
  });
  CHECK(peaks_on<TestType>(map, {.kernel = 3}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}, {0, 0, 0, 2}});
  CHECK(peaks_on<TestType>(map, {.kernel = 7}) == points{{1, 3, 0, 9}});
  CHECK(peaks_on<TestType>(map, {.kernel = 3, .most = 2}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}});
  CHECK(peaks_on<TestType>(map, {.kernel = 3, .threshold = 5}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}});
  CHECK(peaks_on<TestType>(map, {.kernel = 3, .threshold = -1}).size() == 3);  // zeros are never peaks
}

TEMPLATE_LIST_TEST_CASE("a plateau is as many peaks as it has cells, or one", "[activation][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const map = one_channel({
      "44....",
      "44..3.",
      "...333",
      "....3.",
  });
  CHECK(peaks_on<TestType>(map, {.kernel = 3}).size() == 9);
  CHECK(peaks_on<TestType>(map, {.kernel = 3, .plateaus = plateau::one_cell}) == points{{0, 0, 0, 4}, {2, 4, 0, 3}});
  CHECK(peaks_on<TestType>(map, {.kernel = 3, .most = 2}) == points{{0, 0, 0, 4}, {0, 1, 0, 4}});
  // (0,3) and (1,2) are equally near to the mean of 7 cells, (3/7, 16/7): the first one.
  CHECK(peaks_on<TestType>(one_channel({"11.11", "..111"}), {.kernel = 3, .plateaus = plateau::one_cell}) ==
        points{{0, 3, 0, 1}});
}

TEMPLATE_LIST_TEST_CASE("a float meets the threshold in double", "[activation][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<float, 3> map(2, 1, 1);
  map(0, 0, 0) = 0.3f, map(1, 0, 0) = 0.7f;
  CHECK(peaks_on<TestType>(map, {.kernel = 1, .threshold = 0.3}).size() == 2);  // 0.30000001
  CHECK(peaks_on<TestType>(map, {.kernel = 1, .threshold = 0.7}).empty());      // 0.69999999
}

TEMPLATE_LIST_TEST_CASE("peaks equal a look at every window", "[activation][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  int const kernel = GENERATE(1, 3, 5, 15);
  index_t const most = GENERATE(3, 1000);
  auto maps = uniform<float, 3>({4, 20, 23}, -3, 8, 12);
  for (auto& v : maps.cells()) v = std::round(4 * v) / 4;
  using to = support::carry<TestType>;
  auto const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  TestType where{};
  if constexpr (std::is_convertible_v<TestType, cpu>) where.threads = 2, where.vectors = set;
  auto const found = peaks_on(maps, {.kernel = kernel, .most = most, .threshold = 1.25}, where);
  auto const keep = to::back(local_maxima(where, support::copied<TestType>(maps), kernel));
  std::size_t next = 0;
  for (int c = 0; c < 4; ++c) {
    std::vector<std::pair<float, int>> want;
    for (int i = 0; i < 20 * 23; ++i) {
      float largest = -100;
      for (int j = 0; j < 20 * 23; ++j)
        if (std::abs(i / 23 - j / 23) <= kernel / 2 && std::abs(i % 23 - j % 23) <= kernel / 2)
          largest = std::max(largest, maps(c, j / 23, j % 23));
      float const v = maps(c, i / 23, i % 23);
      CHECK(static_cast<int>(keep(c, i / 23, i % 23)) == (largest == v));
      if (largest == v && v >= 1.25f) want.emplace_back(-v, i);
    }
    std::sort(want.begin(), want.end());
    if (static_cast<index_t>(want.size()) > most) want.resize(static_cast<std::size_t>(most));
    for (auto const& [score, i] : want) {
      REQUIRE(next < found.size());
      CHECK(found[next] ==
            point{static_cast<double>(i / 23), static_cast<double>(i % 23), c, -static_cast<double>(score)});
      ++next;
    }
  }
  CHECK(next == found.size());
}

TEST_CASE("a mean over windows, damped at the border", "[activation][picture]")
{
  grid<double, 3> ones(1, 4, 5);
  std::fill(ones.cells().begin(), ones.cells().end(), 1.0);
  auto const y = smooth(cpu{}, ones);
  CHECK(y(0, 0, 0) == 4.0 / 9);
  CHECK(y(0, 0, 2) == 6.0 / 9);
  CHECK(y(0, 1, 1) == 1);
  CHECK(smooth(cpu{}, ones, 1) == ones);
  CHECK(smooth(cpu{}, ones, 99)(0, 3, 4) == Approx(20.0 / (99 * 99)));
  double const side = 4294967297;  // its square is no 64-bit integer, and no loop counts to it
  CHECK(smooth(cpu{}, ones, 4294967297)(0, 3, 4) == Approx(20 / (side * side)));
}

TEST_CASE("smoothing sums in one order", "[activation][reference]")
{
  int const kernel = GENERATE(3, 5);
  auto const maps = uniform<float, 3>({3, 11, 14}, -2, 5, 6);
  auto const have = smooth(cpu{.threads = 2}, maps, kernel);
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 11; ++y)
      for (int x = 0; x < 14; ++x) {
        float volatile sum = 0;
        for (int v = y - kernel / 2; v <= y + kernel / 2; ++v)
          for (int u = x - kernel / 2; u <= x + kernel / 2; ++u)
            sum = sum + (v < 0 || v >= 11 || u < 0 || u >= 14 ? 0.f : maps(c, v, u));
        REQUIRE(have(c, y, x) == sum / static_cast<float>(kernel * kernel));
      }
}

TEST_CASE("peaks and means of nothing, and refusals", "[activation][errors]")
{
  for (auto const& shape : {std::array<index_t, 3>{0, 3, 3}, {2, 0, 3}, {2, 3, 0}}) {
    grid<float, 3> const none(shape[0], shape[1], shape[2]);
    CHECK(extract_peaks(cpu{}, none).size() == 0);
    CHECK(smooth(cpu{}, none).shape() == shape);
    CHECK(local_maxima(cpu{}, none, 3).shape() == shape);
  }
  grid<float, 3> maps(1, 2, 2);
  CHECK(extract_peaks(cpu{}, maps).size() == 0);
  CAMBIUM_THROWS_SAYING(extract_peaks(cpu{}, maps, {.kernel = 4}), precondition_error, "extract_peaks: kernel is 4");
  CAMBIUM_THROWS_SAYING(extract_peaks(cpu{}, maps, {.most = 0}), precondition_error, "most is 0");
  CAMBIUM_THROWS_SAYING(extract_peaks(cpu{}, maps, {.threshold = std::nan("")}), precondition_error,
                        "threshold is nan");
  CAMBIUM_THROWS_SAYING(smooth(cpu{}, maps, 2), precondition_error, "smooth: kernel is 2");
  CAMBIUM_THROWS_SAYING(local_maxima(cpu{}, maps, 0), precondition_error, "local_maxima: kernel is 0");
  maps(0, 1, 0) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(extract_peaks(cpu{}, maps), precondition_error, "maps(0,1,0) is nan");
  CAMBIUM_THROWS_SAYING(smooth(cpu{}, maps), precondition_error, "maps(0,1,0) is nan");
  CAMBIUM_THROWS_SAYING(local_maxima(cpu{}, maps, 3), precondition_error, "maps(0,1,0) is nan");
}

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
          auto const want = to_vector(cpu{}, extract_peaks(cpu{}, maps, options));
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

TEMPLATE_LIST_TEST_CASE("peaks of rules are those of the cpu", "[activation][same]", support::rule_backends)
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
