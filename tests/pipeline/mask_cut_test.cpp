#include <cambium/pipeline/mask_cut.hpp>

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

/// Features of a map of regions: each region has a direction of its own, with noise.
grid<float, 3> features_of(grid<std::int32_t, 2> const& region, double noise, unsigned seed)
{
  std::mt19937 bits(seed);
  std::normal_distribution<double> normal;
  index_t const H = region.shape()[0], W = region.shape()[1], D = 24;
  grid<double, 2> direction(40, D);
  for (double& v : direction.cells()) v = normal(bits);
  grid<float, 3> out(D, H, W);
  for (index_t k = 0; k < D; ++k)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        out(k, y, x) = static_cast<float>(direction(region(y, x), k) + noise * normal(bits));
  return out;
}

/// Oracle: the passes by dense matrices, with Eigen's solver, and a flood from the seed.
std::vector<Eigen::MatrixXi> dense_passes(grid<float, 3> const& features, double tau, int passes, int corners = 3,
                                          double repeats = 0.5, double smallest = 0.01)
{
  auto const D = static_cast<Eigen::Index>(features.shape()[0]), H = static_cast<Eigen::Index>(features.shape()[1]),
             W = static_cast<Eigen::Index>(features.shape()[2]), N = H * W;
  Eigen::MatrixXd F(D, N);
  for (Eigen::Index k = 0; k < D; ++k)
    for (Eigen::Index i = 0; i < N; ++i) F(k, i) = static_cast<double>(features(k, i / W, i % W));
  std::vector<Eigen::MatrixXi> out;
  Eigen::MatrixXi before = Eigen::MatrixXi::Zero(H, W), taken = before;
  for (int p = 0; p < passes; ++p) {
    Eigen::MatrixXd unit = F;
    for (Eigen::Index i = 0; i < N; ++i) unit.col(i) /= std::max(F.col(i).norm(), 1e-12);
    Eigen::MatrixXd A = unit.transpose() * unit;
    A = (A.array() > tau).select(Eigen::MatrixXd::Ones(N, N), Eigen::MatrixXd::Constant(N, N, 1e-5));
    Eigen::VectorXd const degree = A.rowwise().sum();
    Eigen::MatrixXd const diagonal = degree.asDiagonal();
    Eigen::VectorXd v =
        Eigen::GeneralizedSelfAdjointEigenSolver<Eigen::MatrixXd>(diagonal - A, diagonal).eigenvectors().col(1);
    double const most = v.cwiseAbs().maxCoeff();
    auto const largest = [&](Eigen::VectorXd const& of) {  // but for rounding
      Eigen::Index at = 0;
      while (of(at) < of.maxCoeff() - 1e-9 * most) ++at;
      return at;
    };
    Eigen::Index seed = largest(v.cwiseAbs());
    if (v(seed) < 0) v = -v;
    auto const inside = [&](Eigen::Index y, Eigen::Index x) { return v(y * W + x) > v.mean() ? 1 : 0; };
    if (inside(0, 0) + inside(0, W - 1) + inside(H - 1, 0) + inside(H - 1, W - 1) >= corners) {
      v = -v;
      seed = largest(v);
    }
    Eigen::MatrixXi part = Eigen::MatrixXi::Zero(H, W);
    std::vector<Eigen::Index> open{seed};
    while (!open.empty()) {
      auto const y = open.back() / W, x = open.back() % W;
      open.pop_back();
      if (part(y, x) != 0 || inside(y, x) == 0) continue;
      part(y, x) = 1;
      if (y > 0) open.push_back((y - 1) * W + x);
      if (x > 0) open.push_back(y * W + x - 1);
      if (y + 1 < H) open.push_back((y + 1) * W + x);
      if (x + 1 < W) open.push_back(y * W + x + 1);
    }
    if (p > 0) {
      double const both = part.cwiseProduct(before).sum(), any = (part + before).cwiseMin(1).sum();
      if (both / any > repeats || part.sum() <= smallest * static_cast<double>(N)) part.setZero();
    }
    before = part;
    out.push_back(part.cwiseProduct(Eigen::MatrixXi::Ones(H, W) - taken));
    taken = (taken + part).cwiseMin(1);
    for (Eigen::Index i = 0; i < N; ++i)
      if (taken(i / W, i % W) != 0) F.col(i).setZero();
  }
  return out;
}

