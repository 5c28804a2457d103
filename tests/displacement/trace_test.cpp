#include <cambium/displacement/trace.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

using namespace cambium;

namespace {

/// A product as it is stored, whatever the compiler would fuse.
double rounded(double product)
{
  double const volatile kept = product;
  return kept;
}

/// One step for every cell, no cell ever left out. The sum is taken in the order of the original.
template <class T>
void move_all(grid<T, 3> const& D, grid<T, 3>& at)
{
  int const H = static_cast<int>(D.shape()[1]), W = static_cast<int>(D.shape()[2]);
  for (int i = 0; i < H * W; ++i) {
    T& y = at(0, i / W, i % W);
    T& x = at(1, i / W, i % W);
    int const y0 = static_cast<int>(std::floor(y)), y1 = static_cast<int>(std::ceil(y));
    int const x0 = static_cast<int>(std::floor(x)), x1 = static_cast<int>(std::ceil(x));
    double const fy = static_cast<double>(y) - y0, fx = static_cast<double>(x) - x0;
    double to[2] = {static_cast<double>(y), static_cast<double>(x)};
    for (int k = 0; k < 2; ++k) {
      double const hh = D(k, y1, x1), lh = D(k, y0, x1), hl = D(k, y1, x0), ll = D(k, y0, x0);
      double sum = rounded(rounded(hh * fy) * fx);
      sum += rounded(rounded(lh * (1 - fy)) * fx);
      sum += rounded(rounded(hl * fy) * (1 - fx));
      sum += rounded(rounded(ll * (1 - fy)) * (1 - fx));
      to[k] += sum;
    }
    y = static_cast<T>(std::clamp(to[0], 0.0, H - 1.0));
    x = static_cast<T>(std::clamp(to[1], 0.0, W - 1.0));
  }
}

template <class T>
grid<T, 3> at_home(index_t H, index_t W)
{
  grid<T, 3> at(2, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) at(0, y, x) = static_cast<T>(y), at(1, y, x) = static_cast<T>(x);
  return at;
}

template <class T>
grid<T, 3> field_of(std::string const& kind, index_t H, index_t W)
{
  auto D = support::uniform<T, 3>({2, H, W}, -2, 2, 7);
  std::mt19937 bits(9);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const set = [&](double dy, double dx) { D(0, y, x) = static_cast<T>(dy), D(1, y, x) = static_cast<T>(dx); };
      double const fy = static_cast<double>(y), fx = static_cast<double>(x);
      double const cy = static_cast<double>(H / 2), cx = static_cast<double>(W / 2);
      if (kind == "zero") set(0, 0);
      // Every cell jumps onto another one, whatever that is: tails and cycles of all lengths, side by side in a row.
      if (kind == "jumps") set(static_cast<double>(bits() % H) - fy, static_cast<double>(bits() % W) - fx);
      if (kind == "swaps") set(2 * (cy - fy), 2 * (cx - fx));                     // to and fro
      if (kind == "quarters") set((fx - cx) - (fy - cy), (cy - fy) - (fx - cx));  // back after four steps
      if (kind == "vortex") set(0.31 * (fx - cx), 0.31 * (cy - fy));              // outwards, along the border
      if (kind == "sink") set(0.2 * (cy + 0.3 - fy), 0.2 * (cx - 0.4 - fx));      // slowly to one point
      if (kind == "huge") D(0, y, x) *= T(1e30), D(1, y, x) *= std::numeric_limits<T>::max() / 4;
    }
  return D;
}

template <class T>
bool same_bits(grid<T, 3> const& a, grid<T, 3> const& b)
{
  for (std::size_t i = 0; i < a.cells().size(); ++i)
    if (a.cells()[i] != b.cells()[i]) return false;
  return a.shape() == b.shape();
}

/// Where P says that the cells of a host field end.
template <class P, class T>
grid<T, 3> ends_of(grid<T, 3> const& D, trace_options options = {})
{
  using to = support::carry<P>;
  return to::back(trace(P{}, to::there(D), options));
}

template <class P, class T>
void check_every_number_of_steps(std::string const& kind, int H, int W)
{
  auto const D = field_of<T>(kind, H, W);
  auto want = at_home<T>(H, W);
  for (int u = 0; u <= 300; ++u) {
    if (u > 0) move_all(D, want);
    if (u > 40 && u != 97 && u != 300) continue;
    CAPTURE(u);
    REQUIRE(same_bits(ends_of<P>(D, {.iterations = u}), want));
  }
  REQUIRE(same_bits(ends_of<P>(D), want));  // 300 is the default
}

