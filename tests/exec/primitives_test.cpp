#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

using namespace cambium;

namespace {

template <class T, class S>
struct cell_of {
  view<T const, 2, S> cells;
  CAMBIUM_HD double operator()(index_t row, index_t i) const { return static_cast<double>(cells(row, i)); }
};

template <class S>
struct meet {  // every index adds itself to one of three cells, and to their extremes
  view<std::int64_t, 2, S> out;
  CAMBIUM_HD void operator()(index_t i) const
  {
    atomic_add(&out(0, i % 3), i);
    atomic_min(&out(1, i % 3), i);
    atomic_max(&out(2, i % 3), i);
  }
};

template <class S>
struct count_visit {
  stack_view<std::int32_t, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { ++out(c, y, x); }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("for_each_cell visits each cell once", "[exec][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [C, H, W] =
      GENERATE(table<int, int, int>({{1, 1, 1}, {3, 17, 65}, {70000, 1, 2}, {1, 70000, 3}, {2, 0, 5}}));
  CAPTURE(C, H, W);
  grid<std::int32_t, 3> const none(C, H, W);
  auto visited = support::copied<TestType>(none);
  for_each_cell(TestType{}, visited.view().extent, count_visit<typename TestType::memory>{visited.view()});
  auto const have = to::back(visited);
  REQUIRE(std::all_of(have.cells().begin(), have.cells().end(), [](auto n) { return n == 1; }));
}

TEMPLATE_LIST_TEST_CASE("reduce_rows sums in a fixed order", "[exec][property]", support::backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const rows = GENERATE(1, 3, 70);
  auto const length = GENERATE(0, 1, 255, 256, 4096, 4097, 100000);
  if (rows > 3 && length > 5000) return;
  CAPTURE(rows, length);
  auto const cells = support::uniform<float, 2>({rows, length}, -1, 1, 5);
  auto const there = support::copied<TestType>(cells);
  auto sums = make_grid<double>(TestType{}, {rows}), most = make_grid<double>(TestType{}, {rows});
  workspace<TestType> space;
  cell_of<float, S> const value{there.view()};
  reduce_rows(TestType{}, rows, length, value, 0.0, plus{}, sums.view().data, space);
  reduce_rows(TestType{}, rows, length, value, -5.0, max_of{}, most.view().data, space);
  auto const have = to::back(sums), largest = to::back(most);
  for (index_t r = 0; r < rows; ++r) {
    double want = 0, top = -5;
    for (index_t i = 0; i < length; ++i) {
      want += static_cast<double>(cells(r, i));
      top = std::max(top, static_cast<double>(cells(r, i)));
    }
    REQUIRE(have(r) == Approx(want).margin(1e-9));
    REQUIRE(largest(r) == top);
  }
  // The tree is that of the cores, bit for bit.
  grid<double, 1> again(rows);
  workspace<cpu> none;
  reduce_rows(cpu{.threads = 2}, rows, length, cell_of<float, host>{cells.view()}, 0.0, plus{}, again.data(), none);
  for (index_t r = 0; r < rows; ++r) REQUIRE(have(r) == again(r));
}

TEMPLATE_LIST_TEST_CASE("exclusive_scan runs and sort_by_key is stable", "[exec][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const n = GENERATE(0, 1, 2, 1000, 70001);
  CAPTURE(n);
  auto const drawn = support::uniform<float, 1>({n}, 0, 50, 9);
  grid<std::uint32_t, 1> keys(n);
  grid<std::int32_t, 1> values(n);
  for (index_t i = 0; i < n; ++i) {
    keys(i) = static_cast<std::uint32_t>(drawn(i));
    values(i) = static_cast<std::int32_t>(i);
  }
  auto const k = support::copied<TestType>(keys);
  auto const v = support::copied<TestType>(values);
  auto sorted_k = make_grid<std::uint32_t>(TestType{}, {n});
  auto sorted_v = make_grid<std::int32_t>(TestType{}, {n});
  auto before = make_grid<std::int64_t>(TestType{}, {n});
  workspace<TestType> space;
  sort_by_key(TestType{}, n, k.view().data, v.view().data, sorted_k.view().data, sorted_v.view().data, 6, space);
  exclusive_scan(TestType{}, n, k.view().data, before.view().data, space);
  auto const have_k = to::back(sorted_k);
  auto const have_v = to::back(sorted_v);
  auto const have = to::back(before);
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return keys(a) < keys(b); });
  std::int64_t sum = 0;
  for (index_t i = 0; i < n; ++i) {
    REQUIRE(have_v(i) == order[static_cast<std::size_t>(i)]);
    REQUIRE(have_k(i) == keys(have_v(i)));
    REQUIRE(have(i) == sum);
    sum += keys(i);
  }
}

TEMPLATE_LIST_TEST_CASE("atomic steps lose nothing", "[exec][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int64_t, 2> cells(3, 3);
  auto const set = cells.view();
  for (index_t i = 0; i < 3; ++i) set(1, i) = std::numeric_limits<std::int64_t>::max();
  auto out = support::copied<TestType>(cells);
  index_t const n = 30000;
  for_each_index(TestType{}, n, meet<typename TestType::memory>{out.view()});
  auto const have = to::back(out);
  for (index_t i = 0; i < 3; ++i) {
    REQUIRE(have(0, i) == 10000 * i + 3 * (10000 * 9999 / 2));
    REQUIRE(have(1, i) == i);
    REQUIRE(have(2, i) == n - 3 + i);
  }
}