auto const scene = picture({"..............",  //
                            "..111...22222.",  //
                            "..111...22222.",  //
                            "..111...22222.",  //
                            "..............",  //
                            "....3333......",  //
                            "....3333......",  //
                            ".............."});

}  // namespace

TEST_CASE("objects are cut out one after another", "[pipeline][picture]")
{
  auto const found = mask_cut(cpu{}, features_of(scene, 0.1, 3), {.tau = 0.5});
  auto const cells = unpack_masks(cpu{}, found.masks);
  grid<std::int32_t, 2> painted(8, 14);
  for (index_t p = 0; p < 3; ++p)
    for (std::size_t i = 0; i < painted.cells().size(); ++i) {
      auto const in = cells.cells()[static_cast<std::size_t>(p) * painted.cells().size() + i];
      if (in != 0) painted.cells()[i] = scene.cells()[i] != 0 ? scene.cells()[i] : 9;
    }
  CHECK(drawn(painted) == drawn(scene));
  for (auto const& pass : found.passes) {
    CHECK(pass.accepted);
    CHECK(pass.cost < 0.1);
  }
}

TEST_CASE("passes agree with dense matrices", "[pipeline][reference]")
{
  index_t masks = 0;
  for (unsigned seed = 0; seed < 12; ++seed)
    for (double const noise : {0.3, 0.8}) {
      CAPTURE(seed, noise);
      auto const f = features_of(scene, noise, seed);
      auto const want = dense_passes(f, 0.2, 4);
      for (int const threads : {1, 2}) {
        auto const have = unpack_masks(cpu{}, mask_cut(cpu{.threads = threads}, f, {.tau = 0.2, .passes = 4}).masks);
        for (index_t p = 0; p < 4; ++p) {
          CAPTURE(p);
          index_t wrong = 0;
          for (Eigen::Index y = 0; y < 8; ++y)
            for (Eigen::Index x = 0; x < 14; ++x) {
              wrong += have(p, y, x) != want[static_cast<std::size_t>(p)](y, x);
              masks += have(p, y, x);
            }
          CHECK(wrong == 0);
        }
      }
    }
  CHECK(masks > 1000);
}

TEST_CASE("corners, repeats and small passes agree with dense matrices in noise", "[pipeline][reference]")
{
  index_t turned = 0, rejected = 0, masks = 0;
  for (unsigned seed = 50; seed < 55; ++seed)
    for (double const noise : {1.5, 2.5})
      for (int const corners : {1, 3, 4})
        for (double const repeats : {0.1, 0.8}) {
          CAPTURE(seed, noise, corners, repeats);
          auto const f = features_of(scene, noise, seed);
          auto const want = dense_passes(f, 0.2, 4, corners, repeats, 0.04);
          auto const found =
              mask_cut(cpu{}, f, {.tau = 0.2, .passes = 4, .corners = corners, .repeats = repeats, .smallest = 0.04});
          auto const have = unpack_masks(cpu{}, found.masks);
          index_t wrong = 0;
          for (index_t p = 0; p < 4; ++p)
            for (Eigen::Index y = 0; y < 8; ++y)
              for (Eigen::Index x = 0; x < 14; ++x) {
                wrong += have(p, y, x) != want[static_cast<std::size_t>(p)](y, x);
                masks += have(p, y, x);
              }
          CHECK(wrong == 0);
          for (auto const& pass : found.passes) turned += pass.object.turned, rejected += !pass.accepted;
        }
  CHECK(turned > 20);
  CHECK(rejected > 20);
  CHECK(masks > 1000);
}

