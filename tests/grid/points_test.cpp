#include "support/catch.hpp"

#include <cambium/grid/points.hpp>

#include <cmath>
#include <limits>

using namespace cambium;

TEST_CASE("a point lies on the nearest cell", "[grid][picture]")
{
  extent2 const map{3, 4};
  CHECK(cell_of({1, 2, 0}, map) == place{1, 2});
  CHECK(cell_of({1.4, 2.49, 0}, map) == place{1, 2});
  CHECK(cell_of({0.5, 2.5, 0}, map) == place{1, 3});
  CHECK(cell_of({-0.5, -0.3, 0}, map) == place{0, 0});
  CHECK(cell_of({2.9, 3.9, 0}, map) == place{2, 3});
  CHECK((lies_on({-0.5, -0.5, 0}, map) && lies_on({2.99, 3.99, 0}, map)));
  double const nan = std::numeric_limits<double>::quiet_NaN();
  for (point const& off :
       {point{-0.51, 0, 0}, point{0, -0.51, 0}, point{3, 0, 0}, point{0, 4, 0}, point{nan, 0, 0}, point{0, nan, 0}})
    CHECK_FALSE(lies_on(off, map));
}

TEST_CASE("points on one cell are one, with the highest score", "[grid][picture]")
{
  points const all{{1, 2, 0, 0.5}, {0.2, 0, 1, 0.9}, {1.2, 1.9, 0, 0.8},
                   {1, 2, 1, 0.3}, {1, 2, 0, 0.6},   {2.7, 3.7, 0, 1}};
  CHECK(points_on_cells(all, {3, 4}) == points{{1, 2, 0, 0.8}, {0, 0, 1, 0.9}, {1, 2, 1, 0.3}, {2, 3, 0, 1}});
  CHECK(points_on_cells({}, {3, 4}).empty());
}
