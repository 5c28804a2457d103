#include <cambium/walk/minimum_tree.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/kruskal_min_spanning_tree.hpp>

#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

using pair_of_pixels = std::pair<index_t, index_t>;

/// Boost's tree. Its weights are pairs of weight and number, so that ties are told apart.
std::set<pair_of_pixels> by_boost(grid<float, 3> const& guide)
{
  auto const [C, H, W] = guide.shape();
  using weight_t = std::pair<float, int>;
  using graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property,
                                      boost::property<boost::edge_weight_t, weight_t>>;
  graph g(static_cast<std::size_t>(H * W));
  int number = 0;
  for (bool const vertical : {true, false})
    for (index_t y = 0; y < (vertical ? H - 1 : H); ++y)
      for (index_t x = 0; x < (vertical ? W : W - 1); ++x) {
        float sum = 0;
        for (index_t c = 0; c < C; ++c) {
          float const step = guide(c, y, x) - (vertical ? guide(c, y + 1, x) : guide(c, y, x + 1));
          float const volatile square = step * step;  // rounded by itself
          sum += square;
        }
        auto const from = static_cast<std::size_t>(y * W + x);
        boost::add_edge(from, from + static_cast<std::size_t>(vertical ? W : 1), weight_t{sum + 1, number++}, g);
      }
  std::vector<graph::edge_descriptor> tree;
  boost::kruskal_minimum_spanning_tree(g, std::back_inserter(tree));
  std::set<pair_of_pixels> out;
  for (auto const& e : tree) out.insert({static_cast<index_t>(source(e, g)), static_cast<index_t>(target(e, g))});
  return out;
}

std::set<pair_of_pixels> edges_of(grid_tree const& tree)
{
  std::set<pair_of_pixels> out;
  for (index_t i = 1; i < tree.nodes(); ++i) {
    index_t const a = tree.order(i), b = tree.order(tree.parent(i));
    out.insert({std::min(a, b), std::max(a, b)});
  }
  return out;
}

}  // namespace

TEST_CASE("the tree is Boost's", "[walk][reference]")
{
  auto const [C, H, W] =
      GENERATE(table<int, int, int>({{3, 1, 1}, {3, 1, 9}, {3, 8, 1}, {3, 12, 17}, {1, 40, 33}, {8, 30, 30}}));
  int const kind = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(C, H, W, kind);
  auto guide = support::uniform<float, 3>({C, H, W}, 0, 1, 7);
  for (float& v : guide.cells()) {
    if (kind == 1) v = std::floor(4 * v);         // ties
    if (kind == 2) v = 0;                         // nothing but ties
    if (kind == 3) v = 3e-5f * v;                 // differences that the 1 swallows
    if (kind == 4) v = 0.1f * std::floor(6 * v);  // ties that a fused multiply-add would break
  }
  auto const tree = minimum_tree(cpu{.threads = 2}, guide);
  CHECK(edges_of(tree) == by_boost(guide));
  grid<double, 3> wide(C, H, W);
  std::copy(guide.cells().begin(), guide.cells().end(), wide.cells().begin());
  CHECK(minimum_tree(cpu{}, wide).order == tree.order);
}

TEST_CASE("nodes come after their parents", "[walk][property]")
{
  auto const guide = support::uniform<float, 3>({3, 25, 31}, 0, 255, 3);
  auto const tree = minimum_tree(cpu{}, guide);
  CHECK(tree.order(0) == 0);
  CHECK(tree.parent(0) == 0);
  std::set<std::int32_t> pixels;
  for (index_t i = 0; i < tree.nodes(); ++i) {
    pixels.insert(tree.order(i));
    CHECK(tree.place(tree.order(i)) == i);
    if (i == 0) continue;
    CHECK(tree.parent(i) < i);
    index_t const a = tree.order(i), b = tree.order(tree.parent(i));
    CHECK(std::abs(a / 31 - b / 31) + std::abs(a % 31 - b % 31) == 1);
  }
  CHECK(pixels.size() == 25 * 31);
  CHECK(*pixels.begin() == 0);
  CHECK(*pixels.rbegin() == 25 * 31 - 1);
}

TEST_CASE("the tree does not depend on threads or registers, and scratch may be larger", "[walk][property]")
{
  auto const guide = support::uniform<float, 3>({3, 130, 121}, 0, 1, 5),
             small = support::uniform<float, 3>({2, 5, 4}, 0, 1, 1);
  auto const tree = minimum_tree(cpu{.threads = 1}, guide);
  CHECK(minimum_tree(cpu{.threads = 3}, guide).parent == tree.parent);
  CHECK(minimum_tree(cpu{.threads = 2, .vectors = isa::baseline}, guide).order == tree.order);
  CHECK(minimum_tree(cpu{.threads = 2, .vectors = isa::avx2}, guide).order == tree.order);
  tree_scratch scratch;
  grid_tree out;
  minimum_tree_into(cpu{}, guide, out, scratch);
  minimum_tree_into(cpu{}, small, out, scratch);
  CHECK(edges_of(out) == by_boost(small));
}

TEST_CASE("a tree goes around an edge", "[walk][picture]")
{
  // two columns of 1 between columns of 0, open at the bottom
  grid<float, 3> guide(1, 3, 4);
  guide(0, 0, 1) = guide(0, 0, 2) = guide(0, 1, 1) = guide(0, 1, 2) = 1;
  auto const edges = edges_of(minimum_tree(cpu{}, guide));
  // vertical 0-4-8, 1-5, 2-6, 3-7-11 and 8-9-10-11 are free; 1-2 is free, 5-6 would close a ring; then the lowest number
  // of weight 1 is 5-9
  CHECK(edges == std::set<pair_of_pixels>{
                     {0, 4}, {4, 8}, {1, 5}, {2, 6}, {3, 7}, {7, 11}, {8, 9}, {9, 10}, {10, 11}, {1, 2}, {5, 9}});
}

TEST_CASE("a tree refuses what it cannot do", "[walk][errors]")
{
  grid<float, 3> guide(2, 3, 4);
  guide(1, 2, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(minimum_tree(cpu{}, guide), "minimum_tree: guide(1,2,0) is nan; expected a finite number");
  CHECK_THROWS_WITH(minimum_tree(cpu{}, grid<float, 3>(2, 0, 4)), "minimum_tree: the guide is [2,0,4], without a cell");
  grid<double, 3> wide(1, 2, 2);
  wide(0, 1, 1) = -1e300;
  CHECK_THROWS_WITH(minimum_tree(cpu{}, wide),
                    "minimum_tree: guide(0,1,1) is -1e+300; expected a number in the range of float");
  CHECK(edges_of(minimum_tree(cpu{}, grid<float, 3>(0, 2, 2))).size() == 3);
  cpu where{};
  where.stop = [] { return true; };
  CHECK_THROWS_AS(minimum_tree(where, grid<float, 3>(1, 2, 2)), stopped);
}
