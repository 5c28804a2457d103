#include <cambium/grid/range.hpp>

#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

template <class T>
constexpr T nan_v = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr T inf_v = std::numeric_limits<T>::infinity();

/// The place a message names, "(1,2,3)"; "" when nothing is thrown.
template <class V, class T>
std::string place(cpu const& where, V const& v, T low, T high)
{
  try {
    expects_inside(where, v, low, high, "door: map", "something else");
  } catch (precondition_error const& e) {
    std::string const text = e.what();
    REQUIRE(text.rfind("door: map(", 0) == 0);
    REQUIRE(text.find("expected something else") != std::string::npos);
    return text.substr(9, text.find(')') - 8);
  }
  return "";
}

}  // namespace

TEMPLATE_TEST_CASE("what lies inside is accepted", "[grid][reference]", float, double)
{
  using limits = std::numeric_limits<TestType>;
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  auto const n = GENERATE(range(1, 71));
  grid<TestType, 1> v(n);
  for (int i = 0; i < n; ++i) {  // both ends, both zeros, and the smallest number there is
    TestType const good[] = {TestType(1),          TestType(0),   -TestType(0),
                             limits::denorm_min(), limits::min(), TestType(0.5)};
    v(i) = good[i % 6];
  }
  CHECK_NOTHROW(expects_inside(cpu{.vectors = set}, v.view(), TestType(0), TestType(1), "v", "a value in [0,1]"));
  for (int i = 0; i < n; ++i) v(i) = i % 2 ? limits::max() : limits::lowest();
  CHECK_NOTHROW(expects_finite(cpu{.vectors = set}, v.view(), "v"));
  for (int i = 0; i < n; ++i) v(i) = limits::min();
  CHECK_NOTHROW(expects_inside(cpu{.vectors = set}, v.view(), limits::min(), TestType(1), "v", "a value in (0,1]"));
}

TEMPLATE_TEST_CASE("whatever lies outside is found, wherever it is", "[grid][reference]", float, double)
{
  using limits = std::numeric_limits<TestType>;
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  int const kind = GENERATE(range(0, 7));
  TestType const bad[] = {nan_v<TestType>,
                          -nan_v<TestType>,
                          inf_v<TestType>,
                          -inf_v<TestType>,
                          std::nextafter(TestType(1), TestType(2)),
                          -limits::denorm_min(),
                          limits::lowest()};
  for (int n = 1; n < 70; ++n) {
    grid<TestType, 1> v(n);
    for (int i = 0; i < n; ++i) {
      v(i) = bad[kind];
      REQUIRE(place(cpu{.vectors = set}, v.view(), TestType(0), TestType(1)) == "(" + std::to_string(i) + ")");
      v(i) = i % 2 ? TestType(1) : -TestType(0);
    }
  }
}

TEMPLATE_TEST_CASE("finite means neither NaN nor infinite", "[grid][reference]", float, double)
{
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  double const kind = GENERATE(std::nan(""), HUGE_VAL, -HUGE_VAL);
  auto const bad = static_cast<TestType>(kind);
  auto v = support::uniform<TestType, 3>({2, 3, 35}, -1e30, 1e30, 3);
  for (index_t c = 0; c < 2; ++c)
    for (index_t y = 0; y < 3; ++y)
      for (index_t x = 0; x < 35; ++x) {
        auto const before = v(c, y, x);
        v(c, y, x) = bad;
        std::string const want =
            "seeds(" + std::to_string(c) + "," + std::to_string(y) + "," + std::to_string(x) + ") is ";
        CAMBIUM_THROWS_SAYING(expects_finite(cpu{.vectors = set}, v.view(), "seeds"), precondition_error, want);
        v(c, y, x) = before;
      }
  CAMBIUM_THROWS_SAYING(((v(0, 0, 0) = bad), expects_finite(cpu{}, v.view(), "seeds")), precondition_error,
                        "expected a finite number");
}

TEST_CASE("a window does not look at what lies between its rows", "[grid][property]")
{
  isa const set = GENERATE(isa::baseline, isa::avx512);
  index_t const W = GENERATE(1, 5, 16, 33);
  grid<float, 4> block(2, 3, 5, 40);
  for (auto& v : block.cells()) v = nan_v<float>;
  view<float, 4> window = block.view();
  window.extent[1] = 2, window.extent[2] = 4, window.extent[3] = W;
  for (index_t a = 0; a < 2; ++a)
    for (index_t b = 0; b < 2; ++b)
      for (index_t c = 0; c < 4; ++c)
        for (index_t d = 0; d < W; ++d) window(a, b, c, d) = 0.25f;
  CHECK(place(cpu{.vectors = set}, window, 0.f, 1.f) == "");
  window(1, 1, 2, W - 1) = 2;
  CHECK(place(cpu{.vectors = set}, window, 0.f, 1.f) == "(1,1,2," + std::to_string(W - 1) + ")");
  window(0, 1, 3, 0) = 2;
  CHECK(place(cpu{.vectors = set}, window, 0.f, 1.f) == "(0,1,3,0)");
}

