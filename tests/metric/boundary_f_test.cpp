#include <cambium/metric/boundary_f.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace cambium;

namespace {

using map = grid<std::int32_t, 2>;

map drawn(std::vector<std::string> const& rows)
{
  map out(rows.size(), rows[0].size());
  for (index_t y = 0; y < out.shape()[0]; ++y)
    for (index_t x = 0; x < out.shape()[1]; ++x) {
      char const c = rows[static_cast<std::size_t>(y)][static_cast<std::size_t>(x)];
      out(y, x) = c == '.' ? 0 : c == '?' ? 255 : c - '0';
    }
  return out;
}

map random_map(index_t H, index_t W, int classes, bool with_void, std::mt19937& bits)
{
  map out(H, W);
  for (auto& v : out.cells()) {
    v = static_cast<int>(bits() % static_cast<unsigned>(classes));
    if (with_void && bits() % 6 == 0) v = 255;
  }
  // larger pieces
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 1; x < W; ++x)
      if (bits() % 3 != 0) out(y, x) = y > 0 && bits() % 2 == 0 ? out(y - 1, x) : out(y, x - 1);
  return out;
}

struct place {
  int y, x;
};

/// Oracle: the outline of a class as a list, looking at every pair of cells named in the definition.
std::vector<place> outline_of(map const& m, int c)
{
  int const H = static_cast<int>(m.shape()[0]), W = static_cast<int>(m.shape()[1]);
  std::vector<place> out;
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      bool change = false;
      for (auto const& [dy, dx] : {std::pair{0, 1}, std::pair{1, 0}, std::pair{1, 1}})
        if (y + dy < H && x + dx < W) change = change || (m(y, x) == c) != (m(y + dy, x + dx) == c);
      if (change) out.push_back({y, x});
    }
  return out;
}

index_t near(std::vector<place> const& some, std::vector<place> const& others, double r)
{
  index_t n = 0;
  for (auto const& a : some) {
    double least = std::numeric_limits<double>::infinity();
    for (auto const& b : others) least = std::min(least, std::hypot(a.y - b.y, a.x - b.x));
    n += least <= r + 1e-9;
  }
  return n;
}

}  // namespace

TEST_CASE("outlines are compared cell by cell", "[metric][reference]")
{
  std::mt19937 bits(3);
  int const threads = GENERATE(1, 2, 3);
  for (int trial = 0; trial < 150; ++trial) {
    index_t const H = 1 + bits() % 14, W = 1 + bits() % 14;
    bool const with_void = bits() % 2 == 0;
    auto const predicted = random_map(H, W, 3, bits() % 4 == 0, bits), truth = random_map(H, W, 3, with_void, bits);
    double const tolerance = std::vector<double>{0, 0.0075, 0.1, 0.25, 1, 1.5, 2.3, 3, 100}[bits() % 9];
    double const r = tolerance >= 1 ? tolerance : std::ceil(tolerance * std::hypot(H, W));
    CAPTURE(H, W, tolerance, trial);
    auto const got = boundary_f(cpu{.threads = threads}, predicted, truth, 4, {.tolerance = tolerance});
    REQUIRE(got.size() == 4);
    for (int c = 0; c < 4; ++c) {
      auto mine = outline_of(predicted, c);
      auto const theirs = outline_of(truth, c);
      auto const truth_hits = near(theirs, mine, r);
      std::erase_if(mine, [&](place const& a) { return truth(a.y, a.x) == 255; });
      auto const& s = got[static_cast<std::size_t>(c)];
      bool in_predicted = false, in_truth = false;
      for (index_t i = 0; i < H * W; ++i) {
        in_truth |= truth.data()[i] == c;
        in_predicted |= predicted.data()[i] == c && truth.data()[i] != 255;
      }
      if (!in_predicted && !in_truth) {
        REQUIRE((std::isnan(s.f) && std::isnan(s.precision) && std::isnan(s.recall)));
        continue;
      }
      REQUIRE(s.truth == static_cast<index_t>(theirs.size()));
      REQUIRE(s.truth_hits == truth_hits);
      REQUIRE(s.predicted == static_cast<index_t>(mine.size()));
      REQUIRE(s.predicted_hits == near(mine, theirs, r));
      double const P = mine.empty() ? 1 : static_cast<double>(s.predicted_hits) / static_cast<double>(mine.size());
      double const R = theirs.empty() ? 1 : static_cast<double>(truth_hits) / static_cast<double>(theirs.size());
      REQUIRE(s.precision == Approx(P));
      REQUIRE(s.recall == Approx(R));
      REQUIRE(s.f == Approx(in_predicted && in_truth && P + R > 0 ? 2 * P * R / (P + R) : 0));
    }
  }
}

