#include <cambium/walk/tree_filter.hpp>
#include <cambium/walk/tree_slopes.hpp>

#include "support/catch.hpp"
#include "support/dense_tree.hpp"
#include "support/random.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

/// The sum of the filtered map times weights.
double loss_of(grid<double, 3> const& guide, grid<double, 3> const& feature, grid<double, 3> const& times,
               grid_tree const& tree, tree_filter_options const& o)
{
  auto const out = tree_filter(cpu{}, feature, tree, make_tree_weights(cpu{}, guide, tree, o));
  double sum = 0;
  for (std::size_t i = 0; i < out.cells().size(); ++i) sum += out.cells()[i] * times.cells()[i];
  return sum;
}

double slope_at(double& v, std::function<double()> const& loss)
{
  double const here = v, step = 1e-5;
  v = here + step;
  double const high = loss();
  v = here - step;
  double const low = loss();
  v = here;
  return (high - low) / (2 * step);
}

}  // namespace

TEMPLATE_TEST_CASE("the filter is the sum over all paths", "[walk][reference]", float, double)
{
  using T = TestType;
  auto const [C, Cg, H, W, groups] = GENERATE(table<int, int, int, int, int>(
      {{1, 1, 1, 1, 1}, {3, 3, 9, 7, 1}, {21, 3, 8, 11, 1}, {34, 4, 5, 6, 2}, {6, 6, 1, 13, 3}, {2, 3, 14, 1, 1}}));
  double const sigma = GENERATE(0.02, 1.0, 50.0);
  CAPTURE(C, Cg, H, W, groups, sigma);
  auto const guide = support::uniform<T, 3>({Cg, H, W}, 0, 1, 3), feature = support::uniform<T, 3>({C, H, W}, -2, 2, 4);
  tree_filter_options const o{.sigma = sigma, .groups = groups};
  auto const tree = minimum_tree(cpu{}, guide);
  auto const weights = make_tree_weights(cpu{.threads = 2}, guide, tree, o);
  auto const out = tree_filter(cpu{.threads = 2}, feature, tree, weights);
  support::dense_filter dense(guide, tree, o);
  CHECK(support::largest_gap(out.cells(), dense(feature).cells()) < (sizeof(T) == 4 ? 3e-6 : 1e-13));
  for (index_t g = 0; g < groups; ++g)
    for (index_t v = 0; v < H * W; ++v) {
      double all = 0;
      for (index_t j = 0; j < H * W; ++j) all += dense.at(g, v, j);
      CHECK(static_cast<double>(weights.inverse_divisor(g, tree.place(v))) ==
            Approx(1 / all).epsilon(sizeof(T) == 4 ? 1e-5 : 1e-12));
    }
}

TEST_CASE("going back through the filter gives slopes", "[walk][property]")
{
  auto const [C, Cg, groups] = GENERATE(table<int, int, int>({{3, 2, 1}, {12, 4, 2}}));
  CAPTURE(C, groups);
  index_t const H = 5, W = 6;
  tree_filter_options const o{.sigma = 0.3, .groups = groups};
  auto guide = support::uniform<double, 3>({Cg, H, W}, 0, 1, 3),
       feature = support::uniform<double, 3>({C, H, W}, -2, 2, 4);
  auto const times = support::uniform<double, 3>({C, H, W}, -1, 1, 5);
  auto const tree = minimum_tree(cpu{}, guide);  // constant: small steps of the guide must not change it
  auto const weights = make_tree_weights(cpu{}, guide, tree, o);
  auto const filtered = tree_filter(cpu{}, feature, tree, weights);
  auto const by_feature = tree_filter_back(cpu{.threads = 2}, times, tree, weights);
  auto const slopes = tree_filter_slopes(cpu{.threads = 2}, feature, filtered, times, tree, weights);
  CHECK(support::largest_gap(slopes.by_feature.cells(), by_feature.cells()) < 1e-13);
  auto const by_guide = tree_guide_slopes(cpu{.threads = 2}, guide, tree, weights, o, slopes.by_affinity);
  auto const loss = [&] { return loss_of(guide, feature, times, tree, o); };
  for (index_t i = 0; i < feature.size(); i += 7)
    CHECK(by_feature.data()[i] == Approx(slope_at(feature.data()[i], loss)).epsilon(1e-6).margin(1e-9));
  double largest = 0;
  for (index_t i = 0; i < guide.size(); ++i) {
    CHECK(by_guide.data()[i] == Approx(slope_at(guide.data()[i], loss)).epsilon(1e-5).margin(1e-9));
    largest = std::max(largest, std::abs(by_guide.data()[i]));
  }
  CHECK(largest > 0.05);
  for (index_t g = 0; g < groups; ++g) CHECK(slopes.by_affinity(g, 0) == 0);
}