TEST_CASE("the first of several is named, for every number of threads", "[grid][property]")
{
  int const threads = GENERATE(1, 2, 3, 8);
  index_t const H = 300, W = 401;  // many pieces a thread
  grid<double, 2> v(H, W);
  for (index_t const at : {H * W - 1, index_t{90001}, index_t{65537}, index_t{8192}, index_t{8191}, index_t{0}}) {
    v.cells()[static_cast<std::size_t>(at)] = -1;
    CHECK(place(cpu{.threads = threads}, v.view(), 0., 1.) ==
          "(" + std::to_string(at / W) + "," + std::to_string(at % W) + ")");
  }
}

TEST_CASE("an empty map holds nothing wrong", "[grid][errors]")
{
  CHECK_NOTHROW(expects_finite(cpu{}, grid<float, 2>(0, 5).view(), "v"));
  CHECK_NOTHROW(expects_finite(cpu{}, grid<float, 2>(5, 0).view(), "v"));
  CHECK_NOTHROW(expects_finite(cpu{}, view<float const, 3>(), "v"));
}

TEST_CASE("a limit may be infinite", "[grid][errors]")
{
  // Behind the cells looked at lies one that ends every search.
  std::vector<float> cells(64, nan_v<float>);
  for (int length = 1; length < 40; ++length) {
    std::fill_n(cells.begin(), length, inf_v<float>);
    view<float const, 1> const v(cells.data(), {length});
    CAPTURE(length);
    REQUIRE(place(cpu{}, v, 0.f, inf_v<float>) == "");
  }
}

TEST_CASE("the direction of rounding does not matter", "[grid][errors]")
{
  std::vector<float> cells(64, nan_v<float>);
  std::fill_n(cells.begin(), 40, 0.f);
  view<float const, 1> const v(cells.data(), {40});
  int const before = std::fegetround();
  std::string found;
  for (int const direction : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    std::fesetround(direction);
    found += place(cpu{.threads = 1}, v, 0.f, 1.f);
  }
  std::fesetround(before);
  CHECK(found == "");
}

TEST_CASE("a value just outside is not printed as the limit itself", "[grid][errors]")
{
  grid<double, 1> v(3);
  auto const text = [&] {
    try {
      expects_inside(cpu{}, v.view(), 0, 1, "v", "a value in [0,1]");
    } catch (precondition_error const& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  v(1) = 1 + 1e-9;
  CHECK(text().find("is 1.000000;") == std::string::npos);
  v(1) = -1e-9;
  CHECK(text().find("is -0.000000;") == std::string::npos);
}

TEMPLATE_TEST_CASE("labels outside their range are named", "[grid][errors]", std::int8_t, std::uint8_t, std::int64_t)
{
  grid<TestType, 2> labels(3, 70);
  labels(1, 5) = 4, labels(2, 0) = 5;
  expects_labels<TestType const>(std::as_const(labels).view(), 5, "door: map");
  expects_labels<TestType const>(std::as_const(labels).view(), std::numeric_limits<index_t>::max(), "door: map");
  auto const refused = [&](index_t most, char const* words) {
    CAMBIUM_THROWS_SAYING(expects_labels<TestType const>(std::as_const(labels).view(), most, "door: map"),
                          precondition_error, words);
  };
  refused(4, "door: map(2,0) is 5, outside 0..4");
  refused(3, "door: map(1,5) is 4, outside 0..3");
  refused(-1, "door: map(0,0) is 0, outside 0..-1");
  if constexpr (std::is_signed_v<TestType>) {
    labels(0, 69) = -1;
    refused(5, "door: map(0,69) is -1, outside 0..5");
    refused(std::numeric_limits<index_t>::max(), "door: map(0,69) is -1");
  }
  expects_labels<TestType const>(grid<TestType, 2>(0, 4).view(), -1, "door: map");
}

TEMPLATE_TEST_CASE("labels inside their range, of every type", "[grid][reference]", std::int8_t, std::uint8_t,
                   std::int16_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t)
{
  using numbers = std::numeric_limits<TestType>;
  index_t const W = GENERATE(1, 15, 16, 17, 64, 75);
  for (index_t const most : {index_t{0}, index_t{5}, index_t{127}, index_t{200}, index_t{255}, index_t{70000},
                             std::numeric_limits<index_t>::max()}) {
    auto const by_definition = [&](TestType v) { return std::cmp_less_equal(0, v) && std::cmp_less_equal(v, most); };
    for (TestType const v :
         {TestType(0), TestType(1), TestType(5), TestType(6), TestType(127), TestType(128), TestType(200),
          TestType(70000), numbers::min(), numbers::max(), TestType(numbers::max() - 1), TestType(-1)})
      for (index_t const x : {index_t{0}, W / 2, W - 1}) {
        grid<TestType, 2> labels(2, W);
        labels(1, x) = v;
        CAPTURE(W, most, x, +v);
        if (by_definition(v))
          CHECK_NOTHROW(expects_labels(labels.view(), most, "door: label"));
        else
          CAMBIUM_THROWS_SAYING(expects_labels(labels.view(), most, "door: label"), precondition_error,
                                "door: label(1," + std::to_string(x) + ") is " + std::to_string(v) + ", outside 0.." +
                                    std::to_string(most));
      }
  }
  CAMBIUM_THROWS_SAYING(expects_labels(grid<TestType, 2>(1, W).view(), -1, "l"), precondition_error,
                        "l(0,0) is 0, outside 0..-1");
}
