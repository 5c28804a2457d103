#include <cambium/walk/neighbour_walk.hpp>

#include "support/adaptive.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

#include <limits>

using namespace cambium;

namespace {

/// Weights that sum to 1, up to rounding.
template <class T>
grid<T, 3> weights(int P, int H, int W, std::uint64_t seed)
{
  auto out = support::uniform<T, 3>({P, H, W}, 0, 1, seed);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      T sum = 0;
      for (int k = 0; k < P; ++k) sum += out(k, y, x);
      for (int k = 0; k < P; ++k) out(k, y, x) /= sum;
    }
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("neighbour_walk equals the definition", "[walk][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  std::vector<std::vector<int>> const lists{{1}, {1, 2, 4, 8, 12, 24}, {3, 70}};
  auto const dilations = GENERATE_COPY(from_range(lists));
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 40}, {37, 1}, {9, 7}, {33, 70}}));
  int const P = static_cast<int>(8 * dilations.size());
  dilated_neighbours const near{std::span<int const>(dilations)};
  auto const w = weights<float>(P, H, W, 3);
  auto const exact = weights<double>(P, H, W, 5);
  for (int const C : {0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 21}) {
    if (C > 4 && H * W > 100 && C != 21) continue;
    int const steps = C % 4;
    CAPTURE(dilations, H, W, C, steps);
    auto const masks = support::uniform<float, 3>({C, H, W}, -1, 2, 9);
    auto const have =
        to::back(neighbour_walk(support::with_threads<TestType>(3), to::there(masks), to::there(w), near, {steps}));
    CHECK(support::largest_gap(have.cells(), oracle::adaptive_average(masks, w, dilations, steps).cells()) < 2e-6);
    if (C != 2) continue;
    auto const precise = support::uniform<double, 3>({C, H, W}, -1, 2, 9);
    auto const got = to::back(neighbour_walk(TestType{}, to::there(precise), to::there(exact), near, {steps}));
    CHECK(support::largest_gap(got.cells(), oracle::adaptive_average(precise, exact, dilations, steps).cells()) <
          1e-14);
  }
}

TEMPLATE_LIST_TEST_CASE("neighbour_walk in place", "[walk][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  dilated_neighbours const near{1, 3};
  auto const masks = support::uniform<float, 3>({3, 14, 19}, 0, 1, 1);
  auto const w = weights<float>(16, 14, 19, 2);
  auto const there = to::there(w);
  for (index_t const steps : {0, 1, 2, 5}) {
    auto in_place = support::copied<TestType>(masks);
    neighbour_walk_scratch<float, TestType> scratch(TestType{}, 3, 14, 19, near);
    neighbour_walk_into(TestType{}, in_place, there, near, {steps}, in_place, scratch);
    CHECK(to::back(in_place) == to::back(neighbour_walk(TestType{}, to::there(masks), there, near, {steps})));
  }
}

TEST_CASE("neighbour_walk: the same bits for any number of threads and of channels", "[walk][property]")
{
  auto const masks = support::uniform<float, 3>({21, 60, 83}, 0, 1, 1);
  auto const w = weights<float>(48, 60, 83, 2);
  auto const want = neighbour_walk(cpu{.threads = 1}, masks, w);
  for (int const threads : {2, 3, 7}) CHECK(neighbour_walk(cpu{.threads = threads}, masks, w) == want);
  for (isa const set : {isa::baseline, isa::avx2})
    CHECK(support::largest_gap(neighbour_walk(cpu{.vectors = set}, masks, w).cells(), want.cells()) < 2e-6);
  for (index_t const c : {0, 10, 20}) {
    auto one = masks.view();
    one.data = &one(c, 0, 0), one.extent[0] = 1;
    auto const alone = neighbour_walk(cpu{}, one, w);
    CHECK(std::equal(alone.cells().begin(), alone.cells().end(), &want(c, 0, 0)));
  }
  grid<float, 3> wide(21, 64, 99);
  for (int c = 0; c < 21; ++c)
    for (int y = 0; y < 60; ++y)
      for (int x = 0; x < 83; ++x) wide(c, y, x) = masks(c, y, x);
  auto window = wide.view();
  window.extent[1] = 60, window.extent[2] = 83;
  CHECK(neighbour_walk(cpu{}, window, w) == want);
}