TEST_CASE("a filter keeps constants and stops at edges", "[walk][picture]")
{
  grid<float, 3> guide(1, 4, 6), feature(2, 4, 6);
  for (index_t y = 0; y < 4; ++y)
    for (index_t x = 0; x < 6; ++x) {
      guide(0, y, x) = x < 3 ? 0.f : 100.f;
      feature(0, y, x) = static_cast<float>(x + 6 * y), feature(1, y, x) = 7;
    }
  auto const tree = minimum_tree(cpu{}, guide);
  auto const weights = make_tree_weights(cpu{}, guide, tree);
  auto const out = tree_filter(cpu{}, feature, tree, weights);
  for (index_t y = 0; y < 4; ++y)
    for (index_t x = 0; x < 6; ++x) {
      CHECK(out(0, y, x) == Approx(x < 3 ? 10 : 13));  // means of the halves
      CHECK(out(1, y, x) == Approx(7));
    }
  index_t cut = 0;
  for (index_t i = 1; i < 24; ++i) cut += weights.affinity(0, i) == 0;
  CHECK(cut == 1);
}

TEST_CASE("maps may be windows of larger ones", "[walk][property]")
{
  auto const wide = support::uniform<float, 3>({3, 9, 8}, 0, 1, 6);
  for (index_t const W : {1, 5}) {
    view<float const, 3> window = wide.view();
    window.data += 2, window.extent[2] = W;
    grid<float, 3> copy(3, 9, W);
    for (index_t c = 0; c < 3; ++c)
      for (index_t y = 0; y < 9; ++y)
        for (index_t x = 0; x < W; ++x) copy(c, y, x) = window(c, y, x);
    auto const tree = minimum_tree(cpu{}, copy);
    CHECK(minimum_tree(cpu{}, window).parent == tree.parent);
    auto const weights = make_tree_weights(cpu{}, copy, tree, {.sigma = 0.5});
    CHECK(make_tree_weights(cpu{}, window, tree, {.sigma = 0.5}).affinity == weights.affinity);
    CHECK(tree_filter(cpu{}, window, tree, weights) == tree_filter(cpu{}, copy, tree, weights));
  }
}

TEST_CASE("the filter does not depend on threads", "[walk][property]")
{
  auto const guide = support::uniform<float, 3>({3, 50, 70}, 0, 1, 1),
             feature = support::uniform<float, 3>({40, 50, 70}, 0, 1, 2);
  auto const tree = minimum_tree(cpu{}, guide);
  cpu const one{.threads = 1}, three{.threads = 3};
  auto const a = make_tree_weights(one, guide, tree), b = make_tree_weights(three, guide, tree);
  CHECK(a.affinity == b.affinity);
  CHECK(a.inverse_divisor == b.inverse_divisor);
  auto const out = tree_filter(one, feature, tree, a);
  CHECK(out == tree_filter(three, feature, tree, a));
  CHECK(tree_filter_back(one, feature, tree, a) == tree_filter_back(three, feature, tree, a));
  auto const x = tree_filter_slopes(one, feature, out, feature, tree, a),
             y = tree_filter_slopes(three, feature, out, feature, tree, a);
  CHECK(x.by_affinity == y.by_affinity);
  CHECK(x.by_feature == y.by_feature);
  // scratch that has been used for more gives the same
  tree_filter_scratch<float> scratch;
  grid<float, 3> large(40, 50, 70), small(3, 50, 70);
  tree_filter_into(one, feature, tree, a, large, scratch);
  tree_filter_into(one, guide, tree, a, small, scratch);
  CHECK(small == tree_filter(one, guide, tree, a));
}

