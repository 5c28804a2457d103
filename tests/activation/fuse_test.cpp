#include <cambium/activation/fuse.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"
#include "support/stretch.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

/// Maps and what they are views of. `sizes`: height, width, mirrored.
template <class T>
struct scales {
  struct size {
    int h, w;
    bool mirrored;
  };
  std::deque<grid<T, 3>> owned;
  std::vector<scaled_maps<T>> maps;

  scales(int C, std::vector<size> const& sizes, double low = -1)
  {
    for (auto const& s : sizes) {
      owned.push_back(support::uniform<T, 3>({C, s.h, s.w}, low, 1, 3 + owned.size()));
      maps.push_back({std::as_const(owned.back()).view(), s.mirrored});
    }
  }

  /// The sum over scales of one output cell; a mirrored map is turned round before it is stretched.
  double sum(int c, int y, int x, extent2 resized) const
  {
    double all = 0;
    for (auto const& m : maps) {
      int const h = static_cast<int>(m.maps.extent[1]), w = static_cast<int>(m.maps.extent[2]);
      auto const turned = [&](int i, int j) { return m.maps(c, i, m.mirrored ? w - 1 - j : j); };
      all += oracle::stretched(turned, h, w, static_cast<double>(resized.height) / h,
                               static_cast<double>(resized.width) / w, y, x);
    }
    return all;
  }
};

/// What P makes of maps of the host.
template <class P, class T>
grid<T, 3> fused(P const& where, std::vector<scaled_maps<T>> const& maps, extent2 resized, extent2 size = {-1, -1})
{
  using S = typename P::memory;
  std::deque<grid<T, 3, S>> owned;
  std::vector<scaled_maps<T, S>> there;
  for (auto const& m : maps) {
    grid<T, 3> dense(m.maps.extent[0], m.maps.extent[1], m.maps.extent[2]);
    copy(cpu{}, m.maps, dense.view());
    owned.push_back(support::copied<P>(dense));
    there.push_back({std::as_const(owned.back()).view(), m.mirrored});
  }
  return support::carry<P>::back(fuse(where, there, resized, size));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("fuse equals a sum of tents", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const kind = GENERATE(0, 1, 2, 3, 4, 5);
  auto const resized = GENERATE(extent2{1, 1}, extent2{8, 12}, extent2{21, 10}, extent2{3, 2});
  auto const cut = GENERATE(0, 1, 2);  // wanted less than resized
  CAPTURE(kind, resized.height, resized.width, cut);
  auto const check = [&](auto zero, double rounding) {
    using T = decltype(zero);
    using sizes = std::vector<typename scales<T>::size>;
    scales<T> const s(2, std::vector<sizes>{{{1, 1, false}},
                                            {{4, 6, false}},
                                            {{4, 6, true}},
                                            {{1, 7, true}, {9, 1, true}},
                                            {{4, 5, false}, {4, 5, true}, {8, 10, false}, {8, 10, true}},
                                            {{30, 40, true}, {2, 3, false}}}[static_cast<std::size_t>(kind)]);
    extent2 const size{std::max<index_t>(1, resized.height - cut), std::max<index_t>(1, resized.width - 2 * cut)};
    auto const have = cut == 0 ? fused(TestType{}, s.maps, resized) : fused(TestType{}, s.maps, resized, size);
    REQUIRE(have.shape() == std::array<index_t, 3>{2, size.height, size.width});
    for (int c = 0; c < 2; ++c)
      for (int y = 0; y < size.height; ++y)
        for (int x = 0; x < size.width; ++x) REQUIRE(have(c, y, x) == Approx(s.sum(c, y, x, resized)).margin(rounding));
    for (int const threads : {1, 3})
      CHECK(fused(support::with_threads<TestType>(threads), s.maps, resized, size) == have);
  };
  check(0.f, 1e-5);
  check(0., 1e-12);
}

TEMPLATE_LIST_TEST_CASE("fuse keeps constants, and a map of the wanted size", "[activation][property]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  scales<float> const one(3, {{7, 5, false}});
  CHECK(fused(TestType{}, one.maps, {7, 5}) == one.owned[0]);
  scales<float> flat(1, {{3, 4, false}, {5, 2, true}});
  for (auto& map : flat.owned)
    for (auto& v : map.cells()) v = 0.1f;
  auto const sum = fused(TestType{}, flat.maps, {13, 17});
  for (float const v : sum.cells()) CHECK(v == 0.2f);
}

TEMPLATE_LIST_TEST_CASE("fuse keeps constants to the last bit", "[activation][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const check = [](auto zero) {
    using T = decltype(zero);
    auto const random = support::uniform<T, 1>({4}, 1e-3, 30, 5);
    for (index_t const h : {1, 2, 3, 5, 9})
      for (index_t const w : {1, 3, 4, 5, 8, 13})
        for (extent2 const size : {extent2{1, 1}, extent2{7, 5}, extent2{13, 33}, extent2{40, 29}})
          for (T const constant : {T(0.1), -random.cells()[0], random.cells()[1], random.cells()[2]}) {
            grid<T, 3> flat(1, h, w);
            std::fill(flat.cells().begin(), flat.cells().end(), constant);
            CAPTURE(h, w, size.height, size.width, constant);
            auto const out = fused(TestType{}, std::vector<scaled_maps<T>>{{flat.view(), w % 2 == 0}}, size);
            REQUIRE(out.size() == size.height * size.width);
            REQUIRE(std::count(out.cells().begin(), out.cells().end(), constant) == out.size());
          }
  };
  check(0.f);
  check(0.);
}

