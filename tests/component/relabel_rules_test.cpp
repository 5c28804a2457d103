// Numbering anew by rules and on a device: the labels of the cpu.
#include <cambium/component/relabel.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <random>

using namespace cambium;

namespace {

template <class P, class Label>
auto carried_components(components<Label> const& found)
{
  return components<Label, typename P::memory>{support::copied<P>(found.label), found.count};
}

components<> some_components(index_t H, index_t W, int count, unsigned seed)
{
  std::mt19937 bits(seed);
  components<> out{grid<std::int32_t, 2>(H, W), count};
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      out.label(y, x) = y > 0 && bits() % 3 != 0 ? out.label(y - 1, x)
                                                 : static_cast<std::int32_t>(bits() % static_cast<unsigned>(count + 1));
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("rules number components anew as the cpu", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] =
      GENERATE(table<int, int>({{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 33}, {64, 1}, {13, 31}, {100, 77}}));
  auto const count = GENERATE(0, 1, 7, 200);
  CAPTURE(H, W, count);
  TestType where{};
  if constexpr (std::derived_from<TestType, cpu>) where.threads = 3;
  auto const found = some_components(H, W, count, 7);
  auto const there = carried_components<TestType>(found);
  for (index_t const area : {-1, 0, 1, 2, 5, 40, 100000}) {
    CAPTURE(area);
    auto const want = drop_small(cpu{}, found, area);
    auto const have = drop_small(where, there, area);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
  for (auto const order : {label_order::raster, label_order::blocks}) {
    auto const want = reorder(cpu{}, found, order);
    auto const have = reorder(where, there, order);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
}

TEMPLATE_LIST_TEST_CASE("rules look labels up", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const found = some_components(9, 20, 4, 3);
  std::vector<float> const table{0.5f, 3, -1, 7, 2};
  grid<float, 1> entries(5);
  std::copy(table.begin(), table.end(), entries.data());
  auto const l = support::copied<TestType>(found.label);
  auto const e = support::copied<TestType>(entries);
  CHECK(to::back(relabel(TestType{}, l, e)) == relabel(cpu{}, found.label, table));
  grid<std::int32_t, 1> other(5);
  for (int i = 0; i < 5; ++i) other(i) = 9 - i;
  auto const o = support::copied<TestType>(other);
  auto own = support::copied<TestType>(found.label);
  relabel_into(TestType{}, own, o, own);
  CHECK(to::back(own) == relabel(cpu{}, found.label, std::vector<std::int32_t>{9, 8, 7, 6, 5}));
  auto narrow = make_grid<std::int32_t>(TestType{}, {9, 19});
  CAMBIUM_THROWS_SAYING(relabel_into(TestType{}, own, o, narrow), precondition_error, "out is [9,19]");
  grid<std::int64_t, 2> wild(1, 4);
  wild(0, 0) = -1, wild(0, 1) = 5, wild(0, 2) = 4, wild(0, 3) = std::int64_t{1} << 60;
  auto const w = support::copied<TestType>(wild);
  auto const have = to::back(relabel(TestType{}, w, e));
  CHECK(have.cells() == cells_t<float>{0, 0, 2, 0});
}

TEMPLATE_LIST_TEST_CASE("rules let cores grow as the cpu", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 3}, {1, 1}, {1, 200}, {300, 1}, {37, 52}}));
  auto const seed = GENERATE(1u, 2u, 3u);
  CAPTURE(H, W, seed);
  std::mt19937 bits(seed);
  unsigned const rare = seed == 1 ? 500 : 20;
  components<> found{grid<std::int32_t, 2>(H, W), 6};
  for (auto& label : found.label.cells()) label = bits() % rare == 0 ? static_cast<std::int32_t>(bits() % 6 + 1) : 0;
  if (found.label.size() > 0) found.label.cells()[0] = 3;
  grid<std::int32_t, 2> regions(H, W);
  for (auto& region : regions.cells()) region = bits() % (4 * seed) == 0 ? static_cast<std::int32_t>(bits() % 3) : 1;
  auto const there = carried_components<TestType>(found);
  auto const r = support::copied<TestType>(regions);
  for (int const background : {0, 1, 9}) {
    CAPTURE(background);
    auto const have = grow(TestType{}, there, r, background);
    REQUIRE(have.count == 6);
    REQUIRE(to::back(have.label) == grow(cpu{}, found, regions, background).label);
  }
}

TEMPLATE_LIST_TEST_CASE("what rules refuse to number anew", "[component][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const wrong = carried_components<TestType>(components<>{grid<std::int32_t, 2>(1, 1), -2});
  CAMBIUM_THROWS_SAYING(drop_small(where, wrong, 1), precondition_error, "drop_small: count is -2");
  CAMBIUM_THROWS_SAYING(reorder(where, wrong, label_order::raster), precondition_error, "count is -2");
  auto const square = support::copied<TestType>(grid<std::int32_t, 2>(2, 2));
  CAMBIUM_THROWS_SAYING(grow(where, wrong, square), precondition_error, "labels are [1,1] but regions are [2,2]");
  components<> beyond{grid<std::int32_t, 2>(1, 3), 1};
  beyond.label(0, 0) = -5, beyond.label(0, 1) = 2, beyond.label(0, 2) = 1;
  auto const there = carried_components<TestType>(beyond);
  CHECK(to::back(drop_small(where, there, 1).label).cells() == cells_t<std::int32_t>{0, 0, 1});
  CHECK(to::back(reorder(where, there, label_order::blocks).label).cells() == cells_t<std::int32_t>{0, 0, 1});
}