TEST_CASE("a pass that is too small is rejected", "[pipeline][property]")
{
  auto const f = features_of(scene, 0.1, 3);
  auto const areas = [&](mask_cut_options const& o) {
    auto const found = mask_cut(cpu{}, f, o);
    std::vector<index_t> out;
    for (std::size_t p = 0; p < found.passes.size(); ++p) {
      out.push_back(found.masks.masks(static_cast<index_t>(p)).area);
      CHECK(found.passes[p].accepted == (out.back() > 0));
    }
    return out;
  };
  CHECK(areas({.tau = 0.5}) == std::vector<index_t>{9, 15, 8});
  CHECK(areas({.tau = 0.5, .smallest = 0.075}) == std::vector<index_t>{9, 15, 0});  // of 112 patches
  CHECK(areas({.tau = 0.5, .smallest = 1}) == std::vector<index_t>{9, 0, 0});
  CHECK(areas({.tau = 0.5, .passes = 1, .smallest = 1}) == std::vector<index_t>{9});  // the first one is free
  CHECK(areas({.tau = 0.5, .passes = 1, .smallest_first = 0.08}) == std::vector<index_t>{9});
  CHECK(areas({.tau = 0.5, .passes = 1, .smallest_first = 0.081}) == std::vector<index_t>{0});
  CHECK(areas({.tau = 0.5, .smallest_first = 0.081}) == std::vector<index_t>{0, 9, 15});
}

TEST_CASE("features that are all equal, or all of one patch, give no object", "[pipeline][property]")
{
  grid<float, 3> same(5, 6, 7);
  for (float& v : same.cells()) v = 2;
  auto const none = mask_cut(cpu{}, same);
  CHECK(none.masks.size() == 3);
  for (index_t p = 0; p < 3; ++p) CHECK(none.masks.masks(p).area == 0);
  CHECK_FALSE(none.passes[0].accepted);
  for (auto& v : same.cells()) v = 0;  // no patch has a feature
  for (double const tau : {0.15, -0.5}) {
    auto const zero = mask_cut(cpu{}, same, {.tau = tau});
    for (index_t p = 0; p < 3; ++p) CHECK(zero.masks.masks(p).area == 0);
  }
}

TEST_CASE("a negative tau makes taken patches alike to all", "[pipeline][reference]")
{
  auto const f = features_of(scene, 0.2, 21);
  auto const want = dense_passes(f, -0.1, 2);
  auto const have = unpack_masks(cpu{}, mask_cut(cpu{}, f, {.tau = -0.1, .passes = 2}).masks);
  index_t wrong = 0, inside = 0;
  for (index_t p = 0; p < 2; ++p)
    for (Eigen::Index y = 0; y < 8; ++y)
      for (Eigen::Index x = 0; x < 14; ++x) {
        wrong += have(p, y, x) != want[static_cast<std::size_t>(p)](y, x);
        inside += have(p, y, x);
      }
  CHECK(wrong == 0);
  CHECK(inside > 0);
}

TEST_CASE("masks are disjoint, and the length of features does not matter", "[pipeline][property]")
{
  for (unsigned seed = 30; seed < 36; ++seed) {
    CAPTURE(seed);
    auto f = features_of(scene, 1.5, seed);
    auto const found = mask_cut(cpu{}, f, {.passes = 6});
    auto const cells = unpack_masks(cpu{}, found.masks);
    for (std::size_t i = 0; i < 112; ++i) {
      int in = 0;
      for (std::size_t p = 0; p < 6; ++p) in += cells.cells()[p * 112 + i];
      CHECK(in <= 1);
    }
    for (index_t k = 0; k < 24; ++k)
      for (index_t y = 0; y < 8; ++y)
        for (index_t x = 0; x < 14; ++x) f(k, y, x) *= static_cast<float>(1 << (y + x) % 7);
    CHECK(mask_cut(cpu{}, f, {.passes = 6}).masks == found.masks);
  }
}

TEST_CASE("mask_cut names what it refuses", "[pipeline][errors]")
{
  auto f = features_of(scene, 0.3, 1);
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, grid<float, 3>(5, 1, 1)), precondition_error,
                        "mask_cut: features are [5,1,1]; expected a feature and 2 patches at least");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, grid<float, 3>(0, 4, 4)), precondition_error, "mask_cut: features are [0,4,4]");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.passes = 0}), precondition_error, "passes is 0");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.corners = 0}), precondition_error, "corners is 0");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.repeats = -1}), precondition_error, "repeats is -1");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.smallest = 2}), precondition_error, "smallest is 2");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.smallest_first = 2}), precondition_error, "smallest_first is 2");
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f, {.cut = {.eps = 2}}), precondition_error, "eps is 2");
  f(3, 2, 1) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(mask_cut(cpu{}, f), precondition_error, "features(3,2,1) is nan");
}