TEMPLATE_LIST_TEST_CASE("a constant part of a map stays constant when it is enlarged", "[activation][property]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // The left half of each row is one number, and so are the lower rows.
  auto map = support::uniform<float, 3>({1, 6, 11}, 0, 1, 8);
  for (index_t y = 0; y < 6; ++y)
    for (index_t x = 0; x < 11; ++x)
      if (x < 6 || y >= 3) map(0, y, x) = 0.7f;
  auto const out = fused(TestType{}, std::vector<scaled_maps<float>>{{map.view(), false}}, {41, 83});
  for (index_t y = 0; y < 41; ++y)
    for (index_t x = 0; x < 83; ++x)
      if (x < 83 * 5 / 11 || y > 41 * 4 / 6) REQUIRE(out(0, y, x) == 0.7f);
}

TEST_CASE("fuse reads rows and channels with gaps", "[activation][property]")
{
  scales<float> const wide(3, {{6, 9, true}, {4, 4, false}});
  auto windows = wide.maps;
  scales<float> dense(3, {{5, 7, true}, {2, 3, false}});
  for (std::size_t i = 0; i < 2; ++i) {
    auto& v = windows[i].maps;
    v.extent[1] = dense.owned[i].shape()[1], v.extent[2] = dense.owned[i].shape()[2];
    for (index_t c = 0; c < 3; ++c)
      for (index_t y = 0; y < v.extent[1]; ++y)
        for (index_t x = 0; x < v.extent[2]; ++x) dense.owned[i](c, y, x) = v(c, y, x);
  }
  CHECK(fuse(cpu{}, windows, {11, 13}) == fuse(cpu{}, dense.maps, {11, 13}));
}

TEMPLATE_LIST_TEST_CASE("a row stretched to twice its length, and its mirror image", "[activation][picture]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<double, 3> row(1, 1, 2);
  row(0, 0, 0) = 4;
  auto const straight = fused(TestType{}, std::vector<scaled_maps<double>>{{row.view(), false}}, {1, 4});
  auto const turned = fused(TestType{}, std::vector<scaled_maps<double>>{{row.view(), true}}, {1, 4}, {1, 3});
  double const want[] = {4, 3, 1, 0};
  for (int x = 0; x < 4; ++x) CHECK(straight(0, 0, x) == want[x]);
  for (int x = 0; x < 3; ++x) CHECK(turned(0, 0, x) == want[3 - x]);
}

TEST_CASE("fuse rejects what it documents", "[activation][errors]")
{
  scales<float> s(2, {{3, 4, false}, {5, 6, true}});
  CAMBIUM_THROWS_SAYING(fuse<float>(cpu{}, {}, {4, 4}), precondition_error, "no maps");
  for (extent2 const size : {extent2{5, 4}, extent2{4, 5}, extent2{-2, 4}, extent2{4, -1}})
    CAMBIUM_THROWS_SAYING(fuse(cpu{}, s.maps, {4, 4}, size), precondition_error, "cells are wanted of 4 x 4");
  CAMBIUM_THROWS_SAYING(fuse(cpu{}, s.maps, {-3, 4}), precondition_error, "wanted of -3 x 4");
  s.owned[1](1, 4, 5) = std::nanf("");
  CAMBIUM_THROWS_SAYING(fuse(cpu{}, s.maps, {4, 4}), precondition_error, "maps(1,4,5) is nan");
  scales<float> const other(3, {{3, 4, false}});
  CAMBIUM_THROWS_SAYING(fuse<float>(cpu{}, {s.maps[0], other.maps[0]}, {4, 4}), precondition_error,
                        "maps of 2 and of 3 channels");
  for (auto const& none : {grid<float, 3>(2, 0, 4), grid<float, 3>(2, 4, 0)}) {
    CAMBIUM_THROWS_SAYING(fuse<float>(cpu{}, {{none.view(), false}}, {4, 4}), precondition_error,
                          "a map is empty: [2,");
    CAMBIUM_THROWS_SAYING(make_cams<float>(cpu{}, {{none.view(), false}}, {4, 4}, std::vector<int>{0, 1}),
                          precondition_error, "a map is empty");
  }
}

