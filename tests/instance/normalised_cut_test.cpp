#include <cambium/instance/normalised_cut.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace cambium;
using support::drawn;
using support::picture;

namespace {

/// A symmetric relation of patches as masks: patches of one region are alike with one probability, others with another.
mask_set<> random_relation(grid<std::int32_t, 2> const& region, double within, double across, unsigned seed)
{
  std::mt19937 bits(seed);
  std::uniform_real_distribution<double> any(0, 1);
  index_t const H = region.shape()[0], W = region.shape()[1];
  grid<std::uint8_t, 3> cells(H * W, H, W);
  for (index_t i = 0; i < H * W; ++i)
    for (index_t j = 0; j <= i; ++j) {
      bool const same = region(i / W, i % W) == region(j / W, j % W);
      std::uint8_t const like = i == j || any(bits) < (same ? within : across) ? 1 : 0;
      cells(i, j / W, j % W) = cells(j, i / W, i % W) = like;
    }
  return pack_masks(cpu{}, cells);
}

/// Oracle: the definition as dense matrices, solved by Eigen.
struct dense_cut {
  Eigen::MatrixXd A;
  Eigen::VectorXd D, values;
  Eigen::MatrixXd vectors;

  dense_cut(mask_set<> const& alike, double eps)
  {
    auto const cells = unpack_masks(cpu{}, alike);
    auto const N = static_cast<Eigen::Index>(alike.size());
    A = Eigen::MatrixXd(N, N);
    for (Eigen::Index i = 0; i < N; ++i)
      for (Eigen::Index j = 0; j < N; ++j) A(i, j) = cells.cells()[static_cast<std::size_t>(i * N + j)] != 0 ? 1 : eps;
    D = A.rowwise().sum();
    Eigen::MatrixXd const L = Eigen::MatrixXd(D.asDiagonal()) - A;
    Eigen::GeneralizedSelfAdjointEigenSolver<Eigen::MatrixXd> const solved(L, Eigen::MatrixXd(D.asDiagonal()));
    values = solved.eigenvalues(), vectors = solved.eigenvectors();
  }
  double cost(std::vector<int> const& inside) const
  {
    double cut = 0, volume[2]{};
    for (Eigen::Index i = 0; i < A.rows(); ++i)
      for (Eigen::Index j = 0; j < A.rows(); ++j) {
        auto const a = inside[static_cast<std::size_t>(i)], b = inside[static_cast<std::size_t>(j)];
        volume[a] += A(i, j);
        if (a == 1 && b == 0) cut += A(i, j);
      }
    return volume[0] > 0 && volume[1] > 0 ? cut / volume[0] + cut / volume[1] : 2;
  }
};

grid<std::int32_t, 2> halves(index_t H, index_t W, index_t until)
{
  grid<std::int32_t, 2> out(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < until; ++x) out(y, x) = 1;
  return out;
}

}  // namespace

TEST_CASE("the mode is the second smallest generalised eigenvector", "[instance][reference]")
{
  struct shape {
    index_t H, W;
  };
  for (auto const& [H, W] : {shape{1, 2}, shape{1, 3}, shape{5, 7}, shape{8, 8}, shape{4, 17}, shape{3, 65}})
    for (double const eps : {1e-5, 0.05, 0.5})
      for (unsigned seed = 0; seed < 3; ++seed) {
        CAPTURE(H, W, eps, seed);
        auto const alike = random_relation(halves(H, W, (W + 1) / 2), 0.7, 0.1, seed);
        dense_cut const want(alike, eps);
        auto const have = normalised_cut(cpu{}, alike, {.eps = eps});
        CHECK(std::abs(have.value - want.values(1)) <= 1e-11);
        CHECK(have.settled);
        CHECK(have.residual <= 1e-11);
        Eigen::VectorXd v(want.D.size());
        for (Eigen::Index i = 0; i < v.size(); ++i) v(i) = have.vector.cells()[static_cast<std::size_t>(i)];
        CHECK(std::abs(v.dot(want.D.asDiagonal() * v) - 1) <= 1e-12);
        CHECK(std::abs(v.dot(want.D)) <= 1e-10 * want.D.norm());
        CHECK(v.maxCoeff() >= (1 - 1e-8) * v.cwiseAbs().maxCoeff());
        if (H * W > 2 && want.values(2) - want.values(1) > 1e-4)
          CHECK(std::abs(std::abs(v.dot(want.D.asDiagonal() * want.vectors.col(1))) - 1) <= 1e-12);
      }
}