template <class P, class T>
void check_single_precision(std::string const& exact)
{
  index_t const H = 21, W = 45;
  auto const D = field_of<T>(exact, H, W);
  for (int const u : {0, 1, 2, 17, 40, 300}) {
    CAPTURE(u);
    trace_options const single{.iterations = u, .precision = trace_precision::single};
    CHECK(same_bits(ends_of<P>(D, single), ends_of<P>(D, {.iterations = u})));
  }
  auto const sink = field_of<T>("sink", H, W);
  auto const ends = ends_of<P>(sink, {.precision = trace_precision::single});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      CHECK(ends(0, y, x) == Approx(10.3).epsilon(1e-5));
      CHECK(ends(1, y, x) == Approx(21.6).epsilon(1e-5));
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("trace equals a loop that stops nowhere, after every number of steps",
                        "[displacement][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const kind =
      GENERATE(values<std::string>({"random", "zero", "jumps", "swaps", "quarters", "vortex", "sink", "huge"}));
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 19}, {14, 1}, {9, 8}, {21, 29}}));
  CAPTURE(kind, H, W);
  check_every_number_of_steps<TestType, float>(kind, H, W);
  check_every_number_of_steps<TestType, double>(kind, H, W);
}

TEMPLATE_LIST_TEST_CASE("single precision follows the same paths", "[displacement][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const exact = GENERATE(values<std::string>({"zero", "jumps", "swaps", "quarters"}));  // whole cells: no rounding
  CAPTURE(exact);
  check_single_precision<TestType, float>(exact);
  check_single_precision<TestType, double>(exact);
}

TEST_CASE("trace is the same for every number of threads and every stride", "[displacement][property]")
{
  auto const kind = GENERATE(values<std::string>({"random", "jumps", "vortex", "huge"}));
  auto const precision = GENERATE(trace_precision::mixed, trace_precision::single);
  CAPTURE(kind);
  index_t const H = 37, W = 61;
  auto const D = field_of<float>(kind, H, W);
  auto const want = trace(cpu{.threads = 1}, D, {.precision = precision});
  for (int const threads : {0, 2, 3, 7})
    CHECK(same_bits(trace(cpu{.threads = threads}, D, {.precision = precision}), want));
  grid<float, 3> wide(2, H + 2, W + 5), out(2, H + 1, W + 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) wide(0, y, x) = D(0, y, x), wide(1, y, x) = D(1, y, x);
  auto from = wide.view(), to = out.view();
  for (auto* const v : {&from, &to}) v->extent[1] = H, v->extent[2] = W;
  trace_scratch<float> scratch;
  trace_into(cpu{}, from, {.precision = precision}, to, scratch);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) REQUIRE((out(0, y, x) == want(0, y, x) && out(1, y, x) == want(1, y, x)));
  for (index_t x = 0; x < W + 3; ++x) REQUIRE((out(0, H, x) == 0 && out(1, H, x) == 0));
}