TEMPLATE_LIST_TEST_CASE("fuse: no cell is wanted", "[activation][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  scales<float> const s(2, {{3, 4, false}, {5, 6, true}});
  for (extent2 const size : {extent2{0, 3}, extent2{3, 0}, extent2{0, 0}})
    CHECK(fused(TestType{}, s.maps, {4, 4}, size).shape() == std::array<index_t, 3>{2, size.height, size.width});
  CHECK(fused(TestType{}, s.maps, {0, 0}).size() == 0);
  scales<float> const none(0, {{3, 4, false}});
  CHECK(fused(TestType{}, none.maps, {4, 4}).shape() == std::array<index_t, 3>{0, 4, 4});
}

TEMPLATE_LIST_TEST_CASE("make_cams equals fuse and a division, for the classes present", "[activation][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const image = GENERATE(extent2{1, 1}, extent2{16, 17}, extent2{33, 20});
  CAPTURE(image.height, image.width);
  scales<double> const s(4, {{3, 4, false}, {3, 4, true}, {6, 7, false}}, 0);
  using S = typename TestType::memory;
  std::deque<grid<double, 3, S>> owned;
  std::vector<scaled_maps<double, S>> there;
  for (std::size_t i = 0; i < s.maps.size(); ++i) {
    owned.push_back(support::copied<TestType>(s.owned[i]));
    there.push_back({std::as_const(owned.back()).view(), s.maps[i].mirrored});
  }
  auto const have = make_cams(TestType{}, there, image, std::vector<float>{0, 1, 0, 0.5f});
  CHECK(have.keys == std::vector<std::int32_t>{1, 3});
  // Strided: every fourth pixel. Full: stretched to whole blocks of 16, then cut.
  auto const check = [&](grid<double, 3> const& maps, int h, int w, extent2 resized) {
    REQUIRE(maps.shape() == std::array<index_t, 3>{2, h, w});
    for (int k = 0; k < 2; ++k) {
      double most = -1e300;
      for (int i = 0; i < h * w; ++i) most = std::max(most, s.sum(2 * k + 1, i / w, i % w, resized));
      for (int i = 0; i < h * w; ++i)
        REQUIRE(maps(k, i / w, i % w) == Approx(s.sum(2 * k + 1, i / w, i % w, resized) / (most + 1e-5)).margin(1e-12));
    }
  };
  int const H = static_cast<int>(image.height), W = static_cast<int>(image.width);
  extent2 const quarter{(H + 3) / 4, (W + 3) / 4};
  check(to::back(have.strided), (H + 3) / 4, (W + 3) / 4, quarter);
  check(to::back(have.full), H, W, {16 * ((H + 15) / 16), 16 * ((W + 15) / 16)});
}

TEMPLATE_LIST_TEST_CASE("make_cams of an image without a class", "[activation][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  scales<float> const s(2, {{3, 4, false}});
  auto const there = support::copied<TestType>(s.owned[0]);
  std::vector<scaled_maps<float, typename TestType::memory>> const maps{{there.view(), false}};
  auto const none = make_cams(TestType{}, maps, {9, 10}, std::vector<bool>{false, false});
  CHECK(none.keys.empty());
  CHECK(to::back(none.strided).shape() == std::array<index_t, 3>{0, 3, 3});
  CHECK(to::back(none.full).shape() == std::array<index_t, 3>{0, 9, 10});
}

TEST_CASE("make_cams rejects what it documents", "[activation][errors]")
{
  scales<float> s(2, {{3, 4, false}});
  CAMBIUM_THROWS_SAYING(make_cams<float>(cpu{}, {}, {9, 9}, std::vector<int>{1, 1}), precondition_error, "no maps");
  CAMBIUM_THROWS_SAYING(make_cams(cpu{}, s.maps, {0, 9}, std::vector<int>{1, 1}), precondition_error, "image of 0 x 9");
  CAMBIUM_THROWS_SAYING(make_cams(cpu{}, s.maps, {9, 9}, std::vector<int>{1, 1, 0}), precondition_error,
                        "maps are [2,3,4] but there are 3 labels");
  s.owned[0].cells().back() = HUGE_VALF;
  CAMBIUM_THROWS_SAYING(make_cams(cpu{}, s.maps, {9, 9}, std::vector<int>{0, 1}), precondition_error,
                        "make_cams: channel 1 of maps(2,3) is inf");
}