TEST_CASE("two planted blocks are cut from each other", "[instance][picture]")
{
  auto const region = picture({".....#####..",  //
                               ".....#####..",  //
                               ".....#####..",  //
                               "............"});
  auto const alike = random_relation(region, 0.8, 0.1, 7);
  auto const found = choose_cut_object(cpu{}, normalised_cut(cpu{}, alike).vector);
  CHECK(drawn(found.side) == drawn(region));
  CHECK_FALSE(found.turned);
}

TEST_CASE("the cost of every division, and the bound", "[instance][reference]")
{
  for (unsigned seed = 0; seed < 4; ++seed) {
    CAPTURE(seed);
    auto const alike = random_relation(halves(3, 3, 1 + seed % 2), 0.8, 0.2, seed);
    dense_cut const want(alike, 0.01);
    double least = 2;
    for (unsigned set = 0; set < 512; ++set) {
      grid<std::uint8_t, 2> inside(3, 3);
      std::vector<int> of(9);
      for (unsigned i = 0; i < 9; ++i)
        of[i] = static_cast<int>(set >> i & 1), inside.cells()[i] = static_cast<std::uint8_t>(of[i] * 200);
      double const cost = cut_cost(cpu{}, alike, inside, 0.01);
      if (std::abs(cost - want.cost(of)) > 1e-14) FAIL_CHECK("set " << set << ": " << cost << " " << want.cost(of));
      least = std::min(least, cost);
    }
    auto const mode = normalised_cut(cpu{}, alike, {.eps = 0.01});
    CHECK(mode.value <= least + 1e-13);
    CHECK(mode.value > 0);
  }
}

TEST_CASE("the cut is the same for every number of threads", "[instance][property]")
{
  auto const alike = random_relation(halves(30, 41, 13), 0.3, 0.05, 11);
  auto const one = normalised_cut(cpu{.threads = 1}, alike);
  for (int const threads : {2, 3, 7}) {
    auto const more = normalised_cut(cpu{.threads = threads}, alike);
    CHECK(more.vector == one.vector);
    CHECK(more.value == one.value);
    CHECK(more.steps == one.steps);
  }
}

TEST_CASE("patches that nothing or everything joins are not cut", "[instance][property]")
{
  grid<std::uint8_t, 3> all(12, 3, 4), none(12, 3, 4), own(12, 3, 4);
  for (auto& v : all.cells()) v = 1;
  for (index_t i = 0; i < 12; ++i) own(i, i / 4, i % 4) = 1;
  for (auto const* cells : {&all, &none, &own}) {
    auto const alike = pack_masks(cpu{}, *cells);
    auto const mode = normalised_cut(cpu{}, alike);
    CHECK_FALSE(mode.cuts);
    CHECK(mode.settled);
    dense_cut const want(alike, 1e-5);
    CHECK(std::abs(mode.value - want.values(1)) <= 1e-12);
  }
  own(3, 1, 1) = own(5, 0, 3) = 1;  // a single pair
  CHECK(normalised_cut(cpu{}, pack_masks(cpu{}, own)).cuts);
  grid<std::uint8_t, 3> two(2, 1, 2);
  CHECK_FALSE(normalised_cut(cpu{}, pack_masks(cpu{}, two)).cuts);
  two(0, 0, 0) = two(1, 0, 1) = 1;
  CHECK(normalised_cut(cpu{}, pack_masks(cpu{}, two)).cuts);
}

