#include <cambium/activation/class_maps.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"
#include "support/stretch.hpp"

#include <cmath>

using namespace cambium;
using support::uniform;

TEMPLATE_LIST_TEST_CASE("class maps by definition", "[activation][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{9, 14}, {31, 20}, {4, 5}, {1, 1}}));
  int const h = 9, w = 7;
  auto const maps = uniform<double, 3>({4, h, w}, -2, 5, 3);
  auto const have = to::back(class_maps(support::with_threads<TestType>(2), to::there(maps), {H, W}, {3, 1, 3}));
  for (int c = 0; c < 4; ++c) {
    std::vector<double> u;
    for (int i = 0; i < H * W; ++i)
      u.push_back(oracle::stretched([&](int y, int x) { return std::max(0.0, maps(c, y, x)); }, h, w,
                                    static_cast<double>(H) / h, static_cast<double>(W) / w, i / W, i % W));
    double const most = *std::max_element(u.begin(), u.end());
    for (int i = 0; i < H * W; ++i)
      CHECK(std::abs(have(c, i / W, i % W) - (c % 2 == 1 ? u[static_cast<std::size_t>(i)] / (most + 1e-5) : 0)) <
            1e-12);
  }
}

TEMPLATE_LIST_TEST_CASE("a map and its mirror image turned back", "[activation][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> a(1, 1, 3), b(1, 1, 3);
  for (int i = 0; i < 3; ++i) a(0, 0, i) = static_cast<float>(i), b(0, 0, i) = static_cast<float>(10 * i);
  auto const mean = [&] { return to::back(mean_with_mirrored(TestType{}, to::there(a), to::there(b))); };
  CHECK(mean().cells() == cells_t<float>{10, 5.5f, 1});
  a(0, 0, 0) = b(0, 0, 2) = 3e38f;  // twice that is no float
  CHECK(mean()(0, 0, 0) == 3e38f);
}

TEST_CASE("class maps of nothing positive are 0, and refusals", "[activation][errors]")
{
  grid<float, 3> maps(2, 2, 2);
  maps(0, 0, 0) = -4;
  for (float const v : class_maps(cpu{}, maps, {5, 5}, {0, 1}).cells()) CHECK(v == 0);
  CHECK(class_maps(cpu{}, maps, {5, 5}, {}).size() == 50);
  CAMBIUM_THROWS_SAYING(class_maps(cpu{}, maps, {5, 5}, {2}), precondition_error, "class 2 is outside 0..1");
  CAMBIUM_THROWS_SAYING(class_maps(cpu{}, maps, {5, 5}, {-1}), precondition_error, "class -1 is outside");
  CAMBIUM_THROWS_SAYING(class_maps(cpu{}, maps, {0, 5}, {0}), precondition_error, "the image is 0 x 5");
  CAMBIUM_THROWS_SAYING(class_maps(cpu{}, grid<float, 3>(2, 0, 2), {5, 5}, {0}), precondition_error,
                        "maps are [2,0,2]");
  CAMBIUM_THROWS_SAYING(mean_with_mirrored(cpu{}, maps, grid<float, 3>(2, 2, 3)), precondition_error, "[2,2,3]");
  maps(1, 1, 0) = std::nanf("");
  CAMBIUM_THROWS_SAYING(class_maps(cpu{}, maps, {5, 5}, {0}), precondition_error, "maps(1,1,0) is nan");
}