TEST_CASE("the filter refuses what it cannot do", "[walk][errors]")
{
  auto const guide = support::uniform<float, 3>({3, 4, 5}, 0, 1, 1);
  auto const tree = minimum_tree(cpu{}, guide);
  auto const weights = make_tree_weights(cpu{}, guide, tree, {.groups = 3});
  grid<float, 3> feature(3, 4, 5), other(3, 5, 4), odd(4, 4, 5);
  CHECK_THROWS_WITH(make_tree_weights(cpu{}, other, tree),
                    "make_tree_weights: the tree is of an image [4,5], the map of one [5,4]");
  CHECK_THROWS_WITH(make_tree_weights(cpu{}, guide, tree, {.sigma = 0}),
                    "make_tree_weights: sigma is 0; expected a number above 0");
  CAMBIUM_THROWS_SAYING(make_tree_weights(cpu{}, guide, tree, {.sigma = 1e-42}), precondition_error,
                        "its inverse is beyond the largest number");
  CHECK_THROWS_WITH(make_tree_weights(cpu{}, grid<float, 3>(3, 0, 0), grid_tree{}),
                    "make_tree_weights: the tree has no node");
  CHECK_THROWS_WITH(make_tree_weights(cpu{}, guide, tree, {.groups = 2}),
                    "make_tree_weights: 3 channels of the guide cannot be divided into 2 groups");
  CHECK_THROWS_WITH(tree_filter(cpu{}, other, tree, weights),
                    "tree_filter: the tree is of an image [4,5], the map of one [5,4]");
  CHECK_THROWS_WITH(tree_filter(cpu{}, odd, tree, weights), "tree_filter: 4 channels cannot be divided into 3 groups");
  CHECK_THROWS_WITH(tree_filter(cpu{}, feature, tree, tree_weights<float>{}),
                    "tree_filter: the weights are of 0 nodes, the tree has 20");
  tree_filter_scratch<float> scratch;
  CHECK_THROWS_WITH(tree_filter_into(cpu{}, feature, tree, weights, feature, scratch),
                    "tree_filter: feature and out overlap");
  CHECK_THROWS_WITH(tree_filter_into(cpu{}, feature, tree, weights, odd, scratch),
                    "tree_filter: out is [4,4,5] but the feature is [3,4,5]");
  CHECK_THROWS_WITH(tree_filter_back_into(cpu{}, feature, tree, weights, feature, scratch),
                    "tree_filter_back: slope and out overlap");
  feature(2, 3, 4) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(tree_filter(cpu{}, feature, tree, weights),
                    "tree_filter: feature(2,3,4) is inf; expected a finite number");
  feature(2, 3, 4) = 0;
  CHECK_THROWS_WITH(tree_filter_slopes(cpu{}, feature, odd, feature, tree, weights),
                    "tree_filter_slopes: the feature is [3,4,5] but filtered is [4,4,5], the slope is [3,4,5] and "
                    "by_feature is [3,4,5]");
  grid<float, 2> edges(3, 20), few(1, 20);
  CHECK_THROWS_WITH(tree_guide_slopes(cpu{}, guide, tree, weights, {}, edges),
                    "tree_guide_slopes: groups is 1 but the weights have 3");
  CHECK_THROWS_WITH(tree_guide_slopes(cpu{}, guide, tree, weights, {.groups = 3}, few),
                    "tree_guide_slopes: by_affinity is [1,20] but the affinities are [3,20]");
  CHECK(tree_filter(cpu{}, grid<float, 3>(0, 4, 5), tree, weights).size() == 0);
}