TEST_CASE("the object's side of a cut", "[instance][picture]")
{
  auto const mode = [](std::vector<std::vector<double>> const& rows) {
    grid<double, 2> out(rows.size(), rows[0].size());
    for (std::size_t y = 0; y < rows.size(); ++y)
      for (std::size_t x = 0; x < rows[0].size(); ++x) out(y, x) = rows[y][x];
    return out;
  };
  auto const with_both_signs = [](grid<double, 2> v, int corners, support::rows const& side, index_t seed,
                                  bool turned) {
    for (int sign = 0; sign < 2; ++sign) {
      CAPTURE(sign);
      auto const found = choose_cut_object(cpu{}, v, corners);
      CHECK(drawn(found.side) == side);
      CHECK(found.seed == seed);
      CHECK(found.turned == turned);
      for (double& x : v.cells()) x = -x;
    }
  };
  // the mean is 0.25: 0.2 is outside, 0.3 inside
  with_both_signs(mode({{-0.5, 0.2, -0.5}, {0.3, 1.75, 0.25}}), 3, {"...", "11."}, 4, false);
  // the surest side holds three corners: it is background
  auto const three = mode({{3, 2, 3}, {3, -1, -2}});
  with_both_signs(three, 3, {"...", ".11"}, 5, true);
  with_both_signs(three, 4, {"111", "1.."}, 0, false);
  with_both_signs(mode({{3, 2.5, 3}, {3, -1, 3}}), 4, {"...", ".1."}, 4, true);
  with_both_signs(mode({{3, 2.5, 3}, {3, -1, 3}}), 5, {"111", "1.1"}, 0, false);
  // two corners are no background; equal values: the first
  with_both_signs(mode({{2, -1, 2}, {-1, -1, -1}}), 3, {"1.1", "..."}, 0, false);
  // the ends of a row are two corners each
  with_both_signs(mode({{2, -1, -1, 2}}), 3, {".11."}, 1, true);
}

TEST_CASE("normalised_cut names what it refuses, and can be stopped", "[instance][errors]")
{
  auto const alike = random_relation(halves(4, 5, 2), 0.8, 0.1, 1);
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, alike, {.eps = 0}), precondition_error, "normalised_cut: eps is 0");
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, alike, {.eps = std::numeric_limits<double>::quiet_NaN()}),
                        precondition_error, "eps is nan");
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, alike, {.tolerance = 0}), precondition_error, "tolerance is 0");
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, alike, {.steps = 0}), precondition_error, "steps is 0");
  auto const cells = unpack_masks(cpu{}, alike);
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, pack_masks(cpu{}, grid<std::uint8_t, 3>(19, 4, 5))), precondition_error,
                        "alike has 19 masks, but their image has 20 patches");
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, pack_masks(cpu{}, grid<std::uint8_t, 3>(1, 1, 1))), precondition_error,
                        "alike has 1 patches; expected 2 at least");
  auto one_sided = cells;
  one_sided(7, 3, 3) = one_sided(18, 1, 2) == 0 ? 1 : 0;  // patch 7 is (1,2), patch 18 is (3,3)
  CAMBIUM_THROWS_SAYING(normalised_cut(cpu{}, pack_masks(cpu{}, one_sided)), precondition_error,
                        "one of alike(18) and alike(7) has the other's patch");
  CAMBIUM_THROWS_SAYING(cut_cost(cpu{}, alike, grid<std::uint8_t, 2>(5, 4)), precondition_error,
                        "cut_cost: inside is [5,4] but alike is of 4 x 5");
  CAMBIUM_THROWS_SAYING(choose_cut_object(cpu{}, grid<double, 2>(2, 2), 6), precondition_error, "corners is 6");
  CAMBIUM_THROWS_SAYING(choose_cut_object(cpu{}, grid<double, 2>(0, 2)), precondition_error, "mode is [0,2]");
  grid<double, 2> bad(2, 2);
  bad(1, 0) = std::numeric_limits<double>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(choose_cut_object(cpu{}, bad), precondition_error, "choose_cut_object: mode(1,0) is nan");

  static int asked;
  asked = 0;
  CHECK_THROWS_AS(normalised_cut(cpu{.threads = 1, .stop = [] { return ++asked > 20; }}, alike), stopped);
}