TEST_CASE("outlines, drawn", "[metric][picture]")
{
  auto const truth = drawn({"......", ".11...", ".11...", "......"});
  auto const moved = drawn({"......", "..11..", "..11..", "......"});
  auto const same = boundary_f(cpu{}, truth, truth, 2);
  CHECK((same[0].f == 1 && same[1].f == 1 && mean_f(same) == 1));
  // The square of 3 x 3 cells from the corner, without its middle.
  CHECK(same[1].truth == 8);
  auto const exact = boundary_f(cpu{}, moved, truth, 2, {.tolerance = 0});
  CHECK((exact[1].predicted == 8 && exact[1].predicted_hits == 4));
  CHECK(exact[1].f == Approx(0.5));
  CHECK(boundary_f(cpu{}, moved, truth, 2, {.tolerance = 1})[1].f == 1);
}

TEST_CASE("classes that are missing or everywhere", "[metric][property]")
{
  map const zeros(4, 5);
  map ones(4, 5);
  for (auto& v : ones.cells()) v = 1;
  auto const same = boundary_f(cpu{}, ones, ones, 3);
  CHECK((std::isnan(same[0].f) && same[1].f == 1 && std::isnan(same[2].f)));
  CHECK(mean_f(same) == 1);
  auto const other = boundary_f(cpu{}, zeros, ones, 2);
  CHECK((other[0].f == 0 && other[1].f == 0));
  auto const half = drawn({"..111", "..111", "..111", "..111"});
  CHECK((boundary_f(cpu{}, half, ones, 2)[1].precision == 0 && boundary_f(cpu{}, half, ones, 2)[1].recall == 1));
  CHECK((boundary_f(cpu{}, ones, half, 2)[1].precision == 1 && boundary_f(cpu{}, ones, half, 2)[1].recall == 0));
  CHECK(boundary_f(cpu{}, ones, half, 2)[1].f == 0);
  map nothing(3, 3);
  for (auto& v : nothing.cells()) v = 255;
  CHECK(std::isnan(mean_f(boundary_f(cpu{}, zeros, map(4, 5), 1, {.ignore = 0}))));
  CHECK(std::isnan(mean_f(boundary_f(cpu{}, nothing, nothing, 2))));
  CHECK(std::isnan(mean_f(boundary_f(cpu{}, map(0, 5), map(0, 5), 2))));
  CHECK(boundary_f(cpu{}, map(1, 1), map(1, 1), 1)[0].f == 1);
}

TEST_CASE("damaged input of boundary_f", "[metric][errors]")
{
  map good(2, 3), bad(2, 3);
  bad(1, 2) = 2;
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, bad, good, 2), precondition_error,
                        "boundary_f: predicted(1,2) is 2 but there are 2 classes");
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, good, bad, 2), precondition_error, "boundary_f: truth(1,2) is 2 but there");
  bad(1, 2) = -1;
  CHECK(boundary_f(cpu{}, good, bad, 2)[0].f >= 0);
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, bad, good, 2), precondition_error, "predicted(1,2) is -1");
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, good, map(3, 2), 2), precondition_error,
                        "predicted is [2,3] but truth is [3,2]");
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, good, good, 0), precondition_error, "boundary_f: 0 classes");
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, good, good, 2, {.tolerance = -1}), precondition_error, "tolerance is -1");
  CAMBIUM_THROWS_SAYING(boundary_f(cpu{}, good, good, 2, {.tolerance = std::nan("")}), precondition_error,
                        "tolerance is nan");
  CAMBIUM_THROWS_SAYING(boundary_iou(good, map(3, 2)), precondition_error, "boundary_iou: predicted is [2,3] but");
  CAMBIUM_THROWS_SAYING(boundary_iou(good, good, 1.5), precondition_error, "ratio is 1.5, outside [0,1]");
}

TEST_CASE("boundary overlap, cell by cell", "[metric][reference]")
{
  std::mt19937 bits(5);
  for (int trial = 0; trial < 300; ++trial) {
    int const H = 1 + static_cast<int>(bits() % 16), W = 1 + static_cast<int>(bits() % 16);
    auto const a = random_map(H, W, 2, false, bits), b = random_map(H, W, trial % 5 == 0 ? 1 : 2, false, bits);
    double const ratio = std::vector<double>{0, 0.02, 0.1, 0.2}[bits() % 4];
    int const d = std::max(1, static_cast<int>(std::nearbyint(ratio * std::hypot(H, W))));
    auto const band = [&](map const& m, int y, int x) {
      if (m(y, x) == 0) return false;
      for (int v = y - d; v <= y + d; ++v)
        for (int u = x - d; u <= x + d; ++u)
          if (v < 0 || v >= H || u < 0 || u >= W || m(v, u) == 0) return true;
      return false;
    };
    double both = 0, either = 0;
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) both += band(a, y, x) && band(b, y, x), either += band(a, y, x) || band(b, y, x);
    double const got = boundary_iou(a, b, ratio);
    if (either == 0)
      REQUIRE(std::isnan(got));
    else
      REQUIRE(got == both / either);
  }
  map large(30, 30);
  for (auto& v : large.cells()) v = 1;
  CHECK(boundary_iou(large, large) == 1);
}