TEST_CASE("weights that sum to 1 keep constants and ranges", "[walk][property]")
{
  auto masks = support::uniform<float, 3>({2, 31, 29}, 0.2, 0.7, 1);
  for (int i = 0; i < 31 * 29; ++i) masks.cells()[i] = 0.375f;
  auto const out = neighbour_walk(cpu{}, masks, weights<float>(48, 31, 29, 2), {}, {20});
  for (int i = 0; i < 31 * 29; ++i) {
    CHECK(out.cells()[i] == Approx(0.375).epsilon(1e-5));
    CHECK(out.cells()[31 * 29 + i] == Approx(0.45).margin(0.25 + 1e-5));
  }
}

TEST_CASE("a weight is the receiver's: a mask moves against its direction", "[walk][picture]")
{
  // Every cell takes the value of its left neighbour (number 3 of 8). The first column repeats itself.
  grid<float, 3> masks(1, 1, 6), w(8, 1, 6);
  for (int x = 0; x < 6; ++x) masks(0, 0, x) = static_cast<float>(x + 1), w(3, 0, x) = 1;
  auto const out = neighbour_walk(cpu{}, masks, w, {1}, {2});
  CHECK(std::vector<float>(out.cells().begin(), out.cells().end()) == std::vector<float>{1, 1, 1, 2, 3, 4});
}

TEST_CASE("neighbour_walk stops when asked", "[walk][errors]")
{
  grid<float, 3> const masks(1, 9, 9), w(8, 9, 9);
  CHECK_THROWS_AS(neighbour_walk(cpu{.stop = [] { return true; }}, masks, w, {1}), stopped);
}

TEST_CASE("neighbour_walk rejects what it documents", "[walk][errors]")
{
  dilated_neighbours const near{1};
  grid<float, 3> masks(2, 4, 5), w(8, 4, 5);
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, w, {1, 2}), precondition_error, "weights are [8,4,5]");
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, grid<float, 3>(8, 5, 4), near), precondition_error,
                        "weights are [8,5,4]");
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, w, near, {-1}), precondition_error, "steps is -1");
  masks(1, 2, 3) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, w, near), precondition_error, "masks(1,2,3) is inf");
  masks(1, 2, 3) = 0;
  w(7, 0, 4) = -1;
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, w, near), precondition_error, "weight(7,0,4) is -1");
  w(7, 0, 4) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(neighbour_walk(cpu{}, masks, w, near), precondition_error, "weight(7,0,4) is nan");
  w(7, 0, 4) = 0;
  grid<float, 3> out(2, 4, 5), both(4, 4, 5);
  neighbour_walk_scratch<float> scratch(cpu{}, 2, 4, 5, near), other(cpu{}, 2, 4, 6, near), far(cpu{}, 2, 4, 5, {2});
  auto const into = [&](auto const& from, auto&& to, auto& with) {
    neighbour_walk_into(cpu{}, from, w, near, {1}, to, with);
  };
  into(masks, out, scratch);
  CAMBIUM_THROWS_SAYING(into(masks, out, other), precondition_error, "the scratch");
  CAMBIUM_THROWS_SAYING(into(masks, out, far), precondition_error, "the scratch");
  CAMBIUM_THROWS_SAYING(into(masks, grid<float, 3>(1, 4, 5), scratch), precondition_error, "out is [1,4,5]");
  auto first = both.view(), second = both.view();
  first.extent[0] = second.extent[0] = 2;
  second.data = &both(1, 0, 0);
  CAMBIUM_THROWS_SAYING(into(first, second, scratch), precondition_error, "overlap in part");
  CHECK(neighbour_walk(cpu{}, grid<float, 3>(2, 0, 5), grid<float, 3>(8, 0, 5), near).size() == 0);
}
