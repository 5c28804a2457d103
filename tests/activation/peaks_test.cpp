#include <cambium/activation/peaks.hpp>
#include <cambium/activation/smooth.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>

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

}  // namespace

TEST_CASE("peaks by falling score", "[activation][picture]")
{
  auto const map = one_channel({
      "2......",
      "...9...",
      ".......",
      "......5",
  });
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}, {0, 0, 0, 2}});
  CHECK(extract_peaks(cpu{}, map, {.kernel = 7}) == points{{1, 3, 0, 9}});
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3, .most = 2}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}});
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3, .threshold = 5}) == points{{1, 3, 0, 9}, {3, 6, 0, 5}});
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3, .threshold = -1}).size() == 3);  // zeros are never peaks
}

TEST_CASE("a plateau is as many peaks as it has cells, or one", "[activation][picture]")
{
  auto const map = one_channel({
      "44....",
      "44..3.",
      "...333",
      "....3.",
  });
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3}).size() == 9);
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3, .plateaus = plateau::one_cell}) == points{{0, 0, 0, 4}, {2, 4, 0, 3}});
  CHECK(extract_peaks(cpu{}, map, {.kernel = 3, .most = 2}) == points{{0, 0, 0, 4}, {0, 1, 0, 4}});
  // (0,3) and (1,2) are equally near to the mean of 7 cells, (3/7, 16/7): the first one.
  CHECK(extract_peaks(cpu{}, one_channel({"11.11", "..111"}), {.kernel = 3, .plateaus = plateau::one_cell}) ==
        points{{0, 3, 0, 1}});
}

TEST_CASE("a float meets the threshold in double", "[activation][picture]")
{
  grid<float, 3> map(2, 1, 1);
  map(0, 0, 0) = 0.3f, map(1, 0, 0) = 0.7f;
  CHECK(extract_peaks(cpu{}, map, {.kernel = 1, .threshold = 0.3}).size() == 2);  // 0.30000001
  CHECK(extract_peaks(cpu{}, map, {.kernel = 1, .threshold = 0.7}).empty());      // 0.69999999
}

TEST_CASE("peaks equal a look at every window", "[activation][reference]")
{
  int const kernel = GENERATE(1, 3, 5, 15);
  index_t const most = GENERATE(3, 1000);
  auto maps = uniform<float, 3>({4, 20, 23}, -3, 8, 12);
  for (auto& v : maps.cells()) v = std::round(4 * v) / 4;
  auto const found = extract_peaks(cpu{.threads = 2}, maps, {.kernel = kernel, .most = most, .threshold = 1.25});
  auto const keep = local_maxima(cpu{}, maps, kernel);
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
    CHECK(extract_peaks(cpu{}, none).empty());
    CHECK(smooth(cpu{}, none).shape() == shape);
    CHECK(local_maxima(cpu{}, none, 3).shape() == shape);
  }
  grid<float, 3> maps(1, 2, 2);
  CHECK(extract_peaks(cpu{}, maps).empty());
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