TEMPLATE_LIST_TEST_CASE("positions stay on the map and stop at its border", "[displacement][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  //   > > > .     one row: everything drifts right, and stops in the last column
  grid<float, 3> D(2, 1, 4);
  for (index_t x = 0; x < 4; ++x) D(1, 0, x) = 1, D(0, 0, x) = -5;
  for (int u = 0; u < 6; ++u) {
    auto const ends = ends_of<TestType>(D, {.iterations = u});
    for (index_t x = 0; x < 4; ++x) {
      CHECK(ends(0, 0, x) == 0);
      CHECK(ends(1, 0, x) == static_cast<float>(std::min<index_t>(3, x + u)));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("positions that repeat are counted, not followed", "[displacement][property]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const D = field_of<float>("swaps", 5, 9);
  auto const once = ends_of<TestType>(D, {.iterations = 1});
  CHECK(same_bits(ends_of<TestType>(D, {.iterations = 2'000'000'000}), at_home<float>(5, 9)));
  CHECK(same_bits(ends_of<TestType>(D, {.iterations = 2'000'000'001}), once));
  int const most = std::numeric_limits<int>::max();  // the count must not overflow
  CHECK(same_bits(ends_of<TestType>(D, {.iterations = most}), once));
}

TEST_CASE("trace asks to stop within a row of many iterations", "[displacement][errors]")
{
  static int asked;
  asked = 0;
  cpu const stops{.threads = 1, .stop = [] { return ++asked > 20; }};
  grid<float, 3> const still(2, 1, 8);  // one row
  constexpr int most = std::numeric_limits<int>::max();
  CHECK_THROWS_AS(trace(stops, still, {.iterations = most}), stopped);
  CHECK(asked > 20);
  auto const to = trace(cpu{.threads = 1}, still, {.iterations = most});
  for (index_t x = 0; x < 8; ++x) CHECK((to(0, 0, x) == 0.f && to(1, 0, x) == static_cast<float>(x)));
}

TEST_CASE("trace rejects what it documents, and writes nothing", "[displacement][errors]")
{
  auto const D = support::uniform<float, 3>({2, 4, 5}, -1, 1, 3);
  grid<float, 3> out(2, 4, 5);
  trace_scratch<float> scratch;
  for (float const bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    auto broken = D;
    broken(1, 2, 3) = bad;
    CAMBIUM_THROWS_SAYING(trace(cpu{}, broken), precondition_error, "displacement(1,2,3) is");
    CAMBIUM_THROWS_SAYING(trace_into(cpu{}, broken, {}, out, scratch), precondition_error, "expected a finite number");
  }
  CAMBIUM_THROWS_SAYING(trace_into(cpu{}, D, {.iterations = -1}, out, scratch), precondition_error, "iterations is -1");
  CAMBIUM_THROWS_SAYING(trace(cpu{}, grid<float, 3>(3, 4, 5)), precondition_error, "[3,4,5] instead of [2,H,W]");
  CAMBIUM_THROWS_SAYING(trace_into(cpu{}, grid<float, 3>(2, 4, 4), {}, out, scratch), precondition_error,
                        "[2,4,4] but out is [2,4,5]");
  grid<float, 3> both = D;
  CAMBIUM_THROWS_SAYING(trace_into(cpu{}, both, {}, both, scratch), precondition_error, "overlap");
  CHECK(both == D);
  CAMBIUM_THROWS_SAYING(trace(cpu{}, grid<float, 3>(2, (1 << 24) + 1, 0)), precondition_error, "larger than 2^24");
  CAMBIUM_THROWS_SAYING(trace(cpu{}, grid<float, 3>(2, 0, (1 << 24) + 1)), precondition_error, "larger than 2^24");
  for (float const v : out.cells()) CHECK(v == 0);
}

TEMPLATE_LIST_TEST_CASE("nothing moves on an empty map", "[displacement][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}}));
  CHECK(ends_of<TestType>(grid<float, 3>(2, H, W)).size() == 0);
}

TEMPLATE_LIST_TEST_CASE("what leads nowhere stays on the map", "[displacement][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto D = support::uniform<float, 3>({2, 7, 6}, -2, 2, 5);
  for (std::size_t i = 0; i < D.cells().size(); i += 3)
    D.cells()[i] = i % 2 == 0 ? std::nanf("") : i % 4 == 1 ? HUGE_VALF : -HUGE_VALF;
  for (auto const precision : {trace_precision::mixed, trace_precision::single}) {
    auto const ends = ends_of<TestType>(D, {.precision = precision});
    for (index_t y = 0; y < 7; ++y)
      for (index_t x = 0; x < 6; ++x) {
        CHECK((ends(0, y, x) >= 0 && ends(0, y, x) <= 6));
        CHECK((ends(1, y, x) >= 0 && ends(1, y, x) <= 5));
      }
  }
}

TEMPLATE_LIST_TEST_CASE("trace writes between gaps, and takes the cpu's paths", "[displacement][same]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const H = 37, W = 61;
  auto const D = field_of<float>("random", H, W);
  auto const want = trace(cpu{}, D);
  grid<float, 3> const none(2, H + 1, W + 3);
  grid<float, 3> wide(2, H + 2, W + 5);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) wide(0, y, x) = D(0, y, x), wide(1, y, x) = D(1, y, x);
  auto const there = support::copied<TestType>(wide);
  auto out = support::copied<TestType>(none);
  auto field = there.view();
  auto result = out.view();
  field.extent[1] = result.extent[1] = H, field.extent[2] = result.extent[2] = W;
  trace_scratch<float, typename TestType::memory> scratch;
  for (int i = 0; i < 2; ++i) trace_into(TestType{}, field, {}, result, scratch);
  auto const have = to::back(out);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) REQUIRE((have(0, y, x) == want(0, y, x) && have(1, y, x) == want(1, y, x)));
  for (index_t x = 0; x < W + 3; ++x) REQUIRE((have(0, H, x) == 0 && have(1, H, x) == 0));
}
