#include <cambium/activation/peak_attention.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::uniform;

TEMPLATE_LIST_TEST_CASE("what is near the maximum of its channel stays", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> maps(2, 1, 5);
  float const first[] = {10, 7, 6.9f, -3, 0}, second[] = {-1, -2, -3, -1, -5};
  std::copy(first, first + 5, &maps(0, 0, 0));
  std::copy(second, second + 5, &maps(1, 0, 0));
  auto const of = [&](double alpha) { return to::back(peak_attention(TestType{}, to::there(maps), {alpha})); };
  auto const half = of(0.5);
  CHECK(half.cells() == cells_t<float>{10, 7, 6.9f, 0, 0, 0, 0, 0, 0, 0});
  auto const none = of(0);
  CHECK(none.cells() == cells_t<float>{10, 7, 6.9f, 0, 0, 0, 0, 0, 0, 0});
  auto const all = of(1);
  CHECK(all.cells() == cells_t<float>{10, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEMPLATE_LIST_TEST_CASE("the cut is rounded as the original's", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // A cell stays when it equals the float product; one float below it goes.
  for (double const alpha : {0.5, 0.7, 0.9}) {
    auto const most = uniform<float, 1>({200}, 0.1, 9, 7);
    for (float const m : most.cells()) {
      float const volatile a = static_cast<float>(alpha);
      float const volatile cut = m * a;
      grid<float, 3> maps(1, 1, 3);
      maps(0, 0, 0) = m, maps(0, 0, 1) = cut, maps(0, 0, 2) = std::nextafter(static_cast<float>(cut), 0.f);
      auto const y = to::back(peak_attention(TestType{}, to::there(maps), {.alpha = alpha}));
      REQUIRE(y(0, 0, 1) == cut);
      REQUIRE(y(0, 0, 2) == 0);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("attention and its gradient by definition", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const check = [](auto zero) {
    using T = decltype(zero);
    auto const maps = uniform<T, 3>({5, 7, 9}, -2, 3, 3), down = uniform<T, 3>({5, 7, 9}, -1, 1, 4);
    auto const y = to::back(peak_attention(support::with_threads<TestType>(2), to::there(maps)));
    auto const g = to::back(peak_attention_gradient(TestType{}, to::there(maps), to::there(down)));
    for (int c = 0; c < 5; ++c) {
      T most = 0;
      for (int i = 0; i < 63; ++i) most = std::max(most, maps(c, i / 9, i % 9));
      int kept = 0;
      for (int i = 0; i < 63; ++i) {
        T const v = maps(c, i / 9, i % 9);
        bool const stays = v > 0 && v >= most * static_cast<T>(0.7);
        kept += stays;
        CHECK(y(c, i / 9, i % 9) == (stays ? v : 0));
        CHECK(g(c, i / 9, i % 9) == (stays ? down(c, i / 9, i % 9) : 0));
      }
      CHECK(kept >= 1);
      CHECK(kept < 63);
    }
  };
  check(0.f);
  check(0.);
}

TEST_CASE("the gradient is that of a small step", "[activation][property]")
{
  auto maps = uniform<double, 3>({2, 4, 5}, -2, 3, 8);
  auto const down = uniform<double, 3>({2, 4, 5}, -1, 1, 9);
  auto const g = peak_attention_gradient(cpu{}, maps, down);
  auto const loss = [&] {
    double sum = 0;
    auto const y = peak_attention(cpu{}, maps);
    for (std::size_t i = 0; i < y.cells().size(); ++i) sum += y.cells()[i] * down.cells()[i];
    return sum;
  };
  for (std::size_t i = 0; i < maps.cells().size(); ++i) {
    double const was = maps.cells()[i], h = 1e-7;
    maps.cells()[i] = was + h;
    double const up = loss();
    maps.cells()[i] = was - h;
    double const slope = (up - loss()) / (2 * h);
    maps.cells()[i] = was;
    CHECK(std::abs(slope - g.cells()[i]) < 1e-6);
  }
}

TEST_CASE("nothing attends to nothing", "[activation][errors]")
{
  for (auto const& shape : {std::array<index_t, 3>{0, 3, 3}, {2, 0, 3}, {2, 3, 0}}) {
    grid<float, 3> const none(shape[0], shape[1], shape[2]);
    CHECK(peak_attention(cpu{}, none).shape() == shape);
    CHECK(peak_attention_gradient(cpu{}, none, none).shape() == shape);
  }
  grid<float, 3> maps(1, 1, 2);
  for (double const bad : {-0.1, 1.5, std::nan("")})
    CAMBIUM_THROWS_SAYING(peak_attention(cpu{}, maps, {.alpha = bad}), precondition_error, "peak_attention: alpha is");
  CAMBIUM_THROWS_SAYING(peak_attention_gradient(cpu{}, maps, grid<float, 3>(1, 2, 1)), precondition_error,
                        "maps are [1,1,2] but the gradient is [1,2,1]");
  maps(0, 0, 1) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(peak_attention(cpu{}, maps), precondition_error, "maps(0,0,1) is inf");
  CAMBIUM_THROWS_SAYING(peak_attention_gradient(cpu{}, grid<float, 3>(1, 1, 2), maps), precondition_error,
                        "gradient(0,0,1) is inf");
}
