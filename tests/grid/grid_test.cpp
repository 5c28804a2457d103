#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>

using namespace cambium;

static_assert(!std::is_constructible_v<grid<float, 3>, int, int>);  // one extent an axis
static_assert(std::is_convertible_v<grid<float, 2>&, view<float, 2>>);
static_assert(std::is_convertible_v<grid<float, 2> const&, view<float const, 2>>);
static_assert(!std::is_convertible_v<grid<float, 2> const&, view<float, 2>>);

TEST_CASE("a grid is zero, dense and row-major", "[grid][reference]")
{
  grid<std::int32_t, 3> g(2, 3, 4);
  CHECK(g.size() == 24);
  CHECK(std::all_of(g.cells().begin(), g.cells().end(), [](int v) { return v == 0; }));
  CHECK(g.shape() == std::array<index_t, 3>{2, 3, 4});
  CHECK(g.view().contiguous());
  for (int i = 0; i < 24; ++i) g.cells()[static_cast<std::size_t>(i)] = i;
  auto const& readable = g;
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 4; ++x) REQUIRE(readable(c, y, x) == (c * 3 + y) * 4 + x);
  g(1, 2, 3) = -1;
  CHECK(g.data()[23] == -1);
  CHECK(readable.view().data == g.data());
}

TEST_CASE("a grid of nothing", "[grid][reference]")
{
  CHECK(grid<float, 2>().size() == 0);
  CHECK(grid<float, 2>().view().size() == 0);
  CHECK(grid<float, 3>(4, 0, 5).shape() == std::array<index_t, 3>{4, 0, 5});
  CHECK(grid<float, 3>(4, 0, 5).view().size() == 0);
}

TEST_CASE("grids are equal when shape and cells are", "[grid][property]")
{
  grid<float, 2> a(2, 3), b(3, 2), c(2, 3);
  CHECK(a == c);
  CHECK(!(a == b));  // as many cells, another shape
  c(1, 2) = 1;
  CHECK(!(a == c));
  grid<float, 2> const d = c;
  c(0, 0) = 5;  // a copy has its own cells
  CHECK(d(0, 0) == 0);
  auto const* const at = c.data();
  grid<float, 2> const e = std::move(c);
  CHECK(e.data() == at);  // a move takes them along
  CHECK(e(0, 0) == 5);
}

TEST_CASE("make_grid and grid_like give the shape asked for", "[grid][reference]")
{
  auto const a = make_grid<double>({3, 4, 5});
  static_assert(std::is_same_v<decltype(a), grid<double, 3> const>);
  CHECK(a.shape() == std::array<index_t, 3>{3, 4, 5});
  auto const b = grid_like<std::uint8_t, host>(a.view());
  static_assert(std::is_same_v<decltype(b), grid<std::uint8_t, 3> const>);
  CHECK(same_shape(a.view(), b.view()));
  CHECK(b.size() == 60);
}

TEST_CASE("cells are aligned to cache lines, large ones to large pages", "[grid][property]")
{
  for (index_t const n : {1, 3, 1000, (1 << 20) - 1}) {
    grid<float, 1> const g(n);
    CHECK(reinterpret_cast<std::uintptr_t>(g.data()) % 64 == 0);
  }
  grid<float, 1> const large = make_grid<float>({1 << 20});
  CHECK(reinterpret_cast<std::uintptr_t>(large.data()) % (2 << 20) == 0);
}

TEST_CASE("the allocator keeps a vector's promises", "[grid][property]")
{
  cells_t<int> v;
  for (int i = 0; i < 3000; ++i) v.push_back(i);  // grows through several blocks
  v.resize(5000, 7);
  cells_t<int> const w = v;
  CHECK(w[2999] == 2999);
  CHECK(w[4999] == 7);
  CHECK(cell_allocator<int>() == cell_allocator<int>(cell_allocator<double>()));
  CHECK_THROWS_AS(cell_allocator<double>().allocate(std::numeric_limits<std::size_t>::max() / 4),
                  std::bad_array_new_length);
}

TEST_CASE("cell_count is the product", "[grid][reference]")
{
  CHECK(cell_count({7}) == 7);
  CHECK(cell_count({2, 3, 5, 7}) == 210);
  CHECK(cell_count({1 << 20, 1 << 20}) == index_t{1} << 40);
  CHECK(cell_count({0, 5}) == 0);
  index_t const most = std::numeric_limits<index_t>::max();
  CHECK(cell_count({most, most, 0}) == 0);  // nothing is nothing, however wide
  CHECK(cell_count({most / 16}) == most / 16);
}

TEST_CASE("cell_count rejects what it documents", "[grid][errors]")
{
  index_t const most = std::numeric_limits<index_t>::max();
  CAMBIUM_THROWS_SAYING(cell_count({3, -1}), precondition_error, "grid: extent -1 is negative");
  CAMBIUM_THROWS_SAYING(cell_count({0, -7}), precondition_error, "extent -7");  // even where there is nothing
  CAMBIUM_THROWS_SAYING((grid<float, 2>(-2, 3)), precondition_error, "extent -2");
  CAMBIUM_THROWS_SAYING(cell_count({most, most}), precondition_error, "too many cells");
  CAMBIUM_THROWS_SAYING(cell_count({most / 16 + 1}), precondition_error, "too many cells");
  CAMBIUM_THROWS_SAYING(cell_count({1 << 21, 1 << 21, 1 << 20}), precondition_error, "too many cells");
  CAMBIUM_THROWS_SAYING(cell_count({2, index_t{1} << 62}), precondition_error, "too many cells");
  CAMBIUM_THROWS_SAYING((make_grid<double>({most / 8, 2})), precondition_error, "too many cells");
}

TEST_CASE("a grid of nothing may be as wide as it likes", "[grid][errors]")
{
  // The product of the other extents does not fit, and is not asked for.
  index_t const wide = index_t{1} << 40;
  CHECK(make_grid<float>({0, wide, wide}).view().size() == 0);
  CHECK(make_grid<float>({wide, wide, 0}).view().size() == 0);
}
