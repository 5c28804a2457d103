#include <cambium/grid/view.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

using namespace cambium;

static_assert(std::is_trivially_copyable_v<view<float, 4>> && std::is_trivially_copyable_v<view<int const, 1, device>>);

// Writable becomes readable, never the other way round; the memory space and the cell type never change.
static_assert(std::is_convertible_v<view<float, 2>, view<float const, 2>>);
static_assert(!std::is_constructible_v<view<float, 2>, view<float const, 2>>);
static_assert(!std::is_constructible_v<view<float const, 2>, view<double, 2>>);
static_assert(!std::is_constructible_v<view<float const, 2>, view<float, 3>>);
static_assert(!std::is_constructible_v<view<float const, 2, host>, view<float, 2, device>>);
static_assert(!std::is_constructible_v<view<float, 2, device>, view<float, 2, host>>);
static_assert(std::is_same_v<view<float const, 2>::value_type, float>);
static_assert(std::is_same_v<image_view<int>, view<int, 2>> && std::is_same_v<stack_view<int>, view<int, 3>>);

namespace {

/// A window on a larger block: every axis but the innermost has a gap behind it.
template <int Rank>
view<int, Rank> window(std::vector<int>& block, index_t const (&extents)[Rank], index_t gap)
{
  view<int, Rank> v(block.data(), extents);
  index_t step = 1;
  for (int r = Rank - 1; r >= 0; --r) {
    v.stride[r] = step;
    step *= extents[r] + gap;
  }
  return v;
}

std::vector<int> numbered(std::size_t n)
{
  std::vector<int> block(n);
  std::iota(block.begin(), block.end(), 0);
  return block;
}

}  // namespace

TEST_CASE("indices find the cell their strides point at", "[grid][reference]")
{
  auto block = numbered(5 * 6 * 7 * 8);
  index_t const gap = GENERATE(0, 1, 3);
  auto const v = window<4>(block, {2, 3, 4, 5}, gap);
  REQUIRE(v.size() == 120);
  CHECK(v.contiguous() == (gap == 0));
  index_t const g = gap;
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 3; ++b)
      for (int c = 0; c < 4; ++c)
        for (int d = 0; d < 5; ++d) {
          index_t const at = ((a * (3 + g) + b) * (4 + g) + c) * (5 + g) + d;
          REQUIRE(v(a, b, c, d) == at);
          REQUIRE(&v[a](b, c, d) == &block[static_cast<std::size_t>(at)]);
          REQUIRE(&v[a][b][c](d) == &block[static_cast<std::size_t>(at)]);
        }
  CHECK(v[1].size() == 60);
  CHECK(v[1][2][3].extent[0] == 5);
  v(1, 2, 3, 4) = -1;  // a view is a pointer: writing through a const one is fine
  CHECK(std::count(block.begin(), block.end(), -1) == 1);
  CHECK(view<int const, 4>(v)(1, 2, 3, 4) == -1);
}

TEST_CASE("size and contiguous at the edges", "[grid][reference]")
{
  int cell = 0;
  CHECK(view<int, 3>().size() == 0);
  CHECK(view<int, 3>().data == nullptr);
  CHECK(view<int, 3>(&cell, {1, 1, 1}).size() == 1);
  CHECK(view<int, 3>(&cell, {0, 4, 5}).size() == 0);
  CHECK(view<int, 3>(&cell, {3, 0, 5}).size() == 0);
  CHECK(view<int, 3>(&cell, {3, 4, 0}).size() == 0);
  CHECK(view<int, 3>(&cell, {3, 4, 0}).contiguous());

  view<int, 2> one_row(&cell, {1, 9});
  one_row.stride[0] = 1000;  // the distance to a row that is not there
  CHECK(one_row.contiguous());
  view<int, 2> column(&cell, {9, 1});
  CHECK(column.contiguous());
  column.stride[0] = 4;
  CHECK(!column.contiguous());
}

TEST_CASE("shapes are compared and printed", "[grid][reference]")
{
  view<int, 2> const a(nullptr, {3, 4}), b(nullptr, {4, 3});
  view<double const, 2, device> const c(nullptr, {3, 4});
  CHECK(same_shape(a, c));  // neither type nor place is part of a shape
  CHECK(!same_shape(a, b));
  CHECK(!same_shape(view<int, 2>(nullptr, {3, 5}), a));
  CHECK(message_part(b) == "[4,3]");
  CHECK(message_part(view<int, 1>(nullptr, {7})) == "[7]");
  CHECK(message_part(view<int, 4, device>()) == "[0,0,0,0]");
}

TEST_CASE("overlap asks whether two ranges share a byte", "[grid][reference]")
{
  // Oracle: the first and the last byte of every cell there is, one cell at a time.
  using range = std::pair<std::uintptr_t, std::uintptr_t>;
  auto const hull = [](auto const& v) {
    range r{UINTPTR_MAX, 0};
    for (index_t y = 0; y < v.extent[0]; ++y)
      for (index_t x = 0; x < v.extent[1]; ++x) {
        auto const first = reinterpret_cast<std::uintptr_t>(&v(y, x));
        r = {std::min(r.first, first), std::max(r.second, first + sizeof(v(y, x)) - 1)};
      }
    return r;
  };
  std::vector<std::int64_t> block(64);
  auto* const bytes = reinterpret_cast<unsigned char*>(block.data());
  std::mt19937 bits(5);
  int met = 0, apart = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    index_t const ay = bits() % 4, ax = bits() % 5, by = bits() % 4, bx = bits() % 5;
    view<std::int64_t, 2> a(block.data() + bits() % 30, {ay, ax});
    view<unsigned char const, 2> b(bytes + bits() % 400, {by, bx});
    a.stride[0] += bits() % 3;
    b.stride[0] += bits() % 9;
    bool const empty = ay * ax == 0 || by * bx == 0;
    bool const want = !empty && hull(a).first <= hull(b).second && hull(b).first <= hull(a).second;
    REQUIRE(overlap(a, b) == want);
    REQUIRE(overlap(b, a) == want);
    (want ? met : apart) += 1;
  }
  CHECK(met > 100);  // both answers were asked for
  CHECK(apart > 100);
}

TEST_CASE("overlap at the seams", "[grid][picture]")
{
  std::vector<float> cells(12);
  view<float, 1> const left(cells.data(), {6}), right(cells.data() + 6, {6}), middle(cells.data() + 5, {2});
  CHECK(!overlap(left, right));
  CHECK(overlap(left, middle));
  CHECK(overlap(middle, right));
  CHECK(overlap(view<float, 1>(cells.data(), {12}), middle));  // one inside the other
  CHECK(overlap(left, view<float const, 2>(cells.data(), {2, 3})));

  // Rows taken in turn from one buffer share no cell, and still count as overlapping.
  view<float, 2> even(cells.data(), {3, 2}), odd(cells.data() + 2, {3, 2});
  even.stride[0] = odd.stride[0] = 4;
  CHECK(overlap(even, odd));
}
